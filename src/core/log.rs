//! What the core has logged already, and how often it may log the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::messages::Key;
use crate::clock::Time;

/// How many pairs of a subject and a key are remembered. Beyond them all are forgotten, and may be logged
/// again.
const REMEMBERED: usize = 1024;

/// What the core has logged already.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Said {
    once: BTreeSet<(&'static str, Key)>,
    lately: BTreeMap<&'static str, Time>,
}

/// How often the core logs the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Often<'a> {
    /// Each time.
    Always,
    /// Once for each key.
    OncePerKey(&'static str, &'a Key),
    /// Once in that time.
    Every(&'static str, Duration),
}

impl Said {
    pub(super) fn is_due(&mut self, often: Often<'_>, now: Time) -> bool {
        match often {
            Often::Always => true,
            Often::OncePerKey(what, key) => {
                if self.once.len() >= REMEMBERED {
                    self.once.clear();
                }
                self.once.insert((what, key.clone()))
            }
            Often::Every(what, pause) => {
                let due = self
                    .lately
                    .get(what)
                    .is_none_or(|at| now.since(*at) >= pause);
                if due {
                    self.lately.insert(what, now);
                }
                due
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn often_is_kept() {
        let mut said = Said::default();
        let (a, b): (Key, Key) = ("a".into(), "b".into());
        let later = |secs| Time::default() + Duration::from_secs(secs);
        assert!(said.is_due(Often::OncePerKey("x", &a), later(0)));
        assert!(!said.is_due(Often::OncePerKey("x", &a), later(100)));
        assert!(said.is_due(Often::OncePerKey("x", &b), later(0)));
        assert!(said.is_due(Often::OncePerKey("y", &a), later(0)));
        assert!(said.is_due(Often::Every("x", PAUSE), later(0)));
        assert!(!said.is_due(Often::Every("x", PAUSE), later(9)));
        assert!(said.is_due(Often::Every("x", PAUSE), later(10)));
        assert!(said.is_due(Often::Always, later(0)) && said.is_due(Often::Always, later(0)));
        for number in 0..3 * REMEMBERED {
            let key: Key = number.to_string().into();
            assert!(said.is_due(Often::OncePerKey("x", &key), later(0)));
            assert!(said.once.len() <= REMEMBERED);
        }
    }
}
