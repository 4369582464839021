//! The integration tests: one binary, one module per part. Everything in them is real: processes, locks, sockets, servers.

mod guardian;
#[expect(dead_code, reason = "shared with other parts' tests")]
mod zookeeper;
