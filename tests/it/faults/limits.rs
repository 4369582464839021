//! There are no more threads, processes or descriptors to be had, for a while.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::Signal;

use super::pair;
use crate::cluster::{Cluster, send};
use crate::limits::{NO_GROUP, Tasks, set_descriptors, take_descriptors_from};
use crate::zookeeper::Server;

/// Loses its guardian while it cannot have another, says so, and stands by again once it can.
fn without_a_guardian_for_a_while(limit: impl FnOnce(i32), lift: impl FnOnce(i32)) {
    let mut cluster = pair();
    let supervisor = cluster.supervisor("b");
    limit(supervisor);
    let guardian = cluster.guardian("b");
    send(guardian, Signal::SIGKILL);
    cluster.until_logged("b", "no guardian can be started");
    cluster.until("a knows that b could not take over", |cluster| {
        let view = cluster.get("a", "/cluster")?;
        let members = view["members"].as_array()?;
        // Where it had to connect anew meanwhile, it could not even say so.
        let Some(member) = members.iter().find(|member| member["node"] == "b") else { return Some(()) };
        let says_why = member["reason"].as_str()?.starts_with("no guardian can be started");
        (member["eligible"] == false && says_why).then_some(())
    });
    lift(supervisor);
    cluster.until_eligible("b");
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn a_node_without_tasks_to_spare_has_no_guardian_and_has_one_again_once_there_are_some() {
    let Some(tasks) = Tasks::new() else { return crate::skipped(NO_GROUP) };
    without_a_guardian_for_a_while(
        |supervisor| {
            tasks.take_in(supervisor);
            tasks.limit(1);
        },
        |_| tasks.lift(),
    );
}

#[test]
fn a_node_without_descriptors_to_spare_has_no_guardian_and_has_one_again_once_there_are_some() {
    let former = std::cell::OnceCell::new();
    without_a_guardian_for_a_while(
        |supervisor| former.set(take_descriptors_from(supervisor)).unwrap(),
        |supervisor| set_descriptors(supervisor, former.get().unwrap()),
    );
}

#[test]
fn an_active_node_without_tasks_to_spare_still_notices_that_its_coordinator_is_unhealthy() {
    let Some(tasks) = Tasks::new() else { return crate::skipped(NO_GROUP) };
    let mut cluster = Cluster::new(&Server::shared().address());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(AtomicU16::new(200));
    let told = answer.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let code = told.load(Ordering::Relaxed);
            let _ = write!(stream, "HTTP/1.1 {code} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    // Longer than a thread for look-ups of names stays without having been asked to.
    cluster.set("health.interval", "11s");
    cluster.set("health.failures", 1);
    cluster.set_for("a", "health.http", format!("http://localhost:{port}/"));
    cluster.start_with_active(&["a", "b"]);
    tasks.take_in(cluster.supervisor("a"));
    tasks.limit(1);
    answer.store(500, Ordering::Relaxed);
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "coordinator_unhealthy");
    tasks.lift();
    cluster.until_eligible("a");
    cluster.judge();
}

#[test]
fn where_no_thread_can_be_had_at_the_start_every_command_ends_with_a_word_and_a_code() {
    let Some(tasks) = Tasks::new() else { return crate::skipped(NO_GROUP) };
    tasks.limit(1);
    let server = Server::shared().address();
    let mut cluster = Cluster::new(&server);
    cluster.write_config("a");
    let file = cluster.config_file("a");
    for arguments in [&["run"][..], &["status"], &["which-active"], &["history"], &["check"]] {
        let mut command = tasks.command(env!("CARGO_BIN_EXE_primacy"));
        command.args(arguments).arg("-c").arg(&file).env_remove("RUST_LOG");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 3)), "{arguments:?}: {:?} {said}", output.status);
        assert!(said.contains("thread") || said.contains("unavailable"), "{arguments:?} said only {said:?}");
    }
}
