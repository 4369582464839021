//! By what whoever led before was known to be gone when a leadership began.

use serde::{Deserialize, Serialize};

/// Strongest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nobody had led.
    NoneBefore,
    /// It said goodbye itself, in ZooKeeper.
    CleanEnd,
    /// Its guardian said so, in the lock file or in its last will.
    GuardianRecord,
    /// The fencing command has succeeded; or a person vouches for it, and then the entry's detail says who.
    Fenced,
    /// Its session was over, and its lock free; of this very node or host the lock alone proves that nothing is left.
    LockAndSession,
    /// Another version's word.
    #[serde(untagged)]
    Other(String),
}

impl Evidence {
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoneBefore => "none_before",
            Self::CleanEnd => "clean_end",
            Self::GuardianRecord => "guardian_record",
            Self::Fenced => "fenced",
            Self::LockAndSession => "lock_and_session",
            Self::Other(word) => word,
        }
    }

    /// One sentence for a person.
    pub fn in_words(&self) -> String {
        match self {
            Self::NoneBefore => "nobody had led before".to_owned(),
            Self::CleanEnd => "the former active had ended in order, and said so".to_owned(),
            Self::GuardianRecord => "the former active's guardian had proven that nothing of it is left".to_owned(),
            Self::Fenced => {
                "the former active was fenced: by the fencing command, or, where the story says so, by a person's word"
                    .to_owned()
            }
            Self::LockAndSession => {
                "the former active's session was over and its lock free; it had not said goodbye, and was not fenced"
                    .to_owned()
            }
            Self::Other(word) => format!("{word} (a word of another version)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_public_word_is_one_kind_of_evidence_and_a_word_of_another_version_is_kept() {
        for word in ["none_before", "clean_end", "guardian_record", "fenced", "lock_and_session", "later_word"] {
            let read: Evidence = serde_json::from_value(word.into()).unwrap();
            assert_eq!(matches!(read, Evidence::Other(_)), word == "later_word");
            assert_eq!((read.as_str(), serde_json::to_value(&read).unwrap()), (word, word.into()));
        }
    }
}
