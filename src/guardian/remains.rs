//! What runs on of a coordinator whose supervisor and guardian were both killed, and does not hold the lock.
//!
//! The lock finds what holds it ([`super::volume`]'s leftovers). A helper like sudo closes every descriptor, changes the user
//! and loses the parent-death signal; others daemonise and close what they inherited. They run on without the lock, and
//! the next coordinator would run beside them. So before anybody of this host stands again they are looked for by what the
//! kernel keeps:
//!
//! * **the session and the control group** that the coordinator was started in. The guardian notes them on this host, for
//!   the lock file is another's by then. A session's number is nobody else's while anybody is in it.
//! * **the environment**: `PRIMACY_TREE` says of which guardian's tree a process is, as long as nobody has emptied it;
//! * and what descends of either.
//!
//! Only what is this node's: of its name, or of a name that this very configuration file had before. Two nodes of one host
//! (a trial) leave each other alone.
//!
//! The notes lie on a file system in memory, in a directory of this user's alone: they mean nothing after a boot.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::unistd::{Pid, Uid};
use serde::{Deserialize, Serialize};

use super::PROCESS_NAME;
use super::protocol::Settings;
use crate::processes::{self, Stat};
use crate::{clock, host, syscalls};

/// The variable by which a process says of whose tree it is.
pub const VARIABLE: &str = "PRIMACY_TREE";

/// How long to wait for killed processes to go; what stays longer is reported.
const PATIENCE: Duration = Duration::from_secs(2);
/// For all environments: reading one may wait for a process that hangs.
const ENVIRONMENTS: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// A process that is nobody else's until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Started {
    pid: i32,
    at: u64,
}

impl Started {
    fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self { pid, at: stat.started })
    }

    fn lives(self) -> bool {
        processes::lives(self.pid, self.at)
    }
}

/// What a guardian notes of its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    cluster: String,
    node: String,
    lock_directory: PathBuf,
    configuration: Option<PathBuf>,
    boot_id: String,
    pid_namespace: Option<u64>,
    guardian: Started,
    /// The first process, which leads the session.
    session: Started,
    /// Its directory, if the tree has one of its own.
    cgroup: Option<PathBuf>,
}

/// The note of this guardian's coordinator; taken back when it is dropped.
#[derive(Debug)]
pub struct Noted(PathBuf);

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Notes the coordinator whose first process is `main`. An error means that it might not be found again.
pub fn note(settings: &Settings, main: i32) -> io::Result<Noted> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let note = Note {
        cluster: settings.cluster.clone(),
        node: settings.node.clone(),
        lock_directory: settings.lock_directory.clone(),
        configuration: settings.configuration.clone(),
        boot_id: host::boot_id(),
        pid_namespace: host::pid_namespace(),
        guardian: Started::of(processes::own_pid()).ok_or_else(gone)?,
        session: Started::of(main).ok_or_else(gone)?,
        cgroup: own_cgroup(main),
    };
    let directory = directories().find(|directory| is_ours(directory) || make(directory)).ok_or_else(gone)?;
    let path = directory.join(format!("{}-{}.json", note.guardian.pid, note.guardian.at));
    let temporary = path.with_extension("new");
    fs::write(&temporary, serde_json::to_vec(&note)?)?;
    fs::rename(&temporary, &path)?;
    Ok(Noted(path))
}

/// The value of [`VARIABLE`] for what this guardian starts: which boot, which pid namespace, which guardian, for which volume.
pub fn tag(lock_directory: &Path) -> Vec<u8> {
    let started = Started::of(processes::own_pid()).map_or(0, |own| own.at);
    let mut tag = tag_until_pid();
    tag.extend_from_slice(format!("{}:{started}:", processes::own_pid()).as_bytes());
    tag.extend_from_slice(lock_directory.as_os_str().as_bytes());
    tag
}

fn tag_until_pid() -> Vec<u8> {
    format!("{}:{}:", host::boot_id(), host::pid_namespace().unwrap_or(0)).into_bytes()
}

/// Whose tree a tag speaks of, where it was this boot, this namespace and this volume.
fn guardian_in(tag: &[u8], lock_directory: &Path) -> Option<Started> {
    let rest = tag.strip_prefix(tag_until_pid().as_slice())?;
    let mut parts = rest.splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(parts.next()?).ok();
    let (pid, at) = (number()?.parse().ok()?, number()?.parse().ok()?);
    (parts.next()? == lock_directory.as_os_str().as_bytes()).then_some(Started { pid, at })
}

/// The names under which this configuration file has run coordinators that were not ended in order.
pub fn former_names(cluster: &str, configuration: &Path, lock_directory: &Path) -> Vec<String> {
    let ours = |note: &Note| note.cluster == cluster && note.lock_directory == lock_directory;
    let mut names: Vec<String> = notes()
        .map(|(_, note)| note)
        .filter(|note| ours(note) && note.configuration.as_deref() == Some(configuration) && !note.guardian.lives())
        .map(|note| note.node)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What was cleared away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Pid and command of each process killed.
    pub killed: Vec<(i32, String)>,
    /// Those that have not gone.
    pub left: Vec<(i32, String)>,
    /// The environments could not all be read in time.
    pub in_doubt: bool,
}

impl Cleared {
    /// What people should know.
    pub fn notes(&self) -> Vec<String> {
        let killed = self.killed.iter().map(|(pid, command)| {
            format!("killed {command} ({pid}), left over: its guardian is dead and it ran on without the lock")
        });
        let doubt = "not all processes could be looked at: one may be left of a former leadership, without the lock";
        killed.chain(self.in_doubt.then(|| doubt.to_owned())).collect()
    }

    /// What keeps this host from starting anything.
    pub fn obstacle(&self) -> Option<String> {
        let left: Vec<String> = self.left.iter().map(|(pid, command)| format!("{command} ({pid})")).collect();
        (!left.is_empty()).then(|| {
            format!(
                "{}, left over from a former leadership, cannot be killed and may still write: nothing starts here before it has \
                 gone; look at /proc/PID/wchan, and reboot this host if it stays",
                left.join(", ")
            )
        })
    }
}

/// Kills what runs on of this node's coordinators whose guardians are dead.
pub fn clear(settings: &Mine) -> Cleared {
    let dead: Vec<(PathBuf, Note)> =
        notes().filter(|(_, note)| settings.is_note_of(note) && !note.guardian.lives()).collect();
    let mut cleared = Cleared::default();
    let tagged = tagged_in_time(settings).unwrap_or_else(|| {
        cleared.in_doubt = true;
        Vec::new()
    });
    let began = clock::now();
    loop {
        let found = found(&dead, &tagged);
        for stat in &found {
            syscalls::send_signal(Pid::from_raw(stat.pid), nix::libc::SIGKILL);
            if !cleared.killed.iter().any(|(pid, _)| *pid == stat.pid) {
                cleared.killed.push((stat.pid, stat.command.clone()));
            }
        }
        if found.is_empty() || clock::now().since(began) > PATIENCE {
            cleared.left = found.into_iter().map(|stat| (stat.pid, stat.command)).collect();
            break;
        }
        std::thread::sleep(PAUSE);
    }
    if cleared.left.is_empty() {
        for (path, note) in &dead {
            let _ = fs::remove_file(path);
            if let Some(cgroup) = &note.cgroup {
                let _ = fs::remove_dir(cgroup);
            }
        }
    }
    cleared
}

/// Who this node is, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Mine {
    pub cluster: String,
    /// Its name, and those that it had before.
    pub names: Vec<String>,
    pub lock_directory: PathBuf,
}

impl Mine {
    pub fn new(settings: &Settings) -> Self {
        let mut names = settings.former_names.clone();
        names.push(settings.node.clone());
        Self { cluster: settings.cluster.clone(), names, lock_directory: settings.lock_directory.clone() }
    }

    fn is_note_of(&self, note: &Note) -> bool {
        note.cluster == self.cluster
            && note.lock_directory == self.lock_directory
            && self.names.contains(&note.node)
            && note.boot_id == host::boot_id()
            && note.pid_namespace == host::pid_namespace()
    }

    /// Whether a process with this environment is of a dead guardian's tree of this node.
    fn has_left(&self, environment: &[u8]) -> bool {
        let value = |name: &str| {
            let prefix = format!("{name}=").into_bytes();
            environment.split(|byte| *byte == 0).find_map(move |entry| entry.strip_prefix(prefix.as_slice()))
        };
        value(VARIABLE).and_then(|tag| guardian_in(tag, &self.lock_directory)).is_some_and(|guardian| !guardian.lives())
            && value("PRIMACY_CLUSTER") == Some(self.cluster.as_bytes())
            && value("PRIMACY_NODE").is_some_and(|node| self.names.iter().any(|name| name.as_bytes() == node))
    }
}

/// Those whose environment says it; `None` if that could not be read of all of them in time.
fn tagged_in_time(settings: &Mine) -> Option<Vec<Started>> {
    let (sender, receiver) = channel();
    let settings = settings.clone();
    std::thread::Builder::new()
        .name("remains".to_owned())
        .spawn(move || {
            let tagged = processes::pids()
                .filter(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| settings.has_left(&text)))
                .filter_map(Started::of)
                .collect();
            let _ = sender.send(tagged);
        })
        .ok()?;
    receiver.recv_timeout(ENVIRONMENTS).ok()
}

/// What lives of them: in their sessions and control groups, by its environment, and what descends of all these.
fn found(dead: &[(PathBuf, Note)], tagged: &[Started]) -> Vec<Stat> {
    let all: BTreeMap<i32, Stat> =
        processes::pids().filter_map(Stat::of).filter(|stat| !stat.is_zombie()).map(|stat| (stat.pid, stat)).collect();
    let grouped: Vec<i32> = dead.iter().filter_map(|(_, note)| note.cgroup.as_deref()).flat_map(processes_in).collect();
    let is_one = |stat: &Stat| {
        tagged.contains(&Started { pid: stat.pid, at: stat.started })
            || grouped.contains(&stat.pid)
            || dead.iter().any(|(_, note)| stat.session == note.session.pid && stat.started >= note.session.at)
    };
    let own = all.get(&processes::own_pid());
    let above: Vec<i32> = own.into_iter().flat_map(|own| ancestors(&all, own)).map(|stat| stat.pid).collect();
    let mut found: Vec<i32> = all.values().filter(|stat| is_one(stat)).map(|stat| stat.pid).collect();
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let children: Vec<i32> =
            all.values().filter(|stat| stat.parent == pid && !found.contains(&stat.pid)).map(|stat| stat.pid).collect();
        found.extend(children);
        next += 1;
    }
    // Whatever says what: nothing of a living guardian's is touched.
    let guarded = |stat: &Stat| ancestors(&all, stat).any(|ancestor| ancestor.command == PROCESS_NAME);
    let found = found.into_iter().filter(|pid| !above.contains(pid)).filter_map(|pid| all.get(&pid));
    found.filter(|stat| !guarded(stat)).cloned().collect()
}

/// The process and those above it, up to the first.
fn ancestors<'a>(all: &'a BTreeMap<i32, Stat>, stat: &'a Stat) -> impl Iterator<Item = &'a Stat> {
    std::iter::successors(Some(stat), |stat| all.get(&stat.parent).filter(|parent| parent.pid > 1)).take(64)
}

/// All below a control group.
fn processes_in(cgroup: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    let mut groups = vec![cgroup.to_owned()];
    while let Some(group) = groups.pop() {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        let inner = fs::read_dir(&group).into_iter().flatten().flatten();
        groups
            .extend(inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
    found
}

/// The control group that this guardian made for it, if it did.
fn own_cgroup(main: i32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{main}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let name = format!("primacy-{}", processes::own_pid());
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let root = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"))?.get(1).map(PathBuf::from)?;
    path.ends_with(&name).then(|| root.join(path))
}

/// Where notes may lie, the best place first: all in memory, gone with the boot.
fn directories() -> impl Iterator<Item = PathBuf> {
    let user = Uid::effective();
    let of_root = user.is_root().then(|| PathBuf::from("/run/primacy"));
    let of_session = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("primacy"));
    let of_anybody = PathBuf::from(format!("/dev/shm/primacy-{user}"));
    of_root.into_iter().chain(of_session).chain([of_anybody])
}

/// What others may write to is not believed: it names processes to kill.
fn is_ours(directory: &Path) -> bool {
    fs::symlink_metadata(directory)
        .is_ok_and(|found| found.is_dir() && found.uid() == Uid::effective().as_raw() && found.mode() & 0o022 == 0)
}

fn make(directory: &Path) -> bool {
    DirBuilder::new().mode(0o700).create(directory).is_ok() && is_ours(directory)
}

fn notes() -> impl Iterator<Item = (PathBuf, Note)> {
    let files =
        directories().filter(|directory| is_ours(directory)).filter_map(|directory| fs::read_dir(directory).ok());
    files.flatten().flatten().filter_map(|entry| {
        let path = entry.path();
        let note = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        path.extension().is_some_and(|extension| extension == "json").then_some((path, note))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn mine(name: &str) -> Mine {
        let (cluster, lock_directory) = ("c".to_owned(), PathBuf::from("/volume: here/.primacy"));
        Mine { cluster, names: vec![name.to_owned()], lock_directory }
    }

    fn tag_of(guardian: Started, directory: &str) -> String {
        format!("{}{}:{}:{directory}", String::from_utf8(tag_until_pid()).unwrap(), guardian.pid, guardian.at)
    }

    const DEAD: Started = Started { pid: i32::MAX, at: 1 };

    fn environment(tag: &str, node: &str) -> Vec<u8> {
        format!("A=b\0PRIMACY_CLUSTER=c\0PRIMACY_NODE={node}\0PRIMACY_TREE={tag}\0").into_bytes()
    }

    #[test]
    fn an_environment_tells_of_a_dead_guardians_tree_of_this_node_and_volume_only() {
        let mine = mine("a");
        let directory = mine.lock_directory.to_str().unwrap();
        let left = tag_of(DEAD, directory);
        assert!(mine.has_left(&environment(&left, "a")));
        assert!(!mine.has_left(&environment(&left, "b")), "another node's");
        assert!(!mine.has_left(&environment(&tag_of(DEAD, "/elsewhere"), "a")));
        assert!(
            !mine.has_left(&environment(&left.replacen(|c: char| c.is_ascii_hexdigit(), "x", 1), "a")),
            "another boot"
        );
        let living = Started::of(processes::own_pid()).unwrap();
        assert!(!mine.has_left(&environment(&tag_of(living, directory), "a")));
        assert!(!mine.has_left(b"PRIMACY_CLUSTER=c\0PRIMACY_NODE=a\0"));
        assert_eq!(guardian_in(&tag(&mine.lock_directory), &mine.lock_directory), Some(living));
    }

    /// In a session of its own, with an empty environment, above a process that has left that session.
    fn forgotten() -> Child {
        let mut command = Command::new("setsid");
        command.env_clear().args(["/bin/sh", "-c", "/usr/bin/setsid /bin/sleep 600 & /bin/sleep 600"]);
        command.spawn().unwrap()
    }

    #[test]
    fn a_noted_session_is_found_with_what_descends_of_it_and_nothing_else_is() {
        let mut child = forgotten();
        let session = Started::of(i32::try_from(child.id()).unwrap()).unwrap();
        let note = Note {
            cluster: "c".to_owned(),
            node: "a".to_owned(),
            lock_directory: "/v".into(),
            configuration: None,
            boot_id: host::boot_id(),
            pid_namespace: host::pid_namespace(),
            guardian: DEAD,
            session,
            cgroup: None,
        };
        let look = |note: &Note| found(&[(PathBuf::new(), note.clone())], &[]);
        let began = clock::now();
        while look(&note).len() < 3 {
            assert!(clock::now().since(began).as_secs() < 60, "{:?}", look(&note));
            std::thread::sleep(PAUSE);
        }
        let earlier = Started { at: session.at + 1_000_000, ..session };
        assert_eq!(look(&Note { session: earlier, ..note.clone() }), [], "the number was another session's");
        for stat in look(&note) {
            syscalls::send_signal(Pid::from_raw(stat.pid), nix::libc::SIGKILL);
        }
        child.wait().unwrap();
    }
}
