//! What every health check has in common: codes that whoever asks has chosen, and who answers and why in headers.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::api::answer;
use crate::api::snapshot_at::SnapshotAt;

/// Why the node is what it is; for `curl -I`, which shows no body.
const REASON: &str = "x-primacy-reason";

/// Who answers: for a proxy that asks several members by one name, and sends its client where the answer came from.
const NODE: &str = "x-primacy-node";

/// Bytes of a reason that a header carries: intermediaries refuse long ones.
const LONGEST_REASON: usize = 512;

/// The codes that `?active=CODE&standby=CODE&out=CODE` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    active: Option<StatusCode>,
    standby: Option<StatusCode>,
    out: Option<StatusCode>,
}

impl Codes {
    /// Other parameters are nobody's business; of several of one name the first counts.
    ///
    /// # Errors
    /// The answer 400.
    #[expect(clippy::result_large_err, reason = "the error is the answer that is sent")]
    pub fn asked_for(query: Option<&str>) -> Result<Self, Response> {
        let mut codes = Self::default();
        for (name, value) in query.unwrap_or_default().split('&').map(|part| part.split_once('=').unwrap_or((part, "")))
        {
            let slot = match name {
                "active" => &mut codes.active,
                "standby" => &mut codes.standby,
                "out" => &mut codes.out,
                _ => continue,
            };
            let code = Some(value)
                .filter(|value| value.len() == 3 && value.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|value| value.parse::<u16>().ok())
                .filter(|code| (200..600).contains(code))
                .and_then(|code| StatusCode::from_u16(code).ok());
            let Some(code) = code else {
                let error = format!("{name} has to be a code from 200 to 599, as in ?{name}=503");
                return Err(answer::failure(StatusCode::BAD_REQUEST, &error));
            };
            slot.get_or_insert(code);
        }
        Ok(codes)
    }

    /// The one for what the node is.
    fn of(self, seen: &SnapshotAt) -> Option<StatusCode> {
        if seen.active_and_ready() {
            self.active
        } else if seen.could_take_over() {
            self.standby
        } else {
            self.out
        }
    }
}

/// The answer of a health check with the code that was asked for, and who gives it, and why.
pub fn dressed(mut response: Response, codes: Codes, seen: &SnapshotAt) -> Response {
    if let Some(code) = codes.of(seen) {
        *response.status_mut() = code;
    }
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    let reason = in_a_header(&seen.server().reason);
    if let Ok(value) = HeaderValue::from_str(&reason)
        && !value.is_empty()
    {
        response.headers_mut().insert(REASON, value);
    }
    if let Ok(node) = HeaderValue::from_str(&seen.snapshot.server.node) {
        response.headers_mut().insert(NODE, node);
    }
    response
}

/// What of a text a header can carry: printable ASCII, on one line, and not too much of it.
fn in_a_header(text: &str) -> String {
    let carried = |it: char| match it {
        ' '..='~' => it,
        '—' | '–' => '-',
        '’' | '‘' => '\'',
        '“' | '”' => '"',
        it if it.is_whitespace() => ' ',
        _ => '?',
    };
    text.chars().take(LONGEST_REASON).map(carried).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gets_printable_ascii_of_bounded_length() {
        assert_eq!(in_a_header("elected after node-b stopped"), "elected after node-b stopped");
        assert_eq!(in_a_header(" a\r\nSet-Cookie: x\u{1b}[31mé — ’\0\u{7f} "), "a  Set-Cookie: x?[31m? - '??");
        assert_eq!(in_a_header(&"é".repeat(10_000)).len(), LONGEST_REASON);
        assert!(HeaderValue::from_str(&in_a_header(&('\0'..='\u{2ff}').collect::<String>())).is_ok());
    }

    #[test]
    fn codes_are_three_digits_from_200_to_599() {
        let asked = |query| Codes::asked_for(Some(query)).map_err(|answer| answer.status().as_u16());
        assert_eq!(asked("").unwrap(), Codes::default());
        assert_eq!(asked("lag=10MB&x&active").unwrap_err(), 400);
        let codes = asked("out=599&active=200&active=204&x=%ff").unwrap();
        assert_eq!((codes.active, codes.standby), (Some(StatusCode::OK), None));
        for wrong in ["active=199", "active=600", "active=+20", "active=0200", "standby=", "out=x", "out=%32%30%30"] {
            assert_eq!(asked(wrong), Err(400), "{wrong}");
        }
    }
}
