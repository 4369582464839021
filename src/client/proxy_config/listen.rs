//! `--listen`: where a proxy is to listen.

use std::collections::BTreeMap;

use super::Target;
use crate::config;

/// On every address of the proxy's host.
const EVERYWHERE: &str = "*";

/// One address for all endpoints, on the ports that they have themselves; and address and port of single ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    all: Option<String>,
    one: BTreeMap<String, Target>,
}

impl Listen {
    /// From `ADDRESS` and `NAME=ADDRESS:PORT`, in any order.
    ///
    /// # Errors
    /// What is wrong, with its remedy.
    pub fn new(given: &[String]) -> Result<Self, String> {
        let mut listen = Self::default();
        for text in given {
            match text.split_once('=') {
                Some((name, place)) => {
                    let target = target(place).ok_or_else(|| {
                        format!("{text:?} has no ADDRESS:PORT; write for example {name}=10.0.0.100:9047")
                    })?;
                    if listen.one.insert(name.to_owned(), target).is_some() {
                        return Err(format!("{name} is to listen twice; name it once"));
                    }
                }
                None => {
                    let host = host(text).ok_or_else(|| {
                        format!(
                            "{text:?} is no address; write for example 10.0.0.100, or for one endpoint \
                             NAME=10.0.0.100:9047"
                        )
                    })?;
                    if listen.all.replace(host).is_some() {
                        return Err(
                            "two addresses for all endpoints; write NAME=ADDRESS:PORT for single ones".to_owned()
                        );
                    }
                }
            }
        }
        Ok(listen)
    }

    /// # Errors
    /// One of those named is no endpoint.
    pub(super) fn check(&self, endpoints: &[&str]) -> Result<(), String> {
        match self.one.keys().find(|name| !endpoints.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let known = endpoints.join(", ");
                Err(format!("--listen {name}=…: no member has an endpoint {name}; there are: {known}"))
            }
        }
    }

    pub(super) fn of(&self, endpoint: &str, port: u16) -> Target {
        self.one
            .get(endpoint)
            .cloned()
            .unwrap_or_else(|| Target { host: self.all.clone().unwrap_or_else(|| EVERYWHERE.to_owned()), port })
    }
}

/// Any port is good for finding out whether a host is one.
fn host(text: &str) -> Option<String> {
    let text = if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
    target(&format!("{text}:1")).map(|target| target.host)
}

fn target(text: &str) -> Option<Target> {
    if let Some(port) = text.strip_prefix("*:") {
        config::host_and_port(&format!("any:{port}")).ok()?;
        return Some(Target { host: EVERYWHERE.to_owned(), port: port.parse().ok()? });
    }
    super::host_and_port(text)
}
