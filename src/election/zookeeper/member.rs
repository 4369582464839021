//! `members/<node>`: what this node tells the others of itself, and the proof that nobody else has its name.
//!
//! The last thing published wins; it is written beside the election, never before it. Everything here may be repeated
//! safely, because the node is ephemeral in this very session: so an unknown outcome is simply tried again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};
use zookeeper_client::{Client, CreateMode, Error, Stat};

use super::requests::{before_retry, is_definite, until_deleted};
use super::settings::Settings;
use crate::clock;
use crate::election::Fact;
use crate::host::ProcessIdentity;
use crate::moment::in_words;
use crate::processes;
use crate::status::{Member, MemberRow};
use crate::zookeeper::contents::{self, shortened};
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{directories, known};

/// A session ends when the server next looks: within a tick, and some more where it has just begun to serve.
const TICKS: u32 = 2;
/// The longest that another's session is believed to last.
const LONGEST_SESSION: Duration = Duration::from_secs(3600);

/// Keeps the node up to date for as long as the session lives; says in `registered` whether the name is ours. Never
/// ends by itself: while another has the name, it waits for the other to go.
pub async fn keep(
    client: Client,
    settings: &Settings,
    paths: &Paths,
    mut published: watch::Receiver<Option<Member>>,
    registered: &watch::Sender<bool>,
    facts: &mpsc::UnboundedSender<Fact>,
    hung_up: &Mutex<HungUp>,
) {
    let path = paths.member(&settings.node);
    let options = directories::options(CreateMode::Ephemeral, settings.access.digest.is_some());
    let mut told = None;
    lock(hung_up).connected();
    loop {
        let Some(member) = published.borrow_and_update().clone() else {
            if published.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let json = json(&member);
        let pause = lock(hung_up).pause(&json);
        if let Some(pause) = pause {
            warn!(
                path,
                bytes = json.len(),
                "the servers hang up when this member is written: is their jute.maxbuffer so small? it is left for a while"
            );
            let _ = timeout(pause, published.changed()).await;
            if lock(hung_up).pause(&json).is_some() && *published.borrow() == Some(member) {
                lock(hung_up).forgive();
            }
            continue;
        }
        lock(hung_up).writing(&json);
        let written = match client.create(&path, &json, &options).await {
            Err(Error::NodeExists) => claim_name(&client, settings, &path, &json, facts).await,
            Err(Error::NoNode) => {
                let _ = directories::ensure(&client, paths, settings.access.digest.is_some()).await;
                Err(Error::NoNode)
            }
            result => result.map(|(stat, _)| {
                stamped(&stat, facts);
                true
            }),
        };
        lock(hung_up).heard(written.as_ref().map(drop));
        match written {
            Ok(true) => {
                registered.send_replace(true);
                known::note(&client, paths, settings.access.digest.is_some(), &member.row).await;
                while update_or_gone(&client, &path, &mut published, hung_up, facts).await {}
                // The node is written anew below, by this session: the name has not been in doubt.
            }
            Ok(false) => {}
            Err(error) => {
                if is_definite(&error) && error != Error::NoNode && told.as_ref() != Some(&error) {
                    warn!(path, %error, "cannot register this member");
                    told = Some(error);
                }
                before_retry(&client).await;
            }
        }
    }
}

/// Waits for the next publication and writes it; false when the node has to be looked at again.
async fn update_or_gone(
    client: &Client,
    path: &str,
    published: &mut watch::Receiver<Option<Member>>,
    hung_up: &Mutex<HungUp>,
    facts: &mpsc::UnboundedSender<Fact>,
) -> bool {
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
        let json = json(&member);
        if lock(hung_up).pause(&json).is_some() {
            published.mark_changed();
            return false;
        }
        lock(hung_up).writing(&json);
        let written = client.set_data(path, &json, None).await;
        lock(hung_up).heard(written.as_ref().map(drop));
        match written {
            Ok(stat) => {
                stamped(&stat, facts);
                return true;
            }
            Err(Error::NoNode) => return false,
            Err(_) => before_retry(client).await,
        }
    }
}

/// Tells what the servers' clock said just now.
fn stamped(stat: &Stat, facts: &mpsc::UnboundedSender<Fact>) {
    let since = Duration::from_millis(u64::try_from(stat.mtime).unwrap_or(0));
    let _ = facts.send(Fact::Stamped { at: clock::now(), server: SystemTime::UNIX_EPOCH + since });
}

fn json(member: &Member) -> Vec<u8> {
    let row = MemberRow { reason: shortened(&member.row.reason), ..member.row.clone() };
    let member = Member { row, ..member.clone() };
    serde_json::to_vec(&member).expect("a member has only string keys")
}

fn lock(hung_up: &Mutex<HungUp>) -> MutexGuard<'_, HungUp> {
    hung_up.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that were lost while this node's member was on its way. A server hangs up on who sends more than it takes, and
/// says nothing: sent again over every connection, it would be repeated for ever.
#[derive(Debug, Default)]
pub struct HungUp {
    on_its_way: Option<Vec<u8>>,
    times: u32,
}

impl HungUp {
    /// As many are no accident.
    const NO_ACCIDENT: u32 = 3;
    /// Until it is tried again.
    const PAUSE: Duration = Duration::from_secs(60);

    /// There is another connection.
    fn connected(&mut self) {
        self.times = if self.on_its_way.is_some() { self.times + 1 } else { 0 };
    }

    /// How long this is not to be written.
    fn pause(&self, json: &[u8]) -> Option<Duration> {
        (self.times >= Self::NO_ACCIDENT && self.on_its_way.as_deref() == Some(json)).then_some(Self::PAUSE)
    }

    fn writing(&mut self, json: &[u8]) {
        if self.on_its_way.as_deref() != Some(json) {
            *self = Self { on_its_way: Some(json.to_vec()), times: 0 };
        }
    }

    /// An answer, or the connection's end.
    fn heard(&mut self, answer: Result<(), &Error>) {
        if answer.is_ok_and(|()| true) || answer.is_err_and(is_definite) {
            *self = Self::default();
        }
    }

    fn forgive(&mut self) {
        self.times = 0;
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
    let member = contents::member(&settings.node, &data);
    let process = member.as_ref().and_then(|member| member.process.clone());
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
            let theirs = member.and_then(|member| member.session_timeout_ms).map(Duration::from_millis);
            let session = client.session_timeout().max(theirs.unwrap_or_default().min(LONGEST_SESSION));
            let patience = session + settings.tick_time * TICKS;
            info!(
                path,
                patience = in_words(patience),
                "another process has, or had, this node's name: waiting for its session's end"
            );
            if !goes_within(client, path, &stat, patience).await? {
                say_duplicate(process.as_ref(), facts);
                until_deleted(client, path).await;
            }
            Ok(false)
        }
    }
}

/// Whether what was found goes within this time, in which ZooKeeper was in contact and served: no session ends while it does not.
async fn goes_within(client: &Client, path: &str, found: &Stat, patience: Duration) -> Result<bool, Error> {
    loop {
        let mut states = client.state_watcher();
        // Who answers this has a quorum.
        client.sync(path).await?;
        tokio::select! {
            gone = timeout(patience, until_deleted(client, path)) => {
                if gone.is_ok() {
                    return Ok(true);
                }
            }
            _ = states.changed() => {
                before_retry(client).await;
                continue;
            }
        }
        client.sync(path).await?;
        // Somebody else's by now: another claim, judged anew.
        return Ok(client.check_stat(path).await?.is_none_or(|stat| stat.czxid != found.czxid));
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

/// Who holds the name. Only the kernel of this boot proves a process dead: another boot may be this host's last one (then
/// its session ends by itself), or a clone's that is alive. An earlier session of this very process is a ghost too: this
/// process knows that it gave it up.
fn judge(holder: &ProcessIdentity, own: &ProcessIdentity) -> Holder {
    if !holder.is_among_those_of(own) {
        return Holder::Unknown;
    }
    if holder.is(own) || !processes::lives(holder.pid, holder.pid_started) { Holder::Ghost } else { Holder::Alive }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_servers_hang_up_on_is_not_sent_for_ever() {
        let mut hung_up = HungUp::default();
        for _ in 0..HungUp::NO_ACCIDENT {
            assert_eq!(hung_up.pause(b"large"), None);
            hung_up.connected();
            hung_up.writing(b"large");
        }
        hung_up.connected();
        assert!(hung_up.pause(b"large").is_some());
        assert_eq!(hung_up.pause(b"another"), None, "only that very content");
        hung_up.writing(b"another");
        hung_up.heard(Ok(()));
        hung_up.connected();
        assert_eq!(hung_up.pause(b"large"), None);
    }

    fn identity(host: &str, boot: &str, pid: i32, pid_started: u64) -> ProcessIdentity {
        let (host_id, boot_id) = (host.to_owned(), boot.to_owned());
        ProcessIdentity { host_id, boot_id, pid, pid_started, pid_namespace: Some(1), host: None }
    }

    #[test]
    fn only_the_proven_dead_are_ghosts() {
        let this = processes::own_identity();
        let (pid, started) = (this.pid, this.pid_started);
        let own = identity("h", "b", 1, 1);
        assert_eq!(judge(&identity("h", "b", pid, started), &own), Holder::Alive);
        assert_eq!(judge(&identity("h", "b", pid, started + 1), &own), Holder::Ghost);
        assert_eq!(judge(&own.clone(), &own), Holder::Ghost);
        for elsewhere in [
            identity("h", "another boot", pid, started + 1),
            identity("other", "b", 1, 1),
            identity("other", "another boot", 1, 1),
            identity("", "", 1, 1),
            ProcessIdentity { pid_namespace: Some(2), ..identity("h", "b", pid, started + 1) },
        ] {
            assert_eq!(judge(&elsewhere, &own), Holder::Unknown);
        }
    }
}
