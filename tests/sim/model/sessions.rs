//! The session endpoints.

use super::*;

impl Model {
    pub(super) fn create(&mut self, now: Time, body: &[u8]) -> HttpReply {
        let json: Json = match serde_json::from_slice(body) {
            _ if body.is_empty() => Json::Null,
            Ok(json) => json,
            Err(error) => return reply(400, format!("Request decode failed: {error}")),
        };
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
        let behavior = match text("Behavior") {
            "" | "release" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return reply(500, format!("Invalid Behavior setting '{other}'")),
        };
        let ttl_text = text("TTL").to_owned();
        let ttl = if ttl_text.is_empty() {
            Some(0)
        } else {
            wire::duration(&ttl_text)
        };
        let Some(ttl) = ttl else {
            return reply(500, format!("Session TTL '{ttl_text}' invalid"));
        };
        let allowed = 10_000_000_000..=86_400_000_000_000;
        if ttl != 0 && !allowed.contains(&ttl) {
            return reply(
                500,
                format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"),
            );
        }
        let lock_delay = match json.get("LockDelay") {
            None => 15_000_000_000,
            Some(Json::String(text)) => wire::duration(text).expect("a lock-delay"),
            // Small numbers are seconds.
            Some(number) => match number.as_u64().expect("a lock-delay") {
                seconds @ 0..1000 => seconds * 1_000_000_000,
                nanos => nanos,
            },
        };
        let node_checks = match json.get("NodeChecks").or(json.get("Checks")) {
            None => Some(vec!["serfHealth".to_owned()]),
            Some(Json::Array(checks)) => Some(
                checks
                    .iter()
                    .filter_map(Json::as_str)
                    .map(str::to_owned)
                    .collect(),
            ),
            Some(_) => None,
        };
        let node = json.get("Node").and_then(Json::as_str).unwrap_or(NODE);
        let index = self.write();
        if !self.nodes.contains(node) {
            return reply(500, "Missing node registration");
        }
        let id = self.new_id();
        let session = Session {
            name: text("Name").to_owned(),
            node: node.to_owned(),
            ttl_text,
            ttl: Duration::from_nanos(ttl),
            behavior,
            lock_delay: Duration::from_nanos(lock_delay),
            node_checks,
            create_index: index,
        };
        self.store.session_index = index;
        let answer = reply(200, format!("{{\"ID\":\"{id}\"}}"));
        self.store.sessions.insert(id.clone(), session);
        self.start_timer(now, &id);
        answer
    }

    fn new_id(&mut self) -> Arc<str> {
        let (a, b) = (self.random.next(), self.random.next());
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
    pub(super) fn start_timer(&mut self, now: Time, id: &Arc<str>) {
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

    pub(super) fn destroy(&mut self, now: Time, id: &str) -> HttpReply {
        if let Err(what) = self.store.valid_id(id) {
            return reply(500, what);
        }
        self.kill_session(now, id);
        reply(200, "true")
    }

    pub(super) fn renew(&mut self, now: Time, id: &str) -> HttpReply {
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

    pub(super) fn info(&self, id: &str) -> HttpReply {
        if let Err(what) = self.store.valid_id(id) {
            return HttpReply {
                index: Some(1),
                ..reply(500, what)
            };
        }
        let index = Some(self.store.session_index.max(1));
        HttpReply {
            index,
            ..reply(200, self.session_rows(std::iter::once(id)))
        }
    }

    pub(super) fn list(&self) -> HttpReply {
        let index = Some(self.store.session_index.max(1));
        let ids = self.store.sessions.keys().map(|id| &**id);
        HttpReply {
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

pub(super) fn not_found(id: &str) -> HttpReply {
    reply(404, format!("Session id '{id}' not found"))
}
