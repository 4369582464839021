//! Innocent histories, invented: a cluster is played through on paper, fault after fault, and written down as the runner
//! would.
//!
//! What comes out has everything that makes a judge hesitate: lives that span a freeze, faults without an effect, faults
//! whose effect comes after the recovery was seen, pairs, and operations of which nobody knows whether they were done.

use drill::history::Line;

use crate::scribe;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;
/// When the first line is written.
pub const ZERO: u64 = 1_000 * SECOND;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// The active node's host dies; another one takes over.
    Kill,
    /// The active node's host stands still past its lease, dies at the thaw, and nobody else runs until then.
    Freeze,
    /// The same, but shorter than the lease: its life goes on.
    ShortFreeze,
    /// A standby dies. Nothing comes of it.
    KillStandby,
    /// A ZooKeeper restarts. Nothing comes of it.
    RestartZookeeper,
    /// The election node is deleted: the runner sees the old active node before that has had an effect.
    DeleteElectionNode,
    /// The active node's host dies while a ZooKeeper restarts.
    Pair,
    /// Planned: the active node is stopped.
    Stop,
    /// Guilty: the coordinator is killed and started again in the same leadership.
    LocalRestart,
}

impl Plot {
    pub const INNOCENT: [Self; 8] = [
        Self::Kill,
        Self::Freeze,
        Self::ShortFreeze,
        Self::KillStandby,
        Self::RestartZookeeper,
        Self::DeleteElectionNode,
        Self::Pair,
        Self::Stop,
    ];

    /// Whether a coordinator ends by it.
    pub fn fails_over(self) -> bool {
        !matches!(self, Self::ShortFreeze | Self::KillStandby | Self::RestartZookeeper)
    }
}

/// One fault and its times.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub plot: Plot,
    /// From the former recovery to the fault; ms.
    pub calm: u64,
    /// Without a coordinator; ms.
    pub gap: u64,
    /// How long the fault lasts, where it has a length; ms.
    pub length: u64,
    /// Decides what nobody knows: whether unknown operations were applied, and whether failures are folded.
    pub coin: u64,
}

impl Scene {
    pub fn of(plot: Plot) -> Self {
        Self { plot, calm: 4_000, gap: 700, length: 6_000, coin: 0b1010 }
    }
}

#[derive(Clone, Debug)]
pub struct Life {
    pub node: usize,
    pub pid: u32,
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
    /// Why its leadership ended.
    pub cause: &'static str,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: &'static str,
    pub targets: Vec<String>,
    pub begin: u64,
    pub end: u64,
}

/// From a fault's begin to the recovery.
#[derive(Clone, Debug)]
pub struct Episode {
    pub faults: Vec<Fault>,
    pub healed: u64,
    pub recovered: u64,
    /// Index of the life that was seen then.
    pub seen: usize,
}

/// What happened, before it is written down.
#[derive(Clone, Debug)]
pub struct Play {
    pub nodes: usize,
    pub lives: Vec<Life>,
    pub episodes: Vec<Episode>,
    /// When nobody answered although a coordinator lived, and of which life.
    pub frozen: Vec<(u64, u64, usize)>,
    pub coins: Vec<u64>,
    pub ready: u64,
    pub end: u64,
}

/// An innocent history, unless a scene says otherwise.
pub fn history(nodes: usize, scenes: &[Scene]) -> Vec<Line> {
    scribe::write(&play(nodes, scenes))
}

/// One of each kind, for tests that need something to break.
pub fn varied() -> Vec<Line> {
    history(3, &Plot::INNOCENT.map(Scene::of))
}

pub fn name(node: usize) -> String {
    format!("node-{}", ["a", "b", "c", "d", "e"][node])
}

pub fn play(nodes: usize, scenes: &[Scene]) -> Play {
    let first = Life { node: 0, pid: 100, epoch: 1, first: ZERO + 2 * SECOND, last: 0, cause: "stopped" };
    let mut play = Play {
        nodes,
        lives: vec![first],
        episodes: Vec::new(),
        frozen: Vec::new(),
        coins: scenes.iter().map(|scene| scene.coin).collect(),
        ready: ZERO + 3 * SECOND,
        end: 0,
    };
    let mut now = play.ready;
    for scene in scenes {
        now += scene.calm * MS;
        play.scene(scene, now);
        now = play.episodes.last().map_or(now, |episode| episode.recovered);
        now = now.max(play.lives.last().map_or(0, |life| life.first));
    }
    play.end = now + 4 * SECOND;
    let end = play.end;
    play.lives.last_mut().expect("there is a first one").last = end + SECOND / 2;
    play
}

impl Play {
    fn scene(&mut self, scene: &Scene, now: u64) {
        let index = self.lives.len() - 1;
        let active = self.lives[index].node;
        let (host, other) = (vec![name(active)], vec![name((active + 1) % self.nodes)]);
        let zookeeper = vec!["zk2".to_owned()];
        let (gap, length) = (scene.gap * MS, scene.length * MS);
        let fault = |kind, targets, end| Fault { kind, targets, begin: now, end };
        match scene.plot {
            Plot::Kill => {
                let next = self.succeed(now + 2 * MS, gap, "host_lost");
                self.episode(vec![fault("kill-host", host, now + 3 * MS)], next);
            }
            Plot::Stop => {
                let next = self.succeed(now + 15 * MS, gap.min(40 * MS), "stopped");
                self.episode(vec![fault("stop", host, now + 20 * MS)], next);
            }
            Plot::Pair => {
                let next = self.succeed(now + 2 * MS, gap, "host_lost");
                let restart = Fault {
                    kind: "restart-zookeeper",
                    targets: zookeeper,
                    begin: now + SECOND / 2,
                    end: now + SECOND / 2 + length,
                };
                self.episode(vec![fault("kill-host", host, now + SECOND), restart], next);
            }
            Plot::Freeze => {
                self.frozen.push((now + MS, now + length, index));
                let next = self.succeed(now + length + MS, gap.min(200 * MS), "lease_expired");
                self.episode(vec![fault("freeze-host", host, now + length)], next);
            }
            Plot::ShortFreeze => {
                self.frozen.push((now + MS, now + SECOND, index));
                self.episode(vec![fault("freeze-host", host, now + SECOND)], index);
            }
            Plot::KillStandby => self.episode(vec![fault("kill-host", other, now + length)], index),
            Plot::RestartZookeeper => {
                self.episode(vec![fault("restart-zookeeper", zookeeper, now + length)], index);
            }
            Plot::DeleteElectionNode => {
                self.episode(vec![fault("delete-election-node", host, now + MS)], index);
                let episode = self.episodes.last_mut().expect("one was begun");
                episode.recovered = episode.healed + 2 * MS;
                self.succeed(now + 30 * MS, gap, "election_node_deleted");
            }
            Plot::LocalRestart => {
                let next = self.succeed(now + 2 * MS, gap, "coordinator_exited");
                (self.lives[next].node, self.lives[next].epoch) = (active, self.lives[index].epoch);
                self.episode(vec![fault("kill-coordinator", host, now + 3 * MS)], next);
            }
        }
    }

    /// Ends the last life and begins another one `gap` later; answers its index.
    fn succeed(&mut self, end: u64, gap: u64, cause: &'static str) -> usize {
        let index = self.lives.len();
        let former = self.lives.last_mut().expect("there is a first one");
        (former.last, former.cause) = (end, cause);
        let life = Life {
            node: (former.node + 1) % self.nodes,
            pid: former.pid + 7,
            epoch: former.epoch + 1 + u64::from(index.is_multiple_of(3)),
            first: end + gap,
            last: u64::MAX,
            cause: "stopped",
        };
        self.lives.push(life);
        index
    }

    /// Healed when the last fault has ended, recovered when the life `seen` is up.
    fn episode(&mut self, faults: Vec<Fault>, seen: usize) {
        let ended = faults.iter().map(|fault| fault.end).max().unwrap_or(0);
        let healed = ended + 10 * MS;
        let recovered = healed.max(self.lives[seen].first) + 40 * MS;
        self.episodes.push(Episode { faults, healed, recovered, seen });
    }
}
