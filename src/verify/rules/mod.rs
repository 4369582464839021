//! What the model assumes of guardian, ZooKeeper and volume, as rules that recordings of the real ones are held against.

mod election;
mod guardian;
mod resignation;
mod volume;

#[cfg(test)]
mod tests;

use super::Verdict;
use super::recordings::Recordings;
use super::replay::Leadership;

/// Holds everything against everything.
pub fn check(recordings: &Recordings, leaderships: &[Leadership], verdict: &mut Verdict) {
    verdict.counts.leaderships = leaderships.len();
    for segment in &recordings.guardians {
        guardian::check(segment, verdict);
    }
    for supervisor in &recordings.supervisors {
        resignation::check(supervisor, verdict);
    }
    let lives = volume::lives(recordings);
    volume::check(&lives, verdict);
    election::check(leaderships, &lives, verdict);
}
