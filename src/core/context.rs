//! What the locks of one core share.

use std::collections::BTreeSet;

use super::footing::Footing;
use super::interface::Config;
use super::messages::SessionId;
use super::outbox::Outbox;
use super::pool::Pool;
use super::waiters::LocalWaiters;
use super::watch::Watches;

/// Everything of a core but its locks and inquiries.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Context {
    pub(super) out: Outbox,
    pub(super) pool: Pool,
    pub(super) watches: Watches,
    pub(super) waiters: LocalWaiters,
    pub(super) footing: Footing,
    /// The sessions with which locks of this core hold a key. An error text says "this very process" by them.
    pub(super) holding: BTreeSet<SessionId>,
}

impl Context {
    pub(super) fn new(config: Config) -> Context {
        Context {
            out: Outbox::new(config),
            pool: Pool::default(),
            watches: Watches::default(),
            waiters: LocalWaiters::default(),
            footing: Footing::default(),
            holding: BTreeSet::new(),
        }
    }

    /// From now on the core keeps no session warm, and does nothing that no caller waits for.
    pub(super) fn drain(&mut self) {
        self.footing.end(&mut self.out);
        self.pool.drain(&mut self.out);
        self.watches.hang_up(&mut self.out);
    }
}
