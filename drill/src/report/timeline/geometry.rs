//! Where a moment is on a strip.

pub const SECOND: u64 = 1_000_000_000;

/// Of the whole picture and of the names at its left, in px.
pub const WIDTH: f64 = 1180.0;
pub const LEFT: f64 = 92.0;
pub const MARGIN: f64 = 10.0;
pub const NODE: f64 = 22.0;

pub struct Strip {
    /// ns on the run's clock, and what that clock shows at the run's first line.
    pub from: u64,
    pub to: u64,
    pub start: u64,
    pub mark_s: u64,
}

impl Strip {
    pub fn new(start: u64, from_s: u64, length_s: u64, mark_s: u64) -> Self {
        let from = start + from_s * SECOND;
        Self { from, to: from + length_s * SECOND, start, mark_s }
    }

    pub fn shows(&self, from: u64, to: u64) -> bool {
        from < self.to && self.from <= to
    }

    /// Where a moment is; at an edge if it is beyond.
    pub fn x(&self, at: u64) -> f64 {
        let at = at.clamp(self.from, self.to) - self.from;
        LEFT + at as f64 / (self.to - self.from) as f64 * (WIDTH - LEFT - MARGIN)
    }

    #[expect(clippy::unused_self, reason = "all strips are of one width, which callers need not know")]
    pub fn right(&self) -> f64 {
        WIDTH - 2.0
    }
}
