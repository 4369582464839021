//! What the program at the path is asked before anything else happens: `primacy run … --adopt-check`, which reads an
//! [`Offer`] from its standard input, writes an [`Answer`] to its standard output, and touches nothing.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::Program;
use super::carried::FORMAT;
use crate::config::{Config, ElectionKind, Mode};
use crate::moment::in_words;
use crate::supervisor::apart;
use crate::supervisor::orphans::OwnChildren;
use crate::{api, seeded_bug};

/// How long the program may take: it reads a configuration.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of what it says, in bytes.
const LARGEST: u64 = 64 * 1024;

/// What is offered: what has to be the same for whoever takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// [`FORMAT`] of what would cross.
    pub format: u32,
    /// The version that runs.
    pub version: String,
    pub cluster: String,
    pub node: String,
    pub mode: Mode,
    pub election: ElectionKind,
    pub root: String,
    pub lock_directory: PathBuf,
    pub digest: Option<String>,
    /// `api.listen`, as it is bound.
    pub listen: String,
}

/// What is said to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It would, and is of this version.
    Adopts(String),
    Refuses(String),
}

impl Offer {
    pub fn of(config: &Config, listen: &str) -> Self {
        Self {
            format: FORMAT,
            version: seeded_bug::version().to_owned(),
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            mode: config.mode,
            election: config.election,
            root: config.zookeeper.root.clone(),
            lock_directory: config.lock.directory.clone(),
            digest: config.zookeeper.digest.as_ref().map(|digest| digest.reveal().to_owned()),
            listen: listen.to_owned(),
        }
    }

    /// Why it cannot be taken under this configuration.
    fn problem(&self, config: &Config) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("it is handed over in format {}, and this version knows {FORMAT}", self.format));
        }
        let own = Self::of(config, &self.listen);
        let differs = [
            ("cluster", self.cluster == own.cluster),
            ("node", self.node == own.node),
            ("mode", self.mode == own.mode),
            ("election", self.election == own.election),
            ("zookeeper.root", self.root == own.root),
            ("zookeeper.digest_file", self.digest == own.digest),
            ("lock.directory", self.lock_directory == own.lock_directory),
        ];
        let keys: Vec<&str> = differs.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect();
        if !keys.is_empty() {
            return Some(format!(
                "the configuration has another {} than the one that is in force: that needs a restart",
                keys.join(", ")
            ));
        }
        if let Some(tls) = &config.api.tls
            && let Err(error) = api::certificates(tls)
        {
            return Some(error.to_string());
        }
        let listen = config.api.listen.to_string();
        if listen != self.listen
            && let Err(error) = TcpListener::bind(config.api.listen)
        {
            return Some(format!("api.listen = \"{listen}\": {error}"));
        }
        None
    }
}

/// What `--adopt-check` answers. `config`: what the file says, or what is wrong with it.
pub fn answer(offered: impl Read, config: Result<&Config, String>) -> Answer {
    let offer: Offer = match serde_json::from_reader(offered.take(LARGEST)) {
        Ok(offer) => offer,
        Err(error) => return Answer::Refuses(format!("what is offered is not understood: {error}")),
    };
    match config.map(|config| offer.problem(config)) {
        Ok(None) => Answer::Adopts(seeded_bug::version().to_owned()),
        Ok(Some(problem)) | Err(problem) => Answer::Refuses(problem),
    }
}

/// Asks the program at its path.
///
/// # Errors
/// Why it would not take over, or why nobody knows whether it would.
pub async fn ask(program: Program, offer: Offer, children: OwnChildren) -> Result<String, String> {
    let path = program.path.display();
    let mut command = Command::new(&program.path);
    command.args(program.arguments_with("--adopt-check")).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let asking = async {
        let (mut child, own) = apart::spawn(command, children).await.map_err(|error| error.to_string())?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else { return Err("it has no pipes".to_owned()) };
        let text = serde_json::to_vec(&offer).map_err(|error| error.to_string())?;
        // Who does not read it does not answer either.
        let _ = stdin.write_all(&text).await;
        drop(stdin);
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (stdout.take(LARGEST), stderr.take(LARGEST));
        let _ = tokio::join!(stdout.read_to_end(&mut said), stderr.read_to_end(&mut complained));
        let ended = child.wait().await.map_err(|error| error.to_string())?;
        drop(own);
        match serde_json::from_slice(&said) {
            Ok(Answer::Adopts(version)) if ended.success() => Ok(version),
            Ok(Answer::Refuses(why)) => Err(why),
            Ok(Answer::Adopts(_)) | Err(_) => {
                let complaint = String::from_utf8_lossy(&complained);
                let complaint = complaint.lines().next().unwrap_or("it says nothing that is understood").to_owned();
                Err(format!("it does not know how to take over ({ended}): {complaint}"))
            }
        }
    };
    let answer = match timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}", in_words(PATIENCE))),
    };
    answer.map_err(|why| format!("{path} would not take over: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "cluster = \"c\"\n{more}\n[zookeeper]\nservers = \"127.0.0.1:1\"\n[lock]\ndirectory = \"/volume\"\n[api]\nlisten = \"127.0.0.1:0\"\n"
        );
        crate::config::parse(&text, Some(vec!["/bin/true".to_owned()])).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn asked(offer: &Offer, config: &Config) -> Answer {
        answer(serde_json::to_vec(offer).unwrap().as_slice(), Ok(config))
    }

    #[test]
    fn only_what_is_the_same_node_of_the_same_cluster_is_taken_over() {
        let config = config("node = \"a\"");
        let offer = Offer::of(&config, "127.0.0.1:0");
        assert_eq!(asked(&offer, &config), Answer::Adopts(seeded_bug::version().to_owned()));
        for (other, key) in [
            (Offer { cluster: "d".into(), ..offer.clone() }, "cluster"),
            (Offer { node: "b".into(), ..offer.clone() }, "node"),
            (Offer { root: "/other".into(), ..offer.clone() }, "zookeeper.root"),
            (Offer { lock_directory: "/elsewhere".into(), ..offer.clone() }, "lock.directory"),
            (Offer { digest: Some("u:p".into()), ..offer.clone() }, "zookeeper.digest_file"),
            (Offer { format: 2, ..offer.clone() }, "format 2"),
        ] {
            let Answer::Refuses(why) = asked(&other, &config) else { panic!("{key} is another") };
            assert!(why.contains(key), "{why}");
        }
        let Answer::Refuses(why) = answer(b"?".as_slice(), Ok(&config)) else { panic!("that is no offer") };
        assert!(why.contains("not understood"), "{why}");
    }

    #[test]
    fn an_address_that_somebody_else_has_is_found_out_before() {
        let config = config("node = \"a\"");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = config.clone();
        other.api.listen = taken.local_addr().unwrap();
        let Answer::Refuses(why) = asked(&Offer::of(&config, "127.0.0.1:0"), &other) else { panic!("it is taken") };
        assert!(why.contains("api.listen"), "{why}");
    }

    async fn said(script: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let program = Program { path, ..Program::of_this_process(None) };
        ask(program, Offer::of(&config("node = \"a\""), "127.0.0.1:0"), OwnChildren::default()).await.unwrap_err()
    }

    #[tokio::test]
    async fn whatever_is_no_clear_yes_is_a_no() {
        let why = said("#!/bin/sh\nexit 0\n").await;
        assert!(why.contains("does not know how to take over (exit status: 0)"), "{why}");
        let why = said("#!/bin/sh\necho 'error: unexpected argument --adopt-check' >&2; exit 2\n").await;
        assert!(why.contains("unexpected argument"), "{why}");
        let why = said("#!/bin/sh\necho '{\"adopts\":\"9.9\"}'; exit 1\n").await;
        assert!(why.contains("exit status: 1"), "{why}");
        let why = said("no program\n").await;
        assert!(why.contains("would not take over"), "{why}");
        let missing = Program { path: "/nonexistent/primacy".into(), ..Program::of_this_process(None) };
        let offer = Offer::of(&config("node = \"a\""), "127.0.0.1:0");
        let why = ask(missing, offer, OwnChildren::default()).await.unwrap_err();
        assert!(why.contains("/nonexistent/primacy would not take over: No such file"), "{why}");
    }
}
