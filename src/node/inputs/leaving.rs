//! What is left to be done once the machine has come to its end.

use std::time::Duration;

use crate::election::port as election;
use crate::guardian::protocol::{GuardianOrder, NoteLevel};
use crate::moment::Moment;
use crate::node::Node;
use crate::node::commands::LAST_NOTICE_TIMEOUT;
use crate::node::leaving::Leaving;
use crate::node::output::Output;
use crate::role::Exit;

/// How long the election backend may take to leave at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Node {
    /// Whether the machine has come to its end: it decides nothing more.
    pub(in crate::node) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    pub(in crate::node) fn begin_to_leave(&mut self, now: Moment, exit: Exit) {
        if !self.upgrading.leaves() {
            self.outputs.push_back(Output::Stopping);
        }
        self.leaving = Leaving::Notice { exit, by: now + LAST_NOTICE_TIMEOUT + CLOSE_TIMEOUT };
        if self.standby_is_news {
            // A guardian that has ended itself, or is about to, runs nothing any more; who is ready does.
            if self.guardian.has_ended() {
                self.start_guardian(now);
            } else {
                self.notice_standby(LAST_NOTICE_TIMEOUT);
            }
        }
    }

    pub(in crate::node) fn leave_if_done(&mut self, now: Moment) {
        if let Leaving::Notice { exit, by } = self.leaving {
            let waits = (self.standby_is_news || self.commands.has_notice()) && !self.guardian.has_ended();
            if waits && now < by {
                return;
            }
            if waits {
                self.text(NoteLevel::Warn, "on_standby has not ended; it is killed".to_owned());
            }
            self.elect(election::ElectionOrder::Close);
            self.leaving = Leaving::Closing { exit, by: now + CLOSE_TIMEOUT };
        }
        match self.leaving {
            Leaving::Closed { exit } => {
                self.order(GuardianOrder::LastWill(None));
                self.end_process(exit);
                self.leaving = Leaving::Gone;
            }
            Leaving::Closing { exit, by } if by <= now => {
                let text = "the election backend did not close in time; its session ends by itself";
                self.text(NoteLevel::Warn, text.to_owned());
                self.end_process(exit);
                self.leaving = Leaving::Gone;
            }
            Leaving::No | Leaving::Notice { .. } | Leaving::Closing { .. } | Leaving::Gone => {}
        }
    }

    /// Only an end that the upgrade has ordered is one that another program goes on after.
    fn end_process(&mut self, exit: Exit) {
        let goes_on = self.upgrading.leaves() && exit == Exit::Stopped;
        self.outputs.push_back(if goes_on { Output::Execute } else { Output::Exit(exit) });
    }
}
