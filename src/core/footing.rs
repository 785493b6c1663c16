//! What the sessions of a core stand on: one look, once.
//!
//! Consul ends every session of a node that it removes, whatever is left of its TTL. A server's node it
//! removes by itself, some ten seconds after the server has gone silent; so people are told when their
//! sessions stand on one, or on a `session_node` that an agent may own. The answers are advice: the look
//! begins when a lock has been held for a second, no lock waits for it, and what it may not see is let be.

use std::time::Duration;

use super::context::{Alarm, Context, Owner};
use super::log::Often;
use super::messages::{Answer, Fault, Request};
use super::{Level, RequestId};

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
}

impl Context<'_> {
    /// A lock was taken.
    pub(super) fn note_taken(&mut self) {
        if matches!(self.shared.footing, Footing::Unseen) {
            self.shared.footing = Footing::Due;
            let at = self.time() + PAUSE;
            self.shared.alarms.set(Alarm::Footing, Some(at));
        }
    }

    /// Asks, if a lock is held; gives up what was asked and is not answered.
    pub(super) fn look_at_footing(&mut self) {
        let before = std::mem::take(&mut self.shared.footing);
        if let Some(request) = before.request() {
            self.abort(request);
        } else if !self.shared.holding.is_empty() {
            let node = self.shared.config.session_node.as_ref();
            let request = match node.map(|node| node.name.clone()) {
                Some(node) => Request::DescribeNode { node },
                None => Request::DescribeAgent,
            };
            self.shared.footing = Footing::Asked(self.ask_of_footing(request));
            let at = self.time() + LIMIT;
            self.shared.alarms.set(Alarm::Footing, Some(at));
        }
    }

    /// Takes in an answer.
    pub(super) fn footing_replied(&mut self, answer: Result<Answer, Fault>) {
        let before = std::mem::replace(&mut self.shared.footing, Footing::Seen);
        match (before, answer) {
            (Footing::Asked(_), Ok(Answer::Agent(Some(agent)))) if agent.server_among_others => {
                // What was given back meanwhile stands on nothing.
                self.shared.footing = Footing::Unseen;
                if let Some(session) = self.shared.holding.first().cloned() {
                    let request = self.ask_of_footing(Request::DescribeSession { session });
                    self.shared.footing = Footing::Server(request, agent.node);
                    return;
                }
            }
            (Footing::Asked(_), Ok(Answer::Node(Some(node)))) if !node.external => {
                self.warn_of_node();
            }
            (Footing::Server(_, node), Ok(Answer::Described(Some(session))))
                if session.node == node =>
            {
                self.warn_of_server(&node);
            }
            (_, Err(Fault::NotApplied(_) | Fault::Unknown(_))) => {
                self.shared.footing = Footing::Unseen;
            }
            _ => {}
        }
        self.shared.alarms.set(Alarm::Footing, None);
    }

    /// Nothing is to be begun any more.
    pub(super) fn end_footing(&mut self) {
        let before = std::mem::replace(&mut self.shared.footing, Footing::Seen);
        if let Some(request) = before.request() {
            self.abort(request);
        }
        self.shared.alarms.set(Alarm::Footing, None);
    }

    /// The alarm ends it, not the limit of a request: that an agent is slow with this says nothing about
    /// its other answers.
    fn ask_of_footing(&mut self, request: Request) -> RequestId {
        let by = self.time() + self.shared.config.request_timeout;
        self.send(Owner::Footing, request, by)
    }

    fn warn_of_server(&mut self, node: &str) {
        let address = self.shared.config.address.clone();
        self.log(Level::Warn, Often::Always, || {
            format!(
                "the agent at {address} is a Consul server, and sessions that are made through it are bound to \
                 its node \"{node}\": when that server dies, is cut off or stays down for some ten seconds, \
                 Consul removes the node and ends its sessions, and so their locks, long before their time. \
                 Set the option session_node, or use a client agent with leave_on_terminate = false \
                 (docs/guarantees.md)"
            )
        });
    }

    fn warn_of_node(&mut self) {
        let address = self.shared.config.address.clone();
        let node = self.shared.config.session_node.as_ref();
        let name = node.map(|node| node.name.clone()).unwrap_or_default();
        self.log(Level::Warn, Often::Always, || {
            format!(
                "the node \"{name}\" (option session_node) at {address} is not marked with the meta \
                 external-node = \"true\": if an agent owns it, Consul ends the sessions when that agent leaves or \
                 is removed. Choose a name that no agent has (docs/guarantees.md)"
            )
        });
    }
}
