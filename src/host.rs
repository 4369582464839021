//! Which host, which boot, which process: the one notion of it, kept in the breadcrumb, in the lock file's record and among
//! the members, and told to the fencing command.
//!
//! # Theory of operation
//!
//! A name proves nothing: a machine that was replaced, cloned or restored answers to the old one. What tells machines
//! apart are *marks*: the machine id, the SMBIOS UUID and the permanent addresses of physical network devices. Clones share
//! the first and rarely the others; containers of one image share the first; a diskless host has another one after each boot.
//! So a mark counts only where both sides know it ("not readable" is no difference: the UUID is root's alone), one that
//! differs makes two hosts of them, and at least one must agree.
//!
//! The boot id is the kernel's. The same one means: the very same kernel, which knows what of it lives. Another one on the
//! same host means that the earlier kernel is gone, with all that it could have written. Process ids mean something within
//! one kernel and one pid namespace only.
//!
//! Whatever is not known is "unknown", never "own".
//!
//! Rejected: the machine id alone (clones, images), a digest of all marks (it changes when a card comes, and between root
//! and other users, and nobody sees why), and the host's name as a mark (it is what replacements share).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// More than any host has use for; what is written stays small.
const MOST_ADDRESSES: usize = 16;

/// What firmware says where nobody gave the machine a UUID of its own.
const NOBODYS_UUIDS: [&str; 4] = [
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "feefeefe-feef-feef-feef-feefeefeefee",
];
/// The address of every machine to which QEMU was told none.
const NOBODYS_ADDRESS: &str = "52:54:00:12:34:56";

/// A host, as it was in one of its boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HostIdentity {
    /// The host's name. For people and for commands: no mark.
    pub name: String,
    /// `/etc/machine-id`; `None` where there is none, or one that is made anew at each boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// `/sys/class/dmi/id/product_uuid`; `None` where it cannot be read (only root can), or is nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smbios_uuid: Option<String>,
    /// Permanent addresses of physical network devices.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<String>,
    /// Different after every boot of the same host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

/// How two descriptions of a host compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    Same,
    /// Only the machine id is known on both sides, and agrees: so it does for all containers of an image.
    Likely,
    Another,
    Unknown,
}

/// Whose leadership it was that a breadcrumb or a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This node's on this host, or this host's before its last boot: holding the lock here proves that nothing is left.
    Own,
    /// Another node's, on this very host and boot.
    Neighbours,
    AnotherHosts,
    Unknown,
}

impl HostIdentity {
    /// This host.
    pub fn own() -> &'static Self {
        static OWN: OnceLock<HostIdentity> = OnceLock::new();
        OWN.get_or_init(|| Self::read(Path::new("/")))
    }

    /// The host whose files lie below `root`.
    pub fn read(root: &Path) -> Self {
        let machine_id = machine_id(root);
        // systemd makes one up at each boot where /etc cannot keep one, and leaves it here; one that is kept is not here.
        let made_up = line(&root.join("run/machine-id"));
        Self {
            name: line(&root.join("proc/sys/kernel/hostname")).unwrap_or_default(),
            machine_id: machine_id.filter(|id| made_up.as_ref() != Some(id)),
            smbios_uuid: line(&root.join("sys/class/dmi/id/product_uuid")).and_then(|text| uuid(&text)),
            addresses: addresses(&root.join("sys/class/net")),
            boot_id: line(&root.join("proc/sys/kernel/random/boot_id")),
        }
    }

    /// Whether both are the same machine, whatever its boot.
    pub fn compare(&self, other: &Self) -> Sameness {
        let machine = agree(self.machine_id.as_ref(), other.machine_id.as_ref());
        let smbios = agree(self.smbios_uuid.as_ref(), other.smbios_uuid.as_ref());
        let addresses = agree_on_addresses(&self.addresses, &other.addresses);
        let hardware = [smbios, addresses];
        if machine == Some(false) || hardware.contains(&Some(false)) {
            Sameness::Another
        } else if self.is_same_boot(other) || hardware.contains(&Some(true)) {
            Sameness::Same
        } else if machine == Some(true) {
            Sameness::Likely
        } else {
            Sameness::Unknown
        }
    }

    fn is_same_boot(&self, other: &Self) -> bool {
        agree(self.boot_id.as_ref(), other.boot_id.as_ref()) == Some(true)
    }

    /// Whose leadership it was, seen from node `node` on this host. `None`: told by a version that did not say it.
    pub fn whose(&self, node: &str, predecessor: Option<&Self>, predecessor_node: &str) -> Whose {
        let Some(predecessor) = predecessor else { return Whose::Unknown };
        let same_name = node == predecessor_node;
        let another_boot = agree(self.boot_id.as_ref(), predecessor.boot_id.as_ref()) == Some(false);
        match self.compare(predecessor) {
            Sameness::Another => Whose::AnotherHosts,
            Sameness::Same if same_name || another_boot => Whose::Own,
            Sameness::Same if self.is_same_boot(predecessor) => Whose::Neighbours,
            Sameness::Likely if same_name => Whose::Own,
            Sameness::Same | Sameness::Likely | Sameness::Unknown => Whose::Unknown,
        }
    }

    /// One word for the two hosts that try a lock against each other: the same for every user of this host.
    pub fn key(&self, host_id: &str) -> String {
        self.addresses.first().map_or_else(|| host_id.to_owned(), |address| format!("{host_id}+{address}"))
    }
}

/// A process of some host, so that nobody takes one for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The machine id, or else the host's name: for people, and for versions that know nothing else.
    pub host_id: String,
    pub boot_id: String,
    pub pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub pid_started: u64,
    /// In which the pid counts; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostIdentity>,
}

impl ProcessIdentity {
    /// Whether its pid names a process among this one's: the same host, kernel and pid namespace. Then, and only then, does
    /// `/proc` know whether it lives.
    pub fn is_among_those_of(&self, own: &Self) -> bool {
        let same_namespace = agree(self.pid_namespace.as_ref(), own.pid_namespace.as_ref()) != Some(false);
        let same_host = match (&self.host, &own.host) {
            // Whatever its name is by now: where there is no machine id, `host_id` is the name.
            (Some(then), Some(now)) => then.compare(now) == Sameness::Same,
            _ => !self.host_id.is_empty() && self.host_id == own.host_id,
        };
        same_namespace && same_host && !self.boot_id.is_empty() && self.boot_id == own.boot_id
    }

    /// The same process, whatever else was learnt of its host.
    pub fn is(&self, own: &Self) -> bool {
        self.is_among_those_of(own) && (self.pid, self.pid_started) == (own.pid, own.pid_started)
    }
}

/// The machine id, or the host name where there is none: the same over reboots as a rule, different on most hosts.
pub fn host_id() -> String {
    machine_id(Path::new("/")).unwrap_or_else(|| HostIdentity::own().name.clone())
}

/// Different after every boot of the same host.
pub fn boot_id() -> String {
    HostIdentity::own().boot_id.clone().unwrap_or_default()
}

/// The number of the pid namespace that this process lives in.
pub fn pid_namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

fn machine_id(root: &Path) -> Option<String> {
    // systemd writes the word into images that are to get an id at their first boot.
    line(&root.join("etc/machine-id")).filter(|id| id != "uninitialized")
}

/// A file's only line; `None` where there is none.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn uuid(text: &str) -> Option<String> {
    let uuid = Uuid::parse_str(text).ok().filter(|uuid| !uuid.is_nil() && !uuid.is_max())?.to_string();
    (!NOBODYS_UUIDS.contains(&uuid.as_str())).then_some(uuid)
}

/// What is built into devices: not what a bridge, a container's end of a pair or an administrator has made up.
fn addresses(devices: &Path) -> BTreeSet<String> {
    let found = fs::read_dir(devices).into_iter().flatten().flatten();
    found.filter_map(|device| address(&device.path())).take(MOST_ADDRESSES).collect()
}

fn address(device: &Path) -> Option<String> {
    // A device of the machine, not one that software made; and not a part of another one that guests get and give back.
    if !device.join("device").exists() || device.join("device/physfn").exists() {
        return None;
    }
    // ARPHRD_ETHER
    line(&device.join("type")).filter(|kind| kind == "1")?;
    // NET_ADDR_PERM; a bond lends its address to all its devices and keeps their own here.
    let permanent = match line(&device.join("addr_assign_type")).as_deref() {
        Some("0") => line(&device.join("address")),
        _ => line(&device.join("bonding_slave/perm_hwaddr")),
    };
    let address = permanent?.to_ascii_lowercase();
    let says_something = address.bytes().any(|byte| !b"0:".contains(&byte));
    (says_something && address != NOBODYS_ADDRESS).then_some(address)
}

/// `None` where one of them is not known.
fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> Option<bool> {
    Some(one? == other?)
}

/// Cards come and go: one more or less makes no other host. Where some agree and some do not, they prove nothing.
fn agree_on_addresses(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Option<bool> {
    if one.is_empty() || other.is_empty() {
        None
    } else if one.is_disjoint(other) {
        Some(false)
    } else {
        (one.is_subset(other) || one.is_superset(other)).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(machine: &str, smbios: &str, addresses: &[&str], boot: &str) -> HostIdentity {
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        HostIdentity {
            name: "name".to_owned(),
            machine_id: known(machine),
            smbios_uuid: known(smbios),
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            boot_id: known(boot),
        }
    }

    fn of(node: &str, own: &HostIdentity, predecessor_node: &str, predecessor: &HostIdentity) -> Whose {
        own.whose(node, Some(predecessor), predecessor_node)
    }

    #[test]
    fn the_same_host_after_a_boot_is_this_host_whatever_its_names() {
        let now = host("m", "s", &["1"], "later");
        let then = host("m", "s", &["1"], "earlier");
        assert_eq!(of("a", &now, "a", &then), Whose::Own);
        assert_eq!(of("renamed", &now, "a", &then), Whose::Own);
        let renamed = HostIdentity { name: "another".to_owned(), ..then };
        assert_eq!(of("a", &now, "a", &renamed), Whose::Own);
    }

    #[test]
    fn a_replaced_cloned_or_restored_host_is_another_one_under_the_same_name() {
        let now = host("m", "s", &["1"], "later");
        for (what, then) in [
            ("replaced", host("n", "t", &["2"], "earlier")),
            ("another machine id", host("n", "s", &["1"], "earlier")),
            ("another machine id on the same kernel: a container", host("n", "s", &["1"], "later")),
            ("a clone, seen by root", host("m", "t", &["1"], "earlier")),
            ("a clone, seen by its card", host("m", "", &["2"], "earlier")),
        ] {
            assert_eq!(of("a", &now, "a", &then), Whose::AnotherHosts, "{what}");
        }
    }

    #[test]
    fn what_one_of_them_cannot_read_makes_no_other_host_of_it() {
        let root = host("m", "s", &["1"], "earlier");
        assert_eq!(of("a", &host("m", "", &["1"], "later"), "a", &root), Whose::Own);
        assert_eq!(of("a", &host("m", "", &[], "later"), "a", &root), Whose::Own);
        // A machine id that is made anew at each boot.
        assert_eq!(of("a", &host("", "s", &["1"], "later"), "a", &host("", "s", &["1"], "earlier")), Whose::Own);
    }

    #[test]
    fn cards_that_come_and_go_make_no_other_host_and_some_in_common_prove_nothing() {
        let one = host("m", "", &["1"], "later");
        let two = host("m", "", &["1", "2"], "earlier");
        assert_eq!((one.compare(&two), two.compare(&one)), (Sameness::Same, Sameness::Same));
        assert_eq!(two.compare(&host("m", "", &["1", "3"], "later")), Sameness::Likely);
        assert_eq!(two.compare(&host("", "", &["1", "3"], "later")), Sameness::Unknown);
    }

    #[test]
    fn a_machine_id_alone_is_believed_for_the_same_node_only() {
        let (now, then) = (host("image", "", &[], "later"), host("image", "", &[], "earlier"));
        assert_eq!(of("a", &now, "a", &then), Whose::Own);
        assert_eq!(of("b", &now, "a", &then), Whose::Unknown, "every container of the image has it");
    }

    #[test]
    fn what_nobody_knows_is_not_ones_own() {
        let own = host("m", "s", &["1"], "boot");
        assert_eq!(own.whose("a", None, "a"), Whose::Unknown, "an older version's");
        assert_eq!(of("a", &own, "a", &HostIdentity::default()), Whose::Unknown);
        assert_eq!(of("a", &HostIdentity::default(), "a", &HostIdentity::default()), Whose::Unknown);
    }

    #[test]
    fn another_node_of_the_same_kernel_is_a_neighbour() {
        let own = host("m", "s", &["1"], "boot");
        assert_eq!(of("b", &own, "a", &own), Whose::Neighbours);
        assert_eq!(of("a", &own, "a", &own), Whose::Own);
        assert_eq!(
            of("a", &host("", "", &[], "boot"), "a", &host("", "", &[], "boot")),
            Whose::Own,
            "nothing but the kernel"
        );
    }

    fn put(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn device(root: &Path, name: &str, assigned: &str, address: &str) {
        let at = format!("sys/class/net/{name}");
        put(root, &format!("{at}/type"), "1\n");
        put(root, &format!("{at}/addr_assign_type"), assigned);
        put(root, &format!("{at}/address"), address);
    }

    #[test]
    fn only_permanent_addresses_of_physical_devices_count() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (name, assigned, address) in [
            ("eth0", "0\n", "52:54:00:AA:00:01\n"),
            ("eth1", "3\n", "52:54:00:aa:00:99\n"), // in a bond
            ("eth2", "3\n", "52:54:00:aa:00:03\n"), // made up by an administrator
            ("vf0", "0\n", "52:54:00:aa:00:04\n"),
            ("qemu", "0\n", "52:54:00:12:34:56\n"),
            ("veth7", "0\n", "52:54:00:aa:00:05\n"),
            ("bond0", "0\n", "52:54:00:aa:00:99\n"),
        ] {
            device(root, name, assigned, address);
            if !["veth7", "bond0"].contains(&name) {
                fs::create_dir(root.join(format!("sys/class/net/{name}/device"))).unwrap();
            }
        }
        put(root, "sys/class/net/eth1/bonding_slave/perm_hwaddr", "52:54:00:aa:00:02\n");
        put(root, "sys/class/net/vf0/device/physfn/vendor", "");
        put(root, "sys/class/net/bonding_masters", "bond0\n");
        let found: Vec<String> = HostIdentity::read(root).addresses.into_iter().collect();
        assert_eq!(found, ["52:54:00:aa:00:01", "52:54:00:aa:00:02"]);
    }

    #[test]
    fn a_machine_id_that_is_missing_empty_unset_or_made_up_at_boot_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(HostIdentity::read(root), HostIdentity::default());
        for text in ["", "\n", "uninitialized\n"] {
            put(root, "etc/machine-id", text);
            assert_eq!(HostIdentity::read(root).machine_id, None, "{text:?}");
        }
        put(root, "etc/machine-id", "4f2a\n");
        assert_eq!(HostIdentity::read(root).machine_id.as_deref(), Some("4f2a"));
        put(root, "run/machine-id", "4f2a\n");
        assert_eq!(HostIdentity::read(root).machine_id, None);
    }

    #[test]
    fn a_uuid_that_no_machine_has_for_its_own_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            put(root.path(), "sys/class/dmi/id/product_uuid", text);
            HostIdentity::read(root.path()).smbios_uuid
        };
        assert_eq!(
            read("4C4C4544-0044-3510-8052-B4C04F4E4A32\n").as_deref(),
            Some("4c4c4544-0044-3510-8052-b4c04f4e4a32")
        );
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            NOBODYS_UUIDS[0],
            "",
            "Not Settable",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    fn process(host: &str, boot: &str, namespace: Option<u64>) -> ProcessIdentity {
        let (host_id, boot_id) = (host.to_owned(), boot.to_owned());
        ProcessIdentity { host_id, boot_id, pid: 7, pid_started: 8, pid_namespace: namespace, host: None }
    }

    #[test]
    fn a_pid_means_something_within_one_kernel_and_one_namespace_only() {
        let own = process("h", "b", Some(1));
        assert!(process("h", "b", Some(1)).is_among_those_of(&own));
        assert!(process("h", "b", None).is_among_those_of(&own), "an older version's");
        assert!(!process("h", "b", Some(2)).is_among_those_of(&own), "another container");
        assert!(!process("h", "c", Some(1)).is_among_those_of(&own), "another boot, or a clone");
        assert!(!process("i", "b", Some(1)).is_among_those_of(&own));
        assert!(!process("", "", None).is_among_those_of(&process("", "", None)));
        let of =
            |host_id: &str, host: HostIdentity| ProcessIdentity { host: Some(host), ..process(host_id, "b", Some(1)) };
        let renamed = of("new name", host("", "", &[], "b"));
        assert!(of("old name", host("", "", &[], "b")).is_among_those_of(&renamed), "the host was renamed");
        assert!(!of("new name", host("", "", &[], "c")).is_among_those_of(&renamed), "another kernel says so");
        assert!(!of("h", host("m", "", &["1"], "b")).is_among_those_of(&of("h", host("n", "", &["1"], "b"))));
        assert!(own.is(&ProcessIdentity { host: Some(HostIdentity::default()), ..own.clone() }));
        assert!(!own.is(&ProcessIdentity { pid_started: 9, ..own.clone() }));
    }

    #[test]
    fn an_identity_is_read_back_and_an_empty_one_too() {
        for identity in [host("m", "s", &["1", "2"], "b"), HostIdentity::default(), HostIdentity::own().clone()] {
            let json = serde_json::to_string(&identity).unwrap();
            assert_eq!(serde_json::from_str::<HostIdentity>(&json).unwrap(), identity);
        }
        assert_eq!(serde_json::from_str::<HostIdentity>("{}").unwrap(), HostIdentity::default());
    }
}
