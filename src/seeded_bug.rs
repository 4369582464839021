//! Bugs put in on purpose, one per cargo feature, none of them ever in a build that somebody relies on.
//!
//! A drill that never convicts proves nothing. So it is also run against a build that is wrong in one realistic way, which
//! no unit of the program sees, and has to find that out. All that such a build does differently is decided by the
//! functions here; without the features they are constants and the compiler removes them.
//!
//! Rejected: faking the history that the judge reads. That tries the judge, not the drill.
//!
//! | feature | what is wrong | shows |
//! |---|---|---|
//! | `seeded-bug-two-coordinators` | at the deadline the guardian lets the lock go first, and kills the tree only [`SURVIVES`] later | the active node's supervisor frozen, or cut off from ZooKeeper, for longer than a session |
//! | `seeded-bug-stale-epoch` | every second leadership's coordinator is told its predecessor's epoch | two leaderships, however they end |

use std::time::Duration;

/// How long a tree outlives its deadline with `seeded-bug-two-coordinators`: more than the longest session of a drill
/// (10 s) and a tick, so that the next coordinator has started; and an end, so that nothing is left over.
pub const SURVIVES: Duration = Duration::from_secs(20);

/// The deadline does not end the tree, but lets the lock go.
pub const fn lock_goes_before_the_tree() -> bool {
    cfg!(feature = "seeded-bug-two-coordinators")
}

/// What the coordinator is told of its epoch.
pub const fn told(epoch: u64) -> u64 {
    if cfg!(feature = "seeded-bug-stale-epoch") { epoch.saturating_sub(1) | 1 } else { epoch }
}

/// The names of the bugs in this build; `None` in a build that may be relied on.
pub const fn names() -> Option<&'static str> {
    match (cfg!(feature = "seeded-bug-two-coordinators"), cfg!(feature = "seeded-bug-stale-epoch")) {
        (false, false) => None,
        (true, false) => Some("seeded-bug-two-coordinators"),
        (false, true) => Some("seeded-bug-stale-epoch"),
        (true, true) => Some("seeded-bug-two-coordinators and seeded-bug-stale-epoch"),
    }
}

/// What `primacy --version` prints behind the name, and the API as `version`.
pub const fn version() -> &'static str {
    match names() {
        None => env!("CARGO_PKG_VERSION"),
        Some(_) => concat!(env!("CARGO_PKG_VERSION"), " WITH A SEEDED BUG: wrong on purpose, for drills only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_so_if_and_only_if_it_is_wrong_on_purpose() {
        let honest = !lock_goes_before_the_tree() && (1..9).all(|epoch| told(epoch) == epoch);
        assert_eq!(honest, names().is_none());
        assert_eq!(honest, version() == env!("CARGO_PKG_VERSION"));
    }
}
