//! Text in and out: NUL-terminated UTF-8 in C, `str` in Rust.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::slice;

use super::null;
use crate::error::{Error, Status};
use crate::key::MAX_VALUE;

/// The longest name or key that the host may pass, in bytes.
pub(super) const MAX_NAME: usize = 64 * 1024;

/// The longest text of an option that the host may pass, in bytes. The table of options has the
/// limit of each option.
pub(super) const MAX_OPTION: usize = 1024 * 1024;

/// Reads a text from C: not NULL, at most `max` bytes, UTF-8. `what` is its name in a refusal.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and does not change during `'a`.
pub(super) unsafe fn text<'a>(
    text: *const c_char,
    what: &str,
    max: usize,
) -> Result<&'a str, Error> {
    if text.is_null() {
        return Err(null(what));
    }
    // SAFETY: not NULL, so NUL-terminated by the caller's contract.
    let len = unsafe { libc::strnlen(text, max.saturating_add(1)) };
    if len > max {
        return Err(refused(format!("{what} is longer than {max} bytes")));
    }
    // SAFETY: strnlen just read these bytes.
    let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), len) };
    std::str::from_utf8(bytes).map_err(|broken| {
        refused(format!(
            "{what} is not UTF-8: byte {} is wrong",
            broken.valid_up_to()
        ))
    })
}

/// Reads bytes from C; NULL stands for no bytes when `len` is 0.
///
/// # Safety
/// `bytes` is NULL or points to `len` bytes that do not change during `'a`.
pub(super) unsafe fn bytes<'a>(
    bytes: *const c_void,
    len: usize,
    what: &str,
) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(null(what));
    }
    if isize::try_from(len).is_err() {
        return Err(refused(format!(
            "{what}: {len} bytes are more than memory can hold"
        )));
    }
    // SAFETY: not NULL and `len` bytes long by the caller's contract; no longer than isize::MAX.
    Ok(unsafe { slice::from_raw_parts(bytes.cast::<u8>(), len) })
}

/// Reads a value, and refuses one that is too long to be stored.
///
/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn value_bytes<'a>(value: *const c_void, len: usize) -> Result<&'a [u8], Error> {
    if len > MAX_VALUE {
        return Err(refused(format!(
            "value: {len} bytes are more than {MAX_VALUE}"
        )));
    }
    // SAFETY: the caller's contract.
    unsafe { bytes(value, len, "value") }
}

/// Reads a key of the KV store and a value for it.
///
/// # Safety
/// As for [`text`] and [`bytes`].
pub(super) unsafe fn key_and_value<'a>(
    key: *const c_char,
    value: *const c_void,
    len: usize,
) -> Result<(&'a str, &'a [u8]), Error> {
    // SAFETY: the caller's contract.
    unsafe { Ok((text(key, "key", MAX_NAME)?, value_bytes(value, len)?)) }
}

/// Copies a text to C: at most `cap` bytes with the NUL, cut where a character ends. Returns how
/// long the whole text is, without the NUL.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes.
pub(super) unsafe fn copy_text(text: &str, buf: *mut c_char, cap: usize) -> usize {
    let Some(room) = cap.checked_sub(1).filter(|_| !buf.is_null()) else {
        return text.len();
    };
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: `end` is inside `text`, and `end` + 1 bytes fit into `buf`.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), buf.cast::<u8>(), end);
        buf.add(end).write(0);
    }
    text.len()
}

/// Copies bytes to C, at most `cap` of them. Returns how many there are.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes.
pub(super) unsafe fn copy_bytes(bytes: &[u8], buf: *mut c_void, cap: usize) -> usize {
    if !buf.is_null() {
        // SAFETY: no more than there are, no more than fit.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buf.cast::<u8>(), cap.min(bytes.len())) };
    }
    bytes.len()
}

fn refused(message: String) -> Error {
    Error::new(Status::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(source: &str, cap: usize) -> (usize, Vec<u8>) {
        let mut buf = vec![0xff_u8; 16];
        // SAFETY: `cap` is at most 16 in these tests.
        let len = unsafe { copy_text(source, buf.as_mut_ptr().cast(), cap) };
        (len, buf)
    }

    #[test]
    fn text_is_cut_where_a_character_ends() {
        assert_eq!(
            copied("abc", 4),
            (3, [b"abc\0".as_slice(), &[0xff; 12]].concat())
        );
        assert_eq!(copied("abc", 3).1[..4], *b"ab\0\xff");
        assert_eq!(copied("aä", 3).1[..4], *b"a\0\xff\xff");
        assert_eq!(copied("aä", 4).1[..5], *b"a\xc3\xa4\0\xff");
        assert_eq!(copied("ä", 1).1[..2], *b"\0\xff");
        assert_eq!(copied("ä", 0), (2, vec![0xff; 16]));
    }

    #[test]
    fn text_in_is_checked() {
        // SAFETY: the literals are NUL-terminated.
        unsafe {
            assert_eq!(text(c"key".as_ptr(), "key", 3), Ok("key"));
            assert_eq!(text(c"".as_ptr(), "key", 3), Ok(""));
            for (broken, why) in [
                (c"long", "longer than 3 bytes"),
                (c"a\xff", "byte 1 is wrong"),
            ] {
                let error = text(broken.as_ptr(), "key", 3).expect_err(why);
                assert_eq!(error.status, Status::InvalidArgument);
                assert!(error.message.contains(why), "{}", error.message);
            }
            assert_eq!(
                text(ptr::null(), "key", 3).expect_err("NULL").message,
                "key is NULL"
            );
        }
    }
}
