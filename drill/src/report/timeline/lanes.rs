//! What goes into which lane, for the whole run.

use super::bars::Bar;
use crate::judge::{Case, Lack};
use crate::report::Judged;
use crate::report::words::duration;

pub(super) struct Lanes {
    /// By node, in the order of their names: roles, and coordinators' lives.
    pub nodes: Vec<(String, Vec<Bar>, Vec<Bar>)>,
    pub lifeless: Vec<Bar>,
    pub inactive: Vec<Bar>,
    pub failing: Vec<Bar>,
}

pub(super) fn of(run: &Judged<'_>) -> Lanes {
    let case = &run.case;
    let mut names: Vec<&str> = case.run.map_or(&[][..], |run| &run.nodes).iter().map(String::as_str).collect();
    names.extend(case.lives.iter().map(|life| life.node.as_str()));
    names.sort_unstable();
    names.dedup();
    let nodes = names.iter().map(|node| ((*node).to_owned(), roles(case, node), lives(case, node))).collect();
    let lacking = |lack: Lack, class: &'static str, what: &str| {
        let gaps = run.verdict.gaps.iter().filter(|gap| gap.lack == lack);
        let bar = |gap: &crate::judge::Gap| {
            let because = match (gap.episode.map(|index| &case.episodes[index].kind), gap.unexplained.is_empty()) {
                (Some(kind), true) => format!(" ({kind})"),
                (None, true) => String::new(),
                (_, false) => " (not explained)".to_owned(),
            };
            let title = format!("{what} for {} from {}{because}", duration(gap.ms()), case.seconds(gap.begin));
            Bar::new(gap.begin, gap.end, class, title)
        };
        gaps.map(bar).collect()
    };
    Lanes {
        nodes,
        lifeless: lacking(Lack::Coordinator, "lifeless", "no coordinator"),
        inactive: lacking(Lack::Active, "inactive", "nobody active"),
        failing: failing(case),
    }
}

fn lives(case: &Case<'_>, node: &str) -> Vec<Bar> {
    let lives = case.lives.iter().filter(|life| life.node == node);
    lives
        .map(|life| {
            let title = format!("{}: {} – {}", life.name(), case.seconds(life.first), case.seconds(life.last));
            let label = Some((format!("epoch {}", life.epoch), life.epoch.to_string()));
            Bar { label, ..Bar::new(life.first, life.last, "life", title) }
        })
        .collect()
}

fn roles(case: &Case<'_>, node: &str) -> Vec<Bar> {
    let sights: Vec<_> = case.sights.iter().filter(|sight| sight.node == node).collect();
    let mut bars: Vec<Bar> = Vec::new();
    for (index, sight) in sights.iter().enumerate() {
        let class = match (sight.reachable, sight.role) {
            (false, _) => "gone",
            (true, "active") if sight.active() => "active",
            (true, "promoting") => "rising",
            (true, "active" | "demoting" | "fencing") => "falling",
            // A standby is what the empty lane means.
            (true, _) => continue,
        };
        let to = sights.get(index + 1).map_or(case.end, |next| next.at).max(sight.at);
        match bars.last_mut().filter(|last| last.class == class && last.to == sight.at) {
            Some(last) => last.to = to,
            None => {
                let state = if sight.reachable { sight.status } else { "no answer" };
                bars.push(Bar::new(sight.at, to, class, format!("{node}: {state} from {}", case.seconds(sight.at))));
            }
        }
    }
    bars
}

/// When any client failed, all clients in one lane.
fn failing(case: &Case<'_>) -> Vec<Bar> {
    let failed = case.ops.iter().filter(|op| op.result != crate::history::Outcome::Ok).map(|op| (op.begin, op.end));
    let mut failed: Vec<(u64, u64)> =
        failed.chain(case.outages.iter().map(|outage| (outage.begin, outage.end))).collect();
    failed.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in failed {
        match merged.last_mut().filter(|(_, last)| begin <= *last) {
            Some((_, last)) => *last = end.max(*last),
            None => merged.push((begin, end)),
        }
    }
    let bar = |(begin, end): (u64, u64)| {
        let title = format!("clients fail for {} from {}", duration((end - begin) as f64 / 1e6), case.seconds(begin));
        Bar::new(begin, end, "failing", title)
    };
    merged.into_iter().map(bar).collect()
}
