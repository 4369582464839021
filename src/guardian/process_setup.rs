//! What the guardian asks of the kernel for itself at its start. All of it is best effort: each refusal is a note.

use std::ffi::CString;
use std::fs;

use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::PROCESS_NAME;

/// Killed by the kernel's out-of-memory choice only when hardly anything else is left, but before what must never die.
const OOM_SCORE_ADJ: &str = "-900";
/// Bit of CAP_IPC_LOCK in `/proc/self/status`.
const CAP_IPC_LOCK: u32 = 14;

/// What was found and done.
#[derive(Debug, Default)]
pub struct ProcessSetup {
    /// The `oom_score_adj` of all that is started here; `None` where this process's own cannot be read.
    pub oom_score_adj: Option<String>,
    /// What could not be had.
    pub notes: Vec<String>,
}

/// Sets up this process. The child subreaper is not best effort: without it no tree could be proven dead.
pub fn arrange() -> nix::Result<ProcessSetup> {
    prctl::set_child_subreaper(true)?;
    let mut found = ProcessSetup::default();
    if let Ok(name) = CString::new(PROCESS_NAME) {
        let _ = prctl::set_name(&name);
    }
    // Fails for the leader of a process group, which is out of reach of the supervisor's group already.
    if nix::unistd::setsid().is_err() && nix::unistd::getpgrp() != nix::unistd::getpid() {
        found
            .notes
            .push("the guardian shares the supervisor's process group: a signal to all of it hits both".to_owned());
    }
    lock_memory(&mut found);
    lower_oom_score(&mut found);
    Ok(found)
}

fn lock_memory(found: &mut ProcessSetup) {
    // With a limit, locking all future memory would make later allocations fail.
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    if !unlimited && !has_capability(CAP_IPC_LOCK) {
        found.notes.push("memory is not locked: that needs CAP_IPC_LOCK or LimitMEMLOCK=infinity".to_owned());
        return;
    }
    // ONFAULT: only what is used, not the whole binary.
    let flags =
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    if let Err(error) = mlockall(flags) {
        found.notes.push(format!("memory is not locked: {}", error.desc()));
    }
}

fn has_capability(bit: u32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << bit) != 0)
}

fn lower_oom_score(found: &mut ProcessSetup) {
    const PATH: &str = "/proc/self/oom_score_adj";
    let Ok(before) = fs::read_to_string(PATH) else { return };
    found.oom_score_adj = Some(score_of_others(&before));
    if let Err(error) = fs::write(PATH, OOM_SCORE_ADJ) {
        found.notes.push(format!("the guardian is not spared when memory runs out: {error}"));
    }
}

/// What primacy was started with, unless that spares it (`OOMScoreAdjust=-900` of the packaged unit): of all processes the
/// ones with the memory must not be the last to be killed, after those that watch them. Raising needs no permission.
fn score_of_others(own: &str) -> String {
    own.trim().parse::<i32>().map_or(0, |score| score.max(0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spares_primacy_does_not_spare_the_coordinator() {
        assert_eq!(score_of_others("-900\n"), "0");
        assert_eq!(score_of_others("0\n"), "0");
        assert_eq!(score_of_others("300\n"), "300");
    }
}
