//! One pass: find the files, read them, see what of them is in the page cache.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::status::Warm;
use crate::syscalls;

use super::nothing;
use super::order::Order;
use super::places::{Places, Refusal};

/// More is no program any more; a walk through it would cost more than it gives.
const MOST_FILES: usize = 100_000;

/// Sentences about what is not kept. The rest is counted.
const MOST_PROBLEMS: usize = 8;

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// The files, in the order in which they are kept: as they are listed, those of a directory by their names.
struct Search<'a> {
    places: &'a Places,
    seen: HashSet<(u64, u64)>,
    files: Vec<PathBuf>,
    problems: Vec<String>,
    unsaid: usize,
    /// What of it lies or leads there.
    on_volume: Vec<String>,
}

impl<'a> Search<'a> {
    fn run(places: &'a Places, order: &Order) -> Self {
        let (seen, files, problems, on_volume) = (HashSet::new(), Vec::new(), Vec::new(), Vec::new());
        let mut search = Self { places, seen, files, problems, unsaid: 0, on_volume };
        for path in &order.paths {
            search.add(path, true);
        }
        search
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(text);
        } else {
            self.unsaid += 1;
        }
    }

    fn add(&mut self, path: &Path, listed: bool) {
        if self.files.len() >= MOST_FILES {
            return;
        }
        let resolved = match self.places.resolve(path) {
            Ok(resolved) => resolved,
            Err(Refusal::OnVolume(why)) => {
                if self.on_volume.len() < MOST_PROBLEMS {
                    self.on_volume.push(why.clone());
                }
                return self.problem(why);
            }
            // A directory of a package may have links that lead nowhere: its own affair.
            Err(Refusal::Error(_)) if !listed => return,
            Err(Refusal::Error(why)) => return self.problem(why),
        };
        match fs::symlink_metadata(&resolved) {
            Ok(metadata) if !self.seen.insert((metadata.dev(), metadata.ino())) => {}
            Ok(metadata) if metadata.is_file() => self.files.push(resolved),
            Ok(metadata) if metadata.is_dir() => self.directory(&resolved),
            Ok(_) if listed => self.problem(format!("{} is neither a file nor a directory", path.display())),
            Ok(_) => {}
            Err(why) => self.problem(format!("{}: {why}", path.display())),
        }
    }

    fn directory(&mut self, path: &Path) {
        let found = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match found {
            Ok(found) => found.into_iter().map(|entry| entry.path()).collect::<Vec<_>>(),
            Err(why) => return self.problem(format!("{}: {why}", path.display())),
        };
        entries.sort_unstable();
        // What is mounted below is another file system, and not what was listed.
        for entry in entries.into_iter().filter(|entry| !self.places.is_mount_point(entry)) {
            self.add(&entry, false);
        }
    }
}

/// What of the order, or of what its directories lead to, lies on the volume.
pub fn on_volume(order: &Order) -> io::Result<Vec<String>> {
    Ok(Search::run(&Places::look(&order.volume)?, order).on_volume)
}

/// What is kept after it.
pub fn pass(order: &Order) -> Warm {
    let places = match Places::look(&order.volume) {
        Ok(places) => places,
        Err(why) => return nothing(format!("it is not known what lies on the volume: {why}")),
    };
    let mut search = Search::run(&places, order);
    let files = std::mem::take(&mut search.files);
    let (mut warm, mut left) = (Warm::default(), order.limit);
    for path in &files {
        match keep(path, &places, left) {
            Ok(Kept { wanted, resident, all }) => {
                left -= wanted;
                warm.bytes += resident;
                if all { warm.files += 1 } else { warm.left_out += 1 }
            }
            Err(why) => search.problem(format!("{}: {why}", path.display())),
        }
    }
    if files.len() >= MOST_FILES {
        search.problem(format!("more than {MOST_FILES} files: the rest is not kept"));
    }
    warm.problems = search.problems;
    if search.unsaid > 0 {
        warm.problems.push(format!("and {} more", search.unsaid));
    }
    warm
}

struct Kept {
    /// Of the budget, in bytes.
    wanted: u64,
    resident: u64,
    /// The whole file was within the budget.
    all: bool,
}

fn keep(path: &Path, places: &Places, left: u64) -> io::Result<Kept> {
    // Whoever replaced it by a pipe since it was found makes nobody wait.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || places.is_volume_device(metadata.dev()) {
        return Err(io::Error::other("it was replaced"));
    }
    let wanted = metadata.len().min(left);
    read(&mut file, wanted)?;
    let resident = syscalls::resident(file.as_fd(), wanted)?;
    Ok(Kept { wanted, resident, all: wanted == metadata.len() })
}

/// Reading says to the kernel that it is used, whether it is there already or not.
fn read(file: &mut File, bytes: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        match file.read(&mut piece[..most]) {
            Ok(0) => break,
            Ok(read) => left -= u64::try_from(read).unwrap_or(left).min(left),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

    use super::*;

    const SIZE: usize = 300_000;

    /// A volume that is a file system of its own: the kernel's `/proc` is one everywhere.
    fn order(paths: Vec<PathBuf>, limit: u64) -> Order {
        Order { paths, limit, volume: PathBuf::from("/proc") }
    }

    /// Files of which nothing is in the page cache; on a disk, for a file in memory is always there.
    fn cold_files(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![7; SIZE]).unwrap();
            evict(&path);
        }
        folder
    }

    fn evict(path: &Path) {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        assert_eq!(resident(path), 0, "{} cannot be evicted here (fd {})", path.display(), file.as_raw_fd());
    }

    fn resident(path: &Path) -> u64 {
        syscalls::resident(File::open(path).unwrap().as_fd(), SIZE as u64).unwrap()
    }

    #[test]
    fn what_was_cold_is_in_the_page_cache_after_a_pass_and_again_after_it_was_evicted() {
        let folder = cold_files(&["lib/a.jar", "lib/deep/b.jar", "c"]);
        let [a, b, c] = ["lib/a.jar", "lib/deep/b.jar", "c"].map(|name| folder.path().join(name));
        let order = order(vec![folder.path().join("lib"), c.clone()], 1 << 30);
        for _ in 0..2 {
            let warm = pass(&order);
            assert_eq!((warm.files, warm.bytes, warm.left_out), (3, 3 * SIZE as u64, 0), "{warm:?}");
            assert_eq!(warm.problems, Vec::<String>::new());
            for path in [&a, &b, &c] {
                assert_eq!(resident(path), SIZE as u64);
                evict(path);
            }
        }
    }

    #[test]
    fn no_more_is_read_than_the_budget_has_room_for() {
        let folder = cold_files(&["a", "b", "c"]);
        let limit = SIZE as u64 + 100_000;
        let warm = pass(&order(vec![folder.path().to_owned()], limit));
        assert_eq!((warm.files, warm.bytes, warm.left_out), (1, limit, 2));
        assert_eq!(resident(&folder.path().join("a")), SIZE as u64);
        // The kernel reads ahead, but not into another file.
        assert_eq!(resident(&folder.path().join("c")), 0);
    }

    #[test]
    fn what_leads_to_the_volume_is_not_opened_and_said() {
        let folder = cold_files(&["lib/a.jar"]);
        symlink("/proc/version", folder.path().join("lib/link.jar")).unwrap();
        let paths = vec![folder.path().join("lib"), PathBuf::from("/proc/cpuinfo")];
        let order = order(paths, 1 << 30);
        let warm = pass(&order);
        assert_eq!(warm.files, 1, "{warm:?}");
        assert_eq!(warm.problems.len(), 2, "{warm:?}");
        assert!(warm.problems.iter().all(|why| why.contains("lock.directory")), "{warm:?}");
        assert_eq!(on_volume(&order).unwrap(), warm.problems);
    }

    #[test]
    fn the_same_file_counts_once_and_links_into_nothing_are_no_problem() {
        let folder = cold_files(&["lib/a.jar"]);
        symlink("a.jar", folder.path().join("lib/a-1.0.jar")).unwrap();
        symlink("none", folder.path().join("lib/dangling")).unwrap();
        symlink(".", folder.path().join("lib/circle")).unwrap();
        fs::hard_link(folder.path().join("lib/a.jar"), folder.path().join("lib/hard.jar")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("lib/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let absent = folder.path().join("absent");
        let warm = pass(&order(vec![folder.path().join("lib"), absent.clone()], 1 << 30));
        assert_eq!((warm.files, warm.left_out), (1, 0), "{warm:?}");
        assert_eq!(warm.problems.len(), 1, "{warm:?}");
        assert!(warm.problems[0].contains(&*absent.to_string_lossy()), "{warm:?}");
    }
}
