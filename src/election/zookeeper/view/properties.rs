//! What must hold of the view, whatever is read in whatever order.

use std::collections::BTreeSet;

use super::*;
use crate::status::NodeState;
use crate::zookeeper::paths::{Place, place};

/// Lines of `PART NAME=CONTENT` as what was read of the cluster, one after the other.
pub fn view(data: &[u8]) {
    let mut state = State::default();
    for line in data.split(|byte| *byte == b'\n') {
        let (place, content) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], Some(line[at + 1..].to_vec())),
            None => (line, None),
        };
        let data = || Content::Data(content.clone().map(|data| (data, Written::default())));
        let place = String::from_utf8_lossy(place);
        let (part, name) = place.split_at_checked(1).unwrap_or((&place, ""));
        let name = name.to_owned();
        let names = || {
            let text = String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned();
            text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let (part, content) = match part {
            "M" => (Part::Members, Content::Names(names())),
            "m" => (Part::Member(name), data()),
            "a" => (Part::Active, data()),
            "e" => (Part::Epoch, data()),
            "c" => (Part::Control, data()),
            "S" => (Part::States, Content::Names(names())),
            "s" => (Part::State(name), data()),
            "K" => (Part::Known, Content::Names(names())),
            "k" => (Part::Absent(name), data()),
            "H" => (Part::History, Content::Entries(names().into_iter().map(|name| (name, None)).collect())),
            _ => (Part::Entry(name), data()),
        };
        for wanted in state.take(&part, content) {
            assert!(matches!(wanted, Part::Member(_) | Part::Absent(_) | Part::State(_) | Part::Entry(_)));
            assert!(state.follows(&wanted));
        }
        holds(&state);
    }
}

fn holds(state: &State) {
    let cluster = state.cluster("c");
    let nodes: BTreeSet<&str> = cluster.members.iter().map(|member| member.row.node.as_str()).collect();
    assert_eq!(nodes.len(), cluster.members.len(), "two rows for one node");
    assert!(cluster.absent.iter().all(|row| row.state == NodeState::Inactive));
    assert!(state.absent.keys().all(|name| !state.members.contains_key(name)), "here and not here");
    if let Some(active) = &cluster.active {
        let member =
            cluster.members.iter().find(|member| member.row.node == active.node).expect("the active one is a member");
        assert_eq!((member.row.role, member.row.epoch), (crate::status::Role::Active, Some(active.epoch)));
    }
    assert!(state.seen().members.iter().all(|(name, member)| *name == member.row.node));
    let epochs: Vec<u64> = state.entries().iter().map(|entry| entry.epoch).collect();
    assert!(epochs.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once: {epochs:?}");
}

/// Lines as the names of a queue. Whatever strangers put into it: one is first, and everybody else waits for another.
pub fn queue(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let queue: Vec<String> = text.lines().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
    let mut firsts = 0;
    for name in &queue {
        let mut at = name.clone();
        // As long as the queue is: no circle.
        for step in 0..=queue.len() {
            assert!(step < queue.len(), "{name} waits in a circle");
            match place(queue.clone(), &at) {
                Place::First => break,
                Place::Behind(before) => at = before,
                Place::Absent => panic!("{at} is in the queue"),
            }
        }
        firsts += usize::from(place(queue.clone(), name) == Place::First);
    }
    assert_eq!(firsts, usize::from(!queue.is_empty()));
    assert_eq!(place(queue, "a name that\nno line has"), Place::Absent);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_leave_the_view_consistent(
            lines in prop::collection::vec(("[MmaecHh]", "[a-c]?", prop::option::of(".{0,30}")), 0..20),
        ) {
            let lines = lines.into_iter().map(|(part, name, content)| match content {
                Some(content) => format!("{part}{name}={content}"),
                None => part + &name,
            });
            view(lines.collect::<Vec<_>>().join("\n").as_bytes());
        }

        #[test]
        fn a_queue_with_strangers_has_one_first_and_no_circle(
            names in prop::collection::vec("(_c_[a-f0-9]{3}-)?(latch-)?[0-9a-z-]{0,4}", 0..12),
        ) {
            queue(names.join("\n").as_bytes());
        }
    }

    #[test]
    fn epochs_of_eleven_digits_are_newer_than_those_of_ten() {
        let line = |epoch: u64| format!("h{epoch:010}={{\"epoch\":{epoch},\"node\":\"a\",\"from\":\"f\"}}\n");
        view(format!("H=9999999999 10000000000\n{}{}", line(9_999_999_999), line(10_000_000_000)).as_bytes());
    }
}
