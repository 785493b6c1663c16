//! Looking at the key, and what follows from what is seen.

use std::time::Duration;

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
        let request = ctx
            .out
            .send(Owner::Lock(self.lock), self.read_request(), self.by());
        self.step = Step::Look(request);
    }

    pub(super) fn watch_key(&mut self, ctx: &mut Context, index: u64) {
        // The deadline comes first, but nothing is asked that would go on for long after it.
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
            Err(fault) => self.retry_later(ctx, Access::Read, fault.error(), Next::Look),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
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
                self.found = row.map_or(Found::Absent, |row| Found::Unlocked(row.modify_index));
                self.answered();
                self.found_free(ctx, woken)
            }
        }
    }

    /// A key that no session holds is a lock that was given back, as Go's client leaves it, or the
    /// data of another program. One that is empty and has no flags has nothing to lose.
    fn is_lock(&self, ctx: &Context, row: &KeyRow) -> bool {
        match row.flags {
            0 => row.value.0.is_empty(),
            flags => flags == ctx.out.config.flags,
        }
    }

    pub(super) fn found_free(&mut self, ctx: &mut Context, woken: bool) -> Progress {
        // Its one attempt was refused; that the key is free again is too late.
        if self.once() && self.refused.is_some() {
            return Progress::Failed(self.not_acquired(ctx));
        }
        match &self.place {
            Some(place) if !place.ahead.is_empty() => self.free_behind(ctx, woken),
            None if self.wants_ticket(ctx) && ctx.waiters.others_waited(&self.spec.key) => {
                self.get_ticket(ctx)
            }
            _ => self.attempt(ctx),
        }
        Progress::GoesOn
    }

    pub(super) fn found_held(&mut self, ctx: &mut Context, row: KeyRow, index: u64) -> Progress {
        let now = ctx.out.time();
        if self.session.as_ref().map(|s| &s.id) == row.session.as_ref() {
            // Our own: an attempt whose answer was lost was applied. The next one says so.
            self.answered();
            self.found = Found::Ours;
            self.place = None;
            self.attempt(ctx);
            return Progress::GoesOn;
        }
        let unchanged = self.refused.as_ref().and_then(|r| r.holder.as_ref()) == Some(&row);
        // That it is held is the truth now, whatever else has failed.
        self.reads.clear();
        self.contradictions = 0;
        self.fault = None;
        let holder = row.session.clone();
        self.refuse(ctx, Some(row));
        if self.once() {
            return self.ask_name(ctx, holder);
        }
        if self.in_last_part(now) {
            let _ = self.ask_name(ctx, holder);
        }
        // The index went backwards (a restored snapshot): it means nothing any more.
        if matches!(&self.step, Step::Watch { subject: Subject::Key, index: before, .. }
            if index < *before)
        {
            self.look(ctx);
            return Progress::GoesOn;
        }
        match &self.place {
            Some(place) if !place.ahead.is_empty() => {
                let was_static = matches!(
                    &self.step,
                    Step::Watch {
                        subject: Subject::Key,
                        ..
                    }
                );
                if was_static && !unchanged {
                    self.follow(ctx);
                } else if was_static {
                    self.read_line(ctx, false);
                } else {
                    self.wait_behind(ctx, index);
                }
            }
            None if self.wants_ticket(ctx) => self.get_ticket(ctx),
            _ => self.watch_key(ctx, index),
        }
        Progress::GoesOn
    }

    /// Makes sure of the answer in the last part of the time.
    pub(super) fn look_last(&mut self, ctx: &mut Context) {
        if self.is_parked() {
            let from = self.last_part.unwrap_or_default();
            if ctx.waiters.sight(&self.spec.key).is_refused_since(from) {
                self.last_look_at = None;
                return;
            }
            if let Err(again) = ctx.waiters.may_ask_for_all(&self.spec.key, ctx.out.time()) {
                self.last_look_at = Some(again);
                return;
            }
        }
        self.last_look_at = None;
        let request = self.read_request();
        self.last_look = Some(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
    }

    /// The look in the last part of a wait: it only makes sure.
    pub(super) fn last_looked(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Row { row: Some(row), .. }) if row.session.is_some() => {
                let holder = row.session.clone();
                self.refuse(ctx, Some(row));
                self.ask_name(ctx, holder)
            }
            Ok(Answer::Row { row, index }) => {
                let behind = self
                    .place
                    .as_ref()
                    .is_some_and(|place| !place.ahead.is_empty());
                if behind || self.is_parked() {
                    // Free, but others come first.
                    self.refuse(ctx, None);
                } else if let Step::Watch { .. } = self.step {
                    // The watch says so, too, or will never say anything.
                    ctx.watches.unwatch(&mut ctx.out, self.lock);
                    return self.saw(ctx, row, index, true);
                }
                Progress::GoesOn
            }
            Err(fault) => {
                self.fault = Some(ctx.out.error_from(fault.error(), WHAT, &self.spec.key));
                Progress::GoesOn
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// Asks for the name of the holder, for the message. One attempt ends with the answer.
    pub(super) fn ask_name(&mut self, ctx: &mut Context, holder: Option<SessionId>) -> Progress {
        let known = self.holder_name.as_ref().map(|(id, _)| id);
        match holder {
            Some(session)
                if session.is_readable()
                    && known != Some(&session)
                    && self.name_request.is_none() =>
            {
                let request = Request::DescribeSession {
                    session: session.clone(),
                };
                let by = self.by().min(ctx.out.time() + NAME_LIMIT);
                let id = ctx.out.send(Owner::Lock(self.lock), request, by);
                self.name_request = Some((id, session));
                if self.once() {
                    self.step = Step::Name;
                }
                Progress::GoesOn
            }
            _ if self.once() => Progress::Failed(self.not_acquired(ctx)),
            _ => Progress::GoesOn,
        }
    }

    pub(super) fn named(
        &mut self,
        ctx: &mut Context,
        session: SessionId,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        if let Ok(Answer::Described(row)) = answer {
            if self.arrival.is_some() {
                ctx.waiters.sight(&self.spec.key).name = Some((session.clone(), row.clone()));
            }
            self.holder_name = Some((session, row));
        }
        match self.step {
            Step::Name => Progress::Failed(self.not_acquired(ctx)),
            _ => Progress::GoesOn,
        }
    }
}
