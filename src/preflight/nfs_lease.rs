//! The NFS server's lease, as this host's client was told it: `/proc/self/mountstats`.
//!
//! Whoever waits for the lock makes the server give away that of a client which it has not heard of for a lease. So an active
//! node that is cut off from its volume has to notice that sooner: by its probe.

use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::guardian::volume::Mount;
use crate::moment::in_words;
use crate::status::CheckResult;

use super::{ok, warn};

const NAME: &str = "volume.nfs_lease";

/// Nothing where the volume is no NFSv4, or the kernel does not say.
pub fn look(config: &Config, mount: Option<&Mount>) -> Vec<CheckResult> {
    let Some(mount) = mount.filter(|mount| mount.file_system == "nfs4") else { return Vec::new() };
    let statistics = std::fs::read_to_string("/proc/self/mountstats").unwrap_or_default();
    lease_in(&statistics, &mount.point).map(|lease| judge(config, lease)).into_iter().collect()
}

fn judge(config: &Config, lease: Duration) -> CheckResult {
    let noticed = config.lock.probe_interval + config.lock.probe_timeout;
    let (lease_shown, noticed_shown) = (in_words(lease), in_words(noticed));
    if noticed < lease {
        return ok(
            NAME,
            format!("the server's lease is {lease_shown}; a lost volume is noticed within {noticed_shown}"),
        );
    }
    warn(
        NAME,
        format!(
            "the server's lease is {lease_shown}, and a lost volume is noticed within lock.probe_interval + lock.probe_timeout = \
             {noticed_shown}: another node may get the lock before"
        ),
        "lower lock.probe_interval and lock.probe_timeout, or raise the lease on the NFS server",
    )
}

fn lease_in(statistics: &str, point: &Path) -> Option<Duration> {
    let wanted = format!(" mounted on {} with fstype nfs4 ", point.display());
    let mut of_it = statistics.lines().skip_while(|line| !format!("{line} ").contains(&wanted)).skip(1);
    let line =
        of_it.by_ref().take_while(|line| !line.starts_with("device ")).find(|line| line.contains("lease_time="))?;
    let value = line.split(&[',', '\t', ' ']).find_map(|part| part.strip_prefix("lease_time="))?;
    value.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::CheckOutcome;

    const STATISTICS: &str = "\
device proc mounted on /proc with fstype proc
device srv:/a mounted on /mnt/a with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.2
\tnfsv4:\tbm0=0xfdffbfff,bm1=0x40f9be3e,bm2=0x60803,acl=0x3,sessions,pnfs=not configured,lease_time=90,lease_expired=0
device srv:/b mounted on /mnt/b with fstype nfs4 statvers=1.1
\tnfsv4:\tbm0=0x0,acl=0x0,sessions,lease_time=6,lease_expired=0
device srv:/c mounted on /mnt/c with fstype nfs4 statvers=1.1
\topts:\trw
";

    #[test]
    fn each_mount_has_its_own_server_s_lease() {
        let lease = |point: &str| lease_in(STATISTICS, Path::new(point)).map(|lease| lease.as_secs());
        assert_eq!((lease("/mnt/a"), lease("/mnt/b")), (Some(90), Some(6)));
        assert_eq!((lease("/mnt/c"), lease("/mnt"), lease("/proc")), (None, None, None));
    }

    #[test]
    fn a_probe_that_is_slower_than_the_server_s_lease_is_warned_of() {
        let text = "cluster = \"c\"\n[zookeeper]\nservers = \"zk:2181\"\n[lock]\ndirectory = \"/mnt/a\"\n";
        let config = crate::config::parse(text, Some(vec!["/bin/true".to_owned()])).unwrap();
        let outcome = |seconds| judge(&config, Duration::from_secs(seconds)).result;
        assert_eq!((outcome(90), outcome(8), outcome(7)), (CheckOutcome::Ok, CheckOutcome::Ok, CheckOutcome::Warn));
    }
}
