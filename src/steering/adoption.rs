//! To make another volume the cluster's.

use zookeeper_client as zk;

use super::ensemble::understood;
use super::{Ensemble, Error};
use crate::intents::adoption::may_adopt;
use crate::intents::decide::Refusal;
use crate::zookeeper::{contents, directories};

/// What the cluster takes for its volume, and what guards a change of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// `None`: it has none yet.
    pub volume: Option<String>,
    volume_version: Option<i32>,
    epoch: Vec<u8>,
    epoch_version: i32,
}

impl Ensemble {
    /// What the cluster takes for its volume.
    ///
    /// # Errors
    /// Somebody leads, or nobody ever has; or ZooKeeper could not be asked.
    pub fn volume_to_be_replaced(&self) -> Result<Guarded, Error> {
        // Before the look at who leads: whoever claims after it has changed the epoch.
        let guarded = self.ask(async |client| {
            let paths = self.paths();
            let (epoch, stat) = match client.get_data(&paths.epoch).await {
                Err(zk::Error::NoNode) => return Ok(None),
                read => read?,
            };
            let volume_version = client.check_stat(&paths.volume).await?.map(|stat| stat.version);
            let volume = understood(client, &paths.volume, |data| Some(contents::volume(data))).await?;
            Ok(Some(Guarded { volume, volume_version, epoch, epoch_version: stat.version }))
        })?;
        let Some(guarded) = guarded else {
            let text = "this cluster has never had an active node: the first one adopts the volume that it finds";
            return Err(Error::Refused(Refusal::Absent(text.to_owned())));
        };
        may_adopt(&self.picture()?).map_err(Error::Refused)?;
        Ok(guarded)
    }

    /// Makes this volume the cluster's, unless anybody has taken an epoch since. Who was elected with the former one is refused
    /// its epoch, and looks again: the epoch's number stays, its version does not.
    ///
    /// # Errors
    /// It was refused, or ZooKeeper could not be asked. Where no answer came the change may have been made.
    pub fn adopt(&self, guarded: &Guarded, id: &str) -> Result<(), Error> {
        let digest = self.config.digest.is_some();
        let written = self.ask(async |client| {
            let paths = self.paths();
            let mut writer = client.new_multi_writer();
            writer.add_set_data(&paths.epoch, &guarded.epoch, Some(guarded.epoch_version))?;
            match guarded.volume_version {
                Some(version) => writer.add_set_data(&paths.volume, id.as_bytes(), Some(version))?,
                None => {
                    let options = directories::options(zk::CreateMode::Persistent, digest);
                    writer.add_create(&paths.volume, id.as_bytes(), &options)?;
                }
            }
            match writer.commit().await {
                Ok(_) => Ok(true),
                Err(
                    zk::MultiWriteError::OperationFailed { source, .. } | zk::MultiWriteError::RequestFailed { source },
                ) => match source {
                    zk::Error::BadVersion | zk::Error::NodeExists | zk::Error::NoNode => Ok(false),
                    error => Err(error),
                },
            }
        })?;
        if written {
            return Ok(());
        }
        let text = "somebody has become active meanwhile, or has changed the volume: nothing was changed";
        Err(Error::Refused(Refusal::Conflict(text.to_owned())))
    }
}
