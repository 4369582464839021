//! Writes a play down as the runner would: observer's sights, clients' operations, tick logs, history and metadata.

use std::time::{Duration, SystemTime};

use drill::history::{Entry, JournalRun, Line, Metadata, Outcome, Run};
use serde_json::json;

use crate::forge::{MS, Play, SECOND, ZERO, name};

/// The wall clock at [`ZERO`], in seconds since 1970.
const WALL: u64 = 1_790_000_000;

pub fn wall(at: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL) + Duration::from_nanos(at - ZERO);
    humantime::format_rfc3339_millis(time).to_string()
}

pub fn write(play: &Play) -> Vec<Line> {
    let mut lines = vec![Line { at: ZERO, entry: run(play) }, Line { at: play.ready, entry: Entry::Ready }];
    lines.extend(episodes(play));
    lines.extend(sights(play));
    let (clients, metadata) = clients(play);
    lines.extend(clients);
    lines.sort_by_key(|line| line.at);
    let end = play.end + SECOND / 10;
    lines.extend(leaderships(play).into_iter().map(|entry| Line { at: end, entry }));
    lines.push(Line { at: end + MS, entry: Entry::Metadata(metadata) });
    lines.extend(play.lives.iter().map(|life| {
        let entry = Entry::Coordinator {
            node: name(life.node),
            pid: life.pid,
            epoch: life.epoch,
            first: life.first,
            last: life.last,
            ticks: (life.last - life.first) / (3 * MS) + 1,
        };
        Line { at: end + 3 * SECOND, entry }
    }));
    let entry = Entry::Recordings { inputs: 1_000, contradictions: Vec::new() };
    lines.push(Line { at: end + 3 * SECOND, entry });
    lines
}

fn run(play: &Play) -> Entry {
    Entry::Run(Run {
        seed: 42,
        session_ms: 4_000,
        tick_ms: 2_000,
        nodes: (0..play.nodes).map(name).collect(),
        workload: "appender".to_owned(),
        hosts: "namespaces".to_owned(),
        primacy_version: "0.1.0".to_owned(),
        kernel: "Linux 6.1.0-44-cloud-amd64, 2 cores".to_owned(),
        started: wall(ZERO),
        command: "drill run --seed 42 --minutes 30 --nodes 3".to_owned(),
        own_clocks: false,
    })
}

fn episodes(play: &Play) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut id = 0;
    for episode in &play.episodes {
        for fault in &episode.faults {
            id += 1;
            let (kind, targets) = (fault.kind.to_owned(), fault.targets.clone());
            let detail = format!("{kind} on {}", targets.join(", "));
            lines.push(Line { at: fault.begin, entry: Entry::FaultBegin { id, kind, targets, detail } });
            lines.push(Line { at: fault.end, entry: Entry::FaultEnd { id, ok: true, detail: "undone".to_owned() } });
        }
        let seen = &play.lives[episode.seen];
        lines.push(Line { at: episode.healed, entry: Entry::Healed });
        let entry = Entry::Recovered { node: name(seen.node), epoch: seen.epoch };
        lines.push(Line { at: episode.recovered, entry });
    }
    lines
}

fn sights(play: &Play) -> Vec<Line> {
    let sight = |at: u64, node: usize, (role, status): (&str, &str), epoch: Option<u64>, reachable: bool| {
        let (node, role, status) = (name(node), role.to_owned(), status.to_owned());
        Line { at, entry: Entry::Role { node, role, status, epoch, reachable } }
    };
    let standby = ("standby", "STANDBY");
    let mut lines: Vec<Line> = (0..play.nodes).map(|node| sight(ZERO + SECOND, node, standby, None, true)).collect();
    for life in &play.lives {
        lines.push(sight(life.first + 10 * MS, life.node, ("promoting", "STARTING"), Some(life.epoch), true));
        lines.push(sight(life.first + 35 * MS, life.node, ("active", "OK"), Some(life.epoch), true));
        if life.last < play.end {
            lines.push(sight(life.last + 20 * MS, life.node, ("", ""), None, false));
            let back = life.last + 1_500 * MS;
            let mut again = play.lives.iter().filter(|other| other.node == life.node);
            if !again.any(|other| life.last < other.first && other.first <= back) {
                lines.push(sight(back, life.node, standby, None, true));
            }
        }
    }
    for (from, to, index) in &play.frozen {
        let life = &play.lives[*index];
        lines.push(sight(from + 400 * MS, life.node, ("", ""), None, false));
        if life.last > to + SECOND {
            lines.push(sight(to + 20 * MS, life.node, ("active", "OK"), Some(life.epoch), true));
        }
    }
    lines
}

fn leaderships(play: &Play) -> Vec<Entry> {
    let mut entries: Vec<serde_json::Value> = Vec::new();
    for life in &play.lives {
        if entries.last().is_some_and(|last| last["epoch"] == life.epoch) {
            entries.pop();
        }
        let first = play.lives.iter().find(|other| other.epoch == life.epoch).map_or(life.first, |other| other.first);
        let over = life.last < play.end;
        entries.push(json!({
            "epoch": life.epoch, "node": name(life.node), "from": wall(first - 60 * MS),
            "to": over.then(|| wall(life.last + 30 * MS)), "cause": over.then_some(life.cause),
            "gap_ms": null, "detail": "as the story goes",
        }));
    }
    entries.into_iter().map(Entry::Leadership).collect()
}

/// Two clients that ask all the time, what they are told, and what is in the metadata at the end.
fn clients(play: &Play) -> (Vec<Line>, Metadata) {
    let mut lines = Vec::new();
    let mut applied: Vec<(u64, String, usize)> = Vec::new();
    let mut folded: Option<(u64, u64, u64)> = None;
    let mut now = play.ready + SECOND / 2;
    let mut number = 0_u64;
    while now < play.end {
        number += 1;
        now += 110 * MS + number % 7 * 23 * MS;
        let id = format!("c{}-{number}", number % 2);
        let coin = play.coins.get(usize::try_from(number).expect("small") % play.coins.len().max(1)).copied();
        let heads = coin.unwrap_or(0) >> (number % 61) & 1 == 1;
        let frozen = play.frozen.iter().find(|(from, to, _)| *from <= now + 6 * MS && now < *to);
        let life = play.lives.iter().position(|life| life.first + 30 * MS <= now && now < life.last);
        let (result, end) = match (life, frozen) {
            (Some(index), Some((_, thaw, _))) => {
                // Asked of one that stands still: perhaps it does it when it thaws, long after the client has gone.
                if heads && number.is_multiple_of(3) {
                    applied.push((*thaw, id.clone(), index));
                }
                (Outcome::Unknown, now + 900 * MS)
            }
            (Some(index), None) if play.lives[index].last < now + 30 * MS => {
                // Dies while it is asked.
                if heads {
                    applied.push((now + 2 * MS, id.clone(), index));
                }
                (Outcome::Unknown, now + 40 * MS)
            }
            (Some(index), None) => {
                applied.push((now + 2 * MS, id.clone(), index));
                (Outcome::Ok, now + 5 * MS)
            }
            (None, _) if heads => (Outcome::Unknown, now + 100 * MS),
            (None, _) => (Outcome::Refused, now + MS),
        };
        if life.is_none() && number.is_multiple_of(2) {
            let (begin, _, failures) = folded.unwrap_or((now, now, 0));
            folded = Some((begin, end, failures + 1));
            continue;
        }
        if let Some((begin, until, failures)) = folded.take_if(|_| life.is_some()) {
            let entry = Entry::ClientOutage { begin, end: until, failures, error: "503".to_owned() };
            lines.push(Line { at: until, entry });
        }
        let entry = Entry::Client { op: id, what: "increment".to_owned(), value: None, result, begin: now, end };
        lines.push(Line { at: end, entry });
    }
    applied.sort_by_key(|(at, ..)| *at);
    let metadata = Metadata { journal: journal(play, &applied), applied: ids(applied), amcheck: None };
    (lines, metadata)
}

fn ids(applied: Vec<(u64, String, usize)>) -> Vec<String> {
    applied.into_iter().map(|(_, id, _)| id).collect()
}

fn journal(play: &Play, applied: &[(u64, String, usize)]) -> Vec<JournalRun> {
    let mut journal: Vec<JournalRun> = Vec::new();
    for (sequence, (at, _, index)) in (1..).zip(applied) {
        let life = &play.lives[*index];
        match journal.last_mut().filter(|last| last.pid == life.pid) {
            Some(last) => {
                last.last_sequence = sequence;
                last.end = *at;
            }
            None => journal.push(JournalRun {
                epoch: life.epoch,
                node: name(life.node),
                pid: life.pid,
                first_sequence: sequence,
                last_sequence: sequence,
                begin: *at,
                end: *at,
            }),
        }
    }
    journal
}
