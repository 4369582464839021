//! The other members, as the page's neighbours: it may ask them how they are, and their pages may ask this one.
//!
//! For reading only, and only from where a member of this cluster says that it serves. Nothing that changes something takes
//! part: a browser asks before it sends that, and is not answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::{Shared, answer};
use crate::status::ClusterView;

/// Whoever has more than that asks each by its own page.
const MOST: usize = 32;

/// The members' origins, as browsers write them.
pub fn of(cluster: &ClusterView) -> Vec<String> {
    let mut origins: Vec<String> = cluster.members.iter().filter_map(|member| origin(&member.row.api)).collect();
    origins.sort();
    origins.dedup();
    origins.truncate(MOST);
    origins
}

/// Members may have written anything.
fn origin(api: &str) -> Option<String> {
    let uri: Uri = api.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str().to_lowercase());
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_' | ':' | '[' | ']');
    authority.chars().all(plain).then(|| format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority)))
}

/// Lets the pages of other members read.
pub async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let member = |origin: &HeaderValue| {
        let snapshot = shared.snapshot.load();
        of(&snapshot.cluster).iter().any(|it| it.as_bytes() == origin.as_bytes())
    };
    let Some(origin) = origin.filter(member) else { return next.run(request).await };
    let asks_first =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = if asks_first {
        let mut response = answer::text(StatusCode::NO_CONTENT, "text/plain; charset=utf-8", "");
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization"));
        response
    } else {
        next.run(request).await
    };
    if asks_first || reads {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it_and_nothing_else_is_one() {
        for (api, expected) in [
            ("http://Node-A:9090", Some("http://node-a:9090")),
            ("https://node-a:443/x", Some("https://node-a")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("javascript:alert(1)", None),
            ("http://a:1;script-src *", None),
            ("http://user:secret@a", None),
            ("http://a'b", None),
            ("", None),
        ] {
            assert_eq!(origin(api).as_deref(), expected, "{api}");
        }
    }
}
