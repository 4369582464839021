//! How answers look: JSON unless said otherwise, never cached, errors always of one shape.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    reasons: BTreeMap<&'a str, &'a str>,
}

/// `text` as it is.
pub fn text(status: StatusCode, content_type: &'static str, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `value` as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => text(status, "application/json", bytes),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `{"error": "...", "reasons": {}}`.
pub fn failure(status: StatusCode, error: &str) -> Response {
    let failure = Failure { error, reasons: BTreeMap::new() };
    text(status, "application/json", serde_json::to_vec(&failure).unwrap_or_default())
}

/// As [`failure`], and the connection is closed: what else it would carry cannot be understood.
pub fn last_failure(status: StatusCode, error: &str) -> Response {
    let mut response = failure(status, error);
    is_the_last(&mut response);
    response
}

/// The connection is closed after it.
pub fn is_the_last(response: &mut Response) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// Whether the client likes plain text better than JSON. Wildcards say nothing; of two equals the first wins.
pub fn prefers_text(headers: &HeaderMap) -> bool {
    let mut best = (0.0, false);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let plain = match parts.next() {
                Some(kind) if kind.eq_ignore_ascii_case("text/plain") => true,
                Some(kind) if kind.eq_ignore_ascii_case("application/json") => false,
                _ => continue,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            if weight > best.0 {
                best = (weight, plain);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_those_who_ask_for_it() {
        for (accept, plain) in [
            ("text/plain", true),
            ("text/plain; charset=utf-8", true),
            ("TEXT/PLAIN", true),
            ("*/*", false),
            ("text/html, */*;q=0.8", false),
            ("application/json", false),
            ("application/json, text/plain, */*", false),
            ("application/json;q=0.1, text/plain;q=0.2", true),
            ("text/plain;q=0", false),
            ("text/plain;q=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_text(&headers), plain, "{accept}");
        }
    }
}
