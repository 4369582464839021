//! The model as stateright sees it: its states, its steps and what must hold in every state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use primacy::role::Role;
use stateright::{Model, Property};

use super::steps::Step;
use super::world::{Breach, FIRST_EPOCH, Fault, Hold, Setup, World};

pub const ONE_TREE: &str = "two trees never live under locks that the volume honours";
pub const LEASE_ALONE: &str = "the lease alone keeps two trees from running at once";
pub const LOCK_WITH_TREE: &str = "the lock is never free while its tree lives";
pub const LOCK_FIRST: &str = "nothing starts without the lock";
pub const EPOCH_FIRST: &str = "nothing starts without the cluster's highest epoch, taken in ZooKeeper";
pub const LEASE_FIRST: &str = "nothing starts without a lease";
pub const FENCED_FIRST: &str = "nothing starts before an unclean former active was fenced";
pub const DEATH_FIRST: &str = "lock and breadcrumb never say ended while the tree or a command lives";
pub const WRITTEN_FIRST: &str =
    "nothing starts while a former coordinator's writes may arrive, unless its host was fenced";
pub const PAUSE_HOLDS: &str = "nobody is promoted who was elected in a pause";
pub const ISOLATION_HOLDS: &str = "nobody is promoted who is isolated";
pub const FENCED_BY_THE_ELECTED: &str = "nobody is fenced by who is not elected";
pub const ANSWERED_FIRST: &str = "nobody stops for a switchover whose target has not just answered";
pub const INTENT_WINS: &str = "nobody takes the role while the node to which it is to go stands there";
/// Without this a switchover could be survived because it never happens.
pub const HANDS_OVER: &str = "a switchover moves the role to its target";
pub const VOLUME_FIRST: &str = "nobody stands before its guardian has seen that the volume takes writes";
pub const NO_HOLDING_ON: &str = "no command that cannot be killed keeps a promotion going";
pub const NO_REMAINS: &str = "nothing starts beside what an earlier leadership of its host has left";
/// Without this the others could hold because nothing ever happens.
pub const MOVES_ON: &str = "the role moves on to another node under a higher epoch";
/// Without this what is said of a hand-over by the volume could hold because there never is one.
pub const HANDED_OVER: &str = "the role moves on by the proof in the lock file, before the active one's node is gone";
pub const SOMEBODY_LEADS: &str = "once faults end, somebody leads again, and every switchover has come to its end";

/// More than any fair schedule needs.
const PATIENCE: usize = 600;

pub struct Checked {
    pub setup: Setup,
    /// States from which the fair schedule is known to end well.
    well: Mutex<HashSet<u64>>,
    liveness: bool,
}

impl Checked {
    pub fn new(setup: Setup, liveness: bool) -> Self {
        Self { setup, well: Mutex::default(), liveness }
    }

    fn somebody_leads(&self, world: &World) -> bool {
        world.control.wanted.is_none()
            && world.nodes.iter().any(|node| {
                node.tree.is_some_and(|tree| !tree.doomed && tree.stopping.is_none() && !tree.sick)
                    && node
                        .supervisor
                        .as_ref()
                        .is_some_and(|supervisor| supervisor.core.machine().role() == Role::Active)
            })
    }

    fn ends_well(&self, world: &World) -> bool {
        let mut path = Vec::new();
        let mut world = world.clone();
        for _ in 0..PATIENCE {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            let known = hasher.finish();
            let mut well = self.well.lock().expect("no checker thread panics while it holds this");
            if self.somebody_leads(&world) || well.contains(&known) {
                well.insert(known);
                well.extend(path);
                return true;
            }
            drop(well);
            path.push(known);
            let step = world.fair_step(&self.setup);
            world.apply(&self.setup, step);
        }
        false
    }
}

impl Model for Checked {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.setup)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(&self.setup, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.apply(&self.setup, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::sometimes(MOVES_ON, |_, world: &World| {
                world.started.0 > FIRST_EPOCH + 1 && world.started.1 == 1 && world.nodes[1].tree.is_some()
            }),
            Property::sometimes(HANDED_OVER, |_, world: &World| world.handed_over && world.nodes[1].tree.is_some()),
            Property::always(LOCK_FIRST, |_, world: &World| !world.breached(Breach::StartWithoutLock)),
            Property::always(EPOCH_FIRST, |_, world: &World| !world.breached(Breach::StartWithoutEpoch)),
            Property::always(LEASE_FIRST, |_, world: &World| !world.breached(Breach::StartWithoutLease)),
            Property::always(FENCED_FIRST, |_, world: &World| !world.breached(Breach::StartWithoutFencing)),
            Property::always(DEATH_FIRST, |_, world: &World| !world.breached(Breach::EndedBeforeDeath)),
            Property::always(PAUSE_HOLDS, |_, world: &World| !world.breached(Breach::PromotionInPause)),
            Property::always(ISOLATION_HOLDS, |_, world: &World| !world.breached(Breach::PromotionInIsolation)),
            Property::always(FENCED_BY_THE_ELECTED, |_, world: &World| !world.breached(Breach::FencedUnelected)),
            Property::always(NO_REMAINS, |_, world: &World| !world.breached(Breach::StartBesideRemains)),
            Property::always(VOLUME_FIRST, |_, world: &World| !world.breached(Breach::StandWithoutVolume)),
            Property::always(NO_HOLDING_ON, |_, world: &World| !world.breached(Breach::HeldByCommand)),
            Property::always(ANSWERED_FIRST, |_, world: &World| !world.breached(Breach::StopWithoutAnswer)),
            Property::always(INTENT_WINS, |_, world: &World| !world.breached(Breach::IntentBeaten)),
            Property::always(WRITTEN_FIRST, |_, world: &World| !world.breached(Breach::StartBeforeWrittenBack)),
        ];
        if self.setup.faults.contains(&Fault::Switchover) {
            properties.push(Property::sometimes(HANDS_OVER, |_, world: &World| {
                world.control.wanted.is_some_and(|wanted| {
                    wanted.asked > 0 && world.nodes[wanted.to].tree.is_some_and(|tree| tree.epoch > wanted.epoch)
                })
            }));
        }
        if self.setup.void_lock {
            properties.push(Property::always(LEASE_ALONE, |_, world: &World| {
                world.nodes.iter().filter(|node| node.tree.is_some() && node.host_runs()).count() <= 1
            }));
        } else {
            properties.push(Property::always(ONE_TREE, |_, world: &World| {
                world.nodes.iter().filter(|node| node.acts() && node.hold == Hold::Honoured).count() <= 1
            }));
            properties.push(Property::always(LOCK_WITH_TREE, |_, world: &World| {
                world
                    .nodes
                    .iter()
                    .enumerate()
                    .all(|(number, node)| !node.acts() || node.hold != Hold::Honoured || world.owner == Some(number))
            }));
        }
        if self.liveness {
            properties.push(Property::always(SOMEBODY_LEADS, |model: &Checked, world: &World| model.ends_well(world)));
        }
        properties
    }
}
