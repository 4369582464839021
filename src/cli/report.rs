//! `primacy report`: a bundle for a support case.

use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Asked, Exit, Options, access, client};
use crate::client::report;
use crate::config::Config;
use crate::{clock, output};

/// Collect what a support case needs: statuses, history, configuration, recordings and logs of the nodes that answer
///
/// Writes a compressed tar archive. Secrets are hidden; look through it all the same before you give it away: it names hosts,
/// addresses and paths. Nodes that do not answer are named in its README.txt.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The archive [default: primacy-report-CLUSTER-TIME.tar.gz in the working directory]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub asked: Asked,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { output, asked } = arguments;
    let access = access::of(options, &before, &asked)?;
    let config = options.load_for_client().ok();
    let mut secrets = config.as_ref().map(secrets).unwrap_or_default();
    secrets.extend(access.token.as_ref().map(|token| token.reveal().to_owned()));
    let client = client(options, before, asked)?;
    let files = match report::collect(&client, access, &secrets) {
        Ok(files) => files,
        Err(error) => {
            output::complain(&format!("primacy: {error}"));
            return Ok(if error.could_not_ask() { Exit::CouldNotAsk } else { Exit::Failed });
        }
    };
    let at = clock::wall();
    let stamp = humantime::format_rfc3339_seconds(at).to_string().replace([':', '-'], "");
    let cluster = config.map_or_else(|| "cluster".to_owned(), |config| config.cluster);
    let top = format!("primacy-report-{cluster}-{stamp}");
    let path = output.unwrap_or_else(|| PathBuf::from(format!("{top}.tar.gz")));
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} cannot be created", path.display()))?;
    let written = report::write(&files, &top, at, BufWriter::new(&file)).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))?;
    output::print(&format!("{}\n", path.display()))?;
    Ok(Exit::Done)
}

/// The secrets that this host's configuration names.
fn secrets(config: &Config) -> Vec<String> {
    let tokens = [&config.api.token, &config.api.read_token].into_iter().flatten();
    let mut secrets: Vec<String> = tokens.map(|secret| secret.reveal().to_owned()).collect();
    secrets.extend(config.zookeeper.digest.as_ref().map(|digest| digest.reveal().to_owned()));
    // A token file may have a line for each token, a digest a user before it.
    let parts: Vec<String> = secrets
        .iter()
        .flat_map(|secret| secret.split(|c: char| c.is_whitespace() || c == ':'))
        .map(str::to_owned)
        .collect();
    secrets.extend(parts.into_iter().filter(|part| part.len() >= LONG_ENOUGH));
    secrets
}

/// A name before a token is no secret, and as a rule shorter.
const LONG_ENOUGH: usize = 12;
