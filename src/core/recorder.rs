//! The flight recorder of a lock: its last events and actions, kept in a few bytes each, and printed
//! when the lock is lost or an outcome is UNCONFIRMED. docs/guide.md describes the text.
//!
//! An entry holds kinds, numbers and times. It never holds a value or a token; of a session it holds
//! a hash, which is printed as a small number.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::interface::{Action, Call, LockSpec, Patience, Phase, Upkeep};
use super::life::LockEvent;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId};
use super::watch::Observation;
use crate::clock::Time;
use crate::error::{Error, Status};

/// Entries kept.
const MOST: u8 = 64;

/// Enough for the entries of a lock that only waits, in bytes.
const FIRST_ROOM: usize = 48;

/// A line of the log is not much longer.
const LONGEST_LINE: usize = 900;

macro_rules! words {
    ($($name:ident $text:literal,)*) => {
        /// What an entry says.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum Word { $($name,)* }

        impl Word {
            const TEXTS: &[&str] = &[$($text,)*];
        }
    };
}

words! {
    // What happened.
    Acquire "acquire",
    Cancel "cancel",
    Renew "renew",
    Check "check",
    Put "put",
    Delete "delete",
    Release "release",
    LetGo "let-go",
    Abandon "abandon",
    Free "free",
    Turn "turn",
    Alarm "alarm",
    Undone "undone",
    SawRow "saw-row",
    SawGone "saw-gone",
    SawNothing "saw-nothing",
    SawFailed "saw-failed",
    SawRefused "saw-refused",
    Created "created",
    NoNode "no-node",
    Registered "registered",
    Found "found",
    Renewed "renewed",
    Destroyed "destroyed",
    Described "described",
    Locked "locked",
    IsHeld "is-held",
    Delayed "delayed",
    Changed "changed",
    Unlocked "unlocked",
    NotOurs "not-ours",
    Written "written",
    Line "line",
    Exists "exists",
    NoTicket "no-ticket",
    Stale "stale",
    Cleared "cleared",
    Row "row",
    Names "names",
    NotApplied "not-applied",
    Unknown "unknown",
    SessionGone "session-gone",
    TooLarge "too-large",
    Final "final",
    // What was done.
    AskCreate "ask-create",
    AskRegister "ask-register",
    AskFind "ask-find",
    AskRenew "ask-renew",
    AskDestroy "ask-destroy",
    AskDescribe "ask-describe",
    AskLock "ask-lock",
    AskUnlock "ask-unlock",
    AskSurvey "ask-survey",
    AskLine "ask-line",
    AskJoin "ask-join",
    AskTake "ask-take",
    AskClear "ask-clear",
    AskWrite "ask-write",
    AskRead "ask-read",
    Tell "tell",
    View "view",
    Lost "lost",
}

impl Word {
    fn from_byte(byte: u8) -> Option<&'static str> {
        Word::TEXTS.get(usize::from(byte)).copied()
    }
}

/// A number of an entry.
#[derive(Clone, Copy, Debug)]
enum Arg {
    /// A number below 2^63.
    N(u64),
    /// A session: a hash of its id (FNV-1a).
    S(u32),
}

/// The last entries of one lock.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// For each entry: its length, the word, the microseconds since the one before, the numbers.
    bytes: VecDeque<u8>,
    entries: u8,
    /// When the last one was.
    last: Time,
}

fn session(session: &SessionId) -> Arg {
    Arg::S(session.0.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    }))
}

fn number(number: usize) -> Arg {
    Arg::N(u64::try_from(number).unwrap_or(u64::MAX))
}

fn millis(duration: std::time::Duration) -> Arg {
    Arg::N(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Recorder {
    /// Takes in what happens to the lock.
    pub(super) fn happens(&mut self, now: Time, input: &LockEvent) {
        match input {
            LockEvent::Call(call, what) => {
                let id = Arg::N(call.0);
                let word = match what {
                    Call::Acquire(spec) => return self.acquire(now, id, spec),
                    Call::Cancel => Word::Cancel,
                    Call::Renew => Word::Renew,
                    Call::Check => Word::Check,
                    Call::Write { value: Some(_), .. } => Word::Put,
                    Call::Write { value: None, .. } => Word::Delete,
                    Call::Release => Word::Release,
                    Call::LetGo => Word::LetGo,
                    Call::Abandon => Word::Abandon,
                    Call::Free => Word::Free,
                };
                self.put(now, word, &[id]);
            }
            LockEvent::Reply {
                request, answer, ..
            } => {
                let id = Arg::N(request.0);
                match answer {
                    Ok(answer) => self.answer(now, id, answer),
                    Err(fault) => self.fault(now, id, fault),
                }
            }
            LockEvent::First => self.put(now, Word::Turn, &[]),
            LockEvent::Alarm => self.put(now, Word::Alarm, &[]),
            LockEvent::Undone(confirmed) => {
                self.put(now, Word::Undone, &[Arg::N((*confirmed).into())]);
            }
            LockEvent::Saw(news) => match news {
                Observation::Row { row, .. } => self.put(now, Word::SawRow, &of_row(row.as_ref())),
                Observation::Gone => self.put(now, Word::SawGone, &[]),
                Observation::Nothing => self.put(now, Word::SawNothing, &[]),
                Observation::Failed(error) => self.put(now, Word::SawFailed, &[of_error(error)]),
                Observation::Refused(error) => self.put(now, Word::SawRefused, &[of_error(error)]),
            },
        }
    }

    fn acquire(&mut self, now: Time, call: Arg, spec: &LockSpec) {
        let flag = |flag: bool| Arg::N(flag.into());
        let patience = match spec.patience {
            Patience::Once => Arg::N(0),
            Patience::Forever => Arg::N(u64::MAX >> 1),
            Patience::For(time) => millis(time),
        };
        let is_kept_up = spec.upkeep != Upkeep::Off;
        let args = [
            call,
            millis(spec.ttl),
            patience,
            flag(spec.fair),
            flag(spec.monitor),
            flag(is_kept_up),
        ];
        self.put(now, Word::Acquire, &args);
    }

    fn answer(&mut self, now: Time, id: Arg, answer: &Answer) {
        let (word, detail) = match answer {
            Answer::Created(id) => (Word::Created, Some(session(id))),
            Answer::NoNode => (Word::NoNode, None),
            Answer::Registered => (Word::Registered, None),
            Answer::Found(id) => (Word::Found, id.as_ref().map(session)),
            Answer::Renewed => (Word::Renewed, None),
            Answer::Destroyed => (Word::Destroyed, None),
            Answer::Described(_) | Answer::Node(_) | Answer::Agent(_) => (Word::Described, None),
            Answer::Locked { index, .. } => (Word::Locked, Some(Arg::N(*index))),
            Answer::Held => (Word::IsHeld, None),
            Answer::Delayed => (Word::Delayed, None),
            Answer::Changed => (Word::Changed, None),
            Answer::Unlocked { line } => (Word::Unlocked, Some(number(line.len()))),
            Answer::NotOurs { taken } => (Word::NotOurs, Some(Arg::N((*taken).into()))),
            Answer::Written => (Word::Written, None),
            Answer::Line(line) => (Word::Line, Some(number(line.len()))),
            Answer::Exists => (Word::Exists, None),
            Answer::NoTicket => (Word::NoTicket, None),
            Answer::Stale => (Word::Stale, None),
            Answer::Cleared => (Word::Cleared, None),
            Answer::Names { names, .. } => (Word::Names, Some(number(names.len()))),
            Answer::Row { row, .. } => {
                let [holder, index] = of_row(row.as_ref());
                return self.put(now, Word::Row, &[id, holder, index]);
            }
        };
        self.put_with(now, word, id, detail);
    }

    fn fault(&mut self, now: Time, id: Arg, fault: &Fault) {
        let word = match fault {
            Fault::NotApplied(_) => Word::NotApplied,
            Fault::Unknown(_) => Word::Unknown,
            Fault::SessionGone(_) => Word::SessionGone,
            Fault::TooLarge(_) => Word::TooLarge,
            Fault::Final(_) => Word::Final,
        };
        self.put(now, word, &[id, of_error(fault.error())]);
    }

    /// Takes in what the lock did about it.
    pub(super) fn does(&mut self, now: Time, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Send { id, request, .. } => self.asks(now, Arg::N(id.0), request),
                Action::Tell { call, outcome } => {
                    let status = outcome.as_ref().err().map_or(Arg::N(0), of_error);
                    self.put(now, Word::Tell, &[Arg::N(call.0), status]);
                }
                Action::Publish { view, .. } => {
                    let phase = match view.phase {
                        Phase::New => 0,
                        Phase::Acquiring => 1,
                        Phase::Held => 2,
                        Phase::Lost => 3,
                        Phase::Over => 4,
                    };
                    let left = view.lease_end.map_or(Arg::N(0), |at| millis(at.since(now)));
                    self.put(now, Word::View, &[Arg::N(phase), left]);
                }
                Action::Lost { why, .. } => {
                    self.put(now, Word::Lost, &[Arg::N(*why as u64)]);
                }
                Action::Abort(_) | Action::Forget(_) | Action::Log { .. } => {}
            }
        }
    }

    fn asks(&mut self, now: Time, id: Arg, request: &Request) {
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
            Request::Clear { ahead, .. } => (Word::AskClear, Some(number(ahead.len()))),
            Request::Write { session: s, .. } => (Word::AskWrite, Some(session(s))),
            Request::Read { consistent, .. } => (Word::AskRead, Some(Arg::N((*consistent).into()))),
            // Asked for all locks.
            Request::Watch { .. }
            | Request::WatchNames { .. }
            | Request::DescribeNode { .. }
            | Request::DescribeAgent => return,
        };
        self.put_with(now, word, id, detail);
    }

    fn put_with(&mut self, now: Time, word: Word, id: Arg, detail: Option<Arg>) {
        match detail {
            Some(detail) => self.put(now, word, &[id, detail]),
            None => self.put(now, word, &[id]),
        }
    }

    fn put(&mut self, now: Time, word: Word, args: &[Arg]) {
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
        let at = self.bytes.len();
        self.bytes.extend([0, word as u8]);
        self.varint(after);
        for arg in args {
            match *arg {
                Arg::N(n) => self.varint(n.min(u64::MAX >> 1) << 1),
                Arg::S(s) => self.varint(u64::from(s) << 1 | 1),
            }
        }
        let length = self.bytes.len() - at;
        if let Some(place) = self.bytes.get_mut(at) {
            // Two bytes and eight numbers of ten bytes at most.
            *place = u8::try_from(length).unwrap_or(u8::MAX);
        }
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push_back((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push_back(number as u8);
    }

    /// The entries in words, the oldest first.
    fn texts(&self) -> Vec<String> {
        let mut sessions = Vec::new();
        let mut bytes = self.bytes.iter().copied();
        let mut texts = Vec::new();
        while let Some(length) = bytes.next() {
            let mut entry = bytes.by_ref().take(usize::from(length).saturating_sub(1));
            let word = entry.next().and_then(Word::from_byte).unwrap_or_default();
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
                let arg = number >> 1;
                // Writing to a string does not fail.
                let _ = if number & 1 == 0 {
                    write!(text, " {arg}")
                } else {
                    let known = sessions.iter().position(|known| *known == arg);
                    let at = known.unwrap_or_else(|| {
                        sessions.push(arg);
                        sessions.len() - 1
                    });
                    write!(text, " s{}", at + 1)
                };
            }
            texts.push(text);
        }
        texts
    }

    /// The record, for the log.
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
        let line = |(at, part)| {
            format!(
                "flight recorder of \"{key}\" part {} of {of}: {part}",
                at + 1
            )
        };
        parts.into_iter().enumerate().map(line).collect()
    }
}

/// Something that is worth the record happened.
pub(super) fn is_serious(actions: &[Action]) -> bool {
    actions.iter().any(|action| match action {
        Action::Lost { .. } => true,
        Action::Tell {
            outcome: Err(error),
            ..
        } => error.status == Status::Unconfirmed,
        _ => false,
    })
}

fn of_error(error: &Error) -> Arg {
    Arg::N(error.status as u64)
}

/// The holder and the index of the last change; 0 where there is none.
fn of_row(row: Option<&KeyRow>) -> [Arg; 2] {
    let holder = row.and_then(|row| row.session.as_ref());
    [
        holder.map_or(Arg::N(0), session),
        Arg::N(row.map_or(0, |row| row.modify_index)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_are_kept_in_the_words_that_were_put() {
        let mut recorder = Recorder::default();
        for number in 0..1_000 {
            let at = Time(number * 1_000_000_007);
            let args = [Arg::N(number << 40), Arg::S(u32::MAX), Arg::N(0)];
            recorder.put(at, Word::Tell, &args);
        }
        let texts = recorder.texts();
        assert_eq!(texts.len(), usize::from(MOST));
        for (at, text) in (1_000 - u64::from(MOST)..).zip(texts) {
            assert_eq!(text, format!("+1000.000 tell {} s1 0", at << 40));
        }
        assert!(recorder.bytes.capacity() < 4_096);
    }

    #[test]
    fn long_records_have_several_lines_and_none_is_too_long() {
        let mut recorder = Recorder::default();
        for number in 0..64 {
            recorder.put(Time(number), Word::AskRenew, &[Arg::N(u64::MAX), Arg::S(9)]);
        }
        let lines = recorder.lines(&"k".into());
        assert!(lines.len() > 1, "{lines:?}");
        assert!(lines.iter().all(|line| line.len() < 1_000), "{lines:?}");
        let entries: usize = lines
            .iter()
            .map(|line| line.matches("ask-renew").count())
            .sum();
        assert_eq!(entries, 64);
    }

    #[test]
    fn a_text_stands_for_one_word() {
        assert_eq!(Word::from_byte(Word::Acquire as u8), Some("acquire"));
        assert_eq!(Word::from_byte(Word::Lost as u8), Some("lost"));
        let texts: std::collections::HashSet<_> = Word::TEXTS.iter().collect();
        assert_eq!(texts.len(), Word::TEXTS.len());
    }
}
