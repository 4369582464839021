//! `primacy proxy-config`: a complete file for a proxy, made from what the members say of themselves.
//!
//! First a [`Plan`]: who is asked who leads, and for each endpoint's name where to listen and whom to send clients to.
//! Then it is written down in a proxy's own words ([`haproxy`], [`nginx`]). Both are pure.
//!
//! What a member has written of itself may come from a stranger: whatever is not a name, a host or a port is an error here, and
//! never part of the file.

use std::collections::BTreeMap;
use std::fmt;

use http::Uri;

use crate::config;
use crate::status::{ClusterView, MemberRow};

pub mod haproxy;
pub mod listen;
pub mod nginx;
#[cfg(test)]
mod tests;

pub use listen::Listen;

/// What clients speak to an endpoint, as far as a proxy has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    /// Anything else, HTTPS included: it is passed through, so that clients see the coordinator's own certificate.
    Tcp,
}

/// Where something listens. The host as it stands in a URL: IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl Target {
    /// The host as a name in a certificate.
    pub fn name(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// One that is asked whether it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node: String,
    pub api: Target,
    pub tls: bool,
}

/// For one endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub protocol: Protocol,
    pub bind: Target,
    /// Several serve at a time, and a client keeps the one that it has.
    pub sticky: bool,
    /// Node and where its coordinator listens.
    pub servers: Vec<(String, Target)>,
}

/// What a proxy has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub cluster: String,
    pub members: Vec<Member>,
    pub listeners: Vec<Listener>,
    /// A PEM file with the authorities of the members' certificates, as the proxy is to find it.
    pub ca: Option<String>,
    /// What whoever uses the file should know of this cluster; one sentence each.
    pub notes: Vec<String>,
}

/// Why there is no plan; one sentence with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Plan {
    /// # Errors
    /// Nobody has an endpoint, they do not fit together, or one is not what it should be.
    pub fn new(view: &ClusterView, listen: &Listen, ca: Option<String>) -> Result<Self, Refused> {
        let rows: Vec<&MemberRow> = view.members.iter().map(|member| &member.row).collect();
        let mut notes = Vec::new();
        let with: Vec<&MemberRow> = rows.iter().copied().filter(|row| !row.endpoints.is_empty()).collect();
        let without: Vec<&str> =
            rows.iter().filter(|row| row.endpoints.is_empty()).map(|row| row.node.as_str()).collect();
        if with.is_empty() {
            return Err(Refused(format!(
                "no member of cluster {} has endpoints; set coordinator.endpoints on every node, and start them",
                view.cluster
            )));
        }
        if !without.is_empty() {
            notes.push(format!("left out, for it has no coordinator.endpoints: {}", without.join(", ")));
        }
        let members = with.iter().map(|row| member(row)).collect::<Result<Vec<_>, _>>()?;
        let listeners = listeners(&with, listen, &mut notes)?;
        Ok(Self { cluster: view.cluster.clone(), members, listeners, ca, notes })
    }

    /// The members' names, for a heading.
    fn names(&self) -> String {
        self.members.iter().map(|member| member.node.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn member(row: &MemberRow) -> Result<Member, Refused> {
    config::node_name(&row.node).map_err(|(what, remedy)| Refused(format!("{:?} {what}; {remedy}", row.node)))?;
    let (scheme, api) = url(&row.api).ok_or_else(|| {
        Refused(format!("{}'s API is at {:?}, which is no URL; correct its api.advertise", row.node, row.api))
    })?;
    Ok(Member { node: row.node.clone(), api, tls: scheme == "https" })
}

fn listeners(rows: &[&MemberRow], listen: &Listen, notes: &mut Vec<String>) -> Result<Vec<Listener>, Refused> {
    let mut by_name: BTreeMap<&str, Vec<(&MemberRow, Protocol, Target)>> = BTreeMap::new();
    for row in rows {
        for (name, text) in &row.endpoints {
            config::endpoint_name(name).map_err(|(what, remedy)| Refused(format!("{name:?} {what}; {remedy}")))?;
            let (protocol, target) = endpoint(text).ok_or_else(|| {
                Refused(format!("{}'s endpoint {name} is {text:?}: correct its coordinator.endpoints", row.node))
            })?;
            by_name.entry(name).or_default().push((row, protocol, target));
        }
    }
    listen.check(&by_name.keys().copied().collect::<Vec<_>>()).map_err(Refused)?;
    let mut found: Vec<Listener> = Vec::new();
    for (name, all) in by_name {
        let (first, protocol, target) = &all[0];
        if let Some((other, _, _)) = all.iter().find(|(_, another, _)| another != protocol) {
            return Err(Refused(format!(
                "endpoint {name} is HTTP on one of {} and {} and something else on the other; make them alike",
                first.node, other.node
            )));
        }
        let missing: Vec<&str> = rows
            .iter()
            .map(|row| row.node.as_str())
            .filter(|node| all.iter().all(|(row, _, _)| row.node != *node))
            .collect();
        if !missing.is_empty() {
            notes.push(format!("endpoint {name} is missing on {}: no client reaches it there", missing.join(", ")));
        }
        let listener = Listener {
            name: name.to_owned(),
            protocol: *protocol,
            bind: listen.of(name, target.port),
            sticky: all.iter().any(|(row, _, _)| row.always_on),
            servers: all.iter().map(|(row, _, target)| (row.node.clone(), target.clone())).collect(),
        };
        let same = found.iter().find(|other| other.bind.port == listener.bind.port && overlap(other, &listener));
        match same {
            Some(same) if same.servers == listener.servers && same.protocol == listener.protocol => {
                notes.push(format!("endpoint {name} is where {} is, and is served there", same.name));
            }
            Some(same) => {
                return Err(Refused(format!(
                    "endpoints {} and {name} would both listen on {}; write --listen {name}={}:PORT with another port",
                    same.name, listener.bind, listener.bind.host
                )));
            }
            None => found.push(listener),
        }
    }
    Ok(found)
}

/// Whether one proxy could not listen for both on one port.
fn overlap(a: &Listener, b: &Listener) -> bool {
    let all = |host: &str| matches!(host, "*" | "0.0.0.0" | "[::]");
    a.bind.host == b.bind.host || all(&a.bind.host) || all(&b.bind.host)
}

fn endpoint(text: &str) -> Option<(Protocol, Target)> {
    if !text.contains("://") {
        return Some((Protocol::Tcp, host_and_port(text)?));
    }
    let (scheme, target) = url(text)?;
    Some((if scheme == "http" { Protocol::Http } else { Protocol::Tcp }, target))
}

fn url(text: &str) -> Option<(String, Target)> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme_str()?.to_owned();
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(default);
    Some((scheme, host_and_port(&format!("{}:{port}", uri.host()?))?))
}

fn host_and_port(text: &str) -> Option<Target> {
    config::host_and_port(text).ok()?;
    let (host, port) = text.rsplit_once(':')?;
    Some(Target { host: host.to_owned(), port: port.parse().ok()? })
}
