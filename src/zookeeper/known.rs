//! `known/NODE`: every node that has ever registered, until somebody forgets it; and when it was last seen, which is when this
//! was written last, by the servers' clock.
//!
//! A node writes its own when it registers. When it goes, one of those that stay writes it once more: the first of them by name,
//! so that a departure costs one write however many there are. Whoever goes together with that one, and the last of all, has the
//! earlier time. Rejected: to write at every heartbeat, or by everybody who sees it go.
//!
//! Nothing is decided on it: it is for display, and for whoever counts missing nodes. Versions that do not know it leave it alone.

use std::time::{Duration, SystemTime};

use zookeeper_client::{Client, CreateMode, Error};

use super::contents::is_name;
use super::directories;
use super::paths::Paths;
use crate::status::{MemberRow, NodeState, Role, StatusWord};

/// For a write that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes that a node is here, or was until this moment. What cannot be written is left: it is noted again another time.
pub async fn note(client: &Client, paths: &Paths, digest: bool, row: &MemberRow) {
    let path = paths.known_node(&row.node);
    let row = MemberRow { reason: String::new(), ..row.clone() };
    let json = serde_json::to_vec(&row).expect("a row has only string keys");
    let write = async {
        match client.set_data(&path, &json, None).await {
            Err(Error::NoNode) => {
                let options = directories::options(CreateMode::Persistent, digest);
                client.create(&path, &json, &options).await.map(drop)
            }
            result => result.map(drop),
        }
    };
    match tokio::time::timeout(PATIENCE, write).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(path, %error, "it was not noted when this node was seen"),
        Err(_) => tracing::debug!(path, "it was not noted when this node was seen"),
    }
}

/// A node that is not here, as it is shown. `modified`: when it was written last, by the servers' clock, in ms. `None` where strangers have put something else there.
pub fn absent(name: &str, data: &[u8], modified: i64) -> Option<MemberRow> {
    let written: Option<MemberRow> = serde_json::from_slice(data).ok().filter(|row: &MemberRow| row.node == name);
    let seen = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(modified).unwrap_or(0));
    is_name(name).then(|| shown(name, written, seen))
}

fn shown(name: &str, written: Option<MemberRow>, seen: SystemTime) -> MemberRow {
    let always_on = written.as_ref().is_some_and(|row| row.always_on);
    let (api, endpoints, priority, tags, version) =
        written.map(|row| (row.api, row.endpoints, row.priority, row.tags, row.version)).unwrap_or_default();
    MemberRow {
        node: name.to_owned(),
        role: Role::Standby,
        state: NodeState::Inactive,
        status: StatusWord::Disconnected,
        epoch: None,
        since: humantime::format_rfc3339_millis(seen).to_string(),
        ready: false,
        api,
        endpoints,
        priority,
        tags,
        version,
        eligible: false,
        always_on,
        reason: format!("not here; `primacy forget {name}` if it will not come back"),
    }
}

/// Why a node was not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Unknown,
    Registered,
    /// Its breadcrumb says that it may lead.
    MayLead,
    /// An operator has taken it out, which is kept for it.
    TakenOut,
}

/// Forgets a node that is gone. `may_lead`: whether it is the one whose leadership has not ended, as far as is known.
///
/// # Errors
/// ZooKeeper's.
pub async fn forget(client: &Client, paths: &Paths, node: &str, may_lead: bool) -> Result<Result<(), Refused>, Error> {
    let path = paths.known_node(node);
    loop {
        let stat = client.check_stat(&path).await?;
        if client.check_stat(&paths.member(node)).await?.is_some() {
            return Ok(Err(Refused::Registered));
        }
        if may_lead {
            return Ok(Err(Refused::MayLead));
        }
        if client.check_stat(&paths.state(node)).await?.is_some() {
            return Ok(Err(Refused::TakenOut));
        }
        let Some(stat) = stat else { return Ok(Err(Refused::Unknown)) };
        // One that registers meanwhile writes it: then it is looked at again.
        match client.delete(&path, Some(stat.version)).await {
            Err(Error::BadVersion) => {}
            Err(Error::NoNode) => return Ok(Err(Refused::Unknown)),
            result => return result.map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_gone_is_shown_as_such_whatever_was_written_of_it() {
        let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let bare = shown("a", None, seen);
        assert_eq!((bare.state, bare.since.as_str()), (NodeState::Inactive, "2026-01-02T03:04:05.000Z"));
        let led =
            MemberRow { role: Role::Active, ready: true, epoch: Some(7), eligible: true, api: "x".into(), ..bare };
        let gone = shown("a", Some(led), seen);
        assert!(gone.role == Role::Standby && !gone.ready && gone.epoch.is_none() && !gone.eligible && gone.api == "x");
    }
}
