//! What a history can be convicted of.

use serde::Serialize;

/// The charges, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    TwoAlive,
    StaleWrite,
    LostWrite,
    DoubledWrite,
    PhantomWrite,
    ReorderedWrite,
    Corrupt,
    EpochNotGrowing,
    EpochOfNobody,
    ContradictedHistory,
    ContradictedRecording,
    NotRecovered,
    UnexplainedGap,
    UncausedFailover,
    Leftover,
    Vacuous,
}

impl Offence {
    pub const ALL: [Self; 16] = [
        Self::TwoAlive,
        Self::StaleWrite,
        Self::LostWrite,
        Self::DoubledWrite,
        Self::PhantomWrite,
        Self::ReorderedWrite,
        Self::Corrupt,
        Self::EpochNotGrowing,
        Self::EpochOfNobody,
        Self::ContradictedHistory,
        Self::ContradictedRecording,
        Self::NotRecovered,
        Self::UnexplainedGap,
        Self::UncausedFailover,
        Self::Leftover,
        Self::Vacuous,
    ];

    /// As it stands in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoAlive => "two-alive",
            Self::StaleWrite => "stale-write",
            Self::LostWrite => "lost-write",
            Self::DoubledWrite => "doubled-write",
            Self::PhantomWrite => "phantom-write",
            Self::ReorderedWrite => "reordered-write",
            Self::Corrupt => "corrupt",
            Self::EpochNotGrowing => "epoch-not-growing",
            Self::EpochOfNobody => "epoch-of-nobody",
            Self::ContradictedHistory => "contradicted-history",
            Self::ContradictedRecording => "contradicted-recording",
            Self::NotRecovered => "not-recovered",
            Self::UnexplainedGap => "unexplained-gap",
            Self::UncausedFailover => "uncaused-failover",
            Self::Leftover => "leftover",
            Self::Vacuous => "vacuous",
        }
    }

    /// What it means, for somebody who reads a report.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::TwoAlive => "two coordinators lived at the same moment",
            Self::StaleWrite => "a former coordinator's record stands behind a younger one's",
            Self::LostWrite => "a write was acknowledged and is gone",
            Self::DoubledWrite => "a write was applied more than once",
            Self::PhantomWrite => "a write is there that was refused, or that nobody asked for",
            Self::ReorderedWrite => "a write stands before one that was acknowledged before it began",
            Self::Corrupt => "the shared metadata is damaged",
            Self::EpochNotGrowing => "a coordinator started with an epoch that is not higher than the one before",
            Self::EpochOfNobody => "somebody acted with an epoch that no leadership had",
            Self::ContradictedHistory => "the history that primacy keeps tells something else than what happened",
            Self::ContradictedRecording => {
                "what the processes recorded contradicts the code or the rules that primacy relies on"
            }
            Self::NotRecovered => "all was healed and nobody became active in time",
            Self::UnexplainedGap => "nobody coordinated, and no fault explains it",
            Self::UncausedFailover => "a leadership ended without a cause",
            Self::Leftover => "something was left behind",
            Self::Vacuous => "the run shows too little to acquit",
        }
    }
}

/// One thing of which a history is convicted, with what a person needs to check it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charge {
    pub offence: Offence,
    /// When, in seconds since the run's first line, if it has a moment.
    pub at_s: Option<f64>,
    pub evidence: String,
    /// Lines of `history.jsonl`, from 1.
    pub lines: Vec<usize>,
}
