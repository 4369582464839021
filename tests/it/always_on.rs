//! `mode = "always-on"`: coordinators on every host, without election and lock. The whole program, on a real server.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use zookeeper_client::Client;

use crate::cluster::{Cluster, block_on, send};
use crate::zookeeper::Server;

/// Leaves a line with its pid for each start, is well while there is a file for that, and says what it was told.
const COORDINATOR: &str = r#"
    echo "$$ ${PRIMACY_EPOCH-none} ${PRIMACY_LOCK_FD-none}" >> "$DIR/starts-$PRIMACY_NODE"
    exec sleep 100000"#;

fn always_on(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    for name in names {
        make_always_on(&mut cluster, name);
    }
    cluster
}

fn make_always_on(cluster: &mut Cluster, name: &str) {
    let directory = cluster.path("");
    cluster.set_for(name, "mode", "always-on");
    let command = ["/bin/sh", "-c", COORDINATOR].map(str::to_owned).to_vec();
    cluster.set_for(name, "coordinator.command", command);
    cluster.set_for(name, "coordinator.environment.DIR", directory.to_str().unwrap().to_owned());
    cluster.set_for(name, "coordinator.endpoints.web", format!("http://{name}:9047"));
    cluster.set_for(name, "health.interval", "100ms");
    cluster.set_for(name, "health.failures", 2);
    let well = cluster.path(&format!("well-{name}"));
    fs::write(&well, "").unwrap();
    cluster.set_for(
        name,
        "health.command",
        vec!["test".to_owned(), "-e".to_owned(), well.to_str().unwrap().to_owned()],
    );
}

/// A line for each start: pid, epoch, descriptor.
fn starts(cluster: &Cluster, name: &str) -> Vec<String> {
    let text = fs::read_to_string(cluster.path(&format!("starts-{name}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn main_pid(cluster: &Cluster, name: &str) -> i32 {
    starts(cluster, name).last().unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn until_serving(cluster: &mut Cluster, name: &str, count: usize) -> Value {
    cluster.until(&format!("start {count} of {name} serves"), |cluster| {
        let status = cluster.status(name).filter(|status| status["status"] == "OK" && status["role"] == "active")?;
        (starts(cluster, name).len() == count).then_some(status)
    })
}

fn announced(cluster: &Cluster) -> Vec<String> {
    let path = format!("{}/services/coordinator", cluster.znode());
    block_on(async {
        let client = Client::connect(&Server::shared().address()).await.unwrap();
        let mut names = client.list_children(&path).await.unwrap_or_default();
        names.sort();
        names
    })
}

fn until_announced(cluster: &mut Cluster, names: &[&str]) {
    cluster.until(&format!("announced: {names:?}"), |cluster| (announced(cluster) == names).then_some(()));
}

fn member(cluster: &mut Cluster, asked: &str, name: &str) -> Option<Value> {
    let view = cluster.get(asked, "/cluster")?;
    view["members"].as_array()?.iter().find(|member| member["node"] == name).cloned()
}

#[test]
fn both_run_at_once_without_epoch_and_lock_and_are_found_while_they_are_ready() {
    let mut cluster = always_on(&["a", "b"]);
    cluster.start("a");
    cluster.start("b");
    for name in ["a", "b"] {
        let status = until_serving(&mut cluster, name, 1);
        assert_eq!((&status["epoch"], &status["lock"]["held"]), (&Value::Null, &Value::Bool(false)), "{status}");
        assert_eq!(status["active"], Value::Null);
        assert!(starts(&cluster, name)[0].ends_with(" none none"), "{:?}", starts(&cluster, name));
    }
    until_announced(&mut cluster, &["a", "b"]);
    let other = cluster.until("b is known to a as always on", |cluster| {
        member(cluster, "a", "b").filter(|member| member["role"] == "active")
    });
    assert_eq!((&other["always_on"], &other["eligible"], &other["epoch"]), (&true.into(), &false.into(), &Value::Null));
    assert!(!cluster.lock_file().exists());
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    until_announced(&mut cluster, &["a"]);
    assert_eq!(starts(&cluster, "a").len(), 1);
}

#[test]
fn one_that_crashes_is_started_again_at_once_within_the_budget_and_then_after_a_back_off() {
    let mut cluster = always_on(&["a"]);
    cluster.set_for("a", "coordinator.restarts.max", 1);
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    send(main_pid(&cluster, "a"), Signal::SIGKILL);
    until_serving(&mut cluster, "a", 2);
    assert!(!cluster.log("a").contains("cause=\"coordinator_exited\""));
    send(main_pid(&cluster, "a"), Signal::SIGKILL);
    until_serving(&mut cluster, "a", 3);
    let log = cluster.log("a");
    assert!(log.contains("coordinator_exited"), "the second one is after a back-off");
    let metrics = cluster.get_text("a", "/metrics").unwrap();
    let counted = metrics.lines().find(|line| line.starts_with("primacy_coordinator_restarts_total")).unwrap();
    assert!(counted.ends_with(" 2"), "{counted}");
}

#[test]
fn one_that_is_unhealthy_is_not_found_any_more_and_is_stopped_and_started_again() {
    let mut cluster = always_on(&["a"]);
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    until_announced(&mut cluster, &["a"]);
    let well = cluster.path("well-a");
    fs::remove_file(&well).unwrap();
    until_announced(&mut cluster, &[]);
    cluster.until("it is started again", |cluster| (starts(cluster, "a").len() == 2).then_some(()));
    assert!(!cluster.is_active("a"), "it runs, and is not ready");
    fs::write(&well, "").unwrap();
    until_serving(&mut cluster, "a", 2);
    until_announced(&mut cluster, &["a"]);
}

#[test]
fn a_killed_supervisor_takes_its_coordinator_with_it_and_the_next_one_starts_another() {
    let mut cluster = always_on(&["a"]);
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    let main = main_pid(&cluster, "a");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_exit("a");
    cluster.until("the coordinator is dead", |cluster| (!cluster.all_processes().contains(&main)).then_some(()));
    cluster.start("a");
    until_serving(&mut cluster, "a", 2);
    until_announced(&mut cluster, &["a"]);
}

#[test]
fn beside_candidates_it_is_neither_elected_nor_taken_for_the_active_one() {
    let mut cluster = always_on(&["z"]);
    cluster.start("z");
    until_serving(&mut cluster, "z", 1);
    cluster.start_with_active(&["a", "b"]);
    let seen = cluster
        .until("z knows who leads", |cluster| cluster.status("z").filter(|status| status["active"]["node"] == "a"));
    assert_eq!((&seen["role"], &seen["epoch"]), (&"active".into(), &Value::Null));
    // Nobody is left but the one that is always on.
    for name in ["b", "a"] {
        cluster.signal(name, Signal::SIGTERM);
        assert_eq!(cluster.until_exit(name), 0);
    }
    let view = cluster.until("z sees that nobody leads", |cluster| {
        cluster.get("z", "/cluster").filter(|view| view["active"].is_null())
    });
    let able = view["members"].as_array().unwrap().iter().any(|member| member["eligible"] == true);
    assert!(!able, "{view}");
    assert_eq!(starts(&cluster, "z").len(), 1, "it has served all the time");
    cluster.start("b");
    cluster.until_active_is("b");
}

#[test]
fn an_isolated_one_is_stopped_and_stays_so_over_a_restart_until_it_is_activated() {
    let mut cluster = always_on(&["a"]);
    cluster.set_for("a", "drain.grace_period", "100ms");
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    let ask = |cluster: &Cluster, command: &str| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_primacy"));
        program.arg("-c").arg(cluster.config_file("a")).args([command, "a", "--yes"]);
        let output = program.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    ask(&cluster, "isolate");
    cluster.until_status("a", "ISOLATED");
    until_announced(&mut cluster, &[]);
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.start("a");
    cluster.until_status("a", "ISOLATED");
    assert_eq!(starts(&cluster, "a").len(), 1);
    ask(&cluster, "activate");
    until_serving(&mut cluster, "a", 2);
}

#[test]
fn check_skips_the_volume_and_says_so() {
    let mut cluster = always_on(&["a"]);
    cluster.write_config("a");
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_primacy"));
    let output = program.args(["check", "--output", "json", "-c"]).arg(cluster.config_file("a")).output().unwrap();
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = |name: &str| lines.iter().find(|line| line["name"] == name).cloned();
    let volume = found("lock.directory").unwrap();
    assert!(volume["result"] == "ok" && volume["detail"].as_str().unwrap().starts_with("not looked at"), "{volume}");
    assert!(found("lease").is_none(), "there is none");
    let idle = lines.iter().any(|line| {
        let detail = line["detail"].as_str().unwrap();
        line["result"] == "warn" && detail.starts_with("lock.directory, lock.probe_interval has no effect")
    });
    assert!(idle, "{lines:#?}");
    assert!(output.status.success(), "{lines:#?}");
    assert!(!cluster.lock_directory().exists(), "nothing is made on the volume");
}

#[test]
fn a_killed_guardian_costs_one_start_and_nothing_runs_twice() {
    let mut cluster = always_on(&["a"]);
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    let main = main_pid(&cluster, "a");
    let guardian = cluster.guardian("a");
    send(guardian, Signal::SIGKILL);
    until_serving(&mut cluster, "a", 2);
    assert!(!cluster.all_processes().contains(&main));
    assert!(cluster.log("a").contains("supervisor_lost"));
}

#[test]
fn what_is_left_where_supervisor_and_guardian_were_killed_is_dead_before_the_next_one_starts() {
    let mut cluster = always_on(&["a"]);
    let script = r#"
        if [ -e "$DIR/daemon" ]; then
            # One that is dead and that nobody has waited for has no command line.
            grep -q . "/proc/$(cat "$DIR/daemon")/cmdline" 2> /dev/null && echo beside >> "$DIR/beside"
        else
            setsid sh -c 'echo $$ > "$DIR/daemon.new"; mv "$DIR/daemon.new" "$DIR/daemon"; exec sleep 100000' &
            until [ -e "$DIR/daemon" ]; do sleep 0.01; done
        fi
        echo "$$ none none" >> "$DIR/starts-$PRIMACY_NODE"
        exec sleep 100000"#;
    cluster.set_for("a", "coordinator.command", ["/bin/sh", "-c", script].map(str::to_owned).to_vec());
    cluster.start("a");
    until_serving(&mut cluster, "a", 1);
    let daemon: i32 = fs::read_to_string(cluster.path("daemon")).unwrap().trim().parse().unwrap();
    let (supervisor, guardian) = (cluster.supervisor("a"), cluster.guardian("a"));
    // Frozen first: neither may see the other die.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in [supervisor, guardian] {
            send(pid, signal);
        }
    }
    cluster.until_exit("a");
    assert!(cluster.all_processes().contains(&daemon), "the kernel kills the main process only");
    cluster.start("a");
    until_serving(&mut cluster, "a", 2);
    assert!(!cluster.path("beside").exists());
    assert!(!cluster.all_processes().contains(&daemon));
    assert!(cluster.log("a").contains("left over"));
}
