//! What a command prints, as lines for a log. Any bytes, of any length, with any ending: shown as well as can be, within
//! bounds, and never a reason for the command to fail. Pure.

/// The longest line that is shown whole, in bytes. A stack trace's lines are a tenth of it.
const LINE: usize = 4 << 10;
/// What is shown of one run, in bytes. A probe that runs every second then fills a day's log with 5 GiB at the worst.
const RUN: usize = 64 << 10;

/// What a command has printed so far.
#[derive(Debug, Default)]
pub struct Output {
    /// The line that has not ended yet, no longer than [`LINE`].
    line: Vec<u8>,
    /// How much of this line is not shown, in bytes.
    cut: usize,
    /// The last byte ended a line with a carriage return, which a line feed may follow.
    returned: bool,
    shown: usize,
    not_shown: usize,
}

impl Output {
    /// Takes in bytes; gives the lines that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        // A flood without a line's end is passed over quickly.
        if self.line.len() == LINE && !bytes.contains(&b'\n') && !bytes.contains(&b'\r') {
            self.cut += bytes.len();
            return lines;
        }
        for &byte in bytes {
            let after_return = std::mem::take(&mut self.returned);
            match byte {
                b'\n' if after_return => {}
                b'\n' => lines.extend(self.complete()),
                // A progress bar writes over its own line.
                b'\r' => {
                    self.returned = true;
                    lines.extend(self.complete());
                }
                _ if self.line.len() < LINE => self.line.push(byte),
                _ => self.cut += 1,
            }
        }
        lines
    }

    /// There is no more: a last line without an ending, and how much was not shown.
    pub fn end(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.line.is_empty() {
            lines.extend(self.complete());
        }
        if self.not_shown > 0 {
            lines.push(format!("… and {} bytes more, which are not shown", std::mem::take(&mut self.not_shown)));
        }
        lines
    }

    fn complete(&mut self) -> Option<String> {
        let (line, cut) = (std::mem::take(&mut self.line), std::mem::take(&mut self.cut));
        if self.shown + line.len() > RUN {
            self.not_shown += line.len() + cut;
            // A short line after it would look as if it followed the last one.
            self.shown = RUN;
            return None;
        }
        self.shown += line.len();
        let mut text = readable(&line);
        if cut > 0 {
            text.push_str(&format!(" … ({cut} bytes more)"));
        }
        Some(text)
    }
}

/// As text without control characters: a log is read on terminals.
fn readable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<String> {
        let mut output = Output::default();
        let mut lines = output.take(bytes);
        lines.extend(output.end());
        lines
    }

    #[test]
    fn lines_are_shown_however_they_end() {
        assert_eq!(all(b"one\ntwo\r\n10 %\r20 %\r\n\nlast"), ["one", "two", "10 %", "20 %", "", "last"]);
        assert_eq!(all(b""), Vec::<String>::new());
    }

    #[test]
    fn bytes_that_are_no_text_and_control_characters_are_shown_harmlessly() {
        assert_eq!(all(b"a\xffb\x1b[31m\0\tc\n"), ["a\u{fffd}b\\u{1b}[31m\\u{0}\tc"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_a_flood_is_counted() {
        let lines = all(&vec![b'x'; 300 << 20 >> 6]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with(&format!("({} bytes more)", (300 << 20 >> 6) - LINE)), "{}", &lines[0][LINE..]);
        let flood = b"0123456789\n".repeat(100_000);
        let lines = all(&flood);
        let shown: usize = lines.iter().map(String::len).sum();
        assert!(shown < RUN + 100, "{shown}");
        assert_eq!(
            lines.last().unwrap(),
            &format!("… and {} bytes more, which are not shown", 1_000_000 - RUN / 10 * 10)
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_it_comes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)
        ) {
            let whole = all(&pieces.concat());
            let mut output = Output::default();
            let mut lines: Vec<String> = pieces.iter().flat_map(|piece| output.take(piece)).collect();
            lines.extend(output.end());
            prop_assert_eq!(lines, whole);
        }

        #[test]
        fn whatever_is_printed_the_lines_are_bounded_and_have_no_control_characters(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000)
        ) {
            for line in all(&bytes) {
                prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'));
                prop_assert!(line.len() < 10 * LINE);
            }
        }
    }
}
