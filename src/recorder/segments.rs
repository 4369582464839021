//! The files of a recording: how they are called, and how large they get.

use std::ffi::OsStr;

use crate::moment::Moment;

use super::header::Part;

const SUFFIX: &str = ".jsonl";
/// A node's recording consists of so many segments when it is full: the oldest goes whole.
const SEGMENTS: u64 = 16;
/// Of the boot's id: enough to tell boots of one host apart.
const BOOT: usize = 8;

/// When a segment is full, in bytes.
pub const fn size(limit: u64) -> u64 {
    limit / SEGMENTS
}

/// Sorted by name, the segments of one part and boot are in their order.
pub fn name(part: Part, boot: &str, at: Moment, pid: i32) -> String {
    let boot: String = boot.chars().filter(char::is_ascii_alphanumeric).take(BOOT).collect();
    format!("{}-{boot}-{:020}-{pid}{SUFFIX}", part.as_str(), at.as_nanos())
}

/// Whether a file is called as a segment is.
pub fn is_one(name: &OsStr) -> bool {
    let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { return false };
    let part = name.split('-').next().unwrap_or_default();
    Part::ALL.iter().any(|known| known.as_str() == part)
}
