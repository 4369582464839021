//! The cluster's networks.

use std::net::Ipv4Addr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Management,
    Nfs,
    ZooKeeper,
}

impl Network {
    pub const ALL: [Self; 3] = [Self::Management, Self::Nfs, Self::ZooKeeper];

    /// Third octet of its addresses.
    pub fn number(self) -> u8 {
        match self {
            Self::Management => 99,
            Self::Nfs => 98,
            Self::ZooKeeper => 97,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Nfs => "NFS",
            Self::ZooKeeper => "ZooKeeper",
        }
    }

    /// Of the machine with this number; 1 is the drill's own.
    pub fn address(self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number(), 0, machine)
    }
}
