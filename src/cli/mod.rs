//! The command line: its types, and one file per command.
//!
//! A command takes its arguments apart, calls what does the work and says how the process ends ([`Exit`]); nothing here
//! decides anything about a cluster. Errors come back as `anyhow::Error` to `main`, which shows them; their kind decides
//! the exit code.
//!
//! `--api` has two meanings in the interface: with URLs it says whom to ask (all client commands), and without a value it
//! is `which-active`'s "print the URL". So it takes an optional value there, and URLs may always be given before the
//! command as well: `primacy --api http://node-a:9090 which-active --api`.

use std::io;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::client::Client;
use crate::client::commands::Outcome;
use crate::config::{self, Config, ElectionKind, defaults};
use crate::output::AfterPanic;
use crate::{output, seeded_bug};

mod access;
mod check;
mod check_part;
mod completions;
mod config_command;
mod demo;
mod events;
pub mod exit;
mod guardian;
mod history;
pub mod logs;
mod man;
mod peer_test;
mod proxy_config;
pub mod reference;
mod report;
mod run;
mod runner;
pub mod status;
mod steer;
mod try_lock;
mod verify;
mod volume;
mod warm;
mod which_active;

pub use exit::Exit;

/// Keeps exactly one coordinator running on a set of hosts that share a metadata volume
///
/// Every host that may run the coordinator runs `primacy run`. They elect one active node, which holds the shared lock and runs the coordinator; it is killed before another node can take over.
#[derive(Debug, Parser)]
#[command(name = "primacy", version = seeded_bug::version(), after_help = EXIT_CODES, max_term_width = 100, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    /// Ask these members' APIs, in turn, instead of ZooKeeper (client commands)
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', value_parser = api_url)]
    pub api: Vec<String>,
    #[command(flatten)]
    pub access: access::AccessArguments,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, or a clean stop; 1 failed or refused; 2 usage; 3 lost mastership and fenced \
itself; 4 another live member has this node name; 78 configuration missing or invalid.";

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The configuration [default: /etc/primacy/primacy.toml]
    #[arg(short, long, global = true, value_name = "FILE", env = "PRIMACY_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Log more (-v debug, -vv trace); RUST_LOG has precedence
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log less (-q warnings, -qq errors only)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// How log lines look; they go to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        hide_possible_values = false
    )]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    WhichActive(which_active::Arguments),
    History(history::Arguments),
    Events(events::Arguments),
    Report(report::Arguments),
    Verify(verify::Arguments),
    Volume(volume::Arguments),
    Switchover(steer::switchover::Arguments),
    Isolate(steer::states::IsolateArguments),
    Activate(steer::states::ActivateArguments),
    Shutdown(steer::states::ShutdownArguments),
    Pause(steer::pause::PauseArguments),
    Resume(steer::pause::ResumeArguments),
    Forget(steer::forget::Arguments),
    ConfirmFenced(steer::confirm_fenced::Arguments),
    Rehearse(steer::rehearse::Arguments),
    ProxyConfig(proxy_config::Arguments),
    Upgrade(steer::upgrade::Arguments),
    Config(config_command::Arguments),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    Guardian(guardian::Arguments),
    Runner(runner::Arguments),
    GenerateReference(reference::Arguments),
    TryLock(try_lock::Arguments),
    PeerTest(peer_test::Arguments),
    Warm(warm::Arguments),
    CheckPart(check_part::Arguments),
}

impl Command {
    /// These have somebody to kill: their end has it done, their drops do not.
    pub const fn after_panic(&self) -> AfterPanic {
        if matches!(self, Self::Run(_) | Self::Guardian(_) | Self::Runner(_)) {
            AfterPanic::EndAtOnce
        } else {
            AfterPanic::Unwind
        }
    }

    /// The guardian says what it has to say to its supervisor, and its standard error is the coordinator's.
    pub fn logs(&self) -> bool {
        !matches!(
            self,
            Self::Guardian(_)
                | Self::Runner(_)
                | Self::Demo(_)
                | Self::PeerTest(_)
                | Self::Warm(_)
                | Self::CheckPart(_)
        )
    }
}

/// Carries out a command. `logs`: where this process logs.
///
/// # Errors
/// What is to be shown to the user; [`Exit::of`] gives the exit code.
pub fn run(cli: Cli, logs: Option<logs::Logs>) -> anyhow::Result<Exit> {
    let Cli { options, api, access, command } = cli;
    let before = Asked { api, access };
    match command {
        Command::Run(arguments) => run::run(&options, arguments, logs),
        Command::Check(arguments) => check::run(&options, arguments),
        Command::Status(arguments) => status::run(&options, before, arguments),
        Command::WhichActive(arguments) => which_active::run(&options, before, arguments),
        Command::History(arguments) => history::run(&options, before, arguments),
        Command::Events(arguments) => events::run(&options, before, arguments),
        Command::Report(arguments) => report::run(&options, before, arguments),
        Command::Verify(arguments) => verify::run(&options, &arguments),
        Command::Volume(arguments) => volume::run(&options, arguments),
        Command::Switchover(arguments) => steer::switchover::run(&options, before, arguments),
        Command::Forget(arguments) => steer::forget::run(&options, before, arguments),
        Command::ConfirmFenced(arguments) => steer::confirm_fenced::run(&options, before, arguments),
        Command::Isolate(arguments) => steer::states::isolate(&options, before, arguments),
        Command::Activate(arguments) => steer::states::activate(&options, before, arguments),
        Command::Shutdown(arguments) => steer::states::shutdown(&options, before, arguments),
        Command::Pause(arguments) => steer::pause::pause(&options, before, arguments),
        Command::Resume(arguments) => steer::pause::resume(&options, before, arguments),
        Command::Rehearse(arguments) => steer::rehearse::run(&options, before, arguments),
        Command::ProxyConfig(arguments) => proxy_config::run(&options, before, arguments),
        Command::Upgrade(arguments) => steer::upgrade::run(&options, before, arguments),
        Command::Config(arguments) => config_command::run(&options, &arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Guardian(arguments) => Ok(guardian::run(&arguments)),
        Command::Runner(arguments) => Ok(runner::run(&arguments)),
        Command::GenerateReference(arguments) => reference::run(&arguments),
        Command::TryLock(arguments) => try_lock::run(&arguments),
        Command::Warm(arguments) => warm::run(&arguments),
        Command::PeerTest(arguments) => peer_test::run(&options, arguments),
        Command::CheckPart(arguments) => check_part::run(&options, arguments),
    }
}

impl Options {
    /// The file that `-c`, `PRIMACY_CONFIG` or the default names.
    pub fn config_file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(defaults::CONFIG_FILE))
    }

    /// Loads for a command that does not run the coordinator, and so does not miss a command for it.
    fn load_for_client(&self) -> Result<Config, config::Problems> {
        config::load_for_client(self.config_file())
    }
}

/// Whom a client command asks, and what it shows there.
#[derive(Clone, Debug, Default, Args)]
pub struct Asked {
    /// Ask these members' APIs, in turn, instead of ZooKeeper
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', value_parser = api_url)]
    pub api: Vec<String>,
    #[command(flatten)]
    pub access: access::AccessArguments,
}

/// Whom a client command asks: `--api`, given before or after the command, goes before the configuration. With
/// `election = "lock"` there is no ZooKeeper to ask: this host's own API knows.
fn client(options: &Options, before: Asked, after: Asked) -> anyhow::Result<Client> {
    let urls: Vec<String> = before.api.into_iter().chain(after.api).collect();
    let access = after.access.or(before.access);
    if !urls.is_empty() {
        // Named beside --api, the configuration has the token. A file that cannot be read is no reason not to ask.
        let configured = options.config.as_ref().and_then(|_| options.load_for_client().ok());
        return Ok(Client::from_api(urls, access.read(configured.and_then(token))?));
    }
    let config = options.load_for_client()?;
    Ok(match config.election {
        ElectionKind::ZooKeeper => Client::from_zookeeper(&config.cluster, config.zookeeper),
        ElectionKind::Lock => Client::from_api([config.api.advertise.clone()], access.read(token(config))?),
    })
}

/// The least that opens what a client command reads.
fn token(config: Config) -> Option<config::Secret> {
    config.api.token.or(config.api.read_token).map(|secret| secret.first_token())
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed => Self::Failed,
            Outcome::Unknown => Self::CouldNotAsk,
        }
    }
}

/// Checks one URL of `--api`; gives it without a slash at its end.
fn api_url(text: &str) -> Result<String, String> {
    config::base_url(text).map_err(|(what, remedy)| format!("{what}; {remedy}"))
}

/// To stdout, where a reader that goes away (`| head`) is an error of its own kind and not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    output::print(text).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => anyhow::Error::from(error).context("standard output"),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn whom_to_ask_may_be_said_before_and_after_the_command() {
        for line in ["primacy --api http://a:1/,http://b:2 status", "primacy status --api http://a:1/,http://b:2"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Command::Status(arguments) = cli.command else { panic!("another command") };
            let urls: Vec<String> = cli.api.into_iter().chain(arguments.asked.api).collect();
            assert_eq!(urls, ["http://a:1", "http://b:2"], "{line}");
        }
    }

    #[test]
    fn status_repeats_every_two_seconds_unless_told_otherwise() {
        for (line, seconds) in
            [("primacy status", None), ("primacy status -w", Some(2)), ("primacy status -w 5", Some(5))]
        {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Command::Status(arguments) = cli.command else { panic!("another command") };
            assert_eq!(arguments.watch, seconds);
        }
        Cli::try_parse_from(["primacy", "status", "-w", "0"]).unwrap_err();
    }

    #[test]
    fn what_follows_two_dashes_is_the_coordinator_s_command() {
        let cli = Cli::try_parse_from(["primacy", "run", "-c", "f", "--", "sleep", "-v", "1"]).unwrap();
        let Command::Run(arguments) = cli.command else { panic!("another command") };
        assert_eq!(arguments.command, ["sleep", "-v", "1"]);
        assert_eq!(cli.options.verbose, 0);
    }
}
