//! Who may read. Health checks are for everybody: a load balancer has no secrets to keep.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use crate::api::answer;
use crate::config::{Secret, tokens};

/// The configured tokens: the texts of the files, one token or lines `NAME TOKEN`.
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
        if self.read.is_none() {
            return Ok(());
        }
        let given = given(headers).ok_or_else(unauthorized)?;
        let (full, read) = (named(self.full.as_ref(), given), named(self.read.as_ref(), given));
        read.or(full).map(|_| ()).ok_or_else(unauthorized)
    }

    /// Whether a request with these headers may change something: by the token of which name.
    ///
    /// # Errors
    /// The answer: 401, or 403 for a token that may only read.
    #[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
    pub fn may_change(&self, headers: &HeaderMap) -> Result<String, Response> {
        let given = given(headers).ok_or_else(unauthorized)?;
        let (full, read) = (named(self.full.as_ref(), given), named(self.read.as_ref(), given));
        match (full, read) {
            (Some(name), _) => Ok(name.to_owned()),
            (None, Some(_)) => Err(answer::failure(
                StatusCode::FORBIDDEN,
                "this token may only read: a change needs one of api.token_file",
            )),
            (None, None) => Err(unauthorized()),
        }
    }
}

/// What the token is called, if it is one of the file's. All are compared always, so that the time taken does not tell which
/// one was close, or where it stands.
fn named<'a>(file: Option<&'a Secret>, given: &[u8]) -> Option<&'a str> {
    let mut found = None;
    for it in tokens::named(file?.reveal()) {
        if bool::from(it.token.as_bytes().ct_eq(given)) {
            found = Some(it.name);
        }
    }
    found
}

/// The token that a request shows.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    given.filter(|given| !given.is_empty())
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

    #[test]
    fn who_changes_something_is_the_token_s_name() {
        let tokens = Tokens {
            full: Some(Secret::new("alice one\ndeploy-bot two")),
            read: Some(Secret::new("grafana three\nbob four")),
        };
        for (given, changes, reads) in [
            ("one", Ok("alice"), true),
            ("two", Ok("deploy-bot"), true),
            ("three", Err(403), true),
            ("four", Err(403), true),
            ("alice", Err(401), false),
            ("alice one", Err(401), false),
            ("onetwo", Err(401), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, format!("Bearer {given}").parse().unwrap());
            let may = tokens.may_change(&headers).map_err(|answer| answer.status().as_u16());
            assert_eq!(may.as_deref().map_err(|code| *code), changes, "{given}");
            assert_eq!(tokens.may_read(&headers).is_ok(), reads, "{given}");
        }
        let lone = Tokens { full: Some(Secret::new("one")), read: None };
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer one"));
        assert_eq!(lone.may_change(&headers).unwrap(), "token");
    }
}
