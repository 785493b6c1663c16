//! A look at the key, and what follows from what it shows.

use super::*;

/// A watch may go on for so long after the deadline.
const AFTERWARDS: Duration = Duration::from_millis(100);

impl Acquire {
    pub(super) fn read_request(&self) -> Request {
        Request::Read {
            key: self.spec.key.clone(),
            consistent: false,
        }
    }

    pub(super) fn look(&mut self, ctx: &mut Context) {
        self.step = Step::Look(self.ask(ctx, self.read_request()));
    }

    pub(super) fn watch_key(&mut self, ctx: &mut Context, index: u64) {
        // The deadline ends the wait; the query must not go on for long after it.
        let until = self.by() + AFTERWARDS;
        let until = until.min(ctx.out.time() + LONGEST_WATCH);
        let key = self.spec.key.clone();
        self.watch(ctx, Subject::Key, key, index, until);
    }

    pub(super) fn watch(
        &mut self,
        ctx: &mut Context,
        subject: Subject,
        key: Key,
        index: u64,
        until: Time,
    ) {
        self.step = Step::Watch { subject, index };
        ctx.watches
            .watch(&mut ctx.out, self.lock, key, index, until, Need::Waiting);
    }

    pub(super) fn looked(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Row { row, index }) => self.saw(ctx, row, index, false),
            answer => self.failed(ctx, answer, Access::Read, Next::Look),
        }
    }

    /// The key as it is now. `woken`: it was held before.
    pub(super) fn saw(
        &mut self,
        ctx: &mut Context,
        row: Option<KeyRow>,
        index: u64,
        woken: bool,
    ) -> Progress {
        match row {
            Some(row) if row.session.is_some() => self.found_held(ctx, row, index),
            Some(row) if !self.is_lock(ctx, &row) => Progress::Failed(self.occupied(ctx, &row)),
            row => {
                self.attempt.found =
                    row.map_or(Found::Absent, |row| Found::Unlocked(row.modify_index));
                self.answered();
                self.found_free(ctx, woken)
            }
        }
    }

    /// A key that no session holds is a lock that was given back, as Consul's Go client leaves it, or the
    /// data of another program. A key that is empty and has no flags has nothing to lose.
    fn is_lock(&self, ctx: &Context, row: &KeyRow) -> bool {
        match row.flags {
            0 => row.value.0.is_empty(),
            flags => flags == ctx.out.config.flags,
        }
    }

    pub(super) fn found_free(&mut self, ctx: &mut Context, woken: bool) -> Progress {
        // The single attempt was refused: that the key is free now comes too late.
        if self.is_single() && self.known.not_free.is_some() {
            return Progress::Failed(self.not_acquired(ctx));
        }
        let others_waited = || ctx.waiters.others_waited(&self.spec.key);
        if self.standing.is_behind() {
            self.free_behind(ctx, woken);
        } else if self.standing.place.is_none() && self.wants_ticket(ctx) && others_waited() {
            self.get_ticket(ctx);
        } else {
            self.attempt(ctx);
        }
        Progress::GoesOn
    }

    pub(super) fn found_held(&mut self, ctx: &mut Context, row: KeyRow, index: u64) -> Progress {
        if self.session.id() == row.session {
            // Consul applied an attempt whose answer was lost. The next one says so.
            self.answered();
            self.attempt.found = Found::Ours;
            self.standing.place = None;
            self.attempt(ctx);
            return Progress::GoesOn;
        }
        let is_unchanged = self.known.holder() == Some(&row);
        // The key is held now, whatever else has failed.
        self.setbacks.reads_work_again();
        self.attempt.contradictions = 0;
        self.known.fault = None;
        let holder = row.session.clone();
        self.note_not_free(ctx, Some(row));
        if self.is_single() {
            return self.ask_name(ctx, holder);
        }
        if self.last_look.has_begun(ctx.out.time()) {
            let _ = self.ask_name(ctx, holder);
        }
        // An index that went backwards (a restored snapshot) means nothing any more.
        if matches!(&self.step, Step::Watch { subject: Subject::Key, index: before, .. }
            if index < *before)
        {
            self.look(ctx);
        } else if self.standing.is_behind() {
            match self.step.watches_key() {
                true if is_unchanged => self.read_line(ctx, false),
                true => self.follow(ctx),
                false => self.wait_behind(ctx, index),
            }
        } else if self.standing.place.is_none() && self.wants_ticket(ctx) {
            self.get_ticket(ctx);
        } else {
            self.watch_key(ctx, index);
        }
        Progress::GoesOn
    }
}
