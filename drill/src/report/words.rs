//! Numbers and text as a page shows them.

/// Text inside HTML, in an attribute too.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // What a terminal would obey, a reader need not see.
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Milliseconds, with no more digits than they are worth.
pub(super) fn duration(ms: f64) -> String {
    if 0.0 < ms && ms < 0.05 {
        "< 0.1 ms".to_owned()
    } else if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 9_995.0 {
        format!("{:.2} s", ms / 1e3)
    } else if ms < 99_950.0 {
        format!("{:.1} s", ms / 1e3)
    } else {
        length(ms / 1e3)
    }
}

/// Seconds of something long.
pub(super) fn length(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if minutes < 120.0 {
        format!("{minutes:.0} min {:.0} s", (seconds - minutes * 60.0).floor())
    } else {
        let hours = (minutes / 60.0).floor();
        format!("{hours:.0} h {:.0} min", minutes - hours * 60.0)
    }
}

/// Whole seconds since the run's first line as `m:ss`, or `h:mm:ss`.
pub(super) fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A number with its thousands apart.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 fault`, `2 faults`.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number as u64), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_they_are_worth() {
        let durations = [1e-6, 1.234, 9.96, 85.4, 999.6, 6_213.0, 61_500.0, 185_000.0, 8_000_000.0].map(duration);
        assert_eq!(durations[0], "< 0.1 ms");
        assert_eq!(
            durations[1..],
            ["1.2 ms", "10 ms", "85 ms", "1.00 s", "6.21 s", "61.5 s", "3 min 5 s", "2 h 13 min"]
        );
        assert_eq!([0, 999, 1_000, 1_234_567_u64].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 61, 3_600].map(clock), ["0:00", "1:01", "1:00:00"]);
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_page() {
        assert_eq!(escape("<b a='\"&\">\u{1b}"), "&lt;b a=&#39;&quot;&amp;&quot;&gt;\u{fffd}");
    }
}
