//! The flight recorder: what a process of primacy heard, ordered and did, with the boot clock.
//!
//! # Theory of operation
//! Supervisor and guardian record each for itself, for each may be killed alone. A recording is a folder of segments, files of
//! JSON lines ([`header`], [`crate::recording`]). A segment begins with all that the process knows, so each can be replayed without the others,
//! and the oldest can go.
//!
//! Whoever records never waits: lines are gathered in memory and handed to a thread of their own ([`writer`]), which may hang
//! on a disk for as long as that likes. What it has not taken when its queue is full is lost, and so are the lines after it, until
//! another segment can begin: a recording has ends, never holes. Lines of the daily round (heartbeats, probes of the
//! volume, pings) may wait for up to [`LATEST`], so that an idle cluster is not woken for its record; all else is handed over
//! at once. What a kill takes away is at most that.
//!
//! Rejected: a file that is mapped into memory. It needs no thread, but a page that is being written back makes its writer
//! wait, and that would be the loop that keeps a lease.

pub mod header;
pub mod segments;
pub mod settings;
mod writer;

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::host;
use crate::moment::Moment;

use self::header::{Header, Part};
use self::settings::Settings;
use self::writer::Writer;

/// How long a line of the daily round may wait before it is handed to the writer.
const LATEST: Duration = Duration::from_secs(2);
/// Gathered bytes that are handed over whatever they are.
const ENOUGH: usize = 16 * 1024;
/// Until the next try after a failure.
const AGAIN: Duration = Duration::from_secs(60);

/// One process's recorder.
pub struct Recorder {
    part: Part,
    running: Option<Running>,
}

struct Running {
    settings: Settings,
    writer: Writer,
    gathered: Vec<u8>,
    /// When the oldest gathered line was said.
    since: Option<Moment>,
    /// One of the gathered lines is not of the daily round.
    urgent: bool,
    /// Bytes of the segment under way; `None`: another one must begin before anything can be recorded.
    segment: Option<u64>,
    /// When to try that, after a failure.
    again: Option<Moment>,
}

impl Recorder {
    /// Records nothing.
    pub const fn off(part: Part) -> Self {
        Self { part, running: None }
    }

    /// Records as the settings ask for. Without a thread for it nothing is recorded.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(part: Part, settings: Settings) -> std::io::Result<Self> {
        let writer = Writer::start(settings.clone())?;
        let running =
            Running { settings, writer, gathered: Vec::new(), since: None, urgent: false, segment: None, again: None };
        Ok(Self { part, running: Some(running) })
    }

    /// Whether [`Recorder::begin`] is to be called before anything is recorded.
    pub fn wants_beginning(&mut self, now: Moment) -> bool {
        let Some(running) = &mut self.running else { return false };
        if running.writer.takes_failure() {
            running.lose(now);
        }
        match running.segment {
            Some(bytes) => bytes >= segments::size(running.settings.limit),
            None => running.again.is_none_or(|again| again <= now),
        }
    }

    /// Begins a segment: `state` is all that this process knows.
    pub fn begin<S: Serialize>(&mut self, now: Moment, wall: SystemTime, state: &S) {
        let Some(running) = &mut self.running else { return };
        running.hand_over(now);
        let header = Header::new(self.part, &running.settings, &host::boot_id(), now, wall, state);
        let name = segments::name(self.part, &header.boot, now, header.pid);
        let Ok(mut line) = serde_json::to_vec(&header) else { return running.lose(now) };
        line.push(b'\n');
        running.again = None;
        running.segment = Some(line.len() as u64);
        if !running.writer.begin(name, line) {
            running.lose(now);
        }
    }

    /// Whether a line would be recorded: else it need not be made.
    pub fn records(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.segment.is_some())
    }

    /// Records a line. `routine`: it belongs to the daily round, and may wait.
    pub fn line<L: Serialize>(&mut self, now: Moment, line: &L, routine: bool) {
        let Some(running) = self.running.as_mut().filter(|running| running.segment.is_some()) else { return };
        let before = running.gathered.len();
        if serde_json::to_writer(&mut running.gathered, line).is_err() {
            running.gathered.truncate(before);
            return running.lose(now);
        }
        running.gathered.push(b'\n');
        running.segment = running.segment.map(|bytes| bytes + (running.gathered.len() - before) as u64);
        running.since.get_or_insert(now);
        running.urgent |= !routine;
    }

    /// Hands over what was gathered, if it is due.
    pub fn settle(&mut self, now: Moment) {
        let Some(running) = &mut self.running else { return };
        let late = running.since.is_some_and(|since| since + LATEST <= now);
        if running.urgent || late || running.gathered.len() >= ENOUGH {
            running.hand_over(now);
        }
    }

    /// Why nothing could be written; said once.
    pub fn problem(&mut self) -> Option<String> {
        self.running.as_mut()?.writer.problem()
    }

    /// Hands over what was gathered, and waits until it is written, for no longer than `limit`.
    pub fn finish(&mut self, now: Moment, limit: Duration) {
        if let Some(running) = &mut self.running {
            running.hand_over(now);
            running.writer.finish(limit);
        }
    }
}

impl Running {
    fn hand_over(&mut self, now: Moment) {
        self.since = None;
        self.urgent = false;
        if !self.gathered.is_empty() && !self.writer.lines(std::mem::take(&mut self.gathered)) {
            self.lose(now);
        }
    }

    /// What follows would be a hole: nothing is recorded before another segment begins.
    fn lose(&mut self, now: Moment) {
        self.gathered.clear();
        self.since = None;
        self.urgent = false;
        self.segment = None;
        self.again = Some(now + AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(1_000_000 + millis)
    }

    fn settings(directory: &Path, limit: u64) -> Settings {
        Settings { directory: directory.to_owned(), limit, cluster: "c".to_owned(), node: "a".to_owned() }
    }

    fn files(settings: &Settings) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(settings.folder())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn lines_of_the_daily_round_wait_a_little_and_all_others_are_written_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path(), 1 << 20);
        let mut recorder = Recorder::start(Part::Guardian, settings.clone()).unwrap();
        assert!(recorder.wants_beginning(at(0)) && !recorder.records());
        recorder.begin(at(0), UNIX_EPOCH, &"all that is known");
        assert!(!recorder.wants_beginning(at(0)) && recorder.records());
        let lines = |recorder: &mut Recorder| {
            recorder.running.as_ref().unwrap().writer.finish(WAIT);
            files(&settings)[0].1.lines().count()
        };
        recorder.line(at(1), &"heartbeat", true);
        recorder.settle(at(1));
        assert_eq!(lines(&mut recorder), 1);
        recorder.line(at(500), &"killed", false);
        recorder.settle(at(500));
        assert_eq!(lines(&mut recorder), 3);
        recorder.line(at(600), &"heartbeat", true);
        recorder.settle(at(2600));
        assert_eq!(lines(&mut recorder), 4);
        recorder.line(at(2700), &"heartbeat", true);
        recorder.finish(at(2700), WAIT);
        assert_eq!(lines(&mut recorder), 5);
        let folder = settings.folder();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let file = folder.join(&files(&settings)[0].0);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_recording_stays_within_its_limit_and_the_oldest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path(), 64 * 1024);
        let mut recorder = Recorder::start(Part::Supervisor, settings.clone()).unwrap();
        let line = "x".repeat(1000);
        for number in 0..1000 {
            if recorder.wants_beginning(at(number)) {
                recorder.begin(at(number), UNIX_EPOCH, &number);
            }
            recorder.line(at(number), &line, false);
            recorder.settle(at(number));
            recorder.finish(at(number), WAIT);
        }
        let files = files(&settings);
        let total: usize = files.iter().map(|(_, text)| text.len()).sum();
        assert!(total <= 64 * 1024 + 2048, "{total}");
        assert!(files.len() > 8, "{}", files.len());
        let last = &files.last().unwrap().1;
        assert!(last.lines().next().unwrap().contains("\"state\":99"), "{}", last.lines().next().unwrap());
    }

    #[test]
    fn a_disk_that_hangs_is_told_and_waited_for_by_nobody() {
        let settings = settings(Path::new("/nowhere"), 1 << 20);
        let mut recorder = Recorder::start(Part::Guardian, settings).unwrap();
        let (hanging, _messages) = Writer::hanging();
        recorder.running.as_mut().unwrap().writer = hanging;
        recorder.begin(at(0), UNIX_EPOCH, &());
        let mut told = Vec::new();
        for number in 0..1000 {
            recorder.line(at(number), &"killed", false);
            recorder.settle(at(number));
            told.extend(recorder.problem());
        }
        assert_eq!(told, ["the disk does not take what is to be recorded"]);
        assert!(!recorder.records());
    }

    #[test]
    fn one_that_cannot_write_says_so_once_and_goes_on_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("c");
        fs::write(&blocked, "a file in the place of the folder").unwrap();
        let settings = settings(directory.path(), 1 << 20);
        let mut recorder = Recorder::start(Part::Supervisor, settings.clone()).unwrap();
        let mut problems = Vec::new();
        for round in 0..3 {
            let now = at(round * 60_000);
            assert!(recorder.wants_beginning(now), "{round}");
            recorder.begin(now, UNIX_EPOCH, &());
            recorder.line(now, &"lost", false);
            recorder.finish(now, WAIT);
            assert!(!recorder.wants_beginning(now) && !recorder.records());
            problems.extend(recorder.problem());
        }
        assert_eq!(problems.len(), 1, "{problems:?}");
        fs::remove_file(&blocked).unwrap();
        assert!(!recorder.wants_beginning(at(179_999)));
        assert!(recorder.wants_beginning(at(180_000)));
        recorder.begin(at(180_000), UNIX_EPOCH, &());
        recorder.line(at(180_000), &"kept", false);
        recorder.finish(at(180_000), WAIT);
        let files = files(&settings);
        assert_eq!(files.len(), 1);
        assert!(files[0].1.ends_with("\"kept\"\n") && !files[0].1.contains("lost"), "{}", files[0].1);
    }
}
