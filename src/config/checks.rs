//! What a single text must look like: names, addresses, URLs, signals, znode paths. Pure.

use std::net::Ipv6Addr;

use http::Uri;
use nix::sys::signal::Signal;

/// What is wrong, and what to do about it.
pub type Refusal = (String, String);

fn refuse<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err((what.into(), remedy.into()))
}

/// The longest name of a cluster or node, in bytes. They become znodes, metric labels and file names. Published.
const LONGEST_NAME: usize = 64;

/// A cluster's name.
pub fn cluster_name(text: &str) -> Result<(), Refusal> {
    name(text, b"_-", "[A-Za-z0-9_-]{1,64}")
}

/// A node's name. `.` and `..` mean something else in paths.
pub fn node_name(text: &str) -> Result<(), Refusal> {
    if text == "." || text == ".." {
        return refuse("is not a name", "use letters and digits");
    }
    name(text, b"_-.", "[A-Za-z0-9_.-]{1,64}")
}

/// How many tags or endpoints there may be, and how long what they say, in bytes. Each node publishes its own in ZooKeeper,
/// where a server hangs up on whoever sends more than `jute.maxbuffer` (1 MiB) at once.
pub const MOST_PUBLISHED: usize = 64;
const LONGEST_TAG: usize = 256;
pub const LONGEST_PUBLISHED_URL: usize = 1024;

/// The name of a tag and its value.
pub fn tag(name: &str, value: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return refuse("has no name", "name the tag");
    }
    if name.len() > LONGEST_NAME {
        return refuse(
            format!("has a name of {} bytes, and at most {LONGEST_NAME} are published", name.len()),
            "shorten the tag's name",
        );
    }
    short_enough(value, LONGEST_TAG)
}

/// What is published must be short.
pub fn short_enough(text: &str, longest: usize) -> Result<(), Refusal> {
    if text.len() <= longest {
        return Ok(());
    }
    refuse(
        format!("has {} bytes, and at most {longest} are published", text.len()),
        "shorten it, or keep it elsewhere and publish where",
    )
}

/// What is published must be few.
pub fn few_enough(count: usize) -> Result<(), Refusal> {
    if count <= MOST_PUBLISHED {
        return Ok(());
    }
    refuse(
        format!("has {count} entries, and at most {MOST_PUBLISHED} are published"),
        "keep only what others need to know",
    )
}

/// The name of an endpoint.
pub fn endpoint_name(text: &str) -> Result<(), Refusal> {
    name(text, b"_-", "[A-Za-z0-9_-]{1,64}")
}

fn name(text: &str, also: &[u8], pattern: &str) -> Result<(), Refusal> {
    let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte));
    if legal && (1..=LONGEST_NAME).contains(&text.len()) {
        return Ok(());
    }
    refuse("is not a name that fits into paths, labels and file names", format!("use a name that matches {pattern}"))
}

/// The name of an environment variable that the user may set.
pub fn variable_name(text: &str) -> Result<(), Refusal> {
    let first = text.bytes().next();
    if !first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return refuse("is not a variable's name", "use letters, digits and _, and no digit first");
    }
    if text.starts_with("PRIMACY_") {
        return refuse("is set by the supervisor itself", "use a name that does not begin with PRIMACY_");
    }
    Ok(())
}

/// `host:port`, with IPv6 addresses in brackets.
pub fn host_and_port(text: &str) -> Result<(), Refusal> {
    let remedy = "write host:port, for example node-a:31010 or [fd00::1]:31010";
    let Some((host, port)) = text.rsplit_once(':') else {
        return refuse("has no port", remedy);
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return refuse(format!("has no port between 1 and 65535 but {port:?}"), remedy);
    }
    if !is_host(host) {
        return refuse(format!("has no host name or address but {host:?}"), remedy);
    }
    Ok(())
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// `host:port,host:port`; gives it without blanks.
pub fn servers(text: &str) -> Result<String, Refusal> {
    let remedy = "write host:port,host:port, for example zk1:2181,zk2:2181,zk3:2181";
    if text.contains('/') {
        return refuse("contains a path", "put the path into zookeeper.root; here only host:port,host:port");
    }
    let mut servers: Vec<&str> = Vec::new();
    for server in text.split(',').map(str::trim) {
        if server.is_empty() {
            return refuse("has an empty entry", remedy);
        }
        if let Err((what, _)) = host_and_port(server) {
            return refuse(format!("{server:?} {what}"), remedy);
        }
        if servers.contains(&server) {
            return refuse(format!("names {server} twice"), "name each server once");
        }
        servers.push(server);
    }
    Ok(servers.join(","))
}

/// In bytes. It is part of every request.
const LONGEST_ZNODE: usize = 512;

/// An absolute znode path, other than the root itself and ZooKeeper's own.
pub fn znode(text: &str) -> Result<(), Refusal> {
    let remedy = "write an absolute znode path such as \"/primacy\"";
    if text.len() > LONGEST_ZNODE {
        return refuse(format!("has {} bytes, and at most {LONGEST_ZNODE} are meaningful", text.len()), remedy);
    }
    let Some(rest) = text.strip_prefix('/') else {
        return refuse("is not an absolute znode path", remedy);
    };
    if rest.is_empty() {
        return refuse("is the root of all znodes", remedy);
    }
    for segment in rest.split('/') {
        if segment.is_empty() {
            return refuse("has an empty segment", remedy);
        }
        if segment == "." || segment == ".." || segment.chars().any(char::is_control) {
            return refuse(format!("has the segment {segment:?}, which ZooKeeper refuses"), remedy);
        }
    }
    if rest.split('/').next() == Some("zookeeper") {
        return refuse("is ZooKeeper's own", remedy);
    }
    Ok(())
}

/// The URL schemes that are meaningful somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    Http,
    HttpAndHttps,
}

/// Whether the URL carries `user:password@`.
pub fn has_credentials(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// A URL with a host. The caller has looked for credentials.
pub fn url(text: &str, schemes: Schemes, example: &str) -> Result<Uri, Refusal> {
    let remedy = format!("write a URL such as {example}");
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => return refuse(format!("is not a URL: {error}"), remedy),
    };
    match (uri.scheme_str(), schemes) {
        (Some("http"), _) | (Some("https"), Schemes::HttpAndHttps) => {}
        (Some("https"), Schemes::Http) => {
            return refuse("is https, which this probe does not speak", "use http:// on this host, or health.command");
        }
        _ => return refuse("does not begin with http://", remedy),
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = authority.strip_prefix(host).unwrap_or_default();
    if !is_host(host) {
        return refuse("has no host", remedy);
    }
    if !port.is_empty() && uri.port_u16().is_none_or(|port| port == 0) {
        return refuse("has no port between 1 and 65535", remedy);
    }
    Ok(uri)
}

/// `http(s)://host[:port]`, to which clients append paths; gives it without a slash at its end.
pub fn base_url(text: &str) -> Result<String, Refusal> {
    let example = "http://node-a:9090";
    if has_credentials(text) {
        return refuse("contains credentials", "leave out what stands before the @");
    }
    url(text, Schemes::HttpAndHttps, example)?;
    let base = text.trim_end_matches('/');
    if base.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#'])) {
        return refuse("has a path, and clients append their own", format!("write a URL such as {example}"));
    }
    Ok(base.to_owned())
}

/// The signals that a coordinator can be asked to stop with.
const STOP_SIGNALS: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGKILL,
];

/// The number of a stop signal, named with or without `SIG`.
pub fn stop_signal(text: &str) -> Result<i32, Refusal> {
    let found = STOP_SIGNALS.iter().find(|signal| {
        let name = signal.as_str();
        text == name || Some(text) == name.strip_prefix("SIG")
    });
    match found {
        Some(signal) => Ok(*signal as i32),
        None => refuse(
            "is not the name of a signal that asks a process to stop",
            format!("write one of {}", STOP_SIGNALS.map(Signal::as_str).join(", ")),
        ),
    }
}

/// The name of a signal number, for people.
pub fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.as_str().to_owned())
}

/// A bearer token: one word that fits into a header.
pub fn token(text: &str) -> Result<(), Refusal> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    refuse("names a file whose token cannot be sent in a header", "use printable ASCII characters without blanks")
}

/// Blanks without width, marks of the byte order and of the direction: left by editors and copying.
const fn is_invisible(it: char) -> bool {
    matches!(it, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// `user:password` of the digest scheme.
pub fn digest(text: &str) -> Result<(), Refusal> {
    let pair = text.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
    if text.chars().any(is_invisible) {
        return refuse(
            "names a file that holds a character that nobody sees",
            "write user:password anew, with an editor for plain text",
        );
    }
    if pair && !text.chars().any(char::is_control) {
        return Ok(());
    }
    refuse("names a file that does not hold user:password", "write one line user:password into it")
}
