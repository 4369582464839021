//! The lock by itself, without primacy: taken as primacy takes it.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use primacy_vm_drill::wire::{Datagram, Kind};

const PAUSE: Duration = Duration::from_millis(2);

pub fn try_once(path: &Path) -> anyhow::Result<bool> {
    take(&open(path)?)
}

pub fn hold(path: &Path) -> anyhow::Result<()> {
    let file = open(path)?;
    anyhow::ensure!(take(&file)?, "{} is locked", path.display());
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    println!("{} {}", std::process::id(), child.id());
    loop {
        std::thread::park();
    }
}

pub fn poll(path: &Path, to: SocketAddr) -> anyhow::Result<()> {
    let file = open(path)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    while !take(&file)? {
        std::thread::sleep(PAUSE);
    }
    tell(&socket, to, Kind::Locked)
}

pub fn kill_holder(pid: i32, to: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    tell(&socket, to, Kind::Killed)?;
    Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
}

fn tell(socket: &UdpSocket, to: SocketAddr, kind: Kind) -> anyhow::Result<()> {
    socket.send_to(Datagram::of(kind, "-", 0, 0).to_string().as_bytes(), to)?;
    Ok(())
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

/// Byte 0, length 1, without waiting.
fn take(file: &File) -> anyhow::Result<bool> {
    let lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK)?,
        l_whence: i16::try_from(libc::SEEK_SET)?,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
