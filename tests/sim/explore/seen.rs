//! The states that a walk has been in: 24 bytes each.

use std::collections::HashMap;
use std::collections::hash_map;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The picture of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Print {
    upper: u64,
    lower: u64,
}

impl Print {
    pub(super) fn of(picture: u128) -> Print {
        Print {
            upper: (picture >> 64) as u64,
            lower: picture as u64,
        }
    }
}

impl Hash for Print {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.lower);
    }
}

/// A picture is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// How a schedule came to a state: in so many steps, and with so many faults that may still come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) depth: usize,
    pub(super) left: u32,
}

/// What a walk finds when it comes to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    New,
    /// The walk was there, but must go on from there again: more faults may come, or the walk was cut further from the
    /// beginning.
    Again,
    /// All that may come from there has been walked, or is being walked.
    Known {
        /// The schedule that the walk is in came through the state, with as many faults.
        is_on_path: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Place {
    depth: u32,
    left: u16,
    is_on_path: bool,
}

#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<Print, Place, BuildHasherDefault<AsItIs>>);

impl Seen {
    /// The walk comes to a state. What may come with fewer faults may also come with more.
    pub(super) fn enter(&mut self, print: Print, visit: Visit, is_cut: bool) -> Entry {
        let now = Place {
            depth: visit.depth as u32,
            left: visit.left as u16,
            is_on_path: true,
        };
        match self.0.entry(print) {
            hash_map::Entry::Vacant(place) => {
                place.insert(now);
                Entry::New
            }
            hash_map::Entry::Occupied(mut place) => {
                let before = *place.get();
                if before.left >= now.left && (!is_cut || before.depth <= now.depth) {
                    let is_on_path = before.is_on_path && before.left == now.left;
                    return Entry::Known { is_on_path };
                }
                place.insert(now);
                Entry::Again
            }
        }
    }

    /// The schedule goes back to before the state.
    pub(super) fn leave(&mut self, print: Print) {
        if let Some(place) = self.0.get_mut(&print) {
            place.is_on_path = false;
        }
    }
}
