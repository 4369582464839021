//! The one place that writes to standard output and standard error.
//!
//! # Theory of operation
//! Standard error belongs to somebody else: a pipe whose reader hangs, a full disk, a file on a dead mount, a terminal that
//! was told to wait. A write to it may take for ever, or fail. So lines are left in a bounded queue, and a thread of its own
//! writes them. While that thread waits nobody else does: when the queue is full the oldest line goes, is counted, and the
//! first thing written afterwards says how many were lost. What is newest is kept, for it says why a process ends. At the
//! end of the process the queue has [`LAST_WORDS`] to be emptied.
//!
//! The thread is started by the first line. Where no thread can be had, lines wait for the next one that tries again, and at
//! the end whoever ends the process writes what the kernel takes without waiting.
//!
//! Rejected: `O_NONBLOCK`. It belongs to the open file, which the coordinator and a shell share, and it means nothing to a
//! file on a mount. Rejected: tracing-appender. It drops the newest lines, does not say so in the log, and panics where no
//! thread can be had.

mod kept;
mod lines;

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::kept::text as kept_lines;
use self::lines::{CAPACITY, Lines};
use crate::{clock, syscalls};

/// How long the end of the process waits for its last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The same for a process that must not live on.
const LAST_WORDS_OF_A_PANIC: Duration = Duration::from_millis(50);

static STDERR: LazyLock<Lines> = LazyLock::new(|| Lines::new(Box::new(io::stderr()), CAPACITY));

/// Whether log lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// To standard output. Waits for its reader, as commands do; never for one of the processes that guard something.
///
/// # Errors
/// Closed (`| head`), full, or otherwise not to be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A message for the user, to standard error.
pub fn complain(text: &str) {
    STDERR.push(format!("{text}\n").into_bytes());
}

/// How many lines could not be written.
pub fn dropped_lines() -> u64 {
    STDERR.dropped()
}

/// Log lines are JSON from here on.
pub fn use_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Waits for the last lines to be written, for a moment only. Before the end of the process.
pub fn settle() {
    STDERR.settle(LAST_WORDS);
}

/// Where log lines go.
#[derive(Clone, Copy, Debug)]
pub struct LogLines;

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        kept::keep(line);
        STDERR.push(line.to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What follows a panic of the thread that called [`take_over_panics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPanic {
    Unwind,
    /// The process ends at once, with 1. Unwinding would close sessions, sockets and locks in the order of their drops,
    /// beside a coordinator that lives: only the end of the whole process is an end that the other side knows how to take.
    EndAtOnce,
}

/// Shows panics as log lines: the standard library's hook writes to standard error, and waits for it.
pub fn take_over_panics(after: AfterPanic) {
    let caller = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        STDERR.push(log_line("ERROR", &description(panic)));
        if after == AfterPanic::EndAtOnce && std::thread::current().id() == caller {
            STDERR.settle(LAST_WORDS_OF_A_PANIC);
            syscalls::end_at_once(1);
        }
    }));
}

fn description(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let what = panic.payload_as_str().unwrap_or("something that is no text");
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let trace = std::backtrace::Backtrace::capture();
    let trace = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    let thread = thread.name().unwrap_or("a thread without a name");
    // A library that gets no thread or descriptor fails so, too, and says that.
    format!("defect: thread {thread} failed{place}: {what}{trace}")
}

/// As the log's other lines.
fn log_line(level: &str, text: &str) -> Vec<u8> {
    let at = clock::timestamp();
    if JSON.load(Ordering::Relaxed) {
        format!("{}\n", serde_json::json!({"timestamp": at, "level": level, "message": text})).into_bytes()
    } else {
        format!("{at} {level:>5} {text}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::OpenOptionsExt;

    use nix::unistd::pipe;

    use super::*;

    /// Runs one test of this program in a process of its own, in which [`within`] is true.
    fn on_its_own(test: &str, stderr: std::process::Stdio) -> std::process::Output {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(WITHIN, test);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(stderr);
        command.spawn().unwrap().wait_with_output().unwrap()
    }

    const WITHIN: &str = "PRIMACY_TEST_WITHIN";

    fn within(test: &str) -> bool {
        std::env::var(WITHIN).is_ok_and(|within| within == test)
    }

    struct Drops;

    impl Drop for Drops {
        fn drop(&mut self) {
            print("it was dropped\n").unwrap();
        }
    }

    #[test]
    fn a_panic_where_somebody_has_to_be_killed_is_told_and_ends_the_process_without_dropping_anything() {
        const TEST: &str = "output::tests::a_panic_where_somebody_has_to_be_killed_is_told_and_ends_the_process_without_dropping_anything";
        if within(TEST) {
            let _drops = Drops;
            take_over_panics(AfterPanic::EndAtOnce);
            let other = std::thread::Builder::new().name("other".to_owned()).spawn(|| panic!("of another thread"));
            other.unwrap().join().unwrap_err();
            panic!("of this thread");
        }
        let output = on_its_own(TEST, std::process::Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("defect: thread other failed at src/output.rs"), "{said}");
        assert!(said.contains("of another thread") && said.contains("of this thread"), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("it was dropped"));
        // Nobody reads.
        let (_reader, writer) = pipe().unwrap();
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut own = File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(own).unwrap();
        while own.write(b".").is_ok() {}
        assert_eq!(on_its_own(TEST, writer.into()).status.code(), Some(1));
    }
}
