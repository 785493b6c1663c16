//! How Consul reads requests and writes answers.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use serde_json::Value as Json;

use crate::edition::Edition;
use crate::keys::MAX_BODY;
use crate::model::Reply;
use crate::store::{Behavior, Row, Session};

/// A reply without an index.
pub(crate) fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status,
        index: None,
        body: body.into(),
        headers: Vec::new(),
    }
}

/// The value of a row and nothing else.
pub(crate) fn raw(value: &[u8]) -> Reply {
    Reply {
        headers: vec![
            ("Content-Security-Policy", "sandbox".to_owned()),
            ("Content-Type", "text/plain".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
        ],
        ..reply(200, value)
    }
}

/// The refusal of a body that is larger than an option of Consul allows.
pub(crate) fn too_large(size: usize, option: &str) -> Reply {
    let text = format!(
        "Request body({size} bytes) too large, max size: {MAX_BODY} bytes. \
         See https://www.consul.io/docs/agent/options.html#{option}."
    );
    reply(413, text)
}

/// Go's HTTP server refuses a target that is not percent-encoded.
pub(crate) fn bad_escape() -> Reply {
    reply(400, "400 Bad Request")
}

/// A row of the KV table. A transaction shows the value only to its get verbs.
pub(crate) fn row(out: &mut String, key: &str, row: &Row, with_value: bool) {
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
pub(crate) fn names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut out = "[".to_owned();
    for key in keys {
        out.push_str(if out.len() > 1 { "," } else { "" });
        string(&mut out, key);
    }
    out.push(']');
    out
}

/// A row of the session table.
pub(crate) fn session(out: &mut String, id: &str, session: &Session) {
    let _ = write!(out, "{{\"ID\":\"{id}\",\"Name\":");
    string(out, &session.name);
    let behavior = match session.behavior {
        Behavior::Release => "release",
        Behavior::Delete => "delete",
    };
    let _ = write!(
        out,
        ",\"Node\":\"{}\",\"LockDelay\":{},\"Behavior\":\"{behavior}\",\"TTL\":",
        session.node, session.lock_delay
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
pub(crate) fn errors(out: &mut String, errors: &[(usize, String)]) {
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

/// A duration as Go reads it, such as `1m30s` or `-1.5h`, in nanoseconds. The error has Go's words.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut rest = unsigned;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, behind) = split(behind, |c| !c.is_ascii_digit() && c != '.');
        let number: f64 = number.parse().map_err(|_| invalid())?;
        sum += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                "" => return Err(format!("time: missing unit in duration {text:?}")),
                unit => {
                    return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
                }
            };
        rest = behind;
    }
    if sum > i64::MAX as f64 {
        return Err(invalid());
    }
    let nanos = sum as i64;
    Ok(if text.starts_with('-') { -nanos } else { nanos })
}

/// The beginning of the text that has only such characters, and the rest.
fn split(text: &str, is_inside: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_inside(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A field of an object. Go takes a name in any case.
pub(crate) fn field<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    let object = json.as_object()?;
    object.get(name).or_else(|| {
        let mut fields = object.iter();
        let same = fields.find(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value)
    })
}

/// Go's name for the kind of a JSON value.
pub(crate) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Why a body is no JSON. Only the end of a body has Go's words.
pub(crate) fn decode_problem(body: &[u8], error: &serde_json::Error) -> String {
    if body.is_empty() {
        "EOF".to_owned()
    } else if error.is_eof() {
        "unexpected EOF".to_owned()
    } else {
        error.to_string()
    }
}

/// The refusal of a body that is no JSON.
pub(crate) fn parse_failed(body: &[u8], error: &serde_json::Error) -> Reply {
    let why = decode_problem(body, error);
    reply(400, format!("Request decode failed: {why}"))
}

/// Why a text is not base64, in Go's words.
pub(crate) fn base64_problem(error: &base64::DecodeError) -> String {
    use base64::DecodeError as E;
    let at = match error {
        E::InvalidByte(at, _) | E::InvalidLastSymbol { offset: at, .. } => *at,
        E::InvalidLength(length) => *length,
        E::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// A request's target, taken apart.
pub(crate) struct Target<'a> {
    pub(crate) path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn new(target: &'a str) -> Target<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Target { path, query }
    }

    /// The parameters, names and values, as they stand in the target.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.pairs()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }
}

/// Where Go's HTTP server sends a request whose path is not in its shortest form. None: the path is.
pub(crate) fn redirect(edition: Edition, target: &Target<'_>) -> Option<String> {
    let decoded = match edition.shortens_decoded_paths() {
        // The server refuses a path without a decoded form, and sends it nowhere.
        true => unescaped(target.path)?,
        false => Cow::Borrowed(target.path),
    };
    let mut location = shortest(&decoded)?;
    if edition.shortens_decoded_paths() {
        location = escaped(&location);
    }
    if !target.query.is_empty() {
        location.push('?');
        location += target.query;
    }
    Some(location)
}

/// The shortest form of a path that is not in it.
fn shortest(path: &str) -> Option<String> {
    if path == "/v1/kv" {
        return Some("/v1/kv/".to_owned());
    }
    if !path.contains("//") && !path.contains("/.") {
        return None;
    }
    let is_long = |part: &str| part == "." || part == "..";
    let inner = path.strip_prefix('/').unwrap_or(path);
    if !path.contains("//") && !inner.split('/').any(is_long) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in inner.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    Some(format!("/{}{end}", parts.join("/")))
}

/// Encodes a path as Go does where it has no other form of the path.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Decodes percent signs. None: a percent sign stands without two digits.
pub(crate) fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
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
    Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}

/// As Go's `unicode.IsPrint`: no space but the plain one, no invisible or unassigned character. Rust's standard
/// library escapes such characters; it escapes others only at the beginning of a text.
pub(crate) fn is_print(c: char) -> bool {
    (' '..='~').contains(&c)
        || ['a', c].iter().collect::<String>().escape_debug().nth(2) != Some('u')
}

/// `wait` of a blocking query: 5 minutes unless given, 10 at most.
pub(crate) fn wait(text: Option<&str>) -> Option<Duration> {
    let nanos = match text {
        None | Some("") => 0,
        Some(text) => duration(text).ok()?,
    };
    let wait = match u64::try_from(nanos) {
        Err(_) | Ok(0) => Duration::from_secs(300),
        Ok(nanos) => Duration::from_nanos(nanos),
    };
    Some(wait.min(Duration::from_secs(600)))
}
