//! Durations as Go writes them, such as `180s` or `1h30m`. Consul stores the TTL of a session in this form.

use std::time::Duration;

/// None: the text is no duration.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, more) = rest.split_at_checked(number_ends)?;
        let unit_ends = more.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, more) = more.split_at_checked(unit_ends.unwrap_or(more.len()))?;
        seconds += number.parse::<f64>().ok()? * seconds_of(unit)?;
        rest = more;
    }
    let seconds = Some(seconds).filter(|_| !text.is_empty())?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
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
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "", "s", "10", "10 s", "-10s", "10x", ".s", "1.2.3s", "9e99s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("{}s", "9".repeat(400))), None);
    }
}
