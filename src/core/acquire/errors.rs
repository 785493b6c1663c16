//! The errors of an acquire that ended without the lock.

use super::{Acquire, WHAT};
use crate::core::context::Context;
use crate::core::interface::SessionNode;
use crate::core::locked_at;
use crate::core::messages::{KeyRow, SessionId, SessionRow};
use crate::core::waiters::Known;
use crate::error::{Error, Status};
use crate::text::one_line;

/// How many bytes of the name of a session or a node an error text shows at most.
const LONGEST_NAME: usize = 200;

impl Acquire {
    pub(super) fn unexpected(&self, ctx: &Context) -> Error {
        ctx.out.error(
            Status::Internal,
            WHAT,
            &self.spec.key,
            "unexpected reply from Consul",
        )
    }

    /// Consul gave the lock, but does not confirm the lease: the library gives the lock back.
    pub(super) fn not_whole(&self, ctx: &Context) -> Error {
        let last = self
            .known
            .fault
            .as_ref()
            .map_or("no answer", |fault| &fault.message);
        let why = format!(
            "Consul gave the lock, but did not confirm in time that its whole life is ahead, so the \
             library gives it back ({last})"
        );
        ctx.out
            .error(Status::Unavailable, WHAT, &self.spec.key, &why)
    }

    /// The key holds data that is no lock. The library must not overwrite it, and a release would delete it.
    pub(super) fn occupied(&self, ctx: &Context, row: &KeyRow) -> Error {
        let what = match row.flags {
            SEMAPHORE_FLAGS => "a semaphore of Consul's Go client (consul lock -n)".to_owned(),
            flags => format!("flags {flags}"),
        };
        let why = format!(
            "the key holds data that is no lock ({} bytes, {what}, last changed at index {}); use \
             another key, or remove that data first",
            row.value.0.len(),
            row.modify_index
        );
        let mut error = ctx.out.error(Status::Rejected, WHAT, &self.spec.key, &why);
        error.retryable = false;
        error
    }

    /// The lock is not free. The text names the holder, as far as Consul said it.
    pub(super) fn not_acquired(&self, ctx: &Context) -> Error {
        let why = match self.known.holder() {
            Some(row) => describe(ctx, self.known.name.as_ref(), row),
            None if self.attempt.delays > 0 => {
                "no session holds it, but its lock-delay runs".to_owned()
            }
            None if self.is_parked() => "other waiters of this process come first".to_owned(),
            None => match self.standing.ahead().len() {
                0 => FASTER.to_owned(),
                n => format!("{n} waited before this process"),
            },
        };
        ctx.out
            .error(Status::NotAcquired, WHAT, &self.spec.key, &why)
    }

    /// The holder that this waiter, or the first waiter of this process, saw last.
    pub(in crate::core) fn last_holder(&self, ctx: &mut Context) -> Option<String> {
        let shared = match self.arrival {
            Some(_) => ctx.waiters.known(&self.spec.key).clone(),
            None => Known::default(),
        };
        let row = self.known.not_free.as_ref().or(shared.not_free.as_ref())?;
        let row = row.holder.as_ref().filter(|row| row.session.is_some())?;
        let name = self.known.name.as_ref().or(shared.name.as_ref());
        Some(describe(ctx, name, row))
    }
}

const FASTER: &str = "another client was faster";

/// Says which session holds the key of `row`; `name` is what Consul said of the session `name.0`.
fn describe(ctx: &Context, name: Option<&(SessionId, Option<SessionRow>)>, row: &KeyRow) -> String {
    let Some(session) = &row.session else {
        return FASTER.to_owned();
    };
    let named = name.filter(|(id, _)| id == session);
    let described = named.and_then(|(_, row)| row.as_ref());
    // Another client of this process may name its sessions differently; the nonce is the same.
    let nonce = ctx.out.config.identity.rsplit(' ').next();
    let ours = ctx.holding.contains(session)
        || described.is_some_and(|row| nonce.is_some_and(|nonce| row.name.contains(nonce)));
    let mut text = if ours {
        "this very process holds it, in another lock object (another thread, or a nested acquire): "
            .to_owned()
    } else {
        "held by ".to_owned()
    };
    match described {
        Some(row) => {
            text.push_str(&format!(
                "session {session} \"{}\" on node {}",
                one_line(&row.name, LONGEST_NAME),
                one_line(&row.node, LONGEST_NAME)
            ));
        }
        None => text.push_str(&format!("session {session}")),
    }
    if let Some((since, age)) = locked_at::claimed(&row.value, ctx.out.now.unix_ms) {
        text.push_str(&format!(", since {since} by its own clock ({age} s ago)"));
    }
    text
}

/// `api.SemaphoreFlagValue` of Consul's Go client.
const SEMAPHORE_FLAGS: u64 = 0xe0f6_9a2b_aa41_4de0;

/// What an operator can do where the token may not register the node.
pub(super) fn how_to_register(node: &SessionNode) -> String {
    let SessionNode { name, registration } = node;
    format!(
        "; the catalog does not have the node \"{name}\" (option session_node). A token with node:write on it makes \
         it, once: {registration}"
    )
}
