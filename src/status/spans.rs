//! Where the time of a fail-over went: from the former active's last sign of life until a coordinator was ready again.
//!
//! Each span lies between two marks that recordings have of it. Within one boot they are exact, by the boot clock; between two
//! hosts they are as good as the hosts' wall clocks, and say so. A mark that nobody has recorded leaves its spans out: they are
//! never guessed.

use serde::{Deserialize, Serialize};

use super::timeline::{Mark, Step};

/// A part of a fail-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// From what ended it until its node knew that it was to end.
    Notice,
    /// Until nothing of the coordinator and its commands lived.
    Kill,
    /// Until all was written back, the end noted and the lock closed.
    Record,
    /// Until the next one had the lock: the election's end is in it.
    Lock,
    /// Until it had the epoch, and its record was written; fencing is in it.
    Claim,
    /// Until its coordinator was executed; before_start is in it.
    Exec,
    /// Until that was ready.
    Ready,
}

/// From which mark on, until which one.
const PARTS: [(Part, Mark, Mark); 7] = [
    (Part::Notice, Mark::Cause, Mark::Ending),
    (Part::Kill, Mark::Ending, Mark::Dead),
    (Part::Record, Mark::Dead, Mark::Closed),
    (Part::Lock, Mark::Closed, Mark::Locked),
    (Part::Claim, Mark::Locked, Mark::Claimed),
    (Part::Exec, Mark::Claimed, Mark::Started),
    (Part::Ready, Mark::Started, Mark::Ready),
];

impl Part {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Kill => "kill",
            Self::Record => "record",
            Self::Lock => "lock",
            Self::Claim => "claim",
            Self::Exec => "exec",
            Self::Ready => "ready",
        }
    }
}

/// How long a part took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub part: Part,
    /// Whose node it was waited for.
    pub node: String,
    pub ms: f64,
    /// By one boot clock; else by two hosts' wall clocks.
    pub exact: bool,
}

/// The spans of a fail-over from `former`, if anybody led before, to `next`. `steps`: all that was recorded, in order.
pub fn of(steps: &[Step], former: Option<&str>, next: &str) -> Vec<Span> {
    let marked = |node: Option<&str>, mark: Mark, until: usize| {
        steps[..until].iter().rposition(|step| Some(step.node.as_str()) == node && step.mark == Some(mark))
    };
    // Backwards, each the last of its kind before the one after it: an attempt that failed has left the same marks before.
    let mut found = [None; 8];
    let mut until = steps.len();
    for (slot, mark) in [Mark::Ready, Mark::Started, Mark::Claimed, Mark::Locked].into_iter().enumerate() {
        if let Some(at) = marked(Some(next), mark, until) {
            found[7 - slot] = Some(at);
            until = at;
        }
    }
    for (slot, mark) in [Mark::Closed, Mark::Dead, Mark::Ending, Mark::Cause].into_iter().enumerate() {
        if let Some(at) = marked(former, mark, until) {
            found[3 - slot] = Some(at);
            until = at;
        }
    }
    // Who waits for the lock may have it before the guardian that let go of it has said so: then that is when it was let go of.
    if found[3].is_none() && found[2].is_some() {
        found[3] = found[4];
    }
    let between = |(slot, (part, _, _)): (usize, &(Part, Mark, Mark))| {
        let (from, to) = (&steps[found[slot]?], &steps[found[slot + 1]?]);
        let exact = from.boot == to.boot;
        let nanos = if exact {
            to.boot_ns.saturating_sub(from.boot_ns)
        } else {
            u64::try_from(to.at.duration_since(from.at).ok()?.as_nanos()).ok()?
        };
        let node = if *part == Part::Record { from.node.clone() } else { to.node.clone() };
        Some(Span { part: *part, node, ms: nanos as f64 / 1e6, exact })
    };
    PARTS.iter().enumerate().filter_map(between).collect()
}

/// As people read it, with the sum.
pub fn render(spans: &[Span]) -> String {
    let mut text = String::new();
    let width = spans.iter().map(|span| span.node.len()).max().unwrap_or(0);
    for Span { part, node, ms, exact } in spans {
        let doubt = if *exact { ' ' } else { '~' };
        text.push_str(&format!("  {:6}  {node:width$} {doubt}{ms:>10.1} ms\n", part.as_str()));
    }
    if !spans.is_empty() {
        let sum: f64 = spans.iter().map(|span| span.ms).sum();
        let doubt = if spans.iter().all(|span| span.exact) { ' ' } else { '~' };
        text.push_str(&format!("  {:6}  {:width$} {doubt}{sum:>10.1} ms\n", "sum", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::timeline::{Process, from_nanos};

    fn step(ms: u64, boot: &str, node: &str, mark: Mark) -> Step {
        Step {
            at: from_nanos(1_767_323_045_000_000_000 + ms * 1_000_000),
            boot_ns: ms * 1_000_000,
            boot: boot.to_owned(),
            node: node.to_owned(),
            process: Process::Guardian,
            what: String::new(),
            mark: Some(mark),
            unordered: false,
        }
    }

    /// `a` ends, `b` begins.
    fn failover(boot: &str) -> Vec<Step> {
        let steps = [
            (0, "a", Mark::Cause),
            (1, "a", Mark::Ending),
            (9, "a", Mark::Dead),
            (11, "a", Mark::Closed),
            (14, "b", Mark::Locked),
            (20, "b", Mark::Claimed),
            (23, "b", Mark::Started),
            (23, "b", Mark::Ready),
        ];
        steps.map(|(ms, node, mark)| step(ms, if node == "a" { "boot" } else { boot }, node, mark)).into()
    }

    #[test]
    fn a_lock_that_is_had_before_its_closing_is_told_costs_no_time_of_its_own_and_none_is_lost() {
        let mut steps = failover("boot");
        (steps[3], steps[4]) = (step(11, "boot", "b", Mark::Locked), step(12, "boot", "a", Mark::Closed));
        let spans = of(&steps, Some("a"), "b");
        let whole = |part: Part| spans.iter().find(|span| span.part == part).map(|span| (span.node.as_str(), span.ms));
        assert_eq!((whole(Part::Record), whole(Part::Lock)), (Some(("a", 2.0)), Some(("b", 0.0))));
        assert!((spans.iter().map(|span| span.ms).sum::<f64>() - 23.0).abs() < 1e-9);
    }

    fn told(spans: &[Span]) -> Vec<(&'static str, f64, bool)> {
        spans.iter().map(|span| (span.part.as_str(), span.ms, span.exact)).collect()
    }

    #[test]
    fn every_millisecond_is_in_one_span() {
        let spans = of(&failover("boot"), Some("a"), "b");
        let expected = [
            ("notice", 1.0, true),
            ("kill", 8.0, true),
            ("record", 2.0, true),
            ("lock", 3.0, true),
            ("claim", 6.0, true),
            ("exec", 3.0, true),
            ("ready", 0.0, true),
        ];
        assert_eq!(told(&spans), expected);
        let text = render(&spans);
        let last: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["sum", "23.0", "ms"], "{text}");
    }

    #[test]
    fn between_two_hosts_the_span_says_that_wall_clocks_tell_it() {
        let spans = of(&failover("another"), Some("a"), "b");
        assert_eq!(told(&spans)[3], ("lock", 3.0, false));
        let text = render(&spans);
        let lock: Vec<_> = text.lines().nth(3).unwrap().split_whitespace().collect();
        assert_eq!(lock, ["lock", "b", "~", "3.0", "ms"], "{text}");
    }

    #[test]
    fn what_nobody_has_recorded_is_left_out_and_attempts_that_failed_do_not_count() {
        let mut steps = failover("boot");
        steps.insert(0, step(0, "boot", "b", Mark::Locked));
        steps.insert(0, step(0, "boot", "a", Mark::Dead));
        assert_eq!(of(&steps, Some("a"), "b"), of(&failover("boot"), Some("a"), "b"));
        let silent: Vec<Step> = steps.into_iter().filter(|step| step.node == "b").collect();
        let parts: Vec<_> = of(&silent, Some("a"), "b").iter().map(|span| span.part).collect();
        assert_eq!(parts, [Part::Claim, Part::Exec, Part::Ready]);
        assert!(of(&[], None, "b").is_empty());
    }
}
