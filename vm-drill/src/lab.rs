//! What a lab consists of: the hosts, and what is different about them.
//!
//! There are two: [`crate::qemu`] makes machines of its own and boots them, [`crate::vagrant`] finds those that `vagrant up`
//! has made. Each is a function that answers this value. Drills take nothing else of where hosts come from, so they are
//! written once; what they cannot do on some hosts is a [`Need`] that the lab names a reason for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::host::Machine;

/// What some drill needs and some lab lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A host can be frozen while its clock goes on.
    Freeze,
    /// More ZooKeeper servers than the one that is restarted.
    Ensemble,
    /// The service starts without its volume: nothing mounts that in its stead.
    ServiceWithoutVolume,
    /// The server can be made to speak NFSv3.
    Nfs3,
    /// The server exports the volume to each host by itself, and has the scripts that fence one.
    ExportsToHosts,
    /// The hypervisor tells when a host is reset and by what, and records its console.
    Resets,
}

/// How long things take where nothing is wrong, and what others than primacy were told.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Asked of ZooKeeper, unless a drill asks for another one.
    pub session: Duration,
    /// ZooKeeper's `tickTime`.
    pub tick: Duration,
    /// The NFS server's, and its grace period.
    pub nfs_lease: Duration,
    /// To come to rest: boot, mount, an NFS lease, an election.
    pub rest: Duration,
    /// From an order that a drill gives to a host (stop the service, kill that) to its being carried out.
    pub order: Duration,
    /// In which the NFS server's service stops and starts, and for which `lock.probe_timeout` is asked for then.
    pub nfs_restart: Duration,
    /// The same for its host's boot.
    pub nfs_boot: Duration,
    /// An emulated processor may take this on top of every limit on what others than the hosts' failure detectors do.
    pub emulation: Duration,
    /// How often coordinators tick.
    pub beat: Duration,
    /// How often they write.
    pub write: Duration,
}

impl Timing {
    /// What primacy makes of a session: less half a tick, a heartbeat (a tenth of the session) and its default margin.
    pub fn lease(&self) -> Duration {
        self.session - self.tick / 2 - self.session / 10 - Duration::from_millis(500)
    }

    /// The longest session that a ZooKeeper server grants.
    pub fn longest_session(&self) -> Duration {
        self.tick * 20
    }
}

/// One ZooKeeper server: a process beside the hosts, or a host of its own.
pub trait ZooKeeper {
    fn name(&self) -> String;
    fn address(&self) -> Ipv4Addr;
    fn start(&mut self) -> Result<()>;
    /// Until it serves: alone, or with a quorum.
    fn wait(&mut self) -> Result<()>;
    /// What it says of its state: `leader`, `follower`, `standalone`; none while it does not serve.
    fn mode(&self) -> Option<String>;
    fn kill(&mut self) -> Result<()>;
    fn pid(&self) -> Option<u32>;
}

pub struct Lab {
    pub candidates: Vec<Machine>,
    /// The NFS server.
    pub server: Machine,
    pub zookeepers: Vec<Box<dyn ZooKeeper>>,
    /// Where the coordinators' datagrams arrive.
    pub listen: SocketAddr,
    pub timing: Timing,
    /// What runs the hosts, for the report.
    pub about: String,
    /// What these hosts lack, and why.
    pub lacks: Vec<(Need, String)>,
}

/// The port that ZooKeeper's clients use.
pub const ZOOKEEPER_PORT: u16 = 2181;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_what_primacy_makes_of_the_session() {
        let seconds = Duration::from_secs;
        let timing = Timing {
            session: seconds(4),
            tick: Duration::from_millis(500),
            nfs_lease: seconds(10),
            rest: seconds(90),
            order: Duration::ZERO,
            nfs_restart: Duration::ZERO,
            nfs_boot: Duration::ZERO,
            emulation: Duration::ZERO,
            beat: Duration::ZERO,
            write: Duration::ZERO,
        };
        assert_eq!((timing.lease(), timing.longest_session()), (Duration::from_millis(2850), seconds(10)));
    }
}
