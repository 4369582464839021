//! primacy on real hosts: machines with the kernel's NFS, and faults that only hosts have.
//!
//! # Theory of operation
//! Hosts come from one of two places: [`qemu`] boots machines of the drill's own, [`vagrant`] finds those that `vagrant up`
//! has made. Both answer a [`lab`]: hosts as the drill in a box has them, with a kernel each ([`host`]), ZooKeeper servers, and what these hosts lack. [`cluster`] runs primacy on them, and each of [`drills`] is a
//! function that breaks something of the cluster and states what it expects; it knows nothing of where the hosts come from.
//! [`report`] makes the table.
//!
//! Whatever happens is noted in the history of the drill in a box, and its judge gives the verdict on the whole run
//! ([`evidence`]): what no drill may cost is judged there, once. A drill states only what its own subject is.
//!
//! **One clock.** Coordinators send a datagram every few milliseconds over the management network, which is never cut. The kernel
//! stamps its arrival; that stamp is all that counts ([`ticks`]). No clock of a guest is ever read, for freezing a
//! machine is one of the faults.
//!
//! Rejected: judging by a log on the shared volume, whose writes stop when NFS does.

pub mod clock;
pub mod cluster;
pub mod drills;
pub mod evidence;
pub mod host;
pub mod lab;
pub mod observer;
pub mod outcome;
pub mod qemu;
pub mod report;
pub mod resets;
pub mod starvation;
pub mod ticks;
pub mod vagrant;
pub mod watchdog;
pub mod wire;
