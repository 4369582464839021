//! examples/epoch-checked-log.rs: late writes of a former coordinator do not count, and nothing acknowledged is lost.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::cluster::example;

struct Coordinator {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

fn program() -> Command {
    Command::new(example("epoch-checked-log"))
}

impl Coordinator {
    fn start(directory: &Path, epoch: u64) -> Self {
        let mut command = program();
        command.arg(directory).env("PRIMACY_EPOCH", epoch.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// True: acknowledged.
    fn append(&mut self, line: &str) -> bool {
        // One that has ended takes nothing.
        let _ = writeln!(self.input.as_mut().unwrap(), "{line}");
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.starts_with("ok ")
    }

    fn code(mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().unwrap().code()
    }
}

fn read(directory: &Path) -> String {
    String::from_utf8(program().arg(directory).arg("--read").output().unwrap().stdout).unwrap()
}

#[test]
fn a_coordinator_that_was_overtaken_refuses_to_write() {
    let directory = TempDir::new().unwrap();
    let mut first = Coordinator::start(directory.path(), 1);
    assert!(first.append("one"));
    let mut second = Coordinator::start(directory.path(), 2);
    assert!(second.append("two"));
    assert!(!first.append("late"));
    assert_eq!(first.code(), Some(3));
    assert!(second.append("three"));
    assert_eq!(read(directory.path()), "one\ntwo\nthree\n");
    // It does not start again either.
    assert_eq!(Coordinator::start(directory.path(), 1).code(), Some(3));
    // A local restart goes on under the same epoch.
    assert_eq!(second.code(), Some(0));
    assert!(Coordinator::start(directory.path(), 2).append("four"));
    assert_eq!(read(directory.path()), "one\ntwo\nthree\nfour\n");
}

#[test]
fn what_a_former_epoch_writes_too_late_is_never_read() {
    let directory = TempDir::new().unwrap();
    assert!(Coordinator::start(directory.path(), 4).append("one"));
    // A page cache that is written back when its host thaws: past every check.
    let mut late = OpenOptions::new().append(true).open(directory.path().join("4.log")).unwrap();
    late.write_all(b"half").unwrap();
    let mut next = Coordinator::start(directory.path(), 9);
    assert!(next.append("two"));
    late.write_all(b" a line, late\nanother\n").unwrap();
    fs::write(directory.path().join("7.log"), "nobody's predecessor\n").unwrap();
    assert_eq!(read(directory.path()), "one\ntwo\n");
    // Taken over by one that died before it could write.
    assert_eq!(next.code(), Some(0));
    fs::write(directory.path().join("current"), format!("{:020} {:020}\n", 10, 9)).unwrap();
    assert_eq!(read(directory.path()), "one\ntwo\n");
    assert!(Coordinator::start(directory.path(), 11).append("three"));
    assert_eq!(read(directory.path()), "one\ntwo\nthree\n");
}
