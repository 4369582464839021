//! What of a secret may be written down: that it is the same as another one, and nothing else.
//!
//! In the place of a text stands a number that follows from it and from a key that this process has drawn and tells nobody.
//! So a record shows whether a token has changed, and a replay decides as the node did; of the text itself nothing can be
//! found out, not even by trying. What stands for a text stands for itself, too.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use crate::guardian::protocol::{
    CommandOrder, GuardianOrder, LastWill, Report, Settings, TlsMaterial, ZooKeeperAccess,
};

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

const BEFORE: &str = "(redacted-";
const AFTER: char = ')';

/// What stands for a text. Nothing at all is no secret.
pub fn text(text: &str) -> String {
    if text.is_empty() || is_redacted(text) {
        return text.to_owned();
    }
    format!("{BEFORE}{:016x}{AFTER}", KEY.hash_one(text))
}

fn is_redacted(text: &str) -> bool {
    let number = text.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER));
    number.is_some_and(|number| number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// How the variables are called that this program sets. The configuration may set none of that name.
const OWN: &str = "PRIMACY_";

/// The values of variables: any of them may be a secret, but for this program's own, which it has to want again in a replay.
pub fn values(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |name: &str, value: &str| if name.starts_with(OWN) { value.to_owned() } else { text(value) };
    variables.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// A program's arguments: any of them may be a secret. The program itself is none.
pub fn arguments(argv: &[String]) -> Vec<String> {
    argv.iter()
        .enumerate()
        .map(|(place, argument)| if place == 0 { argument.clone() } else { text(argument) })
        .collect()
}

/// User, password and query of a URL.
pub fn url(url: &str) -> String {
    let (before_query, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let (scheme, rest) = before_query
        .split_once("://")
        .map_or(("", before_query), |(scheme, _)| before_query.split_at(scheme.len() + 3));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority
        .rsplit_once('@')
        .map_or_else(|| authority.to_owned(), |(user, host)| format!("{}@{host}", text(user)));
    let query = query.map(|query| format!("?{}", text(query))).unwrap_or_default();
    format!("{scheme}{authority}{path}{query}")
}

/// A last will: what its session would be authenticated with.
pub fn last_will(will: &LastWill) -> LastWill {
    let hidden = |secret: &Option<String>| secret.as_deref().map(text);
    let ZooKeeperAccess { servers, session_timeout, digest, tls, addresses } = &will.zookeeper;
    let tls = tls.as_ref().map(|TlsMaterial { ca, cert, key }| TlsMaterial {
        ca: hidden(ca),
        cert: hidden(cert),
        key: hidden(key),
    });
    let zookeeper = ZooKeeperAccess {
        servers: servers.clone(),
        session_timeout: *session_timeout,
        digest: hidden(digest),
        tls,
        addresses: addresses.clone(),
    };
    LastWill { zookeeper, ..will.clone() }
}

/// A guardian's settings: variables and arguments.
pub fn settings(settings: &Settings) -> Settings {
    Settings {
        command: arguments(&settings.command),
        environment: values(&settings.environment),
        before_kill: arguments(&settings.before_kill),
        ..settings.clone()
    }
}

/// What is in an order to the guardian.
pub fn order(order: &GuardianOrder) -> Cow<'_, GuardianOrder> {
    match order {
        GuardianOrder::Configure(configured) => Cow::Owned(GuardianOrder::Configure(Box::new(settings(configured)))),
        GuardianOrder::Run(command) => Cow::Owned(GuardianOrder::Run(Box::new(CommandOrder {
            argv: arguments(&command.argv),
            environment: values(&command.environment),
            ..(**command).clone()
        }))),
        GuardianOrder::LastWill(will) => Cow::Owned(GuardianOrder::LastWill(will.as_ref().map(last_will))),
        GuardianOrder::AcquireLock { .. }
        | GuardianOrder::AwaitLock { .. }
        | GuardianOrder::CallOff
        | GuardianOrder::Look
        | GuardianOrder::Rehearse(_)
        | GuardianOrder::WriteRecord(_)
        | GuardianOrder::SetDeadline { .. }
        | GuardianOrder::SetWatchdog(_)
        | GuardianOrder::Start { .. }
        | GuardianOrder::StartAlwaysOn
        | GuardianOrder::Stop
        | GuardianOrder::Kill
        | GuardianOrder::CloseLock { .. }
        | GuardianOrder::Ping { .. } => Cow::Borrowed(order),
    }
}

/// What a guardian reports: the lines that a command has printed.
pub fn report(report: &Report) -> Cow<'_, Report> {
    if let Report::Output { name, line } = report {
        Cow::Owned(Report::Output { name: name.clone(), line: text(line) })
    } else {
        Cow::Borrowed(report)
    }
}

/// For serde: [`text`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_text<S: Serializer>(secret: &str, to: S) -> Result<S::Ok, S::Error> {
    text(secret).serialize(to)
}

/// For serde: [`url`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_url<S: Serializer>(address: &str, to: S) -> Result<S::Ok, S::Error> {
    url(address).serialize(to)
}

/// For serde: [`last_will`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_last_will<S: Serializer>(will: &LastWill, to: S) -> Result<S::Ok, S::Error> {
    last_will(will).serialize(to)
}

/// For serde: [`last_will`] of one that may be missing.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_wanted_last_will<W: Borrow<LastWill>, S: Serializer>(
    will: &Option<W>,
    to: S,
) -> Result<S::Ok, S::Error> {
    will.as_ref().map(|will| last_will(will.borrow())).serialize(to)
}

/// For serde: [`settings`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_settings<S: Serializer>(configured: &Settings, to: S) -> Result<S::Ok, S::Error> {
    settings(configured).serialize(to)
}

/// For serde: [`order`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_order<S: Serializer>(given: &GuardianOrder, to: S) -> Result<S::Ok, S::Error> {
    order(given).serialize(to)
}

/// For serde: [`report`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_report<S: Serializer>(told: &Report, to: S) -> Result<S::Ok, S::Error> {
    report(told).serialize(to)
}

/// For serde: [`values`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_values<S: Serializer>(variables: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    values(variables).serialize(to)
}

/// For serde: [`arguments`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_arguments<S: Serializer>(argv: &[String], to: S) -> Result<S::Ok, S::Error> {
    arguments(argv).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_stay_equal_and_what_stands_for_one_stands_for_itself() {
        let one = text("geheim");
        assert_eq!(one, text("geheim"));
        assert_ne!(one, text("geheimer"));
        assert_eq!(text(&one), one);
        assert_ne!(text("(redacted-no)"), "(redacted-no)");
        assert_eq!(text(""), "");
    }

    #[test]
    fn a_url_keeps_what_people_are_shown_and_nothing_else() {
        for (address, shown) in [
            ("http://u:geheim@host:1/path?token=geheim", "http://host:1/path"),
            ("http://host:1/path", "http://host:1/path"),
            ("http://host", "http://host"),
            ("host:1", "host:1"),
        ] {
            let redacted = url(address);
            assert!(!redacted.contains("geheim"), "{redacted}");
            assert_eq!(crate::config::shown_url(&redacted), shown);
            assert_eq!(url(&redacted), redacted);
        }
        assert_eq!(url("http://host/path"), "http://host/path");
    }

    #[test]
    fn a_program_is_named_and_its_arguments_are_not() {
        let argv = ["/bin/program".to_owned(), "--password=geheim".to_owned()];
        let redacted = arguments(&argv);
        assert_eq!(redacted[0], "/bin/program");
        assert!(!redacted[1].contains("geheim"));
    }
}
