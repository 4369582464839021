//! The commands and pages that show a configuration, and what a wrong one ends with.

use super::*;

fn primacy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("PRIMACY_CONFIG")
        .output()
        .expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_missing_or_invalid_file_ends_with_78_and_says_what_to_do() {
    let files = Files::new();
    for command in ["run", "check", "status", "history", "which-active"] {
        let output = primacy(&[command, "-c", "/nowhere/primacy.toml"]);
        assert_eq!(output.status.code(), Some(78), "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains("primacy config default"), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let path = files.write("primacy.toml", 0o644, &with("", "clutser = 1"));
    let output = primacy(&["config", "show", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).starts_with(&format!("{}:1: clutser\n", path.display())), "{}", stderr(&output));
    let path = files.0.path().join("latin1.toml");
    fs::write(&path, b"cluster = \"a\"\nenvironment = \"\xe4\"\n").unwrap();
    let output = primacy(&["config", "show", "-c", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("line 2 is not valid UTF-8"), "{}", stderr(&output));
}

#[test]
fn the_configuration_is_found_by_option_or_variable_and_shown_as_toml_or_json() {
    let files = Files::new();
    let path = files.write("primacy.toml", 0o644, &LEAST.replace("command = [\"/bin/sleep\", \"1\"]", ""));
    let by_option = primacy(&["config", "show", "-o", "json", "-c", path.to_str().unwrap()]);
    assert_eq!(by_option.status.code(), Some(0), "{}", stderr(&by_option));
    let shown: Value = serde_json::from_slice(&by_option.stdout).unwrap();
    assert_eq!(shown["lock"]["directory"], "/mnt/volume");
    let by_variable = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(["config", "show"])
        .env("PRIMACY_CONFIG", &path)
        .output()
        .unwrap();
    let shown: toml::Table = String::from_utf8(by_variable.stdout).unwrap().parse().unwrap();
    assert_eq!(shown["zookeeper"]["session_timeout"].as_str(), Some("10s"));
}

#[test]
fn what_the_command_line_cannot_mean_ends_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["status", "-o", "xml"],
        &["status", "--api", "node-a"],
        &["status", "--api", "http://me:pw@node-a"],
        &["-v", "-q", "config", "default"],
        &["which-active", "--api", "--endpoint", "web"],
        &["man", "frobnicate"],
    ] {
        let output = primacy(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(["config", "default"])
        .env("RUST_LOG", "primacy=nonsense=x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn example_schema_completions_manual_help_and_version_are_printed() {
    for arguments in [
        &["config", "default"][..],
        &["config", "schema"],
        &["completions", "bash"],
        &["man"],
        &["man", "which-active"],
        &["--help"],
        &["run", "--help"],
        &["--version"],
    ] {
        let output = primacy(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(primacy(&["config", "default"]).stdout, config::default_text().as_bytes());
}

#[test]
fn a_reader_that_has_seen_enough_is_not_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .args(["config", "schema"])
        .stdout({
            // The reading end is closed before the first byte is written.
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer
        })
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_reference_pages_are_up_to_date() {
    for (name, text) in primacy::cli::reference::pages() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{name} is out of date; run: cargo run -- generate-reference docs/reference");
    }
}
