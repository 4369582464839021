//! How commands print what they have seen.

use std::iter::once;
use std::time::{Duration, SystemTime};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::client::Sight;
use crate::client::timeline::Beginning;
use crate::client::verdict::{self, Verdict};
use crate::moment::in_words;
use crate::status::spans;
use crate::status::timeline::{self, Process, Step};
use crate::status::{EndCause, HistoryEntry, MemberView};

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// As the API's /cluster and /history
    Json,
    /// The same as YAML
    Yaml,
    /// Tab-separated, with a line of headings
    Tsv,
}

const STATUS: [&str; 9] = ["NODE", "ROLE", "STATE", "EPOCH", "SINCE", "READY", "ADDRESS", "LAG", "REASON"];
const STATUS_TSV: [&str; 9] = ["node", "role", "state", "epoch", "since", "ready", "address", "lag_ms", "reason"];
const HISTORY: [&str; 7] = ["EPOCH", "NODE", "FROM", "LASTED", "CAUSE", "GAP", "DETAIL"];
const HISTORY_TSV: [&str; 7] = ["epoch", "node", "from", "to", "cause", "gap_ms", "detail"];

/// The output of `primacy status`, with its last line feed. Ages are as of `now`.
pub fn render_status(sight: &Sight, format: Format, now: SystemTime) -> String {
    let members = sight.view.members.iter();
    match format {
        Format::Json => json(&sight.view),
        Format::Yaml => yaml(&sight.view),
        Format::Tsv => tsv(&STATUS_TSV, members.map(|member| status_row(member, str::to_owned, |ms| ms.to_string()))),
        Format::Table => {
            let verdict = Verdict::of(sight, now);
            let lines = once(verdict.headline()).chain(verdict.asked_for);
            let above: String = lines.map(|line| printable(&line, false) + "\n").collect();
            let age = |text: &str| verdict::age(text, now).map_or_else(|| text.to_owned(), ago);
            above + "\n" + &table(&STATUS, members.map(|member| status_row(member, age, lag)))
        }
    }
}

/// The output of `primacy history`, with its last line feed. Ages are as of `now`.
pub fn render_history(entries: &[HistoryEntry], format: Format, now: SystemTime) -> String {
    match format {
        Format::Json => json(&entries),
        Format::Yaml => yaml(&entries),
        Format::Tsv => tsv(&HISTORY_TSV, entries.iter().map(history_row)),
        Format::Table => table(&HISTORY, entries.iter().map(|entry| history_for_people(entry, now))),
    }
}

const STEPS_TSV: [&str; 5] = ["at", "node", "process", "what", "unordered"];

/// The output of `primacy history EPOCH`, with its last line feed.
pub fn render_beginning(beginning: &Beginning, format: Format) -> String {
    match format {
        Format::Json => json(beginning),
        Format::Yaml => yaml(beginning),
        Format::Tsv => tsv(&STEPS_TSV, beginning.steps.iter().map(step_row)),
        Format::Table => printable(&told(beginning), true),
    }
}

fn step_row(step: &Step) -> Vec<String> {
    let process = match step.process {
        Process::Supervisor => "supervisor",
        Process::Guardian => "guardian",
    };
    vec![
        humantime::format_rfc3339_nanos(step.at).to_string(),
        step.node.clone(),
        process.to_owned(),
        step.what.clone(),
        step.unordered.to_string(),
    ]
}

fn told(Beginning { entry, before, steps, spans, missing }: &Beginning) -> String {
    let mut text = format!("Epoch {}: {} from {}", entry.epoch, entry.node, entry.from);
    text += &match (&entry.to, &entry.cause) {
        (Some(to), Some(cause)) => format!(" to {to} ({}).\n", cause.in_words()),
        (Some(to), None) => format!(" to {to}.\n"),
        (None, _) => ", and still.\n".to_owned(),
    };
    if let Some(before) = before {
        let why = before.cause.as_ref().map_or_else(|| "it is not known why".to_owned(), EndCause::in_words);
        text += &format!("Before it: {} with epoch {}, which ended: {why}.\n", before.node, before.epoch);
    }
    if let Some(gap) = entry.gap_ms {
        text += &format!("Without a coordinator: {}.\n", millis(gap));
    }
    if let Some(evidence) = &entry.evidence {
        text += &format!("Evidence: {}.\n", evidence.in_words());
    }
    if !spans.is_empty() {
        text += "Where the time went:\n";
        text += &spans::render(spans);
    }
    text += "\n";
    text += &timeline::render(steps);
    if steps.iter().any(|step| step.unordered) {
        text += "~: only wall clocks put it behind the step before it, which was on another host\n";
    }
    for (node, problem) in missing {
        text += &format!("No recording of {node}: {problem}.\n");
    }
    text
}

fn status_row(member: &MemberView, since: impl Fn(&str) -> String, lag: impl Fn(u64) -> String) -> Vec<String> {
    let MemberView { row, last_contact_ms } = member;
    vec![
        row.node.clone(),
        row.role.as_str().to_owned(),
        row.state.as_str().to_owned(),
        or_empty(row.epoch),
        since(&row.since),
        if row.ready { "yes" } else { "no" }.to_owned(),
        row.api.clone(),
        last_contact_ms.map(lag).unwrap_or_default(),
        row.reason.clone(),
    ]
}

fn history_row(entry: &HistoryEntry) -> Vec<String> {
    vec![
        entry.epoch.to_string(),
        entry.node.clone(),
        entry.from.clone(),
        entry.to.clone().unwrap_or_default(),
        entry.cause.as_ref().map(EndCause::as_str).unwrap_or_default().to_owned(),
        or_empty(entry.gap_ms),
        entry.detail.clone().unwrap_or_default(),
    ]
}

fn history_for_people(entry: &HistoryEntry, now: SystemTime) -> Vec<String> {
    let at = |text: &str| humantime::parse_rfc3339(text).ok();
    let from = match at(&entry.from) {
        Some(from) => {
            let age = now.duration_since(from).unwrap_or_default();
            format!("{} ({})", humantime::format_rfc3339_seconds(from), ago(age))
        }
        None => entry.from.clone(),
    };
    let to = entry.to.as_deref().map(|to| at(to).ok_or(to));
    let lasted = match (at(&entry.from), to) {
        (_, None) => "still".to_owned(),
        (Some(from), Some(Ok(to))) => to.duration_since(from).map(in_words).unwrap_or_default(),
        (None, Some(Ok(_))) => String::new(),
        (_, Some(Err(text))) => text.to_owned(),
    };
    let mut row = history_row(entry);
    (row[2], row[3], row[5]) = (from, lasted, entry.gap_ms.map(millis).unwrap_or_default());
    row
}

fn ago(age: Duration) -> String {
    let age = Duration::from_secs(age.as_secs());
    if age.is_zero() { "now".to_owned() } else { format!("{} ago", in_words(age)) }
}

/// In whole seconds, and as wide as most: a table that is watched should not move with every beat.
fn lag(millis: u64) -> String {
    let text = if millis < 1_000 { "< 1 s".to_owned() } else { in_words(Duration::from_secs(millis / 1_000)) };
    format!("{text:5}")
}

/// Milliseconds for people.
fn millis(millis: u64) -> String {
    in_words(Duration::from_millis(millis))
}

fn or_empty(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("plain data with string keys") + "\n";
    // JSON permits DEL and the C1 controls in its strings as they are; a terminal may obey them.
    text.chars().fold(String::with_capacity(text.len()), |mut text, it| {
        match it {
            '\n' => text.push(it),
            it if it.is_control() => text += &format!("\\u{:04x}", u32::from(it)),
            it => text.push(it),
        }
        text
    })
}

fn yaml(value: &impl Serialize) -> String {
    serde_norway::to_string(value).expect("plain data with string keys")
}

fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings);
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { printable(cell, false) }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn tsv(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = headings.join("\t").to_lowercase().replace(' ', "_") + "\n";
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| printable(cell, false)).collect();
        text += &(cells.join("\t") + "\n");
    }
    text
}

/// Without control characters: other nodes' texts may not move this terminal's cursor, nor break a row.
pub(super) fn printable(text: &str, lines: bool) -> String {
    text.chars().map(|c| if c.is_control() && !(lines && c == '\n') { ' ' } else { c }).collect()
}
