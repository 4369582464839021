//! From names to addresses.
//!
//! A look-up is a call into the C library that may block for ever, so each has a thread of its own, there are only so many,
//! and there is never more than one for a name: who asks meanwhile waits for the same answer. What was found is kept for as
//! long as the process lives, and serves whenever the name service does not: an address that was right a minute ago is a
//! better guess than none. Which address gave a session last is kept, too, and which ones said nothing.
//!
//! Rejected: the runtime's own look-up. Its threads are not counted, and the runtime waits for them when it ends.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock;
use crate::moment::Moment;

/// The port where none is given.
const PORT: u16 = 2181;

/// How many look-ups may be under way (or stuck) at a time: more than an ensemble has servers.
const LOOKUPS: usize = 8;

/// For a look-up's thread. Name services that are loaded into it are not modest.
const STACK: usize = 1 << 20;

/// How long a name is waited for before the name service counts as silent. Its own client asks again after 5 s; a server
/// that is two networks away answers in a tenth of a second.
pub const LOOKUP: Duration = Duration::from_secs(2);

/// How long an answer is good enough for whoever need not wait for another.
const FRESH: Duration = Duration::from_secs(2);

/// A server as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The servers of `host:port,host:port`.
pub fn servers(list: &str) -> Vec<Server> {
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(server).collect()
}

fn server(text: &str) -> Server {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().unwrap_or(PORT)),
        _ => (text, PORT),
    };
    Server { host: host.trim_matches(['[', ']']).to_owned(), port }
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// In the name service's words.
    Refused(String),
    /// Nothing was heard of it.
    Silent,
}

type Answer = Result<Vec<IpAddr>, String>;
type Lookup = dyn Fn(&str) -> Answer + Send + Sync;

/// What this process knows of names and addresses.
#[derive(Clone)]
pub struct Names {
    lookup: Arc<Lookup>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    addresses: HashMap<String, Vec<IpAddr>>,
    under_way: HashMap<String, watch::Receiver<Option<Answer>>>,
    /// When each was looked up last.
    asked: HashMap<String, Moment>,
    /// The last one that gave a session.
    good: Option<SocketAddr>,
    /// How long those may take next that took all the time they had.
    slow: HashMap<SocketAddr, Duration>,
}

impl Names {
    /// What every connection of this process shares.
    pub fn of_this_process() -> &'static Self {
        static NAMES: OnceLock<Names> = OnceLock::new();
        NAMES.get_or_init(|| Self::new(ask_the_system))
    }

    pub fn new(lookup: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a host without asking anybody.
    pub fn remembered(&self, host: &str) -> Vec<IpAddr> {
        match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.known().addresses.get(host).cloned().unwrap_or_default(),
        }
    }

    /// Takes over what another process has found out; what this one found out itself stays.
    pub fn learn(&self, host: &str, addresses: &[IpAddr]) {
        if !addresses.is_empty() {
            self.known().addresses.entry(host.to_owned()).or_insert_with(|| addresses.to_vec());
        }
    }

    /// A host's addresses; those of before where the name service refuses or says nothing.
    ///
    /// # Errors
    /// There is no answer, and never was one.
    pub async fn resolve(&self, host: &str, patience: Duration) -> Result<Vec<IpAddr>, Problem> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let answer = match self.look_up(host) {
            Some(mut answer) => match timeout(patience, answer.wait_for(Option::is_some)).await {
                Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err(String::new())).map_err(Problem::Refused),
                Ok(Err(_)) => Err(Problem::Refused("the look-up broke off".to_owned())),
                Err(_) => Err(Problem::Silent),
            },
            None => Err(Problem::Silent),
        };
        answer.or_else(|problem| {
            let remembered = self.remembered(host);
            if remembered.is_empty() { Err(problem) } else { Ok(remembered) }
        })
    }

    /// Looks a name up that has not been looked up for a while; nobody need wait for it.
    pub fn refresh(&self, host: &str) {
        let now = clock::now();
        let stale = self.known().asked.get(host).is_none_or(|asked| now.since(*asked) >= FRESH);
        if stale && host.parse::<IpAddr>().is_err() {
            drop(self.look_up(host));
        }
    }

    /// The look-up that is under way for a name, or another one; `None` if too many others are.
    fn look_up(&self, host: &str) -> Option<watch::Receiver<Option<Answer>>> {
        let mut known = self.known();
        if let Some(answer) = known.under_way.get(host) {
            return Some(answer.clone());
        }
        if known.under_way.len() >= LOOKUPS {
            return None;
        }
        known.asked.insert(host.to_owned(), clock::now());
        let (sender, answer) = watch::channel(None);
        let (names, name) = (self.clone(), host.to_owned());
        let work = move || {
            let found = (names.lookup)(&name);
            let mut known = names.known();
            if let Ok(addresses) = &found {
                known.addresses.insert(name.clone(), addresses.clone());
            }
            known.under_way.remove(&name);
            drop(known);
            sender.send_replace(Some(found));
        };
        // The thread's end needs the lock that is held here, so the entry is there before it is removed.
        let thread = std::thread::Builder::new().name("name-lookup".to_owned()).stack_size(STACK).spawn(work);
        match thread {
            Ok(_) => {
                known.under_way.insert(host.to_owned(), answer.clone());
                Some(answer)
            }
            Err(error) => Some(watch::channel(Some(Err(format!("no thread can be had to look it up: {error}")))).1),
        }
    }

    /// The address that gave a session last, if it is one of these servers'.
    pub fn last_good(&self, servers: &[Server]) -> Option<(Server, SocketAddr)> {
        let good = self.known().good?;
        let server = servers
            .iter()
            .find(|server| server.port == good.port() && self.remembered(&server.host).contains(&good.ip()));
        Some((server?.clone(), good))
    }

    pub fn note_good(&self, address: SocketAddr) {
        let mut known = self.known();
        known.good = Some(address);
        known.slow.remove(&address);
    }

    /// It has said nothing in the time it had: it comes last, and has this long then.
    pub fn note_silent(&self, address: SocketAddr, patience: Duration) {
        self.known().slow.insert(address, patience);
    }

    /// What an address may take that has been silent before.
    pub fn patience(&self, address: SocketAddr) -> Option<Duration> {
        self.known().slow.get(&address).copied()
    }
}

/// Every known address of a host whose name had to be looked up, for a process that may find no name service.
pub fn remembered(list: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let names = Names::of_this_process();
    let hosts = servers(list).into_iter().map(|server| server.host).filter(|host| host.parse::<IpAddr>().is_err());
    hosts.map(|host| (names.remembered(&host), host)).map(|(addresses, host)| (host, addresses)).collect()
}

fn ask_the_system(host: &str) -> Answer {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (host, 0).to_socket_addrs().map_err(|error| error.to_string())? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Long enough for any machine.
    const LIMIT: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(20);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn servers_are_split_into_hosts_and_ports() {
        let list = servers("zk1:2181, [fd00::1]:2281,10.0.0.1:1,zk2,[::1]");
        let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["zk1:2181", "[fd00::1]:2281", "10.0.0.1:1", "zk2:2181", "[::1]:2181"]);
        assert_eq!(list[1].host, "fd00::1");
    }

    #[tokio::test]
    async fn what_was_found_serves_while_the_name_service_refuses_and_while_it_is_silent() {
        let (healthy, silent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (works, hangs) = (Arc::clone(&healthy), Arc::clone(&silent));
        let names = Names::new(move |_| {
            while hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if works.load(Ordering::SeqCst) {
                Ok(vec![address("10.0.0.1"), address("::1")])
            } else {
                Err("no".to_owned())
            }
        });
        healthy.store(false, Ordering::SeqCst);
        assert_eq!(names.resolve("zk", LIMIT).await, Err(Problem::Refused("no".to_owned())));
        healthy.store(true, Ordering::SeqCst);
        let both = Ok(vec![address("10.0.0.1"), address("::1")]);
        assert_eq!(names.resolve("zk", LIMIT).await, both);
        healthy.store(false, Ordering::SeqCst);
        assert_eq!(names.resolve("zk", LIMIT).await, both);
        silent.store(true, Ordering::SeqCst);
        assert_eq!(names.resolve("zk", SHORT).await, both);
        assert_eq!(names.resolve("other", SHORT).await, Err(Problem::Silent));
        silent.store(false, Ordering::SeqCst);
    }

    #[tokio::test]
    async fn a_silent_name_service_holds_one_thread_for_a_name_and_only_so_many_altogether() {
        let (release, held) = mpsc::channel::<()>();
        let (held, asked) = (Arc::new(Mutex::new(held)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let names = Names::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = held.lock().unwrap().recv();
            Ok(vec![address("10.0.0.1")])
        });
        for _ in 0..3 {
            for name in 0..2 * LOOKUPS {
                assert_eq!(names.resolve(&format!("zk{name}"), Duration::from_millis(1)).await, Err(Problem::Silent));
            }
        }
        assert!(asked.load(Ordering::SeqCst) <= LOOKUPS);
        drop(release);
        assert_eq!(names.resolve("zk0", LIMIT).await, Ok(vec![address("10.0.0.1")]));
    }

    #[tokio::test]
    async fn who_need_not_wait_does_not_hammer_the_name_service() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Err("no".to_owned())
        });
        let _ = names.resolve("zk", LIMIT).await;
        for _ in 0..100 {
            names.refresh("zk");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let _ = names.resolve("zk", LIMIT).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2, "who waits is answered anew");
    }

    #[tokio::test]
    async fn an_address_needs_no_name_service() {
        let names = Names::new(|_| panic!("asked"));
        assert_eq!(names.resolve("fd00::1", LIMIT).await, Ok(vec![address("fd00::1")]));
        assert_eq!(names.resolve("10.0.0.1", LIMIT).await, Ok(vec![address("10.0.0.1")]));
    }

    #[test]
    fn the_last_good_address_is_one_of_the_servers_that_are_asked_for() {
        let names = Names::new(|_| Err("no".to_owned()));
        names.learn("zk", &[address("10.0.0.1"), address("10.0.0.2")]);
        assert_eq!(names.last_good(&servers("zk:1")), None);
        names.note_good("10.0.0.2:1".parse().unwrap());
        assert_eq!(names.last_good(&servers("other:1,zk:1")).unwrap().0.host, "zk");
        assert_eq!(names.last_good(&servers("zk:2")), None);
    }
}
