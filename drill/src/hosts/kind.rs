//! Which kinds of hosts there are, and what is beyond one of them: a table, so that a fault can ask before it begins, and a
//! lab can say what its hosts lack.

use std::error::Error;
use std::fmt::{self, Display};

/// Where hosts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Network namespaces and control groups of this kernel.
    Namespaces,
    /// Machines of the drill's own.
    Qemu,
    /// Those that `vagrant up` has made.
    Vagrant(Provider),
}

/// Vagrant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Libvirt,
    VirtualBox,
}

/// What not every host can do, or have done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Stopped while its clock goes on.
    Freeze,
    /// Stopped together with its clock.
    Pause,
    /// Shut down in order.
    ShutDown,
    /// Packets between it and some peers stop, perhaps one way.
    CutPackets,
    /// The cable of one of its cards is pulled.
    CutCard,
    /// It tells when it is reset, and by what.
    TellResets,
    /// What it prints to its console is kept.
    KeepConsole,
}

impl Deed {
    pub const ALL: [Self; 7] = [
        Self::Freeze,
        Self::Pause,
        Self::ShutDown,
        Self::CutPackets,
        Self::CutCard,
        Self::TellResets,
        Self::KeepConsole,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Freeze => "be stopped while its clock goes on",
            Self::Pause => "be stopped together with its clock",
            Self::ShutDown => "be shut down in order",
            Self::CutPackets => "be cut off from some peers only",
            Self::CutCard => "be cut off from one of its networks",
            Self::TellResets => "tell of its resets",
            Self::KeepConsole => "keep its console",
        }
    }
}

/// A host was asked for what it cannot do. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    pub deed: Deed,
    pub why: &'static str,
}

impl Kind {
    /// What begins like this can be done.
    ///
    /// # Errors
    /// Not with hosts of this kind, and why.
    pub fn can(self, deed: Deed) -> Result<(), Refusal> {
        match self.obstacle(deed) {
            Some(why) => Err(Refusal { kind: self, deed, why }),
            None => Ok(()),
        }
    }

    fn obstacle(self, deed: Deed) -> Option<&'static str> {
        match (self, deed) {
            (Self::Namespaces, Deed::Pause) => Some("its clock is this kernel's"),
            (Self::Namespaces, Deed::ShutDown) => Some("it has no service manager of its own"),
            (Self::Namespaces, Deed::CutCard) => Some("it has one card for everything"),
            (Self::Namespaces, Deed::TellResets | Deed::KeepConsole) => Some("it has no kernel of its own"),
            (Self::Vagrant(Provider::VirtualBox), Deed::Freeze) => {
                Some("VirtualBox stops a machine only together with its clock")
            }
            (Self::Vagrant(_), Deed::TellResets | Deed::KeepConsole) => {
                Some("the drill is not told of resets by Vagrant's hypervisors")
            }
            (Self::Qemu | Self::Vagrant(_), Deed::CutPackets) => Some("its cables carry all packets or none"),
            _ => None,
        }
    }

    /// Whether its hosts have a wall clock each, which may stand still and is set by nobody.
    #[must_use]
    pub fn own_clocks(self) -> bool {
        self != Self::Namespaces
    }
}

impl Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Qemu => "QEMU",
            Self::Vagrant(Provider::Libvirt) => "Vagrant with libvirt",
            Self::Vagrant(Provider::VirtualBox) => "Vagrant with virtualbox",
        })
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a host of {} cannot {}: {}", self.kind, self.deed.words(), self.why)
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 4] =
        [Kind::Namespaces, Kind::Qemu, Kind::Vagrant(Provider::Libvirt), Kind::Vagrant(Provider::VirtualBox)];

    #[test]
    fn each_deed_is_possible_on_some_kind_and_none_is_named_without_a_reason() {
        for deed in Deed::ALL {
            let refusals: Vec<Refusal> = KINDS.iter().filter_map(|kind| kind.can(deed).err()).collect();
            assert!(!refusals.is_empty() && refusals.len() < KINDS.len(), "{deed:?} is no difference: {refusals:?}");
        }
    }

    #[test]
    fn a_refusal_says_who_cannot_do_what_and_why() {
        let refusal = Kind::Namespaces.can(Deed::Pause).unwrap_err();
        let said = "a host of namespaces cannot be stopped together with its clock: its clock is this kernel's";
        assert_eq!(refusal.to_string(), said);
        let passed_on = anyhow::Error::from(refusal).context("n1");
        assert_eq!(passed_on.downcast_ref::<Refusal>(), Some(&refusal));
    }

    #[test]
    fn every_kind_has_at_least_one_way_to_stop_and_one_to_cut() {
        for kind in KINDS {
            assert!(kind.can(Deed::Freeze).is_ok() || kind.can(Deed::Pause).is_ok(), "{kind}");
            assert!(kind.can(Deed::CutPackets).is_ok() || kind.can(Deed::CutCard).is_ok(), "{kind}");
        }
    }
}
