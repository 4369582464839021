//! A text that is shown again and again in the same place of a terminal, which is never cleared: what has scrolled by stays,
//! and only the lines that have changed are written, so that nothing flickers and a selection survives.
//!
//! The cursor rests on the line below the text. From there it goes up to a line that has changed, writes it, and comes back.
//! That holds as long as each line has one row, so lines are cut to the terminal's width and the text to its height. Where the
//! size changes, terminals break and join rows as they like: nobody knows where the text is, so it begins anew below.
//! Rejected: the alternate screen, as `watch` has it. What was last seen is gone with it, when it is wanted most.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A terminal's columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// What stands on the terminal above the cursor.
#[derive(Debug, Default)]
pub struct Screen {
    shown: Vec<String>,
    size: Option<Size>,
}

impl Screen {
    /// Begins below what is there: something else may have written.
    pub fn forget(&mut self) {
        self.shown.clear();
    }

    /// What to write to the terminal so that it shows these lines.
    pub fn paint(&mut self, lines: &[String], size: Size) -> String {
        if self.size.replace(size) != Some(size) {
            self.forget();
        }
        let wanted = fitted(lines, size);
        let mut text = String::new();
        // Rows below the place where the text begins.
        let mut at = self.shown.len();
        let rows = wanted.len().max(self.shown.len());
        for row in 0..rows {
            let (was, is) = (self.shown.get(row), wanted.get(row));
            if was == is {
                continue;
            }
            to(&mut text, &mut at, row);
            let _ = write!(text, "{}\x1b[K\r\n", is.map_or("", String::as_str));
            at += 1;
        }
        to(&mut text, &mut at, wanted.len());
        self.shown = wanted;
        text
    }
}

/// Moves from one row to the beginning of another, both of them on the screen.
fn to(text: &mut String, at: &mut usize, row: usize) {
    if *at > row {
        let _ = write!(text, "\x1b[{}A", *at - row);
    } else if *at < row {
        let _ = write!(text, "\x1b[{}B", row - *at);
    }
    *at = row;
}

/// One row a line, and a row left for the cursor. The first line is the verdict: it is broken rather than cut.
fn fitted(lines: &[String], size: Size) -> Vec<String> {
    // A line as wide as the terminal leaves the cursor where terminals differ on where it is.
    let (columns, rows) = (size.columns.saturating_sub(1).max(1), size.rows.saturating_sub(1).max(1));
    let mut fitted: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if index == 0 { fitted.extend(broken(line, columns)) } else { fitted.push(cut(line, columns)) }
    }
    if fitted.len() > rows {
        let more = fitted.len() - (rows - 1);
        fitted.truncate(rows - 1);
        fitted.push(cut(&format!("… {more} more lines: the terminal is too small"), columns));
    }
    fitted
}

/// Broken between words, where they are not wider than a row.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in line.split(' ') {
        let row = rows.last_mut().expect("there is a first one");
        if row.is_empty() {
            row.push_str(word);
        } else if row.width() + 1 + word.width() <= columns {
            row.push(' ');
            row.push_str(word);
        } else {
            rows.push(word.to_owned());
        }
    }
    rows.iter().map(|row| cut(row, columns)).collect()
}

fn cut(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let (mut text, mut width) = (String::new(), 1);
    for it in line.chars() {
        width += it.width().unwrap_or(0);
        if width > columns {
            break;
        }
        text.push(it);
    }
    text + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 20, rows: 6 };

    fn lines(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    /// A terminal of that size that has been written to before.
    fn terminal(size: Size) -> vt100::Parser {
        let cells = |count: usize| u16::try_from(count).unwrap().try_into().unwrap();
        let mut terminal = vt100::Parser::new(cells(size.rows), cells(size.columns), 100);
        terminal.process(b"$ primacy\r\n");
        terminal
    }

    fn shown(terminal: &vt100::Parser) -> String {
        terminal.screen().contents().trim_end().replace('\n', "/")
    }

    #[test]
    fn only_the_lines_that_have_changed_are_written() {
        let (mut screen, mut terminal) = (Screen::default(), terminal(SIZE));
        terminal.process(screen.paint(&lines("verdict/one/two"), SIZE).as_bytes());
        assert_eq!(shown(&terminal), "$ primacy/verdict/one/two");
        assert_eq!(screen.paint(&lines("verdict/one/two"), SIZE), "");
        let written = screen.paint(&lines("verdict/1/two"), SIZE);
        assert_eq!(written, "\x1b[2A1\x1b[K\r\n\x1b[1B");
        terminal.process(written.as_bytes());
        assert_eq!(shown(&terminal), "$ primacy/verdict/1/two");
    }

    #[test]
    fn a_text_grows_and_shrinks_in_its_place_even_at_the_bottom_of_the_screen() {
        let (mut screen, mut terminal) = (Screen::default(), terminal(SIZE));
        for text in ["a/b", "a/b/c/d/e", "x", "a/b/c", "a/b/c/d", "q/r"] {
            terminal.process(screen.paint(&lines(text), SIZE).as_bytes());
            let shown = shown(&terminal);
            assert!(shown.ends_with(text) && !shown.trim_start_matches("$ primacy/").contains('$'), "{text}: {shown}");
            let below = lines(text).len() + usize::from(shown.starts_with('$'));
            assert_eq!(usize::from(terminal.screen().cursor_position().0), below, "{text}: {shown}");
            assert_eq!(terminal.screen().cursor_position().1, 0);
        }
    }

    #[test]
    fn a_small_terminal_gets_the_verdict_broken_and_the_rest_cut() {
        let small = Size { columns: 12, rows: 5 };
        let text = "OK: node-a leads it/NODE     ROLE/node-a   active/node-b   standby/node-c   standby";
        assert_eq!(fitted(&lines(text), small), ["OK: node-a", "leads it", "NODE     R…", "… 3 more l…"]);
        for size in [Size { columns: 1, rows: 1 }, Size { columns: 0, rows: 0 }, Size { columns: 3, rows: 2 }] {
            let fitted = fitted(&lines(text), size);
            assert_eq!(fitted.len(), 1);
            assert!(fitted[0].width() <= size.columns.max(1), "{fitted:?}");
        }
        assert_eq!(cut("日本語", 5), "日本…");
    }

    #[test]
    fn after_a_change_of_size_the_text_begins_anew_below() {
        let (mut screen, mut terminal) = (Screen::default(), terminal(SIZE));
        terminal.process(screen.paint(&lines("a/b"), SIZE).as_bytes());
        let wider = Size { columns: 30, ..SIZE };
        terminal.screen_mut().set_size(6_u16.try_into().unwrap(), 30_u16.try_into().unwrap());
        terminal.process(screen.paint(&lines("a/c"), wider).as_bytes());
        assert_eq!(shown(&terminal), "$ primacy/a/b/a/c");
    }
}
