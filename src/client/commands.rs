//! The read-only client commands, without their command lines.
//!
//! Results go to stdout, complaints to stderr, and a reader that goes away (`| head`) is not an error.

use std::io;
use std::time::Duration;

use crate::client::render::{Format, render_beginning, render_history, render_status};
use crate::client::verdict::{Health, Verdict};
use crate::client::{Access, Client, Error, Sight, plugin, timeline};
use crate::moment::in_words;
use crate::status::{ActiveView, ClusterView};
use crate::{clock, output};

/// Monitoring systems wait ten seconds as a rule.
const CHECK_WITHIN: Duration = Duration::from_secs(9);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
    /// Nobody could be asked.
    Unknown,
}

impl Outcome {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unknown => 3,
        }
    }
}

/// What `primacy which-active` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Node,
    Api,
    Endpoint(String),
}

/// `primacy status`.
pub fn status(source: &Client, format: Format) -> Outcome {
    print(source.sight().map(|sight| render_status(&sight, format, clock::wall())))
}

/// `primacy status --check`: one line, and the state as the exit code.
pub fn check(source: Client) -> Health {
    let (sender, receiver) = std::sync::mpsc::channel();
    // Several places may be asked in turn, and a plugin that takes too long is killed without a word.
    let asking = std::thread::Builder::new().spawn(move || drop(sender.send(source.sight())));
    let heard = match asking {
        Ok(_) => receiver.recv_timeout(CHECK_WITHIN).ok(),
        Err(_) => None,
    };
    let (health, line) = match heard {
        Some(Ok(sight)) => {
            let verdict = Verdict::of(&sight, clock::wall());
            (verdict.health, plugin::line(&verdict))
        }
        Some(Err(error)) => {
            // That nobody has ever been there is known.
            let health = if error.could_not_ask() { Health::Unknown } else { Health::Critical };
            (health, plugin::without_figures(health, &error.to_string()))
        }
        None => {
            let why = format!("no answer within {}", in_words(CHECK_WITHIN));
            (Health::Unknown, plugin::without_figures(Health::Unknown, &why))
        }
    };
    match output::print(&line) {
        Ok(()) => health,
        Err(error) => {
            unprinted(&error);
            Health::Unknown
        }
    }
}

/// `primacy history`.
pub fn history(source: &Client, format: Format) -> Outcome {
    print(source.history().map(|entries| render_history(&entries, format, clock::wall())))
}

/// `primacy history EPOCH`. `access`: what is shown to the members.
pub fn beginning(source: &Client, access: Access, epoch: u64, format: Format) -> Outcome {
    match timeline::beginning(source, access, epoch) {
        Ok(Some(beginning)) => show(&render_beginning(&beginning, format)),
        Ok(None) => {
            output::complain(&format!(
                "primacy: there is no epoch {epoch} in the history; `primacy history` shows which there are"
            ));
            Outcome::Failed
        }
        Err(error) => complain(&error),
    }
}

/// `primacy which-active`.
pub fn which_active(source: &Client, which: &Which) -> Outcome {
    let sight = match source.glance() {
        Ok(Sight { blind: Some(why), .. }) => {
            output::complain(&format!("primacy: nobody who answers can know who is active: {why}"));
            return Outcome::Unknown;
        }
        sight => sight,
    };
    match sight.map(|sight| choose(&sight.view, which)) {
        Ok(Ok(text)) => show(&text),
        Ok(Err(problem)) => {
            output::complain(&format!("primacy: {problem}"));
            Outcome::Failed
        }
        Err(error) => complain(&error),
    }
}

/// The line to print, or why there is none.
///
/// # Errors
/// Nobody is active, or the active one has no such endpoint.
pub fn choose(view: &ClusterView, which: &Which) -> Result<String, String> {
    let Some(ActiveView { node, api, endpoints, .. }) = &view.active else {
        return Err(format!("no node of cluster {} is active", view.cluster));
    };
    match which {
        Which::Node => Ok(format!("{node}\n")),
        Which::Api => Ok(format!("{api}\n")),
        Which::Endpoint(name) => match endpoints.get(name) {
            Some(endpoint) => Ok(format!("{endpoint}\n")),
            None => {
                let known = endpoints.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none" } else { &known };
                Err(format!("{node} has no endpoint {name}; it has: {known}"))
            }
        },
    }
}

fn print(result: Result<String, Error>) -> Outcome {
    result.map_or_else(|error| complain(&error), |text| show(&text))
}

fn show(text: &str) -> Outcome {
    output::print(text).map_or_else(|error| unprinted(&error), |()| Outcome::Done)
}

fn complain(error: &Error) -> Outcome {
    output::complain(&format!("primacy: {error}"));
    if error.could_not_ask() { Outcome::Unknown } else { Outcome::Failed }
}

/// Standard output does not take it. A reader that goes away has seen enough.
pub(super) fn unprinted(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Outcome::Done;
    }
    output::complain(&format!("primacy: standard output: {error}"));
    Outcome::Failed
}
