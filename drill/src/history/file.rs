//! Writing and reading `history.jsonl`.
//!
//! Each line is one `write` to a file opened for appending, so that lines of several threads stand whole beside each
//! other and a killed runner loses at most the last one. A torn last line is therefore read as what it is; a broken
//! line anywhere else makes the whole history unreadable, because a judge must not guess. Lines keep their numbers:
//! line 1 of the file is index 0.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::{Entry, Line};
use testbed::clock;

/// The file's name in a run's directory.
pub const FILE: &str = "history.jsonl";

/// Appends to a history; its clones write to the same file.
#[derive(Clone, Debug)]
pub struct Writer {
    file: Arc<File>,
}

impl Writer {
    /// A new history in `dir`, which must not have one: two runs in one file could not be told apart.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Ok(Self { file: Arc::new(file.with_context(|| format!("cannot begin {}", path.display()))?) })
    }

    /// Notes what happens at this moment.
    pub fn note(&self, entry: Entry) -> Result<()> {
        self.note_at(clock::now(), entry)
    }

    /// Notes what happened at `at`, in ns on CLOCK_MONOTONIC.
    pub fn note_at(&self, at: u64, entry: Entry) -> Result<()> {
        let mut bytes = serde_json::to_vec(&Line { at, entry })?;
        bytes.push(b'\n');
        (&*self.file).write_all(&bytes).context("cannot write to the history")
    }
}

/// Reads the history of a run: `path` is its directory, or the file itself.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let file = if path.is_dir() { path.join(FILE) } else { PathBuf::from(path) };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{} has no {FILE}", path.display()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    parse(&text).with_context(|| format!("{} is not a history", file.display()))
}

/// Puts a history into the order of its times, for people and for line numbers that mean something.
pub fn sort(dir: &Path) -> Result<()> {
    let mut lines = read(dir)?;
    lines.sort_by_key(|line| line.at);
    let draft = dir.join("history.draft");
    let mut file = std::io::BufWriter::new(File::create(&draft)?);
    for line in lines {
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    std::fs::rename(draft, dir.join(FILE)).context("cannot replace the history")
}

/// The lines of a history's text.
pub fn parse(text: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    for (index, line) in text[..whole].lines().enumerate() {
        lines.push(serde_json::from_str(line).with_context(|| format!("line {}", index + 1))?);
    }
    if whole < text.len() {
        let at = lines.last().map_or(0, |line: &Line| line.at);
        lines.push(Line { at, entry: Entry::Note { text: "the last line is torn: the run was cut short".to_owned() } });
    }
    Ok(lines)
}
