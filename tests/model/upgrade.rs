//! A leader whose supervisor executes its program anew (decision 0023; not built yet): its node crosses, its session does not. The leadership is moved to another
//! session, by one transaction: check the epoch, delete the election node, create it under the same name as the new session's.
//!
//! The program that follows is the same node, so what is tried here is the move itself, and what every other fault makes of it. What
//! of a last will is bound to the epoch the model cannot tell from one that is not: no name is taken twice in it.

use primacy::moment::Moment;
use primacy::role::{Event, Loss, Role};

use super::checked::LEASE_ALONE;
use super::flaw::Flaw;
use super::world::{Client, Fault, Seat, SelfFencing, Setup, World, units};
use super::{breaks, holds, setup};

/// Of a client whose leadership is another session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moving {
    /// It has no session yet.
    Opening { epoch: u64 },
    /// The move is to be sent.
    Connected { epoch: u64 },
    /// It has not reached the server.
    Sent { epoch: u64, at: Moment },
}

impl Moving {
    pub const fn epoch(self) -> u64 {
        match self {
            Self::Opening { epoch } | Self::Connected { epoch } | Self::Sent { epoch, .. } => epoch,
        }
    }
}

impl World {
    /// It leads, a heartbeat was answered within the last interval, and nothing is in flight anywhere.
    pub fn may_be_upgraded(&self, node: usize) -> bool {
        let it = &self.nodes[node];
        let Some(supervisor) = it.supervisor.as_ref().filter(|_| it.supervisor_runs() && !it.cut) else { return false };
        let Some(guardian) = it.guardian.as_ref().filter(|_| it.guardian_runs()) else { return false };
        let client = &supervisor.client;
        client.claimed.is_some()
            && (client.in_flight, client.to_claim) == (None, None)
            && client.late.is_empty()
            && self.now <= client.touched.1 + units(1)
            && self.next_event(node).is_none()
            && supervisor.pending.is_empty()
            && supervisor.core.machine().role() == Role::Active
            && guardian.fencing == SelfFencing::No
            && guardian.orders.is_empty()
            && guardian.unsaid.is_empty()
            && self.seat(node).is_some()
    }

    /// The session is left to itself; whoever dropped its client would close it.
    pub fn upgrade(&mut self, setup: &Setup, node: usize) {
        if setup.flaw == Flaw::DropsItsSession {
            if let Some(seat) = self.seat(node) {
                self.queue.remove(seat);
            }
        } else {
            self.abandon_seat(node);
        }
        if setup.flaw == Flaw::CountsLeaseFromTheExec {
            self.tell(node, Event::Renewed { sent: self.now });
        }
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        let Some(epoch) = supervisor.client.claimed else { return };
        let moving = Some(Moving::Opening { epoch });
        supervisor.client = Client { standing: true, moving, ..Client::default() };
    }

    fn moving(&self, node: usize) -> Option<Moving> {
        self.nodes[node].supervisor.as_ref()?.client.moving
    }

    /// Something of the move is to be done.
    pub fn moves(&self, node: usize) -> bool {
        let reaches = self.nodes[node].supervisor_runs();
        match self.moving(node) {
            Some(Moving::Opening { .. }) => reaches && !self.nodes[node].cut,
            Some(Moving::Connected { .. }) => reaches,
            Some(Moving::Sent { .. }) | None => false,
        }
    }

    pub fn go_on_moving(&mut self, setup: &Setup, node: usize) {
        let (now, cut) = (self.now, self.nodes[node].cut);
        match self.moving(node) {
            Some(Moving::Opening { epoch }) => {
                self.set_moving(node, Moving::Connected { epoch });
                self.connect(node);
            }
            Some(Moving::Connected { epoch }) => {
                self.set_moving(node, Moving::Sent { epoch, at: now });
                if !cut {
                    self.take_move(setup, node, now);
                }
            }
            Some(Moving::Sent { .. }) | None => {}
        }
    }

    fn set_moving(&mut self, node: usize, moving: Moving) {
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            supervisor.client.moving = Some(moving);
        }
    }

    /// The seat that is to be moved: nobody keeps it.
    pub fn parted(&self, node: usize) -> Option<usize> {
        self.queue.iter().position(|seat| seat.node == node && seat.claimed && !seat.known)
    }

    /// The transaction, at the server.
    fn take_move(&mut self, setup: &Setup, node: usize, sent: Moment) {
        let Some(epoch) = self.moving(node).map(Moving::epoch) else { return };
        let old = self.parted(node);
        // All or nothing: no epoch but this one, and a node that can be deleted.
        if epoch != self.epoch {
            return self.lose_client(node, Loss::Overtaken);
        }
        let created = self.session_began(node);
        let seat = Seat { claimed: true, told: created, heard: self.now, ..Seat::new(node, self.now) };
        match old {
            _ if setup.flaw == Flaw::MovesBesideItsOldPlace => self.queue.push(seat),
            Some(old) => self.queue[old] = seat,
            None => return self.lose_client(node, Loss::NodeDeleted),
        }
        self.nodes[node].proved = sent.min(created + units(1));
        let counts_from = self.counts_from(setup, node, sent);
        self.touch(node, sent);
        let now = self.now;
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            supervisor.client.moving = None;
            supervisor.client.claimed = Some(epoch);
            supervisor.client.next_beat = now + units(1);
        }
        self.answer(node, Event::Renewed { sent: counts_from });
    }

    /// When the new session was made: its server's leader knew of it then.
    fn session_began(&self, node: usize) -> Moment {
        self.nodes[node].supervisor.as_ref().map_or(self.now, |supervisor| supervisor.client.proven)
    }

    /// There is a connection again. `lose`: it is another one; whether the move was carried out is looked up, and it was not.
    pub fn heal_move(&mut self, setup: &Setup, node: usize, lose: bool) {
        let Some(Moving::Sent { epoch, at }) = self.moving(node) else { return };
        if !lose {
            return self.take_move(setup, node, at);
        }
        if setup.flaw == Flaw::MovesOnceMore {
            // Another session does it, and what the first one had sent arrives after all.
            self.set_moving(node, Moving::Opening { epoch });
            self.go_on_moving(setup, node);
            self.go_on_moving(setup, node);
            if let Some(seat) = self.seat(node) {
                self.queue[seat].elsewhere = true;
            }
            return;
        }
        self.set_moving(node, Moving::Connected { epoch });
    }
}

/// An upgrade, and then any of these.
fn upgraded(faults: &[Fault]) -> Setup {
    Setup { first: Some(Fault::Upgrade), ..setup(2, 2, &[&[Fault::Upgrade], faults].concat()) }
}

fn alone(flaw: Flaw, faults: &[Fault]) -> Setup {
    Setup { void_lock: true, flaw, ..upgraded(faults) }
}

const OF_THE_LEASE: &[Fault] = {
    use Fault::*;
    &[FreezeSupervisor, FreezeHalfway, Partition, KillSupervisor, DieHalfway, CrashCoordinator, Stop]
};

#[test]
fn a_leader_that_is_upgraded_leads_on_and_nobody_beside_it() {
    holds("two nodes, an upgrade or a stop", setup(2, 1, &[Fault::Upgrade, Fault::Stop]));
}

#[test]
fn an_upgrade_and_the_loss_of_a_process_or_of_the_way_to_zookeeper_are_survived() {
    use Fault::*;
    let faults =
        [FreezeSupervisor, FreezeGuardian, Partition, KillSupervisor, KillGuardian, DeleteNode, WipeZooKeeper, Stop];
    holds("two nodes, an upgrade and a fault", upgraded(&faults));
}

#[test]
fn the_lease_alone_protects_throughout_an_upgrade() {
    holds("two nodes, lock void, an upgrade and a fault", alone(Flaw::None, OF_THE_LEASE));
}

#[test]
fn a_leader_that_drops_its_session_for_the_upgrade_is_caught() {
    breaks(LEASE_ALONE, Setup { budget: 1, ..alone(Flaw::DropsItsSession, &[]) });
}

#[test]
fn a_leader_that_takes_another_place_and_leaves_the_old_one_to_itself_is_caught() {
    breaks(LEASE_ALONE, Setup { budget: 1, ..alone(Flaw::MovesBesideItsOldPlace, &[]) });
}

#[test]
fn a_leader_that_counts_its_lease_from_the_exec_is_caught() {
    breaks(LEASE_ALONE, alone(Flaw::CountsLeaseFromTheExec, OF_THE_LEASE));
}

#[test]
fn a_leader_that_moves_to_a_third_session_when_it_does_not_know_what_became_of_the_second_is_caught() {
    breaks(LEASE_ALONE, alone(Flaw::MovesOnceMore, OF_THE_LEASE));
}
