//! Somebody sets the clock of a host: the time of day jumps, the monotonic clocks do not.

use anyhow::Result;

use super::{Draw, Fault, Hit};
use crate::lab::{Lab, faketime};

/// An hour, either way.
pub struct ClockStep;

impl Fault for ClockStep {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let hour = if draw.dice.is_multiple_of(2) { 3600 } else { -3600 };
        faketime::set(lab, hour)?;
        let node = lab.candidates[faketime::NODE].name();
        Ok(Hit::of(node, format!("its time of day is {hour:+} s off")))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        faketime::set(lab, 0)?;
        Ok("its time of day is right".to_owned())
    }
}
