//! When a holder took its lock, out of a value that any program may have stored: a time that is believed is a time that
//! the library writes, and nothing else of the value can reach a message.

use crate::core::locked_at::{claimed, claimed_at, stored};
use crate::core::messages::Value;

pub(super) fn property(data: &[u8]) {
    let value = Value(data.to_vec().into());
    if let Some(unix_ms) = claimed_at(&value) {
        assert_eq!(claimed_at(&stored(unix_ms)), Some(unix_ms));
        let (text, age) = claimed(&value, unix_ms + 5_999).expect("the same");
        assert_eq!(age, 5);
        assert!(text.len() == 24 && text.is_ascii(), "{text}");
    }
    if let Ok(bytes) = <[u8; 8]>::try_from(data) {
        // The years from 0 to 9999.
        let unix_ms =
            i64::from_le_bytes(bytes).rem_euclid(315_569_520_000_000) - 62_167_219_200_000;
        assert_eq!(claimed_at(&stored(unix_ms)), Some(unix_ms));
    }
}
