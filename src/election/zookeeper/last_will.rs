//! What a guardian undoes in ZooKeeper in the name of a supervisor that is dead.

use super::candidacy::Leadership;
use super::settings::Settings;
use crate::guardian::protocol::LastWill;
use crate::status::{Breadcrumb, End};
use crate::zookeeper;
use crate::zookeeper::paths::Paths;

/// What the guardian undoes when its supervisor dies in the queue: whoever stands behind need not wait for the session's end.
pub fn of_a_standby(settings: &Settings, paths: &Paths, session: i64, node: &str) -> LastWill {
    LastWill {
        zookeeper: zookeeper::as_reached_now(&settings.access),
        election_node: node.to_owned(),
        breadcrumb: None,
        session: Some(session),
        epoch: None,
        also_delete: vec![paths.member(&settings.node)],
    }
}

/// What the guardian undoes when it ends this leadership without its supervisor.
pub fn of_a_leader(settings: &Settings, paths: &Paths, session: i64, leadership: &Leadership) -> LastWill {
    let clean = Breadcrumb { clean: true, cause: Some(End::SupervisorLost.into()), ..leadership.breadcrumb.clone() };
    LastWill {
        zookeeper: zookeeper::as_reached_now(&settings.access),
        election_node: leadership.node.clone(),
        breadcrumb: Some((
            paths.active.clone(),
            leadership.breadcrumb_version,
            serde_json::to_string(&clean).expect("a breadcrumb has only string keys"),
        )),
        session: Some(session),
        epoch: Some((paths.epoch.clone(), leadership.epoch_version)),
        also_delete: vec![paths.service(&settings.node), paths.member(&settings.node)],
    }
}
