//! `members/<node>`: what this node tells the others of itself, and the proof that nobody else has its name.
//!
//! The last thing published wins; it is written beside the election, never before it. Everything here may be repeated
//! safely, because the node is ephemeral in this very session: so an unknown outcome is simply tried again.

use std::fs;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::libc::ESRCH;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};
use zookeeper_client::{Client, CreateMode, Error, Stat};

use super::paths::Paths;
use super::{Settings, before_retry, directories, is_definite, shortened, until_deleted};
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
            result => result.map(|_| true),
        };
        lock(hung_up).heard(written.as_ref().map(drop));
        match written {
            Ok(true) => {
                registered.send_replace(true);
                while update_or_gone(&client, &path, &mut published, hung_up).await {}
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

/// Waits for the next publication and writes it; false when the node has to be looked at again.
async fn update_or_gone(
    client: &Client,
    path: &str,
    published: &mut watch::Receiver<Option<Member>>,
    hung_up: &Mutex<HungUp>,
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
            Ok(_) => return true,
            Err(Error::NoNode) => return false,
            Err(_) => before_retry(client).await,
        }
    }
}

fn json(member: &Member) -> Vec<u8> {
    let member = Member { reason: shortened(&member.reason), ..member.clone() };
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
