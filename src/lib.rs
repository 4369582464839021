//! primacy keeps exactly one coordinator running on a set of hosts that share a metadata volume.
//!
//! The map, and who may import whom (a check keeps it):
//!
//! ```text
//! main > cli > {supervisor, guardian, client, config}
//! supervisor > {role, election, guardian's protocol, status, config}
//! api > status;  guardian > {guardian's protocol, syscalls};  role > std (and moment)
//! ```

pub mod clock;
pub mod config;
pub mod election;
pub mod guardian;
pub mod moment;
pub mod processes;
pub mod status;
pub mod syscalls;
