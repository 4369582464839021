//! The integration tests: one binary, one module per part. Everything in them is real: processes, locks, sockets, servers.

mod api;
mod config;
mod election;
mod guardian;
mod proxy;
mod zookeeper;

// The pages written by hand, held against the code.
mod docs;
