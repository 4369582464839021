//! To forget a node that will not come back.

use serde_json::json;

use super::orders::Answer;
use super::{Ensemble, Error};
use crate::intents::decide::Refusal;
use crate::zookeeper::contents::is_name;
use crate::zookeeper::known::Refused;

impl Ensemble {
    pub(super) fn forget_node(&self, node: &str) -> Result<Answer, Error> {
        if !is_name(node) {
            return Err(Error::Refused(Refusal::Malformed(format!("{node:?} is no name of a node"))));
        }
        let refusal = match self.forget(node)? {
            Ok(()) => return Ok(Answer { status: 200, body: json!({"changed": true}) }),
            Err(Refused::Unknown) => Refusal::Absent(format!("{node} is not known; `primacy status` shows who is")),
            Err(Refused::Registered) => {
                Refusal::Conflict(format!("{node} is here: it would be known again at once; stop its supervisor first"))
            }
            Err(Refused::MayLead) => Refusal::Conflict(format!(
                "{node} led last, and that its leadership has ended is not known: forget it once another node leads"
            )),
            Err(Refused::TakenOut) => Refusal::Conflict(format!(
                "{node} has been taken out by an operator, which is kept for it: `primacy activate {node}` first"
            )),
        };
        Err(Error::Refused(refusal))
    }
}
