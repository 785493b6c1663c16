//! The rows in Consul that a held lock is.

use super::context::Context;
use super::interface::{Keys, LockSpec};
use super::messages::{Key, Limit, Request, SessionId, Slot};

/// The rows of a held lock: its keys, or a shared row below its key.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) keys: Keys,
    pub(super) share: Option<(Limit, Slot)>,
    /// Consul has not said yet whether the lock has become another row.
    pub(super) is_uncertain: bool,
}

impl Claim {
    /// The claim of a lock that was acquired, with that slot if it shares its key.
    pub(super) fn of(spec: &LockSpec, slot: Option<Slot>) -> Claim {
        Claim {
            keys: spec.keys.clone(),
            share: spec.want.limit().zip(slot),
            is_uncertain: false,
        }
    }

    /// The row that is watched, and that a guarded write names. (The rows go together, as their session does.)
    pub(super) fn row(&self) -> Key {
        let key = self.keys.get(0);
        match self.share {
            Some((limit, slot)) => limit.row_of(key, slot),
            None => key.clone(),
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> Vec<Key> {
        match self.share {
            Some(_) => vec![self.row()],
            None => self.keys.all().to_vec(),
        }
    }

    /// The question whether the session holds all rows, for the leader.
    pub(super) fn proof_of(&self, session: &SessionId) -> Request {
        let rows = self.rows();
        if rows.len() > 1 {
            return Request::Prove {
                rows,
                session: session.clone(),
                gates: Vec::new(),
            };
        }
        Request::Read {
            key: self.row(),
            consistent: true,
        }
    }

    /// The number among those who share the key with a limit.
    pub(super) fn slot_in_limit(&self) -> Option<u16> {
        let (_, slot) = self.share.filter(|(limit, _)| *limit != Limit::READERS)?;
        Some(slot.get())
    }

    /// Keeps the slot from the other locks of this process.
    pub(super) fn begin(&self, ctx: &mut Context) {
        if let Some((_, slot)) = self.share {
            ctx.waiters.note_share(self.keys.get(0), slot);
        }
    }

    /// Gives the slot to the other locks of this process.
    pub(super) fn end(&self, ctx: &mut Context) {
        if let Some((_, slot)) = self.share {
            ctx.waiters.end_share(self.keys.get(0), slot);
        }
    }
}
