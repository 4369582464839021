//! Reads a history and convicts. Pure: the same history always gets the same verdict, on any machine, years later.
//!
//! It knows what primacy promises and nothing of how it works. It assumes nothing that the history does not show:
//!
//! - One clock. All times are CLOCK_MONOTONIC of the kernel that ran everything, so two lives overlap or they do not.
//!   A process lives from its first tick to its last, however long it stood still in between; and whoever wrote a
//!   record was alive when it did.
//! - What a client was told is all that it knows. Acknowledged: must be there, once. Refused: must not be there.
//!   Unknown: may be there or not, but not twice.
//! - A fault under way excuses that nobody coordinates and that clients fail. It excuses nothing else, ever.
//! - No evidence is no proof of innocence: a history that cannot show a charge to be false is convicted of being
//!   `vacuous`.
//!
//! A line number in a charge is the line in `history.jsonl`, from 1. Times are seconds since the run's first line.
//!
//! ```text
//! [Line] ──► Case (case.rs: lives, leaderships, episodes of faults) ──► charges/  one file per charge
//!                                                                  └──► gaps.rs   who explains which outage
//!                                                                           └──► table.rs   fault kind × figures
//! ```

mod case;
mod charges;
mod command;
mod episodes;
mod figures;
mod gaps;
mod leaderships;
mod lives;
mod numbered;
mod offence;
mod table;

use serde::Serialize;

pub use case::{Case, Seconds};
pub use charges::{overlaps, together};
pub use command::{cli, table as table_text, told};
pub use episodes::{Episode, Fault};
pub use figures::Figures;
pub use gaps::{Gap, Lack};
pub use leaderships::Leadership;
pub use lives::{Life, Standstill, stretches};
pub use offence::{Charge, Offence};
pub use table::{Row, Spread, merge};

use crate::history::Line;

/// What a history shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Empty: convicted of nothing.
    pub charges: Vec<Charge>,
    pub figures: Figures,
    pub gaps: Vec<Gap>,
    pub table: Vec<Row>,
    /// What could not be judged, and why, to follow "not judged: ". Not a charge.
    pub remarks: Vec<String>,
}

impl Verdict {
    #[must_use]
    pub fn convicted(&self) -> bool {
        !self.charges.is_empty()
    }

    /// How often it was convicted of `offence`.
    #[must_use]
    pub fn count(&self, offence: Offence) -> usize {
        self.charges.iter().filter(|charge| charge.offence == offence).count()
    }
}

/// Judges one run.
#[must_use]
pub fn judge(lines: &[Line]) -> Verdict {
    let case = Case::of(lines);
    let gaps = gaps::find(&case);
    let mut remarks = Vec::new();
    let charges = charges::all(&case, &gaps, &mut remarks);
    let table = table::of(&case, &gaps);
    let figures = figures::of(&case, &gaps, &charges, &table);
    Verdict { charges, figures, gaps, table, remarks }
}
