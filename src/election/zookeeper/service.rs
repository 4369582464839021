//! `services/coordinator/<node>`: the coordinator as Curator's service discovery shows it, while active and ready.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::json;
use tokio::sync::watch;
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError};

use super::requests::before_retry;
use super::settings::Settings;
use crate::clock;
use crate::status::{Breadcrumb, NO_EPOCH};
use crate::zookeeper::directories;
use crate::zookeeper::paths::Paths;

/// A leadership's announcement: what is wanted, and what is known to be written, over however many connections.
#[derive(Debug)]
pub struct Announcement {
    wanted: watch::Sender<Option<Breadcrumb>>,
    /// `None` while a write is under way.
    written: Mutex<Option<Option<Breadcrumb>>>,
}

impl Default for Announcement {
    fn default() -> Self {
        Self { wanted: watch::channel(None).0, written: Mutex::new(Some(None)) }
    }
}

impl Announcement {
    /// `None` withdraws it.
    pub fn want(&self, breadcrumb: Option<Breadcrumb>) {
        self.wanted.send_replace(breadcrumb);
    }

    /// Nothing of it is known to be written: it was, in another session.
    pub fn forget(&self) {
        self.set_written(None);
    }

    fn is_written(&self, breadcrumb: &Option<Breadcrumb>) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(breadcrumb)
    }

    fn set_written(&self, breadcrumb: Option<Option<Breadcrumb>>) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = breadcrumb;
    }
}

/// Announces and withdraws as wanted, for as long as the connection lasts. Every write of a leadership is guarded by the epoch,
/// so a late one cannot overwrite a successor's; `None`: of an always-on coordinator, whose node no other writes.
pub async fn keep(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    epoch_version: Option<i32>,
    announcement: &Announcement,
) {
    let path = paths.service(&settings.node);
    let options = directories::options(CreateMode::Ephemeral, settings.access.digest.is_some());
    let mut wanted = announcement.wanted.subscribe();
    loop {
        let breadcrumb = wanted.borrow_and_update().clone();
        if !announcement.is_written(&breadcrumb) {
            announcement.set_written(None);
            loop {
                // What is there may be of an earlier session of this node, so it is replaced, never updated.
                let written = match client.delete(&path, None).await {
                    Ok(()) | Err(Error::NoNode) => match &breadcrumb {
                        None => Ok(()),
                        Some(breadcrumb) => {
                            let data = instance(&settings.node, breadcrumb);
                            create(client, &paths.epoch, epoch_version, &path, &data, &options).await
                        }
                    },
                    Err(error) => Err(error),
                };
                match written {
                    Ok(()) => break,
                    Err(Error::NoNode) => {
                        let _ = directories::ensure(client, paths, settings.access.digest.is_some()).await;
                        before_retry(client).await;
                    }
                    // The heartbeat finds out as well, and it is the one to say so.
                    Err(Error::BadVersion) => std::future::pending().await,
                    Err(_) => before_retry(client).await,
                }
            }
            announcement.set_written(Some(breadcrumb));
        }
        if wanted.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn create(
    client: &Client,
    epoch: &str,
    version: Option<i32>,
    path: &str,
    data: &[u8],
    options: &zookeeper_client::CreateOptions<'_>,
) -> Result<(), Error> {
    let Some(version) = version else { return client.create(path, data, options).await.map(|_| ()) };
    let mut writer = client.new_multi_writer();
    writer.add_check_version(epoch, version)?;
    writer.add_create(path, data, options)?;
    match writer.commit().await {
        Ok(_) => Ok(()),
        Err(MultiWriteError::OperationFailed { index: 0, .. }) => Err(Error::BadVersion),
        Err(error) => Err(error.into()),
    }
}

/// A ServiceInstance as Curator's JsonInstanceSerializer writes it.
fn instance(node: &str, breadcrumb: &Breadcrumb) -> Vec<u8> {
    let (address, port) = address(&breadcrumb.endpoints).unwrap_or_else(|| (node.to_owned(), None));
    let epoch = (breadcrumb.epoch != NO_EPOCH).then_some(breadcrumb.epoch);
    let registered = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    json!({
        "name": "coordinator",
        "id": node,
        "address": address,
        "port": port,
        "sslPort": null,
        "payload": {"node": node, "epoch": epoch, "endpoints": breadcrumb.endpoints},
        "registrationTimeUTC": u64::try_from(registered).unwrap_or(u64::MAX),
        "serviceType": "DYNAMIC",
        "uriSpec": null,
    })
    .to_string()
    .into_bytes()
}

/// Host and port of the endpoint `web`, or else of the first one.
fn address(endpoints: &BTreeMap<String, String>) -> Option<(String, Option<u16>)> {
    let endpoint = endpoints.get("web").or_else(|| endpoints.values().next())?;
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => Some((host.trim_matches(['[', ']']).to_owned(), Some(port))),
        None => Some((authority.trim_matches(['[', ']']).to_owned(), default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(name: &str, endpoint: &str) -> Option<(String, Option<u16>)> {
        address(&[(name.to_owned(), endpoint.to_owned())].into())
    }

    #[test]
    fn an_address_is_found_in_urls_and_in_host_and_port() {
        assert_eq!(address_of("web", "http://node-a:9047/ui"), Some(("node-a".into(), Some(9047))));
        assert_eq!(address_of("jdbc", "node-a:31010"), Some(("node-a".into(), Some(31010))));
        assert_eq!(address_of("web", "https://node-a"), Some(("node-a".into(), Some(443))));
        assert_eq!(address_of("web", "http://[::1]:80/"), Some(("::1".into(), Some(80))));
        assert_eq!(address(&BTreeMap::new()), None);
    }

    #[test]
    fn web_comes_before_the_alphabet() {
        let endpoints = [("jdbc", "a:1"), ("web", "b:2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(address(&endpoints.into()), Some(("b".into(), Some(2))));
    }
}
