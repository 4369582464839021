//! `primacy upgrade`: one node after another executes its program anew, and each is seen to be well before the next is asked.

use std::thread::sleep;
use std::time::Duration;

use serde::Deserialize;

use super::api::{Api, explain};
use super::sending::words;
use super::{Access, Client, Error};
use crate::clock;
use crate::status::{ClusterView, MemberRow};
use crate::steering::orders::{Order, Resume};

/// How long a node may take to be what it was.
const BACK: Duration = Duration::from_secs(60);

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(100);

/// What `GET /upgrade` says.
#[derive(Clone, Debug, Deserialize)]
struct View {
    version: String,
    pid: i64,
    upgrades: u64,
    refused: Option<String>,
}

/// A node to be upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub node: String,
    pub api: String,
    /// The epoch in which it leads.
    pub epoch: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    pub from: String,
    pub to: String,
    pub took: Duration,
}

pub struct Upgrading {
    client: Client,
    api: Api,
}

/// Why nobody is upgraded, or not everybody.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Not(String),
    #[error(transparent)]
    Unasked(#[from] Error),
}

impl Upgrading {
    pub fn new(client: Client, access: Access) -> Self {
        Self { client, api: Api::new(Vec::new(), access) }
    }

    /// The node of this name, or all of them in their order: those that could be missed first, the active one last.
    ///
    /// # Errors
    /// There is no such node, or nobody could be asked.
    pub fn targets(&self, named: Option<&str>) -> Result<Vec<Target>, Refused> {
        let view = self.client.cluster()?;
        let all = in_order(&view);
        let Some(named) = named else { return Ok(all) };
        let names: Vec<String> = all.iter().map(|target| target.node.clone()).collect();
        let target = all.into_iter().find(|target| target.node == named);
        let target =
            target.ok_or_else(|| Refused::Not(format!("there is no {named}: here are {}", names.join(", "))))?;
        Ok(vec![target])
    }

    /// Has one node upgraded, and waits until it is what it was.
    ///
    /// # Errors
    /// Nothing happened, or the node is not well again: why.
    pub fn upgrade(&self, target: &Target, by: &str, reason: Option<String>) -> Result<Upgraded, Refused> {
        let Target { node, api, epoch } = target;
        let not = |why: String| Refused::Not(format!("{node}: {why}"));
        let before: View = self.api.ask(api, "/upgrade").map_err(|why| {
            not(format!("it does not say whether it can be upgraded in place, or its version cannot ({why})"))
        })?;
        let was = self.row(target).map_err(&not)?;
        let answer = self.api.order_at(api, &Order::Upgrade(Resume { reason }), by);
        let answer = answer.map_err(|error| not(explain(&error)))?;
        if answer.status != 200 {
            return Err(not(words(&answer)));
        }
        let ordered = clock::now();
        let mut lacking = "it does not answer".to_owned();
        while clock::now().since(ordered) < BACK {
            sleep(AGAIN);
            let Ok(view) = self.api.ask::<View>(api, "/upgrade") else { continue };
            if view.pid != before.pid {
                return Err(not(format!(
                    "its process {} has ended, and another one, {}, was started: see its log",
                    before.pid, view.pid
                )));
            }
            if view.upgrades == before.upgrades {
                match view.refused {
                    Some(why) => return Err(not(why)),
                    None => "it has not executed its program yet".clone_into(&mut lacking),
                }
                continue;
            }
            match self.row(target).map(|is| well(&was, &is, *epoch)) {
                Ok(None) => {
                    let took = clock::now().since(ordered);
                    return Ok(Upgraded { from: before.version, to: view.version, took });
                }
                Ok(Some(why)) | Err(why) => lacking = why,
            }
        }
        Err(not(format!("not well again after {} s: {lacking}", BACK.as_secs())))
    }

    /// What a node says of itself.
    fn row(&self, target: &Target) -> Result<MemberRow, String> {
        let view: ClusterView = self.api.ask(&target.api, "/cluster")?;
        let own = view.members.into_iter().find(|member| member.row.node == target.node);
        own.map(|member| member.row).ok_or_else(|| "it is not among the members yet".to_owned())
    }
}

fn in_order(view: &ClusterView) -> Vec<Target> {
    let active = view.active.as_ref();
    let leads = |node: &str| active.filter(|active| active.node == node).map(|active| active.epoch);
    let mut rows: Vec<&MemberRow> = view.members.iter().map(|member| &member.row).collect();
    rows.sort_by_key(|row| (leads(&row.node).is_some(), row.priority, &row.node));
    let target = |row: &MemberRow| Target { node: row.node.clone(), api: row.api.clone(), epoch: leads(&row.node) };
    rows.into_iter().map(target).collect()
}

/// What a node lacks to be what it was; a node that could not take over before need not be able to.
fn well(was: &MemberRow, is: &MemberRow, epoch: Option<u64>) -> Option<String> {
    let same = match epoch {
        Some(epoch) => is.epoch == Some(epoch) && is.ready,
        None => is.eligible || (!was.eligible && is.state == was.state && is.role == was.role),
    };
    (!same).then(|| is.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ClusterView {
        let member = |node: &str, priority: u32| {
            serde_json::json!({"node": node, "role": "standby", "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "",
                "ready": false, "api": format!("http://{node}"), "endpoints": {}, "priority": priority, "tags": {}, "eligible": true,
                "reason": "", "version": "0.1.0", "last_contact_ms": null})
        };
        let members = [member("a", 100), member("b", 100), member("c", 50), member("d", 200)];
        let active = serde_json::json!({"node": "b", "api": "http://b", "epoch": 7, "endpoints": {}});
        serde_json::from_value(serde_json::json!({"cluster": "c", "epoch": 7, "active": active, "paused": false,
            "switchover": null, "members": members}))
        .unwrap()
    }

    #[test]
    fn who_can_be_missed_most_is_first_and_the_active_one_last() {
        let order: Vec<String> = in_order(&view()).into_iter().map(|target| target.node).collect();
        assert_eq!(order, ["c", "a", "d", "b"]);
        assert_eq!(in_order(&view())[3].epoch, Some(7));
    }

    #[test]
    fn a_standby_has_to_be_able_to_take_over_again_if_it_was_before() {
        let row = view().members.remove(0).row;
        let unable = MemberRow { eligible: false, reason: "no volume".to_owned(), ..row.clone() };
        assert_eq!(well(&row, &row, None), None);
        assert_eq!(well(&row, &unable, None), Some("no volume".to_owned()));
        assert_eq!(well(&unable, &unable, None), None);
        assert!(well(&row, &row, Some(7)).is_some(), "it led");
    }
}
