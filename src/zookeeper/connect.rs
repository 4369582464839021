//! How a session is opened, carried to another connection, and closed.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::debug;
use zookeeper_client::{Client, Connector, Error, SessionInfo, StateWatcher};

use super::backoff::{Backoff, shuffle, spread};
use super::diagnosis::{self, Clause, Failure, Trouble};
use super::executor::{self, Tasks};
use super::gate::{self, Gate};
use super::names::{LOOKUP, Names, Server, servers};
use super::tls;
use crate::clock;
use crate::guardian::protocol::ZooKeeperAccess;
use crate::moment::Moment;

/// How long the end of a session is waited for. Measured: at most 8 ms with a server that answers.
const CLOSE: Duration = Duration::from_millis(500);

/// How long a connection's task may take to be dropped. It takes microseconds.
const PARTING: Duration = Duration::from_secs(1);

/// What a silent server has at first when a lease is at stake. Less than a starting server's deaf moments are ahead of its
/// serving.
const FIRST_PATIENCE: Duration = Duration::from_millis(125);

/// The shortest pause between two rounds of attempts to go on with a session.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest one while a lease is at stake.
const LONGEST_AT_STAKE: Duration = Duration::from_millis(250);

/// The longest one while nothing is.
const LONGEST: Duration = Duration::from_secs(1);

/// How long an address that said nothing is knocked at before that is begun anew: the kernel's own repetitions become rarer
/// and rarer.
const KNOCK: Duration = Duration::from_millis(500);

/// What one address has at first for a session, where there are others.
const SHARE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Between two attempts of somebody who waits for servers that are starting.
const AGAIN: Duration = Duration::from_millis(250);

/// A session and its connection.
pub struct Session {
    pub client: Client,
    connection: Tasks,
    gate: Option<Gate>,
    address: SocketAddr,
    /// Clock before this connection was asked for.
    asked: Moment,
    /// Tells of every change since.
    states: StateWatcher,
}

/// A session without a connection, and nobody at work on one.
pub struct Parted {
    info: SessionInfo,
    /// Where it was served.
    from: SocketAddr,
}

impl Session {
    /// Takes the connection away and leaves the session as it is; `None` if it is unknown whether that was done.
    ///
    /// The crate closes a session when its last handle is dropped while the connection is served. This session must live,
    /// for a lease may rest on it: so the handle outlasts the connection's task, for ever if that cannot be seen to end.
    pub async fn part(self) -> Option<Parted> {
        let handle = ManuallyDrop::new(self.client);
        let _gate = self.gate;
        timeout(PARTING, self.connection.cancel()).await.ok()?;
        Some(Parted { info: ManuallyDrop::into_inner(handle).into_session(), from: self.address })
    }

    /// Where its server is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// When this connection had not been asked for yet: what the server grants, it has granted after that.
    pub const fn asked(&self) -> Moment {
        self.asked
    }

    /// Tells of every change since the session was granted to this connection. The crate may replace the connection by itself, and
    /// nobody can see what is granted then: any change means that this connection is lost.
    pub fn states(&self) -> StateWatcher {
        self.states.clone()
    }
}

/// Closes a session whose other handles were dropped; says whether its end was confirmed. Else it expires by itself.
pub async fn close(session: Session) -> bool {
    let Session { client, connection, gate, .. } = session;
    let mut state = client.state_watcher();
    drop(client);
    let ended = async { while !state.changed().await.is_terminated() {} };
    let confirmed = timeout(CLOSE, ended).await.is_ok();
    // What carries the goodbye goes after it.
    drop((connection, gate));
    confirmed
}

/// Why an attempt brought no session.
#[derive(Debug)]
enum Refusal {
    /// `zookeeper.tls` cannot be used.
    Settings(String),
    Expired,
    Authentication,
    /// It took all the time it had.
    Silent,
    Other(String),
}

/// Opens a session: one round over every address of every server, the last good one first. A server whose name is still
/// being looked up keeps nobody waiting.
///
/// # Errors
/// What is wrong with each of them.
pub async fn open(access: &ZooKeeperAccess) -> Result<Session, Failure> {
    around(access).await.result().await
}

/// As [`open`], for whoever has no time to find out what is wrong.
pub async fn open_or_not(access: &ZooKeeperAccess) -> Option<Session> {
    around(access).await.session
}

async fn around(access: &ZooKeeperAccess) -> Round<'_> {
    let mut round = Round::new(access);
    if let Some((server, address)) = round.names.last_good(&round.servers) {
        round.knock(&server, address, false).await;
    }
    let names = round.names;
    let servers = round.servers.clone();
    let mut lookups: FuturesUnordered<_> =
        servers.into_iter().map(async |server| (names.resolve(&server.host, LOOKUP).await, server)).collect();
    while round.goes_on()
        && let Some((found, server)) = lookups.next().await
    {
        let addresses = match found {
            Ok(addresses) => addresses,
            Err(problem) => {
                round.clauses.push(diagnosis::of_name(&server, &problem));
                continue;
            }
        };
        let alone = addresses.len() == 1 && round.servers.len() == 1;
        for address in addresses.into_iter().map(|address| SocketAddr::new(address, server.port)) {
            if names.patience(address).is_some() && !alone {
                // One that has said nothing before comes after the others, and only if it takes connections by then.
                round.failed.push((server.clone(), address, Refusal::Silent));
            } else {
                round.knock(&server, address, alone).await;
            }
        }
    }
    // Whoever is slow, and not dead, has more time in the next turn.
    while round.goes_on() && clock::now() < round.until {
        let Some(again) = round.who_is_slow().await else { break };
        for (server, address) in again {
            round.knock(&server, address, false).await;
        }
    }
    round
}

/// As [`open`], again and again for a while as long as `worth_waiting` says so of what is wrong.
///
/// # Errors
/// What was wrong in the last round.
pub async fn open_within(
    access: &ZooKeeperAccess,
    patience: Duration,
    worth_waiting: impl Fn(Trouble) -> bool,
) -> Result<Session, Failure> {
    let until = clock::now() + patience;
    loop {
        match open(access).await {
            Err(failure) if clock::now() < until && failure.is_all(&worth_waiting) => sleep(spread(AGAIN)).await,
            result => return result,
        }
    }
}

/// One round over the addresses.
struct Round<'a> {
    access: &'a ZooKeeperAccess,
    names: &'static Names,
    servers: Vec<Server>,
    until: Moment,
    session: Option<Session>,
    /// Nobody else need be asked.
    decided: bool,
    failed: Vec<(Server, SocketAddr, Refusal)>,
    clauses: Vec<Clause>,
}

impl<'a> Round<'a> {
    fn new(access: &'a ZooKeeperAccess) -> Self {
        let names = Names::of_this_process();
        for (host, addresses) in &access.addresses {
            names.learn(host, addresses);
        }
        let mut servers = servers(&access.servers);
        shuffle(&mut servers);
        let until = clock::now() + access.session_timeout;
        Self { access, names, servers, until, session: None, decided: false, failed: Vec::new(), clauses: Vec::new() }
    }

    fn goes_on(&self) -> bool {
        self.session.is_none() && !self.decided
    }

    /// Asks one address. One that is `alone` may take most of what a server's answer is worth waiting for.
    async fn knock(&mut self, server: &Server, address: SocketAddr, alone: bool) {
        if !self.goes_on() || self.failed.iter().any(|(_, asked, _)| *asked == address) {
            return;
        }
        if clock::now() >= self.until {
            return self.failed.push((server.clone(), address, Refusal::Silent));
        }
        let session = self.access.session_timeout;
        let share = if alone { session * 2 / 5 } else { (session / 4).min(SHARE.1) }.max(SHARE.0);
        let left = self.until.since(clock::now());
        let limit = self.names.patience(address).unwrap_or(share).min(session.max(SHARE.0)).min(left);
        match attempt(self.access, None, server, address, limit).await {
            Ok(session) => {
                self.names.note_good(address);
                self.session = Some(session);
            }
            Err(refusal) => {
                debug!(%server, %address, ?refusal, "no session here");
                if matches!(refusal, Refusal::Silent) {
                    self.names.note_silent(address, (limit * 2).min(session / 2).max(SHARE.0));
                }
                self.decided |= matches!(refusal, Refusal::Settings(_) | Refusal::Authentication);
                self.failed.push((server.clone(), address, refusal));
            }
        }
    }

    /// Those that take connections, if some of them have said nothing in time: these come last. None of them has failed so far.
    async fn who_is_slow(&mut self) -> Option<Vec<(Server, SocketAddr)>> {
        let opens = self.failed.iter().map(async |(_, address, _)| {
            timeout(KNOCK, TcpStream::connect(address)).await.is_ok_and(|connected| connected.is_ok())
        });
        let mut opens = futures::future::join_all(opens).await.into_iter();
        let (open, closed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.failed).into_iter().partition(|_| opens.next().unwrap_or(false));
        if !open.iter().any(|(_, _, refusal)| matches!(refusal, Refusal::Silent)) {
            self.failed = open.into_iter().chain(closed).collect();
            return None;
        }
        self.failed = closed;
        let mut again = open;
        again.sort_by_key(|(_, _, refusal)| matches!(refusal, Refusal::Silent));
        Some(again.into_iter().map(|(server, address, _)| (server, address)).collect())
    }

    async fn result(mut self) -> Result<Session, Failure> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        let material = tls::current(self.access.tls.as_ref());
        let looks = self.failed.iter().map(async |(server, address, refusal)| match refusal {
            Refusal::Settings(what) => Clause::general(Trouble::Settings, what.clone()),
            Refusal::Authentication => diagnosis::of_authentication(server, *address, self.access.digest.is_some()),
            Refusal::Other(why) => diagnosis::of_address(server, *address, material.as_ref(), Some(why.as_str())).await,
            Refusal::Expired | Refusal::Silent => {
                diagnosis::of_address(server, *address, material.as_ref(), None).await
            }
        });
        self.clauses.extend(futures::future::join_all(looks).await);
        Err(Failure::new(self.clauses))
    }
}

async fn attempt(
    access: &ZooKeeperAccess,
    session: Option<&SessionInfo>,
    server: &Server,
    address: SocketAddr,
    limit: Duration,
) -> Result<Session, Refusal> {
    let asked = clock::now();
    let through = async {
        let gate = match tls::current(access.tls.as_ref()) {
            None => None,
            Some(material) => {
                let config = tls::config(&material).map_err(Refusal::Settings)?;
                let opened = async {
                    let stream = TcpStream::connect(address).await?;
                    Gate::open(gate::shake_hands(stream, &server.host, config).await?).await
                };
                Some(opened.await.map_err(|error| Refusal::Other(tls::problem(&error)))?)
            }
        };
        let mut connector = connector(access);
        if let Some(session) = session {
            connector = connector.with_session(session.clone());
        }
        let to = gate.as_ref().map_or(address, Gate::address).to_string();
        // Nothing is awaited once there is a client: dropped in between, it would close the session.
        let (client, connection) = executor::scope(connector.connect(&to)).await;
        match client {
            Ok(client) => Ok(Session { states: client.state_watcher(), client, connection, gate, address, asked }),
            Err(Error::SessionExpired) => Err(Refusal::Expired),
            Err(Error::AuthFailed) => Err(Refusal::Authentication),
            Err(Error::Timeout) => Err(Refusal::Silent),
            Err(error) => Err(Refusal::Other(error.to_string())),
        }
    };
    timeout(limit, through).await.unwrap_or(Err(Refusal::Silent))
}

fn connector(access: &ZooKeeperAccess) -> Connector {
    let connector = Client::connector().with_session_timeout(access.session_timeout).with_fail_eagerly();
    match &access.digest {
        Some(digest) => connector.with_auth("digest", digest.as_bytes()),
        None => connector,
    }
}

/// What a session is wanted for, which says how hard to try.
#[derive(Clone, Copy, Debug)]
pub enum Stake {
    /// A lease that ends at about this moment.
    Lease {
        until: Moment,
    },
    Nothing,
}

impl Stake {
    /// How long to wait before the next round: a part of what is left of the lease, so that hardly anything of it can be
    /// lost by waiting; and once it is over there is nothing to hurry for.
    fn pause(self, now: Moment, idle: &mut Backoff) -> Duration {
        match self {
            Self::Lease { until } if now < until => spread((until.since(now) / 40).clamp(PAUSE, LONGEST_AT_STAKE)),
            Self::Lease { .. } | Self::Nothing => idle.pause(),
        }
    }

    fn first_patience(self, session_timeout: Duration) -> Duration {
        match self {
            Self::Lease { .. } => FIRST_PATIENCE,
            Self::Nothing => (session_timeout / 4).clamp(SHARE.0, SHARE.1),
        }
    }
}

/// Goes on with a session on whichever server answers first, however long that takes; `None` when the session has expired.
///
/// The crate's own way costs leases: it doubles its pauses up to seconds, and to a server that accepts and says nothing it
/// listens for two fifths of the session. A server that is starting does just that: measured, in 13 of 15 starts ZooKeeper
/// 3.8.0 never answered who came within the first 30 ms of its listening, a fifth of a second before it served. So the
/// addresses are asked in turn; one that is silent has an eighth of a second, and twice as long every next time, for a
/// handshake may honestly be slow. One that may not even take connections (a host that is gone) is knocked at aside, and
/// costs nobody's time until it opens.
///
/// Names are not waited for: what they meant before is asked at once, and what they mean by now joins when it is known.
pub async fn reopen(access: &ZooKeeperAccess, parted: &Parted, stake: Stake) -> Option<Session> {
    let names = Names::of_this_process();
    let mut servers = servers(&access.servers);
    shuffle(&mut servers);
    let mut patience: HashMap<SocketAddr, Duration> = HashMap::new();
    let (mut aside, mut knocks) = (Vec::new(), FuturesUnordered::new());
    let mut idle = Backoff::new(PAUSE * 5, LONGEST);
    loop {
        for server in &servers {
            names.refresh(&server.host);
        }
        let mut targets = targets(names, &servers, parted.from);
        if targets.is_empty() {
            // Only where this session was handed over by another process, say.
            for server in &servers {
                let _ = names.resolve(&server.host, LOOKUP).await;
            }
            targets = self::targets(names, &servers, parted.from);
        }
        for (server, address) in targets {
            if aside.contains(&address) {
                continue;
            }
            let limit = patience.get(&address).copied().unwrap_or_else(|| stake.first_patience(access.session_timeout));
            match attempt(access, Some(&parted.info), &server, address, limit).await {
                Ok(session) => {
                    names.note_good(address);
                    return Some(session);
                }
                Err(Refusal::Expired) => return None,
                Err(refusal) => {
                    debug!(%server, %address, ?refusal, "the session cannot go on here yet");
                    if matches!(refusal, Refusal::Silent) {
                        patience.insert(address, (limit * 2).min(access.session_timeout));
                        aside.push(address);
                        knocks.push(until_it_opens(address));
                    }
                }
            }
        }
        let mut pause = std::pin::pin!(sleep(stake.pause(clock::now(), &mut idle)));
        loop {
            tokio::select! {
                biased;
                Some(opened) = knocks.next() => {
                    aside.retain(|address| *address != opened);
                    if matches!(stake, Stake::Lease { .. }) {
                        break;
                    }
                }
                () = pause.as_mut() => break,
            }
        }
    }
}

/// Every known address of every server; the one that has just been left comes last.
fn targets(names: &Names, servers: &[Server], left: SocketAddr) -> Vec<(Server, SocketAddr)> {
    let mut targets: Vec<(Server, SocketAddr)> = Vec::new();
    for server in servers {
        for address in names.remembered(&server.host) {
            let address = SocketAddr::new(address, server.port);
            if !targets.iter().any(|(_, known)| *known == address) {
                targets.push((server.clone(), address));
            }
        }
    }
    targets.sort_by_key(|(_, address)| *address == left);
    targets
}

/// Whether there is more than one address to go to.
pub fn has_alternatives(access: &ZooKeeperAccess) -> bool {
    let names = Names::of_this_process();
    servers(&access.servers).iter().map(|server| names.remembered(&server.host).len()).sum::<usize>() > 1
}

/// Answers once the address takes connections, or refuses them at once: in either case asking it costs no time.
async fn until_it_opens(address: SocketAddr) -> SocketAddr {
    loop {
        match timeout(KNOCK, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return address,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return address,
            Ok(Err(_)) => sleep(KNOCK).await,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_lease_decides_how_often_is_asked() {
        let mut idle = Backoff::new(PAUSE * 5, LONGEST);
        let until = Moment::from_millis(10_000);
        let stake = Stake::Lease { until };
        let at = |left: u64| Moment::from_millis(10_000 - left);
        assert!(stake.pause(at(9000), &mut idle) >= Duration::from_millis(100));
        assert!(stake.pause(at(2000), &mut idle) <= Duration::from_millis(50));
        assert!(stake.pause(at(100), &mut idle) <= PAUSE);
        // The whole search, one attempt after another that fails at once: not fifty a second for as long as the session lives.
        let (mut now, mut attempts) = (at(7500), 0);
        while now < until + Duration::from_secs(10) {
            now = now + stake.pause(now, &mut idle);
            attempts += 1;
        }
        assert!((20..200).contains(&attempts), "{attempts}");
    }
}
