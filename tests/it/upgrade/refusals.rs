//! A program that cannot take over: nothing happens, and the reason is told.

use super::*;

/// Asks, and nothing happens.
fn refused(cluster: &mut Cluster, expected: &str) {
    let (pid, session) = (cluster.supervisor("b"), cluster.status("b").unwrap()["zookeeper"]["session"].clone());
    let (status, body) = ask(cluster, "b");
    let error = body["error"].as_str().unwrap_or_default().to_owned();
    assert!(status == 409 && error.contains(expected), "{expected:?}: {status} {body}");
    cluster.until_logged("b", &format!("nothing happened: {}", error.lines().next().unwrap()));
    assert_eq!((upgrades(cluster, "b"), cluster.supervisor("b")), (0, pid));
    assert_eq!(cluster.status("b").unwrap()["zookeeper"]["session"], session);
    cluster.until_eligible("b");
}

#[test]
fn a_program_that_is_missing_broken_or_older_is_not_executed() {
    let mut cluster = pair();
    cluster.link_program("b", Path::new("/nonexistent/primacy"));
    refused(&mut cluster, "No such file");
    let broken = cluster.path("broken");
    fs::write(&broken, b"\x7fELF and no more").unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    cluster.link_program("b", &broken);
    refused(&mut cluster, "would not take over");
    cluster.link_program("b", Path::new("/bin/true"));
    refused(&mut cluster, "does not know how to take over");
    let older = executable(
        &cluster,
        "older",
        "#!/bin/sh\necho \"error: unexpected argument '--adopt-check' found\" >&2\nexit 2\n",
    );
    cluster.link_program("b", &older);
    refused(&mut cluster, "unexpected argument '--adopt-check'");
    let unwilling =
        executable(&cluster, "unwilling", "#!/bin/sh\necho '{\"refuses\":\"handed over in format 1\"}'\nexit 1\n");
    cluster.link_program("b", &unwilling);
    refused(&mut cluster, "handed over in format 1");
    cluster.link_program("b", program());
    assert_eq!(ask(&mut cluster, "b").0, 200);
    until_upgraded(&mut cluster, "b", 1);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_program_that_says_yes_and_cannot_be_executed_costs_no_more_than_another_start() {
    let mut cluster = pair();
    let pid = cluster.supervisor("b");
    // It takes its own place away as soon as it has said so.
    let script = "#!/bin/sh\necho '{\"adopts\":\"9.9\"}'\nrm \"$0\"\n";
    let vanishing = executable(&cluster, "vanishing", script);
    cluster.link_program("b", &vanishing);
    assert_eq!(ask(&mut cluster, "b").0, 200);
    cluster.until_logged("b", "it said that it would take over, and cannot be executed");
    until_upgraded(&mut cluster, "b", 1);
    assert_eq!(cluster.supervisor("b"), pid);
    // It remembers where its program lies.
    cluster.link_program("b", program());
    assert_eq!(ask(&mut cluster, "b").0, 200);
    until_upgraded(&mut cluster, "b", 2);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_configuration_that_the_next_program_could_not_use_is_found_out_before() {
    let mut cluster = pair();
    let file = cluster.config_file("b");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("clutser = \"x\"\n{good}")).unwrap();
    refused(&mut cluster, "clutser");
    fs::write(&file, good.replace(&format!("cluster = \"{}\"", cluster.name), "cluster = \"other\"")).unwrap();
    refused(&mut cluster, "another cluster than the one that is in force");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(
        &file,
        good.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{}\"", taken.local_addr().unwrap())),
    )
    .unwrap();
    refused(&mut cluster, "api.listen");
    fs::write(&file, good).unwrap();
    assert_eq!(ask(&mut cluster, "b").0, 200);
    until_upgraded(&mut cluster, "b", 1);
    assert_eq!(cluster.judge().len(), 1);
}
