//! The names and flags of the rows below a key, which other programs may have written: what is read is what the library
//! writes.
//!
//! The first line of an input is a name, the rest a number.

use super::head;
use crate::core::messages::{Limit, Slot, Want};

pub(super) fn property(data: &[u8]) {
    let (name, number) = head(data);
    if let Ok(name) = std::str::from_utf8(name)
        && let Some(slot) = Slot::parse(name)
    {
        assert_eq!(slot.to_string(), name);
        assert!(slot.get() < Slot::COUNT);
        assert_eq!(Slot::new(u64::from(slot.get())), slot);
        assert_eq!(slot.ticket_of("k"), format!("k/.fifo/{name}"));
    }
    let text = std::str::from_utf8(number).ok();
    let mut bytes = [0; 8];
    bytes
        .iter_mut()
        .zip(number)
        .for_each(|(to, from)| *to = *from);
    let number = text.and_then(|text| text.trim().parse().ok());
    let number = number.unwrap_or(u64::from_le_bytes(bytes));
    let want = Want::of_flags(number);
    assert_eq!(Want::of_flags(want.flags()), want);
    if let Some(limit) = Limit::new(number) {
        assert_eq!(u64::from(limit.get()), number);
        assert_eq!(limit.slots().count(), usize::from(limit.get()));
        assert_eq!(Want::of_flags(number), Want::Share(limit));
    }
    let slot = Slot::new(number);
    assert_eq!(Slot::parse(&slot.to_string()), Some(slot));
}
