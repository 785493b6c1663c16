//! Replays what a flight recorder printed: a fresh core gets the lock as the record shows it, and
//! then the same events at the same times. Whatever it asks, tells and shows must be as recorded.
//!
//! It belongs to `src/core`, for it puts a lock into a core in the middle of its life.

use std::collections::HashMap;
use std::time::Duration;

use super::context::Context;
use super::held::Held;
use super::lease::{Lease, Session};
use super::lock::{Input, Machine, State};
use super::messages::{Answer, Fault, KeyRow, SessionId, Slot, Ticket, Value};
use super::monitor::Monitor;
use super::recorder::{Arg, Entry, Recorder, TITLE, Word, number_of};
use super::upkeep::Renewals;
use super::watch::News;
use super::{Call, CallId, Config, Core, LockId, RequestId};
use crate::clock::{Now, Time};
use crate::error::{Error, Status};

const LOCK: LockId = LockId(1);

/// When a replay begins: late enough for everything that was before.
const BEGIN: Time = Time(1 << 60);

/// One record, read.
#[derive(Debug)]
pub(crate) struct Record {
    key: String,
    limits: [Duration; 2],
    lock_delay: bool,
    entries: Vec<Entry>,
    sessions: HashMap<u32, SessionId>,
}

/// What a replay showed.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Events that were replayed.
    pub(crate) events: usize,
    /// The lock was lost.
    pub(crate) lost: bool,
    /// A call was told UNCONFIRMED.
    pub(crate) unconfirmed: bool,
}

/// The records in a text: any log, with whatever stands before each line, and other lines between.
pub(crate) fn read(text: &str) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    // Records of several threads may be mixed: the parts of each key are in order.
    let mut open: HashMap<&str, (String, u32)> = HashMap::new();
    for line in text.lines() {
        let Some((_, line)) = line.split_once(TITLE) else {
            continue;
        };
        let parts = line.rsplit_once("\" part ").and_then(|(key, rest)| {
            let (part, rest) = rest.split_once(" of ")?;
            let (of, text) = rest.split_once(": ")?;
            Some((
                key,
                part.parse::<u32>().ok()?,
                of.parse::<u32>().ok()?,
                text,
            ))
        });
        let (key, part, of, text) = parts.ok_or_else(|| format!("not a record: {line}"))?;
        let (mut whole, before) = open.remove(key).unwrap_or_default();
        if part != before + 1 {
            return Err(format!(
                "part {} of the record of {key} is missing",
                before + 1
            ));
        }
        if part > 1 {
            whole.push_str(" | ");
        }
        whole.push_str(text);
        if part == of {
            records.push(Record::parse(key, &whole)?);
        } else {
            open.insert(key, (whole, part));
        }
    }
    match open.keys().next() {
        Some(key) => Err(format!("the record of {key} has no end")),
        None => Ok(records),
    }
}

impl Record {
    fn parse(key: &str, text: &str) -> Result<Record, String> {
        let wrong = |what: &str| format!("not a record: {what}");
        let mut parts = text.split(" | ");
        let limits = parts.next().and_then(|part| part.strip_prefix("limits "));
        let limits: Vec<u64> = limits
            .unwrap_or_default()
            .split(' ')
            .filter_map(|n| n.parse().ok())
            .collect();
        let [request, release, lock_delay] = limits[..] else {
            return Err(wrong("it does not begin with its limits"));
        };
        let mut sessions = HashMap::new();
        let mut entries = Vec::new();
        for part in parts {
            let mut words = part.split(' ');
            let after = words.next().and_then(|word| word.strip_prefix('+'));
            let after = after
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| wrong(part))?;
            let word = words
                .next()
                .and_then(Word::parse)
                .ok_or_else(|| wrong(part))?;
            let mut args = Vec::new();
            for arg in words {
                if arg.starts_with('s') {
                    let id = SessionId(arg.into());
                    args.push(Arg::S(number_of(&id)));
                    sessions.insert(number_of(&id), id);
                } else {
                    args.push(Arg::N(arg.parse().map_err(|_| wrong(part))?));
                }
            }
            entries.push(Entry { after, word, args });
        }
        let limits = [request, release].map(Duration::from_nanos);
        Ok(Record {
            key: key.to_owned(),
            limits,
            lock_delay: lock_delay != 0,
            entries,
            sessions,
        })
    }

    /// Replays it from the first moment at which it shows the whole state.
    pub(crate) fn replay(&self) -> Result<Replayed, String> {
        let first = self.entries.iter().position(|e| e.word == Word::Held);
        let first = first.ok_or("the record does not show a lock that is held and at rest")?;
        let (_, rest) = self.entries.split_at(first);
        let (mark, mut rest) = rest.split_first().ok_or("it is empty")?;
        let mut player = Player::new(self, mark)?;
        let mut replayed = Replayed::default();
        while let Some((event, more)) = rest.split_first() {
            let end = more.iter().position(|entry| entry.word.is_event());
            let (deeds, next) = more.split_at(end.unwrap_or(more.len()));
            rest = next;
            replayed.events += 1;
            player.play(event, deeds)?;
            for deed in deeds {
                replayed.lost |= deed.word == Word::Lost;
                replayed.unconfirmed |= deed.word == Word::Tell
                    && deed.args.get(1) == Some(&Arg::N(Status::Unconfirmed as u64));
            }
        }
        Ok(replayed)
    }
}

struct Player<'a> {
    record: &'a Record,
    core: Core,
    now: Time,
    /// The requests of the record, as this core calls them.
    requests: HashMap<u64, RequestId>,
}

/// The arguments of an entry, one after the other.
struct Args<'a> {
    record: &'a Record,
    now: Time,
    entry: &'a Entry,
    at: usize,
}

impl Args<'_> {
    fn next(&mut self) -> Result<Arg, String> {
        let arg = self.entry.args.get(self.at).copied();
        self.at += 1;
        arg.ok_or_else(|| format!("too short: {:?}", self.entry))
    }

    fn number(&mut self) -> Result<u64, String> {
        match self.next()? {
            Arg::N(n) => Ok(n),
            Arg::S(_) => Err(format!("not a number: {:?}", self.entry)),
        }
    }

    fn flag(&mut self) -> Result<bool, String> {
        Ok(self.number()? != 0)
    }

    fn nanos(&mut self) -> Result<Duration, String> {
        Ok(Duration::from_nanos(self.number()?))
    }

    fn ahead(&mut self) -> Result<Option<Time>, String> {
        let ahead = self.number()?.checked_sub(1);
        Ok(ahead.map(|ahead| self.now + Duration::from_nanos(ahead)))
    }

    fn ago(&mut self) -> Result<Option<Time>, String> {
        let ago = self.number()?.checked_sub(1);
        Ok(ago.map(|ago| self.now - Duration::from_nanos(ago)))
    }

    fn session(&mut self) -> Result<Option<SessionId>, String> {
        Ok(match self.next()? {
            Arg::N(_) => None,
            Arg::S(s) => self.record.sessions.get(&s).cloned(),
        })
    }

    fn row(&mut self) -> Result<Option<KeyRow>, String> {
        let there = self.flag()?;
        let row = KeyRow {
            session: self.session()?,
            create_index: self.number()?,
            modify_index: self.number()?,
            flags: 0,
            value: nothing(),
        };
        Ok(there.then_some(row))
    }

    fn error(&mut self) -> Result<Error, String> {
        let number = self.number()?;
        let status = Status::ALL.into_iter().find(|s| *s as u64 == number);
        let status = status.ok_or_else(|| format!("an unknown status: {:?}", self.entry))?;
        Ok(Error::new(status, "recorded".to_owned()))
    }

    /// So many of them; who they are does not matter to who has the lock.
    fn tickets(&mut self) -> Result<Vec<Ticket>, String> {
        let ticket = |n| Ticket {
            slot: Slot::new(n),
            session: SessionId("waiting".into()),
            create_index: n,
            modify_index: n,
        };
        Ok((0..self.number()?.min(u64::from(Slot::COUNT)))
            .map(ticket)
            .collect())
    }
}

fn nothing() -> Value {
    Value(Vec::new().into())
}

impl Player<'_> {
    fn new<'a>(record: &'a Record, mark: &Entry) -> Result<Player<'a>, String> {
        let [request_timeout, release_timeout] = record.limits;
        let mut player = Player {
            record,
            core: Core::new(Config {
                address: "replay".to_owned(),
                identity: "consul_lock replay".to_owned(),
                request_timeout,
                release_timeout,
                lock_delay: record.lock_delay,
                flags: 0,
                session_node: None,
                connections: 32,
                seed: 0,
            }),
            now: BEGIN,
            requests: HashMap::new(),
        };
        let mut args = player.args(mark);
        let id = args.session()?.ok_or("held, but by no session")?;
        let confirmed = args.now - args.nanos()?;
        let lease = Lease::new(confirmed, args.nanos()?);
        let fair = args.flag()?;
        let session = Session {
            id,
            lease,
            doubtful: args.flag()?,
            last_token: 0,
        };
        let renewed = args.flag()?;
        let (until, early, again) = (args.ahead()?, args.nanos()?, args.ahead()?);
        let faults = u32::try_from(args.number()?).map_err(|e| e.to_string())?;
        let renewals = renewed.then(|| Renewals::restore(until, early, again, faults));
        let monitored = args.flag()?;
        let (index, at) = (args.number()?, args.ahead()?);
        let monitor = monitored.then(|| Monitor::restore(index, at));
        let mut machine = Machine::new(LOCK);
        machine.key = record.key.as_str().into();
        machine.fair = fair;
        machine.state = State::Held(Held::restore(session, renewals, monitor));
        player.core.locks.insert(LOCK, machine);
        player.settle_first();
        Ok(player)
    }

    /// Observers saw it held before.
    fn settle_first(&mut self) {
        let mut out = Vec::new();
        let mut ctx = Context {
            now: Now {
                time: self.now,
                unix_ms: 0,
            },
            shared: &mut self.core.shared,
            out: &mut out,
        };
        if let Some(machine) = self.core.locks.get_mut(&LOCK) {
            machine.settle(&mut ctx);
        }
    }

    fn args<'a>(&'a self, entry: &'a Entry) -> Args<'a> {
        Args {
            record: self.record,
            now: self.now,
            entry,
            at: 0,
        }
    }

    /// One event, and what was done about it.
    fn play(&mut self, event: &Entry, deeds: &[Entry]) -> Result<(), String> {
        if !event.word.is_event() {
            return Err(format!("not an event: {event:?}"));
        }
        self.now = self.now + Duration::from_nanos(event.after);
        let input = self.input(event)?;
        let mut deeds = deeds.iter().collect::<Vec<_>>();
        if let Some(random) = deeds.first().filter(|d| d.word == Word::Random) {
            let mut args = self.args(random);
            let (high, low) = (args.number()?, args.number()?);
            self.core.shared.set_random_state(high << 32 | low);
        }
        let mark = deeds.pop_if(|deed| deed.word == Word::Held);
        if let Some(machine) = self.core.locks.get_mut(&LOCK) {
            machine.recorder = Recorder::default();
        }
        let now = Now {
            time: self.now,
            unix_ms: 0,
        };
        let mut machine = self.core.locks.remove(&LOCK).ok_or("it is forgotten")?;
        let mut out = Vec::new();
        machine.take_in(
            &mut Context {
                now,
                shared: &mut self.core.shared,
                out: &mut out,
            },
            input,
        );
        let mut done = machine.recorder.entries();
        // The event itself is the first.
        done.remove(0);
        done.retain(|entry| entry.word != Word::Held);
        let same = done.len() == deeds.len()
            && done.iter().zip(&deeds).all(|(is, was)| {
                if !is.word.is_question() {
                    return is == *was;
                }
                if let (Some(Arg::N(is)), Some(Arg::N(was))) = (is.args.first(), was.args.first()) {
                    self.requests.insert(*was, RequestId(*is));
                }
                is.word == was.word
                    && is.after == was.after
                    && is.args.get(1..) == was.args.get(1..)
            });
        if !same {
            return Err(format!(
                "after {event:?} it did\n{done:?}\nand not\n{deeds:?}"
            ));
        }
        if let Some(mark) = mark {
            let state = match &machine.state {
                State::Held(held) => held.snapshot(self.now, machine.fair),
                _ => None,
            };
            if state.as_ref().map(|state| &state[..]) != Some(&mark.args[..]) {
                return Err(format!(
                    "after {event:?} it is\n{state:?}\nand not\n{mark:?}"
                ));
            }
        }
        self.core.locks.insert(LOCK, machine);
        Ok(())
    }

    fn input(&mut self, event: &Entry) -> Result<Input, String> {
        let mut args = self.args(event);
        let call = |args: &mut Args<'_>, what| Ok(Input::Call(CallId(args.number()?), what));
        let write = |value| Call::Write {
            key: "written".into(),
            value,
        };
        match event.word {
            Word::Cancel => return call(&mut args, Call::Cancel),
            Word::Renew => return call(&mut args, Call::Renew),
            Word::Check => return call(&mut args, Call::Check),
            Word::Put => return call(&mut args, write(Some(nothing()))),
            Word::Delete => return call(&mut args, write(None)),
            Word::LetGo => return call(&mut args, Call::LetGo),
            Word::Abandon => return call(&mut args, Call::Abandon),
            Word::Free => return call(&mut args, Call::Free),
            Word::Release => {
                let id = CallId(args.number()?);
                if args.flag()? {
                    let now = args.now;
                    self.core.shared.pool.note_use(now);
                }
                return Ok(Input::Call(id, Call::Release));
            }
            Word::Acquire => return Err("acquired a second time".to_owned()),
            Word::Turn => return Ok(Input::Turn),
            Word::Alarm => return Ok(Input::Alarm),
            Word::Undone => return Ok(Input::Undone(args.flag()?)),
            Word::SawRow => {
                let row = args.row()?;
                let index = args.number()?;
                return Ok(Input::News(News::Row { row, index }));
            }
            Word::SawGone => return Ok(Input::News(News::Gone)),
            Word::SawNothing => return Ok(Input::News(News::Nothing)),
            Word::SawFailed => return Ok(Input::News(News::Failed(args.error()?))),
            Word::SawRefused => return Ok(Input::News(News::Refused(args.error()?))),
            _ => {}
        }
        let number = args.number()?;
        let request = self.requests.get(&number).copied();
        let request = request.ok_or_else(|| format!("nobody asked for {event:?}"))?;
        let sent = args.ago()?;
        let answer = match event.word {
            Word::Renewed => Ok(Answer::Renewed),
            Word::Destroyed => Ok(Answer::Destroyed),
            Word::Described => Ok(Answer::Described(None)),
            Word::Unlocked => Ok(Answer::Unlocked {
                line: args.tickets()?,
            }),
            Word::NotOurs => Ok(Answer::NotOurs {
                taken: args.flag()?,
            }),
            Word::Written => Ok(Answer::Written),
            Word::Row => Ok(Answer::Row {
                row: args.row()?,
                index: args.number()?,
            }),
            Word::NotApplied => Err(Fault::NotApplied(args.error()?)),
            Word::Unknown => Err(Fault::Unknown(args.error()?)),
            Word::SessionGone => Err(Fault::SessionGone(args.error()?)),
            Word::TooLarge => Err(Fault::TooLarge(args.error()?)),
            Word::Final => Err(Fault::Final(args.error()?)),
            _ => return Err(format!("not an answer to who holds a lock: {event:?}")),
        };
        Ok(Input::Reply {
            request,
            sent,
            answer,
        })
    }
}
