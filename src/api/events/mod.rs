//! `/events`: what changes, as server-sent events.
//!
//! # Theory of operation
//! A [`journal`] holds what has been told, numbered. While somebody watches, and for [`AFTERWARDS`], the supervisor's loop leaves
//! every snapshot that it publishes in a bounded queue; each stream looks into it several times a second, and at the clock, for a lease
//! runs out without anybody publishing that. Nobody waits for anybody: where the queue is full, steps in between are lost, never
//! the outcome. What happens while nobody watches comes as its outcome, too, when somebody does.
//!
//! An id is `PROCESS.NUMBER`. Who comes back with one of this very process gets what came after it. Everybody else gets the whole
//! state first: a `control` with `"full_state":true`, then all members and leaderships. Only the last of these has an id, so that
//! whoever is cut off in the middle does not believe to know everything.
//!
//! A stream lives as long as any connection does, and ends between two events. It has a place of its own, outside of those of
//! health checks: [`streams`]. Rejected: one task that feeds all streams. It would have to be ended when nobody watches any more, and
//! a slow reader needs a queue of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use tokio::sync::mpsc;

use crate::api::places::Place;
use crate::api::{Shared, answer};
use crate::moment::Moment;
use crate::status::Snapshot;
use crate::status::changes::News;
use crate::{api::snapshot_at::SnapshotAt, clock};

use journal::Journal;
pub use streams::STREAMS;
use streams::{Stream, Streams};

mod journal;
mod streams;

/// How often a stream looks.
const LOOK: Duration = Duration::from_millis(200);

/// A comment at least so often: who hears nothing for longer knows that the connection is dead. The token is looked at as often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// For so long after the last look snapshots are still kept: whoever reads comes back.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Snapshots that wait to be looked at.
const QUEUE: usize = 64;

/// The connection's age at which its stream ends: before the connection is cut.
const LIFE: Duration = Duration::from_secs(300);

/// Bytes of an event's id.
const LONGEST_ID: usize = 64;

/// The events of this process.
pub struct Events {
    process: String,
    queue: mpsc::Sender<Arc<Snapshot>>,
    /// Until then somebody watches: nanoseconds of CLOCK_BOOTTIME.
    watched_until: AtomicU64,
    seen: Mutex<Seen>,
    streams: Arc<Streams>,
}

struct Seen {
    journal: Journal,
    queued: mpsc::Receiver<Arc<Snapshot>>,
    last: Option<Glance>,
}

/// All that the outcome of a look depends on.
#[derive(PartialEq, Eq)]
struct Glance {
    /// By its address, and it is kept: no other can have the same.
    snapshot: ByAddress,
    leads: bool,
    in_contact: bool,
}

struct ByAddress(Arc<Snapshot>);

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByAddress {}

impl Default for Events {
    fn default() -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        let process = uuid::Uuid::new_v4().simple().to_string();
        Self {
            process: process[..12].to_owned(),
            queue,
            watched_until: AtomicU64::new(0),
            seen: Mutex::new(Seen { journal: Journal::default(), queued, last: None }),
            streams: Arc::default(),
        }
    }
}

impl Events {
    /// What the supervisor has published. Never waits.
    pub fn published(&self, snapshot: &Arc<Snapshot>) {
        if clock::now().as_nanos() < self.watched_until.load(Ordering::Relaxed) {
            // Full: the outcome is seen all the same.
            let _ = self.queue.try_send(Arc::clone(snapshot));
        }
    }

    /// The journal, as of this moment.
    fn look(&self, shared: &Shared) -> MutexGuard<'_, Seen> {
        self.watched_until.store((clock::now() + AFTERWARDS).as_nanos(), Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(snapshot) = seen.queued.try_recv() {
            let (now, turned) = (snapshot.taken, snapshot.taken);
            seen.take(&SnapshotAt { snapshot, now, turned });
        }
        seen.take(&shared.snapshot_at());
        seen
    }

    /// After which event whoever asks can go on.
    fn cursor(&self, headers: &HeaderMap) -> Option<u64> {
        let id = headers.get("last-event-id")?.to_str().ok().filter(|id| id.len() <= LONGEST_ID)?;
        let (process, number) = id.split_once('.')?;
        (process == self.process).then(|| number.parse().ok()).flatten()
    }
}

impl Seen {
    fn take(&mut self, at: &SnapshotAt) {
        let snapshot = ByAddress(Arc::clone(&at.snapshot));
        let glance = Glance { snapshot, leads: at.leads(), in_contact: at.in_contact() };
        if self.last.as_ref() != Some(&glance) {
            self.last = Some(glance);
            self.journal.look(&at.cluster(), &at.snapshot.history, &clock::timestamp());
        }
    }
}

/// The connection on which somebody asks.
#[derive(Clone)]
pub struct Connection {
    pub began: Moment,
    /// `None` where no connection has brought the request.
    pub place: Option<Arc<Place>>,
}

/// The answer to `GET /events`, or to its HEAD.
pub fn answer(
    shared: &Arc<Shared>,
    peer: Option<std::net::IpAddr>,
    connection: Option<&Connection>,
    headers: &HeaderMap,
) -> Response {
    let Some(stream) = shared.events.streams.take(peer) else {
        let error = "as many read these events as may: ask again later, or ask /cluster every now and then";
        let mut refusal = answer::failure(StatusCode::SERVICE_UNAVAILABLE, error);
        refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        return refusal;
    };
    if let Some(place) = connection.and_then(|connection| connection.place.as_ref()) {
        place.vacate();
    }
    let began = connection.map_or_else(clock::now, |connection| connection.began);
    let feed = Feed {
        shared: Arc::clone(shared),
        headers: headers.clone(),
        after: shared.events.cursor(headers),
        ends: began + LIFE,
        spoken: None,
        _stream: stream,
    };
    let body = stream::unfold(feed, |mut feed| async move {
        let piece = feed.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), feed))
    });
    let mut response = answer::text(StatusCode::OK, "text/event-stream", Body::from_stream(body));
    // nginx would gather it otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    // Its connection has no place among the others any more.
    answer::is_the_last(&mut response);
    response
}

/// One stream of events.
struct Feed {
    shared: Arc<Shared>,
    /// Those of the request: the token in them may be withdrawn.
    headers: HeaderMap,
    /// The number of the last event that was told; `None`: the whole state is to come.
    after: Option<u64>,
    ends: Moment,
    /// When something was sent last; `None`: nothing yet.
    spoken: Option<Moment>,
    _stream: Stream,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let now = clock::now();
            if now >= self.ends {
                return None;
            }
            if self.spoken.is_none_or(|spoken| now.since(spoken) >= SIGN_OF_LIFE)
                && self.shared.tokens.load().may_read(&self.headers).is_err()
            {
                return None;
            }
            let text = self.news();
            if !text.is_empty() {
                self.spoken = Some(now);
                return Some(text.into());
            }
            if self.spoken.is_none_or(|spoken| now.since(spoken) >= SIGN_OF_LIFE) {
                self.spoken = Some(now);
                return Some(Bytes::from_static(b":\n\n"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is to be told at this moment.
    fn news(&mut self) -> String {
        let mut text = String::new();
        if self.spoken.is_none() {
            text += "retry: 2000\n\n";
        }
        let events = &self.shared.events;
        let seen = events.look(&self.shared);
        match self.after.and_then(|number| seen.journal.after(number)) {
            Some(kept) => kept.for_each(|(number, news)| {
                event(&mut text, Some(&format!("{}.{number}", events.process)), news);
            }),
            None => {
                let whole = seen.journal.whole(&clock::timestamp());
                let id = format!("{}.{}", events.process, seen.journal.newest());
                for (index, news) in whole.iter().enumerate() {
                    event(&mut text, (index + 1 == whole.len()).then_some(&id), news);
                }
            }
        }
        self.after = Some(seen.journal.newest());
        text
    }
}

fn event(text: &mut String, id: Option<&String>, news: &News) {
    if let Some(id) = id {
        *text += &format!("id: {id}\n");
    }
    *text += &format!("event: {}\ndata: {}\n\n", news.name(), news.json());
}
