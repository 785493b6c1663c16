//! The errors of an acquire that ended without the lock.

use super::{Acquire, WHAT};
use crate::core::context::Context;
use crate::core::interface::SessionNode;
use crate::core::locked_at;
use crate::core::messages::{KeyRow, Limit, SessionId, SessionRow, Sharer};
use crate::core::waiters::{Blocker, Known};
use crate::error::{Error, Status};
use crate::text::one_line;

/// How many bytes of the name of a session or a node an error text shows at most.
const LONGEST_NAME: usize = 200;

impl Acquire {
    pub(super) fn unexpected(&self, ctx: &Context) -> Error {
        ctx.out.error(
            Status::Internal,
            WHAT,
            self.spec.keys.label(),
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
            .error(Status::Unavailable, WHAT, self.spec.keys.label(), &why)
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
        let mut error = ctx
            .out
            .error(Status::Rejected, WHAT, self.spec.keys.label(), &why);
        error.retryable = false;
        error
    }

    /// The lock is not free. The text names the holder, or those who share it, as far as Consul said it.
    pub(super) fn not_acquired(&self, ctx: &Context) -> Error {
        if let Some(conflict) = &self.known.conflict {
            let (limits, session) = &**conflict;
            return self.limits_differ(ctx, *limits, session);
        }
        let blocker = self.known.not_free.as_ref().map(|not_free| &not_free.by);
        let why = match blocker {
            Some(Blocker::Holder(row)) => describe(ctx, self.known.name.as_deref(), row),
            Some(Blocker::Sharers(sharers)) => self.describe_sharers(ctx, sharers),
            _ if self.attempt.delays > 0 => {
                "no session holds it, but its lock-delay runs".to_owned()
            }
            _ if self.is_parked() => "other waiters of this process come first".to_owned(),
            _ => match self.standing.ahead(self.at).len() {
                0 => FASTER.to_owned(),
                n => format!("{n} waited before this process"),
            },
        };
        let why = match self.spec.keys.are_several() && blocker.is_some() {
            true => format!("\"{}\" is not free: {why}", self.key()),
            false => why,
        };
        let label = self.spec.keys.label();
        ctx.out.error(Status::NotAcquired, WHAT, label, &why)
    }

    /// The holder that this waiter, or the first waiter of this process, saw last.
    pub(in crate::core) fn last_holder(&self, ctx: &mut Context) -> Option<String> {
        let shared = match self.arrival {
            Some(_) => self.known_of_others(ctx),
            None => Known::default(),
        };
        let known = if self.known.not_free.is_some() {
            &self.known
        } else {
            &shared
        };
        match &known.not_free.as_ref()?.by {
            Blocker::Holder(row) if row.session.is_some() => {
                let name = self.known.name.as_deref().or(shared.name.as_deref());
                Some(describe(ctx, name, row))
            }
            Blocker::Sharers(sharers) => Some(self.describe_sharers(ctx, sharers)),
            Blocker::Holder(_) | Blocker::Unknown => None,
        }
    }

    /// Says who shares the key.
    fn describe_sharers(&self, ctx: &Context, sharers: &[Sharer]) -> String {
        let name = self.known.name.as_deref();
        let named = sharers
            .iter()
            .find(|sharer| name.is_some_and(|(session, _)| *session == sharer.session))
            .or_else(|| sharers.iter().min_by_key(|sharer| sharer.create_index));
        let Some(named) = named else {
            return "others shared it a moment ago".to_owned();
        };
        let is_ours = |sharer: &Sharer| ctx.holding.contains(&sharer.session);
        let mut text = match named.limit {
            Limit::READERS => format!("{} share it", sharers.len()),
            limit => format!("{} of at most {} share it", sharers.len(), limit.get()),
        };
        // A thread that waits for a share of its own waits for ever.
        if sharers.iter().any(is_ours) {
            text.push_str(", and this very process is one of them");
        }
        let (session, row) = (&named.session, name.and_then(|(_, row)| row.as_ref()));
        match row.filter(|_| name.is_some_and(|(id, _)| id == session)) {
            Some(row) => text.push_str(&format!(
                ": session {session} \"{}\" on node {}",
                one_line(&row.name, LONGEST_NAME),
                one_line(&row.node, LONGEST_NAME)
            )),
            None => text.push_str(&format!(": session {session}")),
        }
        if let Some((since, age)) = locked_at::claimed(&named.value, ctx.out.now.unix_ms) {
            text.push_str(&format!(", since {since} by its own clock ({age} s ago)"));
        }
        match sharers.len() {
            0 | 1 => {}
            2 => text.push_str(", and one other"),
            n => text.push_str(&format!(", and {} others", n - 1)),
        }
        text
    }

    /// The key is shared with another limit, which `session` was the first to name.
    pub(super) fn limits_differ(
        &self,
        ctx: &Context,
        (ours, theirs): (Limit, Limit),
        session: &SessionId,
    ) -> Error {
        let described = self.known.name.as_deref().filter(|(id, _)| id == session);
        let described = described.and_then(|(_, row)| row.as_ref());
        let name = described.map(|row| format!(" \"{}\"", one_line(&row.name, LONGEST_NAME)));
        let what = |limit: Limit| match limit {
            Limit::READERS => "without a limit".to_owned(),
            limit => format!("by at most {}", limit.get()),
        };
        let why = format!(
            "it is shared {} (as session {session}{} does), and this lock was made to share it {}; \
             give all locks of a key the same option limit",
            what(theirs),
            name.unwrap_or_default(),
            what(ours)
        );
        let label = self.spec.keys.label();
        ctx.out.error(Status::Conflict, WHAT, label, &why)
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
