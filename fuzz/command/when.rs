//! Durations and times of the command: a duration that is taken can be shown, what is shown is a duration that is no longer,
//! and a time is shown as it came.

use std::time::{Duration, UNIX_EPOCH};

use crate::when::{duration, iso, shown, since};

pub(super) fn property(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        let unix_ms = i64::from_le_bytes(*bytes);
        is_shown(unix_ms);
        // The years from 1970 to 9999.
        is_shown(unix_ms.rem_euclid(253_402_300_800_000));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match duration(text) {
        Ok(taken) => {
            let again = shown(taken);
            assert!(again.split(' ').count() <= 2, "{again}");
            let again = duration(&again).expect("what is shown");
            assert!(
                again <= taken && taken - again < longest_rest(taken),
                "{text:?}: {again:?}"
            );
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// What the third largest unit and those below it have together.
fn longest_rest(time: Duration) -> Duration {
    match time.as_secs() {
        0 => Duration::from_millis(1),
        1..3_600 => Duration::from_secs(1),
        3_600..86_400 => Duration::from_secs(60),
        86_400..2_630_016 => Duration::from_secs(3_600),
        // A month has 30.44 days.
        _ => Duration::from_secs(2_630_016),
    }
}

fn is_shown(unix_ms: i64) {
    assert!(!since(unix_ms).chars().any(char::is_control));
    if let Some(text) = iso(unix_ms) {
        let time = humantime::parse_rfc3339(&text).expect("a time");
        let ms = time.duration_since(UNIX_EPOCH).expect("after 1970");
        assert_eq!(Ok(unix_ms), i64::try_from(ms.as_millis()));
    }
}
