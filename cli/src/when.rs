//! Times and durations, as people read and write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The duration that an argument says. A number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}, as in 500ms, 30s, 5m, 1h30m"))
}

/// A duration in its two largest units, such as `3m 20s`.
pub fn shown(time: Duration) -> String {
    let time = match time.as_secs() {
        0 => Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0)),
        seconds => Duration::from_secs(seconds),
    };
    let all = humantime::format_duration(time).to_string();
    all.split(' ').take(2).collect::<Vec<&str>>().join(" ")
}

/// A time such as `2026-11-26 14:55:02 UTC, 3m 20s ago`, in milliseconds since 1970.
pub fn since(unix_ms: i64) -> String {
    let Some(then) = time_of(unix_ms) else {
        return format!("{unix_ms} ms after 1970");
    };
    let text = humantime::format_rfc3339_seconds(then).to_string();
    let text = text.replace('T', " ").replace('Z', " UTC");
    match SystemTime::now().duration_since(then) {
        Ok(time) => format!("{text}, {} ago", shown(time)),
        // The clock of the holder is ahead of this one.
        Err(error) => format!("{text}, {} from now", shown(error.duration())),
    }
}

/// A time in milliseconds since 1970, as ISO 8601 has it.
pub fn iso(unix_ms: i64) -> Option<String> {
    let text = humantime::format_rfc3339_millis(time_of(unix_ms)?);
    Some(text.to_string())
}

/// None: the time is before 1970 or after 9999.
fn time_of(unix_ms: i64) -> Option<SystemTime> {
    const LAST: u64 = 253_402_300_799_000;
    let ms = u64::try_from(unix_ms).ok().filter(|ms| *ms <= LAST)?;
    Some(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0s"),
            (7, "7ms"),
            (1_234, "1s"),
            (200_000, "3m 20s"),
            (90_061_000, "1day 1h"),
        ] {
            assert_eq!(shown(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_number_alone_is_seconds() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err_and(|why| why.contains("as in")));
        for wrong in ["", "-1", "5 parsecs", "nan", "inf", "1e300"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_any_size_is_shown() {
        assert!(since(951_782_400_000).starts_with("2000-02-29 00:00:00 UTC, "));
        assert!(since(4_107_542_400_000).ends_with(" from now"));
        assert_eq!(since(-5), "-5 ms after 1970");
        assert_eq!(iso(i64::MAX), None);
        assert_eq!(
            iso(951_782_400_007).as_deref(),
            Some("2000-02-29T00:00:00.007Z")
        );
    }
}
