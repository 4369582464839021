//! The cluster as it is written in ZooKeeper, read with one short session.
//!
//! Which node is named as the active one: [`contents::active`].

use std::time::{Duration, SystemTime};

use zookeeper_client as zk;

use super::Error;
use crate::config::ZooKeeper;
use crate::guardian::protocol::ZooKeeperAccess;
use crate::intents::decide::Picture;
use crate::intents::{Change, Intended};
use crate::status::{Breadcrumb, ClusterView, HistoryEntry, Member, MemberRow};
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, Trouble, contents, directories, intents, known};

/// For connecting, and for reading everything.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Ensemble {
    cluster: String,
    pub(super) config: ZooKeeper,
}

impl Ensemble {
    pub fn new(cluster: &str, config: ZooKeeper) -> Self {
        Self { cluster: cluster.to_owned(), config }
    }

    /// # Errors
    /// Nobody could be asked.
    pub fn cluster(&self) -> Result<ClusterView, Error> {
        self.ask(async |client| self.read_cluster(client).await)
    }

    /// Newest first.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        self.ask(async |client| self.read_history(client).await)
    }

    /// The cluster and what people want of it.
    pub(super) fn seen(&self) -> Result<(ClusterView, Intended), Error> {
        self.ask(async |client| Ok((self.read_cluster(client).await?, intents::read(client, &self.paths()).await?)))
    }

    /// All that a decision looks at, with the time by the servers' clock.
    pub(super) fn picture(&self) -> Result<Picture, Error> {
        self.ask(async |client| {
            let paths = self.paths();
            let cluster = self.read_cluster(client).await?;
            let intended = intents::read(client, &paths).await?;
            let now = self.server_now(client, &paths).await?;
            let last = understood(client, &paths.active, contents::breadcrumb).await?;
            let mut last_host_today = None;
            if let Some(last) = &last {
                let read = |data: &[u8]| contents::member(&last.node, data);
                let member = understood(client, &paths.member(&last.node), read).await?;
                last_host_today = member.and_then(|member| member.process?.host);
            }
            Ok(Picture { cluster, intended, now, last, last_host_today })
        })
    }

    /// Whether it was written: not where something else was written since.
    pub(super) fn write(&self, change: &Change) -> Result<bool, Error> {
        let digest = self.config.digest.is_some();
        self.ask(async |client| match intents::write(client, &self.paths(), digest, change).await {
            Ok(()) => Ok(true),
            Err(zk::Error::BadVersion | zk::Error::NodeExists | zk::Error::NoNode) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// A server stamps what is written; so something is, and does not stay.
    async fn server_now(&self, client: &zk::Client, paths: &Paths) -> Result<SystemTime, zk::Error> {
        let path = format!("{}/clock-{}", paths.cluster, uuid::Uuid::new_v4());
        let options = directories::options(zk::CreateMode::Ephemeral, self.config.digest.is_some());
        let (stat, _) = client.create(&path, b"", &options).await?;
        client.delete(&path, None).await?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(stat.ctime).unwrap_or(0)))
    }

    pub(super) fn paths(&self) -> Paths {
        Paths::new(&self.config.root, &self.cluster)
    }

    pub(super) fn ask<T>(&self, read: impl AsyncFnOnce(&zk::Client) -> Result<T, zk::Error>) -> Result<T, Error> {
        let failed = |reason: String| Error::ZooKeeper { servers: self.config.servers.clone(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        runtime.block_on(async {
            let access = ZooKeeperAccess { session_timeout: PATIENCE, ..zookeeper::access(&self.config) };
            let session = zookeeper::open_within(&access, PATIENCE, Trouble::may_be_about_to_serve).await?;
            let client = &session.client;
            let answer = async {
                match self.others(client).await? {
                    Some(known) => Ok(Err(known)),
                    None => read(client).await.map(Ok),
                }
            };
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            zookeeper::close(session).await;
            match answer {
                Err(_) => Err(failed(format!("gave a session, but no answer within {} s", PATIENCE.as_secs()))),
                Ok(Err(zk::Error::NoAuth)) => Err(failed(format!(
                    "{} may not be read: does zookeeper.digest_file hold this cluster's digest?",
                    self.path("")
                ))),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Ok(Ok(Err(known))) => {
                    Err(Error::UnknownCluster { cluster: self.cluster.clone(), root: self.config.root.clone(), known })
                }
                Ok(Ok(Ok(answer))) => Ok(answer),
            }
        })
    }

    /// The clusters that there are instead, if this one is not known.
    async fn others(&self, client: &zk::Client) -> Result<Option<Vec<String>>, zk::Error> {
        if client.check_stat(self.path("").trim_end_matches('/')).await?.is_some() {
            return Ok(None);
        }
        let mut known = children(client, &self.config.root).await.or_else(|error| match error {
            zk::Error::NoAuth => Ok(Vec::new()),
            error => Err(error),
        })?;
        known.retain(|name| !name.starts_with('.'));
        known.sort();
        Ok(Some(known))
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/{}/{rest}", self.config.root.trim_end_matches('/'), self.cluster)
    }

    async fn read_cluster(&self, client: &zk::Client) -> Result<ClusterView, zk::Error> {
        let epoch = understood(client, &self.path("epoch"), contents::epoch).await?;
        let breadcrumb = understood(client, &self.path("active"), contents::breadcrumb).await?;
        let intended = intents::read(client, &self.paths()).await?;
        let mut members: Vec<Member> = Vec::new();
        let directory = self.path("members");
        for name in children(client, &directory).await? {
            let read = |data: &[u8]| contents::member(&name, data);
            members.extend(understood(client, &format!("{directory}/{name}"), read).await?);
        }
        members.sort_by(|a, b| a.row.node.cmp(&b.row.node));
        let absent = self.read_absent(client, &members, breadcrumb.as_ref()).await?;
        let active =
            contents::active(breadcrumb.as_ref(), |node| members.iter().find(|it| it.row.node == node).cloned());
        let cluster = ClusterView {
            cluster: self.cluster.clone(),
            epoch,
            active,
            paused: intended.control.paused.is_some(),
            switchover: contents::shown(intended.control.switchover.as_ref()),
            action: intended.action(),
            last_switchover: contents::shown(intended.control.ended.as_ref()),
            members,
            absent,
        };
        // The sessions live; how recently they were heard of only the ensemble knows.
        Ok(cluster.shown(None))
    }

    /// Nodes that are known and not among the members.
    async fn read_absent(
        &self,
        client: &zk::Client,
        members: &[Member],
        breadcrumb: Option<&Breadcrumb>,
    ) -> Result<Vec<MemberRow>, zk::Error> {
        let paths = self.paths();
        let mut absent = Vec::new();
        for name in children(client, &paths.known).await? {
            if members.iter().any(|member| member.row.node == name) {
                continue;
            }
            let (data, stat) = match client.get_data(&paths.known_node(&name)).await {
                Err(zk::Error::NoNode) => continue,
                read => read?,
            };
            let mut seen = stat.mtime;
            // Where everybody went at once nobody was left to note it, but one of them led until then.
            if breadcrumb.is_some_and(|breadcrumb| breadcrumb.node == name) {
                for path in [&paths.active, &paths.heartbeat] {
                    seen = client.check_stat(path).await?.map_or(seen, |stat| seen.max(stat.mtime));
                }
            }
            absent.extend(known::absent(&name, &data, seen));
        }
        Ok(absent)
    }

    /// Forgets a node that will not come back.
    pub(super) fn forget(&self, node: &str) -> Result<Result<(), known::Refused>, Error> {
        self.ask(async |client| {
            let breadcrumb = understood(client, &self.path("active"), contents::breadcrumb).await?;
            let may_lead = breadcrumb.is_some_and(|breadcrumb| breadcrumb.node == node && !breadcrumb.clean);
            known::forget(client, &self.paths(), node, may_lead).await
        })
    }

    async fn read_history(&self, client: &zk::Client) -> Result<Vec<HistoryEntry>, zk::Error> {
        let directory = self.path("history");
        let mut entries = Vec::new();
        for name in children(client, &directory).await? {
            let read = |data: &[u8]| contents::entry(&name, data);
            entries.extend(understood(client, &format!("{directory}/{name}"), read).await?);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
        Ok(entries)
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

pub(super) async fn understood<T>(
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
