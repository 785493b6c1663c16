//! The flight recorder of a lock: its last events and actions, kept in a few bytes each. The library prints it
//! when the lock is lost or an outcome is UNCONFIRMED. docs/guide.md describes the text.
//!
//! An entry holds kinds, numbers and times, and never a value or a token. Of a session it holds a hash, which
//! is printed as a small number.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use super::interface::{Action, Call, LockSpec, Patience, Upkeep};
use super::life::LockEvent;
use super::messages::{Answer, Below, Fault, Key, KeyRow, Request, SessionId};
use super::watch::Observation;
use crate::clock::Time;
use crate::error::{Error, Status};

/// Entries kept.
const MOST: u8 = 64;

/// The bytes of the longest entry: two, and eight numbers of ten bytes at most.
const LONGEST_ENTRY: usize = 2 + 8 * 10;

/// Enough for the entries of a lock that only waits, in bytes.
const FIRST_ROOM: usize = 48;

/// A line of the log is not much longer.
const LONGEST_LINE: usize = 900;

macro_rules! words {
    ($($name:ident)*) => {
        /// What an entry says.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum Word { $($name,)* }

        impl Word {
            const NAMES: &[&str] = &[$(stringify!($name),)*];
        }
    };
}

words! {
    Acquire Cancel Renew Check Downgrade Upgrade Put Delete Release LetGo Abandon Free Turn Alarm Undone
    SawRow SawNames SawGone SawNothing SawFailed SawRefused
    Created NoNode Registered Found Renewed Destroyed Described Locked IsHeld Delayed Changed Unlocked Proved NotOurs
    Written Line Exists NoTicket Stale Cleared Row Names
    NotApplied Unknown SessionGone TooLarge Final
    AskCreate AskRegister AskFind AskRenew AskDestroy AskDescribe AskLock AskUnlock AskSurvey AskLine AskJoin
    AskTake AskClear AskProve AskDowngrade AskUpgrade AskWrite AskRead
    Tell View Lost
}

impl Word {
    /// `AskCreate` is printed as `ask-create`.
    fn text(byte: u8) -> String {
        let name = Word::NAMES.get(usize::from(byte)).copied();
        let mut text = String::new();
        for letter in name.unwrap_or_default().chars() {
            if letter.is_ascii_uppercase() && !text.is_empty() {
                text.push('-');
            }
            text.push(letter.to_ascii_lowercase());
        }
        text
    }
}

/// The last entries of one lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub(super) struct Recorder {
    /// For each entry: its length, the word, the microseconds since the entry before, its numbers.
    bytes: VecDeque<u8>,
    entries: u8,
    /// When the last entry was made.
    last: Time,
}

/// The entries have a text of their own ([`Recorder::lines`]), and the explorer writes the Debug text of a core at each
/// step.
impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// A number of an entry, below 2^63. The lowest bit tells it from a session.
fn n(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(u64::MAX).min(u64::MAX >> 1) << 1
}

/// A session of an entry: a hash of its id (FNV-1a).
fn session(session: &SessionId) -> u64 {
    let hash = session.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    u64::from(hash) << 1 | 1
}

fn status(error: &Error) -> u64 {
    n(error.status as u64)
}

/// How many tickets the answer shows.
fn tickets(below: &[Below]) -> u64 {
    n(below.iter().map(|below| below.line.len()).sum::<usize>())
}

/// How many that share a key the answer shows.
fn sharers(below: &[Below]) -> u64 {
    n(below.iter().map(|below| below.sharers.len()).sum::<usize>())
}

/// The holder and the index of the last change; 0 where there is none.
fn of_row(row: Option<&KeyRow>) -> [u64; 2] {
    let holder = row.and_then(|row| row.session.as_ref());
    [
        holder.map_or(0, session),
        n(row.map_or(0, |row| row.modify_index)),
    ]
}

impl Recorder {
    /// Records what happens to the lock.
    pub(super) fn happens(&mut self, now: Time, event: &LockEvent) {
        match event {
            LockEvent::Call(call, what) => {
                let word = match what {
                    Call::Acquire(spec) => return self.acquire(now, n(call.0), spec),
                    Call::Cancel => Word::Cancel,
                    Call::Renew => Word::Renew,
                    Call::Check => Word::Check,
                    Call::Downgrade => Word::Downgrade,
                    Call::Upgrade(_) => Word::Upgrade,
                    Call::Write { value: Some(_), .. } => Word::Put,
                    Call::Write { value: None, .. } => Word::Delete,
                    Call::Release => Word::Release,
                    Call::LetGo => Word::LetGo,
                    Call::Abandon => Word::Abandon,
                    Call::Free => Word::Free,
                };
                self.put(now, word, &[n(call.0)]);
            }
            LockEvent::Reply {
                request, answer, ..
            } => match answer {
                Ok(answer) => self.answer(now, n(request.0), answer),
                Err(fault) => self.fault(now, n(request.0), fault),
            },
            LockEvent::First => self.put(now, Word::Turn, &[]),
            LockEvent::Alarm => self.put(now, Word::Alarm, &[]),
            LockEvent::Undone(confirmed) => self.put(now, Word::Undone, &[n(*confirmed)]),
            LockEvent::Saw(seen) => match seen {
                Observation::Row { row, .. } => self.put(now, Word::SawRow, &of_row(row.as_ref())),
                Observation::Names { count, index } => {
                    self.put(now, Word::SawNames, &[n(*count), n(*index)]);
                }
                Observation::Gone => self.put(now, Word::SawGone, &[]),
                Observation::Nothing => self.put(now, Word::SawNothing, &[]),
                Observation::Failed(error) => self.put(now, Word::SawFailed, &[status(error)]),
                Observation::Refused(error) => self.put(now, Word::SawRefused, &[status(error)]),
            },
        }
    }

    fn acquire(&mut self, now: Time, call: u64, spec: &LockSpec) {
        let patience = match spec.patience {
            Patience::Once => n(0_u64),
            Patience::Forever => n(u64::MAX),
            Patience::For(time) => n(time.as_millis()),
        };
        let (fair, monitor) = (n(spec.fair), n(spec.monitor));
        let upkeep = n(spec.upkeep != Upkeep::Off);
        let ttl = n(spec.ttl.as_millis());
        self.put(
            now,
            Word::Acquire,
            &[call, ttl, patience, fair, monitor, upkeep],
        );
    }

    fn answer(&mut self, now: Time, id: u64, answer: &Answer) {
        let (word, detail) = match answer {
            Answer::Created(id) => (Word::Created, Some(session(id))),
            Answer::NoNode => (Word::NoNode, None),
            Answer::Registered => (Word::Registered, None),
            Answer::Found(id) => (Word::Found, id.as_ref().map(session)),
            Answer::Renewed => (Word::Renewed, None),
            Answer::Destroyed => (Word::Destroyed, None),
            Answer::Described(_) | Answer::Node(_) | Answer::Agent(_) => (Word::Described, None),
            Answer::Locked { index, .. } => (Word::Locked, Some(n(*index))),
            Answer::Held => (Word::IsHeld, None),
            Answer::Delayed => (Word::Delayed, None),
            Answer::Changed => (Word::Changed, None),
            Answer::Unlocked { below } => (Word::Unlocked, Some(tickets(below))),
            Answer::Proved { below, .. } => (Word::Proved, Some(sharers(below))),
            Answer::NotOurs { taken } => (Word::NotOurs, Some(n(*taken))),
            Answer::Written => (Word::Written, None),
            Answer::Line(below) => {
                let numbers = [id, tickets(below), sharers(below)];
                return self.put(now, Word::Line, &numbers);
            }
            Answer::Exists(_) => (Word::Exists, None),
            Answer::NoTicket => (Word::NoTicket, None),
            Answer::Stale => (Word::Stale, None),
            Answer::Cleared => (Word::Cleared, None),
            Answer::Names { names, .. } => (Word::Names, Some(n(names.len()))),
            Answer::Row { row, .. } => {
                let [holder, index] = of_row(row.as_ref());
                return self.put(now, Word::Row, &[id, holder, index]);
            }
        };
        self.put_with(now, word, id, detail);
    }

    fn fault(&mut self, now: Time, id: u64, fault: &Fault) {
        let word = match fault {
            Fault::NotApplied(_) => Word::NotApplied,
            Fault::Unknown(_) => Word::Unknown,
            Fault::SessionGone(_) => Word::SessionGone,
            Fault::TooLarge(_) => Word::TooLarge,
            Fault::Final(_) => Word::Final,
        };
        self.put(now, word, &[id, status(fault.error())]);
    }

    /// Records what the lock does.
    pub(super) fn does(&mut self, now: Time, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Send { id, request, .. } => self.asks(now, n(id.0), request),
                Action::Tell { call, outcome } => {
                    let status = outcome.as_ref().err().map_or(0, status);
                    self.put(now, Word::Tell, &[n(call.0), status]);
                }
                Action::Publish { view, .. } => {
                    let left = view.lease_end.map(|end| end.since(now).as_millis());
                    self.put(
                        now,
                        Word::View,
                        &[n(view.phase as u64), n(left.unwrap_or(0))],
                    );
                }
                Action::Lost { why, .. } => self.put(now, Word::Lost, &[n(*why as u64)]),
                Action::Abort(_)
                | Action::Observed { .. }
                | Action::Forget(_)
                | Action::Log { .. } => {}
            }
        }
    }

    fn asks(&mut self, now: Time, id: u64, request: &Request) {
        let (word, detail) = match request {
            Request::CreateSession { .. } => (Word::AskCreate, None),
            Request::RegisterNode { .. } => (Word::AskRegister, None),
            Request::FindSession { .. } => (Word::AskFind, None),
            Request::RenewSession { session: s } => (Word::AskRenew, Some(session(s))),
            Request::DestroySession { session: s } => (Word::AskDestroy, Some(session(s))),
            Request::DescribeSession { session: s } => (Word::AskDescribe, Some(session(s))),
            Request::Lock { session: s, .. } => (Word::AskLock, Some(session(s))),
            Request::Unlock { session: s, .. } => (Word::AskUnlock, Some(session(s))),
            Request::Survey { .. } => (Word::AskSurvey, None),
            Request::ReadLine { .. } => (Word::AskLine, None),
            Request::Join { session: s, .. } => (Word::AskJoin, Some(session(s))),
            Request::Take { session: s, .. } => (Word::AskTake, Some(session(s))),
            Request::Clear { ahead, .. } => (Word::AskClear, Some(n(ahead.len()))),
            Request::Prove { session: s, .. } => (Word::AskProve, Some(session(s))),
            Request::Downgrade { session: s, .. } => (Word::AskDowngrade, Some(session(s))),
            Request::Upgrade { session: s, .. } => (Word::AskUpgrade, Some(session(s))),
            Request::Write { session: s, .. } => (Word::AskWrite, Some(session(s))),
            Request::Read { consistent, .. } => (Word::AskRead, Some(n(*consistent))),
            // The core asks these for all its locks together.
            Request::Watch { .. }
            | Request::WatchNames { .. }
            | Request::DescribeNode { .. }
            | Request::DescribeAgent => return,
        };
        self.put_with(now, word, id, detail);
    }

    fn put_with(&mut self, now: Time, word: Word, id: u64, detail: Option<u64>) {
        match detail {
            Some(detail) => self.put(now, word, &[id, detail]),
            None => self.put(now, word, &[id]),
        }
    }

    fn put(&mut self, now: Time, word: Word, numbers: &[u64]) {
        let after = match self.entries {
            0 => 0,
            _ => u64::try_from(now.since(self.last).as_micros()).unwrap_or(u64::MAX),
        };
        self.last = now;
        if self.entries >= MOST {
            let length = self.bytes.front().map_or(0, |length| usize::from(*length));
            self.bytes.drain(..length.min(self.bytes.len()));
            self.entries -= 1;
        }
        self.entries += 1;
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(FIRST_ROOM);
        }
        let mut entry = [0; LONGEST_ENTRY];
        let [first, second, rest @ ..] = &mut entry;
        *second = word as u8;
        let mut length = 2;
        let mut rest = rest.iter_mut();
        let mut put = |byte| {
            if let Some(place) = rest.next() {
                *place = byte;
                length += 1;
            }
        };
        for mut number in std::iter::once(after).chain(numbers.iter().copied()) {
            while number > 0x7f {
                put((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            put(number as u8);
        }
        *first = length;
        let entry = entry.get(..usize::from(length)).unwrap_or_default();
        self.bytes.extend(entry);
    }

    /// The entries in words, the oldest first.
    fn texts(&self) -> Vec<String> {
        let mut sessions = Vec::new();
        let mut bytes = self.bytes.iter().copied();
        let mut texts = Vec::new();
        while let Some(length) = bytes.next() {
            let mut entry = bytes.by_ref().take(usize::from(length).saturating_sub(1));
            let word = entry.next().map(Word::text).unwrap_or_default();
            let (mut number, mut shift) = (0, 0);
            let mut numbers = entry.filter_map(|byte| {
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                (byte < 0x80).then(|| {
                    shift = 0;
                    std::mem::take(&mut number)
                })
            });
            let after = numbers.next().unwrap_or_default();
            let mut text = format!("+{}.{:03} {word}", after / 1000, after % 1000);
            for number in numbers {
                // Writing to a string does not fail.
                let _ = if number & 1 == 0 {
                    write!(text, " {}", number >> 1)
                } else {
                    let known = sessions.iter().position(|known| *known == number);
                    let at = known.unwrap_or_else(|| {
                        sessions.push(number);
                        sessions.len() - 1
                    });
                    write!(text, " s{}", at + 1)
                };
            }
            texts.push(text);
        }
        texts
    }

    /// The record in lines of the log.
    pub(super) fn lines(&self, key: &Key) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for text in self.texts() {
            match parts.last_mut() {
                Some(part) if part.len() + text.len() + key.len() <= LONGEST_LINE => {
                    part.push_str(" | ");
                    part.push_str(&text);
                }
                _ => parts.push(text),
            }
        }
        let of = parts.len();
        let numbered = parts.iter().zip(1..);
        numbered
            .map(|(part, at)| format!("flight recorder of \"{key}\" part {at} of {of}: {part}"))
            .collect()
    }
}

/// The lock was lost, or an outcome is UNCONFIRMED: an operator will want the record.
pub(super) fn is_serious(actions: &[Action]) -> bool {
    actions.iter().any(|action| match action {
        Action::Lost { .. } => true,
        Action::Tell { outcome, .. } => {
            let error = outcome.as_ref().err();
            error.is_some_and(|error| error.status == Status::Unconfirmed)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_are_kept_in_the_words_that_were_put() {
        let mut recorder = Recorder::default();
        let session = session(&SessionId("a".into()));
        for number in 0..1_000 {
            let at = Time(number * 1_000_000_007);
            recorder.put(at, Word::LetGo, &[n(number << 40), session, n(0_u64)]);
        }
        let texts = recorder.texts();
        assert_eq!(texts.len(), usize::from(MOST));
        for (at, text) in (1_000 - u64::from(MOST)..).zip(texts) {
            assert_eq!(text, format!("+1000.000 let-go {} s1 0", at << 40));
        }
        assert!(recorder.bytes.capacity() < 4_096);
    }

    #[test]
    fn long_records_have_several_lines_and_none_is_too_long() {
        let mut recorder = Recorder::default();
        for number in 0..64 {
            recorder.put(Time(number), Word::AskRenew, &[n(u64::MAX), 9]);
        }
        let lines = recorder.lines(&"k".into());
        assert!(lines.len() > 1, "{lines:?}");
        assert!(lines.iter().all(|line| line.len() < 1_000), "{lines:?}");
        let entries = lines.iter().map(|line| line.matches("ask-renew").count());
        assert_eq!(entries.sum::<usize>(), 64);
    }
}
