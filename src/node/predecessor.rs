//! Who led before: as ZooKeeper's breadcrumb tells, or the lock file's record; whose that was; and what the fencing command
//! is told of both hosts.
//!
//! The core decides what follows; here facts are only translated. What cannot be read or compared is never this node's.

use std::collections::BTreeMap;

use crate::election::port::ElectionOutcome;
use crate::guardian::protocol::{LockRecord, UNREADABLE};
use crate::host::{HostIdentity, Whose};
use crate::intents::Vouched;
use crate::role::{Predecessor, Recorded, Succession, Witness};
use crate::status::Breadcrumb;

/// Who this node is.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
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

    fn predecessor(
        &self,
        node: &str,
        epoch: u64,
        host: Option<&HostIdentity>,
        vouched: Option<&Vouched>,
    ) -> Predecessor {
        match self.whose(node, host) {
            Whose::Own => Predecessor::Own,
            Whose::Neighbours | Whose::AnotherHosts | Whose::Unknown
                if vouched.is_some_and(|vouched| vouched.covers(node, epoch, host)) =>
            {
                Predecessor::Vouched
            }
            Whose::Neighbours | Whose::AnotherHosts | Whose::Unknown => Predecessor::Unclean,
        }
    }

    /// What the core is told of an election.
    pub fn succession(&self, outcome: &ElectionOutcome, priority: u32) -> Succession {
        let readable = outcome.predecessor.as_ref().filter(|predecessor| predecessor.node != UNREADABLE);
        let predecessor = match readable {
            Some(predecessor) if predecessor.clean => Predecessor::Clean,
            Some(predecessor) => {
                let (node, epoch, host) = (&predecessor.node, predecessor.epoch, predecessor.host.as_ref());
                self.predecessor(node, epoch, host, outcome.vouched.as_deref())
            }
            None if outcome.predecessor.is_none() && outcome.epoch == 0 => Predecessor::None,
            None => Predecessor::Unknown,
        };
        let predecessor_epoch = readable.map_or(outcome.epoch, |predecessor| predecessor.epoch);
        let better_candidate = outcome.others.iter().any(|other| other.eligible && other.priority > priority);
        Succession { epoch: outcome.epoch, predecessor, predecessor_epoch, better_candidate }
    }

    /// What the core is told of the lock file. Of an epoch that ZooKeeper's breadcrumb gives to another node the record tells
    /// only that somebody tried to take it (with a lock that excluded nobody): it says nothing of how that leadership ended.
    pub fn recorded(&self, record: Option<&LockRecord>, outcome: &ElectionOutcome) -> Recorded {
        let breadcrumb = outcome.predecessor.as_ref();
        let others = |record: &LockRecord| {
            breadcrumb.is_some_and(|breadcrumb| breadcrumb.epoch == record.epoch && breadcrumb.node != record.node)
        };
        let predecessor = match record {
            None => Predecessor::None,
            Some(record) if record.node == UNREADABLE => Predecessor::Unknown,
            Some(record) if record.is_over() && !others(record) => Predecessor::Clean,
            Some(record) => {
                self.predecessor(&record.node, record.epoch, record.identity.as_ref(), outcome.vouched.as_deref())
            }
        };
        Recorded { epoch: record.map_or(0, |record| record.epoch), predecessor }
    }
}

/// The predecessor by the witness that counts, in the form of a breadcrumb.
pub fn by(witness: Witness, breadcrumb: Option<&Breadcrumb>, record: Option<&LockRecord>) -> Option<Breadcrumb> {
    match witness {
        Witness::Breadcrumb => breadcrumb.cloned(),
        Witness::Record => record.map(of_record),
    }
}

fn of_record(record: &LockRecord) -> Breadcrumb {
    let ended = record.ended.clone();
    Breadcrumb {
        election_node: None,
        node: record.node.clone(),
        epoch: record.epoch,
        api: record.api.clone(),
        endpoints: BTreeMap::new(),
        since: record.since.clone(),
        clean: record.is_over(),
        // An older version's record has a host's name at least.
        host: record.identity.clone(),
        to: ended.as_ref().map(|ended| ended.at.clone()),
        cause: ended.map(|ended| ended.cause),
    }
}

/// What the fencing command is told: both hosts, and whether they are one. Every variable is set, empty where nothing is
/// known, so that none is inherited from elsewhere.
pub fn environment(own: &Own, predecessor: Option<&Breadcrumb>) -> BTreeMap<String, String> {
    let unknown = HostIdentity::default();
    let predecessor_host = predecessor.and_then(|predecessor| predecessor.host.as_ref());
    let mut environment = host_variables("PRIMACY", &own.host);
    environment.extend(host_variables("PRIMACY_FORMER", predecessor_host.unwrap_or(&unknown)));
    let on_this_host =
        match predecessor.map_or(Whose::Unknown, |predecessor| own.whose(&predecessor.node, predecessor_host)) {
            Whose::Own | Whose::Neighbours => "yes",
            Whose::AnotherHosts => "no",
            Whose::Unknown => "unknown",
        };
    let told = |text: fn(&Breadcrumb) -> String| predecessor.map(text).unwrap_or_default();
    for (name, value) in [
        ("PRIMACY_FORMER_NODE", told(|predecessor| predecessor.node.clone())),
        ("PRIMACY_FORMER_EPOCH", told(|predecessor| predecessor.epoch.to_string())),
        ("PRIMACY_FORMER_API", told(|predecessor| predecessor.api.clone())),
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
    use crate::guardian::protocol::{Ended, Over};
    use crate::intents::Wish;
    use crate::status::End;

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
            election_node: None,
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
            ended: Some(Ended { at: "then".to_owned(), cause: End::Stopped.into() }),
            ..LockRecord::of(node, 8)
        }
    }

    /// As breadcrumb and record say it: they must not disagree.
    fn both(node: &str, host: Option<HostIdentity>) -> Predecessor {
        let outcome =
            ElectionOutcome { epoch: 6, predecessor: Some(breadcrumb(node, host.clone())), ..Default::default() };
        let (crumb, recorded) = (own().succession(&outcome, 0), own().recorded(Some(&record(node, host)), &outcome));
        assert_eq!((crumb.epoch, crumb.predecessor_epoch, recorded.epoch), (6, 6, 8));
        assert_eq!(crumb.predecessor, recorded.predecessor);
        crumb.predecessor
    }

    #[test]
    fn the_host_decides_whose_leadership_it_was_and_not_the_name() {
        assert_eq!(both("a", Some(host("m", "boot"))), Predecessor::Own);
        assert_eq!(both("a", Some(host("m", "earlier"))), Predecessor::Own, "before it was booted");
        assert_eq!(both("whatever", Some(host("m", "earlier"))), Predecessor::Own, "before it was booted and renamed");
        assert_eq!(both("old", Some(host("m", "boot"))), Predecessor::Own, "renamed");
        assert_eq!(both("b", Some(host("m", "boot"))), Predecessor::Unclean, "another node of this host");
        assert_eq!(both("a", Some(host("n", "earlier"))), Predecessor::Unclean, "another host of this name");
        assert_eq!(both("old", Some(host("n", "earlier"))), Predecessor::Unclean);
        assert_eq!(both("a", None), Predecessor::Unclean, "an older version's");
    }

    #[test]
    fn a_breadcrumb_that_is_missing_or_unreadable_is_none_only_where_there_was_no_epoch() {
        let told = |epoch, predecessor| {
            let succession = own().succession(&ElectionOutcome { epoch, predecessor, ..Default::default() }, 0);
            (succession.predecessor, succession.predecessor_epoch)
        };
        assert_eq!(told(0, None), (Predecessor::None, 0));
        assert_eq!(told(7, None), (Predecessor::Unknown, 7));
        assert_eq!(told(7, Some(breadcrumb(UNREADABLE, None))), (Predecessor::Unknown, 7));
        assert_eq!(told(7, Some(Breadcrumb { clean: true, ..breadcrumb("b", None) })), (Predecessor::Clean, 6));
    }

    #[test]
    fn only_a_proof_makes_a_recorded_end_a_clean_one() {
        let of = |record: LockRecord| own().recorded(Some(&record), &ElectionOutcome::default()).predecessor;
        assert_eq!(of(record("b", None)), Predecessor::Unclean, "its end is noted for people");
        let over = |epoch| Some(Over { epoch, election_node: None });
        assert_eq!(of(LockRecord { over: over(8), ..record("b", None) }), Predecessor::Clean);
        assert_eq!(of(LockRecord { over: over(7), ..record("b", None) }), Predecessor::Unclean);
        assert_eq!(of(record(UNREADABLE, None)), Predecessor::Unknown);
        assert_eq!(
            own().recorded(None, &ElectionOutcome::default()),
            Recorded { epoch: 0, predecessor: Predecessor::None }
        );
    }

    #[test]
    fn a_clean_end_in_the_record_is_not_that_of_another_node_to_which_zookeeper_gives_its_epoch() {
        let clean = LockRecord { over: Some(Over { epoch: 8, election_node: None }), ..record("b", None) };
        let told = |node, epoch| {
            let predecessor = Some(Breadcrumb { epoch, ..breadcrumb(node, None) });
            let outcome = ElectionOutcome { predecessor, ..ElectionOutcome::default() };
            own().recorded(Some(&clean), &outcome).predecessor
        };
        assert_eq!(told("b", 8), Predecessor::Clean);
        assert_eq!(told("c", 8), Predecessor::Unclean, "both had the lock, and only one the epoch");
        assert_eq!(told("c", 7), Predecessor::Clean, "that came later");
    }

    #[test]
    fn a_person_s_word_counts_for_that_node_epoch_and_host_and_for_nothing_else() {
        let there = || Some(host("n", "theirs"));
        let vouched = |node: &str, epoch, host| Vouched { node: node.to_owned(), epoch, host, wish: Wish::default() };
        let told = |vouched| {
            let predecessor = Some(breadcrumb("b", there()));
            let outcome =
                ElectionOutcome { epoch: 6, predecessor, vouched: Some(Box::new(vouched)), ..Default::default() };
            let record = LockRecord { identity: there(), ..LockRecord::of("b", 6) };
            let recorded = own().recorded(Some(&record), &outcome).predecessor;
            assert_eq!(own().succession(&outcome, 0).predecessor, recorded, "both witnesses tell of it");
            recorded
        };
        assert_eq!(told(vouched("b", 6, there())), Predecessor::Vouched);
        assert_eq!(told(vouched("b", 5, there())), Predecessor::Unclean, "its leadership before");
        assert_eq!(told(vouched("c", 6, there())), Predecessor::Unclean, "another node");
        assert_eq!(told(vouched("b", 6, Some(host("o", "theirs")))), Predecessor::Unclean, "another host of its name");
        assert_eq!(told(vouched("b", 6, Some(host("n", "later")))), Predecessor::Unclean, "another boot of it");
        assert_eq!(told(vouched("b", 6, None)), Predecessor::Unclean, "a host that was not known");
    }

    #[test]
    fn the_command_is_told_of_both_hosts_and_of_none_too_much() {
        let told = by(Witness::Record, None, Some(&record("b", Some(host("n", "theirs")))));
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
        let unknown = environment(&own(), Some(&breadcrumb("a", None)));
        assert_eq!(unknown["PRIMACY_FORMER_ON_THIS_HOST"], "unknown");
        assert_eq!(unknown["PRIMACY_FORMER_MACHINE_ID"], "");
        let neighbour = breadcrumb("b", Some(host("m", "boot")));
        assert_eq!(environment(&own(), Some(&neighbour))["PRIMACY_FORMER_ON_THIS_HOST"], "yes");
        assert_eq!(environment(&own(), None)["PRIMACY_FORMER_NODE"], "");
    }
}
