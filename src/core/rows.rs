//! The rows that the library keeps in Consul for a key, their names, and what transactions do with them.

use std::fmt;
use std::sync::Arc;

use crate::key::Key;

/// The bytes stored under a key, which the library never prints. (A `Vec` inside, because the library can make it
/// where the system may refuse memory.)
#[derive(Clone, PartialEq, Eq)]
pub struct Value(pub Arc<Vec<u8>>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// A session's id, as Consul made it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Arc<str>);

impl SessionId {
    /// Stands for a session of a key whose text is no id of Consul's: the key is held, and Consul cannot be asked
    /// for its holder.
    pub fn unreadable() -> SessionId {
        SessionId(UNREADABLE.into())
    }

    /// The id is one that Consul may have made.
    pub fn is_readable(&self) -> bool {
        &*self.0 != UNREADABLE
    }
}

const UNREADABLE: &str = "(unreadable)";

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a ticket in a key's line, or of a shared row. A process uses the same slot again for a key, because
/// Consul walks every name that was deleted in the last quarter of an hour on each listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The number of slots.
    ///
    /// cbindgen:ignore
    pub const COUNT: u16 = 1_024;

    /// The slot for a number of any size.
    pub fn new(number: u64) -> Slot {
        // The remainder is below COUNT.
        Slot(u16::try_from(number % u64::from(Slot::COUNT)).unwrap_or(0))
    }

    pub fn get(self) -> u16 {
        self.0
    }

    /// The key of the ticket with this number, in the line of `key`.
    pub fn ticket_of(self, key: &str) -> String {
        format!("{}{self}", line_of(key))
    }

    /// The slot that a name in a folder of the library's stands for, if it is one.
    pub fn parse(name: &str) -> Option<Slot> {
        let digits =
            name.len() == 3 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = digits
            .then(|| u16::from_str_radix(name, 16).ok())
            .flatten()?;
        (number < Slot::COUNT).then_some(Slot(number))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03x}", self.0)
    }
}

/// The folder of a key's line. It is below the key, so that a token that may write the key may stand in line. It
/// ends in a slash, so that the lines of two keys never meet.
pub fn line_of(key: &str) -> String {
    [key, "/.fifo/"].concat()
}

/// What the names of all rows that the library keeps below a key begin with.
pub fn all_below(key: &str) -> String {
    [key, "/."].concat()
}

/// The folder of those who share a key.
pub fn shares_of(key: &str) -> String {
    [key, "/.share/"].concat()
}

/// The folder of those who share a key with a limit.
pub fn permits_of(key: &str) -> String {
    [key, "/.share/slot/"].concat()
}

/// How many sessions may share a key at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit(u16);

impl Limit {
    /// The limit of those who share without one: the readers of a read/write lock.
    ///
    /// cbindgen:ignore
    pub const READERS: Limit = Limit(Slot::COUNT);

    /// None: the number is not from 1 to 1,024.
    pub fn new(number: u64) -> Option<Limit> {
        let number = u16::try_from(number).ok();
        let number = number.filter(|number| (1..=Slot::COUNT).contains(number));
        number.map(Limit)
    }

    pub fn get(self) -> u16 {
        self.0
    }

    /// The slots of the shared rows: as many as may share at once.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (0..self.0).map(Slot)
    }

    /// The names of the shared rows of `key`. Those with a limit have a folder of their own, so that a reader sees
    /// them without a list of a thousand readers.
    pub fn folder_of(self, key: &str) -> String {
        match self {
            Limit::READERS => shares_of(key),
            _ => permits_of(key),
        }
    }

    /// The shared row of `key` with that slot.
    pub fn row_of(self, key: &str, slot: Slot) -> Key {
        format!("{}{slot}", self.folder_of(key)).into()
    }
}

/// What an acquire wants of its keys. Consul keeps it in the Flags of a ticket and of a shared row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To be the only holder.
    Exclusive,
    /// To be one of at most so many holders.
    Share(Limit),
}

impl Want {
    /// The Flags of a ticket. The other bits of a ticket say other things.
    const LIMIT: u64 = 0xffff;

    pub fn flags(self) -> u64 {
        match self {
            Want::Exclusive => 0,
            Want::Share(limit) => u64::from(limit.0),
        }
    }

    /// What the Flags of a ticket say. Flags that the library does not know are those of an exclusive one, whom
    /// all others wait for.
    pub fn of_flags(flags: u64) -> Want {
        Limit::new(flags & Want::LIMIT).map_or(Want::Exclusive, Want::Share)
    }

    pub fn limit(self) -> Option<Limit> {
        match self {
            Want::Exclusive => None,
            Want::Share(limit) => Some(limit),
        }
    }
}

/// The bit in the Flags of a ticket whose waiter waits for several keys. The value of the ticket lists them all.
///
/// cbindgen:ignore
pub const SEVERAL: u64 = 1 << 16;

/// The rows that a transaction is to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Each key itself.
    Exclusive { value: Value },
    /// A shared row below each key.
    Share {
        limit: Limit,
        slot: Slot,
        value: Value,
        /// The sessions have a lock-delay, which does not protect shared rows: the transaction locks and removes the
        /// key as well, which Consul refuses while the delay of the key runs.
        probe: bool,
    },
}

/// A place in a line. Slot and CreateIndex together identify it, for slots are used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The number of the ticket.
    pub slot: Slot,
    /// The session of the waiter.
    pub session: SessionId,
    /// What the waiter waits for.
    pub want: Want,
    /// All keys that the waiter waits for, if there are several; empty: the value of the ticket does not say them.
    pub several: Option<Arc<[Key]>>,
    /// The index at which the ticket was written. The line is in the order of (CreateIndex, slot).
    pub create_index: u64,
    /// The index that `delete-cas` checks.
    pub modify_index: u64,
}

impl Ticket {
    /// CreateIndex and slot: the order of a line, and what tells one ticket from another, for slots are used again.
    pub fn identity(&self) -> (u64, Slot) {
        (self.create_index, self.slot)
    }

    /// The ticket as one to remove from the line of `key`.
    pub fn stalled_at(&self, key: &Key) -> Stalled {
        Stalled {
            key: key.clone(),
            slot: self.slot,
            modify_index: self.modify_index,
        }
    }
}

/// What a key was at the last look. The transaction that takes the key checks that nothing has changed, so the
/// library never overwrites the data of another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The key did not exist.
    Absent,
    /// The key was a lock that no session held, last changed at this index.
    Unlocked(u64),
    /// The session of this acquire holds the row.
    Ours,
    /// A survey has just shown that the key was free, and the transaction has no room to check it.
    Unchecked,
}

/// A key to lock, and what it was at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTarget {
    pub key: Key,
    pub found: Found,
}

/// Which rows below a key a transaction shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct See {
    /// The tickets of the line.
    pub line: bool,
    /// Those who share the key.
    pub sharers: Sharers,
}

impl See {
    /// No rows.
    ///
    /// cbindgen:ignore
    pub const NOTHING: See = See {
        line: false,
        sharers: Sharers::None,
    };

    /// How many operations the transaction needs for each key.
    pub fn operations(self) -> usize {
        usize::from(self.line) + usize::from(self.sharers != Sharers::None)
    }
}

/// Which of those who share a key a transaction shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sharers {
    #[default]
    None,
    /// Those with a limit.
    Limited,
    All,
}

/// What stands below a key, as far as a transaction asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Below {
    /// The tickets, in no particular order.
    pub line: Vec<Ticket>,
    /// Those who share the key, in no particular order.
    pub sharers: Vec<Sharer>,
}

#[cfg(test)]
impl Below {
    /// The answer of a transaction that shows the line of one key.
    pub fn line_of_one(line: Vec<Ticket>) -> Vec<Below> {
        let sharers = Vec::new();
        vec![Below { line, sharers }]
    }
}

/// One of those who share a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    pub limit: Limit,
    pub slot: Slot,
    pub session: SessionId,
    pub create_index: u64,
    /// The fencing token of this share.
    pub modify_index: u64,
    pub value: Value,
}

/// A ticket to remove, as it was when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The key in whose line the ticket stands.
    pub key: Key,
    pub slot: Slot,
    pub modify_index: u64,
}
