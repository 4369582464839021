//! The text of a token file: a lone token, or lines `NAME TOKEN`.
//!
//! It stays one secret text, so that whatever hides, compares or records a secret needs to know nothing of names; who asks is
//! looked up in it. Rejected: a list in the configuration. Each place that shows a secret would have to be right a second time.

use super::checks::{self, Refusal};

/// What a lone token is called.
pub const LONE: &str = "token";

/// The longest name, in bytes: it is written down with what was changed.
const LONGEST: usize = 64;

/// A token, and what it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    pub name: &'a str,
    pub token: &'a str,
}

/// The tokens of a text that [`checked`] has found good.
pub fn named(text: &str) -> impl Iterator<Item = Named<'_>> {
    text.lines().filter(|line| !line.is_empty()).map(|line| {
        let (name, token) = line.split_once(' ').unwrap_or((LONE, line));
        Named { name, token }
    })
}

/// The text of the file at `path` in its plainest form: one blank between name and token, no empty lines.
///
/// # Errors
/// The line that is wrong, and what to do about it; nothing of what is in it, for it may be a secret in the wrong place.
pub fn checked(path: &str, text: &str) -> Result<String, Refusal> {
    // A mark that some editors put at the beginning, and that nobody sees.
    let text = text.trim_start_matches('\u{feff}');
    let lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split_whitespace().collect()))
        .filter(|(_, words): &(usize, Vec<&str>)| !words.is_empty())
        .collect();
    let lone = lines.len() == 1;
    let mut good: Vec<(usize, Named<'_>)> = Vec::new();
    for (number, words) in &lines {
        let number = *number;
        let refused = |what: &str, remedy: &str| Err((format!("{path} {what} in line {number}"), remedy.to_owned()));
        let (name, token) = match words[..] {
            [token] if lone => (LONE, token),
            [name, token] => (name, token),
            [_] => {
                return refused("has a token without a name", "write NAME TOKEN on each line, or leave only one line");
            }
            _ => return refused("has more than two words", "write NAME TOKEN on each line, the token without blanks"),
        };
        if checks::token(token).is_err() {
            return refused(
                "has a token that cannot be sent in a header",
                "use printable ASCII characters without blanks",
            );
        }
        if name.len() > LONGEST || !name.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-@".contains(&it)) {
            return refused(
                "has a name that is none",
                "write NAME TOKEN, the name of at most 64 letters, digits, `.`, `_`, `-` and `@`",
            );
        }
        if let Some((first, _)) = good.iter().find(|(_, it)| it.name == name) {
            return refused(&format!("has the name of line {first} again"), "give every token a name of its own");
        }
        if let Some((first, _)) = good.iter().find(|(_, it)| it.token == token) {
            return refused(&format!("has the token of line {first} again"), "give every name a token of its own");
        }
        good.push((number, Named { name, token }));
    }
    match &good[..] {
        [] => Err((format!("{path} is empty"), "write a token into it on one line, or lines NAME TOKEN".to_owned())),
        [(_, only)] if only.name == LONE => Ok(only.token.to_owned()),
        several => Ok(several.iter().map(|(_, it)| format!("{} {}", it.name, it.token)).collect::<Vec<_>>().join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(String, String)> {
        let text = checked("/t", text).expect("a good file");
        named(&text).map(|it| (it.name.to_owned(), it.token.to_owned())).collect()
    }

    #[test]
    fn a_file_holds_a_lone_token_or_named_ones() {
        let pair = |name: &str, token: &str| (name.to_owned(), token.to_owned());
        assert_eq!(tokens("\u{feff}  s3cret\r\n"), [pair("token", "s3cret")]);
        assert_eq!(tokens("alice s3cret"), [pair("alice", "s3cret")]);
        assert_eq!(
            tokens("alice  one\r\n\n  deploy-bot@ci\ttwo \n"),
            [pair("alice", "one"), pair("deploy-bot@ci", "two")]
        );
        assert_eq!(checked("/t", "token s3cret").unwrap(), "s3cret", "the name that a lone one has anyway");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_its_text() {
        for (text, line, remedy) in [
            ("hunter2\nhunter3", "line 1", "NAME TOKEN on each line"),
            ("a hunter1\n\nhunter2", "line 3", "NAME TOKEN on each line"),
            ("a hunter1 hunter2", "line 1", "without blanks"),
            ("a hunt\u{200b}er1", "line 1", "printable ASCII"),
            ("hunter2: hunter3", "line 1", "letters, digits"),
            ("# hunter2", "line 1", "letters, digits"),
            ("a hunter1\na hunter2", "line 2", "a name of its own"),
            ("a hunter1\nb hunter1", "line 2", "a token of its own"),
        ] {
            let (what, how) = checked("/t", text).unwrap_err();
            assert!(what.starts_with("/t ") && what.contains(line) && how.contains(remedy), "{text:?}: {what}; {how}");
            assert!(!format!("{what}{how}").contains("hunt"), "{what}; {how}");
        }
        assert!(checked("/t", " \n").unwrap_err().0.contains("is empty"));
    }
}
