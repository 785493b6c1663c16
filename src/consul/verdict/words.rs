//! The errors that a verdict carries, in words.

use super::text;
use super::texts::{Meaning, is_short_of_ttl, refusal, settles};
use crate::consul::facts::{self, KV};
use crate::consul::http::HttpReply;
use crate::core::messages::{Hold, Request};
use crate::error::{Error, Status};
use crate::text::one_line;

/// What an error shows at most of a text of Consul's.
const LONGEST_TEXT: usize = 300;

/// What an error shows at most of a reason why there is no reply. Some reasons carry advice of this library.
const LONGEST_REASON: usize = 1_000;

/// The error that quotes the reply.
pub(super) fn said(request: &Request, reply: &HttpReply, status: Status) -> Error {
    told(request, reply, status, &text(reply))
}

/// The error that quotes `text`, which the reply says.
pub(super) fn told(request: &Request, reply: &HttpReply, status: Status, text: &str) -> Error {
    // A server may quote the request. The verdict has looked at the whole text before this.
    let text = reply.secrets.hide(stored(request), text);
    let (facts, code) = (facts::of(request), reply.status);
    let line = match one_line(&text, LONGEST_TEXT) {
        line if line.is_empty() => "(no text)".to_owned(),
        line => line,
    };
    let hint = match code {
        300..400 => " (a redirect is never followed)",
        _ if refusal(&text) == Some(Meaning::Settling) => settles(&text),
        _ if is_short_of_ttl(&text) => {
            " (lock_timeout_seconds is below session_ttl_min of this agent)"
        }
        // Consul's filter of paths says no more. It knows the characters of its own version of Unicode.
        400 if facts.path == KV && text.trim().is_empty() => {
            " (this Consul does not take every character of the key)"
        }
        _ => "",
    };
    Error::new(
        status,
        format!("{facts} answered HTTP {code}: {line}{hint}"),
    )
    .with_http(code)
}

/// The body of an unexpected reply is not shown: it may carry stored values.
pub(super) fn unexpected(request: &Request, reply: &HttpReply) -> Error {
    let size = reply.body.len();
    let text = format!("unexpected reply from Consul ({size} bytes)");
    told(request, reply, Status::Rejected, &text)
}

pub(super) fn unreachable(request: &Request, why: &str) -> Error {
    let (facts, why) = (facts::of(request), one_line(why, LONGEST_REASON));
    Error::new(Status::Unavailable, format!("{facts}: {why}"))
}

/// The value that the request stores.
fn stored(request: &Request) -> Option<&[u8]> {
    match request {
        Request::Lock { hold, .. } | Request::Take { hold, .. } => match hold {
            Hold::Exclusive { value } | Hold::Share { value, .. } => Some(&value.0),
        },
        Request::Downgrade { value, .. }
        | Request::Upgrade { value, .. }
        | Request::Write {
            value: Some(value), ..
        } => Some(&value.0),
        _ => None,
    }
}
