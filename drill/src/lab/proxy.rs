//! HAProxy on the client's host: what finds the active node by its health check, as in docs/operations.md.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use super::observer::API_PORT;

/// Where it listens.
pub const PORT: u16 = 8000;

/// A configuration file: TCP to `port` of the server whose API says that it is active.
pub fn configuration(listen: SocketAddr, servers: &[(String, Ipv4Addr)], port: u16) -> String {
    let mut text = format!(
        "global\n    maxconn 200\n    nbthread 1\n\
         defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n    timeout check 300ms\n\
         listen active\n    bind {listen}\n    option httpchk GET /server_status\n    http-check expect status 200\n\
         \x20   default-server inter 200ms fastinter 100ms downinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions\n"
    );
    for (name, address) in servers {
        let _ = writeln!(text, "    server {name} {address}:{port} check port {API_PORT}");
    }
    text
}
