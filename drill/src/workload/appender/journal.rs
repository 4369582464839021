//! The journal on the shared volume: a line per record, appended, never rewritten.
//!
//! `m EPOCH NODE PID SEQUENCE NS CRC` is a mark (about every 5 ms: who writes here?), `i EPOCH NODE PID SEQUENCE NS OP CRC`
//! an increment. CRC is the CRC-32 of what stands before it, in eight hex digits.
//!
//! A killed writer, or a full volume, leaves a torn last line. Whoever opens the journal next ends it with a newline before
//! the first record of its own; nothing is cut off, for what an earlier coordinator wrote is evidence. A reader takes a
//! line as a record only if its checksum agrees. A torn line between two records of the *same* process is explained by
//! nothing that a drill does, and is reported.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::history::{JournalRun, Metadata};

/// No record, torn or not, comes near it: what has a longer line is no journal, and must not fill the memory.
const LONGEST_LINE: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    pub epoch: u64,
    pub node: &'a str,
    pub pid: u32,
    pub sequence: u64,
    /// Nanoseconds on CLOCK_MONOTONIC, read before the record was written.
    pub at: u64,
    /// None: a mark.
    pub op: Option<&'a str>,
}

impl<'a> Record<'a> {
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let Self { epoch, node, pid, sequence, at, op } = self;
        let body = match op {
            Some(op) => format!("i {epoch} {node} {pid} {sequence} {at} {op} "),
            None => format!("m {epoch} {node} {pid} {sequence} {at} "),
        };
        buffer.extend_from_slice(body.as_bytes());
        buffer.extend_from_slice(format!("{:08x}\n", crc32fast::hash(body.as_bytes())).as_bytes());
    }

    /// A line, without its newline.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = body(line)?.split_ascii_whitespace();
        let kind = fields.next()?;
        let (epoch, node) = (fields.next()?.parse().ok()?, fields.next()?);
        let (pid, sequence) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let at = fields.next()?.parse().ok()?;
        let op = match kind {
            "m" => None,
            "i" => Some(fields.next()?),
            _ => return None,
        };
        fields.next().is_none().then_some(Self { epoch, node, pid, sequence, at, op })
    }
}

/// What stands before the checksum, if that agrees.
fn body(line: &[u8]) -> Option<&str> {
    let (body, checksum) = line.split_at_checked(line.len().checked_sub(8)?)?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    (checksum == crc32fast::hash(body)).then(|| std::str::from_utf8(body).ok()).flatten()
}

/// An op's id as it may stand in the journal.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens or creates it. Also answers the ids of all increments in it, which are durable by then.
    pub fn open(path: &Path) -> io::Result<(Self, HashSet<String>)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
        let applied = replay(&file)?;
        if is_torn(&mut file)? {
            file.write_all(b"\n")?;
        }
        // A predecessor may have died between its write and its sync: "already" must not be said of what can be lost.
        file.sync_all()?;
        Ok((Self { file }, applied))
    }

    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all(records)
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Every fail-over waits for this, so it takes no more of a line apart than it needs: of marks, which are most of the
/// file, nothing, and of increments the last word before the checksum.
fn replay(file: &File) -> io::Result<HashSet<String>> {
    let mut applied = HashSet::new();
    for_each_line(file, |line, _| {
        if line.first() == Some(&b'i')
            && let Some((_, op)) = body(line).and_then(|body| body.strip_suffix(' ')?.rsplit_once(' '))
        {
            applied.insert(op.to_owned());
        }
    })?;
    Ok(applied)
}

fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn for_each_line(file: &File, mut each: impl FnMut(&[u8], u64)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut offset) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == LONGEST_LINE {
            return Err(io::Error::other("a line without an end: this is no journal"));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        each(&line, offset);
        offset += read as u64;
    }
}

/// What a journal holds at the end of a drill.
#[derive(Debug, Default)]
pub struct Examined {
    pub metadata: Metadata,
    /// Torn lines in all, and a sentence for each that the end of a process does not explain.
    pub torn: u64,
    pub suspicious: Vec<String>,
}

pub fn examine(path: &Path) -> Result<Examined> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut examined = Examined::default();
    let mut torn_at: Option<u64> = None;
    for_each_line(&file, |line, offset| {
        let Some(record) = Record::parse(line) else {
            if !line.is_empty() {
                examined.torn += 1;
                torn_at = Some(offset);
            }
            return;
        };
        let runs = &mut examined.metadata.journal;
        let same = |run: &JournalRun| run.epoch == record.epoch && run.node == record.node && run.pid == record.pid;
        if let Some(torn) = torn_at.take()
            && runs.last().is_some_and(same)
        {
            examined.suspicious.push(format!(
                "the journal's line at byte {torn} is torn, between two records of {} (pid {}, epoch {})",
                record.node, record.pid, record.epoch
            ));
        }
        match runs.last_mut() {
            Some(run) if same(run) && run.last_sequence + 1 == record.sequence => {
                run.last_sequence = record.sequence;
                run.end = record.at;
            }
            _ => runs.push(JournalRun {
                epoch: record.epoch,
                node: record.node.to_owned(),
                pid: record.pid,
                first_sequence: record.sequence,
                last_sequence: record.sequence,
                begin: record.at,
                end: record.at,
            }),
        }
        if let Some(op) = record.op {
            examined.metadata.applied.push(op.to_owned());
        }
    })
    .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(examined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, sequence: u64, op: Option<&str>) -> Vec<u8> {
        let mut line = Vec::new();
        Record { epoch, node: "node-a", pid: 7, sequence, at: epoch * 100 + sequence, op }.write(&mut line);
        line
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_changed_one_is_none() {
        for op in [None, Some("c-0-1")] {
            let mut line = record(3, 9, op);
            assert_eq!(line.pop(), Some(b'\n'));
            let expected = Record { epoch: 3, node: "node-a", pid: 7, sequence: 9, at: 309, op };
            assert_eq!(Record::parse(&line), Some(expected));
            for index in 0..line.len() {
                let mut changed = line.clone();
                changed[index] ^= 1;
                assert_eq!(Record::parse(&changed), None, "byte {index}");
                assert_eq!(Record::parse(&line[..index]), None, "cut at {index}");
            }
        }
    }

    #[test]
    fn what_follows_a_torn_line_is_not_lost_and_the_torn_increment_was_never_applied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let torn = record(1, 3, Some("c-2"));
        let written = [record(1, 1, None), record(1, 2, Some("c-1")), torn[..torn.len() / 2].to_vec()].concat();
        std::fs::write(&path, written).unwrap();

        let (mut journal, applied) = Journal::open(&path).unwrap();
        assert_eq!(applied, HashSet::from(["c-1".to_owned()]));
        journal.append(&record(2, 1, Some("c-2"))).unwrap();
        drop(journal);
        // A newline that is there is not written twice, and an increment without its newline is one all the same.
        let last = record(3, 1, Some("c-3"));
        Journal::open(&path).unwrap().0.append(&last[..last.len() - 1]).unwrap();
        let (_, applied) = Journal::open(&path).unwrap();
        assert_eq!(applied.len(), 3);

        let examined = examine(&path).unwrap();
        assert_eq!(examined.metadata.applied, ["c-1", "c-2", "c-3"]);
        let epochs: Vec<_> =
            examined.metadata.journal.iter().map(|run| (run.epoch, run.first_sequence, run.last_sequence)).collect();
        assert_eq!(epochs, [(1, 1, 2), (2, 1, 1), (3, 1, 1)]);
        assert_eq!((examined.torn, examined.suspicious.len()), (1, 0));
    }

    #[test]
    fn a_hole_a_return_and_a_tear_within_one_process_show() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let lines =
            [record(1, 1, None), record(1, 2, None), record(2, 1, None), record(1, 3, None), record(1, 5, None)];
        std::fs::write(&path, [lines.concat(), b"\0\0\0\n".to_vec(), record(1, 6, Some("x"))].concat()).unwrap();
        let examined = examine(&path).unwrap();
        let runs: Vec<_> =
            examined.metadata.journal.iter().map(|run| (run.epoch, run.first_sequence, run.last_sequence)).collect();
        assert_eq!(runs, [(1, 1, 2), (2, 1, 1), (1, 3, 3), (1, 5, 6)]);
        assert_eq!(examined.suspicious.len(), 1);
    }

    #[test]
    fn what_has_lines_without_an_end_is_no_journal() {
        let error = Journal::open(Path::new("/dev/zero")).err().unwrap();
        assert!(error.to_string().contains("no journal"), "{error}");
    }

    #[test]
    fn an_id_is_what_can_stand_in_a_line() {
        assert!(is_id("c-0_1.2"));
        for bad in ["", "a b", "a\n", "ü", &"x".repeat(65)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }
}
