//! `primacy rehearse`: faults on purpose, and what came of them, seen from outside as a load balancer sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::api::Api;
use super::sending::words;
use super::{Access, Client, Error};
use crate::clock;
use crate::intents::Fault;
use crate::moment::Moment;
use crate::status::ClusterView;
use crate::steering::orders::{Order, Rehearse, Switchover};

/// Between two questions to a member.
const INTERVAL: Duration = Duration::from_millis(10);
/// What a gap may last besides session and tick: to notice, to start.
const START: Duration = Duration::from_secs(3);
/// How long everybody may take to be back, besides the gap: a frozen supervisor is thawed after its session, a service manager
/// starts it again.
const BACK: Duration = Duration::from_secs(120);

/// What is rehearsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Switchover,
    Fault(Fault),
}

impl Scene {
    pub const ALL: [Self; 4] =
        [Self::Switchover, Self::Fault(Fault::Coordinator), Self::Fault(Fault::Supervisor), Self::Fault(Fault::Freeze)];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Fault(fault) => fault.as_str(),
        }
    }
}

/// What came of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Played {
    pub fault: &'static str,
    pub from: String,
    pub to: Option<String>,
    /// The longest time in which no member said that it leads.
    pub gap_ms: Option<u64>,
    pub limit_ms: u64,
    /// Two said so at once.
    pub two_at_once: bool,
    pub all_back: bool,
    pub passed: bool,
    /// What went wrong.
    pub problem: Option<String>,
}

/// A cluster that allows it.
pub struct Stage {
    client: Client,
    api: Arc<Api>,
    members: Vec<(String, String)>,
    limit: Duration,
}

/// Somebody said that it leads.
#[derive(Clone, Copy, Debug)]
struct Said {
    epoch: u64,
    sent: Moment,
    received: Moment,
}

impl Stage {
    /// # Errors
    /// Nobody could be asked, or a node does not allow it: why not.
    pub fn set(client: Client, access: Access, limit: Option<Duration>) -> Result<Self, Refused> {
        let view = client.cluster()?;
        let members: Vec<(String, String)> =
            view.members.iter().map(|member| (member.row.node.clone(), member.row.api.clone())).collect();
        let api = Arc::new(Api::new(members.iter().map(|(_, url)| url.clone()).collect(), access));
        let mut longest = Duration::ZERO;
        for (node, url) in &members {
            let config: Value =
                api.ask(url, "/config").map_err(|why| Refused::Not(format!("{node} does not answer: {why}")))?;
            if config["rehearsal"]["allowed"] != true {
                return Err(Refused::Not(format!(
                    "{node} allows no rehearsal: set rehearsal.allowed = true on every node"
                )));
            }
            let span =
                |key: &str| humantime::parse_duration(config["zookeeper"][key].as_str().unwrap_or_default()).ok();
            let session = span("session_timeout").unwrap_or_default() + span("tick_time").unwrap_or_default();
            longest = longest.max(session + START);
        }
        let stage = Self { client, api, members, limit: limit.unwrap_or(longest) };
        match stage.not_ready(&view) {
            Some(why) => Err(Refused::Not(format!("the cluster is not well before it begins: {why}"))),
            None => Ok(stage),
        }
    }

    /// Plays one scene, and waits until everybody is back.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn play(&self, scene: Scene) -> Result<Played, Error> {
        let view = self.client.cluster()?;
        let Some(active) = view.active.clone() else {
            return Ok(self.spoilt(scene, String::new(), "nobody leads".to_owned()));
        };
        let watch = Watch::begin(&self.api, &self.members);
        sleep(INTERVAL * 10);
        let before = self.coordinator(&active.api);
        let begun = clock::now();
        if let Err(why) = self.make(scene, &active.api, active.epoch) {
            return Ok(self.spoilt(scene, active.node, why));
        }
        let until = begun + self.limit + BACK;
        let mut to = None;
        while to.is_none() && clock::now() < until {
            sleep(Duration::from_millis(100));
            to = self.client.cluster().ok().and_then(|view| view.active).filter(|now| {
                // Restarted on the spot, or led by another one.
                let another = || self.coordinator(&now.api).is_some_and(|pid| Some(pid) != before);
                now.epoch > active.epoch || (now.epoch == active.epoch && another())
            });
        }
        let mut why = Some("nobody leads again".to_owned());
        while to.is_some() && clock::now() < until {
            why = match self.client.cluster() {
                Ok(view) => self.not_ready(&view),
                Err(error) => Some(error.to_string()),
            };
            if why.is_none() {
                break;
            }
            sleep(Duration::from_millis(250));
        }
        let said = watch.end();
        let gap = gap(&said, begun).filter(|_| to.is_some());
        let two_at_once = two_at_once(&said);
        let late = gap.is_none_or(|gap| gap > self.limit);
        let problem = match () {
            () if two_at_once => Some("two said at once that they lead".to_owned()),
            () if late => Some(why.clone().unwrap_or_else(|| "it took longer than the limit".to_owned())),
            () => why.clone(),
        };
        Ok(Played {
            fault: scene.as_str(),
            from: active.node,
            to: to.map(|now| now.node),
            gap_ms: gap.and_then(|gap| u64::try_from(gap.as_millis()).ok()),
            limit_ms: millis(self.limit),
            two_at_once,
            all_back: why.is_none(),
            passed: problem.is_none(),
            problem,
        })
    }

    fn spoilt(&self, scene: Scene, from: String, problem: String) -> Played {
        Played {
            fault: scene.as_str(),
            from,
            to: None,
            gap_ms: None,
            limit_ms: millis(self.limit),
            two_at_once: false,
            all_back: true,
            passed: false,
            problem: Some(problem),
        }
    }

    fn make(&self, scene: Scene, active: &str, epoch: u64) -> Result<(), String> {
        let reason = Some("a rehearsal".to_owned());
        let order = match scene {
            Scene::Switchover => {
                Order::Switchover(Switchover { expect_epoch: Some(epoch), reason, ..Switchover::default() })
            }
            Scene::Fault(fault) => Order::Rehearse(Rehearse { fault, reason }),
        };
        let answer = self.api.order_at(active, &order, "rehearse").map_err(|error| super::api::explain(&error))?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(words(&answer)) }
    }

    fn coordinator(&self, api: &str) -> Option<i64> {
        self.api.ask::<Value>(api, "/server_status").ok()?["coordinator"]["pid"].as_i64()
    }

    /// Why the next fault would not meet the cluster that the first one met.
    fn not_ready(&self, view: &ClusterView) -> Option<String> {
        let active = view.active.as_ref();
        let missing = self.members.iter().find(|(node, _)| view.members.iter().all(|it| it.row.node != *node));
        let unable = view
            .members
            .iter()
            .map(|member| &member.row)
            .find(|row| !row.eligible && active.is_none_or(|active| active.node != row.node));
        match (active, missing, unable) {
            (None, _, _) => Some("nobody leads".to_owned()),
            (_, Some((node, _)), _) => Some(format!("{node} is not back")),
            (_, _, Some(row)) => Some(format!("{} could not take over: {}", row.node, row.reason)),
            (Some(_), None, None) if view.paused => Some("elections are paused".to_owned()),
            (Some(_), None, None) => None,
        }
    }
}

/// Why nothing is rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Not(String),
    #[error(transparent)]
    Unasked(#[from] Error),
}

/// Members that are asked again and again.
struct Watch {
    over: Arc<AtomicBool>,
    said: Arc<Mutex<Vec<Said>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    fn begin(api: &Arc<Api>, members: &[(String, String)]) -> Self {
        let (over, said) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let threads = members.iter().map(|(_, url)| {
            let (api, url, over, said) = (Arc::clone(api), url.clone(), Arc::clone(&over), Arc::clone(&said));
            spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let sent = clock::now();
                    // 503 is an error here, and so is silence: neither says that it leads.
                    if let Ok(status) = api.ask::<Value>(&url, "/server_status")
                        && let Some(epoch) = status["epoch"].as_u64()
                    {
                        let one = Said { epoch, sent, received: clock::now() };
                        said.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    }
                    sleep(INTERVAL);
                }
            })
        });
        let threads = threads.collect();
        Self { over, said, threads }
    }

    fn end(self) -> Vec<Said> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The longest time between two of them, from `begun` on.
fn gap(said: &[Said], begun: Moment) -> Option<Duration> {
    let mut moments: Vec<Moment> = said.iter().map(|said| said.received).collect();
    moments.sort_unstable();
    moments.windows(2).filter(|pair| pair[1] >= begun).map(|pair| pair[1].since(pair[0])).max()
}

/// Whether an earlier leadership was claimed in answer to a question that was asked after a later one had been heard of.
fn two_at_once(said: &[Said]) -> bool {
    said.iter().any(|old| said.iter().any(|new| new.epoch > old.epoch && old.sent > new.received))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(epoch: u64, sent: u64, received: u64) -> Said {
        Said { epoch, sent: Moment::from_millis(sent), received: Moment::from_millis(received) }
    }

    #[test]
    fn a_gap_is_the_longest_silence_after_the_fault() {
        let all = [said(1, 0, 1), said(1, 90, 91), said(1, 100, 101), said(2, 150, 152), said(2, 160, 161)];
        assert_eq!(gap(&all, Moment::from_millis(100)), Some(Duration::from_millis(51)));
        assert_eq!(gap(&all[..1], Moment::from_millis(0)), None);
    }

    #[test]
    fn an_old_leader_that_still_says_so_once_the_next_one_has_is_one_too_many() {
        assert!(!two_at_once(&[said(1, 0, 30), said(2, 10, 20)]), "the answer may have been on its way");
        assert!(two_at_once(&[said(2, 10, 20), said(1, 21, 22)]));
    }
}
