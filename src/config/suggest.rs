//! What somebody meant who wrote a key that does not exist.

use strsim::{jaro_winkler, normalized_damerau_levenshtein};

use super::keys::{self, KEYS};

/// Below this likeness a guess confuses more than it helps (0 nothing in common, 1 equal); by trial with slips of the
/// finger on one side and neighbouring keys on the other.
const ALIKE: f64 = 0.8;

/// The remedy for the unknown key `name` in the table `section` (`""`: the top).
pub fn remedy(section: &str, name: &str) -> String {
    match nearest(section, name) {
        Some(path) => format!("did you mean {path}?"),
        None => format!("remove it; known here: {}", known(section).join(", ")),
    }
}

fn nearest(section: &str, name: &str) -> Option<&'static str> {
    let paths = KEYS.iter().map(|key| key.path).chain(keys::sections());
    let likeness = |path: &'static str| {
        let (parent, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        // Another section's key is meant only if the name is nearly right.
        if parent == section { jaro_winkler(leaf, name) } else { 0.95 * normalized_damerau_levenshtein(leaf, name) }
    };
    paths
        .map(|path| (likeness(path), path))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, path)| path)
}

/// The names that `section` may hold.
fn known(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let rest = if section.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}
