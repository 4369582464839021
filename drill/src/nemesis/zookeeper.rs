//! What happens to ZooKeeper. Nobody waits here until a server serves again: the runner does, when all is healed.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{Draw, Fault, Hit};
use crate::hosts::network::cut;
use crate::hosts::{Direction, Host as _};
use crate::lab::{Lab, Server};

fn name(server: &Server) -> String {
    server.host.name().to_owned()
}

/// Running servers, beginning with the drawn one.
fn running(lab: &Lab, draw: &Draw) -> Vec<usize> {
    let count = lab.zookeepers.len();
    let first = usize::try_from(draw.dice % count as u64).unwrap_or(0);
    (0..count).map(|offset| (first + offset) % count).filter(|index| lab.zookeepers[*index].runs()).collect()
}

fn nothing() -> Hit {
    Hit { detail: "there was no server to break".to_owned(), ..Hit::default() }
}

/// kill -9, and a start at the end.
pub struct Killed {
    many: usize,
    leader: bool,
    killed: Vec<usize>,
}

impl Killed {
    fn new(many: usize, leader: bool) -> Self {
        Self { many, leader, killed: Vec::new() }
    }

    /// One, whichever.
    pub fn one() -> Self {
        Self::new(1, false)
    }

    /// The one that leads.
    pub fn leader() -> Self {
        Self::new(1, true)
    }

    /// Two of three.
    pub fn majority() -> Self {
        Self::new(2, false)
    }
}

impl Fault for Killed {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let mut servers = running(lab, draw);
        if self.leader
            && let Some(leader) =
                servers.iter().copied().find(|index| lab.zookeepers[*index].process.mode().as_deref() == Some("leader"))
        {
            servers = vec![leader];
        }
        servers.truncate(self.many);
        for index in &servers {
            self.killed.push(*index);
            lab.zookeepers[*index].process.kill()?;
        }
        let targets = servers.iter().map(|index| name(&lab.zookeepers[*index])).collect();
        Ok(Hit { targets, detail: "SIGKILL".to_owned() })
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        start(lab, &mut self.killed)
    }
}

fn start(lab: &mut Lab, killed: &mut Vec<usize>) -> Result<String> {
    for index in killed.drain(..) {
        let server = &mut lab.zookeepers[index];
        if !server.runs() {
            server.start()?;
        }
    }
    Ok("started again".to_owned())
}

/// SIGSTOP, SIGCONT.
#[derive(Default)]
pub struct Frozen {
    index: Option<usize>,
}

impl Fault for Frozen {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let Some(index) = running(lab, draw).first().copied() else { return Ok(nothing()) };
        lab.zookeepers[index].process.signal(Signal::SIGSTOP)?;
        self.index = Some(index);
        Ok(Hit::of(lab.zookeepers[index].host.name(), "SIGSTOP"))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        if let Some(index) = self.index.take() {
            // Another fault may have killed it.
            let _ = lab.zookeepers[index].process.signal(Signal::SIGCONT);
        }
        Ok("SIGCONT".to_owned())
    }
}

/// One after the other, the next as soon as the former serves.
#[derive(Default)]
pub struct Rolling {
    waiting: Vec<usize>,
    restarting: Option<usize>,
}

impl Fault for Rolling {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        self.waiting = running(lab, draw);
        let targets = self.waiting.iter().map(|index| name(&lab.zookeepers[*index])).collect();
        self.during(lab)?;
        Ok(Hit { targets, detail: "SIGKILL and start, one after the other".to_owned() })
    }

    fn during(&mut self, lab: &mut Lab) -> Result<()> {
        if let Some(index) = self.restarting
            && lab.zookeepers[index].runs()
            && lab.zookeepers[index].process.mode().is_none()
        {
            return Ok(());
        }
        self.restarting = self.waiting.pop();
        if let Some(index) = self.restarting {
            lab.zookeepers[index].process.kill()?;
            lab.zookeepers[index].start()?;
        }
        Ok(())
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        const LIMIT: Duration = Duration::from_secs(30);
        // Another fault may keep a server from serving; the runner waits when that is over.
        let mut failure = Ok(());
        let _ = lab.until(LIMIT, "all servers are restarted", |lab| {
            failure = self.during(lab);
            (failure.is_err() || self.restarting.is_none()).then_some(())
        });
        failure?;
        Ok("all restarted".to_owned())
    }
}

/// The server that the active node talks to is cut off from the others, not from its clients.
#[derive(Default)]
pub struct QuorumCut {
    held: Option<(usize, Vec<(&'static str, String)>)>,
}

impl Fault for QuorumCut {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let servers = running(lab, draw);
        let address = lab.active().map(|index| lab.candidates[index].host.address());
        let serving = servers.iter().copied().find(|index| address.is_some_and(|at| lab.zookeepers[*index].serves(at)));
        let Some(index) = serving.or(servers.first().copied()) else { return Ok(nothing()) };
        let others: Vec<_> = (0..lab.zookeepers.len())
            .filter(|other| *other != index)
            .map(|other| lab.zookeepers[other].host.address())
            .collect();
        let mode = lab.zookeepers[index].process.mode().unwrap_or_else(|| "silent".to_owned());
        let rules = cut(&others, Direction::Both);
        let host = &mut lab.zookeepers[index].host;
        self.held = Some((index, rules.clone()));
        host.add_rules(rules)?;
        let whose = if serving.is_some() { "the active node's server" } else { "a server" };
        Ok(Hit::of(host.name(), format!("{whose} (a {mode}) is cut off from the other servers")))
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        if let Some((index, rules)) = self.held.take() {
            lab.zookeepers[index].host.remove_rules(&rules)?;
        }
        Ok("packets pass".to_owned())
    }
}

/// All of it forgotten.
#[derive(Default)]
pub struct Wiped {
    killed: Vec<usize>,
}

impl Fault for Wiped {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        // What it knows of leaderships is evidence.
        lab.remember_leaderships();
        for index in 0..lab.zookeepers.len() {
            self.killed.push(index);
            lab.zookeepers[index].process.kill()?;
            lab.zookeepers[index].process.wipe()?;
        }
        let targets = lab.zookeepers.iter().map(name).collect();
        Ok(Hit { targets, detail: "all killed, all data removed".to_owned() })
    }

    fn end(&mut self, lab: &mut Lab) -> Result<String> {
        start(lab, &mut self.killed)
    }
}
