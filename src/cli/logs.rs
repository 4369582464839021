//! Logging: to stderr, one line per event, its level changeable at a reload.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::exit::Usage;
use super::{LogFormat, Options};
use crate::config::LogLevel;
use crate::output::{self, LogLines};

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
        let colours = io::stderr().is_terminal();
        let (subscriber, logs) = subscriber(options, &from_environment, || LogLines, colours)?;
        subscriber.try_init()?;
        if options.log_format == LogFormat::Json {
            output::use_json();
        }
        Ok(logs)
    }

    /// Applies the configuration's level, unless the command line or `RUST_LOG` has decided; says whether it did.
    pub fn set_level(&self, level: LogLevel) -> bool {
        !self.fixed && self.filter.reload(EnvFilter::new(directives(level))).is_ok()
    }
}

fn subscriber<W>(
    options: &Options,
    from_environment: &str,
    writer: W,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync + 'static, Logs), Usage>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let asked = asked(options);
    let directives = match from_environment {
        "" => directives(asked.unwrap_or_default()),
        _ => from_environment.to_owned(),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| Usage(format!("RUST_LOG: {error}")))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(writer);
    let lines = match options.log_format {
        LogFormat::Text => lines.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, Logs { filter: handle, fixed: asked.is_some() || !from_environment.is_empty() }))
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

/// The ZooKeeper client warns of every attempt to connect that fails, dozens of times while a server starts. What an
/// operator has to know of it, primacy says once.
fn directives(level: LogLevel) -> String {
    let client = match level {
        LogLevel::Error | LogLevel::Warn | LogLevel::Info => "error",
        LogLevel::Debug | LogLevel::Trace => level.as_str(),
    };
    format!("{},zookeeper_client={client}", level.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of one event per level, and of one of the ZooKeeper client; before and after `set_level(level)`.
    fn logged(line: &str, from_environment: &str, level: LogLevel) -> (String, String) {
        let options = Cli::try_parse_from(line.split(' ')).unwrap().options;
        let memory = Memory::default();
        let writer = memory.clone();
        let (subscriber, logs) = subscriber(&options, from_environment, move || writer.clone(), false).unwrap();
        let events = || {
            tracing::error!("an-error");
            tracing::info!(epoch = 7, "an-info");
            tracing::debug!("a-debug");
            tracing::warn!(target: "zookeeper_client::session", "a-reconnection");
            String::from_utf8(std::mem::take(&mut *memory.0.lock().unwrap())).unwrap()
        };
        tracing::subscriber::with_default(subscriber, || {
            let before = events();
            logs.set_level(level);
            (before, events())
        })
    }

    fn words(text: &str) -> Vec<&'static str> {
        ["an-error", "an-info", "a-debug", "a-reconnection"].into_iter().filter(|word| text.contains(word)).collect()
    }

    #[test]
    fn the_configuration_s_level_applies_unless_the_command_line_or_the_environment_has_decided() {
        let (before, after) = logged("primacy config default", "", LogLevel::Debug);
        assert_eq!(words(&before), ["an-error", "an-info"]);
        assert_eq!(words(&after), ["an-error", "an-info", "a-debug", "a-reconnection"]);
        let (_, after) = logged("primacy -v config default", "", LogLevel::Error);
        assert_eq!(words(&after), ["an-error", "an-info", "a-debug", "a-reconnection"]);
        let (before, after) = logged("primacy config default -q", "", LogLevel::Debug);
        assert_eq!((words(&before), words(&after)), (vec!["an-error"], vec!["an-error"]));
        let (_, after) = logged("primacy -v config default", "error", LogLevel::Debug);
        assert_eq!(words(&after), ["an-error"]);
    }

    #[test]
    fn a_json_line_has_the_event_s_fields() {
        let (lines, _) = logged("primacy --log-format json config default", "", LogLevel::Info);
        let line: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&line["message"], &line["epoch"], &line["level"]), (&"an-info".into(), &7.into(), &"INFO".into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
