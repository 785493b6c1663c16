//! Failures that may pass: the acquire pauses and tries again.

use super::*;
use crate::core::failures::Failures;

/// Consul may come to know a token that it does not know now: a token that was just made reaches one server
/// later than others, and an agent remembers for half a minute that there was none. So long a waiter tries
/// again.
const TOKEN_SETTLES: Duration = Duration::from_secs(60);

/// Which requests fail. Reads may work where writes do not, so the library counts them apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// The failures since Consul last did what it was asked for.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    reads: Failures,
    /// With those of a session: only its use shows that it lives.
    pub(super) writes: Failures,
}

impl Setbacks {
    pub(super) fn writes_work(&self) -> bool {
        self.writes.count() == 0
    }

    pub(super) fn reads_work_again(&mut self) {
        self.reads.clear();
    }
}

impl Acquire {
    /// Consul gave a usable answer to a question. Whether Consul would also write is another question.
    pub(super) fn answered(&mut self) {
        self.setbacks.reads.clear();
        if self.setbacks.writes_work() {
            self.known.fault = None;
        }
    }

    /// Consul wrote what the library asked for, or said why not.
    pub(super) fn wrote(&mut self) {
        self.setbacks.writes.clear();
        self.answered();
    }

    /// A request failed that may work a moment later.
    pub(super) fn retry_later(
        &mut self,
        ctx: &mut Context,
        access: Access,
        cause: &Error,
        next: Next,
    ) -> Progress {
        let error = ctx.out.error_from(cause, WHAT, self.spec.keys.label());
        // A lock that Consul may have given already is followed up, by a single attempt as well.
        let is_repeated = match next {
            Next::Try => self.attempt.request.is_some(),
            Next::HandOut(_) | Next::Prove => true,
            _ => false,
        };
        if self.is_single() && !is_repeated {
            return Progress::Failed(error);
        }
        let failures = match access {
            Access::Read => &mut self.setbacks.reads,
            Access::Write => &mut self.setbacks.writes,
        };
        let pause = failures.pause_after(&mut ctx.out, &error);
        if self.arrival.is_some() {
            let (key, now) = (self.key(), ctx.out.time());
            ctx.waiters.known(key).fault = Some(error.clone());
            // All waiters of this process have the same token.
            let is_denied = error.status == Status::Denied;
            if is_denied && ctx.waiters.note_denied(key, now) >= TOKEN_SETTLES {
                return Progress::Failed(error);
            }
        }
        self.known.fault = Some(error);
        self.pause(ctx, pause, next);
        Progress::GoesOn
    }

    /// What follows an answer that no other arm of a match expects: a failure, or a reply to another request.
    pub(super) fn failed(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
        access: Access,
        next: Next,
    ) -> Progress {
        match answer {
            Err(fault) => self.retry_later(ctx, access, fault.error(), next),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }
}
