//! What the sessions of a core stand on: one look, once.
//!
//! Consul ends every session of a node that it removes, whatever is left of its TTL. A server's node it
//! removes by itself, some ten seconds after the server has gone silent; so people are told when their
//! sessions stand on one, or on a `session_node` that an agent may own. The answers are advice: the look
//! begins when a lock has been held for a second, no lock waits for it, and what it may not see is let be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::alarms::{Alarm, Owner};
use super::interface::{Level, RequestId};
use super::log::Often;
use super::messages::{Answer, Fault, Request, SessionId};
use super::outbox::Outbox;

/// A program whose locks are shorter has nothing to fear.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that has lost the others may answer after half a minute, or never.
const LIMIT: Duration = Duration::from_secs(5);

/// How far the look has come.
#[derive(Debug, Default)]
pub(super) enum Footing {
    /// Not begun, or it failed: with the next lock.
    #[default]
    Unseen,
    /// A lock was taken.
    Due,
    /// Is the agent a server? Or: is the `session_node` marked as one that no agent owns?
    Asked(RequestId),
    /// The agent is the server of that name. Is a session of ours bound to its node?
    Server(RequestId, String),
    /// It is over.
    Seen,
}

impl Footing {
    /// What is asked.
    fn request(&self) -> Option<RequestId> {
        match self {
            Footing::Asked(request) | Footing::Server(request, _) => Some(*request),
            Footing::Unseen | Footing::Due | Footing::Seen => None,
        }
    }

    /// A lock was taken.
    pub(super) fn note_taken(&mut self, out: &mut Outbox) {
        if matches!(*self, Footing::Unseen) {
            *self = Footing::Due;
            let at = out.time() + PAUSE;
            out.alarms.set(Alarm::Footing, Some(at));
        }
    }

    /// Asks, if a lock is held; gives up what was asked and is not answered.
    pub(super) fn look(&mut self, out: &mut Outbox, holding: &BTreeSet<SessionId>) {
        let before = std::mem::take(self);
        if let Some(request) = before.request() {
            out.abort(request);
        } else if !holding.is_empty() {
            let node = out.config.session_node.as_ref();
            let request = match node.map(|node| node.name.clone()) {
                Some(node) => Request::DescribeNode { node },
                None => Request::DescribeAgent,
            };
            *self = Footing::Asked(ask(out, request));
            let at = out.time() + LIMIT;
            out.alarms.set(Alarm::Footing, Some(at));
        }
    }

    /// Takes in an answer.
    pub(super) fn replied(
        &mut self,
        out: &mut Outbox,
        holding: &BTreeSet<SessionId>,
        answer: Result<Answer, Fault>,
    ) {
        let before = std::mem::replace(self, Footing::Seen);
        match (before, answer) {
            (Footing::Asked(_), Ok(Answer::Agent(Some(agent)))) if agent.server_among_others => {
                // What was given back meanwhile stands on nothing.
                *self = Footing::Unseen;
                if let Some(session) = holding.first().cloned() {
                    let request = ask(out, Request::DescribeSession { session });
                    *self = Footing::Server(request, agent.node);
                    return;
                }
            }
            (Footing::Asked(_), Ok(Answer::Node(Some(node)))) if !node.external => {
                warn_of_node(out);
            }
            (Footing::Server(_, node), Ok(Answer::Described(Some(session))))
                if session.node == node =>
            {
                warn_of_server(out, &node);
            }
            (_, Err(Fault::NotApplied(_) | Fault::Unknown(_))) => {
                *self = Footing::Unseen;
            }
            _ => {}
        }
        out.alarms.set(Alarm::Footing, None);
    }

    /// Nothing is to be begun any more.
    pub(super) fn end(&mut self, out: &mut Outbox) {
        let before = std::mem::replace(self, Footing::Seen);
        if let Some(request) = before.request() {
            out.abort(request);
        }
        out.alarms.set(Alarm::Footing, None);
    }
}

/// The alarm ends it, not the limit of a request: that an agent is slow with this says nothing about
/// its other answers.
fn ask(out: &mut Outbox, request: Request) -> RequestId {
    let by = out.time() + out.config.request_timeout;
    out.send(Owner::Footing, request, by)
}

fn warn_of_server(out: &mut Outbox, node: &str) {
    let address = out.config.address.clone();
    out.log(Level::Warn, Often::Always, || {
        format!(
            "the agent at {address} is a Consul server, and sessions that are made through it are bound to \
             its node \"{node}\": when that server dies, is cut off or stays down for some ten seconds, \
             Consul removes the node and ends its sessions, and so their locks, long before their time. \
             Set the option session_node, or use a client agent with leave_on_terminate = false \
             (docs/guarantees.md)"
        )
    });
}

fn warn_of_node(out: &mut Outbox) {
    let address = out.config.address.clone();
    let node = out.config.session_node.as_ref();
    let name = node.map(|node| node.name.clone()).unwrap_or_default();
    out.log(Level::Warn, Often::Always, || {
        format!(
            "the node \"{name}\" (option session_node) at {address} is not marked with the meta \
             external-node = \"true\": if an agent owns it, Consul ends the sessions when that agent leaves or \
             is removed. Choose a name that no agent has (docs/guarantees.md)"
        )
    });
}
