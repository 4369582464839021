//! ZooKeeper and its clients: a queue of election nodes, the epoch under compare-and-set, the breadcrumb.

use primacy::moment::Moment;
use primacy::role::{Event, Loss, Succession};

use super::flaw::Flaw;
use super::steering::Control;
use super::upgrade::Moving;
use super::world::{
    Breach, Breadcrumb, CUT, Client, EXPIRES_BY, EXPIRES_FROM, FIRST_EPOCH, Heard, Seat, Setup, World, units,
};

impl World {
    pub fn seat(&self, node: usize) -> Option<usize> {
        self.queue.iter().position(|seat| seat.node == node && seat.known)
    }

    /// An answer or a watch event: it arrives unless the way is cut.
    pub fn answer(&mut self, node: usize, heard: impl Into<Heard>) {
        let cut = self.nodes[node].cut;
        if let Some(supervisor) = &mut self.nodes[node].supervisor {
            if cut { supervisor.client.late.push(heard.into()) } else { supervisor.mailbox.push(heard.into()) }
        }
    }

    fn client(&mut self, node: usize) -> Option<&mut Client> {
        self.nodes[node].supervisor.as_mut().map(|supervisor| &mut supervisor.client)
    }

    pub fn stand(&mut self, node: usize) {
        let cut = self.nodes[node].cut;
        let Some(client) = self.client(node) else { return };
        if client.standing {
            // It looks again.
            (client.told, client.held) = (None, false);
            return;
        }
        client.standing = true;
        (client.told, client.next) = (None, None);
        client.to_stand = cut;
        if !cut {
            self.queue.push(Seat::new(node, self.now));
            self.connect(node);
        }
    }

    /// Something that the client sent at `sent` is answered.
    pub fn touch(&mut self, node: usize, sent: Moment) {
        let now = self.now;
        if let Some(client) = self.client(node) {
            if client.touched.1 < now {
                client.proven = client.proven.max(client.touched.0);
            }
            client.touched = (sent, now);
        }
    }

    /// A new connection: the leader itself has heard of the session.
    pub fn connect(&mut self, node: usize) {
        let now = self.now;
        if let Some(client) = self.client(node) {
            (client.touched, client.proven) = ((now, now), now);
        }
    }

    /// From when an acknowledgement counts, as the client reckons it: what was answered before that was sent has been told to the
    /// leader.
    pub fn counts_from(&mut self, setup: &Setup, node: usize, sent: Moment) -> Moment {
        let Some(client) = self.client(node) else { return sent };
        let proven = if client.touched.1 < sent { client.touched.0.max(client.proven) } else { client.proven };
        if setup.flaw == Flaw::CountsOneHeartbeat { sent } else { sent.min(proven + units(1)) }
    }

    pub fn go_to_the_back(&mut self, node: usize) {
        let cut = self.nodes[node].cut;
        let Some(client) = self.client(node) else { return };
        let was_told = client.told.take().is_some();
        client.next = None;
        if !cut && let Some(seat) = self.seat(node) {
            let seat = self.queue.remove(seat);
            self.queue.push(seat);
        }
        if was_told && self.control.wanted.is_some() {
            self.nodes[node].made_way = Some(self.epoch);
        }
    }

    /// The last active did not end in order, and nothing of it can write: its host is off.
    pub fn may_be_vouched_for(&self) -> bool {
        self.breadcrumb.is_some_and(|told| {
            let it = &self.nodes[told.node];
            let off = it.supervisor.is_none() && it.guardian.is_none() && it.frost.is_none();
            !told.clean
                && off
                && it.is_empty()
                && it.unwritten.is_none()
                && self.vouched != Some((told.node, told.epoch))
        })
    }

    pub fn vouch(&mut self) {
        let Some(Breadcrumb { node, epoch, .. }) = self.breadcrumb else { return };
        self.vouched = Some((node, epoch));
        self.nodes[node].fenced = self.nodes[node].fenced.max(Some(epoch));
        if let Some(last) = self.last.as_mut().filter(|last| (last.node, last.epoch) == (node, epoch)) {
            last.settled = true;
        }
    }

    /// Tells the first in the queue, if it can be told.
    pub fn elect(&mut self, setup: &Setup) {
        let Some(&Seat { node, known: true, claimed: false, .. }) = self.queue.first() else { return };
        let predecessor = Self::predecessor(self.breadcrumb, node);
        let predecessor_epoch = self.breadcrumb.map_or(0, |breadcrumb| breadcrumb.epoch);
        let better_candidate = setup.ranked && self.queue.iter().any(|seat| seat.known && seat.node < node);
        let succession = Succession { epoch: self.epoch, predecessor, predecessor_epoch, better_candidate };
        let epoch = self.epoch;
        if self.nodes[node].cut || !self.nodes[node].supervisor_runs() {
            return;
        }
        let found = self.breadcrumb.filter(|_| self.before.is_some());
        let vouched = self.vouched;
        let (paused, rival) = (self.paused, self.is_a_rival(node));
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        if supervisor.client.standing && supervisor.client.told.is_none() {
            supervisor.client.told = Some(epoch);
            supervisor.client.held = paused;
            supervisor.client.rival = rival;
            supervisor.found = found;
            if let Some((whose, epoch)) = vouched {
                supervisor.core.learn_of_a_word(whose == node, epoch, succession.predecessor_epoch);
            }
            self.tell(node, if paused { Heard::Held(succession) } else { Heard::Event(Event::Elected(succession)) });
        }
    }

    /// Tells who stands right behind the active node, if it can be told.
    pub fn tell_next(&mut self, setup: &Setup) {
        let [first, Seat { node, known: true, claimed: false, .. }, ..] = self.queue[..] else { return };
        let Some(breadcrumb) = self.breadcrumb.filter(|told| told.epoch == self.epoch && !told.clean) else { return };
        let is_active = first.claimed && first.node == breadcrumb.node;
        if !setup.by_volume || self.paused || !is_active {
            return;
        }
        if self.nodes[node].cut || !self.nodes[node].supervisor_runs() {
            return;
        }
        let epoch = self.epoch;
        let better_candidate = setup.ranked && self.queue[2..].iter().any(|seat| seat.known && seat.node < node);
        let predecessor = Self::predecessor(self.breadcrumb, node);
        let succession = Succession { epoch, predecessor, predecessor_epoch: epoch, better_candidate };
        let Some(client) = self.client(node) else { return };
        if client.standing && client.told.is_none() && client.next != Some(epoch) {
            client.next = Some(epoch);
            self.tell(node, Event::NextInLine(Some(succession)));
        }
    }

    /// Elections are paused from now on: who waits for the lock is told.
    pub fn pause(&mut self) {
        self.paused = true;
        for node in 0..self.nodes.len() {
            if self.client(node).is_some_and(|client| client.next.take().is_some()) {
                self.answer(node, Event::NextInLine(None));
            }
        }
    }

    /// Whether a claim may be made that rests on the proof in the lock file: nothing but the queue has changed. The active one's
    /// node goes with it.
    fn succeeds_by_the_volume(&mut self, node: usize, next: u64) -> bool {
        let unchanged = next == self.epoch && self.breadcrumb.is_some_and(|told| told.epoch == next) && !self.paused;
        match self.seat(node) {
            Some(0) => unchanged,
            Some(1) if unchanged && self.queue[0].claimed && self.breadcrumb.is_some_and(|told| !told.clean) => {
                self.remove_seat(0, Loss::NodeDeleted);
                self.handed_over = true;
                true
            }
            _ => false,
        }
    }

    pub fn claim(&mut self, setup: &Setup, node: usize, epoch: u64, sent: Moment) {
        let cut = self.nodes[node].cut;
        let Some(client) = self.client(node) else { return };
        if !client.standing {
            return;
        }
        if client.held {
            // What rests on the lock file is guarded by what people want, and refused.
            if self.nodes[node].guardian.as_ref().is_some_and(|guardian| guardian.waited) {
                return self.answer(node, Event::ClaimRefused);
            }
            self.breach(Breach::PromotionInPause);
            return;
        }
        if cut {
            client.to_claim = Some((epoch, sent));
            return;
        }
        let (told, next) = (client.told, client.next);
        if self.seat(node).is_none() {
            return self.lose_client(node, Loss::SessionExpired);
        }
        let by_volume = told.is_none() && next.is_some_and(|next| self.succeeds_by_the_volume(node, next));
        if told != Some(self.epoch) && !by_volume {
            return self.answer(node, Event::ClaimRefused);
        }
        if self.client(node).is_some_and(|client| client.rival) {
            self.breach(Breach::IntentBeaten);
        }
        let seat = self.seat(node).expect("it was there");
        // Its lock is proof of its own earlier end.
        self.settle(node);
        self.nodes[node].in_debt = self.last.is_some_and(|last| !last.settled);
        self.remember();
        self.epoch = epoch;
        self.breadcrumb = Some(Breadcrumb { node, epoch, clean: false });
        self.nodes[node].granted = Some(epoch);
        self.nodes[node].betrayed = false;
        let now = self.now;
        self.queue[seat].claimed = true;
        self.queue[seat].hear(now);
        self.nodes[node].proved = sent.min(self.queue[seat].told + units(1));
        let counts_from = self.counts_from(setup, node, sent);
        self.touch(node, sent);
        if let Some(client) = self.client(node) {
            client.claimed = Some(epoch);
            client.next_beat = now + units(1);
        }
        self.answer(node, Event::Claimed { epoch, sent: counts_from });
    }

    pub fn beat_due(&self, node: usize) -> bool {
        self.nodes[node].supervisor_runs()
            && self.nodes[node].supervisor.as_ref().is_some_and(|supervisor| {
                let client = &supervisor.client;
                client.claimed.is_some() && client.in_flight.is_none() && client.next_beat <= self.now
            })
    }

    pub fn beat(&mut self, setup: &Setup, node: usize) {
        let (now, cut) = (self.now, self.nodes[node].cut);
        let Some(client) = self.client(node) else { return };
        client.next_beat = now + units(1);
        if cut {
            client.in_flight = Some(now);
        } else {
            self.take_beat(setup, node, now);
        }
    }

    fn take_beat(&mut self, setup: &Setup, node: usize, sent: Moment) {
        let Some(client) = self.client(node) else { return };
        let claimed = client.claimed;
        match self.seat(node) {
            None => self.lose_client(node, Loss::SessionExpired),
            Some(_) if claimed != Some(self.epoch) => self.lose_client(node, Loss::Overtaken),
            Some(seat) => {
                if !self.queue[seat].elsewhere {
                    self.queue[seat].hear(self.now);
                }
                self.nodes[node].proved = sent.min(self.queue[seat].told + units(1));
                let counts_from = self.counts_from(setup, node, sent);
                self.touch(node, sent);
                self.answer(node, Event::Renewed { sent: counts_from });
            }
        }
    }

    pub fn session_may_be_cut(&self, node: usize) -> bool {
        let reaches = !self.nodes[node].cut && self.nodes[node].supervisor_runs();
        reaches && self.seat(node).is_some_and(|seat| !self.queue[seat].cut)
    }

    /// A new connection, for which less is granted: the leader itself touches the session. Nobody stands with what is left.
    pub fn cut_session(&mut self, node: usize) {
        let now = self.now;
        let Some(seat) = self.seat(node) else { return };
        self.queue[seat] = Seat { heard: now, told: now, cut: true, ..self.queue[seat] };
        self.connect(node);
        self.tell(node, Event::Granted { until: now + units(EXPIRES_FROM - CUT - 1) });
    }

    /// The client learns that its candidacy is gone.
    pub fn lose_client(&mut self, node: usize, loss: Loss) {
        if let Some(seat) = self.seat(node) {
            self.queue[seat].known = false;
        }
        if let Some(client) = self.client(node)
            && client.standing
        {
            *client = Client { late: std::mem::take(&mut client.late), ..Client::default() };
            self.answer(node, Event::Lost(loss));
        }
    }

    /// A seat is deleted under its owner.
    pub fn betray(&mut self, seat: usize, loss: Loss) {
        let node = self.queue[seat].node;
        self.nodes[node].betrayed = true;
        self.remove_seat(seat, loss);
    }

    /// A seat is gone at the server.
    pub fn remove_seat(&mut self, seat: usize, loss: Loss) {
        let seat = self.queue.remove(seat);
        if seat.known && !self.nodes[seat.node].cut {
            self.lose_client(seat.node, loss);
        }
    }

    pub fn resign(&mut self, node: usize, clean: bool) {
        let (cut, alive) = (self.nodes[node].cut, !self.nodes[node].is_empty());
        let Some(client) = self.client(node) else { return };
        let (claimed, moving) = (client.claimed, client.moving);
        let claimed = claimed.or(moving.map(Moving::epoch));
        *client = Client::default();
        if clean && alive {
            self.breach(Breach::EndedBeforeDeath);
        }
        // What was not moved yet is given up under the same name, if nobody has taken another epoch.
        let parted = self.parted(node).filter(|_| moving.is_some_and(|moving| moving.epoch() == self.epoch));
        if let Some(seat) = self.seat(node).or(parted) {
            if cut {
                self.queue[seat].known = false;
            } else {
                self.queue.remove(seat);
                self.mark_clean(node, claimed.filter(|_| clean));
            }
        }
        self.tell(node, Event::Resigned);
    }

    fn mark_clean(&mut self, node: usize, epoch: Option<u64>) {
        let own = |breadcrumb: &Breadcrumb| breadcrumb.node == node && epoch == Some(breadcrumb.epoch);
        if let Some(breadcrumb) = self.breadcrumb.filter(own) {
            self.remember();
            self.breadcrumb = Some(Breadcrumb { clean: true, ..breadcrumb });
            self.settle(node);
        }
    }

    /// The guardian's own session carries out its last will.
    pub fn carry_out_will(&mut self, node: usize, clean: bool) {
        if self.nodes[node].cut {
            return;
        }
        // In its own epoch only.
        let own = self.nodes[node].granted == Some(self.epoch);
        if let Some(seat) = self.queue.iter().position(|seat| own && seat.node == node && seat.claimed) {
            self.mark_clean(node, self.nodes[node].granted.filter(|_| clean));
            self.remove_seat(seat, Loss::NodeDeleted);
        }
    }

    /// The supervisor's process is gone: its session lives on until it expires.
    pub fn abandon_seat(&mut self, node: usize) {
        if let Some(seat) = self.seat(node) {
            self.queue[seat].known = false;
        }
    }

    pub fn cut(&mut self, node: usize, hold: bool) {
        self.nodes[node].cut = true;
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        if hold {
            let (late, here) = std::mem::take(&mut supervisor.mailbox).into_iter().partition(|event| {
                matches!(
                    event,
                    Heard::Event(
                        Event::Elected(_)
                            | Event::Claimed { .. }
                            | Event::ClaimRefused
                            | Event::Renewed { .. }
                            | Event::Lost(_)
                            | Event::NextInLine(_)
                    ) | Heard::Held(_)
                        | Heard::Resumed
                        | Heard::Told(_)
                )
            });
            supervisor.mailbox = here;
            supervisor.client.late = late;
        }
    }

    /// `lose`: the connection broke, so answers under way are lost and a claim's outcome is unknown.
    pub fn heal(&mut self, setup: &Setup, node: usize, lose: bool) {
        self.nodes[node].cut = false;
        let Some(client) = self.client(node) else { return };
        let late = std::mem::take(&mut client.late);
        let mut unknown = false;
        for event in late {
            match event {
                Heard::Event(Event::Elected(_)) | Heard::Held(_) if lose => {
                    if let Some(client) = self.client(node) {
                        (client.told, client.held) = (None, false);
                    }
                }
                Heard::Event(Event::Claimed { .. } | Event::ClaimRefused) if lose => unknown = true,
                Heard::Event(Event::NextInLine(_)) if lose => {
                    if let Some(client) = self.client(node) {
                        client.next = None;
                    }
                }
                Heard::Event(Event::Renewed { .. }) | Heard::Resumed if lose => {}
                Heard::Told(_) if lose => {
                    if let Some(client) = self.client(node) {
                        client.shown = None;
                    }
                }
                event => self.tell(node, event),
            }
        }
        if unknown {
            return self.lose_client(node, Loss::SessionExpired);
        }
        let paused = self.paused;
        let Some(client) = self.client(node) else { return };
        if client.to_stand {
            client.standing = false;
            return self.stand(node);
        }
        // A new connection brings a new view of the cluster.
        if lose && client.held && !paused {
            self.tell(node, Heard::Resumed);
        }
        let Some(client) = self.client(node) else { return };
        let (claim, beat) = (client.to_claim.take(), client.in_flight.take());
        if client.moving.is_some() {
            return self.heal_move(setup, node, lose);
        }
        let change = client.to_intend.take().filter(|_| !lose);
        if client.standing && self.seat(node).is_none() {
            return self.lose_client(node, Loss::SessionExpired);
        }
        if let Some(change) = change {
            self.intend(node, change);
        }
        if let Some((epoch, sent)) = claim {
            self.claim(setup, node, epoch, sent);
        }
        if let Some(sent) = beat {
            self.take_beat(setup, node, sent);
        }
    }

    /// The pause is over: for who waits because of it that is news.
    pub fn resume(&mut self) {
        self.paused = false;
        for node in 0..self.nodes.len() {
            if self.client(node).is_some_and(|client| client.held) {
                self.answer(node, Heard::Resumed);
            }
        }
    }

    pub fn wipe(&mut self) {
        self.come_back((FIRST_EPOCH, None, Control::default()));
    }

    pub fn restore(&mut self) {
        self.come_back(self.before.unwrap_or((FIRST_EPOCH, None, Control::default())));
    }

    /// With older data, and without a session.
    fn come_back(&mut self, with: (u64, Option<Breadcrumb>, Control)) {
        (self.epoch, self.breadcrumb, self.control) = with;
        self.question = None;
        for seat in (0..self.queue.len()).rev() {
            self.betray(seat, Loss::SessionExpired);
        }
    }

    pub fn may_expire(&self, seat: usize) -> bool {
        let seat = self.queue[seat];
        seat.told + units(if seat.cut { EXPIRES_FROM - CUT } else { EXPIRES_FROM }) <= self.now
    }

    pub fn must_expire(&self, seat: usize) -> bool {
        let seat = self.queue[seat];
        seat.heard + units(if seat.cut { EXPIRES_BY - CUT } else { EXPIRES_BY }) <= self.now
    }

    /// Who waits touches its session once a unit; a leader's session is counted from its heartbeats alone, which expires it as early
    /// as can be.
    pub fn hear_touches(&mut self, setup: &Setup) {
        let every = units(if setup.flaw == Flaw::CountsOneHeartbeat { 2 } else { 1 });
        for seat in 0..self.queue.len() {
            let Seat { node, known, claimed, heard, .. } = self.queue[seat];
            let reaches = known && !self.nodes[node].cut && self.nodes[node].supervisor_runs();
            if reaches && !claimed && self.now.since(heard) >= every {
                self.queue[seat].hear(self.now);
                self.touch(node, self.now);
            }
        }
    }
}
