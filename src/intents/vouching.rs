//! A person's word that a former active is off: whether it may be given. What it is worth: [`Vouched`].

use super::decide::{Decision, Picture, Refusal, control_is};
use super::{Control, Vouched, Wish};
use crate::host::Sameness;

/// # Errors
/// Nobody waits for this word, or what is known contradicts it.
pub fn confirm_fenced(picture: &Picture, node: &str, wish: Wish) -> Result<Decision, Refusal> {
    let Some(last) = &picture.last else {
        return Err(Refusal::Absent(
            "no former active can be read in ZooKeeper: there is nobody to vouch for".to_owned(),
        ));
    };
    let (leader, epoch) = (&last.node, last.epoch);
    if leader != node {
        return Err(Refusal::Conflict(format!(
            "the last active was {leader} (epoch {epoch}): nobody waits for {node} to be fenced"
        )));
    }
    if last.clean {
        return Err(Refusal::Conflict(format!(
            "{node} ended in order (epoch {epoch}): nobody waits for it to be fenced"
        )));
    }
    let replaced = match (&last.host, &picture.last_host_today) {
        (Some(then), Some(today)) => then.compare(today) == Sameness::Another,
        (None, _) | (_, None) => false,
    };
    let here = picture.cluster.members.iter().map(|member| &member.row).find(|row| row.node == node);
    if let Some(row) = here.filter(|_| !replaced) {
        return Err(Refusal::Conflict(format!(
            "{node} is registered ({}), so it is not off; if it is, wait until its session is over. If it is not, it can \
             lead again without being fenced",
            row.status.as_str()
        )));
    }
    let host = last.host.clone();
    if picture.intended.control.vouched.as_ref().is_some_and(|it| it.covers(node, epoch, host.as_ref())) {
        return Ok(Decision::Unchanged);
    }
    let vouched = Some(Vouched { node: node.to_owned(), epoch, host, wish });
    Ok(Decision::Write(control_is(picture, Control { vouched, ..picture.intended.control.clone() })))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use super::*;
    use crate::host::HostIdentity;
    use crate::intents::Intended;
    use crate::status::{Breadcrumb, ClusterView, MemberView};

    fn host(machine: &str) -> HostIdentity {
        HostIdentity { name: machine.to_owned(), machine_id: Some(machine.to_owned()), ..HostIdentity::default() }
    }

    fn picture(clean: bool) -> Picture {
        let last = Breadcrumb {
            node: "b".to_owned(),
            epoch: 6,
            api: String::new(),
            endpoints: BTreeMap::new(),
            since: String::new(),
            clean,
            host: Some(host("old")),
            cause: None,
            to: None,
            election_node: None,
        };
        Picture {
            cluster: ClusterView::default(),
            intended: Intended { version: Some(3), ..Intended::default() },
            now: SystemTime::UNIX_EPOCH,
            last: Some(last),
            last_host_today: None,
        }
    }

    fn registered(mut picture: Picture, on: &str) -> Picture {
        let member: MemberView = serde_json::from_value(serde_json::json!({
            "node": "b", "role": "standby", "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "", "ready": false,
            "api": "", "priority": 1, "version": "0", "eligible": true, "reason": "", "last_contact_ms": 0,
        }))
        .unwrap();
        picture.cluster.members.push(member);
        picture.last_host_today = Some(host(on));
        picture
    }

    #[test]
    fn the_word_names_the_leadership_that_it_is_given_for_and_is_guarded_by_what_was_read() {
        let wish = Wish { by: "alice".to_owned(), ..Wish::default() };
        let decision = confirm_fenced(&picture(false), "b", wish.clone()).unwrap();
        let Decision::Write(change) = decision else { panic!("{decision:?}") };
        let (version, control) = change.control.unwrap();
        let vouched = control.vouched.clone().unwrap();
        assert_eq!((version, vouched.epoch, &vouched.host), (Some(3), 6, &Some(host("old"))));
        let mut again = picture(false);
        again.intended.control = control;
        assert_eq!(confirm_fenced(&again, "b", wish), Ok(Decision::Unchanged));
    }

    #[test]
    fn it_is_refused_for_anybody_who_is_not_waited_for_and_for_whoever_is_here() {
        let refused = |picture: &Picture, node| match confirm_fenced(picture, node, Wish::default()) {
            Err(refusal) => refusal.to_string(),
            Ok(decision) => panic!("{decision:?}"),
        };
        assert!(refused(&picture(false), "c").contains("the last active was b (epoch 6)"));
        assert!(refused(&picture(true), "b").contains("ended in order"));
        assert!(refused(&Picture { last: None, ..picture(false) }, "b").contains("nobody to vouch for"));
        assert!(refused(&registered(picture(false), "old"), "b").contains("not off"));
        let unknown = Picture { last_host_today: None, ..registered(picture(false), "old") };
        assert!(refused(&unknown, "b").contains("not off"));
        // The machine was replaced under its name.
        assert!(matches!(
            confirm_fenced(&registered(picture(false), "new"), "b", Wish::default()),
            Ok(Decision::Write(_))
        ));
    }
}
