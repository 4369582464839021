//! What becomes of the program when nobody takes what it writes: never a panic, never a hang.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, ExitStatus, Stdio};

use nix::libc::O_NONBLOCK;
use primacy::clock;
use tempfile::TempDir;

use crate::cluster::LIMIT;

/// A pipe that nobody reads, full: its reader, and the end to write to.
pub fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    fill(&writer);
    (reader.into(), writer)
}

/// Fills a pipe, by an open file of its own: what it shares with others stays as it is.
pub fn fill(writer: &OwnedFd) {
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut own = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    for part in [&[b'.'; 4096][..], b"."] {
        while own.write(part).is_ok() {}
    }
}

fn primacy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("PRIMACY_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[track_caller]
fn end_of(mut command: Command) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    let began = clock::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if clock::now().since(began) > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs: {command:?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Commands that complain, and how they end.
fn complaining(invalid: &str) -> [(Vec<&str>, i32); 7] {
    [
        (vec!["run", "-c", invalid], 78),
        (vec!["check", "-c", invalid], 78),
        (vec!["config", "show", "-c", invalid], 78),
        (vec!["status", "-c", invalid], 78),
        (vec!["status", "--api", "http://127.0.0.1:1"], 3),
        (vec!["history", "--api", "http://127.0.0.1:1"], 3),
        (vec!["no-such-command"], 2),
    ]
}

#[test]
fn a_command_that_complains_ends_as_ever_when_standard_error_is_full_closed_or_hangs() {
    let directory = TempDir::new().unwrap();
    let invalid = directory.path().join("invalid.toml");
    std::fs::write(&invalid, "no\n").unwrap();
    for (arguments, code) in complaining(invalid.to_str().unwrap()) {
        let with = |stderr: Stdio| {
            let mut command = primacy(&arguments);
            command.stderr(stderr);
            end_of(command).code()
        };
        assert_eq!(with(full()), Some(code), "full: {arguments:?}");
        let (_reader, writer) = full_pipe();
        assert_eq!(with(writer.into()), Some(code), "hangs: {arguments:?}");
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        assert_eq!(with(writer.into()), Some(code), "its reader is gone: {arguments:?}");
        let mut closed = Command::new("sh");
        closed.args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", env!("CARGO_BIN_EXE_primacy")]).args(&arguments);
        assert_eq!(end_of(closed).code(), Some(code), "closed: {arguments:?}");
    }
}

#[test]
fn a_command_that_prints_fails_when_standard_output_is_full_and_is_content_when_its_reader_has_seen_enough() {
    for arguments in [
        vec!["--help"],
        vec!["--version"],
        vec!["help", "run"],
        vec!["config", "default"],
        vec!["config", "schema"],
        vec!["completions", "bash"],
        vec!["man"],
    ] {
        let with = |stdout: Stdio| {
            let mut command = primacy(&arguments);
            command.stdout(stdout).stderr(full());
            end_of(command).code()
        };
        assert_eq!(with(full()), Some(1), "full: {arguments:?}");
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        assert_eq!(with(writer.into()), Some(0), "its reader is gone: {arguments:?}");
    }
}

#[test]
fn what_a_command_complains_of_is_read_in_whole_by_who_reads_slowly() {
    let directory = TempDir::new().unwrap();
    let invalid = directory.path().join("invalid.toml");
    let lines: String = (0..3000).map(|number| format!("unknown{number} = 1\n")).collect();
    std::fs::write(&invalid, lines).unwrap();
    let mut command = primacy(&["config", "show", "-c", invalid.to_str().unwrap()]);
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.len() > 128 * 1024 && text.contains("unknown2999"), "{} bytes", text.len());
}
