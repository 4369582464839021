//! ZooKeeper: reachable, permitted, the session it grants, what that leaves for a lease, and its clock.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::config::{Config, Mode};
use crate::election::zookeeper::{Settings, Standing, standing};
use crate::moment::in_words;
use crate::status::CheckResult;
use crate::zookeeper::{self, Session, Trouble, other_tick};
use crate::{clock, processes};

use super::{fail, ok, warn};

/// Bounds everything after the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long servers are waited for that may be just starting: a Java machine on a busy host.
const STARTING: Duration = Duration::from_secs(5);

/// Timestamps in logs and history are compared across hosts by people; leases do not depend on them.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// The results, and the id of the cluster's volume if it has one.
pub fn check(config: &Config) -> (Vec<CheckResult>, Option<String>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(look(config)),
        Err(error) => (vec![fail("zookeeper", error.to_string(), "try again")], None),
    }
}

async fn look(config: &Config) -> (Vec<CheckResult>, Option<String>) {
    let settings = Settings::new(config, processes::own_identity());
    let session = match zookeeper::open_within(&settings.access, STARTING, Trouble::may_be_starting).await {
        Ok(session) => session,
        Err(failure) => return (vec![fail("zookeeper.servers", failure.to_string(), failure.remedy())], None),
    };
    let found = look_around(config, &settings, &session).await;
    zookeeper::close(session).await;
    found
}

async fn look_around(config: &Config, settings: &Settings, session: &Session) -> (Vec<CheckResult>, Option<String>) {
    let client = &session.client;
    let granted = client.session_timeout();
    let asked = config.zookeeper.session_timeout;
    let mut results = vec![if granted == asked {
        ok("zookeeper.session_timeout", format!("connected to {}; {} granted", session.address(), in_words(granted)))
    } else {
        warn(
            "zookeeper.session_timeout",
            format!("{} asked for, {} granted", in_words(asked), in_words(granted)),
            "the ensemble permits 2 to 20 ticks; what it grants is what counts",
        )
    }];
    results.extend(tick(config, session, granted).await);
    if config.mode == Mode::ActiveStandby {
        results.push(lease(config, granted));
    }
    results.extend(cluster(config, settings, client).await);
    match timeout(PATIENCE, try_node(client, config)).await {
        Ok(Ok(offset)) if offset <= CLOCK_TOLERANCE => {
            results.push(ok(
                "zookeeper.clock",
                format!("this host's clock is within {} of ZooKeeper's", in_words(offset)),
            ));
        }
        Ok(Ok(offset)) => results.push(warn(
            "zookeeper.clock",
            format!("this host's clock is {} away from ZooKeeper's", in_words(offset)),
            "synchronise the clocks, or history and logs will mislead; leases do not depend on it",
        )),
        Ok(Err(Error::NoAuth)) => results.push(fail(
            "zookeeper.permission",
            format!("{} may not be written", config.zookeeper.root),
            "set zookeeper.digest_file to a digest that the ACL of that node permits to create",
        )),
        Ok(Err(error)) => results.push(fail("zookeeper.write", error.to_string(), "see the server's log")),
        Err(_) => results.push(fail(
            "zookeeper.write",
            format!("no answer within {}", in_words(PATIENCE)),
            "has the ensemble a quorum?",
        )),
    }
    // A cluster that never had an active one has none; what else may be wrong was told above.
    let volume = timeout(PATIENCE, client.get_data(&settings.volume_path())).await;
    let volume = volume.ok().and_then(Result::ok).map(|(data, _)| String::from_utf8_lossy(&data).into_owned());
    (results, volume)
}

/// What the servers tell of their tick, and else what their grant betrays of it. The lease is reckoned with the configured one.
async fn tick(config: &Config, session: &Session, granted: Duration) -> Option<CheckResult> {
    const NAME: &str = "zookeeper.tick_time";
    const REMEDY: &str = "set zookeeper.tick_time to the servers' tickTime (in their zoo.cfg) on every node";
    let configured = config.zookeeper.tick_time;
    let plain = config.zookeeper.tls.is_none();
    let told = if plain { super::tick::told(session.address()).await } else { None };
    match told {
        Some(theirs) if theirs == configured => {
            Some(ok(NAME, format!("the servers' tickTime is {}, as configured", in_words(theirs))))
        }
        Some(theirs) => {
            let longer = if theirs > configured { ", and the lease is reckoned too long with it" } else { "" };
            let (theirs, ours) = (in_words(theirs), in_words(configured));
            Some(warn(
                NAME,
                format!("the servers' tickTime is {theirs}, not zookeeper.tick_time = {ours}{longer}"),
                REMEDY,
            ))
        }
        None => {
            other_tick(config.zookeeper.session_timeout, granted, configured).map(|problem| warn(NAME, problem, REMEDY))
        }
    }
}

/// Whether the cluster is known, and who may change what is written of it.
async fn cluster(config: &Config, settings: &Settings, client: &Client) -> Option<CheckResult> {
    let (name, root) = (&config.cluster, &config.zookeeper.root);
    match timeout(PATIENCE, standing(client, settings)).await.ok()? {
        Standing::New { others } if others.is_empty() => None,
        Standing::New { others } => Some(warn(
            "zookeeper.cluster",
            format!("no node of cluster {name:?} has ever connected; below {root} there is {}", others.join(", ")),
            "correct cluster or zookeeper.root, unless this is a new cluster",
        )),
        Standing::Anothers { path } => Some(fail(
            "zookeeper.digest_file",
            format!(
                "{path} belongs to somebody else: it may not be read {}",
                if config.zookeeper.digest.is_some() { "with this digest" } else { "without its digest" }
            ),
            "set zookeeper.digest_file to the digest that the cluster's other nodes use",
        )),
        Standing::Open { paths } => Some(warn(
            "zookeeper.digest_file",
            format!("anybody may change {}", paths.join(", ")),
            "start a node with zookeeper.digest_file: it protects what this digest may protect, and names what it may not",
        )),
        Standing::Protected => {
            Some(ok("zookeeper.digest_file", "only who knows the digest may change the cluster's nodes"))
        }
        Standing::Unprotected => None,
    }
}

fn lease(config: &Config, granted: Duration) -> CheckResult {
    let timing = config.timing(Some(granted));
    let sum = format!(
        "session {} - tick/2 {} - heartbeat {} - margin {} = {}",
        in_words(granted),
        in_words(timing.tick_time / 2),
        in_words(timing.heartbeat_interval),
        in_words(timing.margin),
        in_words(timing.length())
    );
    match timing.check() {
        Ok(()) => ok("lease", sum),
        Err(problem) => fail(
            "lease",
            format!("{sum}, less than four heartbeats ({})", in_words(problem.least)),
            format!("{}, or lower heartbeat_interval or margin", config.zookeeper.longer_session(granted)),
        ),
    }
}

/// Writes and removes a node of its own below the root; returns how far the clocks are apart.
async fn try_node(client: &Client, config: &Config) -> Result<Duration, Error> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let root = config.zookeeper.root.trim_end_matches('/');
    if !root.is_empty() {
        client.mkdir(root, &options).await?;
    }
    let path = format!("{root}/.check-{}", uuid::Uuid::new_v4());
    let (stat, _) = client.create(&path, b"", &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await?;
    client.delete(&path, None).await?;
    let stamped = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(stat.ctime).unwrap_or(0));
    let here = clock::wall();
    Ok(here.duration_since(stamped).unwrap_or_else(|error| error.duration()))
}
