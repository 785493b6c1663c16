//! The model of Consul, in the types of the library. The model itself is the crate in `model/`, and knows nothing of
//! the library.
//!
//! A request that the model does not know is a mistake in a test, and panics here.

use consul_model as raw;
pub(super) use consul_model::{Edition, Flaw, NODE, Ticket, WatchId};

use crate::clock::Time;
use crate::consul::http::{HttpReply, HttpRequest, Method};
use crate::consul::secrets::Secrets;

/// The end of a request.
#[derive(Debug)]
pub(super) enum Served {
    Reply(HttpReply),
    /// A blocking query that waits.
    Parked(WatchId),
}

/// A model of Consul.
#[derive(Clone, Debug)]
pub(super) struct Model(raw::Model);

/// What needs no other types.
impl std::ops::Deref for Model {
    type Target = raw::Model;
    fn deref(&self) -> &raw::Model {
        &self.0
    }
}

impl std::ops::DerefMut for Model {
    fn deref_mut(&mut self) -> &mut raw::Model {
        &mut self.0
    }
}

impl Model {
    pub(super) fn new(seed: u64) -> Model {
        Model(raw::Model::new(seed))
    }

    /// Serves a request at an instant. Instants never go back.
    pub(super) fn handle(&mut self, now: Time, request: &HttpRequest) -> Served {
        match self.0.handle(at(now), &border(request)) {
            raw::Served::Parked(watch) => Served::Parked(watch),
            raw::Served::Reply(reply) => {
                let words = String::from_utf8_lossy(&reply.body);
                assert_ne!(reply.status, 501, "{request:?}: {words}");
                Served::Reply(http_reply(reply))
            }
        }
    }

    /// Lets time pass: sessions and waits end.
    pub(super) fn advance(&mut self, now: Time) {
        self.0.advance(at(now));
    }

    /// The next instant at which something happens by itself.
    pub(super) fn next_event_at(&self) -> Option<Time> {
        self.0.next_event_at().map(|at| Time(at.0))
    }

    /// The blocking queries that have their answer.
    pub(super) fn woken(&mut self) -> Vec<(WatchId, HttpReply)> {
        let woken = self.0.woken().into_iter();
        woken.map(|(id, reply)| (id, http_reply(reply))).collect()
    }

    pub(super) fn leader_change(&mut self, now: Time) {
        self.0.leader_change(at(now));
    }

    pub(super) fn renew_at_old_leader(&self, id: &str) -> HttpReply {
        http_reply(self.0.renew_at_old_leader(id))
    }

    pub(super) fn kill_session(&mut self, now: Time, id: &str) {
        self.0.kill_session(at(now), id);
    }

    pub(super) fn remove_node(&mut self, now: Time, node: &str) {
        self.0.remove_node(at(now), node);
    }

    /// The sessions that Consul may end now.
    pub(super) fn endable(&self, now: Time) -> Vec<String> {
        let of = self.0.deadlines().filter(|(_, from, _)| *from <= at(now));
        of.map(|(id, _, _)| id.to_owned()).collect()
    }

    /// The next instant from which on Consul may end one more session.
    pub(super) fn next_endable_at(&self, now: Time) -> Option<Time> {
        let from = self.0.deadlines().map(|(_, from, _)| Time(from.0));
        from.filter(|from| *from > now).min()
    }

    pub(super) fn is_delayed(&self, now: Time, key: &str) -> bool {
        self.0.is_delayed(at(now), key)
    }

    pub(super) fn was_delayed(&self, now: Time, key: &str) -> bool {
        self.0.was_delayed(at(now), key)
    }

    pub(super) fn was_delayed_below(&self, now: Time, key: &str) -> bool {
        self.0.was_delayed_below(at(now), key)
    }

    pub(super) fn permits(&self, now: Time, key: &str) -> usize {
        self.0.permits(at(now), key)
    }

    /// The key holds data that is no lock.
    pub(super) fn is_data(&self, key: &str) -> bool {
        self.0.plain_value(key) == Some(b"data")
    }
}

fn at(now: Time) -> raw::Time {
    raw::Time(now.0)
}

/// The request as the model takes it.
fn border(request: &HttpRequest) -> raw::Request<'_> {
    raw::Request {
        method: match request.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        },
        target: &request.target,
        body: request.body.as_deref().unwrap_or_default(),
    }
}

fn http_reply(reply: raw::Reply) -> HttpReply {
    HttpReply {
        status: reply.status,
        index: reply.index,
        body: reply.body,
        secrets: Secrets::default(),
    }
}
