//! Which host and which boot of it this is: what makes a pid in a file on a shared volume mean something.

use std::fs;

/// `/etc/machine-id`, or the host name where there is none.
pub fn host_id() -> String {
    match fs::read_to_string("/etc/machine-id") {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        Ok(_) | Err(_) => host_name(),
    }
}

/// The host's name.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Differs after every boot.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
