//! `members/<node>`: what this node tells the others of itself, and the proof that nobody else has its name.
//!
//! The last thing published wins; it is written beside the election, never before it. Everything here may be repeated
//! safely, because the node is ephemeral in this very session: so an unknown outcome is simply tried again.

use std::fs;
use std::io::ErrorKind;

use nix::libc::ESRCH;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};
use zookeeper_client::{Client, CreateMode, Error, Stat};

use super::paths::Paths;
use super::{Settings, before_retry, directories, until_deleted};
use crate::election::Fact;
use crate::status::{Member, ProcessIdentity};
use crate::znodes;

/// Keeps the node up to date for as long as the session lives; says in `registered` whether the name is ours. Never
/// ends by itself: while another has the name, it waits for the other to go.
pub async fn keep(
    client: Client,
    settings: &Settings,
    paths: &Paths,
    mut published: watch::Receiver<Option<Member>>,
    registered: &watch::Sender<bool>,
    facts: &mpsc::UnboundedSender<Fact>,
) {
    let path = paths.member(&settings.node);
    let options = directories::options(CreateMode::Ephemeral, settings.access.digest.is_some());
    let mut told = None;
    loop {
        let Some(member) = published.borrow_and_update().clone() else {
            if published.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let json = serde_json::to_vec(&member).expect("a member has only string keys");
        let written = match client.create(&path, &json, &options).await {
            Err(Error::NodeExists) => claim_name(&client, settings, &path, &json, facts).await,
            Err(Error::NoNode) => {
                let _ = directories::ensure(&client, paths, settings.access.digest.is_some()).await;
                Err(Error::NoNode)
            }
            result => result.map(|_| true),
        };
        match written {
            Ok(true) => {
                registered.send_replace(true);
                while update_or_gone(&client, &path, &mut published).await {}
                // The node is written anew below, by this session: the name has not been in doubt.
            }
            Ok(false) => {}
            Err(error) => {
                if super::is_definite(&error) && error != Error::NoNode && told.as_ref() != Some(&error) {
                    warn!(path, %error, "cannot register this member");
                    told = Some(error);
                }
                before_retry(&client).await;
            }
        }
    }
}

/// Waits for the next publication and writes it; false when the node has to be created again.
async fn update_or_gone(client: &Client, path: &str, published: &mut watch::Receiver<Option<Member>>) -> bool {
    tokio::select! {
        changed = published.changed() => {
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
        () = until_deleted(client, path) => return false,
    }
    loop {
        let Some(member) = published.borrow_and_update().clone() else { return true };
        let json = serde_json::to_vec(&member).expect("a member has only string keys");
        match client.set_data(path, &json, None).await {
            Ok(_) => return true,
            Err(Error::NoNode) => return false,
            Err(_) => before_retry(client).await,
        }
    }
}

/// The name is taken: by this session, by a ghost of this node, or by somebody else. True once the node is ours.
async fn claim_name(
    client: &Client,
    settings: &Settings,
    path: &str,
    json: &[u8],
    facts: &mpsc::UnboundedSender<Fact>,
) -> Result<bool, Error> {
    let (data, stat) = match client.get_data(path).await {
        Err(Error::NoNode) => return Ok(false),
        result => result?,
    };
    if stat.ephemeral_owner == client.session_id().0 {
        return client.set_data(path, json, None).await.map(|_| true);
    }
    let process = znodes::member(&settings.node, &data).and_then(|member| member.process);
    match process.as_ref().map_or(Holder::Unknown, |holder| judge(holder, &settings.process)) {
        Holder::Ghost => {
            info!(path, "removing what a dead supervisor of this host left");
            remove(client, path, &stat).await.map(|()| false)
        }
        Holder::Alive => {
            say_duplicate(process.as_ref(), facts);
            until_deleted(client, path).await;
            Ok(false)
        }
        Holder::Unknown => {
            if timeout(client.session_timeout(), until_deleted(client, path)).await.is_err() {
                say_duplicate(process.as_ref(), facts);
                until_deleted(client, path).await;
            }
            Ok(false)
        }
    }
}

async fn remove(client: &Client, path: &str, stat: &Stat) -> Result<(), Error> {
    match client.delete(path, Some(stat.version)).await {
        Err(Error::NoNode | Error::BadVersion) => Ok(()),
        result => result,
    }
}

fn say_duplicate(holder: Option<&ProcessIdentity>, facts: &mpsc::UnboundedSender<Fact>) {
    let holder = holder.map_or_else(
        || "an unknown process".to_owned(),
        |process| format!("process {} on the host with id {}", process.pid, process.host_id),
    );
    let _ = facts.send(Fact::DuplicateName { holder });
}

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Ghost,
    Alive,
    Unknown,
}

/// Who holds the name. An earlier session of this very process is a ghost too: this process knows that it gave it up.
fn judge(holder: &ProcessIdentity, own: &ProcessIdentity) -> Holder {
    if holder.host_id.is_empty() || holder.boot_id.is_empty() {
        return Holder::Unknown;
    }
    if holder.host_id != own.host_id {
        return Holder::Alive;
    }
    if holder.boot_id != own.boot_id || holder == own || !lives(holder) { Holder::Ghost } else { Holder::Alive }
}

/// Whether that very process (not another one that got its number) runs on this host. Only what is not there is dead.
fn lives(process: &ProcessIdentity) -> bool {
    match fs::read(format!("/proc/{}/stat", process.pid)) {
        Ok(stat) => is_of(process, &String::from_utf8_lossy(&stat)),
        Err(error) => error.kind() != ErrorKind::NotFound && error.raw_os_error() != Some(ESRCH),
    }
}

fn is_of(process: &ProcessIdentity, stat: &str) -> bool {
    // The command's name is in parentheses and may contain anything, so fields are counted from behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = fields.split_whitespace();
    let zombie = fields.next() == Some("Z");
    let started = fields.nth(18).and_then(|field| field.parse().ok());
    !zombie && started == Some(process.pid_started)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(host: &str, boot: &str, pid: i32, pid_started: u64) -> ProcessIdentity {
        ProcessIdentity { host_id: host.into(), boot_id: boot.into(), pid, pid_started }
    }

    fn own_start() -> u64 {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_proven_dead_are_ghosts() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = identity("h", "b", 1, 1);
        assert_eq!(judge(&identity("h", "b", pid, own_start()), &own), Holder::Alive);
        assert_eq!(judge(&identity("h", "b", pid, own_start() + 1), &own), Holder::Ghost);
        assert_eq!(judge(&identity("h", "earlier boot", pid, own_start()), &own), Holder::Ghost);
        assert_eq!(judge(&identity("other", "b", 1, 1), &own), Holder::Alive);
        assert_eq!(judge(&identity("", "", 1, 1), &own), Holder::Unknown);
        assert_eq!(judge(&own.clone(), &own), Holder::Ghost);
    }
}
