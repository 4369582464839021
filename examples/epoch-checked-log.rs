//! A coordinator's log on the shared volume that nobody but the holder of the highest epoch can add to.
//!
//!     PRIMACY_EPOCH=7 epoch-checked-log DIRECTORY     appends what it reads, line by line; says "ok N" or ends with 3
//!     epoch-checked-log DIRECTORY --read              prints the log
//!
//! The lock keeps a second coordinator from being *started*. It does not reach a write of the former one that was under way
//! when its host froze. A coordinator that uses its epoch as a fencing token needs nobody to keep such writes from
//! arriving: they arrive, and do not count. Two rules are enough, and neither needs an atomic compare-and-write, which a
//! file system does not have:
//!
//! 1. **Every epoch writes into a file of its own**, `EPOCH.log`. Whoever takes over first raises the epoch in the file
//!    `current`, and only then notes in `EPOCH.head` how long its predecessor's log is at that moment. What is behind that
//!    length, or in the log of an epoch that nobody names as a predecessor, was written too late: nobody ever reads it.
//! 2. **A line is acknowledged only if `current` is still one's own number after the line was synced.** Whoever raises it
//!    afterwards looks at the length afterwards, too, so the line is in it. Nothing acknowledged is lost.
//!
//! `current` is overwritten in place and opened anew for each look: on NFS it is the open that asks the server. A look at
//! the directory, or through a descriptor that is kept open, may be answered from the cache.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The coordinator must end: somebody with a higher epoch has taken over.
const OVERTAKEN: u8 = 3;

struct Log {
    directory: PathBuf,
    epoch: u64,
    file: File,
    lines: u64,
}

enum Trouble {
    /// The epoch that stands.
    Overtaken(u64),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Log {
    /// Takes the log over under this epoch.
    fn take_over(directory: &Path, epoch: u64) -> Result<Self, Trouble> {
        let (stands, its_predecessor) = current(directory)?;
        if stands > epoch {
            return Err(Trouble::Overtaken(stands));
        }
        // Who died before it had its head has written nothing, and its predecessor is ours.
        let former = if stands < epoch && head(directory, stands).exists() { stands } else { its_predecessor };
        if stands < epoch {
            let path = directory.join("current");
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            // In one write, and always of the same length: it is never half of a number.
            file.write_all(format!("{epoch:020} {former:020}\n").as_bytes())?;
            file.sync_all()?;
        }
        if !head(directory, epoch).exists() {
            // Only after `current` was raised: rule 2.
            let length = whole_lines(&log(directory, former))?;
            let unfinished = directory.join(format!("{epoch}.head.new"));
            let mut file = File::create(&unfinished)?;
            file.write_all(format!("{former} {length}\n").as_bytes())?;
            file.sync_all()?;
            std::fs::rename(unfinished, head(directory, epoch))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(log(directory, epoch))?;
        // What a crash of this very epoch has left of a line.
        file.set_len(whole_lines(&log(directory, epoch))?)?;
        File::open(directory)?.sync_all()?;
        let log = Self { directory: directory.to_owned(), epoch, file, lines: 0 };
        log.check()?;
        Ok(log)
    }

    /// Whether this epoch still stands.
    fn check(&self) -> Result<(), Trouble> {
        match current(&self.directory)? {
            (stands, _) if stands == self.epoch => Ok(()),
            (stands, _) => Err(Trouble::Overtaken(stands)),
        }
    }

    fn append(&mut self, line: &str) -> Result<u64, Trouble> {
        // Spares a write that would not count; it is the check behind the sync that matters.
        self.check()?;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()?;
        self.check()?;
        self.lines += 1;
        Ok(self.lines)
    }
}

fn log(directory: &Path, epoch: u64) -> PathBuf {
    directory.join(format!("{epoch}.log"))
}

fn head(directory: &Path, epoch: u64) -> PathBuf {
    directory.join(format!("{epoch}.head"))
}

/// The epoch that stands, and whose log its own one continues; 0 where there is none.
fn current(directory: &Path) -> io::Result<(u64, u64)> {
    let text = match std::fs::read_to_string(directory.join("current")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    two_numbers(&text)
}

fn two_numbers(text: &str) -> io::Result<(u64, u64)> {
    let numbers = text.trim().split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or_else(|| io::Error::other(format!("two numbers are expected, not {text:?}")))
}

/// How many bytes of it are lines to their end. A log that was never begun has none.
fn whole_lines(path: &Path) -> io::Result<u64> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut content)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1))
}

/// Everything that counts, oldest first.
fn read(directory: &Path) -> io::Result<Vec<u8>> {
    let mut parts = Vec::new();
    let (stands, its_predecessor) = current(directory)?;
    // One that is about to take over: what counts is the former's.
    let (mut epoch, mut length) = (if head(directory, stands).exists() { stands } else { its_predecessor }, u64::MAX);
    while epoch > 0 {
        let path = log(directory, epoch);
        let mut content = Vec::new();
        if let Ok(file) = File::open(&path) {
            file.take(length.min(whole_lines(&path)?)).read_to_end(&mut content)?;
        }
        parts.push(content);
        (epoch, length) = two_numbers(&std::fs::read_to_string(head(directory, epoch))?)?;
    }
    parts.reverse();
    Ok(parts.concat())
}

fn serve(directory: &Path, epoch: u64) -> Result<(), Trouble> {
    let mut log = Log::take_over(directory, epoch)?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout());
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let number = log.append(line.trim_end_matches('\n'))?;
        writeln!(output, "ok {number}")?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: epoch-checked-log DIRECTORY [--read]");
        return ExitCode::from(2);
    };
    if arguments.next().as_deref() == Some("--read") {
        return match read(&directory).and_then(|content| io::stdout().write_all(&content)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("epoch-checked-log: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let Some(epoch) = std::env::var("PRIMACY_EPOCH").ok().and_then(|epoch| epoch.parse().ok()).filter(|e| *e > 0)
    else {
        eprintln!("epoch-checked-log: PRIMACY_EPOCH is not set; it is run by primacy");
        return ExitCode::from(2);
    };
    match serve(&directory, epoch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Overtaken(stands)) => {
            eprintln!("epoch-checked-log: epoch {stands} stands, this is {epoch}: nothing is written any more");
            ExitCode::from(OVERTAKEN)
        }
        Err(Trouble::Io(error)) => {
            eprintln!("epoch-checked-log: {error}");
            ExitCode::FAILURE
        }
    }
}
