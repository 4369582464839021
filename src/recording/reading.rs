//! Reads recordings back. What a kill or a full disk cut off at the end of a segment is no fault; anything else that cannot be
//! read is one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::recorder::header::{FORMAT, Header, Part};
use crate::recorder::segments;

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: line {line} is not what a recording says: {error}", path.display())]
    Line { path: PathBuf, line: usize, error: serde_json::Error },
    #[error("{}: a recording of version {found}; this program reads versions up to {FORMAT}", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("{}: no recordings there (files called supervisor-….jsonl and guardian-….jsonl)", path.display())]
    Nothing { path: PathBuf },
}

/// A segment that was read.
#[derive(Clone, Debug)]
pub struct Segment<S, L> {
    pub path: PathBuf,
    pub header: Header<S>,
    /// With their numbers in the file.
    pub lines: Vec<(usize, L)>,
}

/// What is known of a segment before it is read whole.
#[derive(Clone, Debug, Deserialize)]
struct Beginning {
    recording: u32,
    part: Part,
}

/// The segments at a path: itself, or all below it, sorted.
///
/// # Errors
/// It cannot be read, or there are none.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    collect(path, &mut found).map_err(|error| Error::Io { path: path.to_owned(), error })?;
    found.sort();
    if found.is_empty() { Err(Error::Nothing { path: path.to_owned() }) } else { Ok(found) }
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        fs::metadata(path)?;
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else if segments::is_one(&entry.file_name()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Whose segment it is; `None` where not even its first line was written whole.
///
/// # Errors
/// It cannot be read, or is of a later version.
pub fn part(path: &Path) -> Result<Option<Part>, Error> {
    let text = text(path)?;
    let Some((first, _)) = text.split_once('\n') else { return Ok(None) };
    let beginning: Beginning =
        serde_json::from_str(first).map_err(|error| Error::Line { path: path.to_owned(), line: 1, error })?;
    if beginning.recording > FORMAT {
        return Err(Error::Version { path: path.to_owned(), found: beginning.recording });
    }
    Ok(Some(beginning.part))
}

/// A segment whole; the line that was being written when its process ended is left out.
///
/// # Errors
/// It cannot be read.
pub fn read<S: DeserializeOwned, L: DeserializeOwned>(path: &Path) -> Result<Segment<S, L>, Error> {
    let text = text(path)?;
    let bad = |line: usize| move |error| Error::Line { path: path.to_owned(), line, error };
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    let header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(bad(1))?;
    let mut read = Vec::new();
    for (number, line) in (2..).zip(lines) {
        read.push((number, serde_json::from_str(line).map_err(bad(number))?));
    }
    Ok(Segment { path: path.to_owned(), header, lines: read })
}

/// The newest segments below a folder, with their names, as many as fit into so many bytes: what they say, unread.
///
/// # Errors
/// The folder cannot be read, or there are none.
pub fn newest(folder: &Path, bytes: u64) -> Result<Vec<(String, String)>, Error> {
    let mut found: Vec<_> = find(folder)?
        .into_iter()
        .filter_map(|path| fs::metadata(&path).ok().map(|about| (about.modified().ok(), about.len(), path)))
        .collect();
    found.sort();
    let mut left = bytes;
    let mut newest = Vec::new();
    for (_, length, path) in found.into_iter().rev() {
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        newest.push((name, text(&path)?));
    }
    Ok(newest)
}

fn text(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|error| Error::Io { path: path.to_owned(), error })?;
    // A power cut leaves zeros where blocks were to be.
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
