//! Node states and pauses.

use super::*;

#[test]
fn an_isolated_node_gives_the_role_away_and_stays_out_over_a_restart() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("drain.grace_period", "100ms");
    start(&mut cluster, &["a", "b"]);
    let said = done(&cluster, &["isolate", "a", "--yes", "-m", "a new disk"]);
    assert!(said.contains("a is ISOLATED") && said.contains("a new disk"), "{said}");
    cluster.until_active_is("b");
    let ended = entry(&mut cluster, "b", 1);
    assert_eq!((&ended["cause"], &ended["reason"]), (&"isolated".into(), &"a new disk".into()), "{ended}");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_exit("a");
    cluster.start("a");
    let status = cluster.until_status("a", "ISOLATED");
    assert_eq!((&status["state"], &status["role"]), (&"ISOLATED".into(), &"standby".into()));
    // It is the last one that could take over from b, and does not.
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_exit("b");
    cluster.watch_for(std::time::Duration::from_secs(2));
    assert!(!cluster.is_active("a"));
    done(&cluster, &["activate", "a", "--yes"]);
    cluster.until_active_is("a");
    cluster.judge();
}

#[test]
fn the_last_one_that_could_lead_is_not_taken_out_unless_it_is_forced() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("drain.grace_period", "100ms");
    start(&mut cluster, &["a", "b"]);
    done(&cluster, &["isolate", "b", "--yes"]);
    let (code, said) = refused(&cluster, &["isolate", "a", "--yes"]);
    assert!(code == 1 && said.contains("a is the last one that could lead"), "{said}");
    assert!(cluster.is_active("a"));
    done(&cluster, &["isolate", "a", "--force"]);
    assert!(!cluster.is_active("a"));
    cluster.judge();
}

#[test]
fn a_drain_waits_for_its_command_and_says_so() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let flag = cluster.path("in-flight");
    std::fs::write(&flag, "").unwrap();
    let script = cluster.script("drain", &format!("! [ -e {} ]", flag.display()));
    cluster.set("drain.grace_period", "100ms");
    cluster.set("drain.command", script);
    start(&mut cluster, &["a", "b"]);
    done(&cluster, &["isolate", "a", "--yes", "--detach"]);
    let status = cluster.until_status("a", "ISOLATING");
    assert_eq!((&status["state"], &status["role"]), (&"ISOLATING".into(), &"active".into()));
    cluster.until("it says what it waits for", |cluster| {
        let status = cluster.status("a")?;
        status["reason"].as_str()?.contains("draining; drain.command: ").then_some(())
    });
    std::fs::remove_file(&flag).unwrap();
    cluster.until_status("a", "ISOLATED");
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn a_time_for_which_a_node_is_isolated_ends_by_itself() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    done(&cluster, &["isolate", "b", "--for", "2s", "--yes"]);
    cluster.until_eligible("b");
    cluster.judge();
}

#[test]
fn a_shutdown_ends_the_process_in_order_and_is_not_kept() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("drain.grace_period", "100ms");
    start(&mut cluster, &["a", "b"]);
    let said = done(&cluster, &["shutdown", "a", "--yes"]);
    assert!(said.contains("a does not run any more"), "{said}");
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    cluster.start("a");
    cluster.until_eligible("a");
    cluster.judge();
}

#[test]
fn nobody_takes_over_during_a_pause_and_it_ends_by_itself() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    done(&cluster, &["pause", "--yes", "-m", "the file server"]);
    cluster.until("it is shown", |cluster| {
        let action = cluster.get("b", "/cluster")?["action"].clone();
        (action["kind"] == "pause" && action["reason"] == "the file server").then_some(())
    });
    let (code, said) = refused(&cluster, &["switchover", "--to", "b", "--yes"]);
    assert!(code == 1 && said.contains("elections are paused"), "{said}");
    assert!(done(&cluster, &["resume", "--yes"]).contains("elections go on"));
    assert!(done(&cluster, &["resume", "--yes"]).contains("were not paused"));
    done(&cluster, &["pause", "--for", "3s", "--yes"]);
    cluster.until("b knows of the pause", |cluster| (cluster.status("b")?["paused"] == true).then_some(()));
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("b");
    cluster.until_logged("b", "the pause has come to its end");
    cluster.judge();
}
