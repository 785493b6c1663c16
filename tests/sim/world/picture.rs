//! The picture of a world: 128 bits that are the same for two worlds in which the same can happen from now on, and in
//! which the same is right.
//!
//! The picture is drawn from the Debug text of everything that a world has, so that a field that is added to the core
//! is part of the picture without a word here. What the text says otherwise than it matters is changed on the way:
//!
//! * An instant is its distance from now. One that is more than [`LONG_AGO`] past is "long ago": the longest time for
//!   which a core, the model or a property looks back is 60 s.
//! * An id or a Raft index is its rank among those of its kind in this world. Ids and indexes grow, and a new one is
//!   larger than all others; the cores, Consul and the properties compare them and do nothing else with them. Equal ranks
//!   give equal comparisons, now and later. Indexes below [`FIRST_INDEX`] are constants (0 is "no row"), and keep
//!   their values.
//! * The counters from which ids come are left out ([`is_counter`]): the next id is larger than all others in any case.
//! * What decides nothing is left out ([`is_nothing`]): texts for operators, statistics, and what stands elsewhere too.
//! * The core of a killed process is left out: no input reaches it.
//!
//! Two different pictures have the same 128 bits by chance only: among n states with a probability of n²/2¹²⁹, which for
//! a billion states is 10⁻²¹.

use std::fmt::{self, Debug, Write};

use super::*;

/// Longer than the cores, the model and the properties look back.
const LONG_AGO: i128 = 100_000_000_000;

/// The model's log begins above these.
const FIRST_INDEX: u64 = 12;

/// The field's number is the last id that was given.
fn is_counter(field: &str) -> bool {
    matches!(
        field,
        "requests"
            | "names"
            | "arrivals"
            | "turns"
            | "last_undoing"
            | "last_watch"
            | "writes"
            | "retries"
    )
}

/// The field decides nothing.
fn is_nothing(field: &str) -> bool {
    match field {
        // Texts for operators, and constants.
        "said" | "recorder" | "config" | "nodes" | "node_checks" | "ttl_text" => true,
        // The last step's.
        "now" | "scratch" | "actions" => true,
        // The same instants as in `set`, in `deadlines` and in the watches.
        "by_time" | "timers" | "ends" => true,
        // What they decide is drawn apart (`Core::fastest`).
        "answers" | "round_trips" => true,
        // The reply that a query gives when nothing wakes it: the row as it is now, as a change would wake the query.
        "body" => true,
        // The key, the flags and the session of a row tell its value here: the wall clock stands still.
        "value" => true,
        // No number is drawn.
        "random" => true,
        // Statistics.
        "counts" | "acquisitions" | "longest_free" | "most_overtakes" => true,
        _ => false,
    }
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Instant,
    Index,
    Request,
    Call,
    Lock,
    Undoing,
    Watch,
    Arrival,
    Turn,
    Session,
    Name,
    Counter,
}

impl Kind {
    /// The kind of the number in a type of that name.
    fn of_type(word: &str) -> Option<Kind> {
        Some(match word {
            "Time" => Kind::Instant,
            "RequestId" => Kind::Request,
            "CallId" => Kind::Call,
            "LockId" => Kind::Lock,
            "UndoingId" => Kind::Undoing,
            "WatchId" => Kind::Watch,
            _ => return None,
        })
    }

    /// The kind of the numbers in a field of that name.
    fn of_field(word: &str) -> Option<Kind> {
        Some(match word {
            "create_index" | "modify_index" | "kv_index" | "session_index" | "nodes_index"
            | "index" | "token" | "last_token" | "gate" | "alone" | "largest" | "tombstones"
            | "head" => Kind::Index,
            "arrival" | "here" => Kind::Arrival,
            "turn" => Kind::Turn,
            _ if is_counter(word) => Kind::Counter,
            _ => return None,
        })
    }
}

/// The hash of a text that is written into it.
struct Picture {
    hash: [u64; 2],
    now: Time,
    /// What the next number is: in the type that was begun last, and in the field around it.
    kind: Kind,
    field: Kind,
    is_string: bool,
    /// How deep in a field that is left out.
    left_out: Option<u32>,
    ids: Vec<(Kind, u64)>,
}

impl Picture {
    fn new(now: Time) -> Picture {
        Picture {
            hash: [0x6c62_272e_07bb_0142, 0x62b8_2175_6295_c58d],
            now,
            kind: Kind::Plain,
            field: Kind::Plain,
            is_string: false,
            left_out: None,
            ids: Vec::with_capacity(256),
        }
    }

    /// Two hashes of 64 bits side by side: the constants are odd, and the upper bits come back into the lower ones.
    fn word(&mut self, word: u64) {
        let [one, two] = &mut self.hash;
        *one = (*one ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        *one ^= *one >> 32;
        *two = (two.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        *two ^= *two >> 29;
    }

    fn bytes(&mut self, text: &[u8]) {
        self.word(text.len() as u64);
        let (whole, rest) = text.as_chunks::<8>();
        for chunk in whole {
            self.word(u64::from_le_bytes(*chunk));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn draw(&mut self, what: &dyn Debug) {
        (self.kind, self.field) = (Kind::Plain, Kind::Plain);
        // A picture takes in everything.
        let _ = write!(self, "{what:?}");
    }

    fn number(&mut self, text: &str) {
        let kind = std::mem::replace(&mut self.kind, self.field);
        let Ok(number) = text.parse::<u64>() else {
            return self.bytes(text.as_bytes());
        };
        match kind {
            Kind::Plain => self.word(number),
            Kind::Counter => {}
            Kind::Instant => self.instant(Time(number)),
            Kind::Index if number < FIRST_INDEX => self.word(number),
            kind => self.id(kind, number),
        }
    }

    /// Its rank comes when all are known; here stands that there is one.
    fn id(&mut self, kind: Kind, number: u64) {
        self.word(u64::MAX - 2 - kind as u64);
        self.ids.push((kind, number));
    }

    fn instant(&mut self, at: Time) {
        let distance = i128::from(at.0) - i128::from(self.now.0);
        self.word(match at {
            Time(u64::MAX) => u64::MAX - 1,
            _ => distance.max(-LONG_AGO) as i64 as u64,
        });
    }

    /// A text in a string, or a bare id of a session.
    fn text(&mut self, text: &str) {
        if text.len() == 36 && text.as_bytes()[8] == b'-' {
            let number = u64::from_str_radix(&text[24..], 16);
            return match number {
                Ok(number) => self.id(Kind::Session, number),
                Err(_) => self.bytes(text.as_bytes()),
            };
        }
        if let Some((process, number)) = number_of_name(text) {
            return self.id(Kind::Name, process << 32 | number);
        }
        self.bytes(text.as_bytes());
    }

    fn done(mut self) -> u128 {
        let ids = std::mem::take(&mut self.ids);
        let mut ranks = ids.clone();
        ranks.sort_unstable();
        ranks.dedup();
        let first_of = |kind: Kind| ranks.partition_point(|(other, _)| *other < kind);
        let rank = |id: &(Kind, u64)| ranks.partition_point(|other| other < id) - first_of(id.0);
        for id in &ids {
            self.word(rank(id) as u64);
        }
        let [one, two] = self.hash;
        u128::from(one) << 64 | u128::from(two)
    }
}

/// The process and the number in the name of a session.
fn number_of_name(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("consul_lock sim@host:")?;
    let (process, rest) = rest.split_once(' ')?;
    let (_, number) = rest.rsplit_once('-')?;
    Some((process.parse().ok()?, number.parse().ok()?))
}

impl Write for Picture {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if let Some(depth) = &mut self.left_out {
            if self.is_string || piece == "\"" {
                self.is_string ^= piece == "\"";
                return Ok(());
            }
            match piece {
                "(" | "[" | "{" | " { " => *depth += 1,
                ")" | "]" | "}" | " }" if *depth > 0 => *depth -= 1,
                ")" | "]" | "}" | " }" | ", " if *depth == 0 => self.left_out = None,
                _ => {}
            }
            if self.left_out.is_some() {
                return Ok(());
            }
        }
        if piece == "\"" {
            self.is_string = !self.is_string;
            return Ok(());
        }
        let Some(first) = piece.as_bytes().first() else {
            return Ok(());
        };
        if self.is_string || (piece.len() == 36 && first.is_ascii_hexdigit()) {
            self.text(piece);
            return Ok(());
        }
        if first.is_ascii_digit() {
            self.number(piece);
            return Ok(());
        }
        if first.is_ascii_alphabetic() && !matches!(piece, "Some" | "Ok") {
            if is_nothing(piece) {
                self.left_out = Some(0);
                return Ok(());
            }
            if let Some(kind) = Kind::of_type(piece) {
                self.kind = kind;
            } else {
                self.field = Kind::of_field(piece).unwrap_or(Kind::Plain);
                self.kind = self.field;
            }
        }
        self.bytes(piece.as_bytes());
        Ok(())
    }

    fn write_char(&mut self, letter: char) -> fmt::Result {
        let mut room = [0; 4];
        self.write_str(letter.encode_utf8(&mut room))
    }
}

impl World {
    /// The picture of the world.
    pub(in crate::sim) fn picture(&self, left: u32) -> u128 {
        let mut picture = Picture::new(self.now);
        picture.word(u64::from(left));
        picture.draw(&self.model);
        for process in &self.processes {
            picture.draw(&(process.crashed, process.missed, process.stopped));
            if process.crashed {
                // Its requests may still come.
                for (request, flight) in process.flights.iter().chain(&process.given_up) {
                    picture.flight(request, flight);
                }
                continue;
            }
            picture.draw(&process.core);
            picture.draw(&process.core.fastest());
            for user in &process.users {
                let has_just_got_it = user.doing == Doing::Holding && user.since == self.now;
                picture.draw(&(user.rounds, user.doing, user.lock, has_just_got_it));
            }
            picture.draw(&(&process.hung_up, process.stopped_for));
            for flights in [&process.flights, &process.given_up] {
                picture.word(flights.len() as u64);
                for (request, flight) in flights {
                    picture.flight(request, flight);
                }
            }
        }
        picture.draw(&self.ledger);
        picture.draw(&self.line);
        picture.draw(&(&self.parked, &self.looked_for, &self.taken));
        let mut waiting: Vec<_> = self.happenings.values().collect();
        waiting.sort_by_key(|(at, happening)| (place_of(happening), *at));
        for (at, happening) in waiting {
            picture.instant(*at);
            self.draw_happening(&mut picture, happening);
        }
        picture.done()
    }

    fn draw_happening(&self, picture: &mut Picture, happening: &Happening) {
        match happening {
            Happening::Answer {
                process,
                request,
                result,
            } => {
                picture.draw(&("answer", process, request));
                let flight = self.processes[*process].flights.get(request);
                // The core gets what the verdict says, and not the text.
                if let (Some(flight), Ok(reply)) = (flight, result) {
                    picture.word(u64::from(reply.status));
                    picture.draw(&verdict(&flight.request, Ok(reply.clone())));
                } else {
                    picture.draw(&result.as_ref().err());
                }
            }
            Happening::Late(request, _, gives_back) => {
                picture.draw(&("late", request, gives_back));
            }
            other => picture.draw(other),
        }
    }
}

impl Picture {
    fn flight(&mut self, request: &RequestId, flight: &Flight) {
        let Flight {
            request: what,
            sent,
            parked,
            gives_back,
            ..
        } = flight;
        self.draw(&(request, what, sent, parked, gives_back));
    }
}

/// The order in which a picture shows what may happen.
fn place_of(happening: &Happening) -> (u8, usize, u64) {
    match happening {
        Happening::Deliver { process, request } => (0, *process, request.0),
        Happening::Answer {
            process, request, ..
        } => (1, *process, request.0),
        Happening::User { process, user } => (2, *process, *user as u64),
        Happening::Ask { process, lock, .. } => (3, *process, lock.0),
        // In the order in which they were sent.
        Happening::Late(..) => (4, 0, 0),
        _ => (5, 0, 0),
    }
}
