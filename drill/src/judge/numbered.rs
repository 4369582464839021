//! Lines of a history, with their numbers.

use crate::history::Line;

/// Lines with their numbers in the file, from 1.
pub(super) fn numbered(lines: &[Line]) -> impl Iterator<Item = (usize, &Line)> {
    lines.iter().enumerate().map(|(index, line)| (index + 1, line))
}
