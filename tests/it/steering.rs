//! What operators want of a cluster: switchover, node states, pause. With the commands, on real servers.

use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

mod adoption;
mod api;
mod confirm_fenced;
mod known;
mod rehearsal;
mod report;
mod states;
mod switchover;

/// `a` is active, `b` and `c` could take over; `b` stands before `c`.
fn three() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b", "c"]);
    cluster
}

/// The first one active, the others known to all as able to take over.
fn start(cluster: &mut Cluster, names: &[&str]) {
    cluster.start_with_active(names);
    cluster.until("the others are known to be able to take over", |cluster| {
        let view = cluster.get(names[0], "/cluster")?;
        let able = view["members"].as_array()?.iter().filter(|member| member["eligible"] == true).count();
        (able == names.len() - 1).then_some(())
    });
}

/// A command, with the configuration of `a`.
fn primacy(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("-c").arg(cluster.config_file("a")).args(arguments);
    command.output().unwrap()
}

/// One that is done; what it says.
fn done(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = primacy(cluster, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One that is not; its exit code, and what it complains of.
fn refused(cluster: &Cluster, arguments: &[&str]) -> (i32, String) {
    let output = primacy(cluster, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn entry(cluster: &mut Cluster, asked: &str, epoch: u64) -> Value {
    cluster.until("the entry has its end", |cluster| {
        cluster.history(asked).into_iter().find(|entry| entry["epoch"] == epoch && !entry["to"].is_null())
    })
}
