//! How often the library asks Consul the same: at once after a silence, and some ten times a second in the long run,
//! whatever the answers say.

use std::time::Duration;

use crate::clock::Time;

/// One more question is allowed after each interval.
const INTERVAL: Duration = Duration::from_millis(100);

/// So many questions are allowed in a row: a waiter that loses one race after another needs them.
const IN_A_ROW: u32 = 20;

/// A bucket of tokens, as the instant at which it is full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    full_at: Time,
}

impl Pace {
    /// Counts one more question, and answers when it may be sent.
    pub(super) fn next(&mut self, now: Time) -> Time {
        let full_at = self.full_at.max(now) + INTERVAL;
        self.full_at = full_at;
        now.max(full_at - INTERVAL * IN_A_ROW)
    }

    /// The last question was worth it, and does not count.
    pub(super) fn forgive(&mut self) {
        self.full_at = self.full_at - INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(60_000_000_000);

    #[test]
    fn after_a_silence_a_question_waits_for_nothing() {
        let mut pace = Pace::default();
        for second in 0..100 {
            let now = START + Duration::from_secs(second);
            assert_eq!(pace.next(now), now);
        }
    }

    #[test]
    fn answers_at_once_are_asked_for_ten_times_a_second() {
        let (mut pace, mut now, mut asked) = (Pace::default(), START, 0);
        while now.since(START) < Duration::from_secs(30) {
            now = pace.next(now);
            asked += 1;
        }
        assert_eq!(asked, 30 * 10 + IN_A_ROW);
        // A second of silence is worth ten at once.
        now = now + Duration::from_secs(1);
        assert!((0..10).all(|_| pace.next(now) == now));
        assert!(pace.next(now) > now);
    }

    #[test]
    fn what_was_worth_it_does_not_count() {
        let mut pace = Pace::default();
        for _ in 0..10_000 {
            assert_eq!(pace.next(START), START);
            pace.forgive();
        }
    }
}
