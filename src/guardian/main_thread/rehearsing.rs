//! Faults that are made on purpose. A guardian thaws whom it froze, whatever happens to the leadership meanwhile.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

use super::MainThread;
use crate::clock;
use crate::guardian::protocol::{NoteLevel, Rehearsed};
use crate::moment::Moment;

impl MainThread {
    pub(super) fn rehearse(&mut self, fault: Rehearsed, now: Moment) {
        match fault {
            Rehearsed::KillCoordinator => {
                // A child of this process, or of its subreaper: the number is nobody else's before it is reaped.
                if let Some(main) = self.tree.main() {
                    let _ = kill(Pid::from_raw(main), Signal::SIGKILL);
                }
            }
            Rehearsed::KillSupervisor => self.signal_supervisor(Signal::SIGKILL),
            Rehearsed::FreezeSupervisor { thaw } => {
                self.thaw = Some(now + thaw);
                self.signal_supervisor(Signal::SIGSTOP);
            }
        }
    }

    /// Thaws the supervisor once it is time to.
    pub(super) fn thaw_if_due(&mut self, now: Moment) {
        if self.thaw.is_some_and(|at| at <= now) {
            self.thaw();
        }
    }

    /// At the end of this process, when nothing else is left to do.
    pub(super) fn wait_for_the_thaw(&mut self) {
        if let Some(at) = self.thaw {
            std::thread::sleep(at.since(clock::now()));
            self.thaw();
        }
    }

    fn thaw(&mut self) {
        if self.thaw.take().is_some() {
            self.signal_supervisor(Signal::SIGCONT);
            self.note(NoteLevel::Info, "the rehearsed freeze is over".to_owned());
        }
    }

    /// Only while it is the parent of this process: its number may be another one's afterwards.
    fn signal_supervisor(&self, signal: Signal) {
        if getppid() == self.parent {
            let _ = kill(self.parent, signal);
        }
    }
}
