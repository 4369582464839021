//! `primacy volume adopt`: a restored or moved volume becomes the cluster's.

use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::steer::agreed;
use super::{Exit, Options};
use crate::config::ElectionKind;
use crate::guardian::volume::adoption::Candidate;
use crate::output;
use crate::steering::Ensemble;

/// How long the volume may take to answer: the server may have to end the delegation of a client that is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with the shared volume
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    Adopt(Adopt),
}

/// Make the volume at lock.directory the cluster's: a restored or a moved one
///
/// Every volume has an id (volume.json in lock.directory), and the cluster knows its own: a directory with another id, or with none, is
/// refused by every node, for it may be an unmounted mount point. After a restore or a move the volume has another id, or none; this
/// makes it the cluster's. Run it on a host that has mounted it. Refused while anybody leads, or holds the volume's lock.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
}

pub fn run(options: &Options, arguments: Arguments) -> anyhow::Result<Exit> {
    let What::Adopt(Adopt { yes }) = arguments.command;
    let config = options.load_for_client()?;
    if config.election != ElectionKind::ZooKeeper {
        return Ok(refused(
            "with election = \"lock\" the volume at lock.directory is the cluster's: there is no other",
        ));
    }
    let ensemble = Ensemble::new(&config.cluster, config.zookeeper.clone());
    let guarded = match ensemble.volume_to_be_replaced() {
        Ok(guarded) => guarded,
        Err(error) => return Ok(not_asked(&error)),
    };
    let directory = config.lock.directory.clone();
    let at = directory.display().to_string();
    let candidate = match apart(move || Candidate::take(&directory)) {
        Ok(candidate) => candidate,
        Err(problem) => return Ok(refused(&problem)),
    };
    if candidate.id.is_some() && candidate.id == guarded.volume {
        output::print(&format!("{at} is the cluster's volume already\n"))?;
        return Ok(Exit::Done);
    }
    tell(&candidate, guarded.volume.as_deref(), &at);
    if !agreed(&format!("Is {at} to be the volume of {} from now on, on all hosts?", config.cluster), yes)? {
        return Ok(refused("nothing was changed"));
    }
    let (candidate, id) = match apart(move || candidate.identify().map(|id| (candidate, id))) {
        Ok(identified) => identified,
        Err(problem) => return Ok(refused(&problem)),
    };
    if let Err(error) = ensemble.adopt(&guarded, &id) {
        return Ok(not_asked(&error));
    }
    drop(candidate);
    output::print(&format!("{at} (id {id}) is the cluster's volume\n"))?;
    Ok(Exit::Done)
}

fn tell(candidate: &Candidate, former: Option<&str>, at: &str) {
    let unknown = "of an unknown file system".to_owned();
    let file_system = candidate.file_system.as_ref().map_or(unknown, |name| format!("on {name}"));
    let id = candidate.id.as_deref().unwrap_or("none yet");
    output::complain(&format!(
        "{at} ({file_system}): id {id}; the cluster's volume so far: {}",
        former.unwrap_or("none")
    ));
    match &candidate.record {
        Some(record) => output::complain(&format!(
            "  last recorded there: {} with epoch {}, since {}",
            record.node, record.epoch, record.since
        )),
        None => output::complain("  nobody was ever recorded there: is the volume mounted?"),
    }
    for warning in &candidate.warnings {
        output::complain(&format!("  {warning}"));
    }
}

/// On a thread of its own: the volume may hang, and a person is not kept waiting for it.
fn apart<T: Send + 'static>(what: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let (sender, answer) = mpsc::channel();
    let thread = std::thread::Builder::new().name("volume".to_owned()).spawn(move || {
        let _ = sender.send(what());
    });
    thread.map_err(|error| format!("no thread can be had: {error}"))?;
    let silent = format!("the volume has not answered within {} s: is its server reachable?", PATIENCE.as_secs());
    answer.recv_timeout(PATIENCE).unwrap_or(Err(silent))
}

fn refused(problem: &str) -> Exit {
    output::complain(&format!("primacy: {problem}"));
    Exit::Failed
}

fn not_asked(error: &crate::steering::Error) -> Exit {
    output::complain(&format!("primacy: {error}"));
    if error.could_not_ask() { Exit::CouldNotAsk } else { Exit::Failed }
}
