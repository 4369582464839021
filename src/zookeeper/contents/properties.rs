//! What must hold of whatever somebody has written into the cluster's nodes.

use super::*;

/// Any bytes as the content of any node. The bytes are cut at the first NUL where two contents are wanted.
pub fn contents(data: &[u8]) {
    one_number(data);
    one_breadcrumb(data);
    one_row("node-a", data);
    one_control(data);
    one_volume(data);
    let (first, second) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, data),
    };
    nobody_leads_by_one_voice(first, second);
}

fn one_number(data: &[u8]) {
    if let Some(number) = epoch(data) {
        assert_eq!(epoch(number.to_string().as_bytes()), Some(number));
        assert!(data.iter().any(u8::is_ascii_digit));
    }
}

fn one_breadcrumb(data: &[u8]) {
    let read = breadcrumb(data);
    let counted = predecessor(data);
    match read {
        Some(read) => {
            assert!(is_name(&read.node));
            let written = serde_json::to_vec(&read).expect("plain data with string keys");
            assert_eq!(breadcrumb(&written).as_ref(), Some(&read));
            assert_eq!(counted, read);
        }
        None => {
            assert!(!counted.clean, "what cannot be read did not stop cleanly");
            assert!(!is_name(&counted.node), "and is no node of this cluster, least of all this one");
        }
    }
    // Both become environment variables of the fencing command.
    assert!(!predecessor(data).node.contains('\0') && !predecessor(data).api.contains('\0'));
}

fn one_row(name: &str, data: &[u8]) {
    if let Some(member) = member(name, data) {
        assert_eq!(member.row.node, name);
        let written = serde_json::to_vec(&member).expect("plain data with string keys");
        assert_eq!(super::member(name, &written), Some(member));
    }
    if let Some(read) = entry("0000000007", data) {
        assert_eq!(read.epoch, 7);
        let written = serde_json::to_vec(&read).expect("plain data with string keys");
        assert_eq!(entry("0000000007", &written), Some(read));
    }
}

fn one_control(data: &[u8]) {
    let control = Control::parse(Some(data));
    let understood = data.is_empty() || serde_json::from_slice::<serde_json::Value>(data).is_ok();
    assert!(understood || control.paused.is_some(), "what cannot be read is a pause");
}

fn one_volume(data: &[u8]) {
    let id = volume(data);
    if is_volume_id(&id) {
        assert_eq!(id.as_bytes(), data);
    } else {
        assert_eq!(id, UNREADABLE);
    }
}

/// Only a breadcrumb that is not clean and its own node's member, in the same epoch, make an active one.
fn nobody_leads_by_one_voice(crumb: &[u8], row: &[u8]) {
    let crumb = breadcrumb(crumb);
    if let Some(view) = active(crumb.as_ref(), |node| member(node, row)) {
        let (crumb, row) = (crumb.as_ref().expect("a breadcrumb"), member(&view.node, row).expect("a member").row);
        assert!(!crumb.clean && row.role == Role::Active);
        assert_eq!((&view.node, view.epoch), (&crumb.node, crumb.epoch));
        assert_eq!((&view.node, Some(view.epoch)), (&row.node, row.epoch));
    }
    assert_eq!(active(crumb.as_ref(), |_| None), None);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BREADCRUMB: &str =
        r#"{"node":"node-a","epoch":7,"api":"http://node-a:9090","since":"2026-01-02T03:04:05Z","clean":false}"#;
    const MEMBER: &str = r#"{"node":"node-a","role":"active","state":"ACTIVE","status":"OK","epoch":7,"since":"s","ready":true,"api":"http://node-a:9090","priority":100,"version":"0.1.0","eligible":false,"reason":"r"}"#;

    proptest! {
        #[test]
        fn any_bytes_in_a_znode_are_read_or_count_as_the_worse_case(data in prop::collection::vec(any::<u8>(), 0..200)) {
            contents(&data);
        }

        #[test]
        fn half_broken_znodes_never_make_an_active_node(
            epochs in (0_u64..4, 0_u64..4),
            names in ("[a-b]", "[a-b]"),
            clean in any::<bool>(),
            hurt in prop::option::of((0_usize..300, any::<u8>())),
        ) {
            let crumb = BREADCRUMB.replace("node-a\",\"epoch\":7", &format!("{}\",\"epoch\":{}", names.0, epochs.0));
            let crumb = crumb.replace("false", &clean.to_string());
            let row = MEMBER.replace("{\"node\":\"node-a", &format!("{{\"node\":\"{}", names.1));
            let row = row.replace("\"epoch\":7", &format!("\"epoch\":{}", epochs.1));
            let mut data = [crumb.as_bytes(), b"\0", row.as_bytes()].concat();
            if let Some((at, byte)) = hurt {
                let at = at % data.len();
                data[at] = byte;
            }
            contents(&data);
        }
    }

    #[test]
    fn a_breadcrumb_and_its_own_member_together_make_an_active_node() {
        let crumb = breadcrumb(BREADCRUMB.as_bytes());
        let view = active(crumb.as_ref(), |node| member(node, MEMBER.as_bytes())).unwrap();
        assert_eq!((view.node.as_str(), view.epoch), ("node-a", 7));
        assert_eq!(member("node-b", MEMBER.as_bytes()), None, "the content is another node's");
    }

    #[test]
    fn an_unreadable_breadcrumb_is_not_clean_and_nobodys() {
        for text in ["?", "", "[]", &BREADCRUMB.replace("node-a", "a\\u0000b").replace("false", "true")] {
            let predecessor = predecessor(text.as_bytes());
            assert!(!predecessor.clean, "{text}");
            assert_eq!(predecessor.node, UNREADABLE);
        }
    }

    #[test]
    fn a_volume_that_is_no_id_is_none_that_a_directory_could_have() {
        assert_eq!(volume(b"2e1f-7"), "2e1f-7");
        for data in [&b""[..], b"\xff", b"a b", b"(unreadable)", &[b'a'; 1 << 20]] {
            assert_eq!(volume(data), UNREADABLE);
        }
        assert!(!is_volume_id(UNREADABLE));
    }

    #[test]
    fn an_unreadable_control_node_counts_as_a_pause() {
        assert!(Control::parse(None).paused.is_none());
        assert!(Control::parse(Some(b"")).paused.is_none());
        assert!(Control::parse(Some(b"{}")).paused.is_none());
        assert!(Control::parse(Some(b"{\"paused\":true}")).paused.is_some());
        assert!(Control::parse(Some(b"pause!")).paused.is_some());
        assert!(Control::parse(Some(b"{\"paused\":false,\"paused\":true}")).paused.is_some());
    }

    #[test]
    fn a_control_node_that_is_broken_where_no_field_is_counts_as_a_pause() {
        for data in [&b"{\"x\": {\"to\": \"nod\x9f-b\"}}"[..], b"{\"x\":\"\\ud800\"}", b"{\"x\":1e999}"] {
            assert!(Control::parse(Some(data)).paused.is_some());
        }
    }

    #[test]
    fn a_history_entry_counts_only_under_its_own_number() {
        let text = br#"{"epoch":7,"node":"a","from":"f"}"#;
        assert!(entry("0000000007", text).is_some());
        for name in ["7", "+7", "0000000008", "00000000007", "seven"] {
            assert_eq!(entry(name, text), None, "{name}");
        }
    }
}
