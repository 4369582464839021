//! The environment that everything the guardian starts begins with: this process's own, without what was said to this
//! process alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What a service manager says to the process that it started (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)). A child
/// that found it would answer for the unit, feed the unit's watchdog, or take its descriptors 3 and up for sockets.
const TO_THIS_PROCESS: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
    // Of the program that ran in this process before.
    super::protocol::UPGRADED,
];

/// What primacy says to those whom it starts; what another primacy has said to this one is not for them.
const TO_A_COORDINATOR: [&str; 6] =
    ["PRIMACY_CLUSTER", "PRIMACY_NODE", "PRIMACY_EPOCH", "PRIMACY_LOCK_FD", "PRIMACY_PID", super::remains::VARIABLE];
/// The same to a fencing command.
const OF_THIS_HOST: [&str; 5] =
    ["PRIMACY_HOST", "PRIMACY_MACHINE_ID", "PRIMACY_SMBIOS_UUID", "PRIMACY_HARDWARE_ADDRESSES", "PRIMACY_BOOT_ID"];
const OF_THE_FORMER: &[u8] = b"PRIMACY_FORMER_";

/// What is handed on.
pub fn inherited() -> BTreeMap<OsString, OsString> {
    handed_on(std::env::vars_os())
}

fn handed_on(variables: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
    variables.filter(|(name, _)| !is_private(name)).collect()
}

fn is_private(name: &OsStr) -> bool {
    TO_THIS_PROCESS.iter().chain(&TO_A_COORDINATOR).chain(&OF_THIS_HOST).any(|private| name == *private)
        || name.as_encoded_bytes().starts_with(OF_THE_FORMER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_manager_or_another_primacy_said_to_this_process_is_not_handed_on() {
        let given = [
            ("PATH", "/bin"),
            ("NOTIFY_SOCKET", "/run/systemd/notify"),
            ("WATCHDOG_USEC", "10000000"),
            ("WATCHDOG_PID", "1"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_PID", "1"),
            ("LISTEN_FDNAMES", "a"),
            ("LISTEN_ADDRESS", "the application's own"),
            ("WATCHDOG_MODE", "the application's own"),
            ("PRIMACY_EPOCH", "7"),
            ("PRIMACY_FORMER_NODE", "b"),
            ("PRIMACY_TREE", "boot:4026531836:1:1:/mnt"),
            ("PRIMACY_MACHINE_ID", "m"),
            ("PRIMACY_CONFIG", "/etc/primacy/primacy.toml"),
            ("INVOCATION_ID", "1"),
        ];
        let handed = handed_on(given.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        let names: Vec<_> = handed.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["INVOCATION_ID", "LISTEN_ADDRESS", "PATH", "PRIMACY_CONFIG", "WATCHDOG_MODE"]);
    }
}
