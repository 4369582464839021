//! Who may read. Health checks are for everybody: a load balancer has no secrets to keep.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use crate::api::answer;
use crate::config::Secret;

/// The configured tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// May change things, and read.
    pub full: Option<Secret>,
    /// With it, reading needs one of the two.
    pub read: Option<Secret>,
}

impl Tokens {
    /// Whether a request with these headers may read what is not a health check.
    ///
    /// # Errors
    /// The answer 401.
    #[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
    pub fn may_read(&self, headers: &HeaderMap) -> Result<(), Response> {
        let Some(read) = &self.read else { return Ok(()) };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
            .filter(|given| !given.is_empty());
        let known = given.is_some_and(|given| {
            // Both are compared always, so that the time taken does not tell which one was close.
            let same = |secret: &Secret| bool::from(secret.reveal().as_bytes().ct_eq(given));
            let full = self.full.as_ref().is_some_and(same);
            same(read) | full
        });
        if known { Ok(()) } else { Err(unauthorized()) }
    }
}

impl Tokens {
    /// Whether a request with these headers may change something: by which token.
    ///
    /// # Errors
    /// The answer: 401, or 403 for a token that may only read.
    #[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
    pub fn may_change(&self, headers: &HeaderMap) -> Result<String, Response> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
            .filter(|given| !given.is_empty())
            .ok_or_else(unauthorized)?;
        let is = |secret: &Option<Secret>| {
            secret.as_ref().is_some_and(|secret| bool::from(secret.reveal().as_bytes().ct_eq(given)))
        };
        let (full, read) = (is(&self.full), is(&self.read));
        match (full, read) {
            (true, _) => Ok("token".to_owned()),
            (false, true) => Err(answer::failure(
                StatusCode::FORBIDDEN,
                "this token may only read: a change needs the one of api.token_file",
            )),
            (false, false) => Err(unauthorized()),
        }
    }
}

fn unauthorized() -> Response {
    let mut response = answer::failure(StatusCode::UNAUTHORIZED, "a bearer token is needed here");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"primacy\""));
    response
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let tokens = Tokens { full: Some(Secret::new("full")), read: Some(Secret::new("read")) };
        for (value, may) in [
            ("Bearer read", true),
            ("bearer full", true),
            ("Bearer  read ", true),
            ("Bearer rea", false),
            ("Bearer readd", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic read", false),
            ("read", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(tokens.may_read(&headers).is_ok(), may, "{value}");
        }
        assert!(tokens.may_read(&HeaderMap::new()).is_err());
        let mut nothing = HeaderMap::new();
        nothing.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer "));
        assert!(
            Tokens { full: None, read: Some(Secret::new("")) }.may_read(&nothing).is_err(),
            "an empty file is no key"
        );
        assert!(Tokens { full: Some(Secret::new("full")), read: None }.may_read(&HeaderMap::new()).is_ok());
    }
}
