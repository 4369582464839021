//! What a killed coordinator leaves in its host's page cache: files that are written again and again and never synced.
//!
//! Three of them, in the ways that differ: a mapped file whose descriptor is closed, one whose descriptor is open, and one
//! written by plain writes. A process that is killed flushes what it has open, with the signal pending; what is only mapped
//! stays in the page cache until the kernel writes it, half a minute later.

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use primacy_vm_drill::wire::{DIRTY, PAGE};

/// Between two rounds: the kernel writes by itself what is dirty for half a minute, so at any moment most of it is dirty.
const PAUSE: Duration = Duration::from_secs(1);

/// Does so for ever.
pub fn run(directory: &Path, epoch: u64, pages: usize) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    // The server's disk is small; what its predecessor has left is looked at.
    for name in DIRTY {
        for former in 0..epoch.saturating_sub(1) {
            let _ = std::fs::remove_file(directory.join(format!("{name}-{former}")));
        }
    }
    let open = |name: &str| -> Result<File> {
        let path = directory.join(format!("{name}-{epoch}"));
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        file.set_len(u64::try_from(pages * PAGE)?)?;
        Ok(file)
    };
    let [closed, kept, plain] = DIRTY;
    let (kept, plain) = (open(kept)?, open(plain)?);
    let mut maps = [Mapped::of(&open(closed)?, pages)?, Mapped::of(&kept, pages)?];
    for round in 1_u64.. {
        for page in 0..pages {
            for map in &mut maps {
                map.write(page, round);
            }
            plain.write_at(&round.to_le_bytes(), u64::try_from(page * PAGE)?)?;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// A file in memory, shared, for the rest of the process's life.
struct Mapped {
    begin: NonNull<u8>,
    pages: usize,
}

impl Mapped {
    fn of(file: &File, pages: usize) -> Result<Self> {
        let length = NonZeroUsize::new(pages * PAGE).context("no pages")?;
        let both = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own, nowhere in particular.
        #[expect(unsafe_code, reason = "there is no safe way to dirty a mapped page")]
        let begin = unsafe { mmap(None, length, both, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { begin: begin.cast(), pages })
    }

    fn write(&mut self, page: usize, round: u64) {
        assert!(page < self.pages);
        // SAFETY: within the mapping, which is never unmapped, and aligned to a page; a file that somebody else cuts
        // short ends this process, which is a drill's.
        #[expect(unsafe_code, reason = "there is no safe way to dirty a mapped page")]
        unsafe {
            self.begin.add(page * PAGE).cast::<u64>().write_volatile(round);
        }
    }
}
