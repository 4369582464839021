//! Machines of the drill's own: a kernel and an initramfs each, run by QEMU.
//!
//! # Theory of operation
//! The drill gives itself a network namespace, with three bridges: management, NFS, ZooKeeper. Every machine has a card on
//! each network that it needs, so that "cut off from NFS only" is one cable pulled on the drill's side ([`bridges`]).
//! Machines boot a kernel and an initramfs, nothing else (`build-image`), and run what the drill asks for through an agent
//! ([`machine`], [`agent`]). ZooKeeper runs beside them, in the namespace ([`zookeeper`]). Whatever the drill starts dies
//! with it, and the namespace goes with the last process in it: nothing is left to clean up.

pub mod acceleration;
mod agent;
mod bridges;
pub mod machine;
pub mod zookeeper;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use drill::hosts::Network;

pub use self::acceleration::Acceleration;
use self::machine::{QemuHost, Rack};
use crate::cluster::SERVER;
use crate::host::Machine;
use crate::lab::{self, Lab, Need, Timing};
use crate::{clock, ticks};

/// Shorter than the NFS server's lease, so that the two disagree on who is gone.
const SESSION: Duration = Duration::from_secs(4);
const NFS_LEASE: Duration = Duration::from_secs(10);

pub struct Options {
    /// For logs, disks and the image.
    pub directory: PathBuf,
    pub primacy: PathBuf,
    pub guest: PathBuf,
    pub build_image: PathBuf,
    pub candidates: u8,
    pub zookeepers: u8,
    pub emulate: bool,
    pub require_kvm: bool,
}

/// Makes the image, the networks and the machines. Call it before any thread is started.
pub fn lab(options: &Options) -> Result<Lab> {
    let Options { directory, primacy, guest, .. } = options;
    ensure!(primacy.is_file(), "{} does not exist: cargo build", primacy.display());
    let began = clock::now();
    let built = Command::new(&options.build_image)
        .args([directory, primacy, guest])
        .stdin(Stdio::null())
        .status()
        .with_context(|| options.build_image.display().to_string())?;
    ensure!(built.success(), "the image could not be built");
    let acceleration = if options.emulate { Acceleration::Emulation } else { Acceleration::find(directory)? };
    let emulated = acceleration == Acceleration::Emulation;
    ensure!(!(emulated && options.require_kvm), "KVM does not work here, and --require-kvm was given");
    eprintln!("image built in {:.1} s; {}", (clock::now() - began).as_secs_f64(), acceleration.word());
    bridges::enter()?;
    let rack = Rack { acceleration, image: directory.clone(), directory: directory.join("run") };
    // Of an earlier run.
    let _ = fs::remove_dir_all(&rack.directory);
    fs::create_dir_all(&rack.directory)?;
    let rack = Arc::new(rack);
    let names = ["node-a", "node-b", "node-c"].into_iter().zip(11..).take(usize::from(options.candidates));
    let candidates =
        names.map(|(name, number)| Ok(Machine::of(number, Box::new(QemuHost::candidate(&rack, name, number)?))));
    let server = QemuHost::server(&rack, &format!("vm.lease={}", NFS_LEASE.as_secs()))?;
    let zookeepers = zookeeper::prepare(&rack.directory, options.zookeepers)?;
    Ok(Lab {
        candidates: candidates.collect::<Result<_>>()?,
        server: Machine::of(SERVER, Box::new(server)),
        lacks: if zookeepers.len() > 1 {
            Vec::new()
        } else {
            vec![(Need::Ensemble, "one ZooKeeper server".to_owned())]
        },
        zookeepers: zookeepers.into_iter().map(|server| -> Box<dyn lab::ZooKeeper> { Box::new(server) }).collect(),
        listen: SocketAddr::from((Network::Management.address(1), ticks::PORT)),
        timing: timing(emulated),
        about: acceleration.word().to_owned(),
    })
}

fn timing(emulated: bool) -> Timing {
    // Emulated processors have less time for ticks and records.
    let [beat, write] = if emulated { [10, 100] } else { [2, 10] }.map(Duration::from_millis);
    Timing {
        session: SESSION,
        tick: zookeeper::TICK,
        nfs_lease: NFS_LEASE,
        rest: Duration::from_secs(90),
        order: Duration::ZERO,
        nfs_restart: Duration::from_secs(2),
        nfs_boot: Duration::from_secs(60),
        emulation: if emulated { Duration::from_secs(2) } else { Duration::ZERO },
        beat,
        write,
    }
}
