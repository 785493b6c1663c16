//! What an HTTP reply, or the lack of a reply, means to the algorithm. No other module decides that.
//!
//! A status is not enough. Consul answers a transaction with 409 for a held lock, a lock-delay, a dead session and
//! missing rights alike; a validation error is a 500 like a lost leader; and of the 500s some were surely not
//! applied and some may have been (measured on 1.8.7, and read from the sources of newer servers). So this module
//! compares bodies and texts. A text that the library does not know never means success, and never "held". Nor does
//! such a text mean that Consul did nothing: a proxy may have said it after Consul did what the request asked. So
//! only a text of Consul's own refuses a request that changes something; otherwise its fate is unknown.

mod duration;
mod json;
mod refused;
mod rights;
mod rows;
mod success;
mod texts;
mod words;

use super::facts;
use super::http::{Failure, HttpReply};
use crate::core::messages::{Answer, Fault, Request, SessionId};
use crate::error::{Error, Status};
use rights::denied;
use texts::{Meaning, refusal};
use words::{said, unreachable};

/// What is taken at most of the name of a session or a node: option session_name allows 4,096.
const LONGEST_NAME: usize = 4_200;

/// Makes an answer, or a fault, out of what came back.
pub(crate) fn verdict(
    request: &Request,
    result: Result<HttpReply, Failure>,
) -> Result<Answer, Fault> {
    let reply = result.map_err(|failure| no_reply(request, failure))?;
    let answer = match (reply.status, request) {
        (200, _) => success::answer(request, &reply),
        // A 404 without an index is not from the KV store: a proxy said it, or another server.
        (404, Request::Read { .. } | Request::Watch { .. }) => {
            reply.index.map(|index| Answer::Row { row: None, index })
        }
        (404, Request::WatchNames { .. }) => reply.index.map(|index| {
            let names = Vec::new();
            Answer::Names { names, index }
        }),
        // A proxy's "404 page not found" says nothing about the session.
        (404, Request::RenewSession { .. }) if text(&reply).starts_with("Session id") => {
            let error = said(request, &reply, Status::Unavailable);
            return Err(Fault::SessionGone(error));
        }
        (409, _) if facts::of(request).is_transaction() => {
            return refused::verdict(request, &reply);
        }
        // The library registers only the node of option session_node. A missing node of an agent is a fault.
        (500, Request::CreateSession { node: Some(_), .. })
            if text(&reply).trim().ends_with("Missing node registration") =>
        {
            Some(Answer::NoNode)
        }
        // The algorithm can do without these. Without the right to read them, they are missing.
        (403, Request::DescribeSession { .. }) => Some(Answer::Described(None)),
        (403, Request::DescribeNode { .. }) => Some(Answer::Node(None)),
        (403, Request::DescribeAgent) => Some(Answer::Agent(None)),
        _ => return Err(failed(request, &reply)),
    };
    answer.ok_or_else(|| unexpected(request, &reply))
}

fn no_reply(request: &Request, failure: Failure) -> Fault {
    let reads = facts::of(request).reads();
    let error = |why: &str| unreachable(request, why);
    match failure {
        Failure::NotSent(why) => Fault::NotApplied(error(&why)),
        Failure::NoResources(why) => Fault::NotApplied(Error {
            status: Status::NoResources,
            ..error(&why)
        }),
        Failure::Refused(why) => Fault::Final(Error {
            retryable: false,
            ..error(&why)
        }),
        // The line may make the answer of a write so large: the core can repeat the write without the line.
        Failure::TooLarge(why) if reads || shows_line(request) => Fault::TooLarge(Error {
            status: Status::Rejected,
            retryable: false,
            ..error(&why)
        }),
        // Reading changes nothing: a read without an answer was not "maybe applied".
        Failure::Unknown(why) | Failure::TooLarge(why) if reads => Fault::NotApplied(error(&why)),
        Failure::Unknown(why) | Failure::TooLarge(why) => Fault::Unknown(error(&why)),
    }
}

/// A write that answers with the line of its key, too.
fn shows_line(request: &Request) -> bool {
    match request {
        Request::Join { see, .. } | Request::Lock { see, .. } | Request::Take { see, .. } => {
            see.operations() > 0
        }
        Request::Unlock { lines, .. } => !lines.is_empty(),
        _ => false,
    }
}

/// Any other status.
fn failed(request: &Request, reply: &HttpReply) -> Fault {
    let text = text(reply);
    if texts::speaks_tls(&text) {
        let why = "this port speaks TLS: use https:// or CONSUL_HTTP_SSL=true (option ssl)";
        return Fault::Final(Error {
            retryable: false,
            ..unreachable(request, why).with_http(reply.status)
        });
    }
    let said = |status| said(request, reply, status);
    match refusal(&text) {
        Some(Meaning::Denied) => Fault::Final(denied(request, reply, &text, None)),
        Some(Meaning::NoToken) => Fault::NotApplied(denied(request, reply, &text, None)),
        Some(Meaning::NotNow | Meaning::Settling) => Fault::NotApplied(said(Status::Unavailable)),
        Some(Meaning::SessionGone) => Fault::SessionGone(said(Status::Unavailable)),
        Some(Meaning::Request) => Fault::Final(said(Status::Rejected)),
        // "leadership lost while committing log", "rpc error making call: EOF", "i/o deadline
        // reached", what a newer server may say, and what a proxy says.
        None => {
            let status = match reply.status {
                403 => Status::Denied,
                408 | 429 | 500.. => Status::Unavailable,
                _ => Status::Rejected,
            };
            match status {
                _ if !facts::of(request).reads() => Fault::Unknown(said(status)),
                Status::Unavailable => Fault::NotApplied(said(status)),
                _ => Fault::Final(said(status)),
            }
        }
    }
}

/// A reply that is not Consul's, or answers another request. Consul may have applied a request that changes
/// something.
fn unexpected(request: &Request, reply: &HttpReply) -> Fault {
    let error = words::unexpected(request, reply);
    match facts::of(request).reads() {
        true => Fault::Final(error),
        false => Fault::Unknown(error),
    }
}

/// The id of a session, which goes into paths: a text of another form than Consul's UUIDs is no id.
fn id(text: &str) -> Option<SessionId> {
    let fits = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    let is_id = !text.is_empty() && text.len() <= 64 && text.bytes().all(fits);
    is_id.then(|| SessionId(text.into()))
}

fn text(reply: &HttpReply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[cfg(test)]
mod tests;
