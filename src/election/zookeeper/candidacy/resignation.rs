//! The end of a leadership, as its own node tells it.

use super::messages::{Answer, At, Leadership, Output, Request, RequestId, Say, Write};
use super::{After, Candidacy, Position, RETRY, json, short};
use crate::election::port::{ElectionOrder, Loss};
use crate::moment::Moment;
use crate::status::{Breadcrumb, End, HistoryEntry};

/// Gives the leadership up in one transaction, so the next one is let in by the very write that says how this one ended.
#[derive(Debug)]
pub struct Resigning {
    /// Begins with the check of the epoch; what cannot be written is left out.
    parts: Vec<Write>,
    /// Until when it is tried: then the session's end removes the election node, and the breadcrumb stays unclean.
    pub until: Moment,
    after: After,
    /// Somebody has deleted the election node already, or another leads.
    fell: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Writing(RequestId),
    Later(Moment),
}

impl Resigning {
    pub fn deadline(&self) -> Moment {
        match self.step {
            Step::Writing(_) => self.until,
            Step::Later(later) => self.until.min(later),
        }
    }
}

impl Candidacy {
    pub(super) fn resign(
        &mut self,
        at: At,
        leadership: Leadership,
        clean: bool,
        ended: Option<HistoryEntry>,
        after: After,
    ) -> Position {
        self.out(Output::Desist);
        let paths = &self.terms.paths;
        // Watches fire in the order of a transaction's parts, and the next candidate waits for the election node's.
        let mut parts = vec![
            Write::Check { path: paths.epoch.clone(), version: Some(leadership.epoch_version) },
            Write::Delete { path: leadership.node.clone() },
        ];
        // The supervisor gave up before it heard that the epoch was taken: it knows of no leadership that could have ended.
        let ended = ended.or_else(|| clean.then(|| ended_at_once(at, &leadership.breadcrumb))).map(short);
        if clean {
            let (cause, to) = ended.as_ref().map_or((None, None), |ended| (ended.cause.clone(), ended.to.clone()));
            let breadcrumb = Breadcrumb { clean, cause, to, ..leadership.breadcrumb };
            let version = Some(leadership.breadcrumb_version);
            parts.push(Write::Set { path: paths.active.clone(), data: json(&breadcrumb), version });
        }
        if let Some(ended) = ended {
            parts.push(Write::Set { path: paths.history_of(ended.epoch), data: json(&ended), version: None });
        }
        // Whoever was told of the loss waits for the session's end.
        let fell = !std::mem::take(&mut self.stood);
        let until = at.moment + self.grant.latest;
        self.write_resignation(Resigning { parts, until, after, fell, step: Step::Later(at.moment) })
    }

    /// Over the connection that there is; without one it is written over the next.
    pub(super) fn write_resignation(&mut self, mut resigning: Resigning) -> Position {
        if self.is_connected() {
            resigning.step = Step::Writing(self.ask(Request::Write(resigning.parts.clone())));
        }
        Position::Resigning(resigning)
    }

    pub(super) fn answer_to_resignation(
        &mut self,
        at: At,
        mut resigning: Resigning,
        id: RequestId,
        answer: Answer,
    ) -> Position {
        match (resigning.step, answer) {
            (Step::Writing(waited), Answer::Written(written)) if waited == id => match written {
                Ok(_) => self.resigned(&resigning, true),
                // Another leads.
                Err((Some(0), _)) => self.resigned(&resigning, false),
                Err((Some(index), _)) if index < resigning.parts.len() => {
                    resigning.parts.remove(index);
                    if resigning.parts.len() > 1 {
                        self.write_resignation(resigning)
                    } else {
                        self.resigned(&resigning, false)
                    }
                }
                Err(_) => {
                    resigning.step = Step::Later(at.moment + RETRY);
                    Position::Resigning(resigning)
                }
            },
            (Step::Writing(_) | Step::Later(_), _) => Position::Resigning(resigning),
        }
    }

    pub(super) fn keep_resigning(&mut self, at: At, resigning: Resigning) -> Position {
        match resigning.step {
            _ if resigning.until <= at.moment => {
                self.say(Say::ResignationUntold);
                self.resigned(&resigning, false)
            }
            Step::Later(later) if later <= at.moment => self.write_resignation(resigning),
            Step::Writing(_) | Step::Later(_) => Position::Resigning(resigning),
        }
    }

    /// `left`: nothing of the candidacy remains even while the session lives.
    pub(super) fn resigned(&mut self, resigning: &Resigning, left: bool) -> Position {
        self.end(resigning.after, left && !resigning.fell)
    }

    /// Reports a loss and keeps the session until the supervisor has let go: closing it would remove what is left of
    /// the own node, and so let the next one in, while the coordinator is still being killed.
    pub(super) fn fall(&mut self, loss: Loss, leadership: Option<Leadership>) -> Position {
        self.report_loss(loss);
        if leadership.is_some() {
            self.out(Output::Desist);
        }
        Position::Fallen(leadership)
    }

    /// A leadership's end is still noted, unless another has followed: that spares the next one the fencing.
    pub(super) fn order_to_fallen(&mut self, at: At, fallen: Option<Leadership>, order: ElectionOrder) -> Position {
        match (order, fallen) {
            (ElectionOrder::Resign { clean, ended }, Some(leadership)) => {
                self.wanted = false;
                self.resign(at, leadership, clean, ended, After::Resigned)
            }
            (ElectionOrder::Stand, _) => {
                self.wanted = true;
                self.end(After::Open, false)
            }
            (order, fallen) => {
                self.refuse_claim(&order);
                Position::Fallen(fallen)
            }
        }
    }
}

fn ended_at_once(at: At, breadcrumb: &Breadcrumb) -> HistoryEntry {
    HistoryEntry {
        to: Some(at.timestamp()),
        cause: Some(End::StartFailed.into()),
        detail: Some("given back as soon as it was taken".to_owned()),
        ..HistoryEntry::begun(breadcrumb.epoch, breadcrumb.node.clone(), breadcrumb.since.clone())
    }
}
