//! What the coordinator's process tree uses, from `/proc`.
//!
//! One pass over `/proc/*/stat` finds the tree: everything below the guardian, which is the coordinator's parent and
//! the reaper of its orphans. At most one pass a second however many ask, since they all ask on the API's one thread.
//! Following `/proc/PID/task/*/children` instead would miss the orphans and open a file per thread of a JVM.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::moment::Moment;
use crate::processes::{self, Stat};

/// Kernel ticks per second in `/proc` (USER_HZ): 100 on every architecture that Rust's standard library supports.
const TICKS: f64 = 100.0;

/// Loads are taken over at least this long, and `/proc` is read at most this often.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// One look at the tree and at the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// None where no coordinator runs.
    pub tree: Option<Tree>,
    pub processors: usize,
    /// 0 to 1, of all processors.
    pub system_load: f64,
    pub memory_total: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tree {
    pub cpu_seconds: f64,
    /// Sum over the processes; pages that they share count for each.
    pub resident_bytes: u64,
    /// 0 to 1, of all processors.
    pub load: f64,
    /// The smallest memory limit of its control groups.
    pub memory_limit: Option<u64>,
}

/// Remembers the last samples: a load is a difference.
#[derive(Debug, Default)]
pub struct Sampler {
    last: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Moment,
    pid: Option<i32>,
    system: CpuTime,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default)]
struct CpuTime {
    busy: f64,
    total: f64,
}

impl Sampler {
    /// The usage of the tree around the coordinator `pid`, at most a second old. The first load of a tree is the mean
    /// since its start, the machine's the mean since boot.
    pub fn usage(&mut self, pid: Option<i32>, now: Moment) -> Usage {
        if let Some(last) = &self.last
            && last.pid == pid
            && now.since(last.at) < SAMPLE_EVERY
        {
            return last.usage;
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let system = system_time().unwrap_or_default();
        let former = self.last.filter(|last| last.pid == pid);
        let before = self.last.map_or(CpuTime::default(), |last| last.system);
        let system_load = share(system.busy - before.busy, system.total - before.total);
        let tree = pid.and_then(|pid| {
            let (mut tree, started) = tree(pid)?;
            let (cpu, since) = match former.and_then(|former| Some((former.usage.tree?, former.at))) {
                Some((tree, at)) => (tree.cpu_seconds, now.since(at).as_secs_f64()),
                None => (0.0, now.since(Moment::default()).as_secs_f64() - started),
            };
            tree.load = share(tree.cpu_seconds - cpu, since * processors as f64);
            Some(tree)
        });
        let usage = Usage { tree, processors, system_load, memory_total: memory_total().unwrap_or_default() };
        self.last = Some(Sample { at: now, pid, system, usage });
        usage
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// The tree around `pid`, and when `pid` was started.
fn tree(pid: i32) -> Option<(Tree, f64)> {
    let stats: BTreeMap<i32, Stat> = processes::pids().filter_map(|pid| Some((pid, Stat::of(pid)?))).collect();
    let coordinator = stats.get(&pid)?;
    let guardian = (coordinator.parent > 1 && coordinator.parent != std::process::id().cast_signed())
        .then_some(coordinator.parent)
        .filter(|parent| stats.contains_key(parent));
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (child, stat) in &stats {
        children.entry(stat.parent).or_default().push(*child);
    }
    let mut tree = Tree { memory_limit: memory_limit(pid), ..Tree::default() };
    let mut open = match guardian {
        Some(guardian) => {
            tree.cpu_seconds += seconds(stats[&guardian].reaped);
            children.remove(&guardian).unwrap_or_default()
        }
        None => vec![pid],
    };
    while let Some(process) = open.pop() {
        if let Some(stat) = stats.get(&process) {
            tree.cpu_seconds += seconds(stat.own) + seconds(stat.reaped);
            tree.resident_bytes += resident(process).unwrap_or_default();
        }
        open.extend(children.remove(&process).unwrap_or_default());
    }
    Some((tree, seconds(coordinator.started)))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS
}

fn resident(pid: i32) -> Option<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn memory_total() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// A line `KEY 123 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn system_time() -> Option<CpuTime> {
    parse_system_time(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: `cpu user nice system idle iowait irq softirq steal …`; guest times are part of user and nice.
fn parse_system_time(text: &str) -> Option<CpuTime> {
    let fields: Vec<f64> =
        text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8).flat_map(str::parse).collect();
    let total: f64 = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(CpuTime { busy: total - idle, total })
}

/// The smallest `memory.max` from the process's control group (version 2) up to the root.
fn memory_limit(pid: i32) -> Option<u64> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Path::new("/sys/fs/cgroup")
        .join(group)
        .ancestors()
        .take_while(|path| path.starts_with("/sys/fs/cgroup"))
        .filter_map(|path| fs::read_to_string(path.join("memory.max")).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_a_busy_child_has_time_and_memory() {
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = child.id().cast_signed();
        let mut sampler = Sampler::default();
        let found = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            sampler.last = None;
            let usage = sampler.usage(Some(pid), crate::clock::now());
            usage.tree.filter(|tree| tree.cpu_seconds > 0.0 && tree.resident_bytes > 0 && tree.load > 0.0)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.is_some());
        sampler.last = None;
        assert_eq!(sampler.usage(Some(pid), crate::clock::now()).tree, None);
    }

    #[test]
    fn guest_time_is_not_counted_twice() {
        let time = parse_system_time("cpu  10 20 30 40 50 1 2 3 9 9\ncpu0 1 1 1 1").unwrap();
        assert_eq!((time.busy, time.total), (66.0, 156.0));
        assert!(parse_system_time("intr 1").is_none());
    }
}
