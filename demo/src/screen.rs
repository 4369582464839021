//! The terminal: lines that stay, and one below them that is written over. Without a terminal only the lines that stay,
//! and no colours.

use std::io::{IsTerminal, Write};

/// What a text is, not how it looks.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    Title,
    Good,
    Bad,
    Quiet,
}

pub struct Screen {
    terminal: bool,
    colours: bool,
    live: String,
}

impl Screen {
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal, colours: terminal && !plain, live: String::new() }
    }

    pub fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Title => "1",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Quiet => "2",
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.write(&format!("{}{text}\n", self.erase()));
        if !self.live.is_empty() {
            self.write(&format!("\x1b[?7l{}\x1b[?7h", self.live));
        }
    }

    /// The line that is written over; empty: none.
    pub fn live(&mut self, text: &str) {
        if self.terminal && text != self.live {
            // Cut off at the terminal's edge: a line that wraps could not be erased.
            self.write(&format!("{}\x1b[?7l{text}\x1b[?7h", self.erase()));
            text.clone_into(&mut self.live);
        }
    }

    const fn erase(&self) -> &'static str {
        if self.live.is_empty() { "" } else { "\r\x1b[K" }
    }

    fn write(&self, text: &str) {
        // A reader that has gone away (`| head`) must not keep the demo from clearing up.
        let mut out = std::io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}
