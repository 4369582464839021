//! What a reload changes: which keys differ, and the configuration that applies afterwards.
//!
//! The table of keys says what takes effect at run time, and how it is carried out, so that no key can be called reloaded and
//! then be forgotten; a test tries each. Rejected: merging the values as they were read and validating the sum. It would read
//! files of keys that stay as they are, in the node, and could fail.

use super::Config;
use super::effective::{at, compared};
use super::keys::{KEYS, Key};

/// One key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyChange {
    /// Dotted.
    pub key: String,
    /// A reload carries it out; otherwise it needs a restart.
    pub takes_effect: bool,
}

/// What differs between the configuration that applies and one read at a reload, in the order of the reference page.
///
/// The texts of the files in `api.tls` are not compared: they are read again at every reload.
pub fn reload_differences(old: &Config, new: &Config) -> Vec<KeyChange> {
    let (before, after) = (compared(old), compared(new));
    KEYS.iter()
        .filter(|key| at(&before, key.path) != at(&after, key.path))
        .map(|key| KeyChange { key: key.path.to_owned(), takes_effect: takes_effect(key, old, new) })
        .collect()
}

fn takes_effect(key: &Key, old: &Config, new: &Config) -> bool {
    key.reloads()
        && !(key.path.starts_with("api.tls.") && switches_tls(old, new))
        && !(key.path.starts_with("zookeeper.tls.") && switches_zookeeper_tls(old, new))
}

/// A listener that speaks TLS is another listener.
const fn switches_tls(old: &Config, new: &Config) -> bool {
    old.api.tls.is_some() != new.api.tls.is_some()
}

/// Servers that speak TLS have another port for it.
const fn switches_zookeeper_tls(old: &Config, new: &Config) -> bool {
    old.zookeeper.tls.is_some() != new.zookeeper.tls.is_some()
}

/// What applies after a reload: of `read` what takes effect at run time, of `current` the rest.
pub fn merge(current: &Config, read: &Config) -> Config {
    let mut merged = current.clone();
    for key in KEYS.iter().filter(|key| takes_effect(key, current, read)) {
        if let Some(carry) = key.carry {
            carry(&mut merged, read);
        }
    }
    merged.without_effect.clone_from(&read.without_effect);
    merged
}
