//! The integration tests: one binary, one module per part. Everything in them is real: processes, locks, sockets, servers.

#![expect(clippy::unwrap_used, reason = "what a test's tools cannot do fails the test")]

mod always_on;
mod api;
mod cluster;
mod config;
mod curator;
mod deaf;
mod election;
mod epoch_token;
mod faults;
mod formats;
mod guardian;
mod limits;
mod load_balancers;
mod mixed;
mod nfs_fencing;
mod output;
mod page;
mod peers;
mod proxy;
mod reach;
mod recordings;
mod steering;
mod systemd;
mod upgrade;
mod virtual_address;
mod warming;
mod watching;
mod zookeeper;

// The pages written by hand, held against the code.
mod docs;

/// For a test that cannot run here, and why. Everything that reports what tests showed looks for this word.
fn skipped(reason: &str) {
    println!("SKIPPED: {reason}");
}
