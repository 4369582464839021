//! `primacy run`: the supervisor.

use clap::Args;

use super::logs::Logs;
use super::{Exit, Options};
use crate::supervisor::{self, Source, upgrade};
use crate::{config, role, seeded_bug};

/// Run the supervisor
///
/// Takes part in the election, and runs the coordinator while this node is active. SIGTERM and SIGINT stop it cleanly, a second one kills; SIGHUP reloads the configuration.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Say whether this program would take over in the process that asks
    #[arg(long, hide = true)]
    pub adopt_check: bool,
    /// The coordinator's command, instead of coordinator.command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

pub fn run(options: &Options, arguments: Arguments, logs: Option<Logs>) -> anyhow::Result<Exit> {
    let command = (!arguments.command.is_empty()).then_some(arguments.command);
    let config = config::load(options.config_file(), command.clone());
    if arguments.adopt_check {
        return adopt_check(config.as_ref().map_err(ToString::to_string));
    }
    let config = config?;
    if let Some(logs) = &logs {
        logs.set_level(config.log_level);
    }
    if let Some(names) = seeded_bug::names() {
        tracing::error!(names, "this build is wrong on purpose: it is for drills only and must not guard anything");
    }
    let source = Source {
        file: options.config_file().to_owned(),
        command,
        listen: String::new(),
        set_log_level: Box::new(move |level| logs.as_ref().is_some_and(|logs| logs.set_level(level))),
    };
    Ok(match supervisor::run(config, source)? {
        role::Exit::Stopped => Exit::Done,
        role::Exit::LostMastership => Exit::LostMastership,
        role::Exit::DuplicateName => Exit::DuplicateName,
    })
}

/// What a supervisor asks the program at its path before it executes it. Nothing is touched.
fn adopt_check(config: Result<&config::Config, String>) -> anyhow::Result<Exit> {
    let answer = upgrade::answer(std::io::stdin().lock(), config);
    super::print(&serde_json::to_string(&answer)?)?;
    Ok(if matches!(answer, upgrade::Answer::Adopts(_)) { Exit::Done } else { Exit::Failed })
}
