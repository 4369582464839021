//! Who led before: as ZooKeeper's breadcrumb tells, or the lock file's record; whose that was; and what the fencing command
//! is told of both hosts.
//!
//! The core decides what follows; here facts are only translated. What cannot be read or compared is never this node's.

use std::collections::BTreeMap;

use crate::election::port as election;
use crate::guardian::protocol::{Ended, LockRecord, UNREADABLE};
use crate::host::{HostIdentity, Whose};
use crate::role::{Former, Recorded, Vacancy, Witness};
use crate::status::Breadcrumb;

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Own {
    pub node: String,
    pub host: HostIdentity,
    /// The names that this node had before, as far as something may be left of them on this host.
    pub former_names: Vec<String>,
}

impl Own {
    /// Whose leadership it was.
    pub fn whose(&self, node: &str, host: Option<&HostIdentity>) -> Whose {
        match self.host.whose(&self.node, host, node) {
            Whose::Neighbours if self.former_names.iter().any(|name| name == node) => Whose::Own,
            whose @ (Whose::Own | Whose::Neighbours | Whose::AnotherHosts | Whose::Unknown) => whose,
        }
    }

    fn former(&self, node: &str, host: Option<&HostIdentity>) -> Former {
        match self.whose(node, host) {
            Whose::Own => Former::Own,
            Whose::Neighbours | Whose::AnotherHosts | Whose::Unknown => Former::Unclean,
        }
    }

    /// What the core is told of a vacancy.
    pub fn vacancy(&self, vacancy: &election::Vacancy, priority: u32) -> Vacancy {
        let readable = vacancy.former.as_ref().filter(|former| former.node != UNREADABLE);
        let former = match readable {
            Some(former) if former.clean => Former::Clean,
            Some(former) => self.former(&former.node, former.host.as_ref()),
            None if vacancy.former.is_none() && vacancy.epoch == 0 => Former::None,
            None => Former::Unknown,
        };
        let former_epoch = readable.map_or(vacancy.epoch, |former| former.epoch);
        let better_candidate = vacancy.rivals.iter().any(|rival| rival.eligible && rival.priority > priority);
        Vacancy { epoch: vacancy.epoch, former, former_epoch, better_candidate }
    }

    /// What the core is told of the lock file. Of an epoch that ZooKeeper's breadcrumb gives to another node the record tells
    /// only that somebody tried to take it (with a lock that excluded nobody): it says nothing of how that leadership ended.
    pub fn recorded(&self, record: Option<&LockRecord>, breadcrumb: Option<&Breadcrumb>) -> Recorded {
        let others = |record: &LockRecord| {
            breadcrumb.is_some_and(|breadcrumb| breadcrumb.epoch == record.epoch && breadcrumb.node != record.node)
        };
        let former = match record {
            None => Former::None,
            Some(record) if record.node == UNREADABLE => Former::Unknown,
            Some(record) if record.is_over() && !others(record) => Former::Clean,
            Some(record) => self.former(&record.node, record.identity.as_ref()),
        };
        Recorded { epoch: record.map_or(0, |record| record.epoch), former }
    }
}

/// The former leadership, by the witness that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub node: String,
    pub epoch: u64,
    pub api: String,
    pub since: String,
    pub host: Option<HostIdentity>,
    /// It stopped cleanly, as this witness says.
    pub clean: bool,
    /// When and why it ended, where that was noted in order.
    pub to: Option<String>,
    pub cause: Option<String>,
}

impl Told {
    pub fn by(witness: Witness, breadcrumb: Option<&Breadcrumb>, record: Option<&LockRecord>) -> Option<Self> {
        match witness {
            Witness::Breadcrumb => breadcrumb.map(Self::by_breadcrumb),
            Witness::Record => record.map(Self::by_record),
        }
    }

    fn by_breadcrumb(breadcrumb: &Breadcrumb) -> Self {
        let Breadcrumb { node, epoch, api, endpoints: _, since, clean, host, cause, to } = breadcrumb.clone();
        Self { node, epoch, api, since, host, clean, to, cause }
    }

    fn by_record(record: &LockRecord) -> Self {
        let ended: Option<Ended> = record.ended.clone();
        Self {
            node: record.node.clone(),
            epoch: record.epoch,
            api: record.api.clone(),
            since: record.since.clone(),
            // An older version's record has a host's name at least.
            host: record.identity.clone(),
            clean: record.is_over(),
            to: ended.as_ref().map(|ended| ended.at.clone()),
            cause: ended.map(|ended| ended.cause),
        }
    }
}

/// What the fencing command is told: both hosts, and whether they are one. Every variable is set, empty where nothing is
/// known, so that none is inherited from elsewhere.
pub fn environment(own: &Own, former: Option<&Told>) -> BTreeMap<String, String> {
    let unknown = HostIdentity::default();
    let former_host = former.and_then(|former| former.host.as_ref());
    let mut environment = host_variables("PRIMACY", &own.host);
    environment.extend(host_variables("PRIMACY_FORMER", former_host.unwrap_or(&unknown)));
    let on_this_host = match former.map_or(Whose::Unknown, |former| own.whose(&former.node, former_host)) {
        Whose::Own | Whose::Neighbours => "yes",
        Whose::AnotherHosts => "no",
        Whose::Unknown => "unknown",
    };
    let told = |text: fn(&Told) -> String| former.map(text).unwrap_or_default();
    for (name, value) in [
        ("PRIMACY_FORMER_NODE", told(|former| former.node.clone())),
        ("PRIMACY_FORMER_EPOCH", told(|former| former.epoch.to_string())),
        ("PRIMACY_FORMER_API", told(|former| former.api.clone())),
        ("PRIMACY_FORMER_ON_THIS_HOST", on_this_host.to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    // Others may have written it, and no variable can carry a NUL.
    environment.values_mut().for_each(|value| value.retain(|c| c != '\0'));
    environment
}

fn host_variables(prefix: &str, host: &HostIdentity) -> BTreeMap<String, String> {
    let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        ("HOST", host.name.clone()),
        ("MACHINE_ID", or_empty(&host.machine_id)),
        ("SMBIOS_UUID", or_empty(&host.smbios_uuid)),
        ("HARDWARE_ADDRESSES", addresses.join(" ")),
        ("BOOT_ID", or_empty(&host.boot_id)),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{prefix}_{name}"), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardian::protocol::Over;

    fn host(machine: &str, boot: &str) -> HostIdentity {
        HostIdentity {
            name: format!("host-{machine}"),
            machine_id: Some(machine.to_owned()),
            smbios_uuid: Some(format!("uuid-{machine}")),
            addresses: [format!("1:{machine}"), format!("2:{machine}")].into(),
            boot_id: Some(boot.to_owned()),
        }
    }

    fn own() -> Own {
        Own { node: "a".to_owned(), host: host("m", "boot"), former_names: vec!["old".to_owned()] }
    }

    fn breadcrumb(node: &str, host: Option<HostIdentity>) -> Breadcrumb {
        Breadcrumb {
            node: node.to_owned(),
            epoch: 6,
            api: "http://there:9090".to_owned(),
            endpoints: BTreeMap::new(),
            since: String::new(),
            clean: false,
            host,
            cause: None,
            to: None,
        }
    }

    fn record(node: &str, identity: Option<HostIdentity>) -> LockRecord {
        LockRecord {
            identity,
            api: "http://recorded:9090".to_owned(),
            ended: Some(Ended { at: "then".to_owned(), cause: "stopped".to_owned() }),
            ..LockRecord::of(node, 8)
        }
    }

    /// As breadcrumb and record say it: they must not disagree.
    fn both(node: &str, host: Option<HostIdentity>) -> Former {
        let vacancy =
            election::Vacancy { epoch: 6, former: Some(breadcrumb(node, host.clone())), ..Default::default() };
        let (crumb, recorded) = (own().vacancy(&vacancy, 0), own().recorded(Some(&record(node, host)), None));
        assert_eq!((crumb.epoch, crumb.former_epoch, recorded.epoch), (6, 6, 8));
        assert_eq!(crumb.former, recorded.former);
        crumb.former
    }

    #[test]
    fn the_host_decides_whose_leadership_it_was_and_not_the_name() {
        assert_eq!(both("a", Some(host("m", "boot"))), Former::Own);
        assert_eq!(both("a", Some(host("m", "earlier"))), Former::Own, "before it was booted");
        assert_eq!(both("whatever", Some(host("m", "earlier"))), Former::Own, "before it was booted and renamed");
        assert_eq!(both("old", Some(host("m", "boot"))), Former::Own, "renamed");
        assert_eq!(both("b", Some(host("m", "boot"))), Former::Unclean, "another node of this host");
        assert_eq!(both("a", Some(host("n", "earlier"))), Former::Unclean, "another host of this name");
        assert_eq!(both("old", Some(host("n", "earlier"))), Former::Unclean);
        assert_eq!(both("a", None), Former::Unclean, "an older version's");
    }

    #[test]
    fn a_breadcrumb_that_is_missing_or_unreadable_is_none_only_where_there_was_no_epoch() {
        let told = |epoch, former| {
            let vacancy = own().vacancy(&election::Vacancy { epoch, former, ..Default::default() }, 0);
            (vacancy.former, vacancy.former_epoch)
        };
        assert_eq!(told(0, None), (Former::None, 0));
        assert_eq!(told(7, None), (Former::Unknown, 7));
        assert_eq!(told(7, Some(breadcrumb(UNREADABLE, None))), (Former::Unknown, 7));
        assert_eq!(told(7, Some(Breadcrumb { clean: true, ..breadcrumb("b", None) })), (Former::Clean, 6));
    }

    #[test]
    fn only_a_proof_makes_a_recorded_end_a_clean_one() {
        let of = |record: LockRecord| own().recorded(Some(&record), None).former;
        assert_eq!(of(record("b", None)), Former::Unclean, "its end is noted for people");
        let over = |epoch| Some(Over { epoch, election_node: None });
        assert_eq!(of(LockRecord { over: over(8), ..record("b", None) }), Former::Clean);
        assert_eq!(of(LockRecord { over: over(7), ..record("b", None) }), Former::Unclean);
        assert_eq!(of(record(UNREADABLE, None)), Former::Unknown);
        assert_eq!(own().recorded(None, None), Recorded { epoch: 0, former: Former::None });
    }

    #[test]
    fn a_clean_end_in_the_record_is_not_that_of_another_node_to_which_zookeeper_gives_its_epoch() {
        let clean = LockRecord { over: Some(Over { epoch: 8, election_node: None }), ..record("b", None) };
        let told =
            |node, epoch| own().recorded(Some(&clean), Some(&Breadcrumb { epoch, ..breadcrumb(node, None) })).former;
        assert_eq!(told("b", 8), Former::Clean);
        assert_eq!(told("c", 8), Former::Unclean, "both had the lock, and only one the epoch");
        assert_eq!(told("c", 7), Former::Clean, "that came later");
    }

    #[test]
    fn the_command_is_told_of_both_hosts_and_of_none_too_much() {
        let told = Told::by(Witness::Record, None, Some(&record("b", Some(host("n", "theirs")))));
        let told = environment(&own(), told.as_ref());
        let expected = [
            ("PRIMACY_BOOT_ID", "boot"),
            ("PRIMACY_FORMER_API", "http://recorded:9090"),
            ("PRIMACY_FORMER_BOOT_ID", "theirs"),
            ("PRIMACY_FORMER_EPOCH", "8"),
            ("PRIMACY_FORMER_HARDWARE_ADDRESSES", "1:n 2:n"),
            ("PRIMACY_FORMER_HOST", "host-n"),
            ("PRIMACY_FORMER_MACHINE_ID", "n"),
            ("PRIMACY_FORMER_NODE", "b"),
            ("PRIMACY_FORMER_ON_THIS_HOST", "no"),
            ("PRIMACY_FORMER_SMBIOS_UUID", "uuid-n"),
            ("PRIMACY_HARDWARE_ADDRESSES", "1:m 2:m"),
            ("PRIMACY_HOST", "host-m"),
            ("PRIMACY_MACHINE_ID", "m"),
            ("PRIMACY_SMBIOS_UUID", "uuid-m"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let unknown = environment(&own(), Some(&Told::by_breadcrumb(&breadcrumb("a", None))));
        assert_eq!(unknown["PRIMACY_FORMER_ON_THIS_HOST"], "unknown");
        assert_eq!(unknown["PRIMACY_FORMER_MACHINE_ID"], "");
        let neighbour = Told::by_breadcrumb(&breadcrumb("b", Some(host("m", "boot"))));
        assert_eq!(environment(&own(), Some(&neighbour))["PRIMACY_FORMER_ON_THIS_HOST"], "yes");
        assert_eq!(environment(&own(), None)["PRIMACY_FORMER_NODE"], "");
    }
}
