//! `election = "lock"`: the shared lock alone decides.
//!
//! There is nobody to ask, so this backend says yes to everything: elected means "go and try the lock", which the
//! guardian does. It never renews (the supervisor counts the lease from the guardian's completed probes) and never
//! loses (that is the guardian's to report). It does not touch the volume, for only the guardian may block on it; so
//! the cluster that it shows is this node alone.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{ElectionOrder, Fact, Handle};
use crate::clock;
use crate::status::{ActiveView, Breadcrumb, ClusterView, HistoryEntry, Member};

/// How many leaderships are remembered.
const HISTORY: usize = 100;

#[derive(Clone, Debug)]
pub struct Settings {
    pub cluster: String,
    /// What `Connected` reports as negotiated: `lock.probe_timeout`.
    pub timeout: Duration,
}

/// Starts the backend on the current tokio runtime. It ends after `ElectionOrder::Close`, or when the handle is dropped.
pub fn start(settings: Settings) -> Handle {
    let (orders, order_receiver) = mpsc::unbounded_channel();
    let (fact_sender, facts) = mpsc::unbounded_channel();
    let backend = Backend { settings, facts: fact_sender, member: None, leads: None, epoch: None, history: Vec::new() };
    tokio::spawn(backend.run(order_receiver));
    Handle { orders, facts }
}

struct Backend {
    settings: Settings,
    facts: mpsc::UnboundedSender<Fact>,
    member: Option<Member>,
    leads: Option<Breadcrumb>,
    epoch: Option<u64>,
    /// This process's leaderships, newest first.
    history: Vec<HistoryEntry>,
}

impl Backend {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<ElectionOrder>) {
        self.tell(Fact::Intended(Box::default()));
        self.tell(Fact::Connected { session: None, timeout: self.settings.timeout, asked: clock::now() });
        while let Some(order) = orders.recv().await {
            match order {
                ElectionOrder::Stand | ElectionOrder::Yield => {
                    if self.leads.is_none() {
                        self.tell(Fact::Standing);
                        self.tell(Fact::Elected(Box::default()));
                    }
                }
                ElectionOrder::Claim { breadcrumb, entry, predecessor_ended: _, volume: _ } => {
                    self.claim(breadcrumb, entry);
                }
                ElectionOrder::Resign { clean: _, ended } => {
                    self.leads = None;
                    if let Some(ended) = ended {
                        self.amend(ended);
                    }
                    self.show();
                    self.tell(Fact::Resigned);
                }
                ElectionOrder::Publish(member) => {
                    self.member = Some(*member);
                    self.show();
                }
                ElectionOrder::Announce(_) | ElectionOrder::AskAgain => {}
                ElectionOrder::Amend(entry) => self.amend(*entry),
                // It has no store: what is wanted of this node it is told itself.
                ElectionOrder::Intend(_) => {}
                ElectionOrder::Close => break,
            }
        }
        self.tell(Fact::Resigned);
    }

    fn claim(&mut self, breadcrumb: Breadcrumb, entry: HistoryEntry) {
        let epoch = breadcrumb.epoch;
        self.epoch = Some(epoch);
        self.leads = Some(breadcrumb);
        self.tell(Fact::Claimed { epoch, counts_from: clock::now(), last_will: None });
        self.history.insert(0, entry);
        self.history.truncate(HISTORY);
        self.tell(Fact::History(self.history.clone()));
        self.show();
    }

    fn amend(&mut self, entry: HistoryEntry) {
        if let Some(known) = self.history.iter_mut().find(|known| known.epoch == entry.epoch) {
            *known = entry;
            self.tell(Fact::History(self.history.clone()));
        }
    }

    fn show(&self) {
        self.tell(Fact::Cluster(Box::new(ClusterView {
            cluster: self.settings.cluster.clone(),
            epoch: self.epoch,
            active: self.leads.as_ref().map(ActiveView::from),
            paused: false,
            switchover: None,
            action: None,
            last_switchover: None,
            members: self.member.iter().cloned().collect(),
            absent: Vec::new(),
        })));
    }

    fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }
}
