//! `mode = "always-on"`: what cannot be meant, and what is taken and does nothing.

use super::reader::Reader;
use super::{ElectionKind, Mode};

/// Who writes these relies on a protection that there is not: an error.
const PROTECTION: [&str; 7] = [
    "fencing.command",
    "fencing.timeout",
    "fencing.required",
    "fencing.frees_lock",
    "fencing.after_loss",
    "fencing.watchdog",
    "fencing.watchdog_device",
];

/// They belong to an election or to the lock, and a file that is common to all hosts may well have them: a warning.
const IDLE: [&str; 10] = [
    "lock.directory",
    "lock.probe_interval",
    "lock.probe_timeout",
    "lock.min_free_space",
    "candidate.priority",
    "standby.warm",
    "standby.warm_limit",
    "hooks.on_fenced",
    "hooks.on_no_leader",
    "hooks.no_leader_after",
];

pub fn check(reader: &mut Reader, election: ElectionKind) {
    if election == ElectionKind::Lock {
        reader.reject(
            "mode",
            "cannot be had with election = \"lock\": without ZooKeeper nobody hears of this node",
            "leave out election, and write zookeeper.servers",
        );
    }
    for key in PROTECTION {
        if reader.has(key) && !reader.is_bad(key) {
            reader.reject(
                key,
                "does nothing with mode = \"always-on\": nobody is elected, so nobody is fenced",
                "leave it out, or write mode = \"active-standby\" if only one coordinator may run",
            );
        }
    }
}

pub fn without_effect(reader: &Reader, mode: Mode) -> Option<String> {
    let given: Vec<&str> = IDLE.into_iter().filter(|key| mode == Mode::AlwaysOn && reader.has(key)).collect();
    (!given.is_empty()).then(|| {
        format!(
            "{}: does nothing with mode = \"always-on\", which takes no lock and stands in no election; leave it out",
            given.join(", ")
        )
    })
}
