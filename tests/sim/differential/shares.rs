//! Each request of shares and of several keys once, so that the comparison does not depend on chance for it.

use super::sequences::{INDEX_OF_MAIN, SLOTS, limits};
use super::*;

/// Each request of shares and of several keys, granted and refused, one after the other.
pub(super) fn of_shares() -> Vec<(Option<Duration>, Step)> {
    let key: Key = "s/k".into();
    let both: [Key; 2] = [key.clone(), "s/k/x".into()];
    let session = |place: usize| SessionId(format!("{{S{place}}}").into());
    let value = || Value(b"v".to_vec().into());
    let [readers, three] = limits();
    let see = See {
        line: true,
        sharers: Sharers::All,
    };
    let limited = See {
        sharers: Sharers::Limited,
        ..see
    };
    let target = |key: &Key| LockTarget {
        key: key.clone(),
        found: Found::Absent,
    };
    let enter = |limit: Limit, slot: u64, place: usize, probe: bool| {
        let hold = Hold::Share {
            limit,
            slot: Slot::new(slot),
            value: value(),
            probe,
        };
        Step::of(&Request::Lock {
            targets: vec![target(&key)],
            hold,
            session: session(place),
            see: if limit == readers { limited } else { see },
        })
    };
    let lock = |keys: &[Key], place: usize| {
        Step::of(&Request::Lock {
            targets: keys.iter().map(target).collect(),
            hold: Hold::Exclusive { value: value() },
            session: session(place),
            see,
        })
    };
    let join = |keys: &[Key], want: Want, place: usize| {
        Step::of(&Request::Join {
            keys: keys.into(),
            slots: keys.iter().map(|_| Slot::new(SLOTS[place])).collect(),
            want,
            session: session(place),
            see,
        })
    };
    let take = |keys: &[Key], hold: Hold, place: usize| {
        Step::of(&Request::Take {
            targets: keys.iter().map(target).collect(),
            hold,
            slots: keys.iter().map(|_| Slot::new(SLOTS[place])).collect(),
            session: session(place),
            ahead: Vec::new(),
            see,
        })
    };
    let survey = |keys: &[Key]| {
        Step::of(&Request::Survey {
            targets: keys.iter().map(target).collect(),
            see,
        })
    };
    let prove = |rows: &[Key], place: usize| {
        Step::of(&Request::Prove {
            rows: rows.to_vec(),
            session: session(place),
            gates: both.to_vec(),
        })
    };
    let downgrade = |slot: u64, place: usize| {
        let request = Request::Downgrade {
            key: key.clone(),
            token: INDEX_OF_MAIN,
            session: session(place),
            limit: three,
            slot: Slot::new(slot),
            value: value(),
        };
        with_index_of(&key, Step::of(&request))
    };
    let upgrade = |slot: u64, place: usize| {
        let request = Request::Upgrade {
            target: target(&key),
            token: INDEX_OF_MAIN,
            session: session(place),
            limit: three,
            slot: Slot::new(slot),
            value: value(),
        };
        with_index_of(&three.row_of(&key, Slot::new(slot)), Step::of(&request))
    };
    let unlock = |rows: &[Key], place: usize| {
        Step::of(&Request::Unlock {
            rows: rows.to_vec(),
            session: session(place),
            lines: both.to_vec(),
        })
    };
    let share = Hold::Share {
        limit: three,
        slot: Slot::new(1),
        value: value(),
        probe: false,
    };
    let alone = Hold::Exclusive { value: value() };
    let row = [three.row_of(&key, Slot::new(0))];
    let destroy = |place: usize| Step::put(format!("/v1/session/destroy/{{S{place}}}"), "");
    [
        Step::create(0, "3600s", "delete", "0s"),
        Step::create(1, "3600s", "delete", "0s"),
        Step::create(2, "3600s", "delete", "0s"),
        // Granted, taken, again by the same session, and both kinds beside each other.
        enter(three, 0, 0, false),
        enter(three, 0, 1, false),
        enter(three, 0, 0, false),
        enter(readers, 0, 1, false),
        survey(&both),
        prove(&row, 0),
        prove(&row, 1),
        // Two upgraders; a copy of the first; a downgrade; a copy of that.
        join(&both[..1], Want::Share(three), 2),
        upgrade(0, 0),
        upgrade(0, 0),
        enter(three, 1, 2, false),
        take(&both[..1], share.clone(), 2),
        upgrade(1, 2),
        prove(&both[..1], 0),
        survey(&both),
        downgrade(0, 0),
        downgrade(0, 0),
        downgrade(0, 1),
        take(&both[..1], share, 2),
        upgrade(1, 2),
        upgrade(0, 0),
        // A downgrade to a slot that another session has.
        enter(three, 1, 2, false),
        lock(&both[..1], 1),
        downgrade(1, 2),
        unlock(&row, 0),
        unlock(&row, 0),
        destroy(0),
        destroy(1),
        destroy(2),
        Step::create(0, "3600s", "delete", "0s"),
        Step::create(1, "3600s", "delete", "0s"),
        // Several keys: all or nothing, in lines that agree.
        lock(&both, 0),
        lock(&both, 1),
        survey(&both),
        join(&both, Want::Exclusive, 1),
        prove(&both, 0),
        prove(&both, 1),
        take(&both, alone.clone(), 1),
        unlock(&both[1..], 0),
        survey(&both),
        unlock(&both, 0),
        take(&both, alone, 1),
        prove(&both, 1),
        unlock(&both, 1),
        destroy(0),
        destroy(1),
        // The lock-delay of a slot, and of the key.
        Step::create(3, "3600s", "delete", "15s"),
        Step::create(4, "3600s", "delete", "0s"),
        enter(three, 0, 3, true),
        destroy(3),
        enter(three, 0, 4, true),
        enter(three, 1, 4, true),
        upgrade(1, 4),
        destroy(4),
        Step::create(3, "3600s", "delete", "15s"),
        Step::create(4, "3600s", "delete", "0s"),
        lock(&both[..1], 3),
        destroy(3),
        enter(three, 1, 4, true),
        enter(three, 1, 4, false),
        upgrade(1, 4),
        destroy(4),
        enter(three, 1, 4, false),
        upgrade(1, 4),
    ]
    .map(|step| (None, step))
    .to_vec()
}

/// The step names the index that a row had when it was last shown.
fn with_index_of(row: &Key, mut step: Step) -> Step {
    let index = format!("\"Index\":{INDEX_OF_MAIN}");
    let shown = format!("\"Index\":{{M:{row}}}");
    step.body = step.body.replace(&index, &shown);
    step
}
