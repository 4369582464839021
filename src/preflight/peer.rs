//! Two nodes try the volume's lock against each other, before it is trusted.
//!
//! One host alone cannot see whether a lock excludes other hosts: a mount with `local_lock`, an unmounted directory and a
//! file system without locks all look fine from there. So two nodes meet in ZooKeeper, each with an ephemeral node under
//! `peers/` in which it says how far it is; the one whose name comes first holds, the other one contends:
//!
//! ```text
//! holder     writes a file into lock.directory, a process of it locks that file ─► Locked
//! contender  reads the file: the same content? tries to lock it: refused?       ─► Tried
//! holder     kills the process that holds the lock                              ─► Released
//! contender  gets the lock                                                      ─► Done
//! ```
//!
//! The real lock is never touched, so the test may run beside an active coordinator. What was found is kept in
//! `verified/`, once per pair of hosts and volume. All of it runs in a process of its own, with a limit on every wait: a
//! dead mount hangs nobody else.
//!
//! Rejected: watches. The test lasts a second, once in the life of a pair of hosts.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use crate::config::{Config, ElectionKind};
use crate::election::zookeeper::{Paths, Settings};
use crate::guardian::volume::{self, files, problems};
use crate::host::HostIdentity;
use crate::status::{CheckResult, PeerResult, PeerTest};
use crate::{clock, processes, zookeeper};

use super::{fail, ok, time, warn};

/// Between two looks at what the other says.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// For one step of the other, once both are there; and for one call to the volume. A file server that recalls a
/// delegation first needs a lease and some seconds.
const STEP: Duration = Duration::from_secs(20);
/// Until the other is looked for again, in case that it was another run of it.
const ROUND: Duration = Duration::from_secs(1);
/// How long the contender tries to get a lock whose holder is dead. Measured on NFS: at most 50 ms.
const RELEASE: Duration = Duration::from_secs(5);

/// Bytes read of the other's file; a nonce has 36.
const NONCE_LIMIT: u64 = 256;

const REMEDY: &str = "mount the same NFSv4 volume on both hosts, without nolock or local_lock, and try again";

/// Whom to meet, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `None`: whoever waits for somebody, too.
    pub with: Option<String>,
    /// The other's host id, where it is known: an earlier result counts only for that host.
    pub host: Option<String>,
    pub wait: Duration,
    /// An earlier good result is enough.
    pub reuse: bool,
}

/// What one says to the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Word {
    node: String,
    host: String,
    /// This run of the test.
    nonce: String,
    volume: Option<String>,
    /// The nonce of the run that it has met.
    with: Option<String>,
    step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Here,
    Locked {
        file: String,
    },
    Tried {
        /// What kept the contender from the file or its content.
        unread: Option<String>,
        excluded: bool,
    },
    Released,
    Done {
        /// Milliseconds until the lock was free; `None`: it was not.
        got_after: Option<u64>,
    },
    /// The test is over: the verdict.
    Over(PeerTest),
}

/// What is kept in `verified/`.
#[derive(Serialize, Deserialize)]
struct LockRecord {
    /// Node and host id, both.
    hosts: Vec<(String, String)>,
    test: PeerTest,
}

/// For `primacy check --with-peer`.
/// The name of the check.
pub const NAME: &str = "volume.peer";
/// The whole test, beside the wait for the other: its own limits, several times over, are what it should end by.
pub const LIMIT: Duration = Duration::from_secs(90);

pub fn check(config: &Config, plan: &Plan) -> CheckResult {
    let test = run(config, plan);
    match test.result {
        PeerResult::Verified => ok(NAME, test.detail),
        PeerResult::Unverified => {
            warn(NAME, test.detail, "run primacy check --with-peer on both hosts at the same time")
        }
        PeerResult::Failed => fail(NAME, test.detail, REMEDY),
    }
}

/// The whole test, bounded in time.
pub fn run(config: &Config, plan: &Plan) -> PeerTest {
    if config.election == ElectionKind::Lock {
        return unverified(plan, "election = \"lock\" has no place where two nodes could meet");
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return unverified(plan, "no runtime");
    };
    let test = runtime.block_on(meet(config, plan)).unwrap_or_else(|why| unverified(plan, &why));
    // A thread may hang in the volume.
    runtime.shutdown_background();
    test
}

fn unverified(plan: &Plan, why: &str) -> PeerTest {
    PeerTest {
        result: PeerResult::Unverified,
        with: plan.with.clone(),
        volume: None,
        at: clock::timestamp(),
        detail: format!("the lock was not tried against another host: {why}"),
    }
}

/// This run's end of the meeting.
struct Meeting<'a> {
    client: &'a Client,
    own_path: String,
    other_path: String,
    own: Word,
}

impl Meeting<'_> {
    async fn say(&mut self, step: Step) -> Result<(), String> {
        self.own.step = step;
        let data = serde_json::to_vec(&self.own).map_err(|error| error.to_string())?;
        answer(self.client.set_data(&self.own_path, &data, None)).await.map(drop)
    }

    /// What the other says, as soon as it is `wanted`.
    async fn hear<T>(&self, what: &str, limit: Duration, wanted: impl Fn(&Word) -> Option<T>) -> Result<T, String> {
        let listen = async {
            loop {
                if let Some(word) = word(self.client, &self.other_path).await?
                    && word.with.as_ref() == Some(&self.own.nonce)
                    && let Some(found) = wanted(&word)
                {
                    return Ok(found);
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(limit, listen)
            .await
            .unwrap_or_else(|_| Err(format!("the other node did not {what} within {}", time(limit))))
    }

    /// So that it can read the last word.
    async fn until_the_other_leaves(&self) {
        let gone = async {
            while matches!(word(self.client, &self.other_path).await, Ok(Some(_))) {
                sleep(LOOK_AGAIN).await;
            }
        };
        let _ = timeout(STEP, gone).await;
    }
}

/// Both are there, and know it of each other. A node that an earlier run has left is soon replaced by its next one.
async fn find_each_other<'a>(
    client: &'a Client,
    paths: &Paths,
    own_path: &str,
    own: &Word,
    plan: &Plan,
) -> Result<(Meeting<'a>, Word), String> {
    let until = clock::now() + plan.wait;
    loop {
        let left = until.since(clock::now());
        let (other_path, other) = find(client, paths, own, plan, left).await?;
        let mut meeting = Meeting { client, own_path: own_path.to_owned(), other_path, own: own.clone() };
        meeting.own.with = Some(other.nonce.clone());
        meeting.say(Step::Here).await?;
        let here = meeting.hear("meet this one", ROUND.min(left), |word| Some(word.nonce.clone())).await;
        match here {
            Ok(nonce) if nonce == other.nonce => return Ok((meeting, other)),
            Err(problem) if clock::now() >= until => return Err(problem),
            Ok(_) | Err(_) => {}
        }
    }
}

async fn meet(config: &Config, plan: &Plan) -> Result<PeerTest, String> {
    let process = processes::own_identity();
    let settings = Settings::new(config, process);
    let paths = Paths::new(&settings.root, &settings.cluster);
    let directory = place(&config.lock.directory)?;
    let volume = {
        let directory = config.lock.directory.clone();
        on_volume(move || Ok(volume::id(&directory).ok().flatten())).await?
    };
    let session =
        zookeeper::open(&settings.access).await.map_err(|failure| format!("{failure} ({})", failure.remedy()))?;
    let met = meet_in(&session.client, config, plan, &settings, &paths, (directory, volume)).await;
    zookeeper::close(session).await;
    met
}

/// `place`: the directory to try in, and the volume's id.
async fn meet_in(
    client: &Client,
    config: &Config,
    plan: &Plan,
    settings: &Settings,
    paths: &Paths,
    place: (PathBuf, Option<String>),
) -> Result<PeerTest, String> {
    let ((directory, volume), host) = (place, HostIdentity::own().key(&settings.process.host_id));
    let acls = if settings.access.digest.is_some() { Acls::creator_all() } else { Acls::anyone_all() };
    let persistent = CreateMode::Persistent.with_acls(acls);
    for path in [&paths.peers, &paths.verified] {
        answer(client.mkdir(path, &persistent)).await?;
    }
    if plan.reuse
        && let Some(test) = earlier(client, paths, (&config.node, &host), plan, volume.as_deref()).await?
    {
        return Ok(test);
    }
    let own = Word {
        node: config.node.clone(),
        host: host.clone(),
        nonce: Uuid::new_v4().to_string(),
        volume: volume.clone(),
        with: None,
        step: Step::Here,
    };
    let own_path = paths.peer(&own.node, plan.with.as_deref());
    let ephemeral = CreateMode::Ephemeral.with_acls(acls);
    come(client, &own_path, &own, &ephemeral).await?;
    let tested = async {
        let (mut meeting, other) = find_each_other(client, paths, &own_path, &own, plan).await?;
        let test = if own.node < other.node {
            hold(&mut meeting, &other, &directory).await?
        } else {
            contend(&mut meeting, &other, &directory).await?
        };
        if own.node < other.node {
            keep(client, paths, &test, [(&own.node, &own.host), (&other.node, &other.host)], &persistent).await?;
            meeting.say(Step::Over(test.clone())).await?;
            meeting.until_the_other_leaves().await;
        } else {
            let over = |word: &Word| matches!(word.step, Step::Over(_)).then_some(());
            // It has come to the same result; waiting is a courtesy.
            let _ = meeting.hear("take in the result", STEP, over).await;
        }
        Ok(PeerTest { with: Some(other.node), ..test })
    }
    .await;
    let _ = timeout(STEP, client.delete(&own_path, None)).await;
    tested
}

/// Puts this node's word there. One that an earlier run left is taken away: it was this node's.
async fn come(client: &Client, path: &str, own: &Word, ephemeral: &CreateOptions<'_>) -> Result<(), String> {
    let data = serde_json::to_vec(own).map_err(|error| error.to_string())?;
    for _ in 0..3 {
        match client.create(path, &data, ephemeral).await {
            Ok(_) => return Ok(()),
            Err(Error::NodeExists) => match client.delete(path, None).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => return Err(error.to_string()),
            },
            Err(error) => return Err(format!("cannot create {path}: {error}")),
        }
    }
    Err(format!("another process keeps {path}"))
}

/// The other node, once it is there.
async fn find(
    client: &Client,
    paths: &Paths,
    own: &Word,
    plan: &Plan,
    left: Duration,
) -> Result<(String, Word), String> {
    let look = async {
        loop {
            let mut names = answer(client.list_children(&paths.peers)).await?;
            names.sort();
            for name in names {
                let Some((node, wanted)) = name.split_once('+') else { continue };
                let fits = node != own.node
                    && (wanted.is_empty() || wanted == own.node)
                    && plan.with.as_ref().is_none_or(|with| with == node);
                let path = format!("{}/{name}", paths.peers);
                if fits && let Some(word) = word(client, &path).await? {
                    return Ok((path, word));
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let who = plan.with.as_deref().unwrap_or("another node");
    timeout(left, look).await.unwrap_or_else(|_| Err(format!("{who} did not come within {}", time(plan.wait))))
}

async fn word(client: &Client, path: &str) -> Result<Option<Word>, String> {
    match client.get_data(path).await {
        Ok((data, _)) => Ok(serde_json::from_slice(&data).ok()),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

async fn hold(meeting: &mut Meeting<'_>, other: &Word, directory: &Path) -> Result<PeerTest, String> {
    let file = directory.join(format!(".primacy-peer-{}", meeting.own.nonce));
    let held = hold_on(meeting, other, &file).await;
    let leftover = file.clone();
    // What cannot be removed is harmless, and named after what it is.
    let _ = on_volume(move || std::fs::remove_file(leftover)).await;
    held
}

async fn hold_on(meeting: &mut Meeting<'_>, other: &Word, file: &Path) -> Result<PeerTest, String> {
    let (path, nonce) = (file.to_owned(), meeting.own.nonce.clone());
    on_volume(move || write(&path, &nonce)).await?;
    let path = file.to_owned();
    let mut holder = on_volume(move || Locker::start(&path, true)).await?;
    if holder.said != "locked" {
        return Err(format!("this host cannot lock a file that it has just created: {}", holder.said));
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    meeting.say(Step::Locked { file: name }).await?;
    let tried = |word: &Word| match &word.step {
        Step::Tried { unread, excluded } => Some((unread.clone(), *excluded)),
        _ => None,
    };
    let (unread, excluded) = meeting.hear("try the lock", STEP, tried).await?;
    on_volume(move || holder.kill()).await?;
    meeting.say(Step::Released).await?;
    let done = |word: &Word| match &word.step {
        Step::Done { got_after } => Some(*got_after),
        _ => None,
    };
    let got_after = meeting.hear("get the lock", STEP + RELEASE, done).await?;
    Ok(verdict(&meeting.own, other, unread, excluded, got_after))
}

async fn contend(meeting: &mut Meeting<'_>, other: &Word, directory: &Path) -> Result<PeerTest, String> {
    let locked = |word: &Word| match &word.step {
        Step::Locked { file } => Some(file.clone()),
        _ => None,
    };
    let name = meeting.hear("lock its file", STEP, locked).await?;
    if !name.starts_with(".primacy-peer-") || name.contains('/') {
        return Err(format!("the other node names a strange file: {name:?}"));
    }
    let file = directory.join(name);
    let (path, nonce) = (file.clone(), other.nonce.clone());
    let (unread, said) = on_volume(move || {
        let unread = match read(&path) {
            Ok(content) if content == nonce => None,
            Ok(_) => Some(format!("{} has another content here", path.display())),
            Err(error) => Some(format!("{}: {error}", path.display())),
        };
        let said = if unread.is_none() { Locker::start(&path, false)?.said.clone() } else { String::new() };
        Ok((unread, said))
    })
    .await?;
    if unread.is_none() && said != "busy" && said != "locked" {
        return Err(format!("this host cannot try the lock: {said}"));
    }
    let excluded = said == "busy";
    meeting.say(Step::Tried { unread: unread.clone(), excluded }).await?;
    meeting.hear("release its lock", STEP, |word| (word.step == Step::Released).then_some(())).await?;
    let readable = unread.is_none();
    let got_after = on_volume(move || if readable { gets(&file) } else { Ok(None) }).await?;
    meeting.say(Step::Done { got_after }).await?;
    Ok(verdict(&meeting.own, other, unread, excluded, got_after))
}

/// Tries until the lock is free; how many milliseconds that took.
fn gets(file: &Path) -> std::io::Result<Option<u64>> {
    let began = clock::now();
    loop {
        let after = clock::now().since(began);
        if Locker::start(file, false)?.said == "locked" {
            return Ok(u64::try_from(after.as_millis()).ok());
        }
        if after > RELEASE {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same on both sides.
fn verdict(own: &Word, other: &Word, unread: Option<String>, excluded: bool, got_after: Option<u64>) -> PeerTest {
    let (holder, contender) = if own.node < other.node { (own, other) } else { (other, own) };
    let (a, b) = (&holder.node, &contender.node);
    let ids = (holder.volume.as_ref(), contender.volume.as_ref());
    let failed = if let (Some(here), Some(there)) = ids
        && here != there
    {
        Some(format!("{a} sees the volume {here}, {b} the volume {there}: these are two"))
    } else if let Some(unread) = unread {
        Some(format!("{b} does not see what {a} writes ({unread}): these are two volumes"))
    } else if !excluded {
        Some(format!("{b} got the lock while {a} held it: locks of this volume do not exclude other hosts"))
    } else if got_after.is_none() {
        Some(format!(
            "{b} did not get the lock within {} after the process of {a} that held it had died",
            time(RELEASE)
        ))
    } else {
        None
    };
    let result = if failed.is_some() { PeerResult::Failed } else { PeerResult::Verified };
    let good = || {
        let after = got_after.unwrap_or_default();
        format!("{b} was kept out while {a} held the lock, and got it {after} ms after the holder's death")
    };
    PeerTest {
        result,
        with: None,
        volume: own.volume.clone().filter(|_| own.volume == other.volume),
        at: clock::timestamp(),
        detail: failed.unwrap_or_else(good),
    }
}

/// Keeps the result for this pair of hosts. Without a volume id there is nothing that it would be true of.
async fn keep(
    client: &Client,
    paths: &Paths,
    test: &PeerTest,
    hosts: [(&String, &String); 2],
    persistent: &CreateOptions<'_>,
) -> Result<(), String> {
    if test.volume.is_none() && test.result == PeerResult::Verified {
        return Ok(());
    }
    let record =
        LockRecord { hosts: hosts.map(|(node, host)| (node.clone(), host.clone())).to_vec(), test: test.clone() };
    let data = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
    let path = format!("{}/{}+{}", paths.verified, hosts[0].0, hosts[1].0);
    match client.create(&path, &data, persistent).await {
        Ok(_) => Ok(()),
        Err(Error::NodeExists) => answer(client.set_data(&path, &data, None)).await.map(drop),
        Err(error) => Err(error.to_string()),
    }
}

/// A good result of this volume, this host and the one in question.
async fn earlier(
    client: &Client,
    paths: &Paths,
    own: (&str, &str),
    plan: &Plan,
    volume: Option<&str>,
) -> Result<Option<PeerTest>, String> {
    for name in answer(client.list_children(&paths.verified)).await? {
        let Ok((data, _)) = client.get_data(&format!("{}/{name}", paths.verified)).await else { continue };
        let Ok(record) = serde_json::from_slice::<LockRecord>(&data) else { continue };
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

/// `lock.directory`, or what it is going to be created in.
fn place(directory: &Path) -> Result<PathBuf, String> {
    for path in [Some(directory), directory.parent()].into_iter().flatten() {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(path.to_owned()),
            // One that may not be looked into is there: the other node may well write in it.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(problems::of("use", path, &error));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(format!("{} does not exist; mount the volume", directory.display()))
}

fn write(path: &Path, content: &str) -> std::io::Result<()> {
    let (directory, name) = split(path)?;
    let mut file = files::create(&directory, name)?;
    std::io::Write::write_all(&mut file, content.as_bytes())?;
    file.sync_all()
}

/// What another node has written: a nonce.
fn read(path: &Path) -> std::io::Result<String> {
    let (directory, name) = split(path)?;
    let mut content = String::new();
    files::open(&directory, name, false)?.take(NONCE_LIMIT).read_to_string(&mut content)?;
    Ok(content)
}

fn split(path: &Path) -> std::io::Result<(std::fs::File, &str)> {
    let parts = path.parent().zip(path.file_name().and_then(std::ffi::OsStr::to_str));
    let (directory, name) = parts.ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok((files::directory(directory)?, name))
}

/// Another process that tries the lock, and keeps it until it is killed if it is to.
struct Locker {
    child: Child,
    /// `locked`, `busy`, or what went wrong.
    said: String,
}

impl Locker {
    fn start(file: &Path, keeps: bool) -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["try-lock", "--hold"])
            .arg(file)
            .stdin(if keeps { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let mut locker = Self { child, said: said.trim().to_owned() };
        if !keeps {
            locker.child.wait()?;
        }
        Ok(locker)
    }

    fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The other process: says whether it has the lock, and keeps it until its standard input ends.
pub fn hold_lock(path: &Path) -> String {
    let file = split(path).and_then(|(directory, name)| files::open(&directory, name, true));
    let locked = file.and_then(|file| Ok((volume::try_lock(&file)?, file)));
    match locked {
        Ok((true, file)) => {
            if let Err(error) = crate::output::print("locked\n") {
                return error.to_string();
            }
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(file);
            String::new()
        }
        Ok((false, _)) => "busy".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// On a thread of its own: a dead mount may block it for ever.
async fn on_volume<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, String> {
    match timeout(STEP, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the volume does not answer within {}", time(STEP))),
    }
}

/// An answer of ZooKeeper, in time.
async fn answer<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(STEP, request).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("ZooKeeper does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(node: &str, volume: &str) -> Word {
        Word {
            node: node.to_owned(),
            host: format!("host-{node}"),
            nonce: node.to_owned(),
            volume: Some(volume.to_owned()),
            with: None,
            step: Step::Here,
        }
    }

    #[test]
    fn a_directory_that_cannot_be_looked_into_is_not_taken_for_a_missing_one() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join(".primacy");
        assert_eq!(place(&directory).unwrap(), top.path(), "it is created in the volume's root");
        // Errors that root gets, too: a path that goes round in circles.
        std::os::unix::fs::symlink(&directory, &directory).unwrap();
        let problem = place(&directory).unwrap_err();
        assert!(problem.contains("ELOOP") && !problem.contains("does not exist"), "{problem}");
    }

    #[test]
    fn both_sides_come_to_the_same_verdict_and_only_one_outcome_is_good() {
        let judge = |there: &str, unread: Option<&str>, excluded, got| {
            let (a, b) = (word("a", "v"), word("b", there));
            let unread = unread.map(str::to_owned);
            let (mine, theirs) =
                (verdict(&a, &b, unread.clone(), excluded, got), verdict(&b, &a, unread, excluded, got));
            assert_eq!((mine.result, &mine.detail), (theirs.result, &theirs.detail));
            mine
        };
        assert_eq!(judge("v", None, true, Some(3)).result, PeerResult::Verified);
        for (test, words) in [
            (judge("w", None, true, Some(3)), "these are two"),
            (judge("v", Some("gone"), true, Some(3)), "does not see what a writes"),
            (judge("v", None, false, Some(3)), "b got the lock while a held it"),
            (judge("v", None, true, None), "did not get the lock"),
        ] {
            assert_eq!(test.result, PeerResult::Failed);
            assert!(test.detail.contains(words), "{}", test.detail);
        }
    }
}
