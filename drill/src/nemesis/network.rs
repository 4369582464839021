//! What happens to a candidate's packets.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;

use super::{Draw, Fault, Hit, target};
use crate::hosts::network::cut;
use crate::hosts::{Direction, Host as _};
use crate::lab::{Lab, nanoseconds};
use testbed::clock;

type Rules = Vec<(&'static str, String)>;

fn zookeepers(lab: &Lab) -> Vec<Ipv4Addr> {
    lab.zookeepers.iter().map(|server| server.host.address()).collect()
}

fn set(lab: &Lab) -> String {
    zookeepers(lab).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Rules at a candidate, which the end takes away again.
#[derive(Default)]
struct Held(Option<(usize, Rules)>);

impl Held {
    fn take_effect(&mut self, lab: &mut Lab, index: usize, rules: Rules) -> Result<()> {
        lab.candidates[index].host.add_rules(rules.clone())?;
        self.0 = Some((index, rules));
        Ok(())
    }

    fn undo(&mut self, lab: &mut Lab) -> Result<()> {
        let Some((index, rules)) = self.0.take() else { return Ok(()) };
        lab.candidates[index].host.remove_rules(&rules)
    }
}

/// Packets are dropped.
pub struct Partition {
    from_all: bool,
    direction: Direction,
    held: Held,
}

impl Partition {
    fn new(from_all: bool, direction: Direction) -> Self {
        Self { from_all, direction, held: Held::default() }
    }

    /// Between a host and all ZooKeeper servers.
    pub fn from_zookeeper() -> Self {
        Self::new(false, Direction::Both)
    }

    /// Between a host and everybody.
    pub fn from_all() -> Self {
        Self::new(true, Direction::Both)
    }

    /// What goes to the host.
    pub fn inward() -> Self {
        Self::new(true, Direction::In)
    }

    /// What comes from the host.
    pub fn outward() -> Self {
        Self::new(true, Direction::Out)
    }
}

impl Fault for Partition {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        let peers = if self.from_all { Vec::new() } else { zookeepers(lab) };
        self.held.take_effect(lab, index, cut(&peers, self.direction))?;
        let whom = if self.from_all { "everybody" } else { "ZooKeeper" };
        let way = match self.direction {
            Direction::Both => "between it and",
            Direction::In => "to it from",
            Direction::Out => "from it to",
        };
        Ok(Hit::of(lab.candidates[index].name(), format!("packets {way} {whom} are dropped")))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        self.held.undo(lab)?;
        Ok("packets pass".to_owned())
    }
}

/// A link that comes and goes.
#[derive(Default)]
pub struct Flapping {
    held: Held,
    index: usize,
    dice: u64,
    next: u64,
}

impl Flapping {
    fn pause(&mut self) -> Duration {
        // A linear congruential step: any sequence does, as long as it comes from the seed.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(100 + (self.dice >> 33) % 400)
    }
}

impl Fault for Flapping {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        self.index = target(lab, draw);
        self.dice = draw.dice;
        self.during(lab)?;
        Ok(Hit::of(lab.candidates[self.index].name(), "packets are dropped and pass in turns of 100 to 500 ms"))
    }

    fn during(&mut self, lab: &mut Lab) -> Result<()> {
        if clock::now() < self.next {
            return Ok(());
        }
        if self.held.0.is_some() {
            self.held.undo(lab)?;
        } else {
            self.held.take_effect(lab, self.index, cut(&[], Direction::Both))?;
        }
        self.next = clock::now() + nanoseconds(self.pause());
        Ok(())
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        self.held.undo(lab)?;
        Ok("packets pass".to_owned())
    }
}

/// Losses at random, which TCP makes up for with delays, and a narrow way.
#[derive(Default)]
pub struct Lossy {
    held: Held,
}

impl Fault for Lossy {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        let (percent, rate) = (10 + draw.dice % 50, 2 + draw.dice / 64 % 30);
        let peers = set(lab);
        let mut rules = Vec::new();
        for (chain, field) in [("input", "saddr"), ("output", "daddr")] {
            rules.push((chain, format!("ip {field} {{ {peers} }} numgen random mod 100 < {percent} drop")));
            rules.push((chain, format!("ip {field} {{ {peers} }} limit rate over {rate} kbytes/second drop")));
        }
        self.held.take_effect(lab, index, rules)?;
        let detail = format!("{percent} % of its packets to and from ZooKeeper are lost, and what exceeds {rate} kB/s");
        Ok(Hit::of(lab.candidates[index].name(), detail))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        self.held.undo(lab)?;
        Ok("packets pass".to_owned())
    }
}

/// Connections that break instead of falling silent.
#[derive(Default)]
pub struct Reset {
    held: Held,
}

impl Fault for Reset {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let index = target(lab, draw);
        let rule = format!("ip daddr {{ {} }} meta l4proto tcp reject with tcp reset", set(lab));
        self.held.take_effect(lab, index, vec![("output", rule)])?;
        Ok(Hit::of(lab.candidates[index].name(), "its connections to ZooKeeper are reset"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        self.held.undo(lab)?;
        Ok("packets pass".to_owned())
    }
}
