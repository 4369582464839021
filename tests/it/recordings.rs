//! Flight recordings of the whole program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

/// Stands in everything that may be a secret.
const SECRET: &str = "hunter2-geheim";

fn segments(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(segments(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn no_secret_enters_a_recording() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let secret_file = |name: &str, text: String| {
        let path = cluster.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let digest = secret_file("digest", format!("user:{SECRET}\n"));
    let token = secret_file("token", format!("{SECRET}-token\n"));
    cluster.set("zookeeper.digest_file", digest);
    cluster.set("api.token_file", token);
    cluster.set("coordinator.environment.PASSWORD", SECRET);
    cluster.set("health.command", vec!["/bin/true", SECRET]);
    cluster.set("drain.command", vec!["/bin/true", SECRET]);
    cluster.set("fencing.command", vec!["/bin/true", SECRET]);
    cluster.set("coordinator.before_kill", vec!["/bin/true", SECRET]);
    for hook in ["on_active", "on_standby", "before_start", "after_stop"] {
        cluster.set(&format!("hooks.{hook}"), vec!["/bin/echo", SECRET]);
    }
    cluster.start_with_active(&["a", "b"]);
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "reading the configuration again");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    let logs = cluster.log("b");
    assert!(logs.contains(SECRET), "what a hook printed is in the log, so it went through the node:\n{logs}");
    let recorded = segments(&cluster.recordings());
    for part in ["supervisor", "guardian"] {
        let of_part = recorded.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(part));
        assert!(of_part.count() >= 2, "{part}: {recorded:?}");
    }
    for path in recorded {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("(redacted-") || path.to_str().unwrap().contains("guardian"), "{}", path.display());
        assert!(!text.contains(SECRET), "{}", path.display());
    }
}

#[test]
fn a_recorder_that_cannot_write_says_so_and_costs_nothing_else() {
    let mut cluster = Cluster::new(&Server::shared().address());
    fs::write(cluster.recordings(), "a file where the folder should be").unwrap();
    cluster.start_with_active(&["a", "b"]);
    cluster.until_logged("a", "the flight recorder cannot write");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn nothing_is_recorded_where_nobody_wants_it() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("recorder.directory", "");
    cluster.start("a");
    cluster.until_active_is("a");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    assert!(!cluster.recordings().exists());
}

fn verified(cluster: &Cluster, folder: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    let output = command.arg("verify").arg(folder).current_dir(cluster.path("")).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

/// The recordings of a fail-over, with one file changed.
fn forged(cluster: &Cluster, name: &str, part: &str, forge: impl Fn(&str) -> Option<String>) -> (Option<i32>, String) {
    let folder = cluster.path(name);
    fs::create_dir(&folder).unwrap();
    let mut changed = 0;
    for path in segments(&cluster.recordings()) {
        let file = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let forgery = if changed == 0 && file.starts_with(part) { forge(&text) } else { None };
        changed += usize::from(forgery.is_some());
        fs::write(folder.join(file), forgery.unwrap_or(text)).unwrap();
    }
    assert_eq!(changed, 1, "{name}: nothing to forge");
    verified(cluster, &folder)
}

#[test]
fn a_fail_over_is_verified_and_a_forged_one_is_convicted() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start_with_active(&["a", "b"]);
    cluster.until_eligible("b");
    cluster.until_logged("b", "next to lead");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);

    let (code, text) = verified(&cluster, &cluster.recordings());
    assert_eq!(code, Some(0), "{text}");
    let steps = [
        "forks the coordinator in epoch 1",
        "begins to end by itself: supervisor lost",
        "nothing of it lives any more",
        "the record proves that epoch 1 of a is over",
        "has epoch 2",
        "forks the coordinator in epoch 2",
        "promoting -> active: ready",
        "a coordinator runs again after",
        "is asked to stop: SIGTERM",
        "ends: Stopped",
    ];
    let mut at = 0;
    for step in steps {
        let found = text[at..].find(step);
        at += found.unwrap_or_else(|| panic!("{step:?} is not told, or not in its place:\n{text}")) + step.len();
    }
    // Whether b has the lock before a's guardian has said that it let go of it, and hears of that by the lock file or by the
    // election, is a matter of a millisecond.
    for step in ["is next behind the active node's ", "has closed the lock", "executes its last will"] {
        assert!(text.contains(step), "{step}: {text}");
    }
    assert!(text.contains("no contradiction: "), "{text}");

    let without = |text: &str, word: &str| {
        let line = text.lines().find(|line| line.contains(word))?;
        Some(text.replace(&format!("{line}\n"), ""))
    };
    let lock = |text: &str| without(text, "\"lock_acquired\"");
    let dead = |text: &str| without(text, "\"saw_all_dead\"");
    let heard = |text: &str| without(text, "\"record_written\"");
    let wanted = |text: &str| without(text, "{\"wanted\":{\"guardian\":{\"start\"");
    let taken = "\"claimed\":{\"epoch\":2";
    let epoch = |text: &str| text.contains(taken).then(|| text.replace(taken, "\"claimed\":{\"epoch\":3"));
    type Forgery<'a> = (&'a str, &'a str, &'a dyn Fn(&str) -> Option<String>, &'a str);
    let forgeries: [Forgery<'_>; 5] = [
        ("lock", "guardian", &lock, "nothing starts without the lock"),
        ("dead", "guardian", &dead, "the lock is not closed before everything is dead"),
        ("heard", "supervisor", &heard, "a node wants what follows from what it has heard"),
        ("wanted", "supervisor", &wanted, "a node wants what follows from what it has heard"),
        ("epoch", "supervisor", &epoch, "a node wants what follows from what it has heard"),
    ];
    for (name, part, forge, rule) in forgeries {
        let (code, text) = forged(&cluster, name, part, forge);
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(text.contains(&format!("CONTRADICTION: {rule}")), "{name}: {text}");
    }

    let nothing = cluster.path("nothing");
    fs::create_dir(&nothing).unwrap();
    let (code, text) = verified(&cluster, &nothing);
    assert!(code == Some(1) && text.contains("no recordings there"), "{text}");
    // The last line of a process that was killed may be half written.
    let (code, text) = forged(&cluster, "cut", "supervisor", |text| Some(text[..text.len() - 7].to_owned()));
    assert_eq!(code, Some(0), "{text}");
}

fn asked(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    let output = command.arg("-c").arg(cluster.config_file("b")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

/// By its own word, or by its guardian's in the lock file: which of the two is quicker is a matter of a millisecond.
const ENDED: [&str; 2] =
    ["Evidence: the former active had ended in order", "Evidence: the former active's guardian had proven"];

#[test]
fn the_history_of_an_epoch_joins_what_all_members_have_recorded() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start_with_active(&["a", "b"]);
    cluster.until_eligible("b");
    cluster.restart_when_fenced("a");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    let alone = cluster.until("b has the end of epoch 1 in its history", |cluster| {
        let (code, text) = asked(cluster, &["history", "2"]);
        (code == Some(0) && ENDED.iter().any(|ended| text.contains(ended))).then_some(text)
    });
    assert!(alone.contains("No recording of a: it is no member at the moment"), "{alone}");

    cluster.start("a");
    cluster.until_eligible("a");
    // It tells itself that it could take over before it tells the others.
    let text = cluster.until("a is a member again", |cluster| {
        let (code, text) = asked(cluster, &["history", "2"]);
        (code == Some(0) && !text.contains("it is no member")).then_some(text)
    });
    let mut at = 0;
    for step in [
        "Epoch 2: b from ",
        "Before it: a with epoch 1, which ended: stopped",
        "Without a coordinator: ",
        "is asked to stop: SIGTERM",
        "nothing of it lives any more",
        "forks the coordinator in epoch 2",
        "promoting -> active: ready",
    ] {
        let found = text[at..].find(step);
        at += found.unwrap_or_else(|| panic!("{step:?} is not told, or not in its place:\n{text}")) + step.len();
    }
    assert!(!text.contains("No recording"), "{text}");
    let (_, json) = asked(&cluster, &["history", "2", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let evidence = json["entry"]["evidence"].as_str().unwrap();
    assert!(["clean_end", "guardian_record"].contains(&evidence) && json["before"]["epoch"] == 1, "{json:#}");
    assert!(json["steps"].as_array().unwrap().len() > 10, "{json:#}");
    // Every millisecond is in a span: from the stop's signal until the next coordinator was ready.
    let spans = json["spans"].as_array().unwrap();
    let parts: Vec<_> = spans.iter().map(|span| span["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["notice", "kill", "record", "lock", "claim", "exec", "ready"], "{json:#}");
    let sum: f64 = spans.iter().map(|span| span["ms"].as_f64().unwrap()).sum();
    let steps = json["steps"].as_array().unwrap();
    let last = |mark: &str, among: &[serde_json::Value]| {
        among.iter().rposition(|step| step["mark"] == mark).unwrap_or_else(|| panic!("no {mark}: {json:#}"))
    };
    // The former one's guardian ends as well, a moment later: that is no cause of this.
    let (dead, ready) = (last("dead", steps), last("ready", steps));
    let at = |step: usize| steps[step]["boot_ns"].as_u64().unwrap();
    let took = (at(ready) - at(last("cause", &steps[..dead]))) as f64 / 1e6;
    assert!((sum - took).abs() < 0.01 && spans.iter().all(|span| span["exact"] == true), "{sum} {took} {json:#}");
    assert!(text.contains("Where the time went:\n  notice  a"), "{text}");
    let (code, text) = asked(&cluster, &["history", "77"]);
    assert!(code == Some(1) && text.contains("there is no epoch 77"), "{text}");
}
