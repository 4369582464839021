//! `primacy status --watch`: the same look again and again, until somebody has seen enough.
//!
//! On a terminal the table stays where it is ([`Screen`]); what is typed is not shown, for it would move the cursor. A thread of
//! its own asks, for a cluster in trouble answers late, and Ctrl-C must not wait for it: the end of the process is its end. To
//! anything but a terminal looks are appended.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::client::commands::{Outcome, unprinted};
use crate::client::render::{Format, render_status};
use crate::client::screen::{Screen, Size};
use crate::client::{Client, Error, Sight};
use crate::moment::{Moment, in_words};
use crate::{clock, output};

/// What a terminal has that does not tell.
const USUAL: Size = Size { columns: 80, rows: 24 };

enum Event {
    Seen(Box<Result<Sight, Error>>),
    Signal(Signal),
}

/// Until somebody has seen enough.
pub fn watch(source: Client, format: Format, interval: Duration) -> Outcome {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if format == Format::Table && io::stdout().is_terminal() && !dumb {
        in_place(source, interval)
    } else {
        append(&source, format, interval)
    }
}

fn append(source: &Client, format: Format, interval: Duration) -> Outcome {
    loop {
        match source.sight() {
            Ok(sight) => {
                let heading = if format == Format::Table { format!("{}\n", clock::timestamp()) } else { String::new() };
                let below = if format == Format::Table { "\n" } else { "" };
                let text = render_status(&sight, format, clock::wall());
                if let Err(error) = output::print(&(heading + &text + below)) {
                    return unprinted(&error);
                }
            }
            Err(error) => output::complain(&format!("primacy: {error}")),
        }
        std::thread::sleep(interval);
    }
}

fn in_place(source: Client, interval: Duration) -> Outcome {
    let signals: SigSet = ENDING.into_iter().chain([Signal::SIGWINCH, Signal::SIGCONT]).collect();
    // Before there is another thread: it inherits what is blocked.
    if let Err(errno) = signals.thread_block() {
        return failed(errno);
    }
    let (sender, events) = mpsc::channel();
    let source = Arc::new(source);
    let ask = |sender: mpsc::Sender<Event>| {
        let source = source.clone();
        std::thread::Builder::new()
            .name("ask".to_owned())
            .spawn(move || drop(sender.send(Event::Seen(Box::new(source.sight())))))
            .map(drop)
    };
    let heard = sender.clone();
    let listener = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if heard.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    });
    if let Err(error) = listener {
        return unprinted(&error);
    }
    let _quiet = Quiet::begin();
    let mut view = View::default();
    let mut due = Some(clock::now());
    // A window that is drawn larger changes its size many times.
    let mut settles = clock::now();
    loop {
        if due.is_some_and(|due| due <= clock::now()) {
            due = None;
            if let Err(error) = ask(sender.clone()) {
                return unprinted(&error);
            }
        }
        // Ages grow while an answer is waited for.
        let wait = due.map_or(Duration::from_secs(1), |due| due.since(clock::now()));
        let wait = if settles > clock::now() { wait.min(settles.since(clock::now())) } else { wait };
        match events.recv_timeout(wait) {
            Ok(Event::Seen(seen)) => {
                view.take(*seen);
                due = Some(clock::now() + interval);
            }
            Ok(Event::Signal(Signal::SIGCONT)) => {
                Quiet::again();
                view.screen.forget();
            }
            Ok(Event::Signal(Signal::SIGWINCH)) => settles = clock::now() + SETTLED,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Signal(_)) | Err(RecvTimeoutError::Disconnected) => return Outcome::Done,
        }
        if settles <= clock::now()
            && let Err(error) = output::print(&view.paint())
        {
            return unprinted(&error);
        }
    }
}

/// Without a change of its size for so long, a terminal has the size that somebody wanted.
const SETTLED: Duration = Duration::from_millis(300);

/// Signals that end it, quietly.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

fn failed(errno: Errno) -> Outcome {
    unprinted(&errno.into())
}

#[derive(Default)]
struct View {
    screen: Screen,
    seen: Option<(Moment, Sight)>,
    /// Why it could not be looked again since.
    problem: Option<String>,
}

impl View {
    fn take(&mut self, seen: Result<Sight, Error>) {
        match seen {
            Ok(sight) => {
                self.seen = Some((clock::now(), sight));
                self.problem = None;
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    /// What to write to the terminal.
    fn paint(&mut self) -> String {
        let mut text = String::new();
        if let Some(problem) = &self.problem {
            let problem: String = problem.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
            text += &format!("UNKNOWN: {problem}\n");
            if let Some((at, _)) = &self.seen {
                text += &format!("As it was {} ago:\n", in_words(whole_seconds(clock::now().since(*at))));
            }
        }
        if let Some((_, sight)) = &self.seen {
            text += &render_status(sight, Format::Table, clock::wall());
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        self.screen.paint(&lines, size())
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn size() -> Size {
    terminal_size::terminal_size_of(io::stdout()).map_or(USUAL, |(columns, rows)| match (columns.0, rows.0) {
        (0, _) | (_, 0) => USUAL,
        (columns, rows) => Size { columns: columns.into(), rows: rows.into() },
    })
}

/// What is typed is not shown, for as long as it lives.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let before = termios::tcgetattr(io::stdin().as_fd()).ok();
        Self::again();
        Self(before)
    }

    fn again() {
        if let Ok(mut modes) = termios::tcgetattr(io::stdin().as_fd()) {
            modes.local_flags.remove(LocalFlags::ECHO);
            let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &modes);
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // What was typed meanwhile was for nobody.
            let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, before);
        }
    }
}
