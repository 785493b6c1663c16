//! Which request goes where, and which the model does not know.

use crate::edition::Edition;
use crate::model::{Model, Reply, Request, Served};
use crate::time::Time;
use crate::wire::{self, Target, reply};

/// The parameters that every request may have: how consistent a read is, which changes nothing in a cluster of one;
/// the datacenter; a token, which the model ignores; and white space in the reply, which it leaves out.
const EVERYWHERE: [&str; 5] = ["consistent", "stale", "dc", "token", "pretty"];

/// The parameters of the keys.
const OF_KEYS: [&str; 10] = [
    "keys",
    "separator",
    "recurse",
    "raw",
    "index",
    "wait",
    "acquire",
    "release",
    "cas",
    "flags",
];

/// The methods and the parameters of an endpoint that the model knows.
fn endpoint(head: &str, verb: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match (head, verb) {
        ("kv", _) => (&["GET", "PUT", "DELETE"], &OF_KEYS),
        ("txn", "")
        | ("session", "create" | "destroy" | "renew")
        | ("catalog", "register" | "deregister") => (&["PUT"], &[]),
        ("session", "info" | "list" | "node")
        | ("catalog", "node" | "nodes" | "datacenters")
        | ("health", "node")
        | ("status", "leader" | "peers")
        | ("agent", "self") => (&["GET"], &[]),
        _ => return None,
    })
}

impl Model {
    /// Serves a request at an instant. Instants never go back.
    pub fn handle(&mut self, now: Time, request: &Request<'_>) -> Served {
        self.advance(now);
        let target = Target::new(request.target);
        if let Some(location) = wire::redirect(self.store.edition, &target) {
            return Served::Reply(Reply {
                headers: vec![("Location", location)],
                ..reply(301, "")
            });
        }
        let Some(path) = target.path.strip_prefix("/v1/") else {
            return Served::Reply(unknown(request));
        };
        let (head, tail) = path.split_once('/').unwrap_or((path, ""));
        let (verb, id) = tail.split_once('/').unwrap_or((tail, ""));
        let Some((methods, names)) = endpoint(head, verb) else {
            return Served::Reply(unknown(request));
        };
        if !methods.contains(&request.method) {
            return Served::Reply(wrong_method(request.method, methods));
        }
        if let Some(refusal) = refused_parameter(self.store.edition, &target, names) {
            return Served::Reply(refusal);
        }
        let Some(id) = wire::unescaped(if head == "kv" { tail } else { id }) else {
            return Served::Reply(wire::bad_escape());
        };
        if !id.chars().all(wire::is_print) {
            return Served::Reply(reply(400, ""));
        }
        if head == "kv" {
            return self.kv(now, request, &id, &target);
        }
        let body = request.body;
        Served::Reply(match (head, verb) {
            ("txn", _) => self.txn(now, body),
            ("session", "create") => self.create(now, body),
            ("session", "destroy") => self.destroy(now, &id),
            ("session", "renew") => self.renew(now, &id),
            ("session", "info") => self.info(&id),
            ("session", "list") => self.list(),
            ("session", _) => self.list_of(&id),
            ("catalog", "register") => self.register(body),
            ("catalog", "deregister") => self.deregister(now, body),
            ("catalog", "node") => self.node(&id),
            ("catalog", "nodes") => self.list_nodes(),
            ("catalog", _) => reply(200, "[\"dc1\"]"),
            ("health", _) => self.checks(&id),
            ("status", "leader") => reply(200, "\"127.0.0.1:8300\""),
            ("status", _) => reply(200, "[\"127.0.0.1:8300\"]"),
            ("agent", _) => self.agent(),
            _ => unknown(request),
        })
    }

    /// The refusal of a request with the header `X-Consul-Namespace`.
    pub(crate) fn refuse_namespace(&self) -> Reply {
        enterprise(
            self.store.edition,
            "header: \"X-Consul-Namespace\" - Namespaces",
        )
    }

    fn kv(&mut self, now: Time, request: &Request<'_>, key: &str, target: &Target<'_>) -> Served {
        if let Some(problem) = self.store.edition.problem_of(key) {
            return Served::Reply(reply(500, problem));
        }
        match request.method {
            "GET" => self.read(now, key, target),
            "PUT" => Served::Reply(self.put(now, key, target, request.body)),
            _ => Served::Reply(self.delete(key, target)),
        }
    }
}

/// A request of Consul that the model does not know.
fn unknown(request: &Request<'_>) -> Reply {
    let path = request.target.split('?').next().unwrap_or_default();
    not_known(&format!("{} {path}", request.method))
}

/// The answer that says what the model does not know.
pub(crate) fn not_known(what: &str) -> Reply {
    let text = format!(
        "consul-lock dev does not know {what}: it is no Consul, and has only what locks need; \
         use `consul agent -dev` for the rest"
    );
    reply(501, text)
}

/// Consul answers OPTIONS with the methods of an endpoint, and refuses any other method that the endpoint has not.
fn wrong_method(method: &str, methods: &[&str]) -> Reply {
    let answer = match method {
        "OPTIONS" => reply(200, ""),
        _ => reply(405, format!("method {method} not allowed")),
    };
    Reply {
        headers: vec![("Allow", format!("OPTIONS,{}", methods.join(",")))],
        ..answer
    }
}

/// The refusal of a parameter that the model does not know, or that asks for what a Consul of one datacenter without
/// namespaces has not.
fn refused_parameter(edition: Edition, target: &Target<'_>, names: &[&str]) -> Option<Reply> {
    let strange = target
        .pairs()
        .find(|(name, _)| !names.contains(name) && !EVERYWHERE.contains(name));
    let of_enterprise = |name, what| {
        Some(enterprise(
            edition,
            &format!("query parameter: {name:?} - {what}"),
        ))
    };
    match strange {
        None => {}
        Some((name @ "ns", _)) => return of_enterprise(name, "Namespaces"),
        Some((name @ "partition", _)) => return of_enterprise(name, "Partitions"),
        Some((name, _)) => return Some(not_known(&format!("?{name} at {}", target.path))),
    }
    match target.parameter("dc") {
        None | Some("" | "dc1") => None,
        Some(_) => Some(reply(500, "No path to datacenter")),
    }
}

/// The refusal of what only the Enterprise edition of Consul has.
fn enterprise(edition: Edition, what: &str) -> Reply {
    let prefix = edition.bad_prefix();
    reply(
        400,
        format!("{prefix}Invalid {what} are a Consul Enterprise feature"),
    )
}
