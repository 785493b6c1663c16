//! Durations as Go writes them, such as `180s` or `1h30m`. Consul stores the TTL of a session in this form.

use std::time::Duration;

/// None: the text is no duration, or one of more than 584 years.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut ns: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, more) = rest.split_at_checked(number_ends)?;
        let unit_ends = more.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, more) = more.split_at_checked(unit_ends.unwrap_or(more.len()))?;
        ns = ns.checked_add(product(number, ns_of(unit)?)?)?;
        rest = more;
    }
    (!text.is_empty()).then_some(Duration::from_nanos(ns))
}

/// A number with digits before its point, and perhaps after it, times `unit`.
fn product(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut product = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        product = product.checked_add(place * u64::from(digit.to_digit(10)?))?;
    }
    Some(product)
}

fn ns_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read_and_nothing_else() {
        for (text, ms) in [
            ("180s", 180_000),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("24h0m0s", 86_400_000),
            ("10.5s", 10_500),
            ("1m0.25s", 60_250),
            ("15000ms", 15_000),
            ("0.1000009999999999999999s", 100),
        ] {
            let read = parse(text).map(|read| read.as_millis());
            assert_eq!(read, Some(ms), "{text}");
        }
        for text in [
            "", "s", "10", "10 s", "-10s", "10x", ".s", "1.2.3s", "9e99s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("1.5us2ns"), Some(Duration::from_nanos(1502)));
        assert_eq!(
            parse("9223372036s"),
            Some(Duration::from_secs(9_223_372_036))
        );
        assert_eq!(parse(&format!("{}s", "9".repeat(400))), None);
    }
}
