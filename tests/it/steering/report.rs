//! A bundle for a support case.

use std::io::Read;
use std::path::Path;

use super::*;

/// What is in it, by path without the topmost folder.
fn unpacked(path: &Path) -> std::collections::BTreeMap<String, String> {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path.split_once('/').unwrap().1.to_owned(), text)
    });
    entries.collect()
}

#[test]
fn a_bundle_has_what_every_node_that_answers_knows_and_names_who_does_not_and_holds_no_secret() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let secret = "a-token-that-nobody-may-see";
    let token = cluster.path("token");
    std::fs::write(&token, format!("alice {secret}\n")).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    cluster.set("api.token_file", token.to_str().unwrap());
    start(&mut cluster, &["a", "b"]);
    cluster.signal("b", Signal::SIGSTOP);
    let bundle = cluster.path("bundle.tar.gz");
    let said = done(&cluster, &["report", "-o", bundle.to_str().unwrap()]);
    assert_eq!(said.trim(), bundle.to_str().unwrap());
    cluster.signal("b", Signal::SIGCONT);
    let files = unpacked(&bundle);
    for name in ["cluster.json", "history.json", "a/status.json", "a/cluster.json", "a/config.json", "a/metrics.txt"] {
        assert!(!files[name].is_empty(), "{name}: {:?}", files.keys());
    }
    assert!(files["a/log.txt"].contains("role changes"), "{}", files["a/log.txt"]);
    let recordings: Vec<_> = files.keys().filter(|name| name.starts_with("a/recordings/")).collect();
    assert!(recordings.iter().any(|name| name.contains("supervisor")), "{recordings:?}");
    assert!(recordings.iter().any(|name| name.contains("guardian")), "{recordings:?}");
    assert!(files["README.txt"].contains("b: its log and recordings: "), "{}", files["README.txt"]);
    for (name, text) in &files {
        assert!(!text.contains(secret), "{name}: {text}");
    }
    // What is there is not overwritten.
    let (code, said) = refused(&cluster, &["report", "-o", bundle.to_str().unwrap()]);
    assert!(code == 1 && said.contains("cannot be created"), "{said}");
    cluster.judge();
}
