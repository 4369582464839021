//! One node's processes: the shell carries out actions, the guardian obeys and fences itself, the tree lives and dies.

use primacy::moment::Moment;
use primacy::node::Request;
use primacy::role::{Action, Event, Phase, Recorded, Role, Witness};

use super::world::{
    Breach, Breadcrumb, Command, Frost, Guardian, Heard, Hold, Hook, LEASE, Last, Order, SelfFencing, Setup, Tree,
    World, units,
};

/// Where [`World::handle`] is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interruption {
    Death,
    Freeze,
}

fn from_guardian(heard: &Heard) -> bool {
    if let Heard::Answered { .. } = heard {
        return true;
    }
    let Heard::Event(event) = heard else { return false };
    matches!(
        event,
        Event::GuardianReady
            | Event::GuardianLost
            | Event::VolumeSeen { .. }
            | Event::WatchdogSeen { .. }
            | Event::LockAcquired { .. }
            | Event::CalledOff
            | Event::LockRefused { .. }
            | Event::PredecessorFenced { .. }
            | Event::RecordWritten { .. }
            | Event::Prepared { .. }
            | Event::Started
            | Event::StartFailed
            | Event::Exited
            | Event::TreeDead
            | Event::Tidied
            | Event::VolumeLost
            | Event::Fenced { .. }
            | Event::LockClosed { .. }
    )
}

impl World {
    /// What a supervisor would take in next.
    pub fn next_event(&self, node: usize) -> Option<Heard> {
        let supervisor = self.nodes[node].supervisor.as_ref().filter(|_| self.nodes[node].supervisor_runs())?;
        if let Some(event) = supervisor.mailbox.first() {
            return Some(event.clone());
        }
        let deadline = supervisor.core.next_decision()?;
        (deadline <= self.now).then_some(Heard::Event(Event::TimePassed))
    }

    /// What it would order then.
    pub fn next_orders(&self, node: usize) -> Vec<Order> {
        let (Some(event), Some(supervisor)) = (self.next_event(node), &self.nodes[node].supervisor) else {
            return Vec::new();
        };
        supervisor.core.clone().step(self.now, event)
    }

    pub fn handle(&mut self, setup: &Setup, node: usize, interruption: Option<(Interruption, usize)>) {
        let now = self.now;
        let Some(event) = self.next_event(node) else { return };
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        if !supervisor.mailbox.is_empty() {
            supervisor.mailbox.remove(0);
        }
        let before = supervisor.core.machine().end();
        let mut orders = supervisor.core.step(now, event.clone());
        let after = supervisor.core.machine().end();
        if !matches!(event, Heard::Asked(_)) {
            self.observe_step_down(before, after);
        }
        if let Heard::Event(Event::Claimed { .. }) = event
            && let Some(guardian) = &mut self.nodes[node].guardian
        {
            guardian.will = true;
        }
        match event {
            Heard::Event(Event::VolumeSeen { usable }) => self.nodes[node].told_fit = usable,
            Heard::Event(Event::GuardianLost) => self.nodes[node].told_fit = false,
            Heard::Asked(Request::Isolate) => self.nodes[node].isolated = true,
            Heard::Asked(Request::Activate) => self.nodes[node].isolated = false,
            _ => {}
        }
        let rest = interruption.map_or(Vec::new(), |(_, after)| orders.split_off(after));
        for order in orders {
            self.perform(setup, node, order);
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

    pub fn perform(&mut self, setup: &Setup, node: usize, order: Order) {
        let now = self.now;
        let action = match order {
            Order::Role(action) => action,
            Order::Probe => return self.give(setup, node, order),
            Order::Intend(change) => return self.intend(node, change),
        };
        match action {
            Action::Stand => {
                let stands = self.nodes[node].supervisor.as_ref().is_some_and(|it| it.client.standing);
                if !stands && !self.nodes[node].told_fit {
                    self.breach(Breach::StandWithoutVolume);
                }
                self.stand(node);
            }
            Action::Yield => self.go_to_the_back(node),
            Action::Claim { epoch } => {
                if self.nodes[node].isolated {
                    self.breach(Breach::PromotionInIsolation);
                }
                self.claim(setup, node, epoch, now);
            }
            Action::Resign { clean, .. } => self.resign(node, clean),
            Action::KillOrphans if self.nodes[node].is_empty() => self.tell(node, Event::TreeDead),
            Action::KillOrphans => {
                self.nodes[node].doom();
                self.nodes[node].awaited = true;
            }
            Action::ReplaceGuardian => {
                self.end_guardian(setup, node);
                if let Some(supervisor) = &mut self.nodes[node].supervisor {
                    supervisor.mailbox.retain(|heard| !from_guardian(heard));
                }
                self.nodes[node].guardian = Some(Guardian::booting());
                self.nodes[node].told_fit = false;
            }
            Action::Exit(_) => self.lose_supervisor(node),
            Action::StartAlwaysOn => unreachable!("no node of the model is always on"),
            Action::Announce(_) => {}
            Action::AcquireLock
            | Action::AwaitLock { .. }
            | Action::CallOff
            | Action::WriteRecord { .. }
            | Action::SetDeadline(_)
            | Action::FencePredecessor { .. }
            | Action::RunBeforeStart { .. }
            | Action::RunAfterStop
            | Action::Start { .. }
            | Action::StopTree
            | Action::KillTree
            | Action::CloseLock(_) => self.give(setup, node, action.into()),
        }
    }

    /// The guardian reads an order as soon as it can.
    fn give(&mut self, setup: &Setup, node: usize, order: Order) {
        let reads = self.nodes[node].guardian_runs();
        match &mut self.nodes[node].guardian {
            Some(_) if reads => self.obey(setup, node, order),
            Some(guardian) => guardian.orders.push(order),
            None => {}
        }
    }

    /// The guardian runs a command. It runs none once its own time is up.
    fn run(&mut self, node: usize, hook: Hook) {
        let now = self.now;
        let Some(guardian) = &self.nodes[node].guardian else { return };
        if guardian.fencing != SelfFencing::No || guardian.deadline.is_some_and(|deadline| deadline <= now) {
            return;
        }
        let with_lock = guardian.has_lock;
        let until = if hook == Hook::Probe { now } else { now + units(2) };
        self.nodes[node].commands.push(Command { hook, until, with_lock, doomed: false, stuck: false });
    }

    /// A command ends by itself, and nothing of it is left.
    pub fn end_command(&mut self, setup: &Setup, node: usize, succeeded: bool) {
        let Command { hook, .. } = self.nodes[node].commands.remove(0);
        match hook {
            Hook::Fence { epoch, target } => {
                if succeeded && let Some((predecessor, last)) = target {
                    // What it writes from now on is refused.
                    self.settle(predecessor);
                    self.nodes[predecessor].fenced = Some(last);
                    self.nodes[predecessor].unwritten = None;
                    if setup.rules.fencing_frees_lock {
                        self.lose_lock(predecessor);
                    }
                }
                self.report(node, Event::PredecessorFenced { epoch, succeeded });
            }
            Hook::Before { epoch } => self.report(node, Event::Prepared { epoch, succeeded }),
            Hook::After => self.report(node, Event::Tidied),
            Hook::Probe => {
                let well = succeeded && self.nodes[node].tree.is_some_and(|tree| !tree.sick);
                self.report(node, Heard::Answered { well });
            }
        }
        self.release(setup, node);
        self.close_if_empty(setup, node);
        self.tell_of_death(node);
    }

    pub fn command_must_die(&self, node: usize) -> bool {
        self.nodes[node].host_runs()
            && self.nodes[node].commands.first().is_some_and(|command| command.doomed && !command.stuck)
    }

    pub fn command_dies(&mut self, setup: &Setup, node: usize) {
        let command = self.nodes[node].commands.remove(0);
        self.release(setup, node);
        let runs_it = self.nodes[node].guardian.as_ref().is_some_and(|guardian| !guardian.booting);
        if command.hook == Hook::Probe && runs_it {
            self.report(node, Heard::Answered { well: false });
        }
        self.close_if_empty(setup, node);
        self.tell_of_death(node);
    }

    /// Tells who waits for it that nothing is left.
    fn tell_of_death(&mut self, node: usize) {
        if !self.nodes[node].awaited || !self.nodes[node].is_empty() {
            return;
        }
        self.nodes[node].awaited = false;
        match &self.nodes[node].guardian {
            Some(guardian) if guardian.booting => {}
            Some(_) => self.report(node, Event::TreeDead),
            None => self.tell(node, Event::TreeDead),
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
        self.nodes[node].isolated = false;
        self.nodes[node].told_fit = false;
        if self.nodes[node].frost == Some(Frost::Supervisor) {
            self.nodes[node].frost = None;
        }
        self.abandon_seat(node);
    }

    /// The guardian says something, as soon as it can.
    fn report(&mut self, node: usize, heard: impl Into<Heard>) {
        let runs = self.nodes[node].guardian_runs();
        match &mut self.nodes[node].guardian {
            Some(_) if runs => self.tell(node, heard),
            Some(guardian) => guardian.unsaid.push(heard.into()),
            None => {}
        }
    }

    pub fn obey(&mut self, setup: &Setup, node: usize, order: Order) {
        let now = self.now;
        let Order::Role(order) = order else { return self.run(node, Hook::Probe) };
        let fit = self.nodes[node].fit;
        let Some(guardian) = &mut self.nodes[node].guardian else { return };
        if matches!(order, Action::StopTree | Action::KillTree | Action::CloseLock(_)) {
            guardian.starting = None;
        }
        match order {
            // One that has begun to end takes no lock: what it is told then, nobody answers.
            Action::AwaitLock { .. } | Action::AcquireLock if guardian.fencing != SelfFencing::No => {}
            Action::AwaitLock { until } if !guardian.has_lock => guardian.waits = Some(until),
            Action::CallOff => self.let_go(setup, node),
            Action::AcquireLock if guardian.has_lock => guardian.waited = false,
            Action::AcquireLock if !fit => self.report(node, Event::VolumeUnusable),
            Action::AcquireLock => {
                guardian.waits = None;
                guardian.wants_lock = true;
                if self.lock_free_for(setup, node) {
                    self.grant_lock(setup, node);
                } else {
                    self.report(node, Event::LockRefused { recorded: self.recorded() });
                }
            }
            Action::WriteRecord { epoch } => {
                guardian.wrote = true;
                if epoch > self.recorded() {
                    self.record = Some(Breadcrumb { node, epoch, clean: false });
                }
                self.report(node, Event::RecordWritten { epoch });
            }
            Action::FencePredecessor { epoch, named_by } => {
                let role = self.nodes[node].supervisor.as_ref().map(|it| it.core.machine().role());
                if role == Some(Role::Standby) {
                    self.breach(Breach::FencedUnelected);
                }
                let supervisor = self.nodes[node].supervisor.as_ref();
                let found = if self.before.is_some() { supervisor.and_then(|it| it.found) } else { self.breadcrumb };
                let told = if named_by == Witness::Record { self.record } else { found };
                let target = told.map(|told| (told.node, told.epoch));
                self.run(node, Hook::Fence { epoch, target });
            }
            Action::RunBeforeStart { epoch } => self.run(node, Hook::Before { epoch }),
            Action::RunAfterStop => self.run(node, Hook::After),
            Action::SetDeadline(deadline) => {
                guardian.deadline = Some(deadline);
                self.feed(setup, node);
            }
            Action::Start { epoch, deadline } => {
                if deadline <= now || (setup.guardian_refuses && !guardian.has_lock) {
                    self.report(node, Event::StartFailed);
                } else {
                    guardian.deadline = Some(deadline);
                    if setup.start_takes_time {
                        guardian.starting = Some(epoch);
                    } else {
                        self.fork(setup, node, epoch);
                    }
                }
            }
            Action::StopTree | Action::KillTree if self.nodes[node].is_empty() => self.report(node, Event::TreeDead),
            Action::StopTree => {
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.stopping = Some(now + units(1));
                }
                self.nodes[node].doom_commands();
                self.nodes[node].awaited = true;
            }
            Action::KillTree => {
                self.nodes[node].doom();
                self.nodes[node].awaited = true;
            }
            // A probe that was ordered when nothing was left any more: it is killed first.
            Action::CloseLock(_) if !setup.guardian_closes_at_once && self.nodes[node].is_empty_but_for_a_probe() => {
                self.nodes[node].guardian.as_mut().expect("it obeys").closing = true;
                self.nodes[node].doom_commands();
            }
            Action::CloseLock(_) => self.close_and_tell(setup, node),
            _ => {}
        }
    }

    fn fork(&mut self, setup: &Setup, node: usize, epoch: u64) {
        self.observe_start(setup, node, epoch);
        self.nodes[node].tree = Some(Tree { epoch, stopping: None, doomed: false, stuck: false, sick: false });
        self.nodes[node].unwritten = setup.write_back.then_some(epoch);
        self.feed(setup, node);
        self.report(node, Event::Started);
    }

    /// What a start needs is there.
    pub fn may_fork(&self, node: usize) -> bool {
        self.nodes[node].guardian_runs()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.starting.is_some())
    }

    pub fn fork_at_last(&mut self, setup: &Setup, node: usize) {
        let now = self.now;
        let Some(guardian) = &mut self.nodes[node].guardian else { return };
        let Some(epoch) = guardian.starting.take() else { return };
        let may = guardian.has_lock
            && guardian.fencing == SelfFencing::No
            && guardian.deadline.is_some_and(|deadline| deadline > now);
        if may || !setup.guardian_looks_again {
            self.fork(setup, node, epoch);
        } else {
            self.report(node, Event::StartFailed);
        }
    }

    /// A standby's volume takes writes, or none; its guardian finds that out.
    pub fn change_volume(&mut self, node: usize, fit: bool) {
        self.nodes[node].fit = fit;
        if self.nodes[node].guardian.as_ref().is_some_and(|guardian| !guardian.booting) {
            self.report(node, Event::VolumeSeen { usable: fit });
        }
    }

    /// Nobody waits for a command longer than it may take, and than it may take to be killed.
    pub fn observe_waiting(&mut self) {
        let holds = |node: &super::world::Node| {
            let phase =
                node.supervisor.as_ref().filter(|_| node.supervisor_runs()).map(|it| it.core.machine().phase(self.now));
            node.commands.iter().any(|command| {
                let waits = match command.hook {
                    Hook::Before { .. } => phase == Some(Phase::Starting),
                    // Without the lock it waits for that, too, and as long as it takes.
                    Hook::Fence { .. } => phase == Some(Phase::WaitingForFence) && command.with_lock,
                    Hook::After | Hook::Probe => false,
                };
                waits && command.until + units(1) <= self.now
            })
        };
        if self.nodes.iter().any(holds) {
            self.breach(Breach::HeldByCommand);
        }
    }

    fn close_and_tell(&mut self, setup: &Setup, node: usize) {
        let clean = self.close_lock(setup, node);
        self.report(node, Event::LockClosed { clean });
    }

    /// Whoever waited for the end of a probe to close the lock.
    fn close_if_empty(&mut self, setup: &Setup, node: usize) {
        let closing = self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.closing);
        if closing && self.nodes[node].is_empty() {
            self.close_and_tell(setup, node);
        }
    }

    /// Writes back what was written, if that is possible, and closes the descriptor. Answers whether it was possible.
    fn close_lock(&mut self, setup: &Setup, node: usize) -> bool {
        let clean = !std::mem::take(&mut self.nodes[node].write_back_fails);
        if !self.nodes[node].is_empty() {
            self.breach(Breach::EndedBeforeDeath);
        }
        if clean {
            self.nodes[node].unwritten = None;
        }
        if clean || setup.guardian_notes_unwritten {
            self.note_end(node);
        }
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.has_lock = false;
            guardian.closing = false;
            guardian.wants_lock = false;
            guardian.waits = None;
            guardian.wrote = false;
            guardian.deadline = None;
            guardian.clean = clean;
        }
        self.release(setup, node);
        clean
    }

    /// The device is fed as long as the guardian's deadline lets it fire before anybody else can be elected.
    fn feed(&mut self, setup: &Setup, node: usize) {
        let deadline = self.nodes[node].guardian.as_ref().and_then(|guardian| guardian.deadline);
        if setup.watchdog && self.nodes[node].tree.is_some() {
            self.nodes[node].fires = deadline.map(|deadline| deadline + units(setup.grace));
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
        self.nodes[node].commands.clear();
        self.nodes[node].awaited = false;
        self.nodes[node].unwritten = None;
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
        if self.nodes[node].tree.is_some() {
            self.breach(Breach::StartBesideRemains);
        }
        if in_debt {
            self.breach(Breach::StartWithoutFencing);
        }
        if self.nodes.iter().enumerate().any(|(other, it)| other != node && it.unwritten.is_some()) {
            self.breach(Breach::StartBeforeWrittenBack);
        }
        self.started = self.started.max((epoch, node));
        let settled = self.nodes[node].fenced.is_some_and(|last| epoch <= last);
        self.last = Some(Last { node, epoch, settled });
    }

    /// Waits for the lock no more, and lets go of it if it was granted.
    pub fn let_go(&mut self, setup: &Setup, node: usize) {
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.waits = None;
            if guardian.has_lock && !guardian.wrote {
                guardian.has_lock = false;
                guardian.deadline = None;
            }
        }
        self.release(setup, node);
        self.report(node, Event::CalledOff);
    }

    pub fn wait_is_over(&self, node: usize) -> bool {
        self.nodes[node].guardian_runs()
            && self.nodes[node]
                .guardian
                .as_ref()
                .and_then(|guardian| guardian.waits)
                .is_some_and(|until| until <= self.now)
    }

    /// The guardian notes the proof of the end in the lock file, under the lock, once nothing of the tree lives.
    fn note_end(&mut self, node: usize) {
        let wrote = self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.wrote);
        if self.nodes[node].hold == Hold::Honoured
            && wrote
            && let Some(record) = self.record.as_mut().filter(|record| record.node == node)
        {
            record.clean = true;
            if self.nodes[node].is_empty() {
                self.settle(node);
            }
        }
    }

    pub fn lock_free_for(&self, setup: &Setup, node: usize) -> bool {
        self.nodes[node].guardian_runs()
            && self.nodes[node]
                .guardian
                .as_ref()
                .is_some_and(|guardian| guardian.wants_lock || guardian.waits.is_some())
            && (setup.void_lock || self.owner.is_none())
    }

    pub fn grant_lock(&mut self, setup: &Setup, node: usize) {
        let of_another = |record: &Breadcrumb| {
            self.breadcrumb.is_some_and(|told| told.epoch == record.epoch && told.node != record.node)
        };
        let predecessor = match self.record {
            Some(record) if of_another(&record) => Self::predecessor(Some(Breadcrumb { clean: false, ..record }), node),
            record => Self::predecessor(record, node),
        };
        let recorded = Recorded { epoch: self.recorded(), predecessor };
        if !setup.void_lock {
            self.owner = Some(node);
        }
        self.nodes[node].hold = Hold::Honoured;
        let now = self.now;
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.wants_lock = false;
            guardian.has_lock = true;
            guardian.waited = guardian.waits.take().is_some();
            if guardian.waited && !setup.guardian_keeps_grants {
                guardian.deadline = Some(now + units(2));
            }
        }
        self.report(node, Event::LockAcquired { recorded, write_back: setup.write_back });
    }

    /// The kernel releases the lock when the last holder of its descriptor is gone.
    fn release(&mut self, setup: &Setup, node: usize) {
        let held = self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.has_lock)
            || (setup.tree_keeps_lock && self.nodes[node].acts());
        if !held {
            if self.owner == Some(node) {
                self.owner = None;
            }
            if !self.nodes[node].acts() {
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
        self.tell_of_death(node);
    }

    pub fn crash_coordinator(&mut self, node: usize) {
        self.nodes[node].doom();
        self.nodes[node].awaited = true;
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
    pub fn guardian_boots(&self, setup: &Setup, node: usize) -> bool {
        let dying = self.nodes[node].tree.is_some_and(|tree| tree.doomed)
            || self.nodes[node].commands.iter().any(|command| command.doomed);
        self.nodes[node].guardian_runs()
            && self.nodes[node].supervisor.is_some()
            && self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.booting)
            && !(dying && setup.remains_are_cleared)
    }

    pub fn boot_guardian(&mut self, setup: &Setup, node: usize) {
        if setup.remains_are_cleared && !self.nodes[node].is_empty() {
            self.nodes[node].doom();
            return;
        }
        if let Some(guardian) = &mut self.nodes[node].guardian {
            guardian.booting = false;
        }
        self.report(node, Event::GuardianReady);
        if setup.rules.watchdog_required {
            self.report(node, Event::WatchdogSeen { usable: true });
        }
        let usable = self.nodes[node].fit;
        self.report(node, Event::VolumeSeen { usable });
    }

    pub fn guardian_fences(&self, setup: &Setup, node: usize) -> bool {
        let alone = self.nodes[node].supervisor.is_none();
        let tree =
            self.nodes[node].tree.is_some() || (setup.guardian_kills_commands && !self.nodes[node].commands.is_empty());
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
                if setup.guardian_looks_again {
                    guardian.starting = None;
                }
                if setup.guardian_notes_early {
                    self.note_end(node);
                }
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.doomed = true;
                }
                if setup.guardian_kills_commands {
                    self.nodes[node].doom_commands();
                }
                self.nodes[node].awaited = self.nodes[node].tree.is_some();
            }
            SelfFencing::Killing => {
                guardian.fencing = SelfFencing::Closed;
                let clean = self.close_lock(setup, node);
                self.report(node, Event::LockClosed { clean });
            }
            SelfFencing::Closed => {
                guardian.fencing = SelfFencing::Leaving;
                let clean = guardian.clean;
                self.report(node, Event::Fenced { clean });
            }
            SelfFencing::Leaving => {
                if guardian.will {
                    let clean = guardian.clean;
                    self.carry_out_will(node, clean);
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
            for order in std::mem::take(&mut supervisor.pending) {
                self.perform(setup, node, order);
            }
        }
        if let Some(guardian) = &mut self.nodes[node].guardian {
            let (orders, unsaid) = (std::mem::take(&mut guardian.orders), std::mem::take(&mut guardian.unsaid));
            for heard in unsaid {
                self.tell(node, heard);
            }
            for order in orders {
                self.obey(setup, node, order);
            }
        }
    }
}
