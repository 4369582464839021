//! `primacy demo`, as a user runs it, without ZooKeeper (the faults with it take longer than a test should).

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use primacy::clock;

const PROGRAM: &str = env!("CARGO_BIN_EXE_primacy");

/// The demo with all its files, and so all its processes, marked by `folder`.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["demo", "--no-zookeeper"])
        .args(arguments)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Command lines of the processes that inherited `folder` as their TMPDIR.
fn processes_of(folder: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", folder.display());
    let read = |path: std::path::PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| read(entry.path().join("environ")).is_ok_and(|text| text.split('\0').any(|one| one == mark)))
        .filter_map(|entry| read(entry.path().join("cmdline")).ok())
        .collect()
}

#[test]
fn the_demo_survives_its_faults_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--faults", "stop,crash,kill"]).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("at no time two").count(), 3, "{text}");
    assert!(text.contains("never two at once; after each fault one ran again"), "{text}");
    assert_eq!(processes_of(folder.path()), [""; 0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "its files are gone");
}

#[test]
fn a_demo_that_is_killed_takes_everything_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(folder.path(), &["--faults", "none", "--keep"]).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).find(|line| line.contains("stays up until Ctrl-C"));
    assert!(ready.is_some(), "the cluster came up");
    assert!(processes_of(folder.path()).len() >= 6, "demo, supervisors, guardians, coordinator");

    demo.kill().unwrap();
    demo.wait().unwrap();
    let limit = clock::now() + Duration::from_secs(30);
    while !processes_of(folder.path()).is_empty() {
        assert!(clock::now() < limit, "still running: {:?}", processes_of(folder.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn candidates_that_run_two_coordinators_make_the_demo_fail() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    // Each candidate has a lock of its own, so both lead.
    let script = format!(
        "#!/bin/sh\nmkdir \"$3.lock\"\nsed \"s#^directory = .*#directory = '$3.lock'#\" \"$3\" > \"$3.toml\"\nexec '{PROGRAM}' run -c \"$3.toml\"\n"
    );
    fs::write(&broken, script).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let output = demo(folder.path(), &["--binary", broken.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("two coordinators ran at once"), "{}", text(&output));
}
