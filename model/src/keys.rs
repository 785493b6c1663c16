//! The KV endpoints, and the blocking queries on them.

use crate::model::{Model, Reply, Served, Subject, Watch};
use crate::store::{Content, Store};
use crate::time::Time;
use crate::wire::{self, Target, reply};

/// The largest value, and the largest body of a transaction, in bytes.
pub(crate) const MAX_BODY: usize = 512 * 1024;

impl Model {
    pub(crate) fn read(&mut self, now: Time, key: &str, target: &Target<'_>) -> Served {
        let subject = if let Some(separator) = target.parameter("separator")
            && target.has("keys")
        {
            let Some(separator) = wire::unescaped(separator) else {
                return Served::Reply(wire::bad_escape());
            };
            let (prefix, separator) = (key.to_owned(), separator.into_owned());
            Subject::Names { prefix, separator }
        } else if target.has("keys") {
            Subject::Names {
                prefix: key.to_owned(),
                separator: String::new(),
            }
        } else if target.has("recurse") {
            Subject::Rows(key.to_owned())
        } else if key.is_empty() {
            return Served::Reply(reply(400, "Missing key name"));
        } else {
            Subject::Key {
                key: key.to_owned(),
                raw: target.has("raw"),
            }
        };
        if target.has("stale") && target.has("consistent") {
            let why = "Cannot specify ?stale with ?consistent, conflicting semantics.";
            return Served::Reply(reply(400, why));
        }
        let index = match target.parameter("index").map(str::parse::<u64>) {
            None => 0,
            Some(Ok(index)) => index,
            Some(Err(_)) => return Served::Reply(reply(400, "Invalid index")),
        };
        let Some(wait) = wire::wait(target.parameter("wait")) else {
            return Served::Reply(reply(400, "Invalid wait time"));
        };
        let current = self.store.show(&subject);
        if index == 0 || current.index > Some(index) {
            return Served::Reply(current);
        }
        // Consul lets a wait last up to a sixteenth longer, so that they don't end together.
        let until = now + wait + self.random.duration(wait / 16);
        Served::Parked(self.park(Watch {
            subject,
            index,
            before: current,
            until,
        }))
    }

    pub(crate) fn put(&mut self, now: Time, key: &str, target: &Target<'_>, body: &[u8]) -> Reply {
        if key.is_empty() {
            return reply(400, "Missing key name");
        }
        if let Some(conflict) = conflict(target, &["acquire", "release", "cas"]) {
            return conflict;
        }
        let (flags, cas) = match (number(target, "flags"), number(target, "cas")) {
            (Ok(flags), Ok(cas)) => (flags.unwrap_or_default(), cas),
            (Err(refusal), _) | (_, Err(refusal)) => return refusal,
        };
        if body.len() > MAX_BODY {
            return wire::too_large(body.len(), "kv_max_value_size");
        }
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
        let done = match (acquire, release, cas) {
            (Some(session), ..) => draft.lock(key, &content, session),
            (_, Some(session), _) => draft.unlock(key, &content, session),
            (.., Some(cas)) => Ok(draft.set_if(key, &content, cas)),
            _ => Ok(Some(draft.set(key, &content))),
        };
        let changes = draft.into_changes();
        self.commit(index, changes);
        match done {
            Ok(row) => reply(200, if row.is_some() { "true" } else { "false" }),
            Err(what) => reply(500, self.store.edition.apply_prefix().to_owned() + &what),
        }
    }

    pub(crate) fn delete(&mut self, key: &str, target: &Target<'_>) -> Reply {
        if let Some(conflict) = conflict(target, &["recurse", "cas"]) {
            return conflict;
        }
        if key.is_empty() && !target.has("recurse") {
            return reply(400, "Missing key name");
        }
        let cas = match number(target, "cas") {
            Ok(cas) => cas,
            Err(refusal) => return refusal,
        };
        let index = self.write();
        let mut draft = self.store.draft(index);
        let is_done = match cas {
            _ if target.has("recurse") => {
                draft.delete_tree(key);
                true
            }
            Some(cas) => draft.delete_if(key, cas),
            None => {
                draft.delete(key);
                true
            }
        };
        let changes = draft.into_changes();
        self.commit(index, changes);
        reply(200, if is_done { "true" } else { "false" })
    }
}

impl Store {
    /// The index of the answer to a read.
    pub(crate) fn index_of(&self, subject: &Subject) -> u64 {
        let index = match subject {
            Subject::Key { key, .. } => match self.rows.get(key.as_str()) {
                None => self.kv_index,
                Some(row) => row.modify_index,
            },
            Subject::Rows(prefix) | Subject::Names { prefix, .. } => self.tree_index(prefix),
        };
        index.max(1)
    }

    /// The answer to a read.
    pub(crate) fn show(&self, subject: &Subject) -> Reply {
        let answer = match subject {
            Subject::Key { key, raw } => match self.rows.get(key.as_str()) {
                None => reply(404, ""),
                Some(row) if *raw => wire::raw(&row.value),
                Some(row) => {
                    let mut body = "[".to_owned();
                    wire::row(&mut body, key, row, true);
                    body.push(']');
                    reply(200, body)
                }
            },
            Subject::Rows(prefix) => {
                let mut body = String::new();
                for (key, row) in self.tree(prefix) {
                    body.push(if body.is_empty() { '[' } else { ',' });
                    wire::row(&mut body, key, row, true);
                }
                if body.is_empty() {
                    reply(404, "")
                } else {
                    body.push(']');
                    reply(200, body)
                }
            }
            Subject::Names { prefix, separator } => {
                let names = self.tree(prefix).map(|(key, _)| key);
                let body = if separator.is_empty() {
                    wire::names(names)
                } else {
                    let mut folders: Vec<&str> = names
                        .map(|key| first_part(key, prefix.len(), separator))
                        .collect();
                    folders.dedup();
                    wire::names(folders.into_iter())
                };
                if body == "[]" && !prefix.is_empty() {
                    reply(404, "")
                } else {
                    reply(200, body)
                }
            }
        };
        Reply {
            index: Some(self.index_of(subject)),
            ..answer
        }
    }
}

/// The key up to the first separator behind the prefix.
fn first_part<'a>(key: &'a str, prefix: usize, separator: &str) -> &'a str {
    let behind = key.get(prefix..).and_then(|rest| rest.find(separator));
    behind
        .and_then(|at| key.get(..prefix + at + separator.len()))
        .unwrap_or(key)
}

/// The refusal of a request with more than one of these parameters.
fn conflict(target: &Target<'_>, names: &[&str]) -> Option<Reply> {
    let given = names.iter().filter(|name| target.has(name)).count();
    let conflicting = || {
        let mut pairs: Vec<String> = target
            .pairs()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.sort();
        reply(400, format!("Conflicting flags: {}", pairs.join("&")))
    };
    (given > 1).then(conflicting)
}

/// A parameter that is a number.
fn number(target: &Target<'_>, name: &str) -> Result<Option<u64>, Reply> {
    let Some(text) = target.parameter(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits {
            "value out of range"
        } else {
            "invalid syntax"
        };
        reply(500, format!("strconv.ParseUint: parsing {text:?}: {why}"))
    })
}
