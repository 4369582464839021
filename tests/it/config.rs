//! The configuration as an operator meets it: bad files, several problems at once, secrets, reloads, the commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use primacy::config::keys::{KEYS, Kind};
use primacy::config::{self, Config, Problem};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

mod commands;
mod reload;
mod secrets;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";

/// The least that is valid; each line is a place where a case puts something else.
const LEAST: &str = r#"cluster = "c"
node = "n"
[zookeeper]
servers = "zk1:2181"
[lock]
directory = "/mnt/volume"
[coordinator]
command = ["/bin/sleep", "1"]
"#;

fn problems(text: &str) -> Vec<Problem> {
    config::parse(text, None).expect_err("this should be refused").problems
}

fn valid(text: &str) -> Config {
    config::parse(text, None).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}"))
}

/// [`LEAST`] with lines put into its sections.
fn with(section: &str, lines: &str) -> String {
    match section {
        "" => format!("{lines}\n{LEAST}"),
        "zookeeper" | "lock" | "coordinator" => {
            LEAST.replace(&format!("[{section}]"), &format!("[{section}]\n{lines}"))
        }
        _ => format!("{LEAST}[{section}]\n{lines}\n"),
    }
}

/// Where, what is wrong there (key; line counted from the first line of what was put in), a word of the remedy.
const BAD: &[(&str, &str, &str, usize, &str)] = &[
    ("", "clutser = \"x\"", "clutser", 1, "did you mean cluster?"),
    ("", "session_timeout = \"10s\"", "session_timeout", 1, "did you mean zookeeper.session_timeout?"),
    ("", "frobnicate = 1", "frobnicate", 1, "known here: cluster, node"),
    ("", "election = \"raft\"", "election", 1, "\"zookeeper\" or \"lock\""),
    ("", "mode = \"always-on\"\nelection = \"lock\"", "mode", 1, "leave out election"),
    ("", "mode = \"sometimes\"", "mode", 1, "\"active-standby\" or \"always-on\""),
    ("", "log_level = \"loud\"", "log_level", 1, "\"info\""),
    ("", "environment = 3", "environment", 1, "quotes"),
    ("", "health = true", "health", 1, "[health]"),
    ("zookeeper", "sesion_timeout = \"10s\"", "zookeeper.sesion_timeout", 1, "zookeeper.session_timeout"),
    ("zookeeper", "session_timeout = 10", "zookeeper.session_timeout", 1, "\"10s\""),
    ("zookeeper", "session_timeout = \"10\"", "zookeeper.session_timeout", 1, "unit"),
    ("zookeeper", "session_timeout = \"10 parsecs\"", "zookeeper.session_timeout", 1, "unit"),
    ("zookeeper", "session_timeout = \"0s\"", "zookeeper.session_timeout", 1, "unit"),
    ("zookeeper", "session_timeout = \"900 years\"", "zookeeper.session_timeout", 1, "unit"),
    (
        "zookeeper",
        "tick_time = \"2s\"\nsession_timeout = \"2s\"",
        "zookeeper.session_timeout",
        2,
        "raise session_timeout",
    ),
    ("zookeeper", "heartbeat_interval = \"3s\"", "zookeeper.session_timeout", 0, "lower heartbeat_interval"),
    ("zookeeper", "root = \"primacy\"", "zookeeper.root", 1, "/primacy"),
    ("zookeeper", "root = \"/a//b\"", "zookeeper.root", 1, "/primacy"),
    ("zookeeper", "root = \"/\"", "zookeeper.root", 1, "/primacy"),
    ("zookeeper", "root = \"/zookeeper/x\"", "zookeeper.root", 1, "/primacy"),
    ("zookeeper", "digest_file = \"/nowhere/at/all\"", "zookeeper.digest_file", 1, "create the file"),
    ("zookeeper", "digest_file = \"user:hunter2\"", "zookeeper.digest_file", 1, "beginning with /"),
    ("zookeeper", "tls = { cert = \"/nowhere/c.pem\" }", "zookeeper.tls.cert", 1, "create the file"),
    ("zookeeper", "tls = \"yes\"", "zookeeper.tls", 1, "[zookeeper.tls]"),
    ("coordinator", "working_directory = \"/tmp \"", "coordinator.working_directory", 1, "remove the blank"),
    ("coordinator", "user = \"4294967294\"", "coordinator.user", 1, "create the account"),
    ("drain", "command = [\"/bin/true \"]", "drain.command", 1, "remove the blank"),
    ("lock", "probe_interval = \"6s\"", "lock.probe_interval", 1, "probe_timeout"),
    ("lock", "probe_timeout = \"1s\"", "lock.probe_timeout", 1, "probe_interval"),
    ("lock", "min_free_space = \"100\"", "lock.min_free_space", 1, "unit"),
    ("lock", "min_free_space = 100", "lock.min_free_space", 1, "\"100B\""),
    ("lock", "min_free_space = \"much\"", "lock.min_free_space", 1, "100MiB"),
    ("coordinator", "kind = \"daemon\"", "coordinator.kind", 1, "forking"),
    ("coordinator", "working_directory = \"opt\"", "coordinator.working_directory", 1, "beginning with /"),
    ("coordinator", "environment = { PRIMACY_EPOCH = \"1\" }", "coordinator.environment.PRIMACY_EPOCH", 1, "PRIMACY_"),
    ("coordinator", "environment = { 1X = \"1\" }", "coordinator.environment.1X", 1, "no digit first"),
    ("coordinator", "environment = { X = 1 }", "coordinator.environment.X", 1, "quotes"),
    ("coordinator", "environment = { X = \"a\\u0000b\" }", "coordinator.environment.X", 1, "\\u0000"),
    ("coordinator", "environment = \"X=1\"", "coordinator.environment", 1, "name = \"value\""),
    ("coordinator", "user = \"no-such-account\"", "coordinator.user", 1, "create the account"),
    ("coordinator", "stop_signal = \"SIGSTOP\"", "coordinator.stop_signal", 1, "SIGTERM"),
    ("coordinator", "stop_signal = \"15\"", "coordinator.stop_signal", 1, "SIGTERM"),
    ("coordinator", "stop_signal = 15", "coordinator.stop_signal", 1, "quotes"),
    ("coordinator", "before_kill = \"jstack\"", "coordinator.before_kill", 1, "shell"),
    ("coordinator", "before_kill = [\"\"]", "coordinator.before_kill", 1, "program first"),
    ("coordinator", "restarts = { max = -1 }", "coordinator.restarts.max", 1, "whole number"),
    ("coordinator", "restarts = { max = 1.5 }", "coordinator.restarts.max", 1, "digits"),
    ("coordinator", "restarts = { maxx = 1 }", "coordinator.restarts.maxx", 1, "coordinator.restarts.max?"),
    ("coordinator", "backoff = { first = \"2m\" }", "coordinator.backoff.first", 1, "raise max"),
    ("coordinator", "endpoints = { web = \"node-a\" }", "coordinator.endpoints.web", 1, "host:port"),
    ("coordinator", "endpoints = { web = \"node-a:0\" }", "coordinator.endpoints.web", 1, "host:port"),
    (
        "coordinator",
        "endpoints = { web = \"ftp://node-a\" }",
        "coordinator.endpoints.web",
        1,
        "host:port for anything but HTTP",
    ),
    ("coordinator", "endpoints = { web = \"http://me:pw@h/\" }", "coordinator.endpoints.web", 1, "before the @"),
    ("coordinator", "endpoints = { \"a b\" = \"h:1\" }", "coordinator.endpoints.\"a b\"", 1, "matches"),
    ("health", "http = \"https://h/\"", "health.http", 1, "http://"),
    ("health", "http = \"h:80/x\"", "health.http", 1, "http://"),
    ("health", "http = \"http://:80/\"", "health.http", 1, "http://"),
    ("health", "http = \"http://h:99999/\"", "health.http", 1, "http://"),
    ("health", "tcp = \"9047\"", "health.tcp", 1, "host:port"),
    ("health", "tcp = \"h:1\"\nhttp = \"http://h/\"", "health.tcp", 1, "keep one"),
    ("health", "failures = 0", "health.failures", 1, "from 1"),
    ("health", "timeout = true", "health.timeout", 1, "unit"),
    ("fencing", "required = true", "fencing.required", 1, "command ="),
    ("fencing", "required = \"yes\"", "fencing.required", 1, "without quotes"),
    ("fencing", "watchdog = \"always\"", "fencing.watchdog", 1, "\"required\""),
    ("fencing", "after_loss = \"panic\"", "fencing.after_loss", 1, "rejoin"),
    ("hooks", "on_active = [1]", "hooks.on_active", 1, "quotes"),
    ("candidate", "priority = 5000000000", "candidate.priority", 1, "whole number"),
    ("candidate", "tags = { rack = 1 }", "candidate.tags.rack", 1, "quotes"),
    ("api", "listen = \"localhost\"", "api.listen", 1, "0.0.0.0:9090"),
    ("api", "advertise = \"node-a:9090\"", "api.advertise", 1, "http://"),
    ("api", "advertise = \"http://node-a:9090/x\"", "api.advertise", 1, "http://node-a:9090"),
    ("api", "token = \"hunter2\"", "api.token", 1, "api.token_file"),
    ("api", "tls = { key = \"/nowhere/k.pem\" }", "api.tls.key", 1, "create the file"),
];

#[test]
fn every_bad_value_is_reported_with_its_key_its_line_and_what_to_do() {
    for (section, lines, key, line, remedy) in BAD {
        let text = with(section, lines);
        let first = 1 + text[..text.find(lines).unwrap()].lines().count();
        let found = problems(&text);
        let problem = found.iter().find(|problem| problem.key == *key);
        let problem = problem.unwrap_or_else(|| panic!("{lines}: no problem of {key} in {found:#?}"));
        assert_eq!(problem.line, Some(first - 1 + line), "{lines}: {problem:#?}");
        assert!(problem.remedy.contains(remedy), "{lines}: {problem:#?}");
        let shown = found.iter().map(|problem| format!("{problem:?}")).collect::<String>();
        assert!(!shown.contains("hunter2") && !shown.contains("me:pw"), "{lines}: a secret is shown: {shown}");
    }
}

#[test]
fn every_missing_or_replaced_requirement_is_reported() {
    let cases = [
        ("cluster = \"c\"", "", "cluster", None, "name the cluster"),
        ("cluster = \"c\"", "cluster = \"\"", "cluster", Some(1), "name the cluster"),
        ("cluster = \"c\"", "cluster = \"a/b\"", "cluster", Some(1), "[A-Za-z0-9_-]{1,64}"),
        ("node = \"n\"", "node = \"a b\"", "node", Some(2), "[A-Za-z0-9_.-]{1,64}"),
        ("node = \"n\"", "node = \"..\"", "node", Some(2), "letters"),
        ("servers = \"zk1:2181\"", "", "zookeeper.servers", Some(3), "election = \"lock\""),
        ("servers = \"zk1:2181\"", "servers = \"zk1\"", "zookeeper.servers", Some(4), "host:port"),
        ("servers = \"zk1:2181\"", "servers = \"zk1:2181,,zk2:2181\"", "zookeeper.servers", Some(4), "host:port"),
        ("servers = \"zk1:2181\"", "servers = \"zk1:2181,zk1:2181\"", "zookeeper.servers", Some(4), "once"),
        ("servers = \"zk1:2181\"", "servers = \"zk1:2181/a\"", "zookeeper.servers", Some(4), "zookeeper.root"),
        ("directory = \"/mnt/volume\"", "", "lock.directory", Some(5), "shared volume"),
        ("directory = \"/mnt/volume\"", "directory = \"volume\"", "lock.directory", Some(6), "beginning with /"),
        ("command = [\"/bin/sleep\", \"1\"]", "", "coordinator.command", Some(7), "after --"),
        ("command = [\"/bin/sleep\", \"1\"]", "command = []", "coordinator.command", Some(8), "after --"),
        ("command = [\"/bin/sleep\", \"1\"]", "command = [\"\"]", "coordinator.command", Some(8), "program first"),
        ("command = [\"/bin/sleep\", \"1\"]", "command = \"sleep 1\"", "coordinator.command", Some(8), "shell"),
    ];
    for (from, to, key, line, remedy) in cases {
        let found = problems(&LEAST.replace(from, to));
        assert_eq!(found.len(), 1, "{to}: {found:#?}");
        assert_eq!((found[0].key.as_str(), found[0].line), (key, line), "{to}");
        assert!(found[0].remedy.contains(remedy), "{to}: {found:#?}");
    }
}

#[test]
fn all_problems_of_a_file_are_reported_at_once_in_the_order_of_their_lines() {
    let text = r#"cluster = "a/b"
nod = "n"

[zookeeper]
servers = "zk1"
session_timeout = 10

[lock]
probe_interval = "often"

[coordinator]
command = [1]
stop_signal = "SIGSTOP"
user = "no-such-account"

[fencing]
required = true
"#;
    let found: Vec<_> = problems(text).into_iter().map(|problem| (problem.line, problem.key)).collect();
    let expected = [
        (1, "cluster"),
        (2, "nod"),
        (5, "zookeeper.servers"),
        (6, "zookeeper.session_timeout"),
        (8, "lock.directory"),
        (9, "lock.probe_interval"),
        (12, "coordinator.command"),
        (13, "coordinator.stop_signal"),
        (14, "coordinator.user"),
        (17, "fencing.required"),
    ];
    assert_eq!(found, expected.map(|(line, key)| (Some(line), key.to_owned())));
}

#[test]
fn a_problem_names_file_line_key_and_value_and_says_what_to_do() {
    let shown = config::parse(&with("zookeeper", "session_timeout = \"10 parsecs\""), None).unwrap_err().to_string();
    assert!(
        shown.starts_with("configuration:4: zookeeper.session_timeout = \"10 parsecs\"\n    is not a duration: "),
        "{shown}"
    );
    assert!(shown.contains("\n    remedy: write a number with its unit"), "{shown}");
}

#[test]
fn a_syntax_error_is_reported_with_its_line_and_without_the_line_s_content() {
    let found = problems("cluster = \"c\"\npassword = \"hunter2\n[lock]\n");
    assert_eq!(found[0].line, Some(2), "{found:#?}");
    assert!(found[0].what.starts_with("is not valid TOML: ") && found[0].remedy.contains("syntax"), "{found:#?}");
    assert!(!format!("{found:?}").contains("hunter2"));
    let found = problems("cluster = \"c\"\n\npassword = hunter2\n");
    assert_eq!(found[0].line, Some(3), "{found:#?}");
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    let found = problems("cluster = \"c\"\nnode = \"n\"\ncluster = \"d\"\n");
    assert_eq!(found[0].line, Some(3), "{found:#?}");
}

#[test]
fn a_text_of_absurd_depth_is_refused() {
    let depth = 50_000;
    problems(&format!("cluster = {}", "[".repeat(depth)));
    problems(&format!("cluster = {}", "{a=".repeat(depth)));
    problems(&format!("{}a = 1", "a.".repeat(depth)));
    problems(&format!("[{}a]", "a.".repeat(depth)));
}

#[test]
fn too_short_a_lease_is_shown_as_a_sum_and_the_remedy_is_enough() {
    let found = problems(&with("zookeeper", "session_timeout = \"2s\""));
    assert_eq!(found.len(), 1, "{found:#?}");
    let sum = "session_timeout 2 s − tick_time / 2 1 s − heartbeat_interval 0.2 s − margin 0.5 s = 0.3 s, under 4 heartbeats (0.8 s)";
    assert!(found[0].what.contains(sum), "{found:#?}");
    assert!(found[0].remedy.contains("at least 3s"), "{found:#?}");
    valid(&with("zookeeper", "session_timeout = \"3s\""));
    problems(&with("zookeeper", "session_timeout = \"2s 999ms\""));
    problems(&with("zookeeper", "heartbeat_interval = \"1s 701ms\""));
    valid(&with("zookeeper", "heartbeat_interval = \"1s 700ms\""));
    // Without ZooKeeper there is no such lease.
    valid(&with("zookeeper", "session_timeout = \"2s\"").replace("cluster =", "election = \"lock\"\ncluster ="));
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let effective = config::effective(&valid(LEAST));
    let schema = config::schema();
    for key in KEYS {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let property = schema.pointer(&format!("/properties/{}", key.path.replace('.', "/properties/")));
        let property = property.unwrap_or_else(|| panic!("{} is not in the schema", key.path));
        let given = ["coordinator.command"].contains(&key.path);
        if let (Some(default), false) = (property.get("default"), given) {
            assert_eq!(effective.pointer(&pointer), Some(default), "{}", key.path);
        }
        assert!(effective.pointer(&pointer).is_some(), "{} is not in the effective configuration", key.path);
    }
    assert_eq!(effective["zookeeper"]["heartbeat_interval"], "1s");
    assert_eq!(effective["api"]["advertise"], format!("http://{}:9090", config::host_name()));
    let longer = valid(&with("zookeeper", "session_timeout = \"20s\""));
    assert_eq!(longer.zookeeper.heartbeat_interval.as_secs(), 2);
}

#[test]
fn every_word_of_a_choice_means_what_it_says() {
    for key in KEYS.iter().filter(|key| key.path != "mode") {
        let Kind::Choice(words) = key.kind else { continue };
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        for word in words {
            let shown = config::effective(&valid(&with(section, &format!("{name} = {word:?}"))));
            let shown = key.path.split('.').fold(&shown, |value, name| &value[name]);
            assert_eq!(shown, word, "{}", key.path);
        }
    }
}

#[test]
fn the_schema_the_table_and_the_effective_configuration_have_the_same_keys() {
    fn leaves(prefix: &str, schema: &Value, found: &mut Vec<String>) {
        match schema["properties"].as_object() {
            Some(properties) => {
                for (name, inner) in properties {
                    leaves(&if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") }, inner, found);
                }
            }
            None => found.push(prefix.to_owned()),
        }
    }
    let mut in_schema = Vec::new();
    leaves("", &config::schema(), &mut in_schema);
    let mut in_table: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    in_schema.sort();
    in_table.sort();
    assert_eq!(in_schema, in_table);
    for path in &in_schema {
        // Whatever the parser says to an empty table here, it must not be that the key is unknown.
        let text = format!("{path} = {{}}\n");
        let unknown = config::parse(&text, None).is_err_and(|found| {
            found.problems.iter().any(|problem| problem.key == *path && problem.what.contains("not a known key"))
        });
        assert!(!unknown, "{path}");
    }
    // And the example mentions each of them, if only in a comment.
    let example = config::default_text();
    for path in &in_schema {
        let name = path.rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{name} = ")), "{path} is not in the example");
    }
}

#[test]
fn the_example_loads_and_says_nothing_but_defaults_where_the_schema_has_one() {
    let config = valid(config::default_text());
    assert_eq!(config.cluster, "dremio");
    let example: toml::Table = config::default_text().parse().unwrap();
    let schema = config::schema();
    let free = ["coordinator.working_directory", "coordinator.environment", "health.http", "candidate.tags"];
    let effective = config::effective(&config);
    let defaults = config::effective(&valid(LEAST));
    for key in KEYS.iter().filter(|key| !free.contains(&key.path)) {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let has_default =
            schema.pointer(&format!("/properties/{}/default", key.path.replace('.', "/properties/"))).is_some();
        if has_default {
            assert_eq!(effective.pointer(&pointer), defaults.pointer(&pointer), "{}", key.path);
        }
    }
    assert!(example.contains_key("lock"));
}

#[test]
fn the_effective_configuration_can_be_read_back_and_stays_the_same() {
    let text = with(
        "coordinator",
        "kind = \"forking\"\nstop_signal = \"QUIT\"\nstop_timeout = \"90s\"\nrestarts = { max = 3 }\n\
         endpoints = { web = \"http://h:1/x\", jdbc = \"[::1]:31010\" }",
    ) + "[lock]\n";
    let text = text.trim_end_matches("[lock]\n").replace("directory", "min_free_space = \"1536MiB\"\ndirectory");
    let effective = config::effective(&valid(&text));
    assert_eq!(effective["coordinator"]["stop_signal"], "SIGQUIT");
    assert_eq!(effective["lock"]["min_free_space"], "1536MiB");
    let again = config::effective(&valid(&toml::to_string(&effective).unwrap()));
    assert_eq!(effective, again);
}

#[test]
fn a_command_given_on_the_command_line_stands_in_for_the_file_s() {
    let without = LEAST.replace("command = [\"/bin/sleep\", \"1\"]", "");
    let given = || Some(vec!["/bin/true".to_owned()]);
    assert_eq!(config::parse(&without, given()).unwrap().coordinator.command, ["/bin/true"]);
    assert_eq!(config::parse(LEAST, given()).unwrap().coordinator.command, ["/bin/true"]);
    assert_eq!(config::parse(LEAST, Some(vec![])).unwrap().coordinator.command, ["/bin/sleep", "1"]);
    let refused = config::parse(LEAST, Some(vec![String::new()])).unwrap_err();
    assert!(refused.problems[0].remedy.contains("after --"), "{refused}");
}

/// A folder for files that hold secrets.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, mode: u32, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the folder is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the file is ours");
        path
    }
}

fn mutated() -> impl Strategy<Value = String> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..6_usize), 1..8);
    edits.prop_map(|edits| {
        let mut bytes = config::default_text().as_bytes().to_vec();
        for (place, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, b"\"'[]{}=.,#\n"[usize::from(byte) % 11]),
                4 => bytes.truncate(at.max(1)),
                _ => {
                    let end = (at + usize::from(byte)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.extend(piece);
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn well_formed(result: Result<Config, config::Problems>, text: &str) -> Result<(), TestCaseError> {
    match result {
        Ok(config) => prop_assert!(config::effective(&config).is_object()),
        Err(found) => {
            prop_assert!(!found.problems.is_empty());
            let lines = text.matches('\n').count() + 1;
            for problem in found.problems {
                prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
                prop_assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        well_formed(config::parse(&text, None), &text)?;
    }

    #[test]
    fn no_text_of_toml_s_own_characters_makes_the_parser_panic(text in "[a-z\"'\\[\\]{}=.,#\\\\ \n0-9_-]{0,200}") {
        well_formed(config::parse(&text, None), &text)?;
    }

    #[test]
    fn no_change_of_a_valid_text_makes_the_parser_panic(text in mutated()) {
        well_formed(config::parse(&text, None), &text)?;
    }

    #[test]
    fn no_value_of_any_key_makes_the_parser_panic(key in prop::sample::select(KEYS), value in "\\PC{0,40}") {
        let text = format!("{} = {}\n", key.path, toml::Value::String(value));
        well_formed(config::parse(&text, None), &text)?;
    }
}

#[test]
fn what_a_node_would_publish_too_much_of_is_refused_by_its_key_and_size() {
    let long = "x".repeat(2000);
    let many: String = (0..65).map(|number| format!("n{number} = \"h:1\",")).collect();
    for (section, lines, key, words) in [
        ("candidate", format!("tags = {{ note = \"{long}\" }}"), "candidate.tags.note", "2000 bytes"),
        ("candidate", format!("tags = {{ {long} = \"x\" }}"), "candidate.tags.", "a name of 2000 bytes"),
        ("candidate", format!("tags = {{ {many} }}"), "candidate.tags", "65 entries"),
        ("coordinator", format!("endpoints = {{ {many} }}"), "coordinator.endpoints", "65 entries"),
        (
            "coordinator",
            format!("endpoints = {{ web = \"http://h/{long}\" }}"),
            "coordinator.endpoints.web",
            "2009 bytes",
        ),
        ("api", format!("advertise = \"http://{long}\""), "api.advertise", "2007 bytes"),
        ("zookeeper", format!("root = \"/{long}\""), "zookeeper.root", "2001 bytes"),
    ] {
        let problems = problems(&with(section, &lines));
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = &problems[0];
        assert!(problem.key.starts_with(key) && problem.what.contains(words), "{problem:?}");
        assert!(!problem.remedy.is_empty(), "{problem:?}");
        assert!(problem.value.as_ref().is_none_or(|value| value.len() < 200), "{problem:?}");
    }
    // As much as may be is less than a server takes at once.
    let value = "v".repeat(256);
    let tags: String = (0..64).map(|number| format!("\"{number:0>64}\" = \"{value}\",")).collect();
    valid(&with("candidate", &format!("tags = {{ {tags} }}")));
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    for (text, name) in [
        (with("zookeeper", "margin = \"1s\"\nmargin = \"2s\""), "margin"),
        (format!("{LEAST}[api]\nlisten = \"0.0.0.0:1\"\n[api]\nadvertise = \"http://a:1\"\n"), "api"),
        (with("coordinator", "environment = { A = \"hunter2\", A = \"hunter3\" }"), "A"),
    ] {
        let found = problems(&text);
        assert!(
            found.iter().any(|problem| problem.what.contains(&format!("{name} is there a second time"))),
            "{found:#?}"
        );
        assert!(!format!("{found:?}").contains("hunter"), "{found:#?}");
    }
}

#[test]
fn an_account_may_be_given_by_its_number_and_a_path_by_no_more_than_itself() {
    assert_eq!(valid(&with("coordinator", "user = \"0\"")).coordinator.user.as_deref(), Some("0"));
    let found = problems(&LEAST.replace("/mnt/volume", "/mnt/volume "));
    assert!(found[0].key == "lock.directory" && found[0].remedy.contains("blank"), "{found:#?}");
}

#[test]
fn what_is_taken_and_does_nothing_is_said() {
    assert_eq!(valid(LEAST).without_effect, Vec::<String>::new());
    let fencing = format!("election = \"lock\"\n{LEAST}[fencing]\ncommand = [\"/bin/true\"]\nrequired = true\n");
    let fencing = valid(&fencing).without_effect;
    assert!(fencing.len() == 1 && fencing[0].starts_with("fencing.command, fencing.required: with"), "{fencing:?}");
}

const ALWAYS_ON: &str = "cluster = \"c\"\nmode = \"always-on\"\n[zookeeper]\nservers = \"127.0.0.1:2181\"\n\
                         [coordinator]\ncommand = [\"/bin/true\"]\n";

#[test]
fn one_that_is_always_on_needs_no_volume_and_is_told_which_keys_do_nothing() {
    let config = valid(ALWAYS_ON);
    assert!(config.without_effect.is_empty() && config.lock.directory.as_os_str().is_empty());
    let common = valid(&format!("{ALWAYS_ON}[lock]\ndirectory = \"/mnt/x\"\n[candidate]\npriority = 0\n"));
    let [text] = &common.without_effect[..] else { panic!("{:?}", common.without_effect) };
    assert!(text.starts_with("lock.directory, candidate.priority: does nothing"), "{text}");
    assert!(common.lock.directory.as_os_str().is_empty(), "nothing of the volume is touched");
}

#[test]
fn one_that_is_always_on_cannot_ask_for_a_protection_that_there_is_not() {
    for line in ["watchdog = \"required\"", "required = false", "command = [\"/bin/true\"]", "after_loss = \"exit\""] {
        let problems = config::parse(&format!("{ALWAYS_ON}[fencing]\n{line}\n"), None).unwrap_err();
        let [problem] = &problems.problems[..] else { panic!("{problems}") };
        let key = format!("fencing.{}", line.split(' ').next().unwrap());
        assert_eq!((&problem.key, problem.line), (&key, Some(8)), "{problems}");
        assert!(problem.remedy.contains("active-standby"), "{problems}");
    }
}
