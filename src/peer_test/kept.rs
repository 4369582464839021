//! Results are kept in `verified/`, once per pair of hosts and volume.

use serde::{Deserialize, Serialize};
use zookeeper_client::{Client, CreateOptions, Error};

use super::meeting::answer;
use super::words::Plan;
use crate::election::zookeeper::Paths;
use crate::status::{PeerResult, PeerTest};

/// What is kept in `verified/`.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Node and host id, both.
    hosts: Vec<(String, String)>,
    test: PeerTest,
}

/// Keeps the result for this pair of hosts. Without a volume id there is nothing that it would be true of.
pub async fn keep(
    client: &Client,
    paths: &Paths,
    test: &PeerTest,
    hosts: [(&String, &String); 2],
    persistent: &CreateOptions<'_>,
) -> Result<(), String> {
    if test.volume.is_none() && test.result == PeerResult::Verified {
        return Ok(());
    }
    let record = Kept { hosts: hosts.map(|(node, host)| (node.clone(), host.clone())).to_vec(), test: test.clone() };
    let data = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
    let path = format!("{}/{}+{}", paths.verified, hosts[0].0, hosts[1].0);
    match client.create(&path, &data, persistent).await {
        Ok(_) => Ok(()),
        Err(Error::NodeExists) => answer(client.set_data(&path, &data, None)).await.map(drop),
        Err(error) => Err(error.to_string()),
    }
}

/// A good result of this volume, this host and the one in question.
pub async fn earlier(
    client: &Client,
    paths: &Paths,
    own: (&str, &str),
    plan: &Plan,
    volume: Option<&str>,
) -> Result<Option<PeerTest>, String> {
    for name in answer(client.list_children(&paths.verified)).await? {
        let Ok((data, _)) = client.get_data(&format!("{}/{name}", paths.verified)).await else { continue };
        let Ok(record) = serde_json::from_slice::<Kept>(&data) else { continue };
        let is_own = |(node, host): &(String, String)| (node.as_str(), host.as_str()) == own;
        let is_other = |(node, host): &(String, String)| {
            node != own.0
                && plan.with.as_ref().is_none_or(|with| with == node)
                && plan.host.as_ref().is_none_or(|expected| expected == host)
        };
        let fits = record.test.result == PeerResult::Verified
            && volume.is_some()
            && record.test.volume.as_deref() == volume
            && record.hosts.iter().any(is_own);
        if let Some((other, _)) = record.hosts.iter().find(|host| is_other(host)).filter(|_| fits) {
            let test = record.test;
            let detail = format!("tried at {}: {}", test.at, test.detail);
            return Ok(Some(PeerTest { with: Some(other.clone()), detail, ..test }));
        }
    }
    Ok(None)
}
