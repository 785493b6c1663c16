//! The flight recorder of a lock: the last events and actions, kept in a few bytes each, and printed
//! when the lock is lost or an outcome is UNCONFIRMED, in a form that the simulation replays
//! (`tests/sim/replay.rs`). docs/guide.md describes the text.
//!
//! It holds kinds, numbers and times. Never a value or a token; of a session only a hash, which is
//! printed as a small number.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::lock::Input;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId};
use super::watch::News;
use super::{Action, Call, Config, Patience, Phase, Spec, Upkeep};
use crate::clock::Time;
use crate::error::{Error, Status};

/// Entries kept.
const MOST: u8 = 64;

/// Of so many entries at least one shows the whole state, where a replay can begin.
const MARK_EVERY: u8 = 16;

/// Bytes that a waiter needs which only waits.
const FIRST_ROOM: usize = 48;

/// A line of the log is not much longer.
const LONGEST_LINE: usize = 900;

/// What the first line begins with, and each of the others.
pub(super) const TITLE: &str = "flight recorder of \"";

macro_rules! words {
    ($($name:ident $text:literal,)*) => {
        /// What an entry says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Word { $($name,)* }

        impl Word {
            const ALL: &[(Word, &str)] = &[$((Word::$name, $text),)*];
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
    Random "random",
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
    // The state.
    Held "held",
}

impl Word {
    fn text(self) -> &'static str {
        let found = Word::ALL.iter().find(|(word, _)| *word == self);
        found.map_or("", |(_, text)| text)
    }

    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Option<Word> {
        let found = Word::ALL.iter().find(|(_, known)| *known == text);
        found.map(|(word, _)| *word)
    }

    fn from_byte(byte: u8) -> Option<Word> {
        Word::ALL.get(usize::from(byte)).map(|(word, _)| *word)
    }

    /// It happened, and was not done.
    #[cfg(test)]
    pub(super) fn is_event(self) -> bool {
        (self as u8) < Word::Random as u8
    }

    /// Something was asked: the first argument is the number of the request.
    #[cfg(test)]
    pub(super) fn is_question(self) -> bool {
        (Word::AskCreate as u8..=Word::AskRead as u8).contains(&(self as u8))
    }
}

/// An argument of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    /// A number below 2^63.
    N(u64),
    /// A session: a hash of its id.
    S(u32),
}

/// An entry, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Nanoseconds since the one before.
    pub(super) after: u64,
    pub(super) word: Word,
    pub(super) args: Vec<Arg>,
}

/// The last entries of one lock.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// For each: its length in two bytes, the word, the time since the one before, the arguments.
    bytes: VecDeque<u8>,
    entries: u8,
    since_mark: u8,
    /// When the last one was.
    last: Time,
}

/// A session's number in the record: FNV-1a.
pub(super) fn number_of(session: &SessionId) -> u32 {
    session.0.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

pub(super) fn session(session: &SessionId) -> Arg {
    Arg::S(number_of(session))
}

fn number(number: usize) -> Arg {
    Arg::N(u64::try_from(number).unwrap_or(u64::MAX))
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long until then, and one more; 0: never.
pub(super) fn ahead(now: Time, at: Option<Time>) -> Arg {
    Arg::N(at.map_or(0, |at| nanos(at.since(now)).saturating_add(1)))
}

/// How long ago, and one more; 0: never.
fn ago(now: Time, at: Option<Time>) -> Arg {
    Arg::N(at.map_or(0, |at| nanos(now.since(at)).saturating_add(1)))
}

impl Recorder {
    /// Takes in what happens to the lock. `hot`: whether a release would keep the session.
    pub(super) fn happens(&mut self, now: Time, input: &Input, hot: bool) {
        match input {
            Input::Call(call, what) => {
                let id = Arg::N(call.0);
                match what {
                    Call::Acquire(spec) => self.acquire(now, id, spec),
                    Call::Cancel => self.put(now, Word::Cancel, &[id]),
                    Call::Renew => self.put(now, Word::Renew, &[id]),
                    Call::Check => self.put(now, Word::Check, &[id]),
                    Call::Write { value: Some(_), .. } => self.put(now, Word::Put, &[id]),
                    Call::Write { value: None, .. } => self.put(now, Word::Delete, &[id]),
                    Call::Release => self.put(now, Word::Release, &[id, Arg::N(hot.into())]),
                    Call::LetGo => self.put(now, Word::LetGo, &[id]),
                    Call::Abandon => self.put(now, Word::Abandon, &[id]),
                    Call::Free => self.put(now, Word::Free, &[id]),
                }
            }
            Input::Reply {
                request,
                sent,
                answer,
            } => {
                let head = [Arg::N(request.0), ago(now, *sent)];
                match answer {
                    Ok(answer) => self.answer(now, head, answer),
                    Err(fault) => self.fault(now, head, fault),
                }
            }
            Input::Turn => self.put(now, Word::Turn, &[]),
            Input::Alarm => self.put(now, Word::Alarm, &[]),
            Input::Undone(confirmed) => {
                self.put(now, Word::Undone, &[Arg::N((*confirmed).into())]);
            }
            Input::News(news) => match news {
                News::Row { row, index } => {
                    let [there, holder, create, modify] = of_row(row.as_ref());
                    let args = [there, holder, create, modify, Arg::N(*index)];
                    self.put(now, Word::SawRow, &args);
                }
                News::Gone => self.put(now, Word::SawGone, &[]),
                News::Nothing => self.put(now, Word::SawNothing, &[]),
                News::Failed(error) => self.put(now, Word::SawFailed, &[of_error(error)]),
                News::Refused(error) => self.put(now, Word::SawRefused, &[of_error(error)]),
            },
        }
    }

    fn acquire(&mut self, now: Time, call: Arg, spec: &Spec) {
        let patience = match spec.patience {
            Patience::Once => 0,
            Patience::Forever => 1,
            Patience::For(time) => nanos(time).saturating_add(2),
        };
        let upkeep = match spec.upkeep {
            Upkeep::Off => 0,
            Upkeep::For(None) => 1,
            Upkeep::For(Some(time)) => nanos(time).saturating_add(2),
        };
        let args = [
            call,
            Arg::N(nanos(spec.ttl)),
            Arg::N(patience),
            Arg::N(nanos(spec.grace)),
            Arg::N(upkeep),
            Arg::N(spec.fair.into()),
            Arg::N(spec.monitor.into()),
        ];
        self.put(now, Word::Acquire, &args);
    }

    fn answer(&mut self, now: Time, [id, sent]: [Arg; 2], answer: &Answer) {
        let plain = |word| (word, None);
        let (word, third) = match answer {
            Answer::Created(id) => (Word::Created, Some(session(id))),
            Answer::NoNode => plain(Word::NoNode),
            Answer::Registered => plain(Word::Registered),
            Answer::Found(id) => (Word::Found, id.as_ref().map(session)),
            Answer::Renewed => plain(Word::Renewed),
            Answer::Destroyed => plain(Word::Destroyed),
            Answer::Described(_) | Answer::Node(_) | Answer::Agent(_) => plain(Word::Described),
            Answer::Locked { index, line } => {
                let args = [id, sent, Arg::N(*index), number(line.len())];
                return self.put(now, Word::Locked, &args);
            }
            Answer::Held => plain(Word::IsHeld),
            Answer::Delayed => plain(Word::Delayed),
            Answer::Changed => plain(Word::Changed),
            Answer::Unlocked { line } => (Word::Unlocked, Some(number(line.len()))),
            Answer::NotOurs { taken } => (Word::NotOurs, Some(Arg::N((*taken).into()))),
            Answer::Written => plain(Word::Written),
            Answer::Line(line) => (Word::Line, Some(number(line.len()))),
            Answer::Exists => plain(Word::Exists),
            Answer::NoTicket => plain(Word::NoTicket),
            Answer::Stale => plain(Word::Stale),
            Answer::Cleared => plain(Word::Cleared),
            Answer::Row { row, index } => {
                let [there, holder, create, modify] = of_row(row.as_ref());
                let args = [id, sent, there, holder, create, modify, Arg::N(*index)];
                return self.put(now, Word::Row, &args);
            }
            Answer::Names { names, .. } => (Word::Names, Some(number(names.len()))),
        };
        match third {
            Some(third) => self.put(now, word, &[id, sent, third]),
            None => self.put(now, word, &[id, sent]),
        }
    }

    fn fault(&mut self, now: Time, [id, sent]: [Arg; 2], fault: &Fault) {
        let word = match fault {
            Fault::NotApplied(_) => Word::NotApplied,
            Fault::Unknown(_) => Word::Unknown,
            Fault::SessionGone(_) => Word::SessionGone,
            Fault::TooLarge(_) => Word::TooLarge,
            Fault::Final(_) => Word::Final,
        };
        self.put(now, word, &[id, sent, of_error(fault.error())]);
    }

    /// Takes in what the lock did about it, and the state of the random numbers before, if it used
    /// some.
    pub(super) fn does(&mut self, now: Time, random: Option<u64>, actions: &[Action]) {
        if let Some(state) = random {
            let halves = [Arg::N(state >> 32), Arg::N(state & 0xffff_ffff)];
            self.put(now, Word::Random, &halves);
        }
        for action in actions {
            match action {
                Action::Send {
                    id, request, by, ..
                } => self.asks(now, [Arg::N(id.0), ahead(now, Some(*by))], request),
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
                    let args = [Arg::N(phase), ahead(now, view.lease_end)];
                    self.put(now, Word::View, &args);
                }
                Action::Lost { why, .. } => {
                    self.put(now, Word::Lost, &[Arg::N(*why as u64)]);
                }
                Action::Abort(_) | Action::Forget(_) | Action::Log { .. } => {}
            }
        }
    }

    fn asks(&mut self, now: Time, [id, by]: [Arg; 2], request: &Request) {
        let (word, third) = match request {
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
        match third {
            Some(third) => self.put(now, word, &[id, by, third]),
            None => self.put(now, word, &[id, by]),
        }
    }

    /// It is time to show the whole state, if that is possible.
    pub(super) fn wants_mark(&self) -> bool {
        self.since_mark >= MARK_EVERY
    }

    /// The whole state of a held lock.
    pub(super) fn mark(&mut self, now: Time, state: &[Arg]) {
        self.put(now, Word::Held, state);
        self.since_mark = 0;
    }

    fn put(&mut self, now: Time, word: Word, args: &[Arg]) {
        let after = match self.entries {
            0 => 0,
            _ => nanos(now.since(self.last)),
        };
        self.last = now;
        if self.entries >= MOST {
            self.drop_oldest();
        }
        self.entries += 1;
        self.since_mark = self.since_mark.saturating_add(1);
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(FIRST_ROOM);
        }
        let at = self.bytes.len();
        self.bytes.extend([0, 0, word as u8]);
        self.varint(after);
        for arg in args {
            match *arg {
                Arg::N(n) => self.varint(n.min(u64::MAX >> 1) << 1),
                Arg::S(s) => self.varint(u64::from(s) << 1 | 1),
            }
        }
        let length = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        for (byte, place) in length
            .to_le_bytes()
            .into_iter()
            .zip(self.bytes.range_mut(at..))
        {
            *place = byte;
        }
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push_back((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push_back(number as u8);
    }

    fn drop_oldest(&mut self) {
        let mut length = self.bytes.iter().take(2);
        let low = length.next().copied().unwrap_or_default();
        let high = length.next().copied().unwrap_or_default();
        let length = usize::from(u16::from_le_bytes([low, high]));
        self.bytes.drain(..length.min(self.bytes.len()));
        self.entries -= 1;
    }

    /// The entries, the oldest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut bytes = self.bytes.iter().copied();
        let mut entries = Vec::new();
        while let (Some(low), Some(high)) = (bytes.next(), bytes.next()) {
            let length = usize::from(u16::from_le_bytes([low, high])).saturating_sub(2);
            let mut entry = bytes.by_ref().take(length);
            let word = entry.next().and_then(Word::from_byte);
            let mut numbers = Vec::new();
            let (mut number, mut shift) = (0, 0);
            for byte in entry {
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    numbers.push(std::mem::take(&mut number));
                    shift = 0;
                }
            }
            let mut numbers = numbers.into_iter();
            if let (Some(word), Some(after)) = (word, numbers.next()) {
                let args = numbers.map(|n| match n & 1 {
                    0 => Arg::N(n >> 1),
                    _ => Arg::S(u32::try_from(n >> 1).unwrap_or_default()),
                });
                let args = args.collect();
                entries.push(Entry { after, word, args });
            }
        }
        entries
    }

    /// The record in words, for the log.
    pub(super) fn lines(&self, key: &Key, config: &Config) -> Vec<String> {
        let mut sessions = Vec::new();
        let mut parts = vec![format!(
            "limits {} {} {}",
            nanos(config.request_timeout),
            nanos(config.release_timeout),
            u8::from(config.lock_delay)
        )];
        for entry in self.entries() {
            let mut text = format!(" | +{} {}", entry.after, entry.word.text());
            for arg in entry.args {
                // Writing to a string does not fail.
                let _ = match arg {
                    Arg::N(n) => write!(text, " {n}"),
                    Arg::S(s) => {
                        let known = sessions.iter().position(|known| *known == s);
                        let at = known.unwrap_or_else(|| {
                            sessions.push(s);
                            sessions.len() - 1
                        });
                        write!(text, " s{}", at + 1)
                    }
                };
            }
            match parts.last_mut() {
                Some(part) if part.len() + text.len() + key.len() <= LONGEST_LINE => {
                    part.push_str(&text);
                }
                _ => parts.push(text.trim_start_matches(" | ").to_owned()),
            }
        }
        let of = parts.len();
        let line = |(at, part)| format!("{TITLE}{key}\" part {} of {of}: {part}", at + 1);
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

fn of_row(row: Option<&KeyRow>) -> [Arg; 4] {
    let holder = row.and_then(|row| row.session.as_ref());
    [
        Arg::N(row.is_some().into()),
        holder.map_or(Arg::N(0), session),
        Arg::N(row.map_or(0, |row| row.create_index)),
        Arg::N(row.map_or(0, |row| row.modify_index)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_are_kept() {
        let mut recorder = Recorder::default();
        for number in 0..1_000 {
            let at = Time(number * 1_000_000_007);
            let args = [Arg::N(number << 40), Arg::S(u32::MAX), Arg::N(0)];
            recorder.put(at, Word::Tell, &args);
        }
        let entries = recorder.entries();
        assert_eq!(entries.len(), usize::from(MOST));
        for (at, entry) in (1_000 - u64::from(MOST)..).zip(entries) {
            let args = vec![Arg::N(at << 40), Arg::S(u32::MAX), Arg::N(0)];
            let (after, word) = (1_000_000_007, Word::Tell);
            assert_eq!(entry, Entry { after, word, args });
        }
        assert!(recorder.bytes.capacity() < 4_096);
    }

    #[test]
    fn a_word_is_the_one_that_was_put() {
        for (at, (word, text)) in Word::ALL.iter().enumerate() {
            assert_eq!(*word as usize, at);
            assert_eq!(Word::parse(text), Some(*word), "no word stands twice");
        }
    }
}
