//! Watching the key of a held lock, so that a loss is told in a round trip and not at the end of the
//! lease: an agent's leave, an operator or a deregistration end sessions early.
//!
//! It shares the key's watch with those who wait for it here, and goes without when connections are
//! scarce (`watch.rs`).

use std::time::Duration;

use super::alarms::Owner;
use super::context::Context;
use super::held::Held;
use super::interface::{LockId, RequestId};
use super::lock::{Machine, State};
use super::messages::{Answer, Fault, Request};
use super::watch::{Need, News};
use crate::clock::Time;
use crate::error::{LostReason, Status};

/// A lock that is held for a shorter time is not worth a connection; and so long is the pause after
/// a watch that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// While nothing happens, ask again after this time.
const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// The watch of one held lock.
#[derive(Debug)]
pub(super) struct Monitor {
    /// From which index on to watch.
    index: u64,
    /// When to begin.
    at: Option<Time>,
    /// What was seen is checked: a server that lags behind says what was.
    check: Option<RequestId>,
}

impl Monitor {
    /// `token`: the key was last changed then, by us.
    pub(super) fn begin(ctx: &Context, token: u64) -> Monitor {
        Monitor {
            index: token,
            at: Some(ctx.out.time() + PAUSE),
            check: None,
        }
    }

    /// When to call [`Machine::watch_over`], at the latest.
    pub(super) fn next(&self) -> Option<Time> {
        self.at
    }
}

impl Held {
    /// Nobody wants to know any more.
    pub(super) fn end_monitor(&mut self, ctx: &mut Context, lock: LockId) {
        if let Some(monitor) = self.monitor.take() {
            ctx.watches.unwatch(&mut ctx.out, lock);
            if let Some(check) = monitor.check {
                ctx.out.abort(check);
            }
        }
    }
}

impl Machine {
    fn monitor(&mut self) -> Option<&mut Monitor> {
        match &mut self.state {
            State::Held(held) => held.monitor.as_mut(),
            _ => None,
        }
    }

    /// Begins to watch when it is time.
    pub(super) fn watch_over(&mut self, ctx: &mut Context) {
        let now = ctx.out.time();
        let key = self.key.clone();
        let lock = self.id;
        if let Some(monitor) = self.monitor()
            && monitor.at.is_some_and(|at| now >= at)
        {
            monitor.at = None;
            let until = now + LONGEST_WATCH;
            ctx.watches.watch(
                &mut ctx.out,
                lock,
                key,
                monitor.index,
                until,
                Need::Courtesy,
            );
        }
    }

    /// The watch of the key found something, or nothing.
    pub(super) fn saw_key(&mut self, ctx: &mut Context, news: News) {
        let now = ctx.out.time();
        let owner = Owner::Upkeep(self.id);
        let (key, by) = (self.key.clone(), now + ctx.out.config.request_timeout);
        let State::Held(held) = &mut self.state else {
            return;
        };
        let Some(monitor) = &mut held.monitor else {
            return;
        };
        match news {
            News::Row {
                row: Some(row),
                index,
            } if row.session.as_ref() == Some(&held.session.id) => {
                monitor.index = index;
                monitor.at = Some(now);
            }
            News::Row { .. } | News::Gone => {
                let request = Request::Read {
                    key,
                    consistent: true,
                };
                monitor.check = Some(ctx.out.send(owner, request, by));
            }
            // No right to read the key: then not.
            News::Refused(error) if error.status == Status::Denied => {
                held.end_monitor(ctx, self.id);
            }
            // What is not Consul's (a page of a proxy) says nothing about the next answer.
            News::Nothing | News::Failed(_) | News::Refused(_) => monitor.at = Some(now + PAUSE),
        }
        self.watch_over(ctx);
    }

    /// The leader's own word on what the watch saw. True: it was asked for this.
    pub(super) fn key_checked(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        answer: &Result<Answer, Fault>,
    ) -> bool {
        let now = ctx.out.time();
        let State::Held(held) = &mut self.state else {
            return false;
        };
        let Some(monitor) = held.monitor.as_mut().filter(|m| m.check == Some(request)) else {
            return false;
        };
        monitor.check = None;
        match answer {
            Ok(Answer::Row { row, index }) => match row.as_ref().map(|row| row.session.as_ref()) {
                Some(Some(holder)) if *holder == held.session.id => {
                    monitor.index = *index;
                    monitor.at = Some(now + PAUSE);
                }
                Some(Some(_)) => self.lose(ctx, LostReason::TakenOver),
                Some(None) | None => self.lose(ctx, LostReason::KeyGone),
            },
            _ => monitor.at = Some(now + PAUSE),
        }
        true
    }
}
