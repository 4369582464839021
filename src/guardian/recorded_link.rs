//! The guardian's end of its socketpair, and its flight recorder: what is heard and told there, and what is done.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use super::link::{Gone, Link};
use super::protocol::{GuardianOrder, Report};
use crate::recorder::header::Part;
use crate::recorder::{Recorder, settings};
use crate::recording::guardian::{Deed, Line, State, What};
use crate::{clock, redacted};

/// How long the end of the process waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(200);

pub struct RecordedLink {
    link: Link<Report, GuardianOrder>,
    recorder: Recorder,
}

impl RecordedLink {
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { link: Link::new(socket)?, recorder: Recorder::off(Part::Guardian) })
    }

    /// Records from here on. What keeps it from that its supervisor says, which has the same disk.
    pub fn record(&mut self, settings: Option<settings::Settings>) {
        if let Some(recorder) = settings.and_then(|settings| Recorder::start(Part::Guardian, settings).ok()) {
            self.recorder = recorder;
        }
    }

    /// Whether [`RecordedLink::begin`] is to be called before anything is recorded.
    pub fn wants_beginning(&mut self) -> bool {
        self.recorder.wants_beginning(clock::now())
    }

    /// Begins a segment.
    pub fn begin(&mut self, state: &State) {
        self.recorder.begin(clock::now(), clock::wall(), state);
    }

    pub fn heard(&mut self, order: &GuardianOrder) {
        if self.recorder.records() {
            self.line(What::Heard(redacted::order(order)));
        }
    }

    pub fn did(&mut self, deed: Deed) {
        self.line(What::Did(deed));
    }

    fn line(&mut self, what: What<'_>) {
        if self.recorder.records() {
            let now = clock::now();
            let routine = what.is_routine();
            self.recorder.line(now, &Line { at: now, what }, routine);
        }
    }

    /// As [`Link::send`].
    pub fn send(&mut self, report: &Report) {
        if self.recorder.records() {
            self.line(What::Reported(redacted::report(report)));
        }
        self.link.send(report);
    }

    /// As [`Link::send_if_read`]; it is not recorded.
    pub fn send_if_read(&mut self, report: &Report) {
        self.link.send_if_read(report);
    }

    /// As [`Link::pollable`].
    pub fn pollable(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.link.pollable()
    }

    /// As [`Link::flush`].
    pub fn flush(&mut self) {
        self.link.flush();
        self.recorder.settle(clock::now());
    }

    /// As [`Link::receive`].
    pub fn receive(&mut self) -> Result<Vec<GuardianOrder>, (Vec<GuardianOrder>, Gone)> {
        self.link.receive()
    }

    /// As [`Link::close`].
    pub fn close(&mut self) {
        self.link.close();
    }

    /// The process is about to end.
    pub fn finish(&mut self) {
        self.recorder.finish(clock::now(), LAST_LINES);
    }
}
