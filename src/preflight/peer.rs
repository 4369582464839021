//! `primacy check --with-peer`.

use crate::config::Config;
use crate::peer_test::{self, Plan};
use crate::status::{CheckResult, PeerResult};

use super::{fail, ok, warn};

const REMEDY: &str = "mount the same NFSv4 volume on both hosts, without nolock or local_lock, and try again";

/// The name of the check.
pub const NAME: &str = "volume.peer";

pub fn check(config: &Config, plan: &Plan) -> CheckResult {
    let test = peer_test::run(config, plan);
    match test.result {
        PeerResult::Verified => ok(NAME, test.detail),
        PeerResult::Unverified => {
            warn(NAME, test.detail, "run primacy check --with-peer on both hosts at the same time")
        }
        PeerResult::Failed => fail(NAME, test.detail, REMEDY),
    }
}
