//! The texts of the C boundary: any bytes up to a NUL as keys, names and values, and buffers of any size. Nothing is sent.
//!
//! An input: the size of a buffer in one byte, and lines for a key, an option, and its value.

use std::ffi::{CString, c_char};
use std::ptr;

use super::head;
use crate::error::Status;
use crate::ffi::error::{
    consul_lock_error_code, consul_lock_error_free, consul_lock_error_message,
};
use crate::ffi::lock::{
    consul_lock_free, consul_lock_key, consul_lock_new, consul_lock_put_if_held,
};
use crate::ffi::objects::ErrorHandle;
use crate::ffi::options::{
    consul_lock_options_free, consul_lock_options_new, consul_lock_options_set,
    consul_lock_options_set_bytes,
};
use crate::ffi::several::{consul_lock_key_at, consul_lock_keys_count, consul_lock_new_all};

pub(super) fn property(data: &[u8]) {
    let Some((room, rest)) = data.split_first() else {
        return;
    };
    let (key, rest) = head(rest);
    let (name, value) = head(rest);
    let [key, name, value] = [key, name, value].map(|bytes| {
        let end = bytes.iter().position(|byte| *byte == 0);
        CString::new(&bytes[..end.unwrap_or(bytes.len())]).expect("no NUL")
    });
    // SAFETY: all texts end in NUL and all objects are live; each is freed once, at the end.
    unsafe {
        let mut error: *mut ErrorHandle = ptr::null_mut();
        let options = consul_lock_options_new();
        let status = consul_lock_options_set(options, name.as_ptr(), value.as_ptr(), &mut error);
        told(status, error);
        let bytes = value.as_bytes();
        let status = consul_lock_options_set_bytes(
            options,
            c"value".as_ptr(),
            bytes.as_ptr().cast(),
            bytes.len(),
            &mut error,
        );
        told(status, error);
        let lock = consul_lock_new(key.as_ptr(), ptr::null(), &mut error);
        assert_eq!(lock.is_null(), !error.is_null());
        told(consul_lock_error_code(error), error);
        if !lock.is_null() {
            let whole = format!("locks/ephemeral/{}", key.to_str().expect("UTF-8"));
            let mut buf = [0xff_u8; 256];
            let size = consul_lock_key(lock, buf.as_mut_ptr().cast(), usize::from(*room));
            assert_eq!(size, whole.len());
            is_copied(&whole, &buf, usize::from(*room));
            let to = key.as_ptr();
            let status = consul_lock_put_if_held(lock, to, ptr::null(), 0, &mut error);
            assert_ne!(status, Status::Ok);
            told(status, error);
            consul_lock_free(lock);
        }
        let keys: [*const c_char; 3] = [key.as_ptr(), name.as_ptr(), value.as_ptr()];
        let all = consul_lock_new_all(keys.as_ptr(), keys.len(), options, &mut error);
        assert_eq!(all.is_null(), !error.is_null());
        told(consul_lock_error_code(error), error);
        let count = consul_lock_keys_count(all);
        assert!(count <= keys.len());
        for index in 0..=count {
            let size = consul_lock_key_at(all, index, ptr::null_mut(), 0);
            assert_eq!(size > 0, index < count);
        }
        consul_lock_free(all);
        consul_lock_options_free(options);
    }
}

/// Frees the error, which says something if there is one.
///
/// # Safety
/// `error` is NULL or a live error.
unsafe fn told(status: Status, error: *mut ErrorHandle) {
    assert_eq!(error.is_null(), status == Status::Ok);
    assert_ne!(status, Status::Internal);
    // SAFETY: the caller's contract; the message lives as long as the error.
    unsafe {
        let message = std::ffi::CStr::from_ptr(consul_lock_error_message(error));
        let message = message.to_str().expect("UTF-8");
        assert!(super::is_fit_to_show(message), "{message}");
        assert_eq!(message.is_empty(), error.is_null());
        consul_lock_error_free(error);
    }
}

/// What C finds in its buffer: a beginning of the text that ends at a character, a NUL, and nothing behind it.
fn is_copied(whole: &str, buf: &[u8; 256], room: usize) {
    assert!(buf[room..].iter().all(|byte| *byte == 0xff));
    if let Some(end) = buf[..room].iter().position(|byte| *byte == 0) {
        let copied = std::str::from_utf8(&buf[..end]).expect("whole characters");
        assert!(whole.starts_with(copied));
        assert!(end == whole.len() || room - end <= 4);
    } else {
        assert_eq!(room, 0);
    }
}
