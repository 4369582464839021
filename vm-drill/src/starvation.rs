//! Whether the host had time for its machines: what share of the time in which their threads wanted a processor they
//! waited for one, as the kernel's scheduler counts it.
//!
//! Emulated machines on a host that does other work are starved for seconds, and a session of 4 s does not survive that.
//! A drill that failed meanwhile says nothing of primacy, so every outcome has this beside it. Rejected: a thread of the
//! drill that sleeps and notes by how much it oversleeps. A sleeper is let in at once; who computes all the time is not.

use std::collections::HashMap;
use std::fs;

/// Nanoseconds run and waited, by thread.
#[derive(Clone, Debug, Default)]
pub struct Shares(HashMap<String, (u64, u64)>);

impl Shares {
    /// Of all threads of these processes, up to now.
    pub fn of(processes: impl IntoIterator<Item = u32>) -> Self {
        let mut threads = HashMap::new();
        for process in processes {
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let mut numbers = text.split_ascii_whitespace().map(str::parse);
                if let (Some(Ok(ran)), Some(Ok(waited))) = (numbers.next(), numbers.next()) {
                    threads.insert(task.file_name().to_string_lossy().into_owned(), (ran, waited));
                }
            }
        }
        Self(threads)
    }

    /// Since `before`: percent of the time in which they wanted to run that they waited. A thread that is gone counts no
    /// more; a new one counts from its start.
    pub fn waited_since(&self, before: &Self) -> f64 {
        let (mut ran, mut waited) = (0.0, 0.0);
        for (thread, now) in &self.0 {
            let then = before.0.get(thread).copied().unwrap_or_default();
            ran += seconds(now.0.saturating_sub(then.0));
            waited += seconds(now.1.saturating_sub(then.1));
        }
        if ran + waited > 0.0 { 100.0 * waited / (ran + waited) } else { 0.0 }
    }
}

/// The most memory that a process has ever had, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn seconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_counts_from_the_first_look_and_new_threads_from_their_start() {
        let shares = |threads: &[(&str, u64, u64)]| {
            Shares(threads.iter().map(|(name, ran, waited)| ((*name).to_owned(), (*ran, *waited))).collect())
        };
        let before = shares(&[("1", 10, 90), ("2", 5, 5)]);
        let after = shares(&[("1", 40, 100), ("3", 30, 30)]);
        assert!((after.waited_since(&before) - 40.0).abs() < 0.001);
        assert!(before.waited_since(&before).abs() < 0.001);
    }

    #[test]
    fn this_process_has_run() {
        assert!(!Shares::of([std::process::id()]).0.is_empty());
    }
}
