//! What exists: nodes with their processes, ZooKeeper, the volume's lock. Time is discrete.
//!
//! Everything that is not frozen, cut off or stuck acts within the instant, in every possible order; time only passes
//! when nothing urgent is left to do. Every delay in the real world is therefore a freeze, a partition or a stuck tree
//! here, of any length. The guardian is naive: it obeys every order without the checks that the real one makes, except
//! that it starts nothing past the deadline or without the lock. So what holds here holds by the core, not by its helpers.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use primacy::moment::Moment;
use primacy::node::Request;
use primacy::role::{Action, Backoff, Event, Predecessor, Restarts, Rules, Succession};

use super::flaw::{Core, Flaw};
use super::relative::Relative;
use super::steering::{Change, Control, Question, Said, View};
use super::upgrade::Moving;

/// One unit of the model's time, in nanoseconds; also the heartbeat interval.
pub const UNIT: u64 = 1_000_000_000;
pub const DAWN: u64 = 1 << 50;
/// Also what ZooKeeper says where there was no epoch yet.
pub const FIRST_EPOCH: u64 = 1 << 32;

/// In units; heartbeat interval and margin are one each. `EXPIRES_FROM` = session timeout − half a tick, counted from what the
/// ensemble's leader has been told of, which need not be the last that was heard; `LEASE` = that − heartbeat interval − margin;
/// `EXPIRES_BY` = session timeout + a tick, counted from the last that was heard.
pub const LEASE: u64 = 2;
pub const EXPIRES_FROM: u64 = 4;
pub const EXPIRES_BY: u64 = 4;
/// By so much the servers may cut a session.
pub const CUT: u64 = 2;
/// So long a switchover's target has to answer.
pub const HAND_OVER_WITHIN: u64 = 3;
/// How long after the lease's end a watchdog may fire: the margin.
pub const GRACE: u64 = 1;

pub const fn units(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn rules() -> Rules {
    Rules {
        may_stand: true,
        lease: units(LEASE),
        least_to_start: units(1),
        fencing: true,
        fencing_required: true,
        fencing_frees_lock: false,
        fence_after: units(LEASE),
        fencing_timeout: units(3),
        watchdog_required: false,
        before_start: false,
        before_start_timeout: units(3),
        after_stop: false,
        after_stop_timeout: units(3),
        probed: false,
        startup_timeout: units(3),
        volume_timeout: units(2),
        stop_timeout: units(2),
        stuck_after: units(1),
        restarts: Restarts { max: 0, within: units(2) },
        backoff: Backoff { first: units(1), max: units(1), reset: units(2) },
        exit_after_loss: true,
    }
}

/// What is checked, and under which circumstances.
#[derive(Clone, Debug)]
pub struct Setup {
    pub nodes: usize,
    /// How many faults may happen.
    pub budget: u8,
    pub faults: Vec<Fault>,
    /// A lock that everybody gets: what protects is the lease alone.
    pub void_lock: bool,
    /// The coordinator keeps the inherited descriptor. Where it closes it, the guardian alone holds the lock.
    pub tree_keeps_lock: bool,
    /// The guardian starts nothing without the lock. It must not: a supervisor that froze between a decision and the message
    /// does not know that its guardian has fenced itself meanwhile.
    pub guardian_refuses: bool,
    /// The guardian, when it ends a leadership by itself, kills the commands that run in its name, too.
    pub guardian_kills_commands: bool,
    /// Who stands right behind the active node is told so, and waits for its lock.
    pub by_volume: bool,
    /// A guardian that notes the end in the lock file when it begins to kill.
    pub guardian_notes_early: bool,
    /// One that notes it although what was written could not be written back.
    pub guardian_notes_unwritten: bool,
    /// One that keeps a lock that was granted to it for as long as nobody takes it up.
    pub guardian_keeps_grants: bool,
    /// A guardian that closes the lock although a probe runs.
    pub guardian_closes_at_once: bool,
    /// What a coordinator wrote stays in its host's memory until it is written back: a network file system.
    pub write_back: bool,
    /// Every host has a watchdog, fed to the last moment that the guardian's deadline allows.
    pub watchdog: bool,
    /// How long after the guardian's deadline it fires.
    pub grace: u64,
    /// Node 0 has the highest priority.
    pub ranked: bool,
    /// Of two faults the first is this.
    pub first: Option<Fault>,
    /// It begins when somebody leads and all others wait, in the order of their numbers.
    pub settled: bool,
    /// Between the order and the start lies time: the guardian looks the coordinator's account up, say.
    pub start_takes_time: bool,
    /// After that it looks again whether it may start.
    pub guardian_looks_again: bool,
    /// A guardian opens the volume only once what an earlier leadership left on its host is dead.
    pub remains_are_cleared: bool,
    pub rules: Rules,
    pub flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    FreezeSupervisor,
    /// The supervisor freezes amid a list of actions, and carries out the rest when it thaws.
    FreezeHalfway,
    FreezeGuardian,
    FreezeHost,
    Partition,
    KillSupervisor,
    /// The supervisor dies amid a list of actions.
    DieHalfway,
    KillGuardian,
    CrashCoordinator,
    /// What is killed does not die for a while.
    StickTree,
    /// The same of a command.
    StickCommand,
    /// What was written cannot be written back when the lock is closed.
    FailWriteBack,
    /// The server forgets the lock while its holder believes to hold it.
    LoseLock,
    /// The election node is deleted although its session was kept alive.
    DeleteNode,
    /// A client has to connect anew, and is granted a shorter session.
    CutSession,
    WipeZooKeeper,
    /// ZooKeeper comes back with what it knew before its last change.
    RestoreZooKeeper,
    /// Everything of a node's host is gone at once, and its lock with it.
    CutPower,
    FailHook,
    /// A coordinator runs on and never does again what it is there for: its probe says so.
    Sicken,
    /// A person vouches for the last active, whose host is off.
    Vouch,
    /// Somebody pauses the cluster, for a while.
    Pause,
    /// Somebody isolates a node, and activates it some time.
    Isolate,
    /// Somebody wants another node to lead.
    StepDown,
    /// The same, told to the whole cluster, with the node that is to lead.
    Switchover,
    /// A standby's volume takes no writes.
    SpoilVolume,
    Stop,
    /// A stop and a second one.
    StopTwice,
    /// The supervisor of a leader executes its program anew.
    Upgrade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frost {
    Supervisor,
    Guardian,
    Host,
}

/// What a supervisor is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    Event(Event),
    /// First in the queue, while elections are paused.
    Held(Succession),
    /// They are not any more.
    Resumed,
    /// A probe has ended.
    Answered {
        well: bool,
    },
    /// Somebody wants something of this node.
    Asked(Request),
    /// What is wanted, or what others say for its sake, has changed.
    Told(View),
}

impl From<Event> for Heard {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// What a supervisor wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Role(Action),
    /// The coordinator is to be asked how it is, by a command.
    Probe,
    /// `control` is to be changed.
    Intend(Change),
}

impl From<Action> for Order {
    fn from(action: Action) -> Self {
        Self::Role(action)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Supervisor {
    pub core: Core,
    pub mailbox: Vec<Heard>,
    /// What was left to do when it froze.
    pub pending: Vec<Order>,
    pub client: Client,
    /// The breadcrumb that it was elected with; kept only where ZooKeeper may come back with another.
    pub found: Option<Breadcrumb>,
}

/// The supervisor's ZooKeeper client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// Has, or wants, an election node.
    pub standing: bool,
    /// Stand was ordered while cut off.
    pub to_stand: bool,
    /// Elected was told, with this epoch: the version that the claim is guarded by.
    pub told: Option<u64>,
    /// Next behind the active node of this epoch was told.
    pub next: Option<u64>,
    /// Elections were paused when it was told so.
    pub held: bool,
    pub claimed: Option<u64>,
    pub next_beat: Moment,
    /// When it sent what was answered last, and when that was answered.
    pub touched: (Moment, Moment),
    /// When it sent what was answered before that: the server has told its leader of it.
    pub proven: Moment,
    /// A heartbeat that has not reached the server.
    pub in_flight: Option<Moment>,
    /// A claim that has not reached the server: epoch, sent.
    pub to_claim: Option<(u64, Moment)>,
    /// Answers that have not reached the client.
    pub late: Vec<Heard>,
    /// Its leadership is another session's, and is to become its own.
    pub moving: Option<Moving>,
    /// What it has read last of what is wanted.
    pub shown: Option<View>,
    /// A change of `control` that has not reached the server.
    pub to_intend: Option<Change>,
    /// For the observer only: it was told that it is elected while the node to which the role is to go was there and able.
    pub rival: bool,
}

/// A command's process, with what it left behind: a child of the guardian's that outlives it if nobody kills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    pub hook: Hook,
    /// Its time is up.
    pub until: Moment,
    /// It has the lock's descriptor, as the coordinator has.
    pub with_lock: bool,
    pub doomed: bool,
    pub stuck: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `target`: node and epoch of the breadcrumb when it was ordered.
    Fence {
        epoch: u64,
        target: Option<(usize, u64)>,
    },
    Before {
        epoch: u64,
    },
    After,
    /// Asks the coordinator how it is.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelfFencing {
    No,
    Killing,
    Closed,
    /// It has said so; what remains is its last will, and its own end.
    Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guardian {
    pub booting: bool,
    pub deadline: Option<Moment>,
    pub wants_lock: bool,
    pub has_lock: bool,
    /// It waits for the lock until then.
    pub waits: Option<Moment>,
    /// The lock that it has was waited for.
    pub waited: bool,
    /// The record in the lock file is its own.
    pub wrote: bool,
    /// The lock is to be closed once the probe is dead that was still ordered.
    pub closing: bool,
    /// What was written has been written back before the lock was closed.
    pub clean: bool,
    /// The last will: it may delete the election node of this leadership.
    pub will: bool,
    pub fencing: SelfFencing,
    /// A start that was ordered and waits for what it needs.
    pub starting: Option<u64>,
    /// Not read yet: it is frozen.
    pub orders: Vec<Order>,
    /// Not said yet: it is frozen.
    pub unsaid: Vec<Heard>,
}

impl Guardian {
    pub const fn booting() -> Self {
        Self {
            booting: true,
            deadline: None,
            wants_lock: false,
            has_lock: false,
            waits: None,
            waited: false,
            wrote: false,
            closing: false,
            clean: true,
            will: false,
            fencing: SelfFencing::No,
            starting: None,
            orders: Vec::new(),
            unsaid: Vec::new(),
        }
    }
}

/// A coordinator's living process tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    pub epoch: u64,
    /// The stop signal was sent: it may die at any time, and is killed at this moment.
    pub stopping: Option<Moment>,
    /// SIGKILL was sent.
    pub doomed: bool,
    pub stuck: bool,
    /// It lives, and is of no use.
    pub sick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    Honoured,
    Lost,
    /// The probe has seen it.
    Noticed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub supervisor: Option<Supervisor>,
    pub guardian: Option<Guardian>,
    pub tree: Option<Tree>,
    pub commands: Vec<Command>,
    /// Somebody waits for the death of tree and commands.
    pub awaited: bool,
    /// What was written under this epoch may reach the volume at any moment.
    pub unwritten: Option<u64>,
    pub write_back_fails: bool,
    /// When the watchdog resets the host.
    pub fires: Option<Moment>,
    pub frost: Option<Frost>,
    /// No way between this node and ZooKeeper.
    pub cut: bool,
    /// Its supervisor knows that it is not wanted to lead.
    pub isolated: bool,
    pub hold: Hold,
    /// For the observer only: the claim that ZooKeeper granted, when its latest proof was sent, and whether somebody could
    /// still write then who had neither stopped nor been fenced.
    pub granted: Option<u64>,
    pub proved: Moment,
    pub in_debt: bool,
    /// For the observer only: up to which epoch this node was fenced. What it writes under it is refused, also if it starts
    /// only then.
    pub fenced: Option<u64>,
    /// Somebody deleted its election node although its lease ran. If its lock is lost, too, nothing is left that could tell
    /// it in time that another node leads: this is where the fencing command and the epoch itself must do.
    pub betrayed: bool,
    /// Its volume takes writes.
    pub fit: bool,
    /// For the observer only: its supervisor was told so by the guardian that it has.
    pub told_fit: bool,
    /// For the observer only: the epoch after which it went to the back of the queue while a switchover was wanted.
    pub made_way: Option<u64>,
}

impl Node {
    pub fn supervisor_runs(&self) -> bool {
        self.supervisor.is_some() && !matches!(self.frost, Some(Frost::Supervisor | Frost::Host))
    }

    pub fn guardian_runs(&self) -> bool {
        self.guardian.is_some() && !matches!(self.frost, Some(Frost::Guardian | Frost::Host))
    }

    pub fn host_runs(&self) -> bool {
        self.frost != Some(Frost::Host)
    }

    /// Something runs in the name of a leadership that this node has, or had.
    pub fn acts(&self) -> bool {
        self.tree.is_some() || self.commands.iter().any(|command| command.with_lock)
    }

    pub fn is_empty(&self) -> bool {
        self.tree.is_none() && self.commands.is_empty()
    }

    /// Nothing is left but a probe.
    pub fn is_empty_but_for_a_probe(&self) -> bool {
        self.tree.is_none()
            && !self.commands.is_empty()
            && self.commands.iter().all(|command| command.hook == Hook::Probe)
    }

    pub fn doom(&mut self) {
        if let Some(tree) = &mut self.tree {
            tree.doomed = true;
        }
        self.doom_commands();
    }

    pub fn doom_commands(&mut self) {
        for command in &mut self.commands {
            command.doomed = true;
        }
    }
}

/// An election node and its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    pub node: usize,
    /// The client that made it still exists and knows it.
    pub known: bool,
    pub claimed: bool,
    /// When its server has heard of it last, and what its server's leader has surely been told: what was heard before that.
    pub heard: Moment,
    pub told: Moment,
    /// The session is shorter than it was.
    pub cut: bool,
    /// The session that owns it is not the one that the client keeps.
    pub elsewhere: bool,
    /// What its member says, while something is wanted.
    pub said: Said,
}

impl Seat {
    pub const fn new(node: usize, now: Moment) -> Self {
        Self {
            node,
            known: true,
            claimed: false,
            heard: now,
            told: now,
            cut: false,
            elsewhere: false,
            said: Said { leads: None, eligible: false, ready_for: None },
        }
    }

    pub fn hear(&mut self, now: Moment) {
        if self.heard < now {
            self.told = self.heard;
            self.heard = now;
        }
    }
}

/// Also what the lock file says. A node of the model is a host: what its name is, only a flaw asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Breadcrumb {
    pub node: usize,
    pub epoch: u64,
    pub clean: bool,
}

/// The last leadership that has run a coordinator, as it really was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Last {
    pub node: usize,
    pub epoch: u64,
    /// It is proven that nothing of it can write: it ended cleanly, was fenced, or its own host has had the lock since.
    pub settled: bool,
}

/// What must never happen and is seen only at the moment when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    StartWithoutLock = 1,
    StartWithoutEpoch = 2,
    StartWithoutLease = 4,
    StartWithoutFencing = 8,
    /// The breadcrumb was marked clean, or the lock closed, while the tree or a command lived.
    EndedBeforeDeath = 16,
    /// Something that a former coordinator wrote may still arrive, and its host was not fenced.
    StartBeforeWrittenBack = 32,
    /// A node began to claim although elections were paused when it was elected.
    PromotionInPause = 64,
    /// A node began to claim although it was isolated.
    PromotionInIsolation = 128,
    /// What an earlier leadership of the same host left was still alive.
    StartBesideRemains = 256,
    /// Somebody was to be fenced by who is not elected.
    FencedUnelected = 512,
    /// A node stopped its coordinator for a switchover although the target had not just answered.
    StopWithoutAnswer = 1024,
    /// A node took the role although it was to go to another one, which was there and able.
    IntentBeaten = 2048,
    /// A node entered the queue although its guardian had not told it that the volume takes writes.
    StandWithoutVolume = 4096,
    /// A node went on with its promotion although a command of it could not be killed.
    HeldByCommand = 8192,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub now: Moment,
    pub nodes: Vec<Node>,
    pub queue: Vec<Seat>,
    pub epoch: u64,
    pub breadcrumb: Option<Breadcrumb>,
    /// The leadership that a person vouched for last: node and epoch.
    pub vouched: Option<(usize, u64)>,
    /// What ZooKeeper knew before its last change: epoch and breadcrumb. Kept only where it may come back with that, for it
    /// doubles the states.
    pub before: Option<(u64, Option<Breadcrumb>, Control)>,
    pub owner: Option<usize>,
    /// What the lock file says.
    pub record: Option<Breadcrumb>,
    pub last: Option<Last>,
    /// The highest epoch ever started under, and by whom.
    pub started: (u64, usize),
    /// Somebody has succeeded the active node by the proof in the lock file, whose election node was still there.
    pub handed_over: bool,
    /// Elections are paused.
    pub paused: bool,
    pub control: Control,
    pub question: Option<Question>,
    pub budget: u8,
    pub breaches: u16,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let highest = self.epoch.max(self.recorded()).max(self.started.0);
        let mut relative = Relative { inner: state, now: self.now.as_nanos(), epoch: highest };
        self.nodes.hash(&mut relative);
        self.queue.hash(&mut relative);
        (self.epoch, self.breadcrumb, self.owner, self.record, self.started).hash(&mut relative);
        (self.before, self.last, self.vouched).hash(&mut relative);
        (self.paused, self.handed_over, self.budget, self.breaches).hash(&mut relative);
        (self.control, self.question).hash(&mut relative);
    }
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let mut world = Self {
            now: Moment::from_nanos(DAWN + 100 * UNIT),
            nodes: vec![
                Node {
                    supervisor: None,
                    guardian: None,
                    tree: None,
                    commands: Vec::new(),
                    awaited: false,
                    unwritten: None,
                    write_back_fails: false,
                    fires: None,
                    frost: None,
                    cut: false,
                    isolated: false,
                    hold: Hold::Honoured,
                    granted: None,
                    proved: Moment::from_nanos(DAWN),
                    in_debt: false,
                    fenced: None,
                    betrayed: false,
                    fit: true,
                    told_fit: false,
                    made_way: None,
                };
                setup.nodes
            ],
            queue: Vec::new(),
            epoch: FIRST_EPOCH,
            breadcrumb: None,
            vouched: None,
            before: setup.faults.contains(&Fault::RestoreZooKeeper).then_some((FIRST_EPOCH, None, Control::default())),
            owner: None,
            record: None,
            last: None,
            started: (0, 0),
            handed_over: false,
            paused: false,
            control: Control::default(),
            question: None,
            budget: setup.budget,
            breaches: 0,
        };
        for node in 0..setup.nodes {
            world.restart(setup, node);
        }
        if setup.settled {
            world.settle_down(setup);
        }
        world
    }

    pub fn restart(&mut self, setup: &Setup, node: usize) {
        self.nodes[node].supervisor = Some(Supervisor {
            core: Core::new(&setup.rules, setup.flaw, self.now),
            mailbox: Vec::new(),
            pending: Vec::new(),
            client: Client::default(),
            found: None,
        });
        self.nodes[node].guardian = Some(Guardian::booting());
    }

    /// The epoch in the lock file.
    pub fn recorded(&self) -> u64 {
        self.record.map_or(0, |record| record.epoch)
    }

    /// Whose a breadcrumb or record is, to a node.
    pub fn predecessor(told: Option<Breadcrumb>, node: usize) -> Predecessor {
        match told {
            None => Predecessor::None,
            Some(Breadcrumb { clean: true, .. }) => Predecessor::Clean,
            Some(told) if told.node == node => Predecessor::Own,
            Some(_) => Predecessor::Unclean,
        }
    }

    /// ZooKeeper is about to be changed.
    pub fn remember(&mut self) {
        self.before = self.before.map(|_| (self.epoch, self.breadcrumb, self.control));
    }

    /// Nothing of this node's last leadership can write any more.
    pub fn settle(&mut self, node: usize) {
        if let Some(last) = self.last.as_mut().filter(|last| last.node == node) {
            last.settled = true;
        }
    }

    pub fn breach(&mut self, breach: Breach) {
        self.breaches |= breach as u16;
    }

    pub fn breached(&self, breach: Breach) -> bool {
        self.breaches & breach as u16 != 0
    }

    /// Puts a fact into a supervisor's mailbox.
    pub fn tell(&mut self, node: usize, heard: impl Into<Heard>) {
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            supervisor.mailbox.push(heard.into());
        }
    }
}
