//! The cluster as it is written in ZooKeeper, read with one short session.
//!
//! Which node is named as the active one: [`znodes::active`].

use std::time::Duration;

use zookeeper_client as zk;

use crate::client::Error;
use crate::config::ZooKeeper;
use crate::status::{ClusterView, HistoryEntry, Member, MemberView};
use crate::znodes::{self, Control};

/// For connecting and reading everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// For the session's orderly end; a session that is not ended stays until its timeout, which harms nobody.
const FAREWELL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Ensemble {
    cluster: String,
    config: ZooKeeper,
}

impl Ensemble {
    pub fn new(cluster: &str, config: ZooKeeper) -> Self {
        Self { cluster: cluster.to_owned(), config }
    }

    pub fn cluster(&self) -> Result<ClusterView, Error> {
        self.ask(async |client| self.read_cluster(client).await)
    }

    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        self.ask(async |client| self.read_history(client).await)
    }

    fn ask<T>(&self, read: impl AsyncFnOnce(&zk::Client) -> Result<T, zk::Error>) -> Result<T, Error> {
        let failed = |reason: String| Error::ZooKeeper { servers: self.config.servers.clone(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, async {
                let client = self.connect().await?;
                let answer = read(&client).await;
                Ok::<_, zk::Error>((client, answer))
            });
            match answer.await {
                Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Ok(Ok((client, answer))) => {
                    let mut states = client.state_watcher();
                    drop(client);
                    let closed = async { while !states.changed().await.is_terminated() {} };
                    let _ = tokio::time::timeout(FAREWELL, closed).await;
                    answer.map_err(|error| failed(error.to_string()))
                }
            }
        })
    }

    async fn connect(&self) -> Result<zk::Client, zk::Error> {
        let mut connector = zk::Client::connector().with_session_timeout(PATIENCE).with_fail_eagerly();
        if let Some(digest) = &self.config.digest {
            connector = connector.with_auth("digest", digest.reveal().as_bytes());
        }
        let Some(tls) = &self.config.tls else { return connector.connect(&self.config.servers).await };
        let mut options = zk::TlsOptions::new();
        if let Some(ca) = &tls.ca {
            options = options.with_pem_ca(ca)?;
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            options = options.with_pem_identity(cert, key.reveal())?;
        }
        connector.with_tls(options).secure_connect(&self.config.servers).await
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/{}/{rest}", self.config.root.trim_end_matches('/'), self.cluster)
    }

    async fn read_cluster(&self, client: &zk::Client) -> Result<ClusterView, zk::Error> {
        let epoch = understood(client, &self.path("epoch"), znodes::epoch).await?;
        let breadcrumb = understood(client, &self.path("active"), znodes::breadcrumb).await?;
        let control = Control::parse(data(client, &self.path("control")).await?.as_deref());
        let mut members: Vec<Member> = Vec::new();
        let directory = self.path("members");
        for name in children(client, &directory).await? {
            let read = |data: &[u8]| znodes::member(&name, data);
            members.extend(understood(client, &format!("{directory}/{name}"), read).await?);
        }
        members.sort_by(|a, b| a.node.cmp(&b.node));
        let active = znodes::active(breadcrumb.as_ref(), |node| members.iter().find(|it| it.node == node).cloned());
        Ok(ClusterView {
            cluster: self.cluster.clone(),
            epoch,
            active,
            paused: control.paused,
            switchover: control.switchover,
            members: members.into_iter().map(view).collect(),
        })
    }

    async fn read_history(&self, client: &zk::Client) -> Result<Vec<HistoryEntry>, zk::Error> {
        let directory = self.path("history");
        let mut entries = Vec::new();
        for name in children(client, &directory).await? {
            let read = |data: &[u8]| znodes::entry(&name, data);
            entries.extend(understood(client, &format!("{directory}/{name}"), read).await?);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
        Ok(entries)
    }
}

fn view(member: Member) -> MemberView {
    MemberView {
        node: member.node,
        role: member.role,
        state: member.state,
        status: member.status,
        epoch: member.epoch,
        since: member.since,
        ready: member.ready,
        api: member.api,
        endpoints: member.endpoints,
        priority: member.priority,
        tags: member.tags,
        eligible: member.eligible,
        reason: member.reason,
        version: member.version,
        // The session lives; how recently it was heard of only the ensemble knows.
        last_contact_ms: None,
        process: None,
    }
}

/// What may vanish between listing and reading is absent, not an error.
async fn data(client: &zk::Client, path: &str) -> Result<Option<Vec<u8>>, zk::Error> {
    match client.get_data(path).await {
        Ok((data, _)) => Ok(Some(data)),
        Err(zk::Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn understood<T>(
    client: &zk::Client,
    path: &str,
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, zk::Error> {
    let Some(data) = data(client, path).await? else { return Ok(None) };
    let value = read(&data);
    if value.is_none() {
        tracing::warn!(path, "znode not understood");
    }
    Ok(value)
}

async fn children(client: &zk::Client, path: &str) -> Result<Vec<String>, zk::Error> {
    match client.list_children(path).await {
        Err(zk::Error::NoNode) => Ok(Vec::new()),
        listed => listed,
    }
}
