//! Whether the configuration is being read again.

/// A reload under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Reloading {
    #[default]
    No,
    Reading,
    /// Asked for again meanwhile.
    ReadingAndAgain,
}
