//! For nginx as it is free: without active health checks.
//!
//! HTTP: every request asks the members who leads (`auth_request`), and goes where the answer came from. What is asked is one
//! group of all APIs; a member that does not lead answers 404, upon which nginx asks the next one without counting it as a
//! failure, as it would 503; a dead one is left alone for a moment. The answer names its node, and a map has the coordinator of
//! each. Rejected: `proxy_next_upstream` over the coordinators themselves, which sends clients to one that is starting, or that
//! its lease has left; and a check that is written into the file from outside, for then the file is wrong until it is written.
//!
//! TCP: nginx has nothing of that kind in its stream module. Where only one coordinator may run, the others' ports refuse, and
//! nginx tries the next one; that is as good as it gets without a reload.

use std::fmt::Write;

use super::{Listener, Plan, Protocol, Refused};

/// The whole file.
///
/// # Errors
/// What nginx cannot do.
pub fn render(plan: &Plan) -> Result<String, Refused> {
    let mut file = format!(
        "# {cluster}: {names}. Written by `primacy proxy-config nginx`; write it anew when a node is\n\
         # added or removed, or when endpoints change. As /etc/nginx/nginx.conf: nginx -t -c FILE, then reload. Names are\n\
         # resolved then, and all of them must be.\n",
        cluster = plan.cluster,
        names = plan.names(),
    );
    for note in &plan.notes {
        let _ = writeln!(file, "# NOTE: {note}");
    }
    file.push_str(MAIN);
    let (http_ones, others): (Vec<&Listener>, Vec<&Listener>) =
        plan.listeners.iter().partition(|listener| listener.protocol == Protocol::Http);
    if !http_ones.is_empty() {
        file.push_str(&http(plan, &http_ones)?);
    }
    if !others.is_empty() {
        file.push_str(&stream(&others));
    }
    Ok(file)
}

const MAIN: &str = "
pid /run/nginx.pid;
worker_processes auto;
# Distributions keep the stream module apart.
include /etc/nginx/modules-enabled/*.conf;
# A reload cuts what is left of old sessions after this time.
worker_shutdown_timeout 1s;

events {
    worker_connections 4096;
}
";

fn http(plan: &Plan, listeners: &[&Listener]) -> Result<String, Refused> {
    let tls = plan.members.iter().filter(|member| member.tls).count();
    if tls != 0 && tls != plan.members.len() {
        return Err(Refused(
            "some members' APIs speak HTTPS and others HTTP: nginx cannot ask them as one group; make them alike"
                .into(),
        ));
    }
    let mut part = String::from(HTTP);
    for (number, listener) in listeners.iter().enumerate() {
        part.push_str(&server(plan, listener, number + 1, tls != 0));
    }
    part.push_str("}\n");
    Ok(part)
}

const HTTP: &str = "
http {
    access_log off;
    server_tokens off;
    client_max_body_size 0;
    map $http_upgrade $primacy_connection { \"\" \"\"; default upgrade; }
";

fn server(plan: &Plan, listener: &Listener, number: usize, tls: bool) -> String {
    let name = &listener.name;
    let variable = format!("$primacy_to_{number}");
    let group = |node: &str| format!("primacy.{name}.{node}");
    let mut part = format!("\n    # {name}: whom to ask who leads\n    upstream primacy.{name} {{\n");
    if listener.sticky {
        part.push_str("        # A client keeps its coordinator while that is ready, and comes back to it.\n");
        part.push_str("        hash $remote_addr consistent;\n");
    }
    let serves = |node: &str| listener.servers.iter().any(|(server, _)| server == node);
    for member in plan.members.iter().filter(|member| serves(&member.node)) {
        let _ = writeln!(part, "        server {} max_fails=1 fail_timeout=2s;", member.api);
    }
    part.push_str("        keepalive 16;\n    }\n");
    for (node, target) in &listener.servers {
        let _ = writeln!(part, "    upstream {} {{ server {target} max_fails=0; keepalive 32; }}", group(node));
    }
    // The @ keeps a node's name from being one of map's own words.
    let _ = writeln!(part, "    map @$primacy_node {variable} {{");
    for (node, _) in &listener.servers {
        let _ = writeln!(part, "        @{node} {};", group(node));
    }
    let _ = write!(part, "    }}\n    server {{\n        listen {};\n", listener.bind);
    let scheme = if tls { "https" } else { "http" };
    let _ = write!(
        part,
        "
        location / {{
            auth_request /.primacy/leader;
            auth_request_set $primacy_node $upstream_http_x_primacy_node;
            proxy_pass http://{variable};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $primacy_connection;
            proxy_connect_timeout 1s;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            error_page 500 502 = @nobody;
        }}
        # Only the node that leads, with a coordinator that is ready, answers 200; who answers 404 sends nginx to the next one.
        location = /.primacy/leader {{
            internal;
            proxy_pass {scheme}://primacy.{name}/leader?standby=404&out=404;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_pass_request_headers off;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Content-Length \"\";
            proxy_next_upstream error timeout invalid_header http_404 non_idempotent;
            proxy_connect_timeout 500ms;
            proxy_read_timeout 1s;
"
    );
    if tls {
        part.push_str(&verification(plan));
    }
    part.push_str(
        "        }
        location @nobody {
            add_header Retry-After 1 always;
            default_type text/plain;
            return 503 \"no coordinator is ready; try again\\n\";
        }
    }
",
    );
    part
}

/// nginx checks all servers of a group against one name.
fn verification(plan: &Plan) -> String {
    let ca = plan.ca.as_deref().unwrap_or("/etc/ssl/certs/ca-certificates.crt");
    format!(
        "            # All members' certificates must have this name, too: nginx checks all of them against one.
            proxy_ssl_server_name on;
            proxy_ssl_name {};
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 3;
            proxy_ssl_trusted_certificate {ca};
",
        plan.cluster
    )
}

fn stream(listeners: &[&Listener]) -> String {
    let mut part = String::from(
        "
# nginx cannot ask who leads here: a node that runs no coordinator refuses, and the next one is tried. It cuts no session at a
# switch either, unless it is reloaded then.
stream {
    access_log off;
    proxy_connect_timeout 1s;
    proxy_timeout 24h;
    proxy_socket_keepalive on;
",
    );
    for listener in listeners {
        let group = format!("primacy.{}", listener.name);
        let _ = write!(part, "\n    upstream {group} {{\n");
        if listener.sticky {
            part.push_str("        # A client keeps its coordinator while that listens, and comes back to it.\n");
            part.push_str("        hash $remote_addr consistent;\n");
        }
        for (_, target) in &listener.servers {
            let _ = writeln!(part, "        server {target} max_fails=1 fail_timeout=1s;");
        }
        let _ = write!(
            part,
            "    }}\n    server {{\n        listen {} so_keepalive=on;\n        proxy_pass {group};\n    }}\n",
            listener.bind
        );
    }
    part.push_str("}\n");
    part
}
