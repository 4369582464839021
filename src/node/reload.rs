//! Whether the configuration is being read again.

/// Which request the reading under way answers, and the latest there was: requests of the API have numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Requests {
    pub reading: u64,
    pub latest: u64,
}

/// A reload under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Reloading {
    #[default]
    No,
    Reading,
    /// Asked for again meanwhile.
    ReadingAndAgain,
}
