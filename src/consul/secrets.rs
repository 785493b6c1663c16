//! Hides secrets. A server or a proxy may quote a request, in any form: this module takes the secrets of the request
//! out of a text before the library shows the text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE as BASE64_IN_URL};

/// A token or another text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The secrets of one exchange.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets(Vec<Secret>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// A shorter secret is not hidden: ordinary words would contain it.
const SHORTEST: usize = 4;

/// A beginning of a secret that is at least this long is hidden, too, where the text is cut off.
const TELLING: usize = 8;

/// The longest escape that may be cut off with the text.
const LONGEST_ESCAPE: usize = 12;

/// The library does not show the rest of a longer text.
const LONGEST_TEXT: usize = 4 << 10;

/// How many times a quotation may have been quoted itself.
const DEEPEST: usize = 3;

const HIDDEN: &[u8] = b"(hidden)";

impl Secrets {
    /// The token, and `user:password`. The password alone is a secret, too.
    pub(super) fn new(token: Option<&Secret>, user_and_password: Option<&Secret>) -> Secrets {
        let password = user_and_password.and_then(|both| both.0.split_once(':'));
        let password = password.map(|(_, password)| Secret(password.to_owned()));
        let all = token.into_iter().chain(user_and_password).cloned();
        Secrets(all.chain(password).collect())
    }

    /// The text without these secrets, and without the stored value that was sent with them.
    pub(crate) fn hide(&self, value: Option<&[u8]>, text: &str) -> String {
        let secrets = self.0.iter().map(|secret| secret.0.as_bytes());
        let needles: Vec<Vec<u8>> = secrets
            .chain(value)
            .filter(|secret| secret.len() >= SHORTEST)
            .flat_map(forms)
            .collect();
        if needles.is_empty() {
            return text.to_owned();
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut end = text.len().min(LONGEST_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        Reading::of(text.as_bytes()).search(&needles, DEEPEST, &mut found);
        without(text, found)
    }
}

/// The forms in which a request has a secret: as it is, and as base64, in a body, a header or a URL. The padding of
/// base64 may be missing.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let unpadded = |text: String| text.trim_end_matches('=').as_bytes().to_vec();
    let mut forms = vec![
        secret.to_vec(),
        unpadded(BASE64.encode(secret)),
        unpadded(BASE64_IN_URL.encode(secret)),
    ];
    // The text has replaced the bytes of the secret that are no UTF-8.
    if let Cow::Owned(text) = String::from_utf8_lossy(secret) {
        forms.push(text.into_bytes());
    }
    forms.dedup();
    forms
}

/// The text without these parts, of which some may overlap.
fn without(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|part| part.start);
    let mut left = Vec::new();
    let mut at = 0;
    for part in parts {
        if part.start >= at {
            left.extend_from_slice(text.as_bytes().get(at..part.start).unwrap_or_default());
            left.extend_from_slice(HIDDEN);
        }
        at = at.max(part.end);
    }
    left.extend_from_slice(text.as_bytes().get(at..).unwrap_or_default());
    String::from_utf8_lossy(&left).into_owned()
}

/// A text without its escapes, and for each byte the part of the text that it stands for.
struct Reading {
    bytes: Vec<u8>,
    parts: Vec<Range<usize>>,
}

/// Reads an escape at the beginning of a text: adds the bytes that the escape stands for, and gives the length of the
/// escape. 0: the text does not begin with an escape.
type Reader = fn(&[u8], &mut Vec<u8>) -> usize;

const READERS: [Reader; 5] = [json, percent, form, html, latin_1];

impl Reading {
    fn of(bytes: &[u8]) -> Reading {
        Reading {
            bytes: bytes.to_vec(),
            parts: (0..bytes.len()).map(|at| at..at + 1).collect(),
        }
    }

    /// The text without the escapes of this reader. None: there are none.
    fn by(&self, reader: Reader) -> Option<Reading> {
        let mut read = Reading {
            bytes: Vec::with_capacity(self.bytes.len()),
            parts: Vec::with_capacity(self.bytes.len()),
        };
        let mut at = 0;
        while let Some(rest @ [first, ..]) = self.bytes.get(at..) {
            let mut length = reader(rest, &mut read.bytes);
            if length == 0 {
                read.bytes.push(*first);
                length = 1;
            }
            let part = self.parts.get(at)?.start..self.parts.get(at + length - 1)?.end;
            read.parts.resize(read.bytes.len(), part);
            at += length;
        }
        (read.bytes != self.bytes).then_some(read)
    }

    /// Adds the parts of the text that are one of the needles, in this reading and in all readings of it.
    fn search(&self, needles: &[Vec<u8>], depth: usize, found: &mut Vec<Range<usize>>) {
        for needle in needles {
            let mut at = 0;
            while let Some(rest @ [first, ..]) = self.bytes.get(at..) {
                let length = match needle.first() == Some(first) {
                    true => quoted(needle, rest),
                    false => 0,
                };
                let parts = self.parts.get(at..at + length).unwrap_or_default();
                if let [first, .., last] = parts {
                    found.push(first.start..last.end);
                }
                at += length.max(1);
            }
        }
        if depth > 0 {
            for reading in READERS.iter().filter_map(|reader| self.by(*reader)) {
                reading.search(needles, depth - 1, found);
            }
        }
    }
}

/// How many bytes at the beginning of a text are the needle, or the beginning of the needle where the text is cut
/// off.
fn quoted(needle: &[u8], text: &[u8]) -> usize {
    let pairs = needle.iter().zip(text);
    let same = pairs.take_while(|(one, other)| one == other).count();
    let is_cut = || match text.get(same..) {
        Some([b'\\' | b'%' | b'&', rest @ ..]) => rest.len() < LONGEST_ESCAPE,
        rest => rest.is_none_or(<[u8]>::is_empty),
    };
    match same == needle.len() {
        true => same,
        false if same >= TELLING && is_cut() => text.len(),
        false => 0,
    }
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok()?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| all)
}

fn push(c: char, to: &mut Vec<u8>) {
    to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// An escape in a JSON string.
fn json(text: &[u8], to: &mut Vec<u8>) -> usize {
    let [b'\\', escaped, ..] = text else {
        return 0;
    };
    let plain = match escaped {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'u' => {
            let unit = |at: usize| match text.get(at..at + 2) {
                Some(b"\\u") => hex(text.get(at + 2..at + 6)),
                _ => None,
            };
            let first = unit(0);
            let pair = first.zip(unit(6)).and_then(|(high, low)| {
                let both = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
                char::decode_utf16(both)
                    .next()?
                    .ok()
                    .filter(|c| *c > '\u{ffff}')
            });
            return match (pair, first.and_then(char::from_u32)) {
                (Some(c), _) => {
                    push(c, to);
                    12
                }
                (None, Some(c)) => {
                    push(c, to);
                    6
                }
                (None, None) => 0,
            };
        }
        other if other.is_ascii_punctuation() => *other,
        _ => return 0,
    };
    to.push(plain);
    2
}

/// An escape in a URL.
fn percent(text: &[u8], to: &mut Vec<u8>) -> usize {
    let byte = match text {
        [b'%', ..] => hex(text.get(1..3)).and_then(|byte| u8::try_from(byte).ok()),
        _ => None,
    };
    to.extend(byte);
    if byte.is_some() { 3 } else { 0 }
}

/// An escape in a form, where a plus sign stands for a space.
fn form(text: &[u8], to: &mut Vec<u8>) -> usize {
    match text {
        [b'+', ..] => {
            to.push(b' ');
            1
        }
        _ => percent(text, to),
    }
}

fn html(text: &[u8], to: &mut Vec<u8>) -> usize {
    const LONGEST: usize = 10;
    const NAMES: [(&str, char); 5] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
    ];
    let end = match text {
        [b'&', ..] => text.iter().take(LONGEST).position(|byte| *byte == b';'),
        _ => None,
    };
    let Some(name) = end.and_then(|end| std::str::from_utf8(text.get(1..end)?).ok()) else {
        return 0;
    };
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(digits) => hex(Some(digits.as_bytes())),
            None => digits.parse().ok(),
        },
        None => None,
    };
    let named = NAMES.iter().find(|(known, _)| *known == name);
    match number.and_then(char::from_u32).or(named.map(|(_, c)| *c)) {
        Some(c) => {
            push(c, to);
            name.len() + 2
        }
        None => 0,
    }
}

/// A byte that a server took for a character of Latin-1.
fn latin_1(text: &[u8], to: &mut Vec<u8>) -> usize {
    match text {
        [0xc2, byte @ 0x80..=0xbf, ..] => to.push(*byte),
        [0xc3, byte @ 0x80..=0xbf, ..] => to.push(*byte + 0x40),
        _ => return 0,
    }
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "s3cr3t/tok\"en<>&'+x";
    const PASSWORD: &str = "hunter2 p%41\\w";
    const VALUE: &[u8] = b"v4lue \"s\xe9cret\" \xf0\x9f\x94\x92 \n";

    fn hidden(text: &str) -> String {
        let [token, both] = [TOKEN.to_owned(), format!("bob:{PASSWORD}")].map(Secret);
        Secrets::new(Some(&token), Some(&both)).hide(Some(VALUE), text)
    }

    #[test]
    fn in_every_form_that_was_sent() {
        let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let json = |text: &str| {
            serde_json::to_string(text)
                .expect("JSON")
                .replace('/', "\\/")
        };
        let ascii = |text: &str| -> String {
            let units = text.encode_utf16();
            units.map(|unit| format!("\\u{unit:04X}")).collect()
        };
        let percent = |bytes: &[u8]| -> String {
            let each = bytes.iter().map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
                byte => format!("%{byte:02x}"),
            });
            each.collect()
        };
        let html = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&#34;")
        };
        let both = format!("bob:{PASSWORD}");
        for secret in [
            TOKEN.as_bytes(),
            PASSWORD.as_bytes(),
            both.as_bytes(),
            VALUE,
        ] {
            let (text, base64) = (plain(secret), BASE64.encode(secret));
            let as_latin: String = latin(secret);
            for form in [
                text.clone(),
                as_latin.clone(),
                base64.clone(),
                BASE64_IN_URL.encode(secret),
                percent(base64.as_bytes()),
                json(&text),
                json(&json(&text)),
                json(&as_latin),
                ascii(&text),
                percent(secret),
                percent(secret).replace('+', "%20"),
                percent(json(&as_latin).as_bytes()),
                html(&text),
                html(&json(&text)),
            ] {
                let said = hidden(&format!("bad {form} was given to the server"));
                assert!(
                    said.starts_with("bad ")
                        && said.ends_with(" was given to the server")
                        && said.contains("(hidden)"),
                    "{form}: {said}"
                );
                let rest = said.replace("(hidden)", "");
                for part in ["s3cr3t", "hunter", "v4lue", "cret", "tok", base64.as_str()] {
                    assert!(!rest.contains(part), "{form}: {said}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "failed to lock key \"locks/k\", lock is already held",
            "s3cr3t",
            "100% &amp; \\ \\u12 \\u00zz %4 %+1 &#xfffffff; &; é",
            "",
        ] {
            assert_eq!(hidden(text), text);
        }
        let [token, both] = ["abc", "u:pw"].map(|text| Secret(text.to_owned()));
        let said = Secrets::new(Some(&token), Some(&both)).hide(Some(b"x"), "abc pw x u:pw");
        assert_eq!(said, "abc pw x (hidden)");
    }

    #[test]
    fn what_is_cut_off_or_endless() {
        assert_eq!(hidden("bad token s3cr3t/t"), "bad token (hidden)");
        assert_eq!(hidden("bad token s3cr"), "bad token s3cr");
        let said = hidden(&format!("{}{TOKEN}", "é%41".repeat(100_000)));
        assert!(said.len() <= LONGEST_TEXT && !said.contains("s3cr3t"));
        let long = "v".repeat(500_000);
        let said = Secrets::default().hide(Some(long.as_bytes()), &format!("bad {long}"));
        assert_eq!(said, "bad (hidden)");
    }
}
