//! What has changed between two looks at the cluster, and the latest of it in order. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::status::changes::{ControlNews, ControlView, MemberNews, News, TransitionNews};
use crate::status::{ClusterView, HistoryEntry, MemberView, NodeState};

/// So many are kept for who comes back; who has missed more is told the whole state.
const KEPT: usize = 512;

/// As many leaderships as the history has.
const LEADERSHIPS: usize = 100;

/// Events, numbered from 1 on.
#[derive(Debug, Default)]
pub struct Journal {
    control: ControlView,
    members: BTreeMap<String, MemberView>,
    history: BTreeMap<u64, HistoryEntry>,
    kept: VecDeque<(u64, News)>,
    newest: u64,
}

impl Journal {
    /// Takes in one look.
    pub fn look(&mut self, cluster: &ClusterView, history: &[HistoryEntry], seen_at: &str) {
        let seen_at = || seen_at.to_owned();
        for entry in history.iter().rev() {
            if self.history.get(&entry.epoch) != Some(entry) {
                self.history.insert(entry.epoch, entry.clone());
                self.note(News::Transition(TransitionNews { entry: entry.clone(), seen_at: seen_at() }));
            }
        }
        while self.history.len() > LEADERSHIPS {
            self.history.pop_first();
        }
        let here = |node: &str| cluster.members.iter().any(|member| member.row.node == node);
        let forgotten: Vec<String> = self.members.keys().filter(|node| !here(node)).cloned().collect();
        for node in forgotten {
            let Some(mut member) = self.members.remove(&node) else { continue };
            member.row.state = NodeState::Inactive;
            self.note(News::Member(MemberNews { member, forgotten: true, seen_at: seen_at() }));
        }
        for member in &cluster.members {
            // Ages change always.
            let known = self.members.insert(member.row.node.clone(), member.clone());
            if known.is_none_or(|known| known.row != member.row) {
                self.note(News::Member(MemberNews { member: member.clone(), forgotten: false, seen_at: seen_at() }));
            }
        }
        let control = ControlView::of(cluster);
        if self.control != control {
            self.control = control.clone();
            self.note(News::Control(ControlNews { control, full_state: false, seen_at: seen_at() }));
        }
    }

    fn note(&mut self, news: News) {
        self.newest += 1;
        self.kept.push_back((self.newest, news));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// The number of the latest event.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// What came after the event of this number; `None` where that is not known any more, or never was.
    pub fn after(&self, number: u64) -> Option<impl Iterator<Item = &(u64, News)>> {
        let oldest = self.kept.front().map_or(self.newest + 1, |(number, _)| *number);
        let known = number <= self.newest && number + 1 >= oldest;
        known.then(|| self.kept.iter().filter(move |(kept, _)| *kept > number))
    }

    /// All that is known, who leads first.
    pub fn whole(&self, seen_at: &str) -> Vec<News> {
        let seen_at = || seen_at.to_owned();
        let control = ControlNews { control: self.control.clone(), full_state: true, seen_at: seen_at() };
        let members = self.members.values().cloned();
        let members = members.map(|member| News::Member(MemberNews { member, forgotten: false, seen_at: seen_at() }));
        let history = self.history.values().cloned();
        let history = history.map(|entry| News::Transition(TransitionNews { entry, seen_at: seen_at() }));
        std::iter::once(News::Control(control)).chain(members).chain(history).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{EndCause, MemberRow, Role, StatusWord};

    fn member(node: &str, reason: &str, age: u64) -> MemberView {
        let row = MemberRow {
            node: node.into(),
            role: Role::Standby,
            state: NodeState::Active,
            status: StatusWord::Standby,
            epoch: None,
            since: String::new(),
            ready: false,
            api: String::new(),
            endpoints: BTreeMap::new(),
            priority: 100,
            tags: BTreeMap::new(),
            version: String::new(),
            eligible: true,
            always_on: false,
            reason: reason.into(),
        };
        MemberView { row, last_contact_ms: Some(age) }
    }

    fn view(members: Vec<MemberView>) -> ClusterView {
        ClusterView { cluster: "c".into(), members, ..ClusterView::default() }
    }

    fn names(journal: &Journal, after: u64) -> Vec<String> {
        let told = |news: &News| match news {
            News::Control(it) => format!("control paused={}", it.control.paused),
            News::Member(it) if it.forgotten => format!("{} forgotten", it.member.row.node),
            News::Member(it) => format!("{} {}", it.member.row.node, it.member.row.reason),
            News::Transition(it) => format!("{} {:?}", it.entry.epoch, it.entry.gap_ms),
        };
        journal.after(after).unwrap().map(|(_, news)| told(news)).collect()
    }

    #[test]
    fn what_has_changed_is_an_event_and_an_age_is_no_change() {
        let mut journal = Journal::default();
        journal.look(&view(vec![member("a", "well", 1), member("b", "well", 1)]), &[], "t");
        assert_eq!(names(&journal, 0), ["a well", "b well", "control paused=false"]);
        let seen = journal.newest();
        journal.look(&view(vec![member("a", "well", 2), member("b", "well", 900)]), &[], "t");
        assert_eq!(journal.newest(), seen);
        let mut paused = view(vec![member("a", "ill", 2)]);
        paused.paused = true;
        journal.look(&paused, &[], "t");
        assert_eq!(names(&journal, seen), ["b forgotten", "a ill", "control paused=true"]);
    }

    #[test]
    fn a_leadership_is_told_of_when_it_begins_and_whenever_more_is_known_of_it() {
        let mut journal = Journal::default();
        let begun = |epoch| HistoryEntry::begun(epoch, "a".into(), String::new());
        journal.look(&view(vec![]), &[begun(2), begun(1)], "t");
        assert_eq!(names(&journal, 0), ["1 None", "2 None", "control paused=false"]);
        let seen = journal.newest();
        let ended = HistoryEntry { cause: Some(EndCause::HostLost), ..begun(2) };
        let gap = HistoryEntry { gap_ms: Some(7), ..begun(3) };
        journal.look(&view(vec![]), &[gap.clone(), ended.clone(), begun(1)], "t");
        assert_eq!(names(&journal, seen), ["2 None", "3 Some(7)"]);
        let seen = journal.newest();
        journal.look(&view(vec![]), &[], "t");
        journal.look(&view(vec![]), &[gap, ended], "t");
        assert_eq!(journal.newest(), seen, "a history that cannot be read is no news");
    }

    #[test]
    fn who_has_missed_too_much_or_knows_a_later_event_cannot_go_on() {
        let mut journal = Journal::default();
        for number in 0..KEPT + 10 {
            journal.look(&view(vec![member("a", &number.to_string(), 1)]), &[], "t");
        }
        let newest = journal.newest();
        assert!(journal.after(0).is_none() && journal.after(newest + 1).is_none());
        assert_eq!(names(&journal, newest), [""; 0]);
        assert_eq!(names(&journal, newest - 1).len(), 1);
        let oldest = newest - KEPT as u64;
        assert_eq!(names(&journal, oldest).len(), KEPT);
        assert!(journal.after(oldest - 1).is_none());
        let whole: Vec<_> = journal.whole("t").iter().map(News::name).collect();
        assert_eq!(whole, ["control", "member"]);
    }
}
