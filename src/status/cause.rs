//! Why a leadership ended, in the words that everybody may read: in the history, the breadcrumb, the lock file, the metrics.
//!
//! What a node finds of itself is the machine's [`End`]; the other words are said of a node by another one, or by a person's
//! order. Whoever reads may be older than whoever wrote: a word that it does not know is kept as it is, and shown as it is.
//! Rejected: a string, as it was. Each reader compared it with words of its own.

use serde::{Deserialize, Serialize};

use crate::role::cause::End;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    GuardianLost,
    /// It went away without a word.
    HostLost,
    Unknown,
    /// The node's own words, or its guardian's.
    #[serde(untagged)]
    Found(End),
    /// Another version's.
    #[serde(untagged)]
    Other(String),
}

impl EndCause {
    pub fn as_str(&self) -> &str {
        match self {
            Self::GuardianLost => "guardian_lost",
            Self::HostLost => "host_lost",
            Self::Unknown => "unknown",
            Self::Found(end) => end.as_str(),
            Self::Other(word) => word,
        }
    }

    /// As a part of a sentence.
    pub fn in_words(&self) -> String {
        self.as_str().replace('_', " ")
    }
}

impl From<End> for EndCause {
    fn from(end: End) -> Self {
        Self::Found(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_public_word_is_one_cause_and_a_word_of_another_version_is_kept() {
        let known = [
            ("stopped", EndCause::Found(End::Stopped)),
            ("switchover", EndCause::Found(End::Switchover)),
            ("isolated", EndCause::Found(End::Isolated)),
            ("coordinator_exited", EndCause::Found(End::CoordinatorExited)),
            ("coordinator_unhealthy", EndCause::Found(End::CoordinatorUnhealthy)),
            ("start_failed", EndCause::Found(End::StartFailed)),
            ("supervisor_lost", EndCause::Found(End::SupervisorLost)),
            ("lease_expired", EndCause::Found(End::LeaseExpired)),
            ("session_expired", EndCause::Found(End::SessionExpired)),
            ("volume_lost", EndCause::Found(End::VolumeLost)),
            ("election_node_deleted", EndCause::Found(End::ElectionNodeDeleted)),
            ("guardian_lost", EndCause::GuardianLost),
            ("host_lost", EndCause::HostLost),
            ("unknown", EndCause::Unknown),
            ("", EndCause::Other(String::new())),
            ("Stopped", EndCause::Other("Stopped".to_owned())),
            ("struck_by_lightning", EndCause::Other("struck_by_lightning".to_owned())),
        ];
        for (word, cause) in known {
            let json = serde_json::Value::from(word);
            assert_eq!(serde_json::from_value::<EndCause>(json.clone()).unwrap(), cause);
            assert_eq!(serde_json::to_value(&cause).unwrap(), json);
            assert_eq!(cause.as_str(), word);
        }
        assert!(serde_json::from_str::<EndCause>("7").is_err(), "no word");
    }
}
