//! Under which name others reach this node's API, where the configuration does not say it.
//!
//! The host name is what people expect, and often one that only this host can use: `localhost`, a container's number, a name
//! that nobody resolves or that leads back here (Debian's 127.0.1.1). Then an address of this host stands for it. What other
//! hosts resolve cannot be seen from here, so this is a guess, and the log says that it is one.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// For the name service: longer than one lost packet, shorter than a person's patience at a start.
const PATIENCE: Duration = Duration::from_secs(3);

/// What stands for the host name in the default of `api.advertise`; and a warning where others may not be able to use it.
/// With `tls` it stays the name in any case: that is what a certificate is for.
pub fn host(name: &str, listen: SocketAddr, tls: bool) -> (String, Option<String>) {
    // What listens for this host alone needs no name that others can use.
    if listen.ip().is_loopback() {
        return (name.to_owned(), None);
    }
    let Some(problem) = problem(name, resolve(name).as_deref()) else { return (name.to_owned(), None) };
    let own = if listen.ip().is_unspecified() { address(listen.is_ipv4()) } else { Some(listen.ip()) };
    let remedy = "set api.advertise to a URL that the other hosts and clients can use";
    match own.filter(|_| !tls) {
        Some(own) => {
            let told = format!("{problem}, so others are told of {own} instead; {remedy}");
            (if own.is_ipv6() { format!("[{own}]") } else { own.to_string() }, Some(told))
        }
        None => (name.to_owned(), Some(format!("{problem}, and others are told of it; {remedy}"))),
    }
}

/// Why other hosts cannot use the name, as far as this one can tell. `resolved`: `None` if there was no answer.
fn problem(name: &str, resolved: Option<&[IpAddr]>) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if lower.is_empty() || lower == "localhost" || lower.starts_with("localhost.") {
        return Some(format!("the host name \"{name}\" means another host everywhere"));
    }
    if name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return Some(format!("the host name {name} looks like a container's number, which other hosts do not know"));
    }
    match resolved {
        None | Some([]) => Some(format!("the host name {name} cannot be resolved")),
        Some(addresses) if addresses.iter().all(IpAddr::is_loopback) => {
            Some(format!("the host name {name} resolves to {} here", addresses[0]))
        }
        Some(_) => None,
    }
}

/// On a thread of its own, which is left behind if the name service does not answer.
fn resolve(name: &str) -> Option<Vec<IpAddr>> {
    let (sender, answer) = channel();
    let name = name.to_owned();
    let asked = std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|it| it.ip()).collect::<Vec<_>>());
        let _ = sender.send(found.ok());
    });
    asked.ok()?;
    answer.recv_timeout(PATIENCE).ok()?
}

/// The first address of an interface that leads to other hosts.
fn address(four: bool) -> Option<IpAddr> {
    let interfaces: Vec<(String, IpAddr)> = getifaddrs()
        .ok()?
        .filter(|it| it.flags.contains(InterfaceFlags::IFF_UP) && !it.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .filter_map(|it| {
            let address = it.address?;
            let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(found), _) => IpAddr::V4(found.ip()),
                (None, Some(found)) => IpAddr::V6(found.ip()),
                (None, None) => return None,
            };
            Some((it.interface_name, ip))
        })
        .collect();
    choose(&interfaces, four)
}

fn choose(interfaces: &[(String, IpAddr)], four: bool) -> Option<IpAddr> {
    // Bridges to this host's own guests.
    let inward = ["docker", "br-", "veth", "virbr", "lxc", "lxd", "cni", "podman"];
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !four && !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    };
    let outward = interfaces.iter().filter(|(name, _)| !inward.iter().any(|prefix| name.starts_with(prefix)));
    let mut usable: Vec<IpAddr> = outward.map(|(_, ip)| *ip).filter(usable).collect();
    usable.sort_by_key(IpAddr::is_ipv6);
    usable.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_other_hosts_cannot_use_is_told_from_one_that_they_may() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(problem("node-a", Some(&[ip("192.0.2.1")])), None);
        assert_eq!(problem("node-a.example.org", Some(&[ip("127.0.1.1"), ip("192.0.2.1")])), None);
        for (name, resolved, words) in [
            ("localhost", Some(vec![ip("127.0.0.1")]), "means another host everywhere"),
            ("localhost.localdomain", Some(vec![ip("192.0.2.1")]), "means another host everywhere"),
            ("", None, "means another host everywhere"),
            ("3f2a9c0b1d4e", Some(vec![ip("172.17.0.2")]), "container"),
            ("node-a", Some(vec![ip("127.0.1.1")]), "resolves to 127.0.1.1"),
            ("node-a", Some(vec![]), "cannot be resolved"),
            ("node-a", None, "cannot be resolved"),
        ] {
            let told = problem(name, resolved.as_deref()).unwrap();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn an_address_that_leads_to_other_hosts_stands_for_the_name() {
        let all: Vec<(String, IpAddr)> = [
            ("docker0", "172.17.0.1"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::1"),
            ("eth1", "169.254.1.1"),
            ("eth0", "192.0.2.7"),
        ]
        .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
        .into();
        assert_eq!(choose(&all, true), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(choose(&all[..3], true), None);
        assert_eq!(choose(&all[..3], false), Some("2001:db8::1".parse().unwrap()));
        let (host, told) = host("localhost", "192.0.2.9:9090".parse().unwrap(), false);
        assert!(host == "192.0.2.9" && told.unwrap().contains("set api.advertise"), "{host}");
        let (host, _) = super::host("localhost", "[2001:db8::9]:9090".parse().unwrap(), false);
        assert_eq!(host, "[2001:db8::9]");
        let (host, told) = super::host("localhost", "192.0.2.9:9090".parse().unwrap(), true);
        assert!(host == "localhost" && told.is_some());
        assert_eq!(super::host("localhost", "127.0.0.1:9090".parse().unwrap(), false).1, None);
    }
}
