//! Reads the configuration again, and gives the new one to those who use it.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api;
use crate::config::{self, Config};
use crate::moment::in_words;
use crate::node::Reread;

use super::apart::apart;
use super::parts;
use super::source::Source;

/// How long the files of a configuration may take to be read.
const READING: Duration = Duration::from_secs(10);

/// What was read, everything that can be wrong with it found.
struct Read {
    config: Config,
    /// Of `api.tls`, where there is one.
    certificates: Option<api::Certificates>,
}

/// A reload under way: files are read on a thread of its own, for they may lie on anything, and `coordinator.user` is looked
/// up by whatever this host asks for names.
#[derive(Default)]
pub struct Reloading {
    reading: Option<oneshot::Receiver<Result<Read, String>>>,
    /// Read, and not in force yet.
    certificates: Option<api::Certificates>,
}

impl Reloading {
    pub fn begin(&mut self, source: &Source) {
        let (sender, receiver) = oneshot::channel();
        let (file, command) = (source.file.clone(), source.command.clone());
        self.reading = Some(receiver);
        tokio::spawn(async move {
            let reading = apart("reload", move || read(&file, command));
            let read = match timeout(READING, reading).await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!(
                    "the file, or one that it names, could not be read within {}; does its file system answer? \
                     Send SIGHUP again when it does",
                    in_words(READING)
                )),
            };
            let _ = sender.send(read);
        });
    }

    /// What was read. Cancel safe.
    pub async fn done(&mut self, source: &Source) -> Result<Box<Reread>, String> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let read = reading.await.unwrap_or_else(|_| Err("it could not be read".to_owned()));
        self.reading = None;
        let Read { config, certificates } = read?;
        let level_applies = (source.set_log_level)(config.log_level);
        self.certificates = certificates;
        Ok(Box::new(Reread { config, level_applies }))
    }

    /// What is in force by now.
    pub fn apply(&mut self, config: &Config, api: &api::ApiThread) {
        api.reload_tokens(parts::tokens(config));
        if let Some(certificates) = self.certificates.take().filter(|_| config.api.tls.is_some()) {
            tracing::info!("the files of api.tls have been read again");
            api.reload_tls(certificates);
        }
    }
}

fn read(file: &Path, command: Option<Vec<String>>) -> Result<Read, String> {
    let config = config::load(file, command).map_err(|problems| problems.to_string())?;
    let certificates = config.api.tls.as_ref().map(api::certificates).transpose().map_err(|error| error.to_string())?;
    Ok(Read { config, certificates })
}
