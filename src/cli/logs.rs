//! Logging: to stderr, one line per event, its level changeable at a reload.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::exit::Usage;
use super::{LogFormat, Options};
use crate::config::LogLevel;

/// The log's level, where it may still be changed.
#[derive(Clone, Debug)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    /// `RUST_LOG`, `-v` or `-q` has decided.
    fixed: bool,
}

impl Logs {
    /// Starts logging for this process.
    ///
    /// # Errors
    /// `RUST_LOG` cannot be understood, or logging had been started before.
    pub fn init(options: &Options) -> anyhow::Result<Self> {
        let from_environment = std::env::var("RUST_LOG").unwrap_or_default();
        let asked = asked(options);
        let directives =
            if from_environment.is_empty() { directives(asked.unwrap_or_default()) } else { from_environment.clone() };
        let filter = EnvFilter::try_new(&directives).map_err(|error| Usage(format!("RUST_LOG: {error}")))?;
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_writer(io::stderr);
        let lines = match options.log_format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).try_init()?;
        Ok(Self { filter: handle, fixed: asked.is_some() || !from_environment.is_empty() })
    }

    /// Applies the configuration's level, unless the command line or `RUST_LOG` has decided; says whether it did.
    pub fn set_level(&self, level: LogLevel) -> bool {
        !self.fixed && self.filter.reload(EnvFilter::new(directives(level))).is_ok()
    }
}

/// The level that `-v` and `-q` ask for.
fn asked(options: &Options) -> Option<LogLevel> {
    match (options.verbose, options.quiet) {
        (0, 0) => None,
        (0, 1) => Some(LogLevel::Warn),
        (0, _) => Some(LogLevel::Error),
        (1, _) => Some(LogLevel::Debug),
        (_, _) => Some(LogLevel::Trace),
    }
}

/// The ZooKeeper client reports every reconnection attempt of its own: of interest only to who looks for it.
fn directives(level: LogLevel) -> String {
    let client = match level {
        LogLevel::Error => "error",
        LogLevel::Warn | LogLevel::Info => "warn",
        LogLevel::Debug | LogLevel::Trace => level.as_str(),
    };
    format!("{},zookeeper_client={client}", level.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_makes_a_filter_and_the_client_is_quieter_until_asked_for() {
        for level in LogLevel::ALL {
            EnvFilter::try_new(directives(level)).unwrap();
        }
        assert_eq!(directives(LogLevel::Info), "info,zookeeper_client=warn");
        assert_eq!(directives(LogLevel::Debug), "debug,zookeeper_client=debug");
    }
}
