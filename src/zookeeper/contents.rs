//! What the cluster's nodes in ZooKeeper say, read: pure functions from bytes to what may be believed. And how long what is
//! written may be.
//!
//! Whoever may write there may have written anything: an older version, an operator with a shell, a stranger. So nothing
//! here panics, and what cannot be understood counts as the worse case: an unreadable breadcrumb is somebody's who did not
//! stop cleanly, an unreadable control node a pause, an unreadable volume one that no directory can be.
//!
//! Election and client read through the same functions, so that a command and a supervisor cannot disagree on what they
//! saw. Rejected: reading at each place where it is needed, as it was; the two did disagree (on a broken control node).

pub use crate::guardian::protocol::UNREADABLE;
use crate::guardian::protocol::is_volume_id;
pub use crate::intents::Control;
use crate::status::{ActiveView, Breadcrumb, HistoryEntry, Member, Role};

/// The longest name of a node, in bytes, as in the configuration.
const LONGEST_NAME: usize = 64;

/// `epoch`: a decimal number, whatever blanks an editor has left around it.
pub fn epoch(data: &[u8]) -> Option<u64> {
    std::str::from_utf8(data).ok()?.trim().parse().ok()
}

/// `active`. Its node becomes part of a command's environment and its texts are shown, so it must be a name.
pub fn breadcrumb(data: &[u8]) -> Option<Breadcrumb> {
    let breadcrumb: Breadcrumb = serde_json::from_slice(data).ok()?;
    (is_name(&breadcrumb.node) && !breadcrumb.api.contains('\0')).then_some(breadcrumb)
}

/// The former active's breadcrumb. One that cannot be read is somebody's who did not stop cleanly.
pub fn predecessor(data: &[u8]) -> Breadcrumb {
    breadcrumb(data).unwrap_or_else(|| Breadcrumb {
        election_node: None,
        node: UNREADABLE.to_owned(),
        epoch: 0,
        api: String::new(),
        endpoints: Default::default(),
        since: String::new(),
        clean: false,
        host: None,
        cause: None,
        to: None,
    })
}

/// `members/<name>`. The znode's name is what ZooKeeper keeps apart, so a content with another name is nobody's.
pub fn member(name: &str, data: &[u8]) -> Option<Member> {
    serde_json::from_slice(data).ok().filter(|member: &Member| member.row.node == name)
}

/// `history/<10 digits>`, under the number of its epoch.
pub fn entry(name: &str, data: &[u8]) -> Option<HistoryEntry> {
    serde_json::from_slice(data).ok().filter(|entry: &HistoryEntry| name == entry_name(entry.epoch))
}

/// Under which name an epoch's entry is kept.
pub fn entry_name(epoch: u64) -> String {
    format!("{epoch:010}")
}

/// What the names of history entries are sorted on, oldest first: an epoch may have more than ten digits.
pub fn by_age(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// A part of a control node as it is shown.
pub fn shown(part: Option<&impl serde::Serialize>) -> Option<serde_json::Value> {
    part.and_then(|part| serde_json::to_value(part).ok())
}

/// `volume`. What is no id is never absent: a cluster without an id adopts whatever directory it finds.
pub fn volume(data: &[u8]) -> String {
    std::str::from_utf8(data).ok().filter(|text| is_volume_id(text)).unwrap_or(UNREADABLE).to_owned()
}

/// How much of a sentence others get to read, in bytes: a server hangs up on who sends more than `jute.maxbuffer` (1 MiB).
const SENTENCE: usize = 2048;

/// A sentence for people as it is written in ZooKeeper.
pub fn shortened(text: &str) -> String {
    if text.len() <= SENTENCE {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(SENTENCE)])
}

/// A node's name, as in the configuration.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Who is active, where three things agree: the breadcrumb is not clean, its node is a member at this moment (its session
/// lives), and that member says itself that it is active in the breadcrumb's epoch. The breadcrumb alone outlives a crash,
/// and the member alone does not know who came after it.
pub fn active(breadcrumb: Option<&Breadcrumb>, member: impl FnOnce(&str) -> Option<Member>) -> Option<ActiveView> {
    let breadcrumb = breadcrumb.filter(|breadcrumb| !breadcrumb.clean)?;
    let row = member(&breadcrumb.node)?.row;
    let agrees = row.node == breadcrumb.node && row.role == Role::Active && row.epoch == Some(breadcrumb.epoch);
    agrees.then(|| ActiveView::from(breadcrumb))
}

#[cfg(any(test, fuzzing))]
pub mod properties;
