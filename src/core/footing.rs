//! One look at the nodes that the sessions of a core are bound to.
//!
//! Consul ends every session of a node that it removes, whatever is left of the TTL. Consul removes the node of
//! a server by itself, some ten seconds after the server has gone silent. So the library logs a warning when
//! its sessions are bound to the node of a server, or to a `session_node` that an agent may own. The answers
//! are advice: the look begins when a lock has been held for a second, no lock waits for it, and the library
//! does without what its token may not read.

use std::collections::BTreeSet;
use std::time::Duration;

use super::alarms::{Alarm, Owner};
use super::interface::{Level, RequestId};
use super::log::Often;
use super::messages::{Answer, Fault, Request, SessionId};
use super::outbox::Outbox;

/// A program that holds its locks for a shorter time has nothing to fear.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the library waits for an answer. A server that has lost the others may answer after half a
/// minute, or never.
const LIMIT: Duration = Duration::from_secs(5);

/// How far the look has come.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) enum Footing {
    /// The look has not begun, or has failed: it begins with the next lock.
    #[default]
    Unseen,
    /// A lock was taken, and the look begins a second later.
    Due,
    /// The question whether the agent is a server, or whether the `session_node` is marked as a node that no
    /// agent owns.
    Asked(RequestId),
    /// The agent is a server with this node. The question whether a session of this core is bound to it.
    Server(RequestId, String),
    /// The look is over.
    Seen,
}

impl Footing {
    /// The question that is on its way.
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

    /// Asks, if a lock is held; gives up a question that is not answered.
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
                // Locks that were given back meanwhile have no session.
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

    /// Ends the look for good.
    pub(super) fn end(&mut self, out: &mut Outbox) {
        let before = std::mem::replace(self, Footing::Seen);
        if let Some(request) = before.request() {
            out.abort(request);
        }
        out.alarms.set(Alarm::Footing, None);
    }
}

/// The alarm ends the question, not the limit of a request: an agent that is slow with this answer may be quick
/// with others.
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
