//! The machines' watchdogs: softdog, which every kernel has, and the i6300esb that QEMU gives every machine. Its driver is
//! in Debian's ordinary kernel (`VM_DRILL_KERNEL=linux-image-amd64`), not in the cloud's.

use anyhow::Result;

use crate::host::Machine;

pub const SOFTDOG: &str = "softdog";
pub const I6300ESB: &str = "i6300esb";

/// Loads this driver and no other; the line for primacy's configuration.
pub fn configure(machine: &Machine, driver: Option<&str>) -> Result<String> {
    let Some(driver) = driver else { return Ok(String::new()) };
    unload(machine, Some(driver))?;
    machine.must(&format!("modprobe {driver}; until [ -c /dev/watchdog ]; do sleep 0.1; done"))?;
    Ok("fencing.watchdog = \"required\"".to_owned())
}

/// Unloads all drivers but this one.
pub fn unload(machine: &Machine, except: Option<&str>) -> Result<()> {
    for driver in [SOFTDOG, I6300ESB].into_iter().filter(|driver| Some(*driver) != except) {
        machine.must(&format!("if grep -q '^{driver} ' /proc/modules; then rmmod {driver}; fi"))?;
    }
    Ok(())
}

/// What sysfs says of the device: `inactive` or `active`, and its time-out.
pub fn state(machine: &Machine) -> Result<String> {
    machine
        .must("cd /sys/class/watchdog/watchdog0; for name in identity state timeout; do cat $name; done | tr '\\n' ' '")
}
