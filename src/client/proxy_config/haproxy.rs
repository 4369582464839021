//! For HAProxy 2.2 and later.
//!
//! One backend does all the asking, and the listeners follow it (`track`): as many checks however many endpoints there are, and
//! all endpoints switch at once. Rejected: `option httpchk` in each listener, which asks once for each and lets them differ for a
//! moment; and one failed check as a reason to switch, for it would cut everybody's sessions because of one lost packet.

use std::fmt::Write;

use super::{Listener, Member, Plan, Protocol};

/// The backend that asks. No endpoint's name has a dot.
const MEMBERS: &str = "primacy.members";

/// The whole file.
pub fn render(plan: &Plan) -> String {
    let mut file = format!(
        "# {cluster}: {names}. Written by `primacy proxy-config haproxy`; write it anew when a node is\n\
         # added or removed, or when endpoints change. As /etc/haproxy/haproxy.cfg: haproxy -c -f FILE, then reload.\n",
        cluster = plan.cluster,
        names = plan.names(),
    );
    for note in &plan.notes {
        let _ = writeln!(file, "# NOTE: {note}");
    }
    file.push_str(GLOBAL);
    let _ = write!(file, "\nbackend {MEMBERS}{CHECKS}");
    for member in &plan.members {
        let _ = writeln!(file, "    server {} {} check{}", member.node, member.api, tls(member, plan.ca.as_deref()));
    }
    for listener in &plan.listeners {
        file.push_str(&listen(listener));
    }
    file
}

const GLOBAL: &str = "
global
    user haproxy
    group haproxy
    # Who goes up and down, for the journal.
    log stdout format raw daemon notice

defaults
    log global
    timeout connect 1s
    timeout client 24h
    timeout server 24h
    timeout http-request 10s
    timeout check 1s
    # Dead peers are found out by the kernel, not by a time limit that would end a long query.
    option clitcpka
    option srvtcpka
    # At a switch the former node may be tried for a moment: then the next one, at once. Only what was not sent is sent again.
    retries 3
    option redispatch 1
    # A name that cannot be resolved costs that server, not the proxy. Names are resolved at a start or reload.
    default-server init-addr last,libc,none
";

const CHECKS: &str = "
    # /leader is 200 only where a coordinator is ready and, but for always-on ones, the lease lasts. A plain `option httpchk`
    # would ask for /, which is 404 or a page and says nothing of who leads.
    option httpchk
    http-check send meth GET uri /leader
    http-check expect status 200
    # Two failures, a quarter of a second apart (or two time-outs of a second) take a server out; one success takes it in.
    default-server inter 500ms fastinter 250ms downinter 500ms fall 2 rise 1
";

fn tls(member: &Member, ca: Option<&str>) -> String {
    if !member.tls {
        return String::new();
    }
    let name = member.api.name();
    // Names of hosts only may be told by SNI.
    let sni = if name.parse::<std::net::IpAddr>().is_ok() { String::new() } else { format!(" check-sni {name}") };
    format!(" check-ssl{sni} verify required verifyhost {name} ca-file {}", ca.unwrap_or("@system-ca"))
}

fn listen(listener: &Listener) -> String {
    let mode = match listener.protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    };
    let mut section = format!("\nlisten {}\n    mode {mode}\n    bind {}\n", listener.name, listener.bind);
    if listener.protocol == Protocol::Http {
        section.push_str("    option forwardfor\n");
    }
    if listener.sticky {
        section.push_str(
            "    # A client, by its address, keeps its coordinator while that is ready, and stays where it went when it was not.\n    \
             balance source\n    hash-type consistent\n    \
             stick-table type ipv6 size 200k expire 12h\n    stick on src\n",
        );
    }
    section.push_str(
        "    # What is connected to a node that is taken out is cut, so that clients learn of the switch at once.\n",
    );
    for (node, target) in &listener.servers {
        let _ = writeln!(section, "    server {node} {target} track {MEMBERS}/{node} on-marked-down shutdown-sessions");
    }
    section
}
