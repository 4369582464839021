//! What /proc says of processes: who is whose child and what it is called.

use std::fs;

/// Its name (at most 15 bytes) and its parent; none if it is gone.
fn look(pid: i32) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut rest = stat[end + 1..].split_ascii_whitespace();
    let state = rest.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    Some((stat[begin + 1..end].to_owned(), rest.next()?.parse().ok()?))
}

/// The name of a process that lives.
pub fn name(pid: i32) -> Option<String> {
    look(pid).map(|(name, _)| name)
}

/// Whether SIGSTOP has stopped all of its threads; none if it is gone.
pub fn is_stopped(pid: i32) -> Option<bool> {
    look(pid)?;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let mut states = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        stat[stat.rfind(')')? + 1..].trim_start().chars().next()
    });
    Some(states.all(|state| matches!(state, 'T' | 't' | 'Z' | 'X')))
}

/// Which of `among` are children of `parent` and live.
pub fn children(parent: i32, among: &[i32]) -> Vec<i32> {
    among.iter().copied().filter(|pid| look(*pid).is_some_and(|(_, found)| found == parent)).collect()
}

/// The command line, for a person.
pub fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
}
