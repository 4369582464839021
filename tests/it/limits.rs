//! Limits that processes are held to for a while: on tasks and on descriptors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a test cannot run.
pub const NO_GROUP: &str = "there is no control group here whose tasks could be limited";

/// A control group whose tasks are counted. Its members go back to where it lies when it is dropped.
pub struct Tasks(PathBuf);

impl Tasks {
    /// `None` where this host does not let us.
    pub fn new() -> Option<Self> {
        let found = Path::new("/proc/self/mounts");
        let mounts = fs::read_to_string(found).unwrap();
        let made = mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let counts = match fields[2] {
                "cgroup" => fields[3].split(',').any(|option| option == "pids"),
                "cgroup2" => {
                    let controllers = Path::new(fields[1]).join("cgroup.subtree_control");
                    let _ = fs::write(&controllers, "+pids");
                    fs::read_to_string(&controllers).is_ok_and(|list| list.split_whitespace().any(|it| it == "pids"))
                }
                _ => false,
            };
            let group = Path::new(fields[1]).join(format!("primacy-test-{}", uuid::Uuid::new_v4().simple()));
            (counts && fs::create_dir(&group).is_ok()).then_some(group)
        });
        made.map(Self)
    }

    /// A command that is to run within.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$0\"/cgroup.procs && exec \"$@\"";
        command.args(["-c", script]).arg(&self.0).arg(program);
        command
    }

    pub fn take_in(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// No more tasks than this. Those that there are live on.
    pub fn limit(&self, count: usize) {
        fs::write(self.0.join("pids.max"), count.to_string()).unwrap();
    }

    pub fn lift(&self) {
        fs::write(self.0.join("pids.max"), "max").unwrap();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(self.0.with_file_name("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// From here on a process gets no descriptor; those that it has it keeps. Gives the former limit.
pub fn take_descriptors_from(pid: i32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let former = line.split_whitespace().nth(3).unwrap().to_owned();
    // The standard ones are in use.
    set_descriptors(pid, "3");
    former
}

/// Sets the soft limit.
pub fn set_descriptors(pid: i32, soft: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]).status();
    assert!(status.unwrap().success());
}
