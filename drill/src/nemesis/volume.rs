//! What happens to the volume as a whole. See `lab::Volume` for how.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Draw, Fault, Hit};
use crate::hosts::processes;
use crate::lab::Lab;

const NAME: &str = "volume";

/// Not a byte is left.
pub struct Full;

impl Fault for Full {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        lab.volume.fill()?;
        Ok(Hit::of(NAME, "filled up to the last block"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        lab.volume.empty()?;
        Ok("there is room again".to_owned())
    }
}

/// A file system that has met an error of its disk.
///
/// An ext4 that breaks down while a sync is on its way may answer that sync with success and lose what was written (seen
/// with Linux 6.18). That is the file system's lie, not the cluster's, so nobody is in the middle of one: the coordinators
/// stand still for the moment of the break-down.
pub struct ReadOnly;

impl ReadOnly {
    fn writers(lab: &Lab) -> Vec<i32> {
        let mut writers = Vec::new();
        for candidate in &lab.candidates {
            let (supervisor, guardians) = (candidate.supervisor(), candidate.guardians());
            let all = candidate.host.group().processes().into_iter();
            writers.extend(all.filter(|pid| Some(*pid) != supervisor && !guardians.contains(pid)));
        }
        writers
    }
}

impl Fault for ReadOnly {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        const LIMIT: Duration = Duration::from_secs(2);
        let writers: Vec<i32> =
            Self::writers(lab).into_iter().filter(|pid| processes::is_stopped(*pid) == Some(false)).collect();
        let signal = |signal| {
            for pid in &writers {
                // It may have ended.
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        };
        signal(Signal::SIGSTOP);
        let stopped = lab.until(LIMIT, "the coordinators stand still", |_| {
            writers.iter().all(|pid| processes::is_stopped(*pid) != Some(false)).then_some(())
        });
        let broken = stopped.and_then(|()| lab.volume.sync()).and_then(|()| lab.volume.break_down());
        signal(Signal::SIGCONT);
        broken?;
        Ok(Hit::of(NAME, "the file system allows no writes, whoever has what open"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        lab.volume.repair()?;
        Ok("its users killed, the file system checked and mounted again".to_owned())
    }
}

/// Unmounted lazily: open files stay, paths lead nowhere.
pub struct Gone;

impl Fault for Gone {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        lab.volume.detach()?;
        Ok(Hit::of(NAME, "unmounted under everybody"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        lab.volume.mount()?;
        Ok("mounted again".to_owned())
    }
}

/// As a hard NFS mount whose server does not answer: writers wait, and cannot be killed.
pub struct Hangs;

impl Fault for Hangs {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        lab.volume.hang()?;
        Ok(Hit::of(NAME, "whoever writes waits in the kernel"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        lab.volume.go_on()?;
        Ok("writes go on".to_owned())
    }
}
