//! What ZooKeeper is trusted with: epochs grow, and nobody is let in before the session of whoever led can have ended.

use crate::verify::replay::Leadership;
use crate::verify::{Contradiction, Verdict};

use super::volume::Lives;

const GROW: &str = "epochs grow with time";
const BOUND: &str = "nobody is elected before the session of whoever led can have ended";

/// Leaderships of one boot of one host, of one cluster, in the order of their epochs.
pub fn check(leaderships: &[Leadership], lives: &Lives, verdict: &mut Verdict) {
    let mut sorted: Vec<&Leadership> = leaderships.iter().collect();
    sorted.sort_by_key(|it| (&it.boot, &it.cluster, it.epoch));
    for pair in sorted.windows(2) {
        let [predecessor, next] = pair else { continue };
        if (&predecessor.boot, &predecessor.cluster) != (&next.boot, &next.cluster) {
            continue;
        }
        let contradiction = |rule, found| Contradiction { rule, found, path: next.path.clone(), line: next.line };
        if next.since < predecessor.since || next.epoch == predecessor.epoch {
            let found = format!(
                "{} had epoch {} at {}, and {} epoch {} at {}",
                predecessor.node, predecessor.epoch, predecessor.since, next.node, next.epoch, next.since
            );
            verdict.contradictions.push(contradiction(GROW, found));
        }
        let (Some(elected), Some(bound)) = (next.elected, predecessor.bound) else { continue };
        let key = (predecessor.boot.clone(), predecessor.cluster.clone(), predecessor.node.clone());
        let by_will = lives
            .wills
            .get(&key)
            .is_some_and(|wills| wills.iter().any(|at| *at >= predecessor.since && *at <= elected.at));
        let given_up = predecessor.given_up || by_will || elected.after_clean_end;
        if !given_up && predecessor.epoch + 1 == next.epoch && elected.at < bound {
            let found = format!(
                "{} was elected at {}; the session of {} could not end before {bound}",
                next.node, elected.at, predecessor.node
            );
            verdict.contradictions.push(contradiction(BOUND, found));
        }
    }
}
