//! The integration tests: one binary, one module per part. Everything in them is real: processes, locks, sockets, servers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod api;
mod cluster;
mod config;
mod demo;
mod election;
mod faults;
mod guardian;
mod proxy;
mod zookeeper;
