//! What happens to the volume as a whole. See `lab::Volume` for how.

use anyhow::Result;

use super::{Draw, Fault, Hit};
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
pub struct ReadOnly;

impl Fault for ReadOnly {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        lab.volume.break_down()?;
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
