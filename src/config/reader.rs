//! From text to plain values: each key by itself, so that one bad key does not hide the next.
//!
//! The rejected alternative is one `#[derive(Deserialize)]` for the whole file: serde stops at the first error, and an
//! operator would have to start the supervisor once per mistake. Here the document is taken apart along the table of
//! [`keys`], with the spans of every key and value at hand.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Kind};
use super::problems::Problem;
use super::{defaults, suggest};

/// The longest piece of a value that a message shows, in characters.
const SHOWN: usize = 100;

/// The values that could be read, and the problems so far.
#[derive(Debug, Default)]
pub struct Reader {
    entries: BTreeMap<&'static str, Entry>,
    /// The line of each table that the file mentions.
    headers: BTreeMap<String, usize>,
    problems: Vec<Problem>,
    /// The text was not TOML at all.
    unreadable: bool,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    /// As it was written; `None` for what may be a secret.
    shown: Option<String>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// Already reported.
    Bad,
    Text(String),
    Duration(Duration),
    Size(u64),
    Count(u32),
    Boolean(bool),
    Arguments(Vec<String>),
    Texts(BTreeMap<String, Given>),
}

/// A text with a key of the user's choice.
#[derive(Debug, Clone)]
pub struct Given {
    pub text: String,
    pub line: usize,
    shown: Option<String>,
}

impl Given {
    /// The same, for a value that must not be repeated.
    pub fn unshown(self) -> Self {
        Self { shown: None, ..self }
    }
}

/// Reads the text. With a syntax error only syntax errors are reported: the rest of the document cannot be trusted.
pub fn read(text: &str) -> Reader {
    let mut reader = Reader::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    reader.unreadable = !errors.is_empty();
    if !reader.unreadable {
        reader.walk(text, "", document.get_ref());
    }
    for error in errors {
        let line = error.span().map(|span| line_of(text, span.start));
        // The message alone: the error's Display quotes the line, and a line may hold a secret.
        let what = match duplicate(text, &error) {
            Some(name) => format!("is not valid TOML: {name} is there a second time"),
            None => format!("is not valid TOML: {}", error.message().replace('\n', "; ")),
        };
        let remedy = "correct the syntax (https://toml.io); the rest of the file is checked after that".to_owned();
        reader.problems.push(Problem { key: String::new(), line, value: None, what, remedy });
    }
    reader.problems.dedup_by_key(|problem| (problem.key.clone(), problem.line, problem.what.clone()));
    reader
}

/// The name of a key that is there twice. A name may be shown, other than what an error's line may hold.
fn duplicate(text: &str, error: &toml::de::Error) -> Option<String> {
    if !error.message().starts_with("duplicate key") {
        return None;
    }
    let name = text.get(error.span()?)?;
    let plain = name.chars().all(|it| it.is_alphanumeric() || "_-.\"' []".contains(it));
    (plain && !name.is_empty()).then(|| name.trim_matches(['[', ']']).to_owned())
}

impl Reader {
    fn walk(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = join(prefix, name.get_ref());
            let line = line_of(text, name.span().start);
            if let Some(key) = keys::find(&path) {
                let entry = self.take(text, key, line, value);
                self.entries.insert(key.path, entry);
            } else if !keys::is_section(&path) {
                let remedy = suggest::remedy(prefix, name.get_ref());
                // Its value is not shown: `token = "…"` where `token_file` was meant must not reach a log.
                let what = "is not a known key".to_owned();
                self.problems.push(Problem { key: path, line: Some(line), value: None, what, remedy });
            } else if let DeValue::Table(inner) = value.get_ref() {
                self.headers.insert(path.clone(), line);
                self.walk(text, &path, inner);
            } else {
                self.headers.insert(path.clone(), line);
                let what = format!("is {}; a table is expected", article(value.get_ref()));
                let remedy = format!("write a section [{path}], or {path} = {{ … }}");
                self.problems.push(Problem { key: path, line: Some(line), value: None, what, remedy });
            }
        }
    }

    fn take(&mut self, text: &str, key: &Key, line: usize, value: &Spanned<DeValue<'_>>) -> Entry {
        let shown = match key.kind {
            Kind::SecretTexts | Kind::Texts => None,
            Kind::SecretFile if !value.get_ref().as_str().is_some_and(|text| text.starts_with('/')) => None,
            _ => Some(as_written(text, value)),
        };
        let value = match (key.kind, value.get_ref()) {
            (Kind::Texts | Kind::SecretTexts, DeValue::Table(table)) => {
                let given = self.texts(text, key, table);
                given.map(Value::Texts).ok_or(None)
            }
            (Kind::Arguments, DeValue::Array(items)) => arguments(items).map_err(Some),
            (Kind::Paths, DeValue::Array(items)) => paths(items).map_err(Some),
            (kind, value) => scalar(kind, value).map_err(Some),
        };
        let value = value.unwrap_or_else(|reason| {
            if let Some((what, remedy)) = reason {
                let (key, value) = (key.path.to_owned(), shown.clone());
                self.problems.push(Problem { key, line: Some(line), value, what, remedy });
            }
            Value::Bad
        });
        Entry { line, shown, value }
    }

    fn texts(&mut self, text: &str, key: &Key, table: &DeTable<'_>) -> Option<BTreeMap<String, Given>> {
        let mut given = BTreeMap::new();
        let before = self.problems.len();
        for (name, value) in table {
            let line = line_of(text, name.span().start);
            let shown = (key.kind != Kind::SecretTexts).then(|| as_written(text, value));
            match scalar(Kind::Text, value.get_ref()) {
                Ok(Value::Text(text)) => {
                    given.insert(name.get_ref().to_string(), Given { text, line, shown });
                }
                Ok(_) => {}
                Err((what, remedy)) => self.problems.push(Problem {
                    key: join(key.path, name.get_ref()),
                    line: Some(line),
                    value: shown,
                    what,
                    remedy,
                }),
            }
        }
        (self.problems.len() == before).then_some(given)
    }

    /// Reports a problem of `key`, after which the key counts as unreadable.
    pub fn reject(&mut self, key: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        let (line, value) = match self.entries.get_mut(key) {
            Some(entry) => {
                entry.value = Value::Bad;
                (Some(entry.line), entry.shown.clone())
            }
            None => (self.header(key), None),
        };
        self.problems.push(Problem { key: key.to_owned(), line, value, what: what.into(), remedy: remedy.into() });
    }

    /// As [`Self::reject`], for a value that must not be repeated.
    pub fn reject_unshown(&mut self, key: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.shown = None;
        }
        self.reject(key, what, remedy);
    }

    /// Reports a problem of one of the texts in the table `key`.
    pub fn reject_text(
        &mut self,
        key: &'static str,
        name: &str,
        given: &Given,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            key: join(key, name),
            line: Some(given.line),
            value: given.shown.clone(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether `key` was given, readable or not.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether a problem of `key` has been reported.
    pub fn is_bad(&self, key: &str) -> bool {
        matches!(self.entries.get(key), Some(Entry { value: Value::Bad, .. }))
    }

    /// Whether the text of `key` asks for something: given and not `""`, readable or not.
    pub fn asks(&self, key: &str) -> bool {
        self.text(key).is_some() || self.is_bad(key)
    }

    /// The text of `key`, unless it is absent, bad or `""`.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    pub fn duration(&self, key: &str) -> Option<Duration> {
        if let Some(Value::Duration(duration)) = self.value(key) { Some(*duration) } else { None }
    }

    pub fn size(&self, key: &str) -> Option<u64> {
        if let Some(Value::Size(bytes)) = self.value(key) { Some(*bytes) } else { None }
    }

    pub fn count(&self, key: &str) -> Option<u32> {
        if let Some(Value::Count(count)) = self.value(key) { Some(*count) } else { None }
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        if let Some(Value::Boolean(boolean)) = self.value(key) { Some(*boolean) } else { None }
    }

    /// argv; empty where it is absent, bad or `[]`.
    pub fn arguments(&self, key: &str) -> Vec<String> {
        if let Some(Value::Arguments(arguments)) = self.value(key) { arguments.clone() } else { Vec::new() }
    }

    pub fn given_texts(&self, key: &str) -> BTreeMap<String, Given> {
        if let Some(Value::Texts(given)) = self.value(key) { given.clone() } else { BTreeMap::new() }
    }

    /// Whether there was a document to take values from.
    pub fn is_readable(&self) -> bool {
        !self.unreadable
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn value(&self, key: &str) -> Option<&Value> {
        debug_assert!(keys::find(key).is_some(), "{key} is not in the table of keys");
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The line of the nearest table that would hold `key`.
    fn header(&self, key: &str) -> Option<usize> {
        let mut path = key;
        while let Some((parent, _)) = path.rsplit_once('.') {
            if let Some(line) = self.headers.get(parent) {
                return Some(*line);
            }
            path = parent;
        }
        None
    }
}

type Refusal = (String, String);

fn scalar(kind: Kind, value: &DeValue<'_>) -> Result<Value, Refusal> {
    let wrong_type = |expected: &str, remedy: &str| {
        Err((format!("is {}; {expected} is expected", article(value)), format!("write {remedy}")))
    };
    match (kind, value) {
        (_, DeValue::String(text)) if text.contains('\0') => Err((
            "contains a NUL character, which no path, argument or name can".to_owned(),
            "remove the \\u0000".to_owned(),
        )),
        (Kind::SecretFile | Kind::Path, DeValue::String(text)) if text.trim() != text => {
            Err(("begins or ends with a blank".to_owned(), "remove the blank".to_owned()))
        }
        (Kind::Text | Kind::SecretFile | Kind::Path, DeValue::String(text)) => {
            if text.is_empty() || kind == Kind::Text || text.starts_with('/') {
                return Ok(Value::Text(text.to_string()));
            }
            Err(("is not an absolute path".to_owned(), "write the whole path, beginning with /".to_owned()))
        }
        (Kind::Text, _) => wrong_type("a text", "it in quotes"),
        (Kind::SecretFile | Kind::Path, _) => wrong_type("a path", "an absolute path in quotes"),
        (Kind::Choice(words), DeValue::String(text)) => {
            if words.contains(&text.as_ref()) {
                return Ok(Value::Text(text.to_string()));
            }
            Err(("is not one of the words that are known here".to_owned(), format!("write {}", quoted(words))))
        }
        (Kind::Choice(words), _) => wrong_type("a word in quotes", &quoted(words)),
        (Kind::Duration { zero }, DeValue::String(text)) => duration(text, zero).map(Value::Duration),
        (Kind::Duration { .. }, DeValue::Integer(number)) => {
            wrong_type("a duration with its unit", &format!("\"{number}s\" if seconds are meant"))
        }
        (Kind::Duration { .. }, _) => wrong_type("a duration", DURATION),
        (Kind::Size, DeValue::String(text)) => size(text).map(Value::Size),
        (Kind::Size, DeValue::Integer(number)) => {
            wrong_type("a size with its unit", &format!("\"{number}B\" if bytes are meant"))
        }
        (Kind::Size, _) => wrong_type("a size", SIZE),
        (Kind::Count { least }, DeValue::Integer(number)) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|count| *count >= least)
            .map(Value::Count)
            .ok_or_else(|| {
                ("is out of range".to_owned(), format!("write a whole number from {least} to {}", u32::MAX))
            }),
        (Kind::Count { .. }, _) => wrong_type("a whole number", "digits without quotes"),
        (Kind::Boolean, DeValue::Boolean(boolean)) => Ok(Value::Boolean(*boolean)),
        (Kind::Boolean, _) => wrong_type("true or false", "true or false, without quotes"),
        (Kind::Arguments, _) => {
            wrong_type("a list of arguments", "[\"program\", \"argument\", …]; no shell is involved")
        }
        (Kind::Paths, _) => wrong_type("a list of paths", "[\"/path\", …]"),
        (Kind::Texts | Kind::SecretTexts, _) => wrong_type("a table of texts", "{ name = \"value\" }"),
    }
}

fn arguments(items: &toml::de::DeArray<'_>) -> Result<Value, Refusal> {
    let mut arguments = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match scalar(Kind::Text, item.get_ref()) {
            Ok(Value::Text(text)) => arguments.push(text),
            Ok(_) => {}
            Err((what, remedy)) => return Err((format!("item {} {what}", number + 1), remedy)),
        }
    }
    if arguments.first().is_some_and(String::is_empty) {
        return Err((
            "has an empty program name".to_owned(),
            "name the program first, or write [] for none".to_owned(),
        ));
    }
    if arguments.first().is_some_and(|program| program.trim() != program) {
        return Err((
            "has a program name that begins or ends with a blank".to_owned(),
            "remove the blank; arguments are items of their own".to_owned(),
        ));
    }
    Ok(Value::Arguments(arguments))
}

fn paths(items: &toml::de::DeArray<'_>) -> Result<Value, Refusal> {
    let mut paths = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match scalar(Kind::Path, item.get_ref()) {
            Ok(Value::Text(text)) if text.is_empty() => {
                return Err((format!("item {} is empty", number + 1), "leave it out, or name a path".to_owned()));
            }
            Ok(Value::Text(text)) => paths.push(text),
            Ok(_) => {}
            Err((what, remedy)) => return Err((format!("item {} {what}", number + 1), remedy)),
        }
    }
    // As they are.
    Ok(Value::Arguments(paths))
}

const DURATION: &str = "a number with its unit in quotes, for example \"500ms\", \"10s\", \"2m\" or \"1h 30m\"";
const SIZE: &str = "a number with its unit in quotes, for example \"100MiB\" or \"2GB\"";

fn duration(text: &str, zero: bool) -> Result<Duration, Refusal> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| (format!("is not a duration: {error}"), format!("write {DURATION}")))?;
    if duration.is_zero() && !zero {
        return Err(("must be longer than nothing".to_owned(), format!("write {DURATION}")));
    }
    if duration > defaults::LONGEST {
        return Err(("is longer than ten years".to_owned(), "check the unit".to_owned()));
    }
    Ok(duration)
}

fn size(text: &str) -> Result<u64, Refusal> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("has no unit".to_owned(), format!("write {SIZE}")));
    }
    ByteSize::from_str(text)
        .map(|size| size.as_u64())
        .map_err(|_| ("is not a size".to_owned(), format!("write {SIZE}")))
}

fn article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    format!("{} {name}", if name.starts_with(['a', 'i']) { "an" } else { "a" })
}

/// `"a" or "b"`.
fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// A dotted path; a name that could not be written without quotes is quoted and escaped.
pub fn join(prefix: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if prefix.is_empty() { name } else { format!("{prefix}.{name}") }
}

fn as_written(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    let whole = text.get(value.span()).unwrap_or_default();
    let line = whole.lines().next().unwrap_or_default();
    let short: String = line.chars().take(SHOWN).filter(|character| !character.is_control()).collect();
    if line.len() < whole.len() || line.chars().nth(SHOWN).is_some() { format!("{short}…") } else { short }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
