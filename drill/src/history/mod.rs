//! What happened, as one JSON object a line: the only thing that those who make it and those who judge it share.
//!
//! `at` and all other times are nanoseconds on CLOCK_MONOTONIC unless a field says otherwise.

use serde::{Deserialize, Serialize};

mod file;

pub use file::{FILE, Writer, parse, read, sort};

/// One line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub at: u64,
    #[serde(flatten)]
    pub entry: Entry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    Run(Run),
    /// One active and ready, before the first fault.
    Ready,
    FaultBegin {
        id: u32,
        kind: String,
        targets: Vec<String>,
        detail: String,
    },
    FaultEnd {
        id: u32,
        ok: bool,
        detail: String,
    },
    /// Nothing is broken any more: from here on somebody must become active in bounded time.
    Healed,
    Recovered {
        node: String,
        epoch: u64,
    },
    /// What the observer saw of a node, when it differs from what it saw before.
    Role {
        node: String,
        role: String,
        status: String,
        epoch: Option<u64>,
        reachable: bool,
    },
    /// A coordinator process's life, as its own log tells it.
    Coordinator {
        node: String,
        pid: u32,
        epoch: u64,
        first: u64,
        last: u64,
        ticks: u64,
    },
    /// Nothing ran on a host: it was stopped as a whole. What had run on it may run on beside its successor for `grace` ns
    /// after the end, as documented, and not a moment longer.
    Standstill {
        node: String,
        begin: u64,
        end: u64,
        grace: u64,
    },
    /// Records that a coordinator says it has written and synced, runs of consecutive sequences folded.
    Acknowledged {
        node: String,
        pid: u32,
        epoch: u64,
        first_sequence: u64,
        last_sequence: u64,
    },
    Client {
        op: String,
        what: String,
        value: Option<i64>,
        result: Outcome,
        begin: u64,
        end: u64,
    },
    ClientOutage {
        begin: u64,
        end: u64,
        failures: u64,
        error: String,
    },
    /// A line of `primacy history` at the end.
    Leadership(serde_json::Value),
    Metadata(Metadata),
    /// What `primacy verify` said of all that supervisors and guardians had recorded: how many inputs it has replayed, and what
    /// contradicts the code or the rules.
    Recordings {
        inputs: u64,
        contradictions: Vec<String>,
    },
    Leftover {
        kind: String,
        what: String,
    },
    Note {
        text: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub seed: u64,
    pub session_ms: u64,
    pub tick_ms: u64,
    pub nodes: Vec<String>,
    pub workload: String,
    pub hosts: String,
    pub primacy_version: String,
    pub kernel: String,
    /// RFC 3339, wall clock.
    pub started: String,
    pub command: String,
    /// Each host has a wall clock of its own, which may stand still and is set by nobody.
    #[serde(default)]
    pub own_clocks: bool,
}

/// What a client was told. `Unknown`: it may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Refused,
    Unknown,
}

/// What the shared metadata held at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The appenders' records in file order, runs of consecutive sequences folded.
    #[serde(default)]
    pub journal: Vec<JournalRun>,
    /// The operations that were applied, in file order; a doubled one stands twice.
    #[serde(default)]
    pub applied: Vec<String>,
    /// What PostgreSQL's pg_amcheck said.
    #[serde(default)]
    pub amcheck: Option<Amcheck>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalRun {
    pub epoch: u64,
    pub node: String,
    pub pid: u32,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub begin: u64,
    pub end: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Amcheck {
    pub exit: i32,
    pub output: String,
}
