//! The page at `/`, for whoever is woken at 3 a.m.
//!
//! # Theory of operation
//! A few files in the program, and nothing from anywhere else: no build step, no address outside. They hold no secret, so they are
//! everybody's; what they show they ask this API for, as any client, with a token where one is needed. Who leads and what is wrong
//! is one sentence, and it is `primacy status`'s: [`verdict`]. What to do is operations.md's, which is in the program as well.
//!
//! Names and reasons come from others. The page makes text of them and never markup, and the browser is told to hold it to that: no
//! script but these files, no markup from strings (trusted types), no frame around it. The only other addresses that it may ask are those of the
//! members: [`neighbours`].

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::api::answer;
use crate::api::asked::Asked;

pub mod advice;
pub mod neighbours;
pub mod verdict;

const PAGE: &str = include_str!("files/page.html");

/// The page's other files: below `/page/`.
const FILES: [(&str, &str, &str); 8] = [
    ("page.css", "text/css; charset=utf-8", include_str!("files/page.css")),
    ("page.js", SCRIPT, include_str!("files/page.js")),
    ("actions.js", SCRIPT, include_str!("files/actions.js")),
    ("feed.js", SCRIPT, include_str!("files/feed.js")),
    ("history.js", SCRIPT, include_str!("files/history.js")),
    ("nodes.js", SCRIPT, include_str!("files/nodes.js")),
    ("words.js", SCRIPT, include_str!("files/words.js")),
    ("icon.svg", "image/svg+xml", include_str!("files/icon.svg")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// `/`.
pub fn page(asked: &Asked<'_>) -> Response {
    let neighbours = neighbours::of(&asked.seen.snapshot.cluster).join(" ");
    let mut response = guarded("text/html; charset=utf-8", PAGE.replace("{neighbours}", &neighbours));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {neighbours}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// `/page/FILE`.
pub fn file(asked: &Asked<'_>) -> Response {
    let name = asked.uri.path().rsplit('/').next().unwrap_or_default();
    match FILES.iter().find(|(file, _, _)| *file == name) {
        Some((_, kind, text)) => guarded(kind, (*text).to_owned()),
        None => answer::failure(StatusCode::NOT_FOUND, "the page has no such file"),
    }
}

/// `/operations.md`.
pub fn operations(_: &Asked<'_>) -> Response {
    guarded("text/plain; charset=utf-8", advice::OPERATIONS.to_owned())
}

/// With what a browser is to be kept from.
fn guarded(kind: &'static str, text: String) -> Response {
    let mut response = answer::text(StatusCode::OK, kind, text);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_names_no_other_address() {
        let files = FILES.iter().map(|(_, _, text)| *text);
        let all: Vec<&str> = files.chain([PAGE]).collect();
        let size: usize = all.iter().map(|text| text.len()).sum();
        assert!(size < 64 * 1024, "{size} bytes");
        for text in all {
            let foreign: Vec<_> =
                text.split("//").skip(1).filter(|rest| rest.starts_with(char::is_alphanumeric)).collect();
            assert!(foreign.iter().all(|rest| rest.starts_with("www.w3.org/2000/svg")), "{foreign:?}");
            for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "onclick="] {
                assert!(!text.contains(way), "{way} makes markup or code of a text");
            }
        }
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for (_, _, text) in FILES {
            for name in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(FILES.iter().any(|(file, _, _)| *file == name), "{name}");
            }
        }
        for name in PAGE.split("\"/page/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(FILES.iter().any(|(file, _, _)| *file == name), "{name}");
        }
    }
}
