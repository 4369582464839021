//! The read-only client commands, without their command lines.
//!
//! Results go to stdout, complaints to stderr, and a reader that goes away (`| head`) is not an error.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use crate::client::render::{Format, render_beginning, render_history, render_status};
use crate::client::{Access, Client, Error, timeline};
use crate::output;
use crate::status::{ActiveView, ClusterView};

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

/// `primacy status`; with `watch` again and again, until stdout is closed.
pub fn status(source: &Client, format: Format, watch: Option<Duration>) -> Outcome {
    let Some(interval) = watch else {
        return print(source.cluster().map(|view| render_status(&view, format)));
    };
    let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        match source.cluster() {
            Ok(view) => {
                if let Err(error) = output::print(&format!("{clear}{}", render_status(&view, format))) {
                    return unprinted(&error);
                }
            }
            Err(error) => output::complain(&format!("primacy: {error}")),
        }
        std::thread::sleep(interval);
    }
}

/// `primacy history`.
pub fn history(source: &Client, format: Format) -> Outcome {
    print(source.history().map(|entries| render_history(&entries, format)))
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
    match source.cluster().map(|view| choose(&view, which)) {
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
fn unprinted(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Outcome::Done;
    }
    output::complain(&format!("primacy: standard output: {error}"));
    Outcome::Failed
}
