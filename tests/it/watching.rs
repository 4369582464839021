//! `primacy status` as a person has it: repeated on a terminal of its own, and as a plugin of a monitoring system.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use primacy::clock;

use crate::api::{Fixture, active, standby_out_of_contact};
use crate::cluster::LIMIT;

/// `primacy status -w` on a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    written: Receiver<Vec<u8>>,
    emulator: vt100::Parser,
    /// Everything that was written.
    log: Vec<u8>,
}

impl Terminal {
    fn of(arguments: &[&str], rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        // setsid gives it a terminal of its own, whose Ctrl-C is a signal.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_primacy")])
            .args(arguments)
            .env("TERM", "xterm")
            .env_remove("RUST_LOG")
            .env_remove("PRIMACY_CONFIG")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let mut master = keyboard.try_clone().unwrap();
        let (sender, written) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let emulator = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 1000);
        Self { child, keyboard, written, emulator, log: Vec::new() }
    }

    fn screen(&self) -> String {
        self.emulator.screen().contents()
    }

    /// Reads what is written until the screen is so.
    #[track_caller]
    fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let began = clock::now();
        while !holds(&self.screen()) {
            if let Ok(bytes) = self.written.recv_timeout(Duration::from_millis(100)) {
                self.emulator.process(&bytes);
                self.log.extend(bytes);
            }
            assert!(clock::now().since(began) < LIMIT, "not {what}:\n{}", self.screen());
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        let status = Command::new("stty")
            .args(["rows", &rows.to_string(), "columns", &columns.to_string()])
            .stdin(self.keyboard.try_clone().unwrap())
            .status()
            .unwrap();
        assert!(status.success());
        self.emulator.screen_mut().set_size(rows.try_into().unwrap(), columns.try_into().unwrap());
    }

    #[track_caller]
    fn end(mut self) -> (ExitStatus, String, String) {
        let began = clock::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(clock::now().since(began) < LIMIT, "it does not end:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        };
        // The terminal's other side is closed: the reader ends.
        while let Ok(bytes) = self.written.recv_timeout(LIMIT) {
            self.emulator.process(&bytes);
            self.log.extend(bytes);
        }
        (status, self.screen(), String::from_utf8_lossy(&self.log).into_owned())
    }
}

fn url(fixture: &Fixture) -> String {
    format!("http://{}", fixture.api.address())
}

#[test]
fn a_watched_status_stays_in_its_place_and_ends_quietly() {
    let mut snapshot = active();
    let fixture = Fixture::new(snapshot.clone());
    let mut terminal = Terminal::of(&["status", "-w", "1", "--api", &url(&fixture)], 12, 140);
    terminal.until("the table", |screen| screen.contains("node-b  standby"));
    // What is typed would move the table.
    terminal.press(b"\n\nx");
    snapshot.cluster.members[1].row.reason = "something else".into();
    fixture.snapshot.store(snapshot.clone().into());
    terminal.until("what has changed", |screen| screen.contains("something else"));
    snapshot.cluster.members[1].row.reason = "a third thing".into();
    fixture.snapshot.store(snapshot.into());
    terminal.until("what has changed again", |screen| screen.contains("a third thing"));
    terminal.press(b"\x03");
    let (status, screen, log) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    let lines: Vec<&str> = screen.trim_end().lines().collect();
    assert_eq!(lines.len(), 5, "{screen}");
    assert!(lines[0].starts_with("OK: node-a leads cluster dremio for "), "{screen}");
    assert!(lines[4].starts_with("node-b ") && lines[4].ends_with("a third thing"), "{screen}");
    assert!(!screen.contains("^C"), "{screen}");
    assert!(!log.contains("\x1b[2J") && !log.contains("\x1b[H") && !log.contains("\x1b[?1049h"), "{log:?}");
    assert_eq!(log.matches("NODE ").count(), 1, "a line that has not changed was written again: {log:?}");
}

#[test]
fn a_small_or_resized_terminal_has_the_verdict_and_what_fits() {
    let fixture = Fixture::new(active());
    let mut terminal = Terminal::of(&["status", "-w", "1", "--api", &url(&fixture)], 5, 30);
    terminal.until("the verdict", |screen| screen.contains("OK: node-a leads") && screen.contains("more lines"));
    assert!(terminal.screen().lines().all(|line| line.chars().count() < 30), "{}", terminal.screen());
    terminal.resize(20, 120);
    terminal
        .until("the whole table", |screen| screen.contains("node-b  standby") && screen.contains("as it should be"));
    terminal.press(b"\x03");
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn a_cluster_that_cannot_be_asked_any_more_is_shown_as_it_was() {
    let fixture = Fixture::new(active());
    let address = fixture.api.address();
    let mut terminal = Terminal::of(&["status", "-w", "1", "--api", &format!("http://{address}")], 24, 140);
    terminal.until("the table", |screen| screen.contains("node-b  standby"));
    drop(fixture);
    terminal.until("that it is not known", |screen| {
        screen.contains("UNKNOWN: no API answered")
            && screen.contains("As it was ")
            && screen.contains("node-b  standby")
    });
    terminal.press(b"\x03");
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn to_a_pipe_looks_are_appended_without_moving_a_cursor() {
    let fixture = Fixture::new(active());
    let mut child = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(["status", "-w", "1", "--api", &url(&fixture)])
        .env_remove("PRIMACY_CONFIG")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while seen.matches("OK: node-a leads").count() < 2 {
        let count = stdout.read(&mut buffer).unwrap();
        assert!(count > 0, "{seen}");
        seen += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    assert!(!seen.contains('\x1b'), "{seen:?}");
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that goes away has seen enough");
}

/// The first line of its standard output, and its exit code.
fn plugin(arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("PRIMACY_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    (text, output.status.code().unwrap())
}

#[test]
fn a_monitoring_system_gets_one_line_and_its_exit_code_whatever_happens() {
    let mut snapshot = active();
    let (fixture, cut_off) = (Fixture::new(snapshot.clone()), Fixture::new(standby_out_of_contact()));
    let of = |fixture: &Fixture| plugin(&["status", "--check", "--api", &url(fixture)]);
    let (text, code) = of(&fixture);
    assert!(text.starts_with("PRIMACY OK: node-a leads cluster dremio for ") && code == 0, "{text}");
    assert!(text.contains(" | active=1;;1:;0;1 standbys=1;1:;;0 missing=0;0;;0 paused=0;0;;0;1 epoch=7c;;;0 leading="));
    snapshot.cluster.members.truncate(1);
    fixture.snapshot.store(snapshot.clone().into());
    let (text, code) = of(&fixture);
    assert!(text.starts_with("PRIMACY WARNING: ") && text.contains("nobody could take over") && code == 1, "{text}");
    snapshot.cluster.active = None;
    fixture.snapshot.store(snapshot.into());
    let (text, code) = of(&fixture);
    assert!(text.starts_with("PRIMACY CRITICAL: nobody leads cluster dremio") && code == 2, "{text}");
    let (text, code) = of(&cut_off);
    assert!(
        text.starts_with("PRIMACY UNKNOWN: who leads cluster dremio cannot be known: node-b ") && code == 3,
        "{text}"
    );
    for wrong in [
        &["status", "--check", "--api", "http://127.0.0.1:1"][..],
        &["status", "--check", "-c", "/nowhere/primacy.toml"],
        &["status", "--check", "--no-such-option"],
        &["status", "--check", "--watch"],
    ] {
        let (text, code) = plugin(wrong);
        assert!(text.starts_with("PRIMACY UNKNOWN: ") && code == 3, "{wrong:?}: {text}");
    }
}

#[test]
fn which_active_knows_that_nobody_is_from_not_having_been_told() {
    let mut nobody = active();
    nobody.server.active = None;
    nobody.cluster.active = None;
    let (fixture, cut_off) = (Fixture::new(nobody), Fixture::new(standby_out_of_contact()));
    let which = |api: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
        let output =
            command.args(["which-active", "--api", api]).args(more).env_remove("PRIMACY_CONFIG").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    assert_eq!(which(&url(&fixture), &[]), (String::new(), 1));
    assert_eq!(which(&url(&cut_off), &[]), (String::new(), 3));
    assert_eq!(which("http://127.0.0.1:1", &[]), (String::new(), 3));
    fixture.snapshot.store(active().into());
    assert_eq!(which(&url(&fixture), &["--url"]), ("http://node-a:9090\n".to_owned(), 0));
    assert_eq!(which(&url(&fixture), &["--endpoint", "web"]), ("http://node-a:9047\n".to_owned(), 0));
    assert_eq!(which(&url(&fixture), &["--endpoint", "none"]), (String::new(), 1));
    assert_eq!(which(&url(&fixture), &["--endpoint", "web", "--url"]), (String::new(), 2));
}
