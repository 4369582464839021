//! A real systemd, in a container of this host: systemd-nspawn with this host's /usr, an own /etc, and the one unit that
//! is tried. Nothing of the host's own units is seen by it (`SYSTEMD_UNIT_PATH`), and it has the host's network, so that
//! its node and one outside of it form a cluster.
//!
//! Rejected: an installed Debian (twenty seconds and a download for the same systemd), and a virtual machine (minutes,
//! emulated). What only a whole machine has, memory that runs out, is for the drills on virtual machines.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use primacy::{clock, processes};
use tempfile::TempDir;
use testbed::mortal;
use uuid::Uuid;

use crate::cluster::LIMIT;

const NSPAWN: &str = "/usr/bin/systemd-nspawn";
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const UNITS: &str = "/etc/systemd/system";
/// What the packaged unit refers to, and what systemd itself cannot do without.
const TARGETS: &[&str] = &["sysinit", "basic", "shutdown", "network-online", "remote-fs"];

pub struct Booted {
    nspawn: Child,
    /// Its first process, by the host's count.
    systemd: i32,
    group: PathBuf,
    root: TempDir,
}

impl Booted {
    /// With `unit`, changed by `dropin`, as primacy.service, not started. `shared` is seen in it where it is here. An error
    /// says why there can be none on this host.
    pub fn with_unit(unit: &Path, dropin: &str, shared: &[&Path]) -> Result<Self, String> {
        for program in [NSPAWN, SYSTEMD] {
            if !Path::new(program).exists() {
                return Err(format!("no {program} here (scripts/install-needs test)"));
            }
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("a container needs root".to_owned());
        }
        let group = new_group().ok_or("a control group (v2) is not to be had here")?;
        let root = root_directory(unit, dropin);
        let mut command = Command::new("/bin/sh");
        // In a group of its own: below the root of all groups two containers would share theirs.
        command.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]).arg(&group);
        command.args(["setpriv", "--pdeathsig", "KILL", NSPAWN, "--quiet", "--register=no", "--keep-unit"]);
        command.arg("--directory").arg(root.path()).args(["--machine", "primacy-test", "--bind-ro=/usr"]);
        for path in shared {
            command.arg(format!("--bind={}", path.display()));
        }
        command.arg(format!("--setenv=SYSTEMD_UNIT_PATH={UNITS}"));
        command.args(["--setenv=SYSTEMD_LOG_TARGET=console", "--setenv=SYSTEMD_LOG_LEVEL=info"]);
        command.args([SYSTEMD, "--unit=basic.target", "--show-status=no"]);
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").stdin(Stdio::null());
        let log = fs::File::create(root.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let nspawn = mortal::spawn(command).unwrap();
        let mut booted = Self { nspawn, systemd: 0, group, root };
        booted.wait().map_err(|problem| format!("{problem}; it said: {}", booted.log()))?;
        Ok(booted)
    }

    fn wait(&mut self) -> Result<(), String> {
        let began = clock::now();
        while clock::now().since(began) < LIMIT {
            if let Some(status) = self.nspawn.try_wait().unwrap() {
                return Err(format!("systemd-nspawn ended: {status}"));
            }
            let below = processes::descendants_of(i32::try_from(self.nspawn.id()).unwrap());
            let systemd =
                below.into_iter().find(|pid| processes::Stat::of(*pid).is_some_and(|stat| stat.command == "systemd"));
            if let Some(systemd) = systemd {
                self.systemd = systemd;
                if self.systemctl(&["is-active", "basic.target"]).status.success() {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("systemd did not boot within {LIMIT:?}"))
    }

    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.systemd.to_string(), "--mount", "--pid", "--ipc", "--uts", "--cgroup"]);
        command.args(["--root", "--wd=/", "systemctl"]).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A property of primacy.service.
    pub fn property(&self, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, "primacy.service"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What systemd itself says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- systemd\n{}", self.log());
        }
        // With a container's first process everything in it is killed.
        if self.systemd != 0 {
            let _ = kill(Pid::from_raw(self.systemd), Signal::SIGKILL);
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        // nspawn makes one of the same name in systemd's own hierarchy, where a host still has version 1 beside version 2.
        for root in group_roots("cgroup2").chain(group_roots("cgroup")) {
            remove_groups(&root.join(self.group.file_name().unwrap()));
        }
    }
}

/// Where cgroup v2 is mounted and may be changed.
fn new_group() -> Option<PathBuf> {
    let group = group_roots("cgroup2").next()?.join(format!("primacy-test-systemd-{}", Uuid::new_v4().simple()));
    fs::create_dir(&group).is_ok().then_some(group)
}

/// Where hierarchies of this kind are mounted.
fn group_roots(kind: &str) -> impl Iterator<Item = PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounted = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let roots = mounted.filter(|fields| fields.get(2) == Some(&kind)).map(|fields| PathBuf::from(fields[1]));
    roots.collect::<Vec<_>>().into_iter()
}

/// The innermost first. What still dies there makes it fail for a moment.
fn remove_groups(group: &Path) {
    for _ in 0..100 {
        for entry in fs::read_dir(group).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_groups_once(&entry.path());
            }
        }
        if fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn remove_groups_once(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups_once(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn root_directory(unit: &Path, dropin: &str) -> TempDir {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    for name in ["usr", "proc", "sys", "dev", "run", "tmp", "var", "root", "etc/systemd/system/primacy.service.d"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), path(name)).unwrap();
    }
    // Without one it would be the first boot, on which systemd enables whatever this host's /usr has.
    fs::write(path("etc/machine-id"), format!("{}\n", Uuid::new_v4().simple())).unwrap();
    fs::write(path("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(path("etc/group"), "root:x:0:\n").unwrap();
    for name in ["ld.so.cache", "hosts", "alternatives"] {
        let from = Path::new("/etc").join(name);
        if from.is_file() {
            fs::copy(from, path("etc").join(name)).unwrap();
        }
    }
    let units = path("etc/systemd/system");
    for target in TARGETS {
        let text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
        fs::write(units.join(format!("{target}.target")), text).unwrap();
    }
    fs::copy(unit, units.join("primacy.service")).unwrap();
    fs::write(units.join("primacy.service.d/test.conf"), dropin).unwrap();
    root
}
