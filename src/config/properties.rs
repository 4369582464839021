//! What must hold of whatever a configuration file, or a file that it names, contains.

use super::{checks, effective, files, parse, reload_differences, tokens};

/// Any text as the configuration.
pub fn file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text, None) {
        Ok(config) => {
            assert!(checks::cluster_name(&config.cluster).is_ok() && checks::node_name(&config.node).is_ok());
            assert!(config.coordinator.command.first().is_some_and(|program| !program.is_empty()));
            assert!(effective(&config).is_object());
            assert_eq!(reload_differences(&config, &config), []);
        }
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            let lines = text.matches('\n').count() + 1;
            for problem in &problems.problems {
                assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
            }
            // It is printed on a terminal.
            let shown = problems.to_string();
            assert!(!shown.chars().any(|it| it.is_control() && it != '\n'), "{shown:?}");
        }
    }
}

/// Any text as the content of a secret's file.
pub fn secrets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match files::secret_in("/s", text) {
        Ok(secret) => {
            assert!(!secret.is_empty() && secret.lines().count() == 1);
            assert_eq!(files::secret_in("/s", &format!("{secret}\n")).as_ref(), Ok(&secret));
            if checks::digest(&secret).is_ok() {
                let (user, password) = secret.split_once(':').expect("user:password");
                assert!(!user.is_empty() && !password.is_empty());
                assert!(!secret.chars().any(char::is_control));
            }
        }
        // A refusal names the file and never repeats what may be the secret.
        Err((what, remedy)) => assert!(what.starts_with("/s ") && !remedy.is_empty()),
    }
    match tokens::checked("/s", text) {
        Ok(plain) => {
            assert_eq!(tokens::checked("/s", &plain).as_ref(), Ok(&plain));
            assert!(tokens::named(&plain).count() > 0);
            for it in tokens::named(&plain) {
                assert!(!it.name.is_empty() && http::HeaderValue::from_str(&format!("Bearer {}", it.token)).is_ok());
            }
        }
        Err((what, remedy)) => assert!(what.starts_with("/s ") && !remedy.is_empty()),
    }
    for refusal in [checks::base_url(text).err(), checks::servers(text).err(), checks::znode(text).err()] {
        assert!(refusal.is_none_or(|(what, remedy)| !what.is_empty() && !remedy.is_empty()));
    }
    if let Ok(base) = checks::base_url(text) {
        assert!(!base.ends_with('/') && !base.contains('@'));
    }
    if let Ok(servers) = checks::servers(text) {
        assert_eq!(checks::servers(&servers).as_ref(), Ok(&servers));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::keys::KEYS;

    fn values() -> impl Strategy<Value = String> {
        prop_oneof![
            "[\"'{}\\[\\]0-9a-z ,.=-]{0,12}",
            "\"[0-9]{1,25} ?(ns|ms|s|h|days|MiB|EB|years)?\"".prop_map(|text| text),
            any::<i64>().prop_map(|number| number.to_string()),
            Just("true".to_owned()),
            "\"\\PC{0,10}\"",
            "\\[(\"[a-z/:]{0,5}\",?){0,3}\\]",
            "\"(http|https)://[a-z@:/\\[\\]0-9]{0,12}\"",
        ]
    }

    proptest! {
        #[test]
        fn any_text_as_configuration_is_refused_with_a_remedy_or_usable(text in ".{0,200}") {
            file(text.as_bytes());
        }

        #[test]
        fn any_values_for_any_keys_are_refused_with_a_remedy_or_usable(
            lines in prop::collection::vec((any::<prop::sample::Index>(), values()), 0..12),
        ) {
            let lines = lines.into_iter().map(|(key, value)| format!("{} = {value}\n", key.get(KEYS).path));
            file(lines.collect::<String>().as_bytes());
        }

        #[test]
        fn any_text_in_a_secrets_file_is_refused_without_being_repeated_or_fits(text in "\\PC{0,30}[\n\r\t\u{0}-\u{20}]?\\PC{0,3}") {
            secrets(text.as_bytes());
        }

        #[test]
        fn any_text_as_an_address_is_refused_with_a_remedy_or_fits(
            text in "(https?://)?[a-z0-9.:\\[\\]@/?,-]{0,25}",
        ) {
            secrets(text.as_bytes());
        }
    }

    #[test]
    fn a_path_with_a_terminals_control_sequence_is_shown_without_it() {
        file(b"cluster = \"c\"\nzookeeper.digest_file = \"/x\\u001b[31m\"\n");
    }

    #[test]
    fn a_session_longer_than_zookeeper_can_count_is_refused() {
        let problems = parse("zookeeper.session_timeout = \"30days\"\n", None).unwrap_err();
        assert!(problems.to_string().contains("24 days"), "{problems}");
    }

    #[test]
    fn a_digest_with_a_control_character_is_refused() {
        assert!(checks::digest("user:pass\u{1b}word").is_err());
        assert!(checks::digest("user:pass word").is_ok());
    }
}
