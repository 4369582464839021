//! By which name the NFS server knows this host, and whether somebody else has it too.
//!
//! A Linux client calls itself by its host name, preceded by a unique id if it was given one. Two hosts of one name are
//! one client to the server: they share their locks, and each takes the other's state away when it mounts or recovers.
//! So the holder of the lock leaves its name in the lock file, and who finds its own name there, left by another host that
//! may still run, keeps away from the lock: that it would get it proves nothing.
//!
//! Rejected: comparing names in ZooKeeper, among the members. A member that is cut off is no member any more, and it is
//! the one that counts; the lock file has the name for as long as it matters.

use std::fs;
use std::path::Path;

use super::mounts::Mount;
use crate::guardian::protocol::LockRecord;
use crate::host::{HostIdentity, Whose};

/// Of this network namespace's client; the kernel writes `(null)` where there is none.
const OF_NAMESPACE: &str = "/sys/fs/nfs/net/nfs_client/identifier";
/// Of all clients of this kernel.
const OF_MODULE: &str = "/sys/module/nfs/parameters/nfs4_unique_id";
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The name, for a file system of kind nfs4. The kernel takes the host name when it mounts, and this one is of now: who
/// renames a host that has mounted must mount again.
pub fn identity(mount: &Mount) -> Option<String> {
    if mount.file_system != "nfs4" {
        return None;
    }
    let read = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text != "(null)")
    };
    let host = read(HOST_NAME)?;
    let unique = read(OF_NAMESPACE).or_else(|| read(OF_MODULE));
    // Version 4.0 adds the address that the server is to call back.
    let option = |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name));
    let address = option("clientaddr=").filter(|_| option("vers=") == Some("4.0"));
    Some([unique.as_deref(), Some(&host), address].into_iter().flatten().collect::<Vec<_>>().join("/"))
}

/// Why the lock proves nothing to this host: the record is of a leadership that has not ended, on another host, which the
/// server cannot tell from this one. A host that took this one's place, or is its clone, has its name as a rule.
pub fn twin(record: &LockRecord, node: &str, directory: &Path) -> Option<String> {
    let own = identity(&Mount::of(directory)?)?;
    is_twin(record, node, &own, HostIdentity::own()).then(|| {
        format!(
            "{node} has the same NFS client identity as {} on the host with id {} (\"{own}\"), which holds the lock or died with \
             it: the server takes both for one host, and locks do not keep one from the other; give each host its own name \
             (or set nfs4_unique_id) and mount again",
            record.node, record.host_id
        )
    })
}

fn is_twin(record: &LockRecord, node: &str, own: &str, host: &HostIdentity) -> bool {
    let is_elsewhere = match host.whose(node, record.identity.as_ref(), &record.node) {
        Whose::Own | Whose::Neighbours => false,
        Whose::AnotherHosts => true,
        // An older version's, say: then the name has to do.
        Whose::Unknown => record.node != node,
    };
    record.nfs_client.as_deref() == Some(own)
        && is_elsewhere
        && record.ended.is_none()
        && host.boot_id.as_ref().is_some_and(|boot_id| *boot_id != record.boot_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardian::protocol::Ended;
    use crate::guardian::volume::lock_file::tests::record;
    use crate::status::EndCause;

    #[test]
    fn only_another_host_that_may_still_run_is_a_twin() {
        let theirs = LockRecord {
            node: "a".to_owned(),
            boot_id: "theirs".to_owned(),
            nfs_client: Some("host".to_owned()),
            ended: None,
            ..record()
        };
        let host = |machine: &str, boot: &str| HostIdentity {
            machine_id: Some(machine.to_owned()),
            addresses: ["52:54:00:aa:00:01".to_owned()].into(),
            boot_id: Some(boot.to_owned()),
            ..HostIdentity::default()
        };
        let ours = host("m", "ours");
        assert!(is_twin(&theirs, "b", "host", &ours));
        assert!(!is_twin(&theirs, "b", "unique/host", &ours), "another name");
        assert!(!is_twin(&theirs, "a", "host", &ours), "this node, before it was booted again");
        assert!(
            !is_twin(&theirs, "b", "host", &host("m", "theirs")),
            "another node on this host: the kernel tells them apart"
        );
        let ended = Some(Ended { at: String::new(), cause: EndCause::Unknown });
        assert!(!is_twin(&LockRecord { ended, ..theirs.clone() }, "b", "host", &ours), "it let the lock go");
        assert!(
            !is_twin(&LockRecord { nfs_client: None, ..theirs.clone() }, "b", "host", &ours),
            "written by an older version"
        );
        let replaced = LockRecord { identity: Some(host("n", "theirs")), ..theirs.clone() };
        assert!(is_twin(&replaced, "a", "host", &ours), "the host that this one took the place of");
        let renamed = LockRecord { identity: Some(host("m", "theirs")), ..theirs };
        assert!(!is_twin(&renamed, "b", "host", &ours), "this host, before it was booted again, under another name");
    }

    #[test]
    fn a_local_file_system_has_no_client_and_version_4_0_has_its_address() {
        let mount = |file_system: &str, options: &[&str]| Mount {
            point: "/".into(),
            file_system: file_system.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        assert_eq!(identity(&mount("ext4", &[])), None);
        let later = identity(&mount("nfs4", &["vers=4.2", "clientaddr=10.0.0.1"])).unwrap();
        let first = identity(&mount("nfs4", &["vers=4.0", "clientaddr=10.0.0.1"])).unwrap();
        assert_eq!(first, format!("{later}/10.0.0.1"));
    }
}
