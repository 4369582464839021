//! What crosses from one program to the next: a memory file that nobody can change any more, and the API's socket.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::guardian::protocol::UPGRADED;
use crate::{clock, syscalls};

/// Which content this is: raised whenever it changes in a way that another version would misunderstand.
pub const FORMAT: u32 = 1;

/// Nothing that crosses is larger, in bytes.
const LARGEST: u64 = 1 << 20;

/// What the next program is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// [`FORMAT`].
    pub format: u32,
    /// Where the program lies that is executed: its own name for itself may be another.
    pub program: PathBuf,
    /// How often this process has executed a program anew, this time included.
    pub upgrades: u64,
    /// The version that ran before.
    pub from: String,
    /// When this was written, by the boot clock in nanoseconds.
    pub written: u64,
    /// `api.listen`, as it was bound, and the number of the descriptor.
    pub listener: Option<(String, i32)>,
    #[serde(skip)]
    pub socket: Option<TcpListener>,
}

impl Carried {
    pub fn new(program: PathBuf, upgrades: u64, from: &str, listen: String, socket: TcpListener) -> Self {
        let listener = Some((listen, socket.as_raw_fd()));
        let (from, written) = (from.to_owned(), clock::now().as_nanos());
        Self { format: FORMAT, program, upgrades, from, written, listener, socket: Some(socket) }
    }

    /// A sealed file with it.
    pub fn sealed(&self) -> std::io::Result<OwnedFd> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(c"primacy-upgrade", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
        Ok(file.into())
    }

    /// What the program before has left for this one, if there was one. What cannot be understood is as if there had been
    /// none: whoever ran here before had ended everything of its own.
    pub fn take() -> Option<Self> {
        let variable = std::env::var(UPGRADED).ok()?;
        // A child of the process that is meant finds the variable, too.
        let fd = variable.strip_prefix(&format!("{}:", std::process::id()))?.parse().ok()?;
        let file = syscalls::adopt(fd).map(File::from);
        match file.map_err(|error| error.to_string()).and_then(Self::unsealed) {
            Ok(carried) => Some(carried),
            Err(problem) => {
                tracing::error!(problem, "what the former program has left cannot be read; starting from nothing");
                None
            }
        }
    }

    fn unsealed(mut file: File) -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let sealed = fcntl(&file, FcntlArg::F_GET_SEALS).map_err(|error| words(&error))?;
        if !SealFlag::from_bits_truncate(sealed).contains(seals()) {
            return Err("it is not sealed".to_owned());
        }
        file.rewind().map_err(|error| words(&error))?;
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| words(&error))?;
        let mut carried: Self = serde_json::from_slice(&bytes).map_err(|error| words(&error))?;
        if carried.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", carried.format));
        }
        if let Some((_, fd)) = carried.listener {
            carried.socket = Some(syscalls::adopt(fd).map_err(|error| words(&error))?.into());
        }
        Ok(carried)
    }
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried() -> Carried {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Carried::new("/usr/bin/primacy".into(), 3, "0.1.0", "127.0.0.1:0".to_owned(), socket)
    }

    #[test]
    fn what_crosses_arrives_and_cannot_be_changed_on_the_way() {
        let mut sent = carried();
        let mut file = File::from(sent.sealed().unwrap());
        file.write_all(b"x").unwrap_err();
        // The next program owns the descriptor of that number.
        let _ = sent.socket.take().map(std::os::fd::IntoRawFd::into_raw_fd);
        let arrived = Carried::unsealed(file).unwrap();
        assert!(arrived.socket.as_ref().unwrap().local_addr().is_ok());
        assert_eq!((arrived.upgrades, &arrived.program, &arrived.listener), (3, &sent.program, &sent.listener));
    }

    #[test]
    fn what_is_not_sealed_or_of_another_format_is_not_understood() {
        let mut open = File::from(memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        open.write_all(&serde_json::to_vec(&carried()).unwrap()).unwrap();
        assert_eq!(Carried::unsealed(open).unwrap_err(), "it is not sealed");
        let other = Carried { format: FORMAT + 1, ..carried() };
        let problem = Carried::unsealed(other.sealed().unwrap().into()).unwrap_err();
        assert!(problem.contains("format 2"), "{problem}");
    }
}
