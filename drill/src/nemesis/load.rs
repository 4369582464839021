//! A neighbour that takes what the node needs: processor or memory. Limits of the host's own control group keep it from
//! taking everybody's.

use std::process::Child;

use anyhow::Result;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Draw, Fault, Hit, target};
use crate::lab::Lab;

enum What {
    Cpu,
    Memory,
}

/// See the module.
pub struct Load {
    what: What,
    index: Option<usize>,
    neighbour: Option<Child>,
}

impl Load {
    /// A fraction of a processor for the whole host, and four processes that want all of it.
    pub fn cpu() -> Self {
        Self { what: What::Cpu, index: None, neighbour: None }
    }

    /// A few mebibytes above what is used, and a process that wants more.
    pub fn memory() -> Self {
        Self { what: What::Memory, index: None, neighbour: None }
    }
}

impl Fault for Load {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        self.index = Some(index);
        let log = lab.log("stress-ng.log");
        let host = &lab.candidates[index].host;
        let (argv, detail): (&[&str], String) = match self.what {
            What::Cpu => {
                let percent = u32::try_from(2 + draw.dice % 14).unwrap_or(2);
                host.group().limit_cpu(Some(percent))?;
                (
                    &["stress-ng", "--quiet", "--cpu", "8", "--timeout", "60"],
                    format!("{percent} % of a processor for all, and eight processes that spin"),
                )
            }
            What::Memory => {
                let spare = 4 + draw.dice % 28;
                let used = host.group().memory().unwrap_or(64 << 20);
                host.group().limit_memory(Some(used + (spare << 20)))?;
                (
                    &["stress-ng", "--quiet", "--vm", "1", "--vm-bytes", "96M", "--timeout", "60"],
                    format!("{spare} MiB are left, and a process wants 96"),
                )
            }
        };
        let name = lab.candidates[index].name().to_owned();
        if lab.candidates[index].host.network().is_ok() {
            self.neighbour = Some(lab.candidates[index].host.start_process(argv, &[], &log)?);
        }
        Ok(Hit::of(&name, detail))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        if let Some(index) = self.index {
            let group = lab.candidates[index].host.group();
            match self.what {
                What::Cpu => group.limit_cpu(None)?,
                What::Memory => group.limit_memory(None)?,
            }
        }
        if let Some(mut child) = self.neighbour.take() {
            // It leads a session and a group of its own.
            let _ = killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL);
            let _ = child.kill();
            child.wait()?;
        }
        Ok("limits and load are gone".to_owned())
    }
}
