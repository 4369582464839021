//! What is said of a coordinator that did not start, stop or hold the lock as it should: the answer first, then the remedy.

use super::protocol::ExitStatus;
use crate::processes::Named;

/// Of a tree of thousands, as many are named.
const SHOWN: usize = 8;

/// `java (4243), sleep (4250) and 3 more`
fn list(processes: &[Named]) -> String {
    let mut names: Vec<String> =
        processes.iter().take(SHOWN).map(|process| format!("{} ({})", process.command, process.pid)).collect();
    let last = match processes.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{more} more"),
        _ => match names.pop() {
            Some(last) => last,
            None => return "nobody".to_owned(),
        },
    };
    if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
}

pub fn stop_timed_out(left: &[Named]) -> String {
    format!("not ended within coordinator.stop_timeout, so killed: {}", list(left))
}

pub fn stop_cut_short(killed: &[Named]) -> String {
    format!("killed before the end of coordinator.stop_timeout: {}", list(killed))
}

/// What a main process left that ended by itself.
pub fn left_behind(status: ExitStatus, left: &[Named]) -> String {
    let list = list(left);
    if status == ExitStatus::Code(0) {
        format!(
            "the coordinator's main process has ended with 0, so what it left was killed: {list}; if it is a start script \
             that puts the coordinator into the background, set coordinator.kind = \"forking\""
        )
    } else {
        format!("the coordinator's main process has ended, so what it left was killed: {list}")
    }
}

/// A forking coordinator's start script.
pub fn script_failed(command: &[String], status: ExitStatus, left: &[Named]) -> String {
    let command = command.first().map_or("", String::as_str);
    match status {
        ExitStatus::Code(0) => format!(
            "the start script {command} has ended with 0 and left nothing that runs: see the coordinator's own log; one that \
             stays in the foreground and ends by itself is of coordinator.kind = \"foreground\""
        ),
        status if left.is_empty() => format!("the start script {command} has failed ({status})"),
        status => {
            format!("the start script {command} has failed ({status}), so what it left is killed: {}", list(left))
        }
    }
}

pub fn script_still_ran(script: i32) -> String {
    format!(
        "the start script (pid {script}) had not ended when the stop was ordered; a coordinator of kind \"forking\" has started \
         when it has: if the command stays in the foreground, set coordinator.kind = \"foreground\""
    )
}

pub fn without_lock(processes: &[Named]) -> String {
    format!(
        "not every process of the coordinator holds the lock: {} closed PRIMACY_LOCK_FD, or may not be looked at; were supervisor and \
         guardian killed together, nothing would keep the next coordinator from starting beside it. Keep that descriptor open; \
         instead of sudo, su, runuser, gosu or a program with file capabilities set coordinator.user",
        list(processes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(count: i32) -> Vec<Named> {
        (1..=count).map(|pid| Named { pid, command: "java".to_owned() }).collect()
    }

    #[test]
    fn few_processes_are_named_and_many_are_counted() {
        assert_eq!(list(&[]), "nobody");
        assert_eq!(list(&processes(1)), "java (1)");
        assert_eq!(list(&processes(3)), "java (1), java (2) and java (3)");
        assert!(list(&processes(8)).ends_with(", java (7) and java (8)"));
        assert!(list(&processes(1000)).ends_with(", java (8) and 992 more"));
    }

    #[test]
    fn an_end_that_looks_like_the_wrong_kind_of_coordinator_names_the_other_one() {
        let left = processes(1);
        assert!(left_behind(ExitStatus::Code(0), &left).contains("\"forking\""));
        assert!(!left_behind(ExitStatus::Code(1), &left).contains("forking"));
        let script = ["/opt/start".to_owned()];
        assert!(script_failed(&script, ExitStatus::Code(0), &[]).contains("\"foreground\""));
        let failed = script_failed(&script, ExitStatus::Code(3), &left);
        assert!(failed.contains("/opt/start has failed (exit status: 3)") && failed.contains("java (1)"), "{failed}");
    }
}
