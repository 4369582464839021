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

mod kept;
mod locker;
mod meeting;
mod trial;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::config::{Config, ElectionKind};
use crate::election::zookeeper::{Paths, Settings};
use crate::guardian::volume;
use crate::host::HostIdentity;
use crate::status::{PeerResult, PeerTest};
use crate::{clock, processes, zookeeper};

use self::locker::{on_volume, place};
use self::meeting::{answer, come, find_each_other};
use self::trial::{contend, hold};
use self::words::{STEP, Step, Word};

pub use self::locker::hold_lock;
pub use self::words::Plan;

/// The whole test, beside the wait for the other: its own limits, several times over, are what it should end by.
pub const LIMIT: Duration = Duration::from_secs(90);

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
        && let Some(test) = kept::earlier(client, paths, (&config.node, &host), plan, volume.as_deref()).await?
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
            kept::keep(client, paths, &test, [(&own.node, &own.host), (&other.node, &other.host)], &persistent).await?;
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
