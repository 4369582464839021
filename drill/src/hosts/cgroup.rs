//! A control group per host: what makes "all processes of this host" a definite thing, however they fork.
//!
//! cgroup v2 is taken wherever it is mounted, even without controllers: `cgroup.freeze` and `cgroup.kill` need none, and a
//! frozen process can be killed. Else the v1 freezer, whose frozen processes die only after their thaw. Limits (cpu,
//! memory) come from whichever hierarchy has the controller.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Between two looks at what is to be gone.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Looks until a killed or frozen group counts as stuck: 10 s.
const LOOKS: usize = 5000;

/// Where control groups are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    v2: Option<PathBuf>,
    freezer: Option<PathBuf>,
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads the mount table.
    pub fn find() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mount table")?;
        let mut found = Self::default();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, at, kind, options, ..] = fields[..] else { continue };
            let at = PathBuf::from(at);
            let has = |controller| options.split(',').any(|option| option == controller);
            match kind {
                "cgroup2" => found.v2 = Some(at),
                "cgroup" if has("freezer") => found.freezer = Some(at),
                "cgroup" if has("cpu") => found.cpu = Some(at),
                "cgroup" if has("memory") => found.memory = Some(at),
                _ => {}
            }
        }
        if found.v2.is_none() && found.freezer.is_none() {
            bail!("neither cgroup v2 nor the v1 freezer is mounted: hosts could not be frozen and killed as a whole");
        }
        Ok(found)
    }

    /// Whether `cpu` or `memory` can be limited on this machine.
    pub fn has_controller(name: &str) -> bool {
        let Ok(found) = Self::find() else { return false };
        let v1 = match name {
            "cpu" => &found.cpu,
            _ => &found.memory,
        };
        let v2 = found.v2.as_ref().and_then(|root| fs::read_to_string(root.join("cgroup.controllers")).ok());
        v1.is_some() || v2.is_some_and(|words| words.split_ascii_whitespace().any(|word| word == name))
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.v2, &self.freezer, &self.cpu, &self.memory].into_iter().flatten()
    }

    /// Removes what a run left behind: thawed, killed, gone. Of `run` only, which no other run is called.
    pub fn sweep(&self, run: &str) {
        for root in self.roots() {
            let top = root.join(run);
            if top.is_dir() {
                thaw(&top);
                for _ in 0..LOOKS {
                    let processes = processes(&top);
                    if processes.is_empty() {
                        break;
                    }
                    for pid in processes {
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                    sleep(LOOK_AGAIN);
                }
                remove(&top);
            }
        }
    }

    /// Lets all of a run's processes go on, so that they can die.
    pub fn thaw_all(&self, run: &str) {
        self.roots().for_each(|root| thaw(&root.join(run)));
    }

    /// The runs that left something here.
    pub fn runs(&self, prefix: &str) -> BTreeSet<String> {
        let names = self.roots().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix)).collect()
    }
}

fn thaw(directory: &Path) {
    for group in tree(directory) {
        // Each exists in one of the two versions only.
        let _ = fs::write(group.join("cgroup.freeze"), "0");
        let _ = fs::write(group.join("freezer.state"), "THAWED");
    }
}

/// `directory` and all groups below, deepest last.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let children = fs::read_dir(&found[next]).into_iter().flatten().flatten();
        let children: Vec<PathBuf> = children.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        found.extend(children);
        next += 1;
    }
    found
}

fn remove(directory: &Path) {
    for group in tree(directory).iter().rev() {
        let _ = fs::remove_dir(group);
    }
}

fn processes(directory: &Path) -> Vec<i32> {
    let mut pids = BTreeSet::new();
    for group in tree(directory) {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0: a process that this pid namespace does not see.
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    pids.into_iter().collect()
}

/// One host's group.
#[derive(Debug)]
pub struct Group {
    /// Where its processes are counted, frozen and killed.
    main: PathBuf,
    v2: bool,
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
}

impl Group {
    /// Makes `RUN/HOST` in every hierarchy of use.
    pub fn new(hierarchies: &Hierarchies, run: &str, host: &str) -> Result<Self> {
        let make = |root: &Path| -> Result<PathBuf> {
            let path = root.join(run).join(host);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            Ok(path)
        };
        let (main, v2) = match (&hierarchies.v2, &hierarchies.freezer) {
            (Some(root), _) => {
                // Where the controllers live in v2; refused where they are v1's, and then not needed.
                for group in [root.clone(), root.join(run)] {
                    let _ = fs::create_dir(&group);
                    for controller in ["+cpu", "+memory"] {
                        let _ = fs::write(group.join("cgroup.subtree_control"), controller);
                    }
                }
                (make(root)?, true)
            }
            (None, Some(root)) => (make(root)?, false),
            (None, None) => bail!("no control groups"),
        };
        let cpu = hierarchies.cpu.as_deref().map(make).transpose()?;
        let memory = hierarchies.memory.as_deref().map(make).transpose()?;
        Ok(Self { main, v2, cpu, memory })
    }

    /// The directories that a process must join.
    pub fn directories(&self) -> Vec<&Path> {
        [Some(&self.main), self.cpu.as_ref(), self.memory.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect()
    }

    /// All of the host's processes.
    pub fn processes(&self) -> Vec<i32> {
        processes(&self.main)
    }

    /// Returns when nothing of it runs any more.
    pub fn freeze(&self) -> Result<()> {
        let (file, word) = if self.v2 { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        fs::write(self.main.join(file), word).context("cannot freeze")?;
        for _ in 0..LOOKS {
            let frozen = if self.v2 {
                fs::read_to_string(self.main.join("cgroup.events")).is_ok_and(|text| text.contains("frozen 1"))
            } else {
                fs::read_to_string(self.main.join("freezer.state")).is_ok_and(|text| text.trim() == "FROZEN")
            };
            if frozen {
                return Ok(());
            }
            sleep(LOOK_AGAIN);
        }
        // A process that waits for the volume in the kernel cannot be frozen: it does nothing either.
        Ok(())
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        thaw(&self.main);
    }

    /// Kills everything in it, and returns when nothing is left.
    pub fn kill(&self) -> Result<()> {
        for _ in 0..LOOKS {
            let _ = fs::write(self.main.join("cgroup.kill"), "1");
            let processes = self.processes();
            if processes.is_empty() {
                self.thaw();
                return Ok(());
            }
            for pid in processes {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if !self.v2 {
                self.thaw();
            }
            sleep(LOOK_AGAIN);
        }
        bail!("these do not die: {:?}", self.processes())
    }

    /// Whether cpu time can be limited here.
    pub fn can_limit_cpu(&self) -> bool {
        self.cpu.is_some() || self.main.join("cpu.max").exists()
    }

    /// Whether memory can be limited here.
    pub fn can_limit_memory(&self) -> bool {
        self.memory.is_some() || self.main.join("memory.max").exists()
    }

    /// `percent` of one processor for the whole host; none: as much as there is.
    pub fn limit_cpu(&self, percent: Option<u32>) -> Result<()> {
        const PERIOD: u32 = 100_000;
        let result = if let Some(group) = &self.cpu {
            let quota = percent.map_or("-1".to_owned(), |percent| (percent * PERIOD / 100).to_string());
            fs::write(group.join("cpu.cfs_quota_us"), quota)
        } else {
            let quota = percent.map_or("max".to_owned(), |percent| (percent * PERIOD / 100).to_string());
            fs::write(self.main.join("cpu.max"), format!("{quota} {PERIOD}"))
        };
        result.context("cannot limit the host's cpu time")
    }

    /// Bytes for the whole host; none: as much as there is.
    pub fn limit_memory(&self, bytes: Option<u64>) -> Result<()> {
        let result = if let Some(group) = &self.memory {
            let limit = bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
            fs::write(group.join("memory.limit_in_bytes"), limit)
        } else {
            let limit = bytes.map_or("max".to_owned(), |bytes| bytes.to_string());
            fs::write(self.main.join("memory.max"), limit)
        };
        result.context("cannot limit the host's memory")
    }

    /// Bytes in use by the whole host.
    pub fn memory(&self) -> Option<u64> {
        let file = match &self.memory {
            Some(group) => group.join("memory.usage_in_bytes"),
            None => self.main.join("memory.current"),
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }
}
