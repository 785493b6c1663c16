//! How Consul reads requests and writes answers.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::store::{Behavior, Row, Session};
use crate::consul::http::HttpReply;
use crate::consul::secrets::Secrets;

/// The name of the only agent.
pub(in super::super) const NODE: &str = "sim";

pub(super) fn reply(status: u16, body: impl Into<Vec<u8>>) -> HttpReply {
    HttpReply {
        status,
        index: None,
        body: body.into(),
        secrets: Secrets::default(),
    }
}

/// A row of the KV table. A transaction shows the value only to its get verbs.
pub(super) fn row(out: &mut String, key: &str, row: &Row, with_value: bool) {
    let _ = write!(out, "{{\"LockIndex\":{},\"Key\":", row.lock_index);
    string(out, key);
    let _ = write!(out, ",\"Flags\":{},\"Value\":", row.flags);
    if with_value && !row.value.is_empty() {
        out.push('"');
        BASE64.encode_string(&row.value, out);
        out.push('"');
    } else {
        out.push_str("null");
    }
    if let Some(session) = &row.session {
        let _ = write!(out, ",\"Session\":\"{session}\"");
    }
    let _ = write!(
        out,
        ",\"CreateIndex\":{},\"ModifyIndex\":{}}}",
        row.create_index, row.modify_index
    );
}

/// A listing of keys.
pub(super) fn names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut out = "[".to_owned();
    for key in keys {
        out.push_str(if out.len() > 1 { "," } else { "" });
        string(&mut out, key);
    }
    out.push(']');
    out
}

/// A row of the session table.
pub(super) fn session(out: &mut String, id: &str, session: &Session) {
    let _ = write!(out, "{{\"ID\":\"{id}\",\"Name\":");
    string(out, &session.name);
    let behavior = match session.behavior {
        Behavior::Release => "release",
        Behavior::Delete => "delete",
    };
    let _ = write!(
        out,
        ",\"Node\":\"{}\",\"LockDelay\":{},\"Behavior\":\"{behavior}\",\"TTL\":",
        session.node,
        session.lock_delay.as_nanos()
    );
    string(out, &session.ttl_text);
    out.push_str(",\"NodeChecks\":");
    match &session.node_checks {
        None => out.push_str("null"),
        Some(checks) => {
            out.push('[');
            for (i, check) in checks.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                string(out, check);
            }
            out.push(']');
        }
    }
    let index = session.create_index;
    let _ = write!(
        out,
        ",\"ServiceChecks\":null,\"CreateIndex\":{index},\"ModifyIndex\":{index}}}"
    );
}

/// The errors of a transaction: the number of the operation and the text of Consul.
pub(super) fn errors(out: &mut String, errors: &[(usize, String)]) {
    out.push_str("{\"Results\":null,\"Errors\":[");
    for (i, (op, what)) in errors.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let _ = write!(out, "{{\"OpIndex\":{op},\"What\":");
        string(out, what);
        out.push('}');
    }
    out.push(']');
}

/// Go's JSON escapes the characters that have a meaning in HTML.
fn string(out: &mut String, text: &str) {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && !b"\"\\<>&".contains(&b);
    if text.bytes().all(plain) {
        let _ = write!(out, "\"{text}\"");
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A duration as Go reads it, such as `1m30s`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        sum += number
            * match &rest[..end] {
                "ns" => 1,
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(sum)
}

/// A request's target, taken apart.
pub(super) struct Target<'a> {
    pub(super) path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn new(target: &'a str) -> Target<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Target { path, query }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The names of the parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
    }
}

pub(super) fn percent_decode(text: &str) -> String {
    unescaped(text).unwrap_or_else(|| panic!("a target that is not percent-encoded: {text}"))
}

/// Decodes percent signs. None: a percent sign stands without two digits.
pub(super) fn unescaped(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match byte {
            b'%' => out.push((digit()? * 16 + digit()?) as u8),
            byte => out.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// `wait` of a blocking query: 5 minutes unless given, 10 at most.
pub(super) fn wait(text: Option<&str>) -> Option<Duration> {
    let nanos = match text {
        None | Some("") => 0,
        Some(text) => duration(text)?,
    };
    let wait = match nanos {
        0 => Duration::from_secs(300),
        nanos => Duration::from_nanos(nanos),
    };
    Some(wait.min(Duration::from_secs(600)))
}
