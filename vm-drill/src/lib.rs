//! primacy on real hosts: virtual machines with the kernel's NFS, and faults that only hosts have.
//!
//! # Theory of operation
//! The drill gives itself a network namespace of its own, with three bridges: management, NFS, ZooKeeper. Every machine
//! has a card on each network that it needs, so that "cut off from NFS only" is one cable pulled on the host's side
//! ([`network`]). Machines boot a kernel and an initramfs, nothing else (`build-image`), and run what the drill asks for
//! through an agent ([`machine`], [`agent`]). ZooKeeper runs beside them, in the namespace ([`zookeeper`]). Whatever the
//! drill starts dies with it, and the namespace goes with the last process in it: nothing is left to clean up.
//!
//! **One clock.** Coordinators send a datagram every few milliseconds over the management network, which is never cut. The kernel
//! stamps its arrival; that stamp is all that counts ([`ticks`]). No clock of a guest is ever read, for freezing a
//! machine is one of the faults.
//!
//! [`cluster`] puts these together; each of [`drills`] is a function that breaks something and states what it expects;
//! [`report`] makes the table. Rejected: judging by a log on the shared volume, whose writes stop when NFS does.

pub mod agent;
pub mod clock;
pub mod cluster;
pub mod drills;
pub mod machine;
pub mod network;
pub mod observer;
pub mod outcome;
pub mod report;
pub mod resets;
pub mod starvation;
pub mod ticks;
pub mod watchdog;
pub mod wire;
pub mod zookeeper;
