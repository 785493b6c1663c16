//! The rules for keys, and how much Consul takes at once.

use std::sync::Arc;

use crate::error::{Error, Status};

/// The full key of a lock in Consul's KV store.
pub type Key = Arc<str>;

/// The flags of lock keys: `api.LockFlagValue` of Consul's Go client, which refuses to wait for a lock
/// whose key has others (ErrLockConflict).
pub(crate) const LOCK_FLAGS: u64 = 3_304_740_253_564_472_344;

/// The longest stored value, in bytes. (Consul does not answer a transaction of more than 512 KiB,
/// base64 included: it closes the connection.)
pub const MAX_VALUE: usize = 390_000;

/// The longest stored value of a lock that shares its key, in bytes. (An exclusive waiter reads the
/// values of all that share the key.)
pub const MAX_SHARED_VALUE: usize = 512;

/// The largest number of keys of a lock. (Consul takes 64 operations in a transaction, and the end
/// of a wait in line needs two for each key.)
pub const MAX_KEYS: usize = 30;

/// The longest full key, in bytes as a URL has it. Consul has no limit of its own below that of a
/// request. Other clients and proxies make no URL of more than 64 KiB.
const MAX_KEY: usize = 60_000;

/// Whether a URL takes the byte as it is (RFC 3986, section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The length of a key in a URL.
fn in_url(key: &str) -> usize {
    let plain = |b: u8| is_unreserved(b) || b == b'/';
    key.bytes().map(|b| if plain(b) { 1 } else { 3 }).sum()
}

/// The longest body of a transaction, in bytes: Consul closes the connection on a longer one.
pub(crate) const MAX_TRANSACTION: usize = 512 << 10;

/// The largest size of an operation of a transaction without its key and its value.
const FRAME: usize = 256;

/// The size of a transaction with a value and an operation for each key, in bytes.
pub(crate) fn in_transaction<'a>(
    value_len: usize,
    keys: impl IntoIterator<Item = &'a str>,
) -> usize {
    let escapes = |key: &str| key.bytes().filter(|b| matches!(b, b'"' | b'\\')).count();
    let in_json = |key: &str| key.len() + escapes(key) + FRAME;
    value_len.div_ceil(3) * 4 + keys.into_iter().map(in_json).sum::<usize>()
}

pub(crate) fn too_large(value_len: usize) -> Error {
    let message = format!(
        "value: {value_len} bytes are too many; it takes at most {MAX_VALUE}, less with very long \
         keys (Consul takes 512 KiB in a transaction)"
    );
    Error::new(Status::InvalidArgument, message)
}

/// Puts a key into the pattern, and refuses a key that Consul would change or refuse. Consul's HTTP API
/// cleans paths (it answers `//`, `.` and `..` segments and a leading `/` with a redirect). It refuses
/// characters that cannot be printed (since 1.0.3, by Go's `unicode.IsPrint`), and since 1.22 outer spaces,
/// and `..` or a space that an encoding hides. The line of waiters stands below a key, at `.fifo`, and those who share
/// it at `.share`.
pub(crate) fn full(pattern: &str, key: &str) -> Result<Key, Error> {
    let full = pattern.replacen("%s", key, 1);
    match problem_of(&full, key) {
        None => Ok(full.into()),
        Some(problem) => Err(bad_key(&full, "locked", problem)),
    }
}

/// Checks a key that is not put into the pattern, by the same rules.
pub(crate) fn plain(key: &str) -> Result<Key, Error> {
    match problem_of(key, key) {
        None => Ok(key.into()),
        Some(problem) => Err(bad_key(key, "written", problem)),
    }
}

fn bad_key(key: &str, to_be: &str, problem: &str) -> Error {
    let shown: String = key
        .chars()
        .flat_map(char::escape_default)
        .take(80)
        .collect();
    let message = format!("the key \"{shown}\" cannot be {to_be}: {problem}");
    Error::new(Status::InvalidArgument, message)
}

/// As Go's `unicode.IsPrint`: no space but the plain one, no invisible or unassigned character. Rust's standard
/// library escapes such characters; it escapes others only at the beginning of a text.
fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    ['a', c].iter().collect::<String>().escape_debug().nth(2) != Some('u')
}

/// Whether a key that can be percent-decoded once more has `..` or a space then.
fn hides_dots_or_space(key: &str) -> bool {
    if !key.contains('%') {
        return false;
    }
    let mut plain = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        plain.push(match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return false,
            },
            byte => byte,
        });
    }
    plain.len() < key.len() && (plain.contains(&b' ') || plain.windows(2).any(|two| two == b".."))
}

fn problem_of(full: &str, key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("it is empty")
    } else if full.len() > MAX_KEY / 3 && in_url(full) > MAX_KEY {
        Some("it is longer than 60000 bytes (in a URL, where other characters count as three)")
    } else if full.starts_with('/') {
        Some("it begins with a slash")
    } else if full.trim() != full || key.trim() != key {
        Some("it begins or ends with a space")
    } else if full.chars().any(char::is_control) {
        Some("it has a control character")
    } else if !full.chars().all(is_print) {
        Some("it has a character that cannot be printed, or a space other than the plain one")
    } else if full.contains("//") {
        Some("it has an empty segment (//)")
    } else if let Some(problem) = full.split('/').find_map(problem_of_segment) {
        Some(problem)
    } else if hides_dots_or_space(full) {
        Some(
            "it is percent-encoded, as by %2e or %20, and hides .. or a space, which Consul refuses since 1.22",
        )
    } else {
        None
    }
}

fn problem_of_segment(segment: &str) -> Option<&'static str> {
    match segment {
        "." | ".." => Some("it has a segment . or .., which Consul would take for a path"),
        ".fifo" => Some("the segment .fifo is reserved"),
        ".share" => Some("the segment .share is reserved"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_consul_keeps_as_they_are() {
        let keys = "a|a/b|a/|a b|100%|a?b&c=d#e|ü/日本|a+b|a\u{301}|👍🏽|\"\\'|...|.a|%s|a..b|a%41|%2e%2e/%|50% off|a%2Fb.%41.";
        for key in keys.split('|') {
            let whole = full("locks/ephemeral/%s", key).expect(key);
            assert_eq!(&*whole, format!("locks/ephemeral/{key}"));
        }
        assert_eq!(&*full("100%/%s/%d", "k").expect("k"), "100%/k/%d");
    }

    #[test]
    fn keys_that_it_would_change_or_refuse() {
        let long = "x".repeat(MAX_KEY + 1);
        let keys = "|/a|a//b|a//|./a|a/./b|a/../b|..|a/.| a|a |%2e%2E/a|a/.%2e/b|a..b%41|a%20b|a b%41|a\n|a\0b|\
                    \u{85}|a\u{a0}b|a\u{ad}b|a\u{200b}|a\u{2028}b|a\u{3000}b|\u{feff}a|a\u{e000}|a\u{378}|a/.fifo/b|.fifo|a/.share/b|.share";
        for key in keys.split('|').chain([long.as_str()]) {
            for pattern in ["%s", "locks/%s"] {
                let error = full(pattern, key).expect_err(key);
                assert_eq!(error.status, Status::InvalidArgument);
                assert!(error.message.len() < 300 && !error.message.contains('\n'));
            }
        }
        assert!(full("/%s", "a").is_err());
    }
}
