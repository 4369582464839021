//! Whether a cluster may be given another volume: only while nobody leads, for what protects is one lock on one volume.

use super::decide::{Picture, Refusal};
use crate::status::Role;

/// # Errors
/// Somebody leads, or may.
pub fn may_adopt(picture: &Picture) -> Result<(), Refusal> {
    let rows = picture.cluster.members.iter().map(|member| &member.row);
    let busy = rows.into_iter().find(|row| row.role != Role::Standby && !row.always_on);
    if let Some(row) = busy {
        return Err(Refusal::Conflict(format!(
            "{} is {}: the volume changes only while nobody leads; stop the nodes first, the active one last",
            row.node,
            row.role.as_str()
        )));
    }
    let unclean = picture.last.as_ref().filter(|last| !last.clean);
    if let (Some(pause), Some(last)) = (&picture.intended.control.paused, unclean) {
        return Err(Refusal::Conflict(format!(
            "{} (epoch {}) has not ended, and in a pause it may lead without contact ({}): resume first",
            last.node,
            last.epoch,
            pause.wish.in_words()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use super::*;
    use crate::intents::{Intended, Pause};
    use crate::status::{Breadcrumb, ClusterView, MemberView};

    fn picture(role: &str, always_on: bool) -> Picture {
        let member: MemberView = serde_json::from_value(serde_json::json!({
            "node": "b", "role": role, "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "", "ready": false,
            "api": "", "priority": 1, "version": "0", "eligible": true, "always_on": always_on, "reason": "", "last_contact_ms": 0,
        }))
        .unwrap();
        let last = Breadcrumb {
            node: "b".to_owned(),
            epoch: 6,
            api: String::new(),
            endpoints: BTreeMap::new(),
            since: String::new(),
            clean: false,
            host: None,
            cause: None,
            to: None,
            election_node: None,
        };
        Picture {
            cluster: ClusterView { members: vec![member], ..ClusterView::default() },
            intended: Intended::default(),
            now: SystemTime::UNIX_EPOCH,
            last: Some(last),
            last_host_today: None,
        }
    }

    #[test]
    fn it_is_refused_while_anybody_leads_or_is_about_to() {
        for role in ["active", "promoting", "demoting", "fencing"] {
            let refused = may_adopt(&picture(role, false)).unwrap_err().to_string();
            assert!(refused.contains(&format!("b is {role}")), "{refused}");
        }
        assert_eq!(may_adopt(&picture("active", true)), Ok(()), "whoever is always on needs no lock");
        assert_eq!(may_adopt(&picture("standby", false)), Ok(()));
    }

    #[test]
    fn in_a_pause_who_has_not_ended_in_order_may_lead_unseen() {
        let mut paused = picture("standby", false);
        paused.intended.control.paused = Some(Pause::default());
        assert!(may_adopt(&paused).unwrap_err().to_string().contains("resume first"));
        paused.last.as_mut().unwrap().clean = true;
        assert_eq!(may_adopt(&paused), Ok(()));
    }
}
