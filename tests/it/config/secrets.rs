//! Secrets and certificates: who may read their files, what is in them, and that nobody is shown them.

use super::*;

#[test]
fn a_secret_s_file_must_be_its_owner_s_alone_and_hold_one_line_of_the_right_form() {
    let files = Files::new();
    let cases = [
        ("api", "token_file", 0o644, "hunter2\n", "chmod 600"),
        ("api", "token_file", 0o640, "hunter2\n", "chmod 600"),
        ("api", "read_token_file", 0o604, "hunter2\n", "chmod 600"),
        ("api", "token_file", 0o600, " \n", "one line"),
        ("api", "token_file", 0o600, "alice hunter1\nhunter2\n", "NAME TOKEN on each line"),
        ("api", "token_file", 0o600, "alice hunter2 hunter3\n", "without blanks"),
        ("zookeeper", "digest_file", 0o644, "u:hunter2\n", "chmod 600"),
        ("zookeeper", "digest_file", 0o600, "hunter2\n", "user:password"),
        ("zookeeper", "digest_file", 0o600, ":hunter2\n", "user:password"),
    ];
    for (number, (section, name, mode, content, remedy)) in cases.into_iter().enumerate() {
        let path = files.write(&format!("secret-{number}"), mode, content);
        let found = problems(&with(section, &format!("{name} = {path:?}")));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].key, format!("{section}.{name}"));
        assert!(found[0].remedy.contains(remedy), "{content:?}: {found:#?}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:#?}");
    }
    let folder = files.0.path();
    let found = problems(&with("api", &format!("token_file = {folder:?}")));
    assert!(found[0].what.contains("not a regular file"), "{found:#?}");
    let token = files.write("token", 0o600, "hunter2\n");
    let found = problems(&with("api", &format!("token_file = {token:?}\nread_token_file = {token:?}")));
    assert_eq!(found[0].key, "api.read_token_file");
    assert!(found[0].remedy.contains("another token"), "{found:#?}");
    let named = files.write("named", 0o600, "alice hunter1\nbob hunter2\n");
    let found = problems(&with("api", &format!("token_file = {token:?}\nread_token_file = {named:?}")));
    assert_eq!(found[0].key, "api.read_token_file");
    assert!(found[0].remedy.contains("another token"), "{found:#?}");
}

#[test]
fn secrets_reach_their_user_and_nobody_else() {
    let files = Files::new();
    let token = files.write("token", 0o600, "  hunter2\n");
    let digest = files.write("digest", 0o400, "me:hunter2");
    let text = with("api", &format!("token_file = {token:?}"))
        .replace("[zookeeper]", &format!("[zookeeper]\ndigest_file = {digest:?}"))
        .replace("[coordinator]", "[coordinator]\nenvironment = { PASSWORD = \"hunter2\" }");
    let config = valid(&text);
    assert_eq!(config.api.token.as_ref().unwrap().reveal(), "hunter2");
    assert_eq!(config.zookeeper.digest.as_ref().unwrap().reveal(), "me:hunter2");
    assert_eq!(config.coordinator.environment["PASSWORD"], "hunter2");
    let effective = config::effective(&config);
    assert!(!effective.to_string().contains("hunter2"), "{effective}");
    assert_eq!(effective["api"]["token_file"], token.to_str().unwrap());
    assert_eq!(effective["coordinator"]["environment"]["PASSWORD"], "(secret)");
}

#[test]
fn named_tokens_reach_the_api_and_nobody_is_shown_one() {
    let files = Files::new();
    let token = files.write("token", 0o600, "alice hunter2\n\nbob\thunter3\n");
    let config = valid(&with("api", &format!("token_file = {token:?}")));
    assert_eq!(config.api.token.as_ref().unwrap().reveal(), "alice hunter2\nbob hunter3");
    let shown = format!("{} {config:?} {}", config::effective(&config), serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("hunter"), "{shown}");
    let path = token.to_str().unwrap();
    let (what, _) = config::token_file(path).unwrap_err();
    assert!(what.contains("more than one token") && !what.contains("hunter"), "{what}");
    files.write("token", 0o600, "alice hunter2\n");
    assert_eq!(config::token_file(path).unwrap(), "hunter2", "a client shows the token, not the name");
}

#[test]
fn a_mark_that_an_editor_leaves_is_no_part_of_a_secret_and_what_nobody_sees_is_refused() {
    let files = Files::new();
    let digest = files.write("digest", 0o600, "\u{feff}me:hunter2\r\n");
    let token = files.write("token", 0o600, "\u{feff}hunter2\n");
    let text = with("api", &format!("token_file = {token:?}"))
        .replace("[zookeeper]", &format!("[zookeeper]\ndigest_file = {digest:?}"));
    let config = valid(&text);
    assert_eq!(config.zookeeper.digest.as_ref().unwrap().reveal(), "me:hunter2");
    assert_eq!(config.api.token.as_ref().unwrap().reveal(), "hunter2");
    for hidden in ["me:hun\u{200b}ter2", "me\u{feff}:hunter2", "me:hunter2\u{200e}"] {
        files.write("digest", 0o600, hidden);
        let found = problems(&with("zookeeper", &format!("digest_file = {digest:?}")));
        assert!(found[0].what.contains("nobody sees"), "{found:#?}");
    }
}

#[test]
fn others_see_no_arguments_of_a_command_and_no_query_of_a_url() {
    let secret = "hunter2";
    let argv = format!("[\"/bin/true\", \"--password={secret}\", \"{secret}\"]");
    let text = LEAST.replace(
        "command = [\"/bin/sleep\", \"1\"]",
        &format!(
            "command = {argv}\nbefore_kill = {argv}\nendpoints = {{ web = \"http://a:1/x?key={secret}#{secret}\" }}"
        ),
    );
    let hooks = ["on_active", "on_standby", "before_start", "after_stop", "on_fenced", "on_no_leader"]
        .map(|name| format!("{name} = {argv}\n"))
        .concat();
    for probe in [format!("command = {argv}"), format!("http = \"http://127.0.0.1:1/ready?key={secret}\"")] {
        let config = valid(&format!(
            "{text}[hooks]\n{hooks}[fencing]\ncommand = {argv}\n[drain]\ncommand = {argv}\n[health]\n{probe}\n"
        ));
        let effective = config::effective(&config);
        assert!(!effective.to_string().contains(secret), "{effective:#}");
        assert_eq!(effective["coordinator"]["command"], serde_json::json!(["/bin/true"]));
        assert_eq!(effective["coordinator"]["endpoints"]["web"], "http://a:1/x");
        assert_eq!(config.coordinator.command.len(), 3);
    }
    assert_eq!(config::shown_url("https://me:hunter2@a:1/b/c?d"), "https://a:1/b/c");
    assert_eq!(config::shown_url("node-a:31010"), "node-a:31010");
}

#[test]
fn certificate_and_key_come_together_and_in_pem_form() {
    let files = Files::new();
    let cert = files.write("cert.pem", 0o644, CERTIFICATE);
    let key = files.write("key.pem", 0o640, KEY);
    let open = files.write("open.pem", 0o644, KEY);
    let der = files.write("cert.der", 0o644, "0");
    let section = |tls: &str| with("api", tls);
    let config = valid(&section(&format!("tls = {{ cert = {cert:?}, key = {key:?}, client_ca = \"\" }}")));
    assert_eq!(config.api.tls.unwrap().cert, cert);
    assert!(config.api.advertise.starts_with("https://"), "{}", config.api.advertise);
    assert!(valid(&section("tls = { cert = \"\", key = \"\", client_ca = \"\" }")).api.tls.is_none());
    for (tls, at, remedy) in [
        (format!("tls = {{ cert = {cert:?} }}"), "api.tls.key", "give both"),
        (format!("tls = {{ key = {key:?}, cert = \"\" }}"), "api.tls.cert", "give both"),
        (format!("tls = {{ cert = {cert:?}, key = {open:?} }}"), "api.tls.key", "chmod 600"),
        (format!("tls = {{ cert = {der:?}, key = {key:?} }}"), "api.tls.cert", "PEM"),
        (format!("tls = {{ client_ca = {cert:?} }}"), "api.tls.client_ca", "api.tls.cert"),
        (format!("tls = {{ cert = \"\", client_ca = {cert:?} }}"), "api.tls.client_ca", "api.tls.cert"),
    ] {
        let found = problems(&section(&tls));
        assert_eq!((found.len(), found[0].key.as_str()), (1, at), "{tls}: {found:#?}");
        assert!(found[0].remedy.contains(remedy), "{tls}: {found:#?}");
        assert!(found[0].line.is_some(), "{tls}");
    }
    let found = problems(&with("zookeeper", &format!("tls = {{ cert = {cert:?}, key = {key:?} }}")));
    assert_eq!((found.len(), found[0].key.as_str()), (1, "zookeeper.tls.ca"), "{found:#?}");
    let text = with("zookeeper", &format!("tls = {{ ca = {cert:?}, cert = {cert:?}, key = {key:?} }}"));
    let config = valid(&text);
    assert_eq!(config.zookeeper.tls.as_ref().unwrap().ca.as_deref(), Some(CERTIFICATE));
    assert!(!config::effective(&config).to_string().contains("PRIVATE KEY"));
}
