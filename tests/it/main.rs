//! The integration tests: one binary, one module per part. Everything in them is real: processes, locks, sockets, servers.

mod api;
mod cluster;
mod config;
mod demo;
mod election;
mod faults;
mod guardian;
mod proxy;
mod zookeeper;
