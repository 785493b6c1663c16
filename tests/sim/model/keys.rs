//! The KV endpoints, and the blocking queries on them.

use super::*;

impl Model {
    pub(super) fn read(&mut self, now: Time, subject: Subject, target: &Target<'_>) -> Served {
        let index = match target.parameter("index").map(str::parse::<u64>) {
            None => 0,
            Some(Ok(index)) => index,
            Some(Err(_)) => return Served::Reply(reply(400, "Invalid index")),
        };
        let Some(wait) = wire::wait(target.parameter("wait")) else {
            return Served::Reply(reply(400, "Invalid wait time"));
        };
        let current = self.show(&subject);
        if index == 0 || current.index > Some(index) {
            return Served::Reply(current);
        }
        self.last_watch += 1;
        let id = WatchId(self.last_watch);
        // Consul lets a wait last up to a sixteenth longer, so that they don't end together.
        let until = now + wait + self.random.duration(wait / 16);
        self.watches.insert(
            id,
            Watch {
                subject,
                index,
                before: current,
                until,
            },
        );
        Served::Parked(id)
    }

    /// The answer to a read.
    fn show(&self, subject: &Subject) -> HttpReply {
        let (index, answer) = match subject {
            Subject::Key(key) => match self.store.rows.get(key.as_str()) {
                None => (self.store.kv_index, reply(404, "")),
                Some(row) => {
                    let mut body = "[".to_owned();
                    wire::row(&mut body, key, row, true);
                    body.push(']');
                    (row.modify_index, reply(200, body))
                }
            },
            Subject::Names(prefix) => {
                let names = wire::names(self.store.tree(prefix).map(|(key, _)| key));
                let empty = names == "[]" && !prefix.is_empty();
                let answer = if empty {
                    reply(404, "")
                } else {
                    reply(200, names)
                };
                (self.store.tree_index(prefix), answer)
            }
        };
        HttpReply {
            index: Some(index.max(1)),
            ..answer
        }
    }

    /// A write to a row wakes the queries that wait for it. Where there is no such row, Consul watches a node of its
    /// tree above all rows that may come, and answers with the index of the whole table: any write below the
    /// missing name wakes the query, and some other writes do, depending on the shape of the tree. A newer Consul
    /// looks again then, and goes on waiting for a key that is still missing, from that index on.
    pub(super) fn wake(&mut self, key: &str) {
        let mut awake = Vec::new();
        for (id, watch) in &self.watches {
            let looks = match &watch.subject {
                Subject::Key(own) if self.store.rows.contains_key(own.as_str()) => own == key,
                Subject::Key(own) => key.starts_with(own) || self.random.chance(500),
                Subject::Names(prefix) => key.starts_with(prefix) || self.random.chance(500),
            };
            if looks && self.show(&watch.subject).index > Some(watch.index) {
                awake.push(*id);
            }
        }
        for id in awake {
            let Some(mut watch) = self.watches.remove(&id) else {
                continue;
            };
            let answer = self.show(&watch.subject);
            let is_still_missing = answer.status == 404 && watch.before.status == 404;
            let own = matches!(watch.subject, Subject::Key(_));
            if own && is_still_missing && self.store.edition.waits_for_the_key() {
                watch.index = answer.index.unwrap_or_default();
                watch.before = answer;
                self.watches.insert(id, watch);
            } else {
                self.woken.push((id, answer));
            }
        }
    }

    pub(super) fn put(
        &mut self,
        now: Time,
        key: &str,
        target: &Target<'_>,
        body: &[u8],
    ) -> HttpReply {
        if key.is_empty() {
            return reply(400, "Missing key name");
        }
        let flags = target
            .parameter("flags")
            .map_or(0, |text| text.parse().expect("flags"));
        let content = Content {
            value: body.into(),
            flags,
        };
        let (acquire, release) = (target.parameter("acquire"), target.parameter("release"));
        // The leader refuses before Raft.
        if acquire.is_some() && self.is_delayed(now, key) {
            return reply(200, "false");
        }
        let index = self.write();
        let mut draft = self.store.draft(index);
        let done = match (acquire, release) {
            (Some(session), _) => draft.lock(key, &content, session),
            (_, Some(session)) => draft.unlock(key, &content, session),
            _ => Ok(Some(draft.set(key, &content))),
        };
        let changes = draft.into_changes();
        self.commit(index, changes);
        match done {
            Ok(row) => reply(200, row.is_some().to_string()),
            Err(what) => reply(500, self.store.edition.apply_prefix().to_owned() + &what),
        }
    }

    /// The lock-delay of the key runs, or ended a moment ago.
    pub(in crate::sim) fn was_delayed(&self, now: Time, key: &str) -> bool {
        let lately = |until: &Time| now < *until + Duration::from_secs(2);
        self.delays.get(key).is_some_and(lately)
    }

    /// The same for a row below the key: a shared row, or a ticket.
    pub(in crate::sim) fn was_delayed_below(&self, now: Time, key: &str) -> bool {
        let below = format!("{key}/");
        let mut rows = self.delays.keys().filter(|row| row.starts_with(&below));
        rows.any(|row| self.was_delayed(now, row))
    }

    /// How many slots of those who share a key with a limit are taken, or blocked by a lock-delay.
    pub(in crate::sim) fn permits(&self, now: Time, key: &str) -> usize {
        let folder = format!("{key}/.share/slot/");
        let rows = &self.store.rows;
        let delayed = |row: &&Arc<str>| {
            row.starts_with(&folder) && !rows.contains_key(*row) && self.is_delayed(now, row)
        };
        self.store.tree(&folder).count() + self.delays.keys().filter(delayed).count()
    }

    pub(in crate::sim) fn is_delayed(&self, now: Time, key: &str) -> bool {
        self.delays.get(key).is_some_and(|until| *until > now)
    }
}
