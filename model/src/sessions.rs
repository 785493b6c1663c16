//! The session endpoints.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::model::{Model, Reply};
use crate::store::{Behavior, Session};
use crate::time::Time;
use crate::wire::{self, field, reply};

impl Model {
    pub(crate) fn create(&mut self, now: Time, body: &[u8]) -> Reply {
        let json: Json = match serde_json::from_slice(body) {
            _ if body.is_empty() => Json::Object(serde_json::Map::new()),
            Ok(json) => json,
            Err(error) => return wire::parse_failed(body, &error),
        };
        let wanted = match Wanted::new(&json) {
            Ok(wanted) => wanted,
            Err(refusal) => return refusal,
        };
        let behavior = match wanted.behavior.as_str() {
            "" | "release" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return reply(500, format!("Invalid Behavior setting '{other}'")),
        };
        let ttl_text = wanted.ttl;
        let ttl = match ttl_text.as_str() {
            "" => 0,
            text => match wire::duration(text) {
                Ok(ttl) => ttl,
                Err(why) => return reply(500, format!("Session TTL '{text}' invalid: {why}")),
            },
        };
        let allowed = 10_000_000_000..=86_400_000_000_000;
        if ttl != 0 && !allowed.contains(&ttl) {
            return reply(
                500,
                format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"),
            );
        }
        let node = wanted.node.unwrap_or_else(|| self.node.clone());
        if node.is_empty() {
            return reply(500, "Must provide Node");
        }
        let index = self.write();
        if !self.nodes.contains_key(&node) {
            return self.refused("Missing node registration");
        }
        let mut checks = wanted
            .node_checks
            .iter()
            .flatten()
            .chain(&wanted.service_checks);
        // The agent's node has this check, and no other node has one.
        if let Some(check) = checks.find(|check| node != self.node || *check != "serfHealth") {
            return self.refused(&format!("Missing check '{check}' registration"));
        }
        let id = self.new_id();
        let session = Session {
            name: wanted.name,
            node,
            ttl_text,
            ttl: Duration::from_nanos(u64::try_from(ttl).unwrap_or_default()),
            behavior,
            lock_delay: wanted.lock_delay,
            node_checks: wanted.node_checks,
            create_index: index,
        };
        self.store.session_index = index;
        let answer = reply(200, format!("{{\"ID\":\"{id}\"}}"));
        self.store.sessions.insert(id.clone(), session);
        self.start_timer(now, &id);
        answer
    }

    fn refused(&self, what: &str) -> Reply {
        reply(500, self.store.edition.create_prefix().to_owned() + what)
    }

    fn new_id(&mut self) -> Arc<str> {
        // The index makes the id unique where nothing is left to chance.
        let (a, b) = (self.random.next(), self.random.next() ^ self.index);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
        .into()
    }

    /// A session without a TTL has no timer.
    pub(crate) fn start_timer(&mut self, now: Time, id: &Arc<str>) {
        let ttl = self
            .store
            .sessions
            .get(id)
            .map_or(Duration::ZERO, |session| session.ttl);
        if ttl.is_zero() {
            return;
        }
        let nanos = ttl.as_nanos() * u128::from(self.expiry) / 1000;
        let due = now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if let Some(before) = self.deadlines.insert(id.clone(), due) {
            self.timers.remove(&(before, id.clone()));
        }
        self.timers.insert((due, id.clone()));
    }

    pub(crate) fn destroy(&mut self, now: Time, id: &str) -> Reply {
        if id.is_empty() {
            return reply(400, "Missing session");
        }
        if let Err(what) = self.store.valid_id(id) {
            return reply(500, what);
        }
        self.kill_session(now, id);
        reply(200, "true")
    }

    pub(crate) fn renew(&mut self, now: Time, id: &str) -> Reply {
        if id.is_empty() {
            return reply(400, "Missing session");
        }
        if let Err(what) = self.store.valid_id(id) {
            return reply(500, what);
        }
        if !self.store.sessions.contains_key(id) {
            return not_found(id);
        }
        self.start_timer(now, &id.into());
        let rows = self.session_rows(std::iter::once(id));
        reply(200, rows)
    }

    pub(crate) fn info(&self, id: &str) -> Reply {
        if id.is_empty() {
            return reply(400, "Missing session");
        }
        if let Err(what) = self.store.valid_id(id) {
            return Reply {
                index: Some(1),
                ..reply(500, what)
            };
        }
        let index = Some(self.store.session_index.max(1));
        Reply {
            index,
            ..reply(200, self.session_rows(std::iter::once(id)))
        }
    }

    pub(crate) fn list_of(&self, node: &str) -> Reply {
        let sessions = self.store.sessions.iter();
        let of_node = sessions.filter(|(_, session)| session.node == node);
        Reply {
            index: Some(self.store.session_index.max(1)),
            ..reply(200, self.session_rows(of_node.map(|(id, _)| &**id)))
        }
    }

    pub(crate) fn list(&self) -> Reply {
        let index = Some(self.store.session_index.max(1));
        let ids = self.store.sessions.keys().map(|id| &**id);
        Reply {
            index,
            ..reply(200, self.session_rows(ids))
        }
    }

    fn session_rows<'a>(&self, ids: impl Iterator<Item = &'a str>) -> String {
        let mut rows = "[".to_owned();
        for id in ids {
            if let Some(session) = self.store.sessions.get(id) {
                rows.push_str(if rows.len() > 1 { "," } else { "" });
                wire::session(&mut rows, id, session);
            }
        }
        rows.push(']');
        rows
    }
}

pub(crate) fn not_found(id: &str) -> Reply {
    reply(404, format!("Session id '{id}' not found"))
}

/// The body of a request for a session.
struct Wanted {
    name: String,
    node: Option<String>,
    ttl: String,
    behavior: String,
    lock_delay: i64,
    node_checks: Option<Vec<String>>,
    service_checks: Vec<String>,
}

impl Wanted {
    fn new(json: &Json) -> Result<Wanted, Reply> {
        if !json.is_object() && !json.is_null() {
            let kind = wire::kind(json);
            return Err(refused(format!(
                "json: cannot unmarshal {kind} into Go value of type struct \
                 {{ LockDelay interface {{}}; *structs.Alias }}"
            )));
        }
        let node_checks = match (field(json, "NodeChecks"), field(json, "Checks")) {
            (None, None) => Some(vec!["serfHealth".to_owned()]),
            (None, Some(Json::Null)) => Some(Vec::new()),
            (Some(Json::Null), _) => None,
            (Some(checks), _) => Some(texts(checks, "NodeChecks")?),
            (None, Some(checks)) => Some(texts(checks, "Checks")?),
        };
        let services = field(json, "ServiceChecks").and_then(Json::as_array);
        let ids = services.into_iter().flatten();
        let ids = ids.filter_map(|check| field(check, "ID")?.as_str());
        Ok(Wanted {
            name: text(json, "Name")?,
            node: field(json, "Node")
                .map(|_| text(json, "Node"))
                .transpose()?,
            ttl: text(json, "TTL")?,
            behavior: text(json, "Behavior")?,
            lock_delay: lock_delay(json)?,
            node_checks,
            service_checks: ids.map(str::to_owned).collect(),
        })
    }
}

/// The lock-delay in nanoseconds.
fn lock_delay(json: &Json) -> Result<i64, Reply> {
    match field(json, "LockDelay") {
        None | Some(Json::Null) => Ok(15_000_000_000),
        Some(Json::String(text)) => wire::duration(text).map_err(refused),
        // Small numbers are seconds.
        Some(Json::Number(number)) => Ok(match number.as_f64().unwrap_or_default() as i64 {
            seconds @ ..1000 => seconds.saturating_mul(1_000_000_000),
            nanos => nanos,
        }),
        Some(_) => Ok(0),
    }
}

fn text(json: &Json, name: &str) -> Result<String, Reply> {
    match field(json, name) {
        None | Some(Json::Null) => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(other) => Err(wrong_type(other, name, "string")),
    }
}

fn texts(json: &Json, name: &str) -> Result<Vec<String>, Reply> {
    let wrong = |json: &Json| wrong_type(json, name, "[]string");
    let list = json.as_array().ok_or_else(|| wrong(json))?;
    let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
    texts.collect::<Option<_>>().ok_or_else(|| wrong(json))
}

fn wrong_type(json: &Json, name: &str, wanted: &str) -> Reply {
    let kind = wire::kind(json);
    refused(format!(
        "json: cannot unmarshal {kind} into Go struct field .{name} of type {wanted}"
    ))
}

fn refused(why: String) -> Reply {
    reply(400, format!("Request decode failed: {why}"))
}
