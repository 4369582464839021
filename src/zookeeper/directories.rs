//! The persistent nodes that everything else stands in, and their ACL.
//!
//! ZooKeeper checks a deletion against the *parent's* ACL, so it is the directories that must carry one: an ephemeral
//! node with an ACL in an open directory can be deleted by any stranger.

use futures::future::join_all;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use super::paths::Paths;

/// The ACL of every node: whoever knows the digest, or, without one, anybody.
pub fn acls(digest: bool) -> Acls<'static> {
    if digest { Acls::creator_all() } else { Acls::anyone_all() }
}

pub fn options(mode: CreateMode, digest: bool) -> CreateOptions<'static> {
    mode.with_acls(acls(digest))
}

/// Creates what is missing, in one pipelined go. An error is one sentence for a person.
pub async fn ensure(client: &Client, paths: &Paths, digest: bool) -> Result<(), String> {
    let nodes = paths.persistent();
    let options = options(CreateMode::Persistent, digest);
    let results = join_all(nodes.iter().map(|path| client.create(path, b"", &options)).collect::<Vec<_>>()).await;
    let above = |path: &str| path.len() <= paths.cluster.len();
    for (path, result) in nodes.iter().zip(results) {
        match result {
            Ok(_) => {}
            Err(Error::NodeExists) if digest && path.starts_with(&paths.cluster) => is_ours(client, path).await?,
            Err(Error::NodeExists) => {}
            // What lies above the cluster may be somebody else's: then it is enough that the node is there.
            Err(Error::NoAuth) if above(path) && matches!(client.check_stat(path).await, Ok(Some(_))) => {}
            Err(Error::NoAuth) => {
                return Err(format!("not authorized to create {path}: does digest_file fit the ACL of its parent?"));
            }
            Err(error) => return Err(format!("cannot create {path}: {error}")),
        }
    }
    Ok(())
}

/// Whether the directory may be used with this digest. (Who else may use it: [`super::protection`].)
async fn is_ours(client: &Client, path: &str) -> Result<(), String> {
    match client.get_acl(path).await {
        Ok(_) => Ok(()),
        Err(Error::NoAuth) => Err(format!("not authorized to use {path}: is this another cluster's digest?")),
        Err(error) => Err(format!("cannot read the ACL of {path}: {error}")),
    }
}
