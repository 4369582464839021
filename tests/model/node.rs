//! One node's processes: the shell carries out actions, the guardian obeys and fences itself, the tree lives and dies.

use primacy::moment::Moment;
use primacy::role::{Action, Event};

use super::world::{Breach, EXPIRES_FROM, Frost, Guardian, Hold, Hook, LEASE, SelfFencing, Setup, Tree, World, units};

/// Where [`World::handle`] is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interruption {
    Death,
    Freeze,
}

fn from_guardian(event: &Event) -> bool {
    matches!(
        event,
        Event::GuardianReady
            | Event::GuardianLost
            | Event::VolumeSeen { .. }
            | Event::WatchdogSeen { .. }
            | Event::LockAcquired { .. }
            | Event::LockRefused
            | Event::RecordWritten { .. }
            | Event::Started
            | Event::StartFailed
            | Event::Exited
            | Event::TreeDead
            | Event::VolumeLost
            | Event::Fenced
            | Event::LockClosed
    )
}

impl World {
    /// What a supervisor would take in next.
    pub fn next_event(&self, node: usize) -> Option<Event> {
        let supervisor = self.nodes[node].supervisor.as_ref().filter(|_| self.nodes[node].supervisor_runs())?;
        if let Some(event) = supervisor.mailbox.first() {
            return Some(event.clone());
        }
        let (deadline, _) = supervisor.core.machine.deadline()?;
        (deadline <= self.now).then_some(Event::TimePassed)
    }

    /// What it would order then.
    pub fn next_actions(&self, node: usize) -> Vec<Action> {
        let (Some(event), Some(supervisor)) = (self.next_event(node), &self.nodes[node].supervisor) else {
            return Vec::new();
        };
        let mut actions = supervisor.core.clone().step(self.now, event);
        actions.retain(|action| !matches!(action, Action::Announce(_)));
        actions
    }

    pub fn handle(&mut self, setup: &Setup, node: usize, interruption: Option<(Interruption, usize)>) {
        let now = self.now;
        let Some(event) = self.next_event(node) else { return };
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        if !supervisor.mailbox.is_empty() {
            supervisor.mailbox.remove(0);
        }
        let mut actions = supervisor.core.step(now, event.clone());
        actions.retain(|action| !matches!(action, Action::Announce(_)));
        if let Event::Claimed { .. } = event
            && let Some(guardian) = &mut self.nodes[node].guardian
        {
            guardian.will = true;
        }
        let rest = interruption.map_or(Vec::new(), |(_, after)| actions.split_off(after));
        for action in actions {
            self.perform(setup, node, action);
        }
        match interruption {
            None => {}
            Some((Interruption::Death, _)) => self.lose_supervisor(node),
            Some((Interruption::Freeze, _)) => {
                if let Some(supervisor) = &mut self.nodes[node].supervisor {
                    supervisor.pending = rest;
                    self.nodes[node].frost = Some(Frost::Supervisor);
                }
            }
        }
    }

    pub fn perform(&mut self, setup: &Setup, node: usize, action: Action) {
        let now = self.now;
        let target = self.breadcrumb.map(|breadcrumb| (breadcrumb.node, breadcrumb.epoch));
        match action {
            Action::Stand => self.stand(node),
            Action::Yield => self.go_to_the_back(node),
            Action::Claim { epoch } => self.claim(node, epoch, now),
            Action::Resign { clean, .. } => self.resign(node, clean),
            Action::FenceFormer { epoch } => self.run(node, Hook::Fence { epoch, target }),
            Action::RunBeforeStart { epoch } => self.run(node, Hook::Before { epoch }),
            Action::RunAfterStop => self.run(node, Hook::After),
            Action::KillOrphans => match &mut self.nodes[node].tree {
                Some(tree) => tree.doomed = true,
                None => self.tell(node, Event::TreeDead),
            },
            Action::ReplaceGuardian => {
                self.end_guardian(setup, node);
                if let Some(supervisor) = &mut self.nodes[node].supervisor {
                    supervisor.mailbox.retain(|event| !from_guardian(event));
                }
                self.nodes[node].guardian = Some(Guardian::booting());
            }
            Action::Exit(_) => self.lose_supervisor(node),
            Action::Announce(_) => {}
            Action::AcquireLock
            | Action::WriteRecord { .. }
            | Action::SetDeadline(_)
            | Action::Start { .. }
            | Action::StopTree
            | Action::KillTree
            | Action::CloseLock(_) => {
                let reads = self.nodes[node].guardian_runs();
                match &mut self.nodes[node].guardian {
                    Some(_) if reads => self.obey(setup, node, action),
                    Some(guardian) => guardian.orders.push(action),
                    None => {}
                }
            }
        }
    }

    fn run(&mut self, node: usize, hook: Hook) {
        let until = self.now + units(2);
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            supervisor.hooks.push((hook, until));
        }
    }

    pub fn end_hook(&mut self, setup: &Setup, node: usize, succeeded: bool) {
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        let (hook, _) = supervisor.hooks.remove(0);
        match hook {
            Hook::Fence { epoch, target } => {
                if succeeded {
                    self.nodes[node].fenced = target;
                    if setup.rules.fencing_frees_lock
                        && let Some((former, _)) = target
                    {
                        self.lose_lock(former);
                    }
                }
                self.tell(node, Event::FormerFenced { epoch, succeeded });
            }
            Hook::Before { epoch } => self.tell(node, Event::Prepared { epoch, succeeded }),
            Hook::After => self.tell(node, Event::Tidied),
        }
    }

    /// The server takes the lock from a node, which does not know it yet.
    pub fn lose_lock(&mut self, node: usize) {
        if self.owner == Some(node) {
            self.owner = None;
            self.nodes[node].hold = Hold::Lost;
        }
    }

    /// The supervisor's process is gone, however it went.
    pub fn lose_supervisor(&mut self, node: usize) {
        self.nodes[node].supervisor = None;
        if self.nodes[node].frost == Some(Frost::Supervisor) {
            self.nodes[node].frost = None;
        }
        self.abandon_seat(node);
    }

    /// The guardian says something, as soon as it can.
    fn report(&mut self, node: usize, event: Event) {
        let runs = self.nodes[node].guardian_runs();
        match &mut self.nodes[node].guardian {
            Some(_) if runs => self.tell(node, event),
            Some(guardian) => guardian.unsaid.push(event),
            None => {}
        }
    }

    pub fn obey(&mut self, setup: &Setup, node: usize, order: Action) {
        let now = self.now;
        let Some(guardian) = &mut self.nodes[node].guardian else { return };
        match order {
            Action::AcquireLock => {
                guardian.wants_lock = true;
                if self.lock_free_for(setup, node) {
                    self.grant_lock(setup, node);
                } else {
                    self.report(node, Event::LockRefused);
                }
            }
            Action::WriteRecord { epoch } => {
                self.recorded = self.recorded.max(epoch);
                self.report(node, Event::RecordWritten { epoch });
            }
            Action::SetDeadline(deadline) => {
                guardian.deadline = Some(deadline);
                self.feed(setup, node);
            }
            Action::Start { epoch, deadline } => {
                if deadline <= now || (setup.guardian_refuses && !guardian.has_lock) {
                    self.report(node, Event::StartFailed);
                } else {
                    guardian.deadline = Some(deadline);
                    self.observe_start(setup, node, epoch);
                    self.nodes[node].tree = Some(Tree { epoch, stopping: None, doomed: false, stuck: false });
                    self.feed(setup, node);
                    self.report(node, Event::Started);
                }
            }
            Action::StopTree => match &mut self.nodes[node].tree {
                Some(tree) => tree.stopping = Some(now + units(1)),
                None => self.report(node, Event::TreeDead),
            },
            Action::KillTree => match &mut self.nodes[node].tree {
                Some(tree) => tree.doomed = true,
                None => self.report(node, Event::TreeDead),
            },
            Action::CloseLock(_) => {
                guardian.has_lock = false;
                guardian.wants_lock = false;
                guardian.deadline = None;
                if self.nodes[node].tree.is_some() {
                    self.breach(Breach::EndedBeforeDeath);
                }
                self.release(setup, node);
                self.report(node, Event::LockClosed);
            }
            _ => {}
        }
    }

    /// The device is fed as long as the guardian's deadline lets it fire before anybody else can be elected.
    fn feed(&mut self, setup: &Setup, node: usize) {
        let deadline = self.nodes[node].guardian.as_ref().and_then(|guardian| guardian.deadline);
        if setup.watchdog && self.nodes[node].tree.is_some() {
            self.nodes[node].fires = deadline.map(|deadline| deadline + units(EXPIRES_FROM - LEASE));
        }
    }

    /// Whose host is reset now. Nothing is quicker: the devices fire before the first moment at which a session can end.
    pub fn resets(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.host_runs() && node.fires.is_some_and(|at| at <= self.now))
    }

    pub fn reset(&mut self, setup: &Setup, node: usize) {
        self.lose_supervisor(node);
        self.nodes[node].guardian = None;
        self.nodes[node].tree = None;
        self.nodes[node].fires = None;
        self.nodes[node].frost = None;
        self.release(setup, node);
    }

    fn observe_start(&mut self, setup: &Setup, node: usize, epoch: u64) {
        let (granted, proved, in_debt) = (self.nodes[node].granted, self.nodes[node].proved, self.nodes[node].in_debt);
        let has_lock = self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.has_lock);
        let owns = setup.void_lock || self.owner == Some(node) || self.nodes[node].hold != Hold::Honoured;
        let restarts = self.started == (epoch, node);
        if !has_lock || !owns {
            self.breach(Breach::StartWithoutLock);
        }
        let unprotected = self.nodes[node].betrayed && self.nodes[node].hold != Hold::Honoured;
        if granted != Some(epoch) || !(epoch > self.started.0 || restarts || unprotected) {
            self.breach(Breach::StartWithoutEpoch);
        }
        if proved + units(LEASE) <= self.now {
            self.breach(Breach::StartWithoutLease);
        }
        if in_debt {
            self.breach(Breach::StartWithoutFencing);
        }
        self.started = self.started.max((epoch, node));
    }

    pub fn lock_free_for(&self, setup: &Setup, node: usize) -> bool {
        self.nodes[node].guardian_runs()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.wants_lock)
            && (setup.void_lock || self.owner.is_none())
    }

    pub fn grant_lock(&mut self, setup: &Setup, node: usize) {
        let recorded = self.recorded;
        if !setup.void_lock {
            self.owner = Some(node);
        }
        self.nodes[node].hold = Hold::Honoured;
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.wants_lock = false;
            guardian.has_lock = true;
        }
        self.report(node, Event::LockAcquired { recorded });
    }

    /// The kernel releases the lock when the last holder of its descriptor is gone.
    fn release(&mut self, setup: &Setup, node: usize) {
        let held = self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.has_lock)
            || (setup.tree_keeps_lock && self.nodes[node].tree.is_some());
        if !held {
            if self.owner == Some(node) {
                self.owner = None;
            }
            if self.nodes[node].tree.is_none() {
                self.nodes[node].hold = Hold::Honoured;
            }
        }
    }

    pub fn tree_may_die(&self, node: usize) -> bool {
        self.nodes[node].host_runs()
            && self.nodes[node].tree.is_some_and(|tree| !tree.stuck && (tree.doomed || tree.stopping.is_some()))
    }

    pub fn tree_must_die(&self, node: usize) -> bool {
        let killed = |at: Moment| at <= self.now && self.nodes[node].guardian_runs();
        self.tree_may_die(node)
            && self.nodes[node].tree.is_some_and(|tree| tree.doomed || tree.stopping.is_some_and(killed))
    }

    pub fn tree_dies(&mut self, setup: &Setup, node: usize) {
        self.nodes[node].tree = None;
        self.release(setup, node);
        if self.nodes[node].guardian_runs() {
            self.nodes[node].fires = None;
        }
        match &self.nodes[node].guardian {
            Some(guardian) if guardian.booting => {}
            Some(_) => self.report(node, Event::TreeDead),
            None => self.tell(node, Event::TreeDead),
        }
    }

    pub fn crash_coordinator(&mut self, node: usize) {
        if let Some(tree) = &mut self.nodes[node].tree {
            tree.doomed = true;
        }
        self.report(node, Event::Exited);
    }

    /// The guardian's process ends; the main process dies with it, what else the coordinator forked does not.
    fn end_guardian(&mut self, setup: &Setup, node: usize) {
        self.nodes[node].guardian = None;
        if self.nodes[node].frost == Some(Frost::Guardian) {
            self.nodes[node].frost = None;
        }
        self.release(setup, node);
    }

    pub fn kill_guardian(&mut self, setup: &Setup, node: usize) {
        self.end_guardian(setup, node);
        self.tell(node, Event::GuardianLost);
    }

    /// The guardian opens the volume, once what an earlier leadership left is dead.
    pub fn guardian_boots(&self, node: usize) -> bool {
        self.nodes[node].guardian_runs()
            && self.nodes[node].supervisor.is_some()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.booting)
            && self.nodes[node].tree.is_none_or(|tree| !tree.doomed)
    }

    pub fn boot_guardian(&mut self, setup: &Setup, node: usize) {
        if let Some(tree) = &mut self.nodes[node].tree {
            tree.doomed = true;
            return;
        }
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.booting = false;
        }
        self.report(node, Event::GuardianReady);
        if setup.rules.watchdog_required {
            self.report(node, Event::WatchdogSeen { usable: true });
        }
        self.report(node, Event::VolumeSeen { usable: true });
    }

    pub fn guardian_fences(&self, node: usize) -> bool {
        let alone = self.nodes[node].supervisor.is_none();
        let tree = self.nodes[node].tree.is_some();
        self.nodes[node].guardian_runs()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| match guardian.fencing {
                SelfFencing::No => {
                    let late = guardian.deadline.is_some_and(|deadline| deadline <= self.now);
                    alone || (late && (tree || guardian.has_lock))
                }
                SelfFencing::Killing => !tree,
                SelfFencing::Closed | SelfFencing::Leaving => true,
            })
    }

    /// Kill, wait for death, close the lock, say so, delete the election node and leave: one of these.
    pub fn fence_further(&mut self, setup: &Setup, node: usize) {
        let Some(guardian) = &mut self.nodes[node].guardian else { return };
        match guardian.fencing {
            SelfFencing::No => {
                guardian.fencing = SelfFencing::Killing;
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.doomed = true;
                }
            }
            SelfFencing::Killing => {
                guardian.fencing = SelfFencing::Closed;
                guardian.has_lock = false;
                guardian.wants_lock = false;
                guardian.deadline = None;
                self.release(setup, node);
                self.report(node, Event::LockClosed);
            }
            SelfFencing::Closed => {
                guardian.fencing = SelfFencing::Leaving;
                self.report(node, Event::Fenced);
            }
            SelfFencing::Leaving => {
                if guardian.will {
                    self.carry_out_will(node);
                }
                self.kill_guardian(setup, node);
            }
        }
    }

    pub fn probe_fails(&self, node: usize) -> bool {
        self.nodes[node].hold == Hold::Lost
            && self.nodes[node].guardian_runs()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.has_lock)
    }

    pub fn fail_probe(&mut self, node: usize) {
        self.nodes[node].hold = Hold::Noticed;
        self.report(node, Event::VolumeLost);
    }

    pub fn thaw(&mut self, setup: &Setup, node: usize) {
        self.nodes[node].frost = None;
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            for action in std::mem::take(&mut supervisor.pending) {
                self.perform(setup, node, action);
            }
        }
        if let Some(guardian) = &mut self.nodes[node].guardian {
            let (orders, unsaid) = (std::mem::take(&mut guardian.orders), std::mem::take(&mut guardian.unsaid));
            for event in unsaid {
                self.tell(node, event);
            }
            for order in orders {
                self.obey(setup, node, order);
            }
        }
    }
}
