//! The value that a lock stores by default (`locked_at`), and what a reader may believe of it.

use std::borrow::Cow;

use serde::Deserialize;

use super::messages::Value;

/// The object that is stored; a program may have added members.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    locked_at: Cow<'a, str>,
}

/// `{"locked_at":"2026-11-23T17:20:05.123Z"}`: the wall-clock time of the attempt.
pub(crate) fn stored(unix_ms: i64) -> Value {
    let json = ["{\"locked_at\":\"", &rfc3339(unix_ms), "\"}"].concat();
    Value(json.into_bytes().into())
}

/// When the holder claims to have taken the lock: the text of `locked_at`, and the seconds since by the
/// reader's clock. Only a well-formed time counts, so nothing else of a stored value can reach a message.
pub(crate) fn claimed(value: &Value, unix_ms: i64) -> Option<(String, i64)> {
    let then = claimed_at(value)?;
    Some((rfc3339(then), unix_ms.saturating_sub(then).div_euclid(1000)))
}

/// The same time in milliseconds since 1970-01-01 UTC.
pub(crate) fn claimed_at(value: &Value) -> Option<i64> {
    let stored: Stored<'_> = serde_json::from_slice(&value.0).ok()?;
    parse_rfc3339(&stored.locked_at)
}

/// A time as RFC 3339 writes it, in UTC, with milliseconds; of a year beyond 9999 the last four digits.
fn rfc3339(unix_ms: i64) -> String {
    let (days, ms_of_day) = (
        unix_ms.div_euclid(86_400_000),
        unix_ms.rem_euclid(86_400_000),
    );
    let (year, month, day) = civil_from_days(days);
    let (s, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    // Each acquire writes a time: digits cost less than seven numbers of a format.
    let two = |number| [digit(number / 10), digit(number)];
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year));
    let ([o1, o2], [d1, d2], [h1, h2]) = (two(month), two(day), two(h));
    let ([m1, m2], [s1, s2], [f2, f3]) = (two(m), two(s), two(ms));
    let f1 = digit(ms / 100);
    let bytes = [
        y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.',
        f1, f2, f3, b'Z',
    ];
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last digit of a number.
fn digit(number: i64) -> u8 {
    b'0' + number.rem_euclid(10) as u8
}

/// The one form that [`rfc3339`] writes, back to milliseconds.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape != "0000-00-00T00:00:00.000Z" {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let unix_ms = days * 86_400_000 + seconds * 1000 + number(20, 23)?;
    // A day such as February 31 does not come back as it went in.
    (rfc3339(unix_ms) == text).then_some(unix_ms)
}

/// The Gregorian date of a day counted from 1970-01-01, by whole 400-year cycles that start on
/// March 1 of year 0, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (cycle, day_of_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day, counted from 1970-01-01, of a Gregorian date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * 146_097 + day_of_cycle - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_454_405_123, "2026-11-23T17:20:05.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
            assert_eq!(parse_rfc3339(text), Some(unix_ms));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in -146_097..146_097 {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
        }
    }

    #[test]
    fn only_a_time_is_believed() {
        let value = |s: &str| Value(s.as_bytes().to_vec().into());
        assert_eq!(
            claimed(&stored(5_000), 65_900),
            Some(("1970-01-01T00:00:05.000Z".to_owned(), 60))
        );
        for no in [
            "",
            "hunter2",
            "{\"locked_at\":\"hunter2\"}",
            "{\"locked_at\":\"2026-02-31T00:00:00.000Z\"}",
            "{\"locked_at\":5}",
        ] {
            assert_eq!(claimed(&value(no), 0), None, "{no}");
        }
    }
}
