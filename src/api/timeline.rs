//! `/history/EPOCH`: what this node has recorded of an epoch's beginning.
//!
//! The one answer that needs the disk, which may hang: so a thread of its own reads, one at a time, and is not waited for longer
//! than [`PATIENCE`]. Health checks do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::oneshot;

use crate::api::answer;
use crate::status::HistoryEntry;
use crate::status::timeline::{Recorded, Step};

/// How long a disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What led to the end of the leadership before may have begun so long before it: the longest session that ZooKeeper grants by
/// default.
const BEFORE: Duration = Duration::from_secs(40);

pub(super) const NOTHING: &str = "this node records nothing: recorder.directory is \"\"";

/// A coordinator may take so long to become ready, by default.
const AFTER: Duration = Duration::from_secs(600);

/// Reads what this node has recorded between two points in time. It may block.
pub type Recordings = Arc<dyn Fn(SystemTime, SystemTime) -> Result<Vec<Step>, String> + Send + Sync>;

/// A recording: its file's name, and what is in it.
pub type Recording = (String, String);

/// Reads this node's newest recordings. It may block.
pub type Newest = Arc<dyn Fn() -> Result<Vec<Recording>, String> + Send + Sync>;

/// The way to this node's recordings.
#[derive(Clone)]
pub struct Reader {
    /// `None`: nothing is recorded.
    recordings: Option<Recordings>,
    newest: Option<Newest>,
    busy: Arc<AtomicBool>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    pub fn new(recordings: Option<Recordings>) -> Self {
        Self { recordings, newest: None, busy: Arc::default() }
    }

    /// With the way to the newest recordings as they are.
    #[must_use]
    pub fn with_newest(self, newest: Option<Newest>) -> Self {
        Self { newest, ..self }
    }

    pub(super) fn newest(&self) -> Option<Newest> {
        self.newest.clone()
    }

    /// `history`: newest first.
    pub async fn answer(&self, node: String, history: &[HistoryEntry], epoch: &str) -> Response {
        let Ok(epoch) = epoch.parse::<u64>() else {
            return answer::failure(StatusCode::NOT_FOUND, "an epoch is a positive whole number");
        };
        let Some(entry) = history.iter().find(|entry| entry.epoch == epoch).cloned() else {
            return answer::failure(StatusCode::NOT_FOUND, "there is no such epoch in the history of the last 100");
        };
        let before = history.iter().filter(|entry| entry.epoch < epoch).max_by_key(|entry| entry.epoch);
        let Some((from, to)) = window(&entry, before) else {
            return answer::failure(StatusCode::NOT_FOUND, "the history does not say when that epoch began");
        };
        match self.read(from, to).await {
            Ok(steps) => answer::json(StatusCode::OK, &Recorded { node, entry, steps }),
            Err((status, problem)) => answer::failure(status, &problem),
        }
    }

    async fn read(&self, from: SystemTime, to: SystemTime) -> Result<Vec<Step>, (StatusCode, String)> {
        let Some(recordings) = self.recordings.clone() else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, NOTHING.to_owned()));
        };
        self.apart(move || recordings(from, to)).await
    }

    /// On a thread of its own, one at a time, and not waited for longer than [`PATIENCE`].
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, (StatusCode, String)> {
        let unavailable = |problem: &str| Err((StatusCode::SERVICE_UNAVAILABLE, problem.to_owned()));
        if self.busy.swap(true, Ordering::AcqRel) {
            return unavailable("the recordings are being read for somebody else; ask again");
        }
        let (sender, outcome) = oneshot::channel();
        let busy = Arc::clone(&self.busy);
        let thread = std::thread::Builder::new().name("recordings".to_owned()).spawn(move || {
            let answer = read();
            busy.store(false, Ordering::Release);
            let _ = sender.send(answer);
        });
        if thread.is_err() {
            self.busy.store(false, Ordering::Release);
            return unavailable("no thread can be had to read the recordings");
        }
        match tokio::time::timeout(PATIENCE, outcome).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(problem))) => unavailable(&problem),
            Ok(Err(_)) => unavailable("the recordings could not be read"),
            Err(_) => unavailable("the disk with the recordings has not answered within 5 s"),
        }
    }
}

/// From what led to the end of the leadership before until a coordinator ran again.
fn window(entry: &HistoryEntry, before: Option<&HistoryEntry>) -> Option<(SystemTime, SystemTime)> {
    let at = |text: &str| humantime::parse_rfc3339(text).ok();
    let began = at(&entry.from)?;
    let ended = before.and_then(|before| before.to.as_deref()).and_then(at).unwrap_or(began).min(began);
    let over = entry.to.as_deref().and_then(at).map_or(began + AFTER, |over| over.min(began + AFTER));
    Some((ended.checked_sub(BEFORE)?, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u64, from: &str, to: Option<&str>) -> HistoryEntry {
        HistoryEntry { to: to.map(str::to_owned), ..HistoryEntry::begun(epoch, "a".to_owned(), from.to_owned()) }
    }

    async fn status(reader: &Reader, epoch: &str) -> StatusCode {
        let history =
            [entry(7, "2026-01-02T03:05:00Z", None), entry(6, "2026-01-02T03:04:00Z", Some("2026-01-02T03:04:59Z"))];
        reader.answer("a".to_owned(), &history, epoch).await.status()
    }

    #[tokio::test]
    async fn what_is_asked_for_is_in_the_history_or_not_there() {
        let reader = Reader::new(Some(Arc::new(|_, _| Ok(Vec::new()))));
        for (epoch, expected) in [("7", 200), ("6", 200), ("5", 404), ("seven", 404), ("-7", 404)] {
            assert_eq!(status(&reader, epoch).await, expected, "{epoch}");
        }
    }

    #[tokio::test]
    async fn who_records_nothing_or_cannot_read_it_says_so() {
        assert_eq!(status(&Reader::new(None), "7").await, 503);
        let fails = Reader::new(Some(Arc::new(|_, _| Err("no such folder".to_owned()))));
        assert_eq!(status(&fails, "7").await, 503);
        let panics = Reader::new(Some(Arc::new(|_, _| panic!("on purpose"))));
        assert_eq!(status(&panics, "7").await, 503);
    }

    #[tokio::test]
    async fn one_is_read_at_a_time() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let reader = Reader::new(Some(Arc::new(move |_, _| {
            let _ = held.lock().unwrap().recv();
            Ok(Vec::new())
        })));
        let (first, second) = tokio::join!(status(&reader, "7"), async {
            let second = status(&reader, "7").await;
            drop(release);
            second
        });
        assert_eq!((first, second), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
    }

    #[test]
    fn it_is_looked_at_from_before_the_former_end_until_the_own_one() {
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        let before = entry(6, "2026-01-02T03:04:00Z", Some("2026-01-02T03:04:59Z"));
        let (from, to) = window(&entry(7, "2026-01-02T03:05:00Z", None), Some(&before)).unwrap();
        assert_eq!((from, to), (at("2026-01-02T03:04:19Z"), at("2026-01-02T03:15:00Z")));
        let (from, to) = window(&entry(1, "2026-01-02T03:05:00Z", Some("2026-01-02T03:06:00Z")), None).unwrap();
        assert_eq!((from, to), (at("2026-01-02T03:04:20Z"), at("2026-01-02T03:06:00Z")));
    }
}
