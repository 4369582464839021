//! `primacy report`: what somebody needs who is to say what happened, in one file.
//!
//! Everything that is asked for is what members show to whoever may read; a member that does not answer is missing, and that is said in
//! the bundle. Secrets are hidden by the members; what this command itself knows of them, and what looks like a password in a URL, is
//! taken out once more.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use super::api::Api;
use super::{Access, Client, Error};

/// The files of a bundle, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// `/report`.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    log: String,
    #[serde(default)]
    recordings: Vec<Recording>,
    #[serde(default)]
    problem: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Recording {
    name: String,
    text: String,
}

/// What every member is asked for, and the file that it becomes.
const ASKED: [(&str, &str); 4] = [
    ("/server_status", "status.json"),
    ("/cluster", "cluster.json"),
    ("/config", "config.json"),
    ("/metrics", "metrics.txt"),
];

/// Asks everybody. `secrets`: texts that must not be in it.
///
/// # Errors
/// Nobody could be asked who the members are.
pub fn collect(client: &Client, access: Access, secrets: &[String]) -> Result<Files, Error> {
    let view = client.sight()?.view;
    let mut problems = Vec::new();
    let mut files = Files::new();
    files.insert("cluster.json".to_owned(), pretty(&view));
    match client.history() {
        Ok(history) => drop(files.insert("history.json".to_owned(), pretty(&history))),
        Err(error) => problems.push(format!("the history: {error}")),
    }
    let api = Api::new(Vec::new(), access);
    for row in view.members.iter().map(|member| &member.row) {
        let folder = folder(&row.node);
        for (path, file) in ASKED {
            match api.page(&row.api, path) {
                Ok(text) => drop(files.insert(format!("{folder}/{file}"), text.into_bytes())),
                Err(problem) => problems.push(format!("{}: {path}: {problem}", row.node)),
            }
        }
        match api.page(&row.api, "/report").and_then(|text| serde_json::from_str(&text).map_err(|it| it.to_string())) {
            Ok(Part { log, recordings, problem }) => {
                files.insert(format!("{folder}/log.txt"), log.into_bytes());
                for Recording { name, text } in recordings {
                    files.insert(format!("{folder}/recordings/{}", self::folder(&name)), text.into_bytes());
                }
                problems.extend(problem.map(|problem| format!("{}: its recordings: {problem}", row.node)));
            }
            Err(problem) => problems.push(format!("{}: its log and recordings: {problem}", row.node)),
        }
    }
    problems.push(format!("made by primacy {}", env!("CARGO_PKG_VERSION")));
    files.insert("README.txt".to_owned(), (README.to_owned() + &problems.join("\n") + "\n").into_bytes());
    for content in files.values_mut() {
        *content = without_secrets(&String::from_utf8_lossy(content), secrets).into_bytes();
    }
    Ok(files)
}

const README: &str = "\
cluster.json, history.json   as primacy status -o json and primacy history -o json
NODE/                        what that node says of itself: status, its view of the cluster, configuration (secrets hidden), metrics,
                             the newest lines of its log, its newest flight recordings (primacy verify NODE/recordings)

What is missing, and why:
";

fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

/// A name that others have given, as that of a file: never a way out of its folder.
fn folder(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    if name.chars().all(|c| c == '.') { "_".to_owned() } else { name }
}

const REMOVED: &str = "(removed)";

/// Shorter ones would be found everywhere.
const SHORTEST_SECRET: usize = 6;

fn without_secrets(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), REMOVED);
        }
    }
    without_passwords(&text)
}

/// `//user:password@host` anywhere.
fn without_passwords(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        kept.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/\"'\\<>".contains(c)).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(user) => {
                kept.push_str(REMOVED);
                &after[user..]
            }
            None => after,
        };
    }
    kept.push_str(rest);
    kept
}

/// The bundle: a compressed tar archive, with everything below one folder.
///
/// # Errors
/// It cannot be written.
pub fn write(files: &Files, top: &str, at: SystemTime, to: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(to, Compression::default()));
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        archive.append_data(&mut header, format!("{top}/{name}"), content.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_they_are() {
        let text = "token hunter22 at https://bob:pw@host/x?y, http://host:1/, \"u\":\"http://a:b@c\"";
        let clean = without_secrets(text, &["hunter22".to_owned(), "at".to_owned()]);
        assert_eq!(
            clean,
            "token (removed) at https://(removed)@host/x?y, http://host:1/, \"u\":\"http://(removed)@c\""
        );
    }

    #[test]
    fn what_others_call_themselves_is_no_way_out_of_the_bundle() {
        for (name, expected) in [("node-a.b", "node-a.b"), ("../../etc", ".._.._etc"), ("..", "_"), ("", "_")] {
            assert_eq!(folder(name), expected);
        }
    }

    #[test]
    fn a_bundle_can_be_unpacked() {
        let files = Files::from([("a/log.txt".to_owned(), b"a line\n".to_vec())]);
        let mut bytes = Vec::new();
        write(&files, "top", SystemTime::UNIX_EPOCH, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!((entry.path().unwrap().to_str(), text.as_str()), (Some("top/a/log.txt"), "a line\n"));
    }
}
