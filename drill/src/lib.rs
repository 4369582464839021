//! The drill: a cluster of hosts in a box, a nemesis that breaks it, and a judge that no one can argue with.
//!
//! primacy is a black box here: the drill knows its binary, its contract and nothing of its code, so that a mistake in
//! the code is not repeated in what judges it. Four rooms and one table between them:
//!
//! ```text
//! hosts + lab   hosts (namespaces; vm-drill has machines and a lab of its own), three ZooKeepers, a volume, candidates,
//!               a client host
//! nemesis       what breaks them: drawn from a seed, alone and in pairs, each fault with a begin and an end
//! workload      clients that note each operation and what they were told
//!      └──────► history: one JSON object a line, on one clock (CLOCK_MONOTONIC of the one kernel)
//! recordings    what the processes under test recorded, held by `primacy verify` against code and rules
//! judge, report pure: read a history, and nothing else
//! runner        puts them in order: lab up, faults, clients, evidence, verdict
//! ```

pub mod history;
pub mod hosts;
pub mod judge;
pub mod lab;
pub mod nemesis;
pub mod recordings;
pub mod report;
pub mod runner;
pub mod workload;
