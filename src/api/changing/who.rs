//! Who may change something, and who it was.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;

use crate::api::{Shared, answer};

/// What a client calls the account that asks; believed to be what it says it is, and marked so.
pub const ACCOUNT: &str = "x-primacy-account";

/// The longest name of an account that is written down, in bytes.
const LONGEST: usize = 128;

/// Where a request came from; `None` where no connection has brought it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<IpAddr>);

/// Who asks, in words, if they may.
///
/// # Errors
/// The answer: 401 without the right token, 403 with one that may only read; without a configured token 403 where it cannot be
/// a person or a program on this very host.
#[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
pub fn asks(shared: &Shared, peer: Peer, headers: &HeaderMap) -> Result<String, Response> {
    let tokens = shared.tokens.load();
    if tokens.full.is_some() {
        return tokens.may_change(headers).map(|token| with_account(&token, headers));
    }
    let refused = |why: &str| Err(answer::failure(StatusCode::FORBIDDEN, why));
    if !peer.0.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return refused(
            "without api.token_file changes are taken from this host only: ask there, or configure a token",
        );
    }
    let node = shared.snapshot.load().server.node.clone();
    let advertised = shared.advertise.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let own = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        let loopback =
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        loopback
            || host.eq_ignore_ascii_case(&node)
            || advertised.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(host))
    };
    // A name that somebody else's server resolves to this host makes a browser ask on behalf of that page.
    let host = headers.get(header::HOST).and_then(|value| host_of(value.to_str().ok()?));
    if !host.is_some_and(|host| own(&host)) {
        return refused(
            "without api.token_file a change needs a Host header that is this host's: localhost, the node, or api.advertise",
        );
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        if !origin.and_then(|origin| origin.host().map(own)).unwrap_or(false) {
            return refused("a page of another site may change nothing here");
        }
    }
    Ok(with_account("local", headers))
}

fn host_of(value: &str) -> Option<String> {
    format!("http://{value}").parse::<Uri>().ok()?.host().map(str::to_owned)
}

/// What is known, and what the client says of itself.
fn with_account(known: &str, headers: &HeaderMap) -> String {
    let claimed = headers.get(ACCOUNT).and_then(|value| value.to_str().ok());
    let claimed = claimed.filter(|name| !name.is_empty() && name.len() <= LONGEST);
    match claimed {
        Some(claimed) => format!("{known} (says it is {claimed})"),
        None => known.to_owned(),
    }
}
