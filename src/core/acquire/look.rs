//! A look at the key, and what follows from what it shows.

use super::attempt::{CONTRADICTION_PAUSE, FASTER_OTHERS};
use super::*;

/// A watch may go on for so long after the deadline.
const AFTERWARDS: Duration = Duration::from_millis(100);

impl Acquire {
    pub(super) fn read_request(&self) -> Request {
        Request::Read {
            key: self.key().clone(),
            consistent: false,
        }
    }

    /// Looks at what keeps this waiter from the keys: the key itself, as long as others stand before the waiter;
    /// at the front of the line, where that says more, all keys and what stands below them.
    pub(super) fn look(&mut self, ctx: &mut Context) {
        if self.surveys() && !self.is_behind() {
            self.survey(ctx);
        } else {
            self.look_at_key(ctx);
        }
    }

    pub(super) fn look_at_key(&mut self, ctx: &mut Context) {
        self.step = Step::Look(self.ask(ctx, self.read_request()));
    }

    /// This waiter needs to know more than its one key.
    pub(super) fn surveys(&self) -> bool {
        self.shares() || self.spec.keys.are_several()
    }

    /// Asks whether the keys are free, and what stands below them.
    pub(super) fn survey(&mut self, ctx: &mut Context) {
        let keys = self.spec.keys.all().iter().zip(&self.attempt.found);
        let targets = keys.map(|(key, found)| LockTarget {
            key: key.clone(),
            found: *found,
        });
        let knows_readers = self.attempt.taken_slots > 0;
        let sharers = match self.spec.want {
            Want::Exclusive if !self.is_single() => Sharers::None,
            Want::Share(Limit::READERS) if knows_readers => Sharers::All,
            _ => self.whom_to_see(),
        };
        let request = Request::Survey {
            targets: targets.collect(),
            see: See {
                line: self.wants_ticket(ctx),
                sharers,
            },
        };
        self.step = Step::Survey(self.ask(ctx, request));
    }

    pub(super) fn surveyed(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Line(mut below)) => {
                self.answered();
                if let Some(conflict) = self.find_conflict(ctx, &below) {
                    return conflict;
                }
                if self.standing.place.is_some() && !self.take_place(ctx, &mut below) {
                    return Progress::GoesOn;
                }
                let own = self.session.id();
                if self.wants_ticket(ctx) {
                    self.note_lines(ctx, &below, own.as_ref());
                }
                self.find_all_free(ctx, below)
            }
            Ok(Answer::Exists(number)) => {
                self.answered();
                self.at = number;
                self.attempt.contradictions += 1;
                match self.attempt.contradictions.checked_sub(FASTER_OTHERS + 1) {
                    None => self.look_at_key(ctx),
                    Some(more) => {
                        let pause = ctx.out.back_off(more + 1).min(CONTRADICTION_PAUSE);
                        self.pause(ctx, pause, Next::LookAtKey);
                    }
                }
                Progress::GoesOn
            }
            answer => self.failed(ctx, answer, Access::Read, Next::Survey),
        }
    }

    /// A survey showed all keys to be free.
    fn find_all_free(&mut self, ctx: &mut Context, below: Vec<Below>) -> Progress {
        if self.is_single() && self.known.not_free.is_some() {
            return Progress::Failed(self.not_acquired(ctx));
        }
        if self.is_behind() {
            self.follow(ctx);
        } else if self.standing.place.is_none() && self.wants_ticket(ctx) && self.others_waited(ctx)
        {
            self.get_ticket(ctx);
        } else if self.shares() {
            let below = below.first().cloned().unwrap_or_default();
            return self.share(ctx, &below);
        } else if self.is_single()
            && let Some((_, one)) = self.others_among(below.clone()).first()
        {
            let sharers = below.into_iter().flat_map(|below| below.sharers);
            self.note_not_free(ctx, Blocker::Sharers(sharers.collect()));
            return self.ask_name(ctx, Some(one.session.clone()));
        } else {
            self.attempt(ctx);
        }
        Progress::GoesOn
    }

    pub(super) fn watch_key(&mut self, ctx: &mut Context, index: u64) {
        // The deadline ends the wait; the query must not go on for long after it.
        let until = self.by() + AFTERWARDS;
        let until = until.min(ctx.out.time() + LONGEST_WATCH);
        let key = self.key().clone();
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
                let found = row.map_or(Found::Absent, |row| Found::Unlocked(row.modify_index));
                self.attempt.set_found(self.at, found);
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
        if self.is_behind() {
            self.free_behind(ctx, woken);
        } else if self.standing.place.is_none() && self.wants_ticket(ctx) && self.others_waited(ctx)
        {
            self.get_ticket(ctx);
        } else if self.surveys() {
            self.survey(ctx);
        } else {
            self.attempt(ctx);
        }
        Progress::GoesOn
    }

    pub(super) fn found_held(&mut self, ctx: &mut Context, row: KeyRow, index: u64) -> Progress {
        if self.session.id() == row.session {
            // Consul applied an attempt whose answer was lost. The next one says so.
            self.answered();
            self.attempt.set_ours();
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
        self.note_not_free(ctx, Blocker::Holder(row));
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
        } else if self.is_behind() {
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
