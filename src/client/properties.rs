//! What must hold of whatever a member's API answers, or somebody who listens in its place.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Sight;
use super::render::{Format, render_history, render_status};
use crate::status::{ClusterView, HistoryEntry};

/// Any bytes as the bodies of `/cluster` and `/history`.
pub fn answers(data: &[u8]) {
    if let Ok(view) = serde_json::from_slice::<ClusterView>(data) {
        let sight = Sight::from(view);
        printed(&sight.view, |format| render_status(&sight, format, UNIX_EPOCH));
    }
    if let Ok(history) = serde_json::from_slice::<Vec<HistoryEntry>>(data) {
        printed(&history, |format| render_history(&history, format, UNIX_EPOCH));
    }
}

fn printed<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
    render: impl Fn(Format) -> String,
) {
    for format in [Format::Table, Format::Json, Format::Yaml, Format::Tsv] {
        let text = render(format);
        assert!(text.ends_with('\n'));
        let harmless = |it: char| !it.is_control() || it == '\n' || (it == '\t' && format == Format::Tsv);
        assert!(text.chars().all(harmless), "{format:?}: {text:?}");
        let again = match format {
            Format::Json => serde_json::from_str(&text).expect("JSON"),
            Format::Yaml => serde_norway::from_str(&text).expect("YAML"),
            Format::Table | Format::Tsv => continue,
        };
        assert_eq!(*value, again, "{format:?}: {text}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delete_and_c1_controls_are_escaped_in_json_and_yaml() {
        for it in ['\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{feff}'] {
            answers(format!(r#"[{{"epoch":7,"node":"a{it}b","from":"{it}","to":null}}]"#).as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_texts_in_an_answer_are_printed_without_control_characters(
            texts in prop::collection::vec(any::<String>(), 4),
            number in any::<u64>(),
            hurt in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let history = serde_json::json!([
                {"epoch": number, "node": texts[0], "from": texts[1], "to": texts[2], "cause": null, "gap_ms": number,
                 "detail": texts[3]}
            ]);
            let view = serde_json::json!({
                "cluster": texts[0], "epoch": number, "paused": true, "switchover": {"to": texts[1]}, "members": [],
                "active": {"node": texts[2], "api": texts[3], "epoch": number},
            });
            for value in [history, view] {
                let mut data = value.to_string().into_bytes();
                if let Some((at, byte)) = &hurt {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
                answers(&data);
            }
        }
    }
}
