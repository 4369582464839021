//! primacy keeps exactly one coordinator running on a set of hosts that share a metadata volume.
//!
//! The map, and who may import whom (a check keeps it):
//!
//! ```text
//! main > cli > {supervisor, guardian, preflight, client, config};   clock, moment, timer, host, output are everybody's
//! supervisor > {node, election, guardian's protocol and frames, api, status, config, processes}
//! node > {role, redacted, and as plain data: election's port, guardian's protocol, status, config, host}
//! cli > verify > {recording, node};   supervisor, guardian > {recorder, recording};   recording > {recorder, node, guardian's protocol}
//! election > {guardian's protocol, status, config, zookeeper};   guardian > {syscalls, processes, zookeeper}
//! zookeeper > {config, role's lease, guardian's protocol};   client > {config, status, zookeeper}
//! preflight > {peer_test, election, guardian's volume, processes, role, config};   peer_test > {election, guardian's volume, zookeeper}
//! supervisor, preflight, cli > warm > {status, syscalls};   node has its order, as plain data
//!   api > {status, config, processes};   status > {host, the words of role's causes};   role > std (and moment)
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "both may panic, and wait: crate::output prints")]

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod election;
pub mod guardian;
pub mod host;
pub mod intents;
pub mod moment;
pub mod node;
pub mod output;
pub mod peer_test;
pub mod preflight;
pub mod processes;
pub mod recorder;
pub mod recording;
pub mod redacted;
pub mod role;
pub mod seeded_bug;
pub mod status;
pub mod steering;
pub mod supervisor;
#[expect(unsafe_code, reason = "the one module that makes system calls that nix does not wrap safely")]
pub mod syscalls;
pub mod timer;
pub mod verify;
pub mod warm;
pub mod zookeeper;
