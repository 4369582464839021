//! The kinds of fault.

use std::path::Path;

use super::{Fault, clock_step, files, hosts, load, network, processes, volume, zookeeper};
use crate::hosts::cgroup::Hierarchies;
use crate::lab::faketime;

/// A kind of fault.
pub struct Kind {
    /// As in histories and on the command line.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// How often it lies in the schedule's bag: what costs little time, and what hurts most, more often.
    pub weight: usize,
    /// Over as soon as it has begun.
    pub instant: bool,
    /// How long it may take until it has had its effect, if it has one, ms: the next fault shall not begin before.
    pub effect_ms: u64,
    /// What it needs of this machine.
    pub needs: Need,
    /// One fault of this kind.
    pub make: fn() -> Box<dyn Fault>,
}

/// What a kind needs of the machine beside what every lab needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// libfaketime.
    FakeTime,
    /// A control group's cpu limit, and stress-ng.
    CpuLimit,
    /// A control group's memory limit, and stress-ng.
    MemoryLimit,
    /// fsfreeze.
    FsFreeze,
}

impl Need {
    /// Why it cannot be had here; none: it can.
    pub fn missing(self) -> Option<String> {
        let program = |name: &str| {
            let found = std::env::var_os("PATH")
                .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).exists()));
            (!found).then(|| format!("{name} is not installed"))
        };
        let controller = |name: &str| {
            let v1 = Hierarchies::has_controller(name);
            (!v1).then(|| format!("no control groups with the {name} controller"))
        };
        match self {
            Self::Nothing => None,
            Self::FakeTime => faketime::library().is_none().then(|| "libfaketime is not installed".to_owned()),
            Self::CpuLimit => program("stress-ng").or_else(|| controller("cpu")),
            Self::MemoryLimit => program("stress-ng").or_else(|| controller("memory")),
            Self::FsFreeze => program("fsfreeze")
                .or_else(|| (!Path::new("/proc/filesystems").exists()).then(|| "no /proc/filesystems".to_owned())),
        }
    }
}

macro_rules! kind {
    ($name:literal, $weight:literal, $instant:ident, $needs:ident, $about:literal, $make:expr) => {
        Kind {
            name: $name,
            about: $about,
            weight: $weight,
            instant: kind!(@ $instant),
            effect_ms: kind!(@effect $instant),
            needs: Need::$needs,
            make: || Box::new($make),
        }
    };
    (@ instant) => { true };
    (@ probed) => { true };
    (@ lasting) => { false };
    (@effect probed) => { 700 }; // lock.probe_interval of the lab, and the time to act upon it
    (@effect $other:ident) => { 0 };
}

use network::Partition;
use processes::{Freeze, Kill, Part};

/// All of them.
pub const KINDS: &[Kind] = &[
    kind!("kill-coordinator", 3, instant, Nothing, "kill -9 of the coordinator", Kill::of(&[Part::Coordinator])),
    kind!("kill-supervisor", 3, instant, Nothing, "kill -9 of the supervisor", Kill::of(&[Part::Supervisor])),
    kind!("kill-guardian", 3, instant, Nothing, "kill -9 of the guardian", Kill::of(&[Part::Guardian])),
    kind!(
        "kill-host-processes",
        3,
        instant,
        Nothing,
        "kill -9 of supervisor and guardian at once",
        Kill::of(&[Part::Supervisor, Part::Guardian])
    ),
    kind!("freeze-coordinator", 2, lasting, Nothing, "SIGSTOP of the coordinator", Freeze::of(Part::Coordinator)),
    kind!("freeze-supervisor", 3, lasting, Nothing, "SIGSTOP of the supervisor", Freeze::of(Part::Supervisor)),
    kind!("freeze-guardian", 3, lasting, Nothing, "SIGSTOP of the guardian", Freeze::of(Part::Guardian)),
    kind!("freeze-host", 2, lasting, Nothing, "all processes of a host stand still", hosts::FreezeHost::default()),
    kind!("power-loss", 2, lasting, Nothing, "a host is gone, and comes back later", hosts::PowerLoss::default()),
    kind!("partition-from-zookeeper", 2, lasting, Nothing, "a host loses ZooKeeper", Partition::from_zookeeper()),
    kind!("partition-from-all", 2, lasting, Nothing, "a host's cable is pulled", Partition::from_all()),
    kind!("partition-one-way-in", 1, lasting, Nothing, "nothing reaches a host", Partition::inward()),
    kind!("partition-one-way-out", 1, lasting, Nothing, "nothing leaves a host", Partition::outward()),
    kind!("flapping", 1, lasting, Nothing, "a link that comes and goes every few 100 ms", network::Flapping::default()),
    kind!(
        "slow-lossy-link",
        1,
        lasting,
        Nothing,
        "packets to and from ZooKeeper are lost at random, and above a rate",
        network::Lossy::default()
    ),
    kind!(
        "connections-reset",
        1,
        lasting,
        Nothing,
        "connections to ZooKeeper are reset, none can be made",
        network::Reset::default()
    ),
    kind!("zookeeper-kill-one", 1, lasting, Nothing, "kill -9 of one server", zookeeper::Killed::one()),
    kind!("zookeeper-freeze-one", 2, lasting, Nothing, "SIGSTOP of one server", zookeeper::Frozen::default()),
    kind!("zookeeper-kill-leader", 1, lasting, Nothing, "kill -9 of the leading server", zookeeper::Killed::leader()),
    kind!(
        "zookeeper-rolling-restart",
        1,
        lasting,
        Nothing,
        "one server after the other is killed and started",
        zookeeper::Rolling::default()
    ),
    kind!("zookeeper-majority-lost", 1, lasting, Nothing, "kill -9 of two servers", zookeeper::Killed::majority()),
    kind!(
        "zookeeper-quorum-cut",
        2,
        lasting,
        Nothing,
        "the server that the active node is connected to loses the others",
        zookeeper::QuorumCut::default()
    ),
    kind!(
        "zookeeper-wiped",
        1,
        lasting,
        Nothing,
        "all servers killed, their data removed",
        zookeeper::Wiped::default()
    ),
    kind!("volume-full", 1, lasting, Nothing, "not a byte is left on the volume", volume::Full),
    kind!("volume-read-only", 1, lasting, Nothing, "the file system fails and allows no writes", volume::ReadOnly),
    kind!("volume-gone", 1, lasting, Nothing, "the volume is unmounted under everybody", volume::Gone),
    kind!("volume-hangs", 1, lasting, FsFreeze, "writes to the volume wait", volume::Hangs),
    kind!("lock-file-deleted", 2, probed, Nothing, "the lock file is deleted", files::Deleted),
    kind!("lock-file-replaced", 2, probed, Nothing, "a copy takes the lock file's place", files::Replaced),
    kind!("clock-step", 1, lasting, FakeTime, "n1's time of day is an hour off", clock_step::ClockStep),
    kind!(
        "cpu-starvation",
        1,
        lasting,
        CpuLimit,
        "a host has a fraction of a processor and eight processes that spin",
        load::Load::cpu()
    ),
    kind!(
        "memory-pressure",
        1,
        lasting,
        MemoryLimit,
        "a host has hardly any memory left and a process that wants it",
        load::Load::memory()
    ),
    kind!("sigterm-storm", 2, instant, Nothing, "SIGTERM to all supervisors, thrice", processes::Storm),
    kind!(
        "rolling-restart",
        1,
        instant,
        Nothing,
        "one supervisor after the other is stopped and started",
        processes::RollingRestart
    ),
];

/// What `drill run --fixed-set` runs: what is cheap and has found the most in systems of this kind.
pub const FIXED_SET: &[&str] = &[
    "kill-coordinator",
    "kill-supervisor",
    "kill-guardian",
    "kill-host-processes",
    "freeze-supervisor",
    "freeze-guardian",
    "freeze-host",
    "partition-from-all",
    "zookeeper-freeze-one",
    "lock-file-deleted",
    "volume-full",
    "sigterm-storm",
];

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Faults of the one volume, whose ends would undo each other's begins.
fn breaks_volume(name: &str) -> bool {
    name.starts_with("volume-") || name.starts_with("lock-file-")
}

/// Pairs that are not drawn.
pub const APART: &[(&str, &str, &str)] = &[
    ("lock-file-deleted", "zookeeper-wiped", FORGET),
    ("lock-file-replaced", "zookeeper-wiped", FORGET),
    ("volume-read-only", "zookeeper-wiped", FORGET),
    ("lock-file-deleted", "freeze-host", STANDS),
    ("lock-file-replaced", "freeze-host", STANDS),
    ("volume-read-only", "freeze-host", STANDS),
    ("volume-hangs", "freeze-host", HANGS),
    ("volume-hangs", "power-loss", HANGS),
];
const FORGET: &str = "not promised: the volume and ZooKeeper forget at the same moment (docs/guarantees.md)";
const STANDS: &str = "not promised: a host that stands still while its lock is taken away (docs/guarantees.md)";
const HANGS: &str = "cannot be provoked here: a process that waits for the volume can be neither killed nor frozen";

/// Why these two are not drawn as a pair; none: they may be.
pub fn apart(one: &str, other: &str) -> Option<&'static str> {
    if one == other {
        return Some("one fault twice: their ends would undo each other's begins");
    }
    if breaks_volume(one) && breaks_volume(other) {
        return Some("there is one volume: their ends would undo each other's begins");
    }
    APART.iter().find(|(a, b, _)| (*a, *b) == (one, other) || (*a, *b) == (other, one)).map(|(_, _, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_once_and_every_rule_names_kinds() {
        let mut names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        let ruled = APART.iter().flat_map(|(one, other, _)| [*one, *other]);
        for name in ruled.chain(FIXED_SET.iter().copied()) {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
