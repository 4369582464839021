//! Single changes to an innocent history, each of which makes it guilty of one thing.

#![expect(clippy::ptr_arg, reason = "all changes have one type, and some remove lines")]

use drill::history::{Entry, JournalRun, Line, Metadata, Outcome};
use drill::judge::Offence;
use serde_json::Value;

use crate::forge::{MS, SECOND};

/// Changes the history in one place, chosen by `pick`. False: there is no such place in it.
pub type Change = fn(&mut Vec<Line>, usize) -> bool;

pub const ALL: [(&str, Offence, Change); 31] = [
    ("a coordinator starts before the former one has ended", Offence::TwoAlive, start_early),
    ("a coordinator lives on", Offence::TwoAlive, live_on),
    ("a coordinator writes on, though its ticks have ended", Offence::TwoAlive, write_on),
    ("a process shares another one's id and lives with it", Offence::TwoAlive, share_an_id),
    ("a former coordinator's record comes late", Offence::StaleWrite, write_late),
    ("an acknowledged operation is gone", Offence::LostWrite, lose),
    ("a record is missing in the middle", Offence::LostWrite, lose_a_record),
    ("an operation is there twice", Offence::DoubledWrite, double),
    ("a number comes back", Offence::DoubledWrite, repeat_a_record),
    ("an operation that was refused is there", Offence::PhantomWrite, apply_the_refused),
    ("operations are there that nobody asked for", Offence::PhantomWrite, apply_the_unasked),
    ("an early operation stands at the end", Offence::ReorderedWrite, reorder),
    ("the metadata is damaged", Offence::Corrupt, damage),
    ("an epoch has no leadership", Offence::EpochOfNobody, drop_leadership),
    ("an epoch is somebody else's", Offence::EpochOfNobody, give_leadership_away),
    ("a life was not recorded", Offence::EpochOfNobody, drop_life),
    ("two leaderships have one epoch", Offence::ContradictedHistory, twin_leadership),
    ("a leadership ended before its coordinator", Offence::ContradictedHistory, end_leadership_early),
    ("a leadership still lasts, though others followed", Offence::ContradictedHistory, let_leadership_last),
    ("a supervisor decided otherwise than its code", Offence::ContradictedRecording, contradict_a_recording),
    ("nobody recovers", Offence::NotRecovered, drop_recovery),
    ("a coordinator ends long before the fault", Offence::UnexplainedGap, end_early),
    ("the active one is not ready for a while", Offence::UnexplainedGap, be_unready),
    ("a leadership ends without a cause", Offence::UncausedFailover, drop_cause),
    ("something is left behind", Offence::Leftover, leave_something),
    ("nobody looked at the metadata", Offence::Vacuous, drop_metadata),
    ("nobody held the recordings against anything", Offence::Vacuous, drop_recordings),
    ("a fault never ended", Offence::Vacuous, drop_fault_end),
    ("a fault never began", Offence::Vacuous, drop_fault_begin),
    ("nothing was healed", Offence::Vacuous, drop_healed),
    ("two operations have one id", Offence::Vacuous, reuse_an_id),
];

// Places.

fn nth<T>(mut found: Vec<T>, pick: usize) -> Option<T> {
    if found.is_empty() { None } else { Some(found.swap_remove(pick % found.len())) }
}

fn places(lines: &[Line], wanted: impl Fn(&Entry) -> bool) -> Vec<usize> {
    let found = lines.iter().enumerate().filter(|(_, line)| wanted(&line.entry));
    found.map(|(index, _)| index).collect()
}

fn remove(lines: &mut Vec<Line>, pick: usize, wanted: impl Fn(&Entry) -> bool) -> bool {
    nth(places(lines, wanted), pick).map(|index| lines.remove(index)).is_some()
}

/// Indices of the coordinators' lines, in the order in which they began.
fn lives(lines: &[Line]) -> Vec<usize> {
    let mut found = places(lines, |entry| matches!(entry, Entry::Coordinator { .. }));
    found.sort_by_key(|index| times(&lines[*index]).0);
    found
}

/// One life and its successor.
fn neighbours(lines: &[Line], pick: usize) -> Option<(usize, usize)> {
    nth(lives(lines).windows(2).map(|pair| (pair[0], pair[1])).collect(), pick)
}

fn times(line: &Line) -> (u64, u64) {
    match &line.entry {
        Entry::Coordinator { first, last, .. } => (*first, *last),
        _ => unreachable!("no coordinator's line"),
    }
}

fn coordinator(line: &mut Line) -> (&mut u64, &mut u64) {
    match &mut line.entry {
        Entry::Coordinator { first, last, .. } => (first, last),
        _ => unreachable!("no coordinator's line"),
    }
}

fn metadata(lines: &mut [Line]) -> &mut Metadata {
    let metadata = lines.iter_mut().find_map(|line| match &mut line.entry {
        Entry::Metadata(metadata) => Some(metadata),
        _ => None,
    });
    metadata.expect("every forged history has it")
}

/// Indices of entries of `primacy history`; `followed`: only those that are not the last.
fn leaderships(lines: &[Line], followed: bool) -> Vec<usize> {
    let mut found = places(lines, |entry| matches!(entry, Entry::Leadership(_)));
    found.truncate(found.len() - usize::from(followed));
    found
}

fn leadership(line: &mut Line) -> &mut Value {
    match &mut line.entry {
        Entry::Leadership(value) => value,
        _ => unreachable!("no leadership's line"),
    }
}

fn acknowledged(lines: &[Line]) -> Vec<(String, usize)> {
    let found = lines.iter().enumerate().filter_map(|(index, line)| match &line.entry {
        Entry::Client { op, result: Outcome::Ok, .. } => Some((op.clone(), index)),
        _ => None,
    });
    found.collect()
}

// Changes.

fn start_early(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((former, next)) = neighbours(lines, pick) else { return false };
    let (begin, end) = times(&lines[former]);
    *coordinator(&mut lines[next]).0 = end - (end - begin).min(50 * MS) / 2;
    true
}

fn live_on(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((former, next)) = neighbours(lines, pick) else { return false };
    // Their very last tick at the other one's first.
    let (begin, end) = times(&lines[next]);
    if begin - times(&lines[former]).1 > 2 * SECOND {
        return false;
    }
    *coordinator(&mut lines[former]).1 = begin + (end - begin).min(if pick.is_multiple_of(2) { 0 } else { 40 * MS });
    true
}

fn write_on(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((former, next)) = neighbours(lines, pick) else { return false };
    let (begin, last) = (times(&lines[next]).0, times(&lines[former]).1);
    let Entry::Coordinator { epoch, .. } = lines[former].entry else { return false };
    let Some(record) = metadata(lines).journal.iter_mut().find(|record| record.epoch == epoch) else { return false };
    record.end = begin + MS;
    begin - last < 2 * SECOND
}

fn share_an_id(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((former, next)) = neighbours(lines, pick) else { return false };
    let Entry::Coordinator { pid: shared, .. } = lines[former].entry.clone() else { return false };
    let Entry::Coordinator { pid, epoch, .. } = &mut lines[next].entry else { return false };
    *pid = shared;
    let epoch = *epoch;
    for record in metadata(lines).journal.iter_mut().filter(|record| record.epoch == epoch) {
        record.pid = shared;
    }
    live_on(lines, pick)
}

fn write_late(lines: &mut Vec<Line>, pick: usize) -> bool {
    let journal = &mut metadata(lines).journal;
    let Some(index) = nth((1..journal.len()).collect(), pick) else { return false };
    let former = &journal[index - 1];
    let late = JournalRun {
        first_sequence: former.last_sequence + 1,
        last_sequence: former.last_sequence + 1,
        begin: former.end,
        ..former.clone()
    };
    journal.insert(index + 1, late);
    true
}

fn lose(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((id, _)) = nth(acknowledged(lines), pick) else { return false };
    metadata(lines).applied.retain(|applied| *applied != id);
    true
}

fn lose_a_record(lines: &mut Vec<Line>, pick: usize) -> bool {
    split_a_record(lines, pick, |before| before + 2)
}

fn repeat_a_record(lines: &mut Vec<Line>, pick: usize) -> bool {
    split_a_record(lines, pick, |before| before)
}

fn split_a_record(lines: &mut [Line], pick: usize, go_on: fn(u64) -> u64) -> bool {
    let journal = &mut metadata(lines).journal;
    let long = (0..journal.len()).filter(|index| journal[*index].last_sequence > journal[*index].first_sequence + 2);
    let Some(index) = nth(long.collect(), pick) else { return false };
    let mut rest = journal[index].clone();
    journal[index].last_sequence = rest.first_sequence;
    rest.first_sequence = go_on(rest.first_sequence);
    journal.insert(index + 1, rest);
    true
}

fn double(lines: &mut Vec<Line>, pick: usize) -> bool {
    let applied = &mut metadata(lines).applied;
    let Some(id) = nth(applied.clone(), pick) else { return false };
    let place = pick * 7 % (applied.len() + 1);
    applied.insert(place, id);
    true
}

fn apply_the_refused(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((_, index)) = nth(acknowledged(lines).into_iter().skip(1).collect(), pick) else { return false };
    if let Entry::Client { result, .. } = &mut lines[index].entry {
        *result = Outcome::Refused;
    }
    true
}

fn apply_the_unasked(lines: &mut Vec<Line>, pick: usize) -> bool {
    let folded = lines.iter().map(|line| match line.entry {
        Entry::ClientOutage { failures, .. } => failures,
        _ => 0,
    });
    let folded: u64 = folded.sum();
    let applied = &mut metadata(lines).applied;
    let place = pick % (applied.len() + 1);
    applied.splice(place..place, (0..=folded).map(|number| format!("nobody-{number}")));
    true
}

fn reorder(lines: &mut Vec<Line>, pick: usize) -> bool {
    let ids: Vec<String> = acknowledged(lines).into_iter().map(|(id, _)| id).collect();
    // Not the last ones, behind which nothing stands.
    let Some(id) = nth(ids[..ids.len().saturating_sub(3)].to_vec(), pick) else { return false };
    let applied = &mut metadata(lines).applied;
    applied.retain(|other| *other != id);
    applied.push(id);
    true
}

fn damage(lines: &mut Vec<Line>, _pick: usize) -> bool {
    let output = "heap table \"operations\", block 3: checksum mismatch".to_owned();
    metadata(lines).amcheck = Some(drill::history::Amcheck { exit: 2, output });
    true
}

fn drop_leadership(lines: &mut Vec<Line>, pick: usize) -> bool {
    let found = leaderships(lines, false);
    if found.len() < 2 {
        return false;
    }
    nth(found, pick).map(|index| lines.remove(index)).is_some()
}

fn give_leadership_away(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some(index) = nth(leaderships(lines, false), pick) else { return false };
    leadership(&mut lines[index])["node"] = "node-x".into();
    true
}

fn drop_life(lines: &mut Vec<Line>, pick: usize) -> bool {
    let epochs: Vec<u64> = metadata(lines).journal.iter().map(|record| record.epoch).collect();
    let wrote = |entry: &Entry| matches!(entry, Entry::Coordinator { epoch, .. } if epochs.contains(epoch));
    // The last one's records may well end before the run does, which is an outage, too.
    let mut found = places(lines, wrote);
    found.pop();
    // Nor may the first one's begin after the cluster was ready.
    let found = found.split_off(found.len().min(1));
    let Some(Entry::Coordinator { epoch, first, last, .. }) = nth(found, pick).map(|index| lines.remove(index).entry)
    else {
        return false;
    };
    for record in metadata(lines).journal.iter_mut().filter(|record| record.epoch == epoch) {
        (record.begin, record.end) = (first, last);
    }
    true
}

fn twin_leadership(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some(index) = nth(leaderships(lines, false), pick) else { return false };
    let twin = lines[index].clone();
    lines.insert(index, twin);
    true
}

fn end_leadership_early(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some(index) = nth(leaderships(lines, true), pick) else { return false };
    let value = leadership(&mut lines[index]);
    let to = humantime::parse_rfc3339(value["to"].as_str().expect("it ended")).expect("as it was written");
    let early = to - std::time::Duration::from_secs(5);
    value["to"] = humantime::format_rfc3339_millis(early).to_string().into();
    true
}

fn let_leadership_last(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some(index) = nth(leaderships(lines, true), pick) else { return false };
    let value = leadership(&mut lines[index]);
    (value["to"], value["cause"]) = (Value::Null, Value::Null);
    true
}

fn drop_recovery(lines: &mut Vec<Line>, pick: usize) -> bool {
    remove(lines, pick, |entry| matches!(entry, Entry::Recovered { .. }))
}

fn end_early(lines: &mut Vec<Line>, pick: usize) -> bool {
    let early = 3 * SECOND;
    let excuses: Vec<(u64, u64)> = excuses(lines);
    let calm = |at: u64| excuses.iter().all(|(from, to)| at < *from || *to < at);
    let recovered = places(lines, |entry| matches!(entry, Entry::Recovered { .. }));
    let found = lives(lines).into_iter().filter(|index| {
        let (begin, end) = times(&lines[*index]);
        let seen = |recovered: &usize| end - early - SECOND < lines[*recovered].at && lines[*recovered].at < end;
        end - begin > early + SECOND && calm(end - early) && !recovered.iter().any(seen)
    });
    let mut found: Vec<usize> = found.collect();
    found.pop();
    let Some(index) = nth(found, pick) else { return false };
    let last = coordinator(&mut lines[index]).1;
    *last -= early;
    let (last, entry) = (*last, lines[index].entry.clone());
    let Entry::Coordinator { epoch, .. } = entry else { return false };
    for record in metadata(lines).journal.iter_mut().filter(|record| record.epoch == epoch) {
        (record.begin, record.end) = (record.begin.min(last), record.end.min(last));
    }
    true
}

fn be_unready(lines: &mut Vec<Line>, pick: usize) -> bool {
    let excuses = excuses(lines);
    let calm = |at: u64| excuses.iter().all(|(from, to)| at + SECOND < *from || *to + SECOND < at);
    let recovered = places(lines, |entry| matches!(entry, Entry::Recovered { .. }));
    let found: Vec<usize> = recovered.into_iter().filter(|index| calm(lines[*index].at + 12 * SECOND)).collect();
    let Some(index) = nth(found, pick) else { return false };
    let at = lines[index].at + 12 * SECOND;
    // Whoever is active then.
    let seen = lines.iter().filter(|line| line.at < at).filter_map(|line| match &line.entry {
        Entry::Role { node, role, epoch, .. } if role == "active" => Some((line.at, node.clone(), *epoch)),
        _ => None,
    });
    let Some((_, node, epoch)) = seen.max() else { return false };
    // While clients still asked.
    let asked = lines.iter().filter(|line| matches!(line.entry, Entry::Client { .. })).map(|line| line.at);
    let end = asked.max().unwrap_or(0);
    for (at, status) in [(at, "WAITING_FOR_LOCK"), (at + 80 * MS, "OK")] {
        let (node, role, status) = (node.clone(), "active".to_owned(), status.to_owned());
        lines.push(Line { at, entry: Entry::Role { node, role, status, epoch, reachable: true } });
    }
    at + SECOND < end
}

/// From each fault's begin to as long after its recovery as it may have an effect.
fn excuses(lines: &[Line]) -> Vec<(u64, u64)> {
    let begins = places(lines, |entry| matches!(entry, Entry::FaultBegin { .. }));
    let ends: Vec<u64> = places(lines, |entry| matches!(entry, Entry::Recovered { .. }))
        .into_iter()
        .map(|index| lines[index].at)
        .collect();
    let until = |at: u64| ends.iter().copied().filter(|end| *end > at).min().unwrap_or(u64::MAX / 2) + 10 * SECOND;
    begins.into_iter().map(|index| (lines[index].at - SECOND, until(lines[index].at))).collect()
}

fn drop_cause(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some(index) = nth(leaderships(lines, true), pick) else { return false };
    leadership(&mut lines[index])["cause"] = Value::Null;
    true
}

fn leave_something(lines: &mut Vec<Line>, _pick: usize) -> bool {
    let at = lines.last().map_or(0, |line| line.at);
    let entry = Entry::Leftover { kind: "process".to_owned(), what: "4711 primacy guardian".to_owned() };
    lines.push(Line { at, entry });
    true
}

fn drop_metadata(lines: &mut Vec<Line>, pick: usize) -> bool {
    remove(lines, pick, |entry| matches!(entry, Entry::Metadata(_)))
}

fn drop_fault_end(lines: &mut Vec<Line>, pick: usize) -> bool {
    remove(lines, pick, |entry| matches!(entry, Entry::FaultEnd { .. }))
}

fn drop_fault_begin(lines: &mut Vec<Line>, pick: usize) -> bool {
    // One of whose absence nothing else follows.
    remove(lines, pick, |entry| matches!(entry, Entry::FaultBegin { kind, .. } if kind == "restart-zookeeper"))
}

fn drop_healed(lines: &mut Vec<Line>, pick: usize) -> bool {
    remove(lines, pick, |entry| *entry == Entry::Healed)
}

fn reuse_an_id(lines: &mut Vec<Line>, pick: usize) -> bool {
    let Some((_, index)) = nth(acknowledged(lines), pick) else { return false };
    let twin = lines[index].clone();
    lines.insert(index, twin);
    true
}

fn contradict_a_recording(lines: &mut Vec<Line>, pick: usize) -> bool {
    let place = nth(places(lines, |entry| matches!(entry, Entry::Recordings { .. })), pick);
    let Some(Entry::Recordings { contradictions, .. }) = place.map(|index| &mut lines[index].entry) else {
        return false;
    };
    contradictions.push("nothing starts without the lock; but it did".to_owned());
    true
}

fn drop_recordings(lines: &mut Vec<Line>, pick: usize) -> bool {
    remove(lines, pick, |entry| matches!(entry, Entry::Recordings { .. }))
}
