//! The pen that draws the Debug text of a part of a world as a hash, and as the numbers that mean nothing by themselves.
//! [`super::picture`] says what the text says otherwise than it matters.

use std::fmt::{self, Debug, Write};
use std::sync::LazyLock;

/// The model's log begins above these.
pub(super) const FIRST_INDEX: u64 = 12;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
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

/// What a word of the text says of what comes after the word.
#[derive(Clone, Copy)]
pub(super) enum Word {
    /// The field decides nothing, and is left out.
    Nothing,
    /// The kind of the number in a type of that name.
    Type(Kind),
    /// The kind of the numbers in a field of that name.
    Field(Kind),
}

/// The words that are not names of fields with plain numbers.
const WORDS: &[(Word, &[&str])] = &[
    // Texts for operators, and constants.
    (
        Word::Nothing,
        &[
            "said",
            "recorder",
            "config",
            "nodes",
            "node_checks",
            "ttl_text",
        ],
    ),
    // The last step's.
    (Word::Nothing, &["now", "scratch", "actions"]),
    // The same instants as in `set`, in `deadlines` and in the watches.
    (Word::Nothing, &["by_time", "timers", "ends"]),
    // What they decide is drawn apart (`Core::fastest`).
    (Word::Nothing, &["answers", "round_trips"]),
    // The reply that a query gives when nothing wakes it: the row as it is now, as a change would wake the query.
    (Word::Nothing, &["body"]),
    // The key, the flags and the session of a row tell its value here: the wall clock stands still.
    (Word::Nothing, &["value"]),
    // No number is drawn.
    (Word::Nothing, &["random"]),
    // Statistics.
    (
        Word::Nothing,
        &["counts", "acquisitions", "longest_free", "most_overtakes"],
    ),
    // The number is the last id that was given.
    (
        Word::Field(Kind::Counter),
        &[
            "requests",
            "names",
            "arrivals",
            "turns",
            "last_undoing",
            "last_watch",
            "writes",
            "retries",
        ],
    ),
    (
        Word::Field(Kind::Index),
        &[
            "create_index",
            "modify_index",
            "kv_index",
            "session_index",
            "nodes_index",
            "index",
            "token",
            "last_token",
            "gate",
            "alone",
            "largest",
            "tombstones",
            "head",
        ],
    ),
    (Word::Field(Kind::Arrival), &["arrival", "here"]),
    (Word::Field(Kind::Turn), &["turn"]),
    (Word::Type(Kind::Instant), &["Time"]),
    (Word::Type(Kind::Request), &["RequestId"]),
    (Word::Type(Kind::Call), &["CallId"]),
    (Word::Type(Kind::Lock), &["LockId"]),
    (Word::Type(Kind::Undoing), &["UndoingId"]),
    (Word::Type(Kind::Watch), &["WatchId"]),
];

impl Word {
    fn of(word: &str) -> Word {
        /// The words by their [`Word::drawer`], so that a word is compared with few others.
        static DRAWERS: LazyLock<Vec<Vec<(&str, Word)>>> = LazyLock::new(|| {
            let mut drawers = vec![Vec::new(); 256];
            for (what, words) in WORDS {
                for word in *words {
                    drawers[Word::drawer(word)].push((*word, *what));
                }
            }
            drawers
        });
        let drawer = &DRAWERS[Word::drawer(word)];
        let found = drawer.iter().find(|(other, _)| *other == word);
        found.map_or(Word::Field(Kind::Plain), |(_, what)| *what)
    }

    fn drawer(word: &str) -> usize {
        let (first, last) = (word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
        (word.len() * 67 + usize::from(first) * 13 + usize::from(last)) % 256
    }
}

impl Kind {
    /// Each core gives its own.
    fn is_of_one_core(self) -> bool {
        matches!(
            self,
            Kind::Request | Kind::Undoing | Kind::Arrival | Kind::Turn
        )
    }
}

/// Two hashes of 64 bits side by side: the constants are odd, and the upper bits come back into the lower ones.
#[derive(Clone, Copy)]
pub(super) struct Hash(pub(super) [u64; 2]);

impl Hash {
    pub(super) const BEGIN: Hash = Hash([0x6c62_272e_07bb_0142, 0x62b8_2175_6295_c58d]);

    pub(super) fn word(&mut self, word: u64) {
        let [one, two] = &mut self.0;
        *one = (*one ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        *one ^= *one >> 32;
        *two = (two.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        *two ^= *two >> 29;
    }

    fn bytes(&mut self, text: &[u8]) {
        let (whole, rest) = text.as_chunks::<8>();
        for chunk in whole {
            self.word(u64::from_le_bytes(*chunk));
        }
        // The length stands in the last byte: the rest has seven at most.
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(word) | (text.len() as u64) << 56);
    }
}

/// A number that means nothing by itself: what it is, the process whose core gave it, and the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) kind: Kind,
    pub(super) process: u16,
    pub(super) number: u64,
}

/// The hash of a text, and the marks in it.
pub(in crate::sim) struct Sketch {
    pub(super) hash: Hash,
    pub(super) marks: Vec<Mark>,
}

/// Draws the text that is written into it.
pub(super) struct Pen {
    pub(super) hash: Hash,
    marks: Vec<Mark>,
    /// What the next number is: in the type that was begun last, and in the field around it.
    kind: Kind,
    field: Kind,
    /// The process whose core gave the ids.
    pub(super) process: usize,
    is_string: bool,
    /// How deep in a field that is left out.
    left_out: Option<u32>,
}

impl Pen {
    pub(super) fn new() -> Pen {
        Pen {
            hash: Hash::BEGIN,
            marks: Vec::new(),
            kind: Kind::Plain,
            field: Kind::Plain,
            process: 0,
            is_string: false,
            left_out: None,
        }
    }

    pub(super) fn draw(&mut self, what: &dyn Debug) {
        (self.kind, self.field) = (Kind::Plain, Kind::Plain);
        // A pen takes in everything.
        let _ = write!(self, "{what:?}");
    }

    fn number(&mut self, text: &str) {
        let kind = std::mem::replace(&mut self.kind, self.field);
        let Ok(number) = text.parse::<u64>() else {
            return self.hash.bytes(text.as_bytes());
        };
        match kind {
            Kind::Plain => self.hash.word(number),
            Kind::Counter => {}
            Kind::Index if number < FIRST_INDEX => self.hash.word(number),
            kind => self.mark(kind, number),
        }
    }

    /// What the number is beside the others comes when all are known; here stands that there is one.
    pub(super) fn mark(&mut self, kind: Kind, number: u64) {
        self.hash.word(u64::MAX - 2 - kind as u64);
        let process = if kind.is_of_one_core() {
            self.process as u16
        } else {
            0
        };
        self.marks.push(Mark {
            kind,
            process,
            number,
        });
    }

    /// A text in a string, or a bare id of a session.
    fn text(&mut self, text: &str) {
        if text.len() == 36 && text.as_bytes()[8] == b'-' {
            let number = u64::from_str_radix(&text[24..], 16);
            return match number {
                Ok(number) => self.mark(Kind::Session, number),
                Err(_) => self.hash.bytes(text.as_bytes()),
            };
        }
        if let Some((process, number)) = number_of_name(text) {
            return self.mark(Kind::Name, process << 32 | number);
        }
        self.hash.bytes(text.as_bytes());
    }

    pub(super) fn done(self) -> Sketch {
        Sketch {
            hash: self.hash,
            marks: self.marks,
        }
    }
}

/// The process and the number in the name of a session.
fn number_of_name(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("consul_lock sim@host:")?;
    let (process, rest) = rest.split_once(' ')?;
    let (_, number) = rest.rsplit_once('-')?;
    Some((process.parse().ok()?, number.parse().ok()?))
}

impl Write for Pen {
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
            // An empty text is a text.
            if !self.is_string {
                self.hash.word(u64::MAX);
            }
            return Ok(());
        }
        // The words and the brackets around tell where something ends.
        if !self.is_string && matches!(piece, ", " | ": ") {
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
            match Word::of(piece) {
                Word::Nothing => {
                    self.left_out = Some(0);
                    return Ok(());
                }
                Word::Type(kind) => self.kind = kind,
                Word::Field(kind) => (self.field, self.kind) = (kind, kind),
            }
        }
        self.hash.bytes(piece.as_bytes());
        Ok(())
    }

    fn write_char(&mut self, letter: char) -> fmt::Result {
        let mut room = [0; 4];
        self.write_str(letter.encode_utf8(&mut room))
    }
}
