//! What happens to a host as a whole.

use anyhow::Result;

use super::{Draw, Fault, Hit, target};
use crate::hosts::{Host as _, Stop};
use crate::lab::Lab;

/// Time stands still on it, as under a hypervisor that pauses a machine.
#[derive(Default)]
pub struct FreezeHost {
    index: Option<usize>,
}

impl Fault for FreezeHost {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        self.index = Some(index);
        let host = &mut lab.candidates[index].host;
        host.stop(Stop::Freeze)?;
        Ok(Hit::of(host.name(), "all processes stand still"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        if let Some(index) = self.index {
            lab.candidates[index].host.go(Stop::Freeze)?;
        }
        Ok("thawed".to_owned())
    }
}

/// Gone without a word, and started again at the end.
#[derive(Default)]
pub struct PowerLoss {
    index: Option<usize>,
}

impl Fault for PowerLoss {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        self.index = Some(index);
        let candidate = &mut lab.candidates[index];
        candidate.unwanted();
        candidate.host.power_off()?;
        Ok(Hit::of(candidate.name(), "network gone, then all processes killed"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        if let Some(index) = self.index {
            let candidate = &mut lab.candidates[index];
            candidate.host.power_on()?;
            candidate.start()?;
        }
        Ok("started again".to_owned())
    }
}
