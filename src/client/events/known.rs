//! What has been told of a cluster so far, which of what is told is news, and how it is written for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::client::render::printable;
use crate::moment::in_words;
use crate::status::changes::{ControlView, MemberNews, News};
use crate::status::{ActionView, EndCause, HistoryEntry, MemberView, NodeState};

use super::Form;

#[derive(Debug, Default)]
pub struct Known {
    control: Option<ControlView>,
    /// As it was before the last event, for what has changed.
    before: Option<ControlView>,
    members: BTreeMap<String, MemberView>,
    history: BTreeMap<u64, HistoryEntry>,
    /// The members that a whole state has named so far; `None` where none is being told.
    whole: Option<BTreeSet<String>>,
    /// The first whole state has been told.
    begun: bool,
}

impl Known {
    pub const fn is_empty(&self) -> bool {
        self.control.is_none()
    }

    /// Where the members that are here are asked.
    pub fn apis(&self) -> impl Iterator<Item = String> {
        let here = self.members.values().filter(|member| member.row.state != NodeState::Inactive);
        here.map(|member| member.row.api.clone())
    }

    /// Takes in an event; gives those that are news. `last`: it has an id, which ends a whole state.
    pub fn take(&mut self, news: News, last: bool) -> Vec<News> {
        let mut told = Vec::new();
        match news {
            News::Control(mut news) => {
                if news.full_state {
                    self.whole = Some(BTreeSet::new());
                }
                news.full_state &= !self.begun;
                self.before = self.control.replace(news.control.clone());
                if self.before.as_ref() != Some(&news.control) {
                    told.push(News::Control(news));
                }
            }
            News::Member(news) => {
                let node = news.member.row.node.clone();
                if let Some(whole) = &mut self.whole {
                    whole.insert(node.clone());
                }
                if news.forgotten {
                    self.members.remove(&node);
                    told.push(News::Member(news));
                } else {
                    let before = self.members.insert(node, news.member.clone());
                    if before.is_none_or(|before| before.row != news.member.row) {
                        told.push(News::Member(news));
                    }
                }
            }
            News::Transition(news) => {
                let before = self.history.insert(news.entry.epoch, news.entry.clone());
                // What was before anybody watched is `primacy history`'s.
                if self.begun && before.as_ref() != Some(&news.entry) {
                    told.push(News::Transition(news));
                }
            }
        }
        if last {
            self.begun = true;
            if let Some(whole) = self.whole.take() {
                told.extend(self.without(&whole));
            }
        }
        told
    }

    /// Those that a whole state does not name any more.
    fn without(&mut self, whole: &BTreeSet<String>) -> Vec<News> {
        let gone: Vec<String> = self.members.keys().filter(|node| !whole.contains(*node)).cloned().collect();
        let gone = gone.into_iter().filter_map(|node| self.members.remove(&node));
        let forgotten = |member| MemberNews { member, forgotten: true, seen_at: crate::clock::timestamp() };
        gone.map(|member| News::Member(forgotten(member))).collect()
    }

    /// The lines to print, with their ends; of a `control` nothing where it says nothing to a person.
    pub fn line(&self, news: &News, form: Form) -> String {
        if form == Form::Json {
            let data: serde_json::Value = serde_json::from_str(&news.json()).unwrap_or_default();
            return json!({"event": news.name(), "data": data}).to_string() + "\n";
        }
        let (at, sentences) = match news {
            News::Control(news) => (&news.seen_at, control(self.before.as_ref(), &news.control)),
            News::Member(news) => (&news.seen_at, vec![member(news)]),
            News::Transition(news) => (&news.seen_at, vec![leadership(&news.entry)]),
        };
        sentences.iter().map(|sentence| format!("{at}  {}\n", printable(sentence, false))).collect()
    }
}

fn member(MemberNews { member: MemberView { row, .. }, forgotten, .. }: &MemberNews) -> String {
    let node = &row.node;
    if *forgotten {
        return format!("{node} is forgotten");
    }
    if row.state == NodeState::Inactive {
        return format!("{node} is gone");
    }
    format!("{node} is {} ({}): {}", row.role.as_str(), row.status.as_str(), row.reason)
}

fn leadership(entry: &HistoryEntry) -> String {
    let (epoch, node) = (entry.epoch, &entry.node);
    if entry.to.is_none() {
        let gap =
            entry.gap_ms.map(|gap| format!(", after {} without a coordinator", in_words(Duration::from_millis(gap))));
        return format!("epoch {epoch} is {node}'s{}", gap.unwrap_or_default());
    }
    let cause = entry.cause.as_ref().map_or_else(|| "it is not known why".to_owned(), EndCause::in_words);
    let by = entry.by.as_ref().map(|by| format!(", asked for by {by}")).unwrap_or_default();
    let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("epoch {epoch} of {node} has ended: {cause}{by}{reason}")
}

/// What has changed, a sentence each.
fn control(before: Option<&ControlView>, control: &ControlView) -> Vec<String> {
    let mut told = Vec::new();
    if before.is_none_or(|before| before.active != control.active) {
        told.push(match &control.active {
            Some(active) => format!("{} leads cluster {} (epoch {})", active.node, control.cluster, active.epoch),
            None => format!("nobody is known to lead cluster {}", control.cluster),
        });
    }
    if before.is_some_and(|before| before.paused) && !control.paused {
        told.push("elections go on: the pause is over".to_owned());
    }
    let failed = |control: &ControlView| {
        control.last_switchover.as_ref().and_then(|last| Some(last.get("failed")?.as_str()?.to_owned()))
    };
    if before.is_some_and(|before| before.switchover.is_some()) && control.switchover.is_none() {
        told.push(match failed(control) {
            Some(why) => format!("the switchover is over, and nobody was stopped for it: {why}"),
            None => "the switchover is over".to_owned(),
        });
    }
    match &control.action {
        Some(action) if before.is_none_or(|before| before.action.as_ref() != Some(action)) => told.push(asked(action)),
        None if before.is_some_and(|before| before.action.is_some()) && told.is_empty() => {
            told.push("nothing that an operator asked for lasts any more".to_owned());
        }
        _ => {}
    }
    told
}

fn asked(action: &ActionView) -> String {
    let node = action.node.as_ref().map(|node| format!(" {node}")).unwrap_or_default();
    let until = action.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = action.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (kind, by) = (&action.kind, &action.by);
    format!("{kind}{node}{until}, asked for by {by}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::changes::{ControlNews, TransitionNews};
    use crate::status::{ActiveView, ClusterView};

    const AT: &str = "2026-01-02T03:04:05.678Z";

    fn news(view: &ClusterView, full_state: bool) -> News {
        News::Control(ControlNews { control: ControlView::of(view), full_state, seen_at: AT.into() })
    }

    fn led_by(node: &str, epoch: u64) -> ClusterView {
        let active = ActiveView { node: node.into(), api: String::new(), epoch, endpoints: BTreeMap::new() };
        ClusterView { cluster: "c".into(), active: Some(active), ..ClusterView::default() }
    }

    fn transition(epoch: u64) -> News {
        let entry = HistoryEntry::begun(epoch, "a".into(), AT.into());
        News::Transition(TransitionNews { entry, seen_at: AT.into() })
    }

    fn lines(known: &mut Known, news: News, last: bool) -> Vec<String> {
        let news = known.take(news, last);
        news.iter().map(|news| known.line(news, Form::Text)).collect()
    }

    #[test]
    fn of_another_member_s_whole_state_only_what_differs_is_news() {
        let mut known = Known::default();
        let first = lines(&mut known, news(&led_by("a", 7), true), false);
        assert_eq!(first, [format!("{AT}  a leads cluster c (epoch 7)\n")]);
        assert_eq!(lines(&mut known, transition(7), true), [""; 0], "it was before anybody watched");
        assert_eq!(lines(&mut known, news(&led_by("a", 7), true), false), [""; 0]);
        assert_eq!(lines(&mut known, transition(7), false), [""; 0]);
        assert_eq!(lines(&mut known, transition(8), true), [format!("{AT}  epoch 8 is a's\n")]);
        assert_eq!(
            lines(&mut known, news(&led_by("b", 8), false), true),
            [format!("{AT}  b leads cluster c (epoch 8)\n")]
        );
    }

    #[test]
    fn what_an_operator_asks_for_and_its_end_are_said() {
        let mut known = Known::default();
        let mut view = led_by("a", 7);
        lines(&mut known, news(&view, true), true);
        view.paused = true;
        view.action = Some(ActionView {
            kind: "pause".into(),
            node: None,
            by: "alice".into(),
            at: AT.into(),
            reason: Some("a new\nswitch".into()),
            until: None,
        });
        let asked = format!("{AT}  pause, asked for by alice: a new switch\n");
        assert_eq!(lines(&mut known, news(&view, false), true), [asked]);
        let over = format!("{AT}  elections go on: the pause is over\n");
        assert_eq!(lines(&mut known, news(&led_by("a", 7), false), true), [over]);
    }
}
