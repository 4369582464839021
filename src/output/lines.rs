//! A queue of lines, and the thread that writes them: its reader may hang, and nobody waits for that.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use super::log_line;

/// Bytes that wait at most: some two thousand lines.
pub(super) const CAPACITY: usize = 256 * 1024;

/// Of the thread's stack, in bytes.
const STACK: usize = 128 * 1024;

/// What a pipe that can be written to takes without waiting.
const PIPE_BUF: usize = 4096;

type Target = Box<dyn AsFd + Send + Sync>;

/// Lines on their way to a descriptor.
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    target: Target,
    capacity: usize,
    state: Mutex<State>,
    arrived: Condvar,
    settled: Condvar,
    /// Since the process began.
    dropped: AtomicU64,
}

/// So many lines, and what is said of them.
type Loss = (u64, Vec<u8>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Their length.
    bytes: usize,
    /// Lines lost since that was said last, all of them older than those that wait; and how the last write failed, if it
    /// was not the queue that was full.
    lost: u64,
    failure: Option<Errno>,
    /// There is a thread that writes.
    served: bool,
    writing: bool,
}

impl State {
    const fn has_nothing_to_do(&self) -> bool {
        self.bytes == 0 && !self.writing
    }

    /// The next to be written, after what is to be said of the lost ones.
    fn take(&mut self) -> Option<(Option<Loss>, Vec<u8>)> {
        let line = self.waiting.pop_front()?;
        self.bytes -= line.len();
        self.writing = true;
        let lost = std::mem::take(&mut self.lost);
        let failure = self.failure.take();
        Some(((lost > 0).then(|| (lost, log_line("WARN", &loss(lost, failure)))), line))
    }
}

fn loss(lost: u64, failure: Option<Errno>) -> String {
    let (lines, were) = if lost == 1 { ("line", "was") } else { ("lines", "were") };
    let why = failure.map_or(Cow::Borrowed("nobody read standard error"), |failure| {
        Cow::Owned(format!("standard error could not be written: {}", failure.desc()))
    });
    format!("{lost} log {lines} {were} dropped: {why}")
}

impl Lines {
    pub(super) fn new(target: Target, capacity: usize) -> Self {
        Self(Arc::new(Shared {
            target,
            capacity,
            state: Mutex::default(),
            arrived: Condvar::new(),
            settled: Condvar::new(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Never waits for the target. An empty line is none.
    /// How many could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, line: Vec<u8>) {
        if line.is_empty() {
            return;
        }
        let shared = &self.0;
        let mut state = shared.lock();
        state.bytes += line.len();
        state.waiting.push_back(line);
        // However long the newest is, it is kept.
        while state.bytes > shared.capacity && state.waiting.len() > 1 {
            let Some(oldest) = state.waiting.pop_front() else { break };
            state.bytes -= oldest.len();
            state.lost += 1;
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.serve(&mut state);
        drop(state);
        shared.arrived.notify_one();
    }

    /// Sees to it that somebody writes. Who cannot be had is asked for again with the next line.
    fn serve(&self, state: &mut State) {
        if !state.served {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(STACK);
            state.served = thread.spawn(move || shared.write_for_ever()).is_ok();
        }
    }

    /// Waits until everything is written, `limit` at most.
    pub(super) fn settle(&self, limit: Duration) {
        let mut state = self.0.lock();
        if state.has_nothing_to_do() {
            return;
        }
        self.serve(&mut state);
        if state.served {
            let waits = |state: &mut State| state.served && !state.has_nothing_to_do();
            drop(self.0.settled.wait_timeout_while(state, limit, waits));
        } else {
            drop(state);
            self.0.write_what_is_taken_at_once();
        }
    }
}

impl Shared {
    /// Nothing that is done under this lock waits or panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_for_ever(&self) {
        let _served = Served(self);
        // Whatever the process does about signals, it does elsewhere.
        let _ = SigSet::all().thread_block();
        let mut broken = false;
        loop {
            let mut state = self.lock();
            let (loss, line) = loop {
                match state.take() {
                    Some(next) => break next,
                    None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            let unsaid =
                loss.and_then(|(lost, text)| self.write(&text, &mut broken).err().map(|failure| (lost, failure)));
            let unwritten = self.write(&line, &mut broken).err().map(|failure| (1, failure));
            self.dropped.fetch_add(u64::from(unwritten.is_some()), Ordering::Relaxed);
            let mut state = self.lock();
            for (lost, failure) in unsaid.into_iter().chain(unwritten) {
                state.lost += lost;
                state.failure = Some(failure);
            }
            state.writing = false;
            if state.bytes == 0 {
                self.settled.notify_all();
            }
        }
    }

    /// Waits for as long as the target does. `broken`: the last write ended within a line.
    fn write(&self, line: &[u8], broken: &mut bool) -> nix::Result<()> {
        let whole = if *broken { Cow::Owned([b"\n", line].concat()) } else { Cow::Borrowed(line) };
        let mut left = &whole[..];
        while !left.is_empty() {
            match nix::unistd::write(&self.target, left) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => {
                    left = &left[count..];
                    *broken = !left.is_empty();
                }
                Err(Errno::EINTR) => {}
                // Whoever shares the descriptor made it non-blocking.
                Err(Errno::EAGAIN) => drop(self.becomes_writable(PollTimeout::NONE)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn becomes_writable(&self, timeout: PollTimeout) -> bool {
        let mut polled = [PollFd::new(self.target.as_fd(), PollFlags::POLLOUT)];
        poll(&mut polled, timeout).is_ok_and(|ready| ready > 0)
    }

    /// Without a thread, at the end of the process.
    fn write_what_is_taken_at_once(&self) {
        let mut state = self.lock();
        while let Some((loss, line)) = state.take() {
            let text = [loss.map(|(_, text)| text).unwrap_or_default(), line].concat();
            for part in text.chunks(PIPE_BUF) {
                if !self.becomes_writable(PollTimeout::ZERO) || nix::unistd::write(&self.target, part).is_err() {
                    return;
                }
            }
        }
    }
}

/// However the thread ends, the next line asks for another.
struct Served<'a>(&'a Shared);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.served = false;
        state.writing = false;
        drop(state);
        self.0.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use nix::fcntl::OFlag;
    use nix::unistd::{pipe, pipe2};

    use super::*;
    use crate::clock;

    /// Long enough for any machine.
    const LIMIT: Duration = Duration::from_secs(30);

    fn line(number: usize) -> Vec<u8> {
        format!("line {number:04} of a log that is read by somebody who comes late\n").into_bytes()
    }

    /// Lines whose target is a pipe, and the pipe's other end.
    fn piped(capacity: usize) -> (Lines, File) {
        let (reader, writer) = pipe().unwrap();
        (Lines::new(Box::new(writer), capacity), reader.into())
    }

    fn read_until(reader: &mut File, end: &str) -> String {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(end) {
            let count = reader.read(&mut buffer).unwrap();
            assert!(count > 0, "no {end:?} in {text:?}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        text
    }

    #[test]
    fn a_reader_that_hangs_costs_the_oldest_lines_and_is_told_how_many_once_it_reads() {
        let (lines, mut reader) = piped(1000);
        let count = 3000;
        // Far more than a pipe holds.
        (0..count).for_each(|number| lines.push(line(number)));
        let dropped = lines.0.dropped.load(Ordering::Relaxed);
        assert!(dropped > 0);
        let kept = count - usize::try_from(dropped).unwrap();
        let text = read_until(&mut reader, &format!("line {:04}", count - 1));
        // Once or more often: what was being written when lines were dropped has been written since.
        let said = text.lines().filter_map(|line| {
            let (_, said) = line.split_once("  WARN ")?;
            let said = said.strip_suffix(" dropped: nobody read standard error")?;
            said.strip_suffix(" log lines were").or_else(|| said.strip_suffix(" log line was"))?.parse::<u64>().ok()
        });
        assert_eq!(said.sum::<u64>(), dropped, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("line ")).count(), kept);
        lines.push(line(count));
        let text = read_until(&mut reader, &format!("line {count}"));
        assert!(!text.contains("dropped"), "said twice: {text}");
    }

    #[test]
    fn the_last_lines_are_waited_for_while_somebody_reads_and_only_for_a_moment_while_nobody_does() {
        let (lines, mut reader) = piped(1 << 20);
        (0..3000).for_each(|number| lines.push(line(number)));
        let began = clock::now();
        lines.settle(Duration::from_millis(50));
        assert!(clock::now().since(began) < LIMIT, "nobody reads");
        let reads = std::thread::spawn(move || {
            read_until(&mut reader, "line 2999");
        });
        lines.settle(LIMIT);
        assert!(lines.0.lock().has_nothing_to_do());
        reads.join().unwrap();
    }

    #[test]
    fn a_full_disk_costs_lines_and_no_more() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let lines = Lines::new(Box::new(full), CAPACITY);
        (0..3).for_each(|number| lines.push(line(number)));
        lines.settle(LIMIT);
        let state = lines.0.lock();
        assert_eq!((state.lost, state.failure), (3, Some(Errno::ENOSPC)));
        assert_eq!(lines.0.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(
            loss(state.lost, state.failure),
            "3 log lines were dropped: standard error could not be written: No space left on device"
        );
    }

    #[test]
    fn a_reader_that_has_gone_costs_lines_and_no_more() {
        let (lines, reader) = piped(CAPACITY);
        drop(reader);
        lines.push(line(0));
        lines.settle(LIMIT);
        assert_eq!(lines.0.lock().failure, Some(Errno::EPIPE));
    }

    #[test]
    fn a_descriptor_that_somebody_made_non_blocking_is_waited_for() {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK).unwrap();
        let lines = Lines::new(Box::new(writer), 1 << 20);
        (0..3000).for_each(|number| lines.push(line(number)));
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let text = read_until(&mut OwnedFd::into(reader), "line 2999");
        assert_eq!(text.matches("line ").count(), 3000);
        assert_eq!(lines.0.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_thread_the_end_of_the_process_writes_what_is_taken_at_once() {
        let (lines, mut reader) = piped(1 << 20);
        let mut state = lines.0.lock();
        for number in 0..3000 {
            state.bytes += line(number).len();
            state.waiting.push_back(line(number));
        }
        drop(state);
        lines.0.write_what_is_taken_at_once();
        drop(lines);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("line 0000") && text.len() > 32 * 1024, "{}", text.len());
    }

    #[test]
    fn a_line_of_its_own_follows_one_that_broke_off() {
        let (lines, mut reader) = piped(CAPACITY);
        let mut broken = true;
        lines.0.write(&line(7), &mut broken).unwrap();
        assert!(!broken);
        assert!(read_until(&mut reader, "0007").starts_with("\nline 0007"));
    }
}
