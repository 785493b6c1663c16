//! The TTL of a session, as Consul shows it: a duration as Go writes it is that duration, and two durations in one text are
//! their sum.

use std::time::Duration;

use crate::consul::credentials::{CredentialSettings, Credentials};
use crate::consul::http::HttpReply;
use crate::consul::verdict::verdict;
use crate::core::messages::{Answer, Request, SessionId};

const SESSION: &str = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";

pub(super) fn property(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        // Go's durations have 63 bits.
        let duration = Duration::from_nanos(u64::from_le_bytes(*bytes) >> 1);
        assert_eq!(ttl(&as_go(duration)), Some(duration));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.len() > 200 {
        return;
    }
    let Some(all) = ttl(text) else { return };
    assert!(text.starts_with(|c: char| c.is_ascii_digit()), "{text}");
    for (at, _) in text.char_indices().skip(1) {
        let (one, two) = text.split_at(at);
        if let Some((one, two)) = ttl(one).zip(ttl(two)) {
            assert_eq!(one + two, all, "{text}");
        }
    }
}

/// The TTL of a session of which Consul says this.
fn ttl(text: &str) -> Option<Duration> {
    let row = serde_json::json!([{"ID": SESSION, "Name": "ours", "Node": "node", "TTL": text}]);
    let request = Request::DescribeSession {
        session: SessionId(SESSION.into()),
    };
    let credentials = Credentials::new(CredentialSettings::default());
    let reply = HttpReply {
        status: 200,
        index: Some(5),
        body: row.to_string().into_bytes(),
        secrets: credentials.secrets(&credentials.token()),
    };
    match verdict(&request, Ok(reply)) {
        Ok(Answer::Described(Some(row))) => row.ttl,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// The text of Go's `Duration.String`.
fn as_go(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let (unit, name) = match ns {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let digits = format!("{:09}", ns % unit * (1_000_000_000 / unit));
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let (whole, of_hour) = (ns / unit, ns / unit / 60);
    match whole {
        60.. if name == "s" => {
            let (h, m, s) = (of_hour / 60, of_hour % 60, whole % 60);
            let hours = if h > 0 { format!("{h}h") } else { String::new() };
            format!("{hours}{m}m{s}{point}{digits}s")
        }
        _ => format!("{whole}{point}{digits}{name}"),
    }
}
