//! `primacy demo`, as a user runs it, without ZooKeeper (the faults with it take longer than a test should).

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use testbed::clock;

const DEMO: &str = env!("CARGO_BIN_EXE_primacy-demo");

/// Beside the demo, as when both are installed. Where only this package was built, it is built here.
fn primacy() -> PathBuf {
    let path = Path::new(DEMO).with_file_name("primacy");
    if !path.exists() {
        let target = path.parent().and_then(Path::parent).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet", "-p", "primacy", "--bin", "primacy", "--target-dir"]).arg(target);
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).status().unwrap().success());
    }
    path
}

/// The demo with all its files, and so all its processes, marked by `folder`.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(primacy());
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
    let limit = clock::now() + 30_000_000_000;
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
        "#!/bin/sh\nmkdir \"$3.lock\"\nsed \"s#^directory = .*#directory = '$3.lock'#\" \"$3\" > \"$3.toml\"\nexec '{}' run -c \"$3.toml\"\n",
        primacy().display()
    );
    fs::write(&broken, script).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let output = demo(folder.path(), &["--binary", broken.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    // In a line of its own, or as the beginning of the sum.
    assert!(text(&output).to_lowercase().contains("two coordinators ran at once"), "{}", text(&output));
}

#[test]
fn without_the_demo_beside_it_primacy_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("primacy");
    fs::hard_link(primacy(), &alone).or_else(|_| fs::copy(primacy(), &alone).map(drop)).unwrap();
    let output = Command::new(&alone).args(["demo", "--keep"]).output().unwrap();
    let missing = folder.path().join("primacy-demo");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains(&format!("no {} here", missing.display())), "{}", text(&output));
    assert!(text(&output).contains("cargo build -p primacy-demo"), "{}", text(&output));
}

#[test]
fn primacys_help_names_every_option_of_the_demo() {
    let help = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let shown = help(&primacy(), &["demo", "--help"]);
    let own = help(Path::new(DEMO), &["--help"]);
    let options: Vec<&str> = own.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(options.contains(&"--no-zookeeper"), "{own}");
    for option in options.into_iter().filter(|option| *option != "--help") {
        assert!(shown.contains(option), "{option} is not in {shown}");
    }
}
