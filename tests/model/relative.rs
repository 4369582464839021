//! Hashes a world by what can matter to its future: moments as distances from the present, epochs as distances from the
//! highest. Without that, a leader that only renews its lease would never come back to a state already seen.
//!
//! A `Hash` implementation only says "here is a u64". Which of them are moments and which are epochs is told by their
//! size: the model's time begins at [`DAWN`] and its epochs at [`FIRST_EPOCH`]; durations and counters are far below.

use std::hash::Hasher;

use super::world::{DAWN, FIRST_EPOCH, UNIT};

pub struct Relative<'a, H> {
    pub inner: &'a mut H,
    pub now: u64,
    pub epoch: u64,
}

/// Older than this, in units, a moment only says "long past".
const MEMORY: u64 = 5;

impl<H: Hasher> Hasher for Relative<'_, H> {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.inner.write_u8(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.inner.write_usize(value);
    }

    fn write_u64(&mut self, value: u64) {
        let distance = if value >= DAWN {
            DAWN + (value + MEMORY * UNIT).saturating_sub(self.now)
        } else if value >= FIRST_EPOCH {
            FIRST_EPOCH + (value + 3).saturating_sub(self.epoch)
        } else {
            value
        };
        self.inner.write_u64(distance);
    }
}
