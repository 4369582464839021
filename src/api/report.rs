//! `/report`: this node's part of `primacy report`: its log's newest lines, and its newest recordings.
//!
//! It needs the disk, as [`super::timeline`] does, and goes the same way: a thread of its own reads, and makes the whole answer, too.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::api::answer;
use crate::api::timeline::{NOTHING, Reader, Recording};
use crate::output;

#[derive(Clone, Serialize)]
struct Report {
    node: String,
    version: String,
    log: String,
    recordings: Vec<File>,
    problem: Option<String>,
}

#[derive(Clone, Serialize)]
struct File {
    name: String,
    text: String,
}

impl Report {
    fn with(mut self, recordings: Result<Vec<Recording>, String>) -> Self {
        match recordings {
            Ok(recordings) => {
                self.recordings = recordings.into_iter().map(|(name, text)| File { name, text }).collect();
            }
            Err(problem) => self.problem = Some(problem),
        }
        self
    }
}

/// The answer. Where no recordings can be read it says why, and has the log all the same.
pub async fn answer(reader: &Reader, node: String, version: String) -> Response {
    let report = Report { node, version, log: output::kept_lines(), recordings: Vec::new(), problem: None };
    let Some(newest) = reader.newest() else {
        return answer::json(StatusCode::OK, &report.with(Err(NOTHING.to_owned())));
    };
    let plain = report.clone();
    let read = move || serde_json::to_vec(&report.with(newest())).map_err(|error| error.to_string());
    match reader.apart(read).await {
        Ok(body) => answer::text(StatusCode::OK, "application/json", body),
        Err((_, problem)) => answer::json(StatusCode::OK, &plain.with(Err(problem))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;

    async fn asked(reader: &Reader) -> serde_json::Value {
        let response = answer(reader, "a".to_owned(), "1".to_owned()).await;
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn who_cannot_read_its_recordings_says_so_and_has_the_rest_all_the_same() {
        let nothing = asked(&Reader::new(None)).await;
        assert_eq!((&nothing["node"], &nothing["problem"]), (&"a".into(), &NOTHING.into()));
        let reader = |newest| Reader::new(None).with_newest(Some(newest));
        let fails = asked(&reader(Arc::new(|| Err("no such folder".to_owned())))).await;
        assert_eq!((&fails["problem"], &fails["recordings"]), (&"no such folder".into(), &serde_json::json!([])));
        let reads = asked(&reader(Arc::new(|| Ok(vec![("x.jsonl".to_owned(), "{}".to_owned())])))).await;
        assert_eq!(reads["recordings"], serde_json::json!([{"name": "x.jsonl", "text": "{}"}]));
        assert!(reads["problem"].is_null() && reads["log"].is_string());
    }
}
