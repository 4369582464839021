//! What may happen next in a world, and what it does.

use primacy::moment::Moment;
use primacy::node::Request;
use primacy::role::{Event, Loss};

use super::node::Interruption;
use super::world::{Fault, Frost, Heard, Setup, World, units};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A supervisor takes in its next event, or notices its deadline.
    Handle(usize),
    Beat(usize),
    Reset(usize),
    GuardianBoots(usize),
    GrantLock(usize),
    /// A guardian waits for the lock no longer than it was told.
    WaitIsOver(usize),
    GuardianFences(usize),
    /// A supervisor kills a guardian that does not answer.
    KillSilentGuardian(usize),
    TreeDies(usize),
    ProbeFails(usize),
    EndCommand(usize),
    CommandDies(usize),
    Expire(usize),
    Restart(usize),
    Thaw(usize),
    Heal {
        node: usize,
        lose: bool,
    },
    Unstick(usize),
    TimePasses,
    Freeze(usize, Frost),
    HandleHalf(usize, Interruption, usize),
    Cut {
        node: usize,
        hold: bool,
    },
    KillSupervisor(usize),
    KillGuardian(usize),
    CrashCoordinator(usize),
    StickTree(usize),
    StickCommand(usize),
    FailWriteBack(usize),
    LoseLock(usize),
    DeleteNode(usize),
    CutSession(usize),
    WipeZooKeeper,
    RestoreZooKeeper,
    CutPower(usize),
    FailHook(usize),
    Vouch,
    Sicken(usize),
    Pause,
    Resume,
    Ask(usize, Request),
    /// The role is to go to this node.
    Switch(usize),
    /// The guardian starts what it was to start.
    Fork(usize),
    SpoilVolume(usize),
    MendVolume(usize),
    Stop(usize, u8),
    Upgrade(usize),
    /// A client that followed another one goes on to take its leadership over.
    Move(usize),
}

const ACTIVATION: Heard = Heard::Asked(Request::Activate);

impl World {
    /// When the time is up of a command that could end.
    fn command(&self, node: usize) -> Option<Moment> {
        let command = self.nodes[node].commands.first().filter(|_| self.nodes[node].host_runs())?;
        (!command.doomed && !command.stuck).then_some(command.until)
    }

    /// What cannot wait until time passes.
    fn urgent(&self, setup: &Setup, out: &mut Vec<Step>) {
        for node in 0..self.nodes.len() {
            let it = &self.nodes[node];
            if self.next_event(node).is_some() {
                out.push(Step::Handle(node));
            }
            if self.beat_due(node) {
                out.push(Step::Beat(node));
            }
            if self.moves(node) {
                out.push(Step::Move(node));
            }
            if self.guardian_boots(setup, node) {
                out.push(Step::GuardianBoots(node));
            }
            if self.lock_free_for(setup, node) {
                out.push(Step::GrantLock(node));
            }
            if self.wait_is_over(node) {
                out.push(Step::WaitIsOver(node));
            }
            if self.guardian_fences(setup, node) {
                out.push(Step::GuardianFences(node));
            }
            if it.frost == Some(Frost::Guardian) && it.supervisor.is_some() {
                out.push(Step::KillSilentGuardian(node));
            }
            if self.tree_must_die(node) {
                out.push(Step::TreeDies(node));
            }
            if self.command_must_die(node) {
                out.push(Step::CommandDies(node));
            }
            if self.command(node).is_some_and(|until| until <= self.now) {
                out.push(Step::EndCommand(node));
            }
        }
        for seat in 0..self.queue.len() {
            if self.must_expire(seat) {
                out.push(Step::Expire(seat));
            }
        }
    }

    /// What may as well happen later.
    fn leisurely(&self, out: &mut Vec<Step>) {
        if self.paused {
            out.push(Step::Resume);
        }
        for (node, it) in self.nodes.iter().enumerate() {
            if it.isolated && it.supervisor.as_ref().is_some_and(|it| !it.mailbox.contains(&ACTIVATION)) {
                out.push(Step::Ask(node, Request::Activate));
            }
            if it.frost.is_some() {
                out.push(Step::Thaw(node));
            }
            if self.may_fork(node) {
                out.push(Step::Fork(node));
            }
            if !it.fit {
                out.push(Step::MendVolume(node));
            }
            if it.cut {
                out.push(Step::Heal { node, lose: false });
            }
            if it.tree.is_some_and(|tree| tree.stuck) || it.commands.iter().any(|command| command.stuck) {
                out.push(Step::Unstick(node));
            }
            if it.supervisor.is_none() && it.guardian.is_none() && it.frost.is_none() {
                out.push(Step::Restart(node));
            }
            if self.probe_fails(node) {
                out.push(Step::ProbeFails(node));
            }
            if self.command(node).is_some_and(|until| until > self.now) {
                out.push(Step::EndCommand(node));
            }
        }
    }

    pub fn steps(&self, setup: &Setup, out: &mut Vec<Step>) {
        if let Some(node) = self.resets() {
            out.push(Step::Reset(node));
            return;
        }
        self.urgent(setup, out);
        let urgent = !out.is_empty();
        self.leisurely(out);
        for node in 0..self.nodes.len() {
            if self.nodes[node].cut {
                out.push(Step::Heal { node, lose: true });
            }
            if self.tree_may_die(node) && !self.tree_must_die(node) {
                out.push(Step::TreeDies(node));
            }
        }
        for seat in 0..self.queue.len() {
            if self.may_expire(seat) && !self.must_expire(seat) {
                out.push(Step::Expire(seat));
            }
        }
        if self.budget > 0 {
            let first = setup.first.filter(|_| self.budget == setup.budget);
            for fault in setup.faults.iter().filter(|fault| first.is_none_or(|first| **fault == first)) {
                self.faults(*fault, out);
            }
        }
        if !urgent {
            out.push(Step::TimePasses);
        }
    }

    fn faults(&self, fault: Fault, out: &mut Vec<Step>) {
        if fault == Fault::WipeZooKeeper {
            out.push(Step::WipeZooKeeper);
        }
        if fault == Fault::RestoreZooKeeper {
            out.push(Step::RestoreZooKeeper);
        }
        if fault == Fault::Vouch && self.may_be_vouched_for() {
            out.push(Step::Vouch);
        }
        if fault == Fault::Pause && !self.paused {
            out.push(Step::Pause);
        }
        if fault == Fault::Switchover {
            out.extend(self.targets().into_iter().map(Step::Switch));
        }
        if fault == Fault::DeleteNode && !self.queue.is_empty() {
            out.push(Step::DeleteNode(0));
        }
        for (node, it) in self.nodes.iter().enumerate() {
            let frozen = it.frost.is_some();
            match fault {
                Fault::FreezeSupervisor if !frozen && it.supervisor.is_some() => {
                    out.push(Step::Freeze(node, Frost::Supervisor));
                }
                Fault::FreezeGuardian if !frozen && it.guardian.is_some() => {
                    out.push(Step::Freeze(node, Frost::Guardian));
                }
                Fault::FreezeHost if !frozen => out.push(Step::Freeze(node, Frost::Host)),
                Fault::FreezeHalfway | Fault::DieHalfway => {
                    let how = if fault == Fault::DieHalfway { Interruption::Death } else { Interruption::Freeze };
                    for after in 0..self.next_orders(node).len() {
                        out.push(Step::HandleHalf(node, how, after));
                    }
                }
                Fault::Partition if !it.cut => {
                    out.push(Step::Cut { node, hold: false });
                    out.push(Step::Cut { node, hold: true });
                }
                Fault::KillSupervisor if it.supervisor.is_some() => out.push(Step::KillSupervisor(node)),
                Fault::KillGuardian if it.guardian.is_some() => out.push(Step::KillGuardian(node)),
                Fault::CrashCoordinator
                    if it.tree.is_some_and(|tree| !tree.doomed && tree.stopping.is_none())
                        && it.guardian_runs()
                        && it.guardian.as_ref().is_some_and(|guardian| !guardian.booting) =>
                {
                    out.push(Step::CrashCoordinator(node));
                }
                Fault::StickTree if it.tree.is_some_and(|tree| !tree.stuck) => out.push(Step::StickTree(node)),
                Fault::CutSession if self.session_may_be_cut(node) => out.push(Step::CutSession(node)),
                Fault::LoseLock if self.owner == Some(node) => out.push(Step::LoseLock(node)),
                Fault::StickCommand if it.commands.iter().any(|command| !command.stuck) => {
                    out.push(Step::StickCommand(node));
                }
                Fault::FailWriteBack if it.unwritten.is_some() && !it.write_back_fails => {
                    out.push(Step::FailWriteBack(node));
                }
                Fault::SpoilVolume
                    if it.fit
                        && it.guardian.as_ref().is_some_and(|guardian| !guardian.has_lock && !guardian.wants_lock) =>
                {
                    out.push(Step::SpoilVolume(node));
                }
                Fault::Sicken if it.tree.is_some_and(|tree| !tree.sick && !tree.doomed) => out.push(Step::Sicken(node)),
                Fault::Isolate if it.supervisor.is_some() && !it.isolated => {
                    out.push(Step::Ask(node, Request::Isolate));
                }
                Fault::StepDown => {
                    let leads = it.supervisor.as_ref().and_then(|supervisor| supervisor.core.machine().epoch());
                    out.extend(leads.map(|epoch| Step::Ask(node, Request::StepDown { epoch })));
                }
                Fault::FailHook if self.command(node).is_some() => out.push(Step::FailHook(node)),
                Fault::CutPower if it.supervisor.is_some() || it.guardian.is_some() => out.push(Step::CutPower(node)),
                Fault::Stop if it.supervisor.is_some() => out.push(Step::Stop(node, 1)),
                Fault::Upgrade if self.may_be_upgraded(node) => out.push(Step::Upgrade(node)),
                Fault::StopTwice if it.supervisor.is_some() => out.push(Step::Stop(node, 2)),
                _ => {}
            }
        }
    }

    /// One schedule that is fair to everybody, once faults have ended: what was broken is mended, what can be done is done,
    /// then time passes. Who is isolated stays so, unless nobody else is left.
    pub fn fair_step(&self, setup: &Setup) -> Step {
        if let Some(node) = self.resets() {
            return Step::Reset(node);
        }
        let mut steps = Vec::new();
        self.leisurely(&mut steps);
        if !self.nodes.iter().all(|node| node.isolated) {
            steps.retain(|step| !matches!(step, Step::Ask(_, Request::Activate)));
        }
        if steps.is_empty() {
            self.urgent(setup, &mut steps);
        }
        steps.first().copied().unwrap_or(Step::TimePasses)
    }

    /// Until nothing is left to do and somebody leads.
    pub fn settle_down(&mut self, setup: &Setup) {
        loop {
            let mut urgent = Vec::new();
            self.urgent(setup, &mut urgent);
            if urgent.is_empty() && self.nodes.iter().any(|node| node.tree.is_some()) {
                return;
            }
            self.apply(setup, urgent.first().copied().unwrap_or(Step::TimePasses));
        }
    }

    pub fn apply(&mut self, setup: &Setup, step: Step) {
        let budget = self.budget;
        self.budget = budget.saturating_sub(1);
        match step {
            Step::Freeze(node, frost) => self.nodes[node].frost = Some(frost),
            Step::HandleHalf(node, how, after) => self.handle(setup, node, Some((how, after))),
            Step::Cut { node, hold } => self.cut(node, hold),
            Step::KillSupervisor(node) => self.lose_supervisor(node),
            Step::KillGuardian(node) => self.kill_guardian(setup, node),
            Step::CrashCoordinator(node) => self.crash_coordinator(node),
            Step::StickTree(node) => {
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.stuck = true;
                }
            }
            Step::StickCommand(node) => {
                for command in &mut self.nodes[node].commands {
                    command.stuck = true;
                }
            }
            Step::Sicken(node) => {
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.sick = true;
                }
            }
            Step::Ask(node, request @ (Request::Isolate | Request::StepDown { .. })) => {
                self.tell(node, Heard::Asked(request));
            }
            Step::Switch(to) => self.want_switchover(to),
            Step::SpoilVolume(node) => self.change_volume(node, false),
            Step::FailWriteBack(node) => self.nodes[node].write_back_fails = true,
            Step::LoseLock(node) => self.lose_lock(node),
            Step::DeleteNode(seat) => self.betray(seat, Loss::NodeDeleted),
            Step::CutSession(node) => self.cut_session(node),
            Step::WipeZooKeeper => self.wipe(),
            Step::Pause => self.pause(),
            Step::Upgrade(node) => self.upgrade(setup, node),
            Step::Vouch => self.vouch(),
            Step::FailHook(node) => self.end_command(setup, node, false),
            Step::RestoreZooKeeper => self.restore(),
            Step::CutPower(node) => self.reset(setup, node),
            Step::Stop(node, times) => {
                self.tell(node, Event::StopRequested);
                if times == 2 {
                    self.tell(node, Event::KillRequested);
                }
            }
            step => {
                self.budget = budget;
                self.apply_lawful(setup, step);
            }
        }
        self.tell_each_other(setup);
        self.elect(setup);
        self.tell_next(setup);
    }

    fn apply_lawful(&mut self, setup: &Setup, step: Step) {
        match step {
            Step::Handle(node) => self.handle(setup, node, None),
            Step::Beat(node) => self.beat(setup, node),
            Step::Move(node) => self.go_on_moving(setup, node),
            Step::Reset(node) => self.reset(setup, node),
            Step::GuardianBoots(node) => self.boot_guardian(setup, node),
            Step::GrantLock(node) => self.grant_lock(setup, node),
            Step::WaitIsOver(node) => self.let_go(setup, node),
            Step::GuardianFences(node) => self.fence_further(setup, node),
            Step::KillSilentGuardian(node) => self.kill_guardian(setup, node),
            Step::TreeDies(node) => self.tree_dies(setup, node),
            Step::ProbeFails(node) => self.fail_probe(node),
            Step::EndCommand(node) => self.end_command(setup, node, true),
            Step::CommandDies(node) => self.command_dies(setup, node),
            Step::Expire(seat) => self.remove_seat(seat, Loss::SessionExpired),
            Step::Restart(node) => self.restart(setup, node),
            Step::Fork(node) => self.fork_at_last(setup, node),
            Step::MendVolume(node) => self.change_volume(node, true),
            Step::Resume => self.resume(),
            Step::Ask(node, Request::Activate) => self.tell(node, ACTIVATION),
            Step::Thaw(node) => self.thaw(setup, node),
            Step::Heal { node, lose } => self.heal(setup, node, lose),
            Step::Unstick(node) => {
                if let Some(tree) = &mut self.nodes[node].tree {
                    tree.stuck = false;
                }
                for command in &mut self.nodes[node].commands {
                    command.stuck = false;
                }
            }
            Step::TimePasses => {
                self.observe_waiting();
                self.now = self.now + units(1);
                self.hear_touches(setup);
            }
            _ => {}
        }
    }
}
