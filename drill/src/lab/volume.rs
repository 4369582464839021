//! The shared volume: an ext4 file system of its own in a file, so that it can be filled, broken, taken away and given
//! back as a whole.
//!
//! All hosts see the same mount, as all clients of one file server do. It is small: filling it takes a moment.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::network::finish;

/// What fills it up; removed to make room again.
const BALLAST: &str = "ballast";
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks until an unmount counts as failed: 10 s.
const LOOKS: usize = 2000;

/// See the module.
pub struct Volume {
    image: PathBuf,
    /// Where it is mounted.
    pub directory: PathBuf,
}

impl Volume {
    /// Makes and mounts one of so many mebibytes.
    pub fn new(scratch: &Path, mebibytes: u32) -> Result<Self> {
        let volume = Self { image: scratch.join("volume.img"), directory: scratch.join("volume") };
        fs::create_dir(&volume.directory)?;
        File::create(&volume.image)?.set_len(u64::from(mebibytes) << 20)?;
        // No blocks are kept for root: full is to mean full.
        finish(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", "lazy_itable_init=0"]).arg(&volume.image))
            .context("a file system for the volume")?;
        volume.mount()?;
        Ok(volume)
    }

    /// Where primacy's lock is.
    pub fn lock_directory(&self) -> PathBuf {
        self.directory.join(".primacy")
    }

    /// The lock file.
    pub fn lock_file(&self) -> PathBuf {
        self.lock_directory().join("coordinator.lock")
    }

    /// Mounts it (again).
    pub fn mount(&self) -> Result<()> {
        finish(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.directory))
    }

    /// Takes the mount away under everybody: what is open stays open, nothing can be opened.
    pub fn detach(&self) -> Result<()> {
        umount2(&self.directory, MntFlags::MNT_DETACH).context("cannot detach the volume")
    }

    /// Unmounts it. Fails with the names of those who use it.
    pub fn unmount(&self) -> Result<()> {
        for _ in 0..20 {
            if umount2(&self.directory, MntFlags::empty()).is_ok() {
                return Ok(());
            }
            sleep(LOOK_AGAIN);
        }
        bail!("the volume is in use by {:?}", self.users())
    }

    /// Fills it up to the last block.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.directory.join(BALLAST)).context("cannot fill the volume")?;
        for block in [1 << 20, 4096] {
            let zeros = vec![0; block];
            while ballast.write_all(&zeros).is_ok() {}
        }
        Ok(())
    }

    /// Makes room again.
    pub fn empty(&self) -> Result<()> {
        fs::remove_file(self.directory.join(BALLAST)).context("cannot make room on the volume")
    }

    /// Writes out all that is in memory.
    pub fn sync(&self) -> Result<()> {
        finish(Command::new("sync").arg("-f").arg(&self.directory))
    }

    /// What an ext4 does when its disk fails: it allows no writing from that moment on, whoever has what open.
    pub fn break_down(&self) -> Result<()> {
        finish(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.directory))
    }

    /// What an operator does then: ends what uses it, checks it, mounts it again.
    pub fn repair(&self) -> Result<()> {
        let device = fs::metadata(&self.directory)?.dev();
        self.detach()?;
        for _ in 0..LOOKS {
            let users = users_of(device);
            if users.is_empty() && !self.has_loop_device()? {
                // Exit code 1: errors were corrected.
                let status = Command::new("e2fsck").args(["-p", "-f"]).arg(&self.image).output()?;
                if status.status.code().is_none_or(|code| code > 1) {
                    bail!("e2fsck: {}", String::from_utf8_lossy(&status.stdout));
                }
                return self.mount();
            }
            for pid in users {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            sleep(LOOK_AGAIN);
        }
        bail!("the broken volume stays in use by {:?}", users_of(device))
    }

    /// Whether the file system still exists somewhere in the kernel.
    fn has_loop_device(&self) -> Result<bool> {
        let output = Command::new("losetup").arg("-j").arg(&self.image).output()?;
        Ok(!output.stdout.is_empty())
    }

    /// All writes wait from here on, as with a file server that does not answer.
    pub fn hang(&self) -> Result<()> {
        finish(Command::new("fsfreeze").arg("-f").arg(&self.directory))
    }

    /// The file server is back.
    pub fn go_on(&self) -> Result<()> {
        finish(Command::new("fsfreeze").arg("-u").arg(&self.directory))
    }

    /// Which processes have something of it open.
    pub fn users(&self) -> Vec<i32> {
        fs::metadata(&self.directory).map(|metadata| users_of(metadata.dev())).unwrap_or_default()
    }
}

/// Who has anything of this file system open, runs in it, or has mapped it.
fn users_of(device: u64) -> Vec<i32> {
    let mut found = Vec::new();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        let cwd = PathBuf::from(format!("/proc/{pid}/cwd"));
        if links.chain([cwd]).any(|link| fs::metadata(link).is_ok_and(|file| file.dev() == device)) {
            found.push(pid);
        }
    }
    found
}
