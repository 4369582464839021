//! Who may change what is written of the cluster.
//!
//! A digest that is configured later finds nodes that anybody may change: those that this session does not create anew, the
//! epoch and the breadcrumb among them. So every node of the cluster is looked at, once per process and again as a leader,
//! and closed where this digest may close it. What could not be closed is named.
//!
//! A node without the digest that leads meanwhile would lose its role by that: its next heartbeat would be refused. As long
//! as one stands for election the nodes stay open, and the log says so; the first leader with the digest closes them.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use tokio::time::timeout;
use tracing::{debug, warn};
use zookeeper_client::{Acl, Acls, Client, Error, Permission};

use super::settings::Settings;
use crate::zookeeper::paths::Paths;

/// How many nodes are asked for at a time.
const AT_A_TIME: usize = 100;

/// How many are looked at in all. A cluster has some 120; a stranger may have made more.
const MOST: usize = 10_000;

/// How many are named.
const NAMED: usize = 5;

/// Who may change the cluster's nodes.
#[derive(Debug, Default)]
struct Found {
    /// Anybody: path and version of the ACL.
    open: Vec<(String, i32)>,
    /// Neither anybody nor this session.
    anothers: Vec<String>,
    /// There are more than were looked at.
    more: bool,
}

/// The cluster as a newcomer finds it.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has ever connected; these are there instead.
    New {
        others: Vec<String>,
    },
    /// It may not be read.
    Anothers {
        path: String,
    },
    /// There is a digest, and anybody may change these.
    Open {
        paths: Vec<String>,
    },
    Protected,
    /// There is no digest.
    Unprotected,
}

/// How the cluster stands.
pub async fn standing(client: &Client, settings: &Settings) -> Standing {
    let paths = Paths::new(&settings.root, &settings.cluster);
    match client.check_stat(&paths.cluster).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            let mut others = client.list_children(&settings.root).await.unwrap_or_default();
            others.retain(|name| !name.starts_with('.'));
            others.sort();
            return Standing::New { others };
        }
        Err(_) => return Standing::Anothers { path: paths.cluster },
    }
    let found = look(client, &paths).await;
    if let Some(path) = found.anothers.into_iter().next() {
        return Standing::Anothers { path };
    }
    if settings.access.digest.is_none() {
        return Standing::Unprotected;
    }
    if found.open.is_empty() {
        return Standing::Protected;
    }
    Standing::Open { paths: few(found.open.into_iter().map(|(path, _)| path).collect()) }
}

/// Closes what is open, unless somebody without the digest could be leading. `done`: whether this process has seen every
/// node closed.
pub async fn protect_unless_led(client: &Client, settings: &Settings, paths: &Paths, done: &AtomicBool) {
    if settings.access.digest.is_none() || done.load(Ordering::Relaxed) {
        return;
    }
    match timeout(client.session_timeout(), candidates_without_digest(client, paths)).await {
        Ok(nodes) if nodes.is_empty() => protect(client, settings, paths, done).await,
        Ok(nodes) => warn!(
            nodes = nodes.join(", "),
            "what is written of the cluster stays open to anybody: these stand for election without zookeeper.digest_file; \
             restart them with it"
        ),
        Err(_) => debug!("no answer to who may change what"),
    }
}

/// Closes what is open. Only for a leader, or where nobody leads without the digest.
pub async fn protect(client: &Client, settings: &Settings, paths: &Paths, done: &AtomicBool) {
    if settings.access.digest.is_none() || done.load(Ordering::Relaxed) {
        return;
    }
    // A request that is never answered is dropped with the connection, and the next one begins again.
    if let Ok(complete) = timeout(client.session_timeout(), close(client, paths)).await {
        done.store(complete, Ordering::Relaxed);
    }
}

async fn close(client: &Client, paths: &Paths) -> bool {
    let found = look(client, paths).await;
    let mut closed = 0_usize;
    let mut failed: Vec<String> = Vec::new();
    let acls = Acls::creator_all();
    for some in found.open.chunks(AT_A_TIME) {
        let answers = join_all(some.iter().map(|(path, version)| client.set_acl(path, &acls, Some(*version)))).await;
        for ((path, _), answer) in some.iter().zip(answers) {
            match answer {
                Ok(_) => closed += 1,
                // Somebody else with the digest was faster, or it went with its session.
                Err(Error::BadVersion | Error::NoNode) => {}
                Err(error) => failed.push(format!("{path} ({error})")),
            }
        }
    }
    if closed > 0 {
        warn!(nodes = closed, "nodes were open to anybody; they are protected by the digest from here on");
    }
    if !failed.is_empty() || found.more {
        let more = if found.more { " and more" } else { "" };
        warn!(nodes = few(failed.clone()).join(", ") + more, "nodes are open to anybody and could not be protected");
    }
    if !found.anothers.is_empty() {
        warn!(
            nodes = few(found.anothers.clone()).join(", "),
            "nodes belong to somebody else: this digest may not use them"
        );
    }
    failed.is_empty() && !found.more
}

/// Looks at the cluster's directory and everything below it, level by level.
async fn look(client: &Client, paths: &Paths) -> Found {
    let mut found = Found::default();
    let (mut level, mut seen) = (vec![paths.cluster.clone()], 0);
    while !level.is_empty() {
        let mut below = Vec::new();
        for some in level.chunks(AT_A_TIME) {
            let looks = some.iter().map(|path| (client.get_acl(path), client.list_children(path)));
            let looks: Vec<_> = looks.map(|(acl, children)| async { tokio::join!(acl, children) }).collect();
            for (path, (acl, children)) in some.iter().zip(join_all(looks).await) {
                match (acl, children) {
                    (Err(Error::NoNode), _) | (_, Err(Error::NoNode)) => {}
                    (Ok((acl, stat)), Ok(children)) => {
                        if is_open(&acl) {
                            found.open.push((path.clone(), stat.aversion));
                        }
                        below.extend(children.iter().map(|name| format!("{path}/{name}")));
                    }
                    _ => found.anothers.push(path.clone()),
                }
            }
        }
        seen += below.len();
        if seen > MOST {
            found.more = true;
            break;
        }
        level = below;
    }
    found
}

/// The candidates that anybody may delete: they were made without the digest.
async fn candidates_without_digest(client: &Client, paths: &Paths) -> Vec<String> {
    let names = client.list_children(&paths.election).await.unwrap_or_default();
    let looks = names.iter().map(|name| paths.queue_node(name)).map(async |path| {
        let (acl, data) = tokio::join!(client.get_acl(&path), client.get_data(&path));
        let open = acl.is_ok_and(|(acl, _)| is_open(&acl));
        open.then(|| data.map_or_else(|_| path.clone(), |(data, _)| String::from_utf8_lossy(&data).into_owned()))
    });
    let mut nodes: Vec<String> = join_all(looks).await.into_iter().flatten().collect();
    nodes.sort();
    nodes.dedup();
    few(nodes)
}

/// Whether anybody may do more than read it.
fn is_open(acl: &[Acl]) -> bool {
    acl.iter().any(|acl| acl.scheme() == "world" && ![Permission::READ, Permission::NONE].contains(&acl.permission()))
}

/// The first few, and how many there are besides.
fn few(mut names: Vec<String>) -> Vec<String> {
    let rest = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if rest > 0 {
        names.push(format!("{rest} more"));
    }
    names
}
