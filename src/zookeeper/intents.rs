//! What people want, as it is kept in ZooKeeper: `control` and `states/NODE`.

use zookeeper_client::{Client, CreateMode, Error, MultiWriteError};

use super::directories;
use super::paths::Paths;
use crate::intents::{Change, Control, Intended, WantedState};

/// All of it.
///
/// # Errors
/// The client's.
pub async fn read(client: &Client, paths: &Paths) -> Result<Intended, Error> {
    let mut intended = Intended::default();
    match client.get_data(&paths.control).await {
        Ok((data, stat)) => {
            intended.control = Control::parse(Some(&data));
            intended.version = Some(stat.version);
            intended.written = stat.mzxid;
        }
        Err(Error::NoNode) => {}
        Err(error) => return Err(error),
    }
    let names = match client.list_children(&paths.states).await {
        Err(Error::NoNode) => Vec::new(),
        listed => listed?,
    };
    for name in names {
        match client.get_data(&paths.state(&name)).await {
            Ok((data, stat)) => drop(intended.states.insert(name, (WantedState::parse(&data), stat.version))),
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(intended)
}

/// All of the change or nothing.
///
/// # Errors
/// The client's; `BadVersion`, `NoNode` or `NodeExists` where it was decided on what is no longer so.
pub async fn write(client: &Client, paths: &Paths, digest: bool, change: &Change) -> Result<(), Error> {
    let options = directories::options(CreateMode::Persistent, digest);
    let mut writer = client.new_multi_writer();
    if let Some((version, control)) = &change.control {
        let data = serde_json::to_vec(control).expect("string keys");
        match version {
            Some(version) => writer.add_set_data(&paths.control, &data, Some(*version))?,
            None => writer.add_create(&paths.control, &data, &options)?,
        }
    }
    for (node, (version, wanted)) in &change.states {
        let path = paths.state(node);
        let data = wanted.as_ref().map(|wanted| serde_json::to_vec(wanted).expect("string keys"));
        match (version, data) {
            (Some(version), Some(data)) => writer.add_set_data(&path, &data, Some(*version))?,
            (Some(version), None) => writer.add_delete(&path, Some(*version))?,
            (None, Some(data)) => writer.add_create(&path, &data, &options)?,
            (None, None) => {}
        }
    }
    match writer.commit().await {
        Ok(_) => Ok(()),
        Err(MultiWriteError::OperationFailed { source, .. } | MultiWriteError::RequestFailed { source }) => Err(source),
    }
}
