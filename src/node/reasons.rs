//! One status word and one sentence for a person: what this node is busy with, and why.
//!
//! Computed from the machine and the facts at the moment of telling, so that no text can go stale on its own.

use crate::config::{ElectionKind, WatchdogUse};
use crate::moment::Moment;
use crate::role::{End, Phase, RoleMachine};
use crate::status::{NodeState, PeerResult, StatusWord};

use super::facts::{Contact, Facts};

impl Facts {
    /// Nothing of the leadership is left on this host: only the election has to be told, if it can be.
    pub(super) fn has_let_go(&self, machine: &RoleMachine, now: Moment) -> bool {
        matches!(machine.phase(now), Phase::Stopping | Phase::Fencing)
            && !machine.is_always_on()
            && !machine.tree_may_live()
            && !self.lock_held
    }

    pub(super) fn status(&self, machine: &RoleMachine, now: Moment) -> StatusWord {
        if let Some(word) = self.taken_out(machine, now) {
            return word;
        }
        match machine.phase(now) {
            Phase::Stopping | Phase::Fencing if self.has_let_go(machine, now) && self.contact != Contact::Connected => {
                StatusWord::Disconnected
            }
            Phase::Leading => StatusWord::Ok,
            Phase::WaitingForLock => StatusWord::WaitingForLock,
            Phase::WaitingForFence => StatusWord::WaitingForFence,
            Phase::Starting => StatusWord::Starting,
            Phase::Stopping => StatusWord::Stopping,
            Phase::Fencing => StatusWord::Fencing,
            // It stands by for nobody.
            Phase::Idle | Phase::BackingOff if machine.is_always_on() => StatusWord::Starting,
            Phase::Idle | Phase::BackingOff | Phase::Standing | Phase::Finished => {
                if self.contact == Contact::Connected { StatusWord::Standby } else { StatusWord::Disconnected }
            }
        }
    }

    /// The word of a node that an operator has taken out, where nothing else is more urgent to know.
    fn taken_out(&self, machine: &RoleMachine, now: Moment) -> Option<StatusWord> {
        let calm = matches!(machine.phase(now), Phase::Leading | Phase::Idle | Phase::Standing | Phase::BackingOff);
        match self.state {
            _ if !calm => None,
            NodeState::Active | NodeState::Inactive => None,
            NodeState::Isolating => Some(StatusWord::Isolating),
            NodeState::Isolated => Some(StatusWord::Isolated),
            NodeState::ShuttingDown => Some(StatusWord::ShuttingDown),
        }
    }

    /// One sentence for a person.
    pub fn reason(&self, machine: &RoleMachine, now: Moment) -> String {
        if let (Some(_), Some(why)) = (self.taken_out(machine, now), &self.state_why) {
            return match self.state {
                NodeState::Isolated => {
                    format!("isolated, {why}; `primacy activate {}` lets it lead again", self.config.node)
                }
                NodeState::ShuttingDown => format!("shutting down, {why}"),
                NodeState::Isolating | NodeState::Active | NodeState::Inactive => format!("being isolated, {why}"),
            };
        }
        match machine.phase(now) {
            Phase::Leading => format!("{}{}", self.story, self.scarce()),
            Phase::WaitingForLock => match &self.lock_holder {
                Some(holder) => format!(
                    "elected; waiting for the lock that {} on host {} has held since {} (epoch {})",
                    holder.node, holder.host, holder.since, holder.epoch
                ),
                None => "elected; taking the lock on the volume".to_owned(),
            },
            Phase::WaitingForFence => {
                let predecessor =
                    self.predecessor().map_or_else(|| "the former active".to_owned(), |predecessor| predecessor.node);
                format!("elected; {predecessor} did not stop cleanly: the fencing command is running")
            }
            Phase::Starting => format!("{}; starting the coordinator", self.story),
            Phase::Stopping | Phase::Fencing if !self.stuck.is_empty() => {
                let processes: Vec<String> = self
                    .stuck
                    .iter()
                    .map(|process| format!("{} (pid {}) in {}", process.command, process.pid, process.waits_in))
                    .collect();
                let armed = self.watchdog.as_ref().is_some_and(|view| view.armed.is_some());
                let then = if armed { "; the watchdog resets this host when the lease is over" } else { "" };
                format!("killed, but not dead: {}{then}", processes.join(", "))
            }
            Phase::Stopping | Phase::Fencing if self.has_let_go(machine, now) => match &self.contact {
                Contact::Disconnected(reason) => format!(
                    "{}; its coordinator is dead and the lock is closed, but ZooKeeper at {} cannot be told: {reason}",
                    self.ending(machine),
                    self.config.zookeeper.servers
                ),
                Contact::Connecting | Contact::Connected => {
                    format!(
                        "{}; its coordinator is dead and the lock is closed; giving the role away",
                        self.ending(machine)
                    )
                }
            },
            Phase::Stopping | Phase::Fencing if !machine.anything_may_live() && self.lock_held => format!(
                "{}; its coordinator is dead; closing the lock, which waits for the volume at {}",
                self.ending(machine),
                self.config.lock.directory.display()
            ),
            Phase::Stopping | Phase::Fencing if !machine.tree_may_live() => {
                format!("{}; its coordinator is dead; ending what ran beside it", self.ending(machine))
            }
            Phase::Stopping => format!("stopping the coordinator: {}", self.ending(machine)),
            Phase::Fencing => format!("killing the coordinator: {}", self.ending(machine)),
            Phase::BackingOff if machine.is_always_on() => {
                format!("{}; waiting before the coordinator is started again", self.story)
            }
            Phase::Idle if machine.is_always_on() => self.reason_for_not_starting(machine),
            Phase::BackingOff => format!("{}; waiting before it stands for election again", self.story),
            Phase::Finished => self.story.clone(),
            Phase::Idle | Phase::Standing => self.standby_reason(machine),
        }
    }

    /// The same for the other members: of a good standby without whom it would take over from. A sentence that names the active node
    /// changes everywhere at once at a fail-over, and every member reads every other one that changes: the square of them.
    pub fn reason_for_others(&self, machine: &RoleMachine, now: Moment) -> String {
        let calm =
            matches!(machine.phase(now), Phase::Idle | Phase::Standing) && self.taken_out(machine, now).is_none();
        let good = calm && machine.eligible() && !machine.is_always_on() && self.hindrance().is_none();
        if good && !self.cluster.paused {
            return format!("ready to take over{}", self.scarce());
        }
        self.reason(machine, now)
    }

    fn ending(&self, machine: &RoleMachine) -> String {
        let end = machine.end().map_or("it ended", sentence);
        self.detail.as_ref().map_or_else(|| end.to_owned(), |detail| format!("{end} ({detail})"))
    }

    /// Of an always-on coordinator.
    fn reason_for_not_starting(&self, machine: &RoleMachine) -> String {
        if let Some(problem) = &self.guardian_problem {
            return problem.clone();
        }
        if machine.rules().may_stand {
            return "about to start the coordinator".to_owned();
        }
        let servers = &self.config.zookeeper.servers;
        match &self.contact {
            Contact::Connected => "isolated: the coordinator is started once this node is activated".to_owned(),
            Contact::Connecting => {
                format!("connecting to ZooKeeper at {servers}: an operator may have isolated this node")
            }
            Contact::Disconnected(reason) => {
                format!(
                    "no contact with ZooKeeper at {servers}, so nobody knows whether an operator has isolated this node: {reason}"
                )
            }
        }
    }

    /// What keeps a standby from standing, whatever the cluster is like.
    fn hindrance(&self) -> Option<String> {
        if let Contact::Disconnected(reason) = &self.contact {
            return Some(format!("no contact with ZooKeeper at {}: {reason}", self.config.zookeeper.servers));
        }
        if self.contact == Contact::Connecting && self.config.election == ElectionKind::ZooKeeper {
            return Some(format!("connecting to ZooKeeper at {}", self.config.zookeeper.servers));
        }
        if let Some(problem) = &self.timing_problem {
            return Some(problem.clone());
        }
        if let (PeerResult::Failed, Some(detail)) = (self.verified, &self.verified_detail) {
            return Some(format!("never stands for election: the volume's lock cannot be trusted: {detail}"));
        }
        if let Some(node) = &self.verifying {
            return Some(format!("trying the volume's lock against {node} before the first promotion"));
        }
        if self.config.fencing.watchdog == WatchdogUse::Required
            && let Some(problem) = self.watchdog_problem()
        {
            return Some(format!("never stands for election: fencing.watchdog is \"required\", and {problem}"));
        }
        if let Some(problem) = self.guardian_problem.as_ref().or(self.volume.problem.as_ref()) {
            return Some(problem.clone());
        }
        if !self.volume_seen {
            return Some(format!("trying the volume at {} before it stands", self.config.lock.directory.display()));
        }
        if self.config.candidate.priority == 0 {
            return Some("never stands for election: candidate.priority is 0".to_owned());
        }
        None
    }

    fn standby_reason(&self, machine: &RoleMachine) -> String {
        if let Some(hindrance) = self.hindrance() {
            return hindrance;
        }
        if self.cluster.paused && machine.eligible() {
            return format!("in the queue for the election; elections are paused{}", self.scarce());
        }
        match (&self.cluster.active, machine.eligible()) {
            (Some(active), true) if active.node != self.config.node => {
                format!("ready to take over from {} (epoch {}){}", active.node, active.epoch, self.scarce())
            }
            (_, true) => format!("in the queue for the election{}", self.scarce()),
            (_, false) if !machine.rules().may_stand => {
                "does not stand for election: it is not known yet whether an operator has taken it out".to_owned()
            }
            (_, false) => "about to enter the queue for the election".to_owned(),
        }
    }

    /// What to add where the volume is nearly full. Without a number: a sentence that changes is written to the others.
    fn scarce(&self) -> &'static str {
        let free = self.free_bytes.or(self.volume.free_bytes);
        if free.is_some_and(|free| free < self.config.lock.min_free_space) {
            "; the volume has less than lock.min_free_space free: free space on it"
        } else {
            ""
        }
    }
}

/// A cause in words.
pub const fn sentence(end: End) -> &'static str {
    match end {
        End::Stopped => "a stop was asked for",
        End::Isolated => "this node was isolated",
        End::Switchover => "the role is to go over to another node",
        End::CoordinatorExited => "the coordinator ended by itself",
        End::CoordinatorUnhealthy => "the health probe failed too often",
        End::StartFailed => "the coordinator could not be started",
        End::SupervisorLost => "the guardian was lost",
        End::LeaseExpired => "the lease ran out",
        End::SessionExpired => "the ZooKeeper session expired",
        End::VolumeLost => "the shared volume was lost",
        End::ElectionNodeDeleted => "the election node is gone: somebody deleted it",
    }
}
