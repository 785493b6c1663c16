//! The transaction endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use crate::keys::MAX_BODY;
use crate::model::{Model, Reply};
use crate::requests::not_known;
use crate::store::{Content, Draft, Flaw, Row};
use crate::time::Time;
use crate::wire::{self, decode_problem, field, reply};

impl Model {
    pub(crate) fn txn(&mut self, now: Time, body: &[u8]) -> Reply {
        if body.len() > MAX_BODY {
            return wire::too_large(body.len(), "txn_max_req_len");
        }
        let json: Json = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(error) => return failed_to_parse(decode_problem(body, &error)),
        };
        let Some(ops) = json.as_array() else {
            let kind = wire::kind(&json);
            return failed_to_parse(format!(
                "json: cannot unmarshal {kind} into Go value of type api.TxnOps"
            ));
        };
        let most = self.store.edition.most_operations();
        if ops.len() > most {
            let count = ops.len();
            let why = format!("Transaction contains too many operations ({count} > {most})");
            return reply(413, why);
        }
        let ops = match ops
            .iter()
            .map(Op::new)
            .collect::<Result<Vec<Op<'_>>, Reply>>()
        {
            Ok(ops) => ops,
            Err(refusal) => return refusal,
        };
        let refused: Vec<(usize, String)> = ops
            .iter()
            .enumerate()
            .filter_map(|(i, op)| Some((i, self.refuse(now, op)?)))
            .collect();
        let writes = ops.iter().any(Op::writes);
        let tail = if writes {
            "}".to_owned()
        } else {
            self.store.edition.read_tail(!refused.is_empty())
        };
        let tail = tail.as_str();
        if !refused.is_empty() {
            return failed(&refused, tail);
        }
        let index = if writes { self.write() } else { self.index };
        let mut draft = self.store.draft(index);
        let mut results = "{\"Results\":[".to_owned();
        let mut errors = Vec::new();
        for (i, op) in ops.iter().enumerate() {
            if let Err(what) = op.run(&mut draft, &mut results) {
                errors.push((i, what));
            }
        }
        let changes = draft.into_changes();
        if errors.is_empty() || self.store.flaw == Some(Flaw::NoRollback) {
            self.commit(index, changes);
        }
        if !errors.is_empty() {
            return failed(&errors, tail);
        }
        if results.ends_with(',') {
            results.pop();
        }
        results.push_str("],\"Errors\":null");
        results.push_str(tail);
        reply(200, results)
    }

    /// The refusals of the leader before Raft.
    fn refuse(&self, now: Time, op: &Op<'_>) -> Option<String> {
        if op.key.is_empty() {
            return Some("Must provide key".to_owned());
        }
        if self.store.edition.knows_verbs_before() && !op.is_known() {
            return Some(format!("unknown KV operation: {}", op.verb));
        }
        let delayed = op.verb == "lock" && self.is_delayed(now, op.key);
        delayed.then(|| format!("failed to lock key {:?} due to lock delay", op.key))
    }
}

fn failed_to_parse(why: impl std::fmt::Display) -> Reply {
    reply(400, format!("Failed to parse body: {why}"))
}

fn failed(errors: &[(usize, String)], tail: &str) -> Reply {
    let mut body = String::new();
    wire::errors(&mut body, errors);
    body.push_str(tail);
    reply(409, body)
}

/// One operation of a transaction.
struct Op<'a> {
    verb: &'a str,
    key: &'a str,
    session: &'a str,
    index: u64,
    content: Content,
}

impl<'a> Op<'a> {
    fn new(json: &'a Json) -> Result<Op<'a>, Reply> {
        let Some(kv) = field(json, "KV") else {
            let other = json.as_object().and_then(|op| op.keys().next());
            let what = other.map_or("an empty operation", String::as_str);
            return Err(not_known(&format!("{what} in a transaction")));
        };
        let value = BASE64.decode(text(kv, "Value")?);
        let value = value.map_err(|error| failed_to_parse(wire::base64_problem(&error)))?;
        Ok(Op {
            verb: text(kv, "Verb")?,
            key: text(kv, "Key")?,
            session: text(kv, "Session")?,
            index: number(kv, "Index")?,
            content: Content {
                value: value.into(),
                flags: number(kv, "Flags")?,
            },
        })
    }

    /// The operation goes through Raft. A verb that Consul does not know counts as a read.
    fn writes(&self) -> bool {
        let writes = [
            "lock",
            "unlock",
            "set",
            "cas",
            "delete",
            "delete-cas",
            "delete-tree",
        ];
        writes.contains(&self.verb)
    }

    fn is_known(&self) -> bool {
        let reads = [
            "get",
            "get-tree",
            "check-index",
            "check-not-exists",
            "check-session",
        ];
        self.writes() || reads.contains(&self.verb)
    }

    /// Performs the operation, and adds its result. Consul performs the operations after an error, too.
    fn run(&self, draft: &mut Draft<'_>, results: &mut String) -> Result<(), String> {
        let (key, content) = (self.key, &self.content);
        let stale = |what: &str| format!("failed to {what} key {key:?}, index is stale");
        let row = match self.verb {
            "set" => draft.set(key, content),
            "cas" => draft
                .set_if(key, content, self.index)
                .ok_or_else(|| stale("set"))?,
            "lock" => draft
                .lock(key, content, self.session)?
                .ok_or_else(|| format!("failed to lock key {key:?}, lock is already held"))?,
            "unlock" => draft.unlock(key, content, self.session)?.ok_or_else(|| {
                format!(
                    "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                )
            })?,
            "delete" => {
                draft.delete(key);
                return Ok(());
            }
            "delete-tree" => {
                draft.delete_tree(key);
                return Ok(());
            }
            "delete-cas" if draft.delete_if(key, self.index) => return Ok(()),
            "delete-cas" => return Err(stale("delete")),
            "get" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("key {key:?} doesn't exist"))?;
                show(results, key, row, true);
                return Ok(());
            }
            "get-tree" => {
                for (key, row) in draft.tree(key) {
                    show(results, key, row, true);
                }
                return Ok(());
            }
            "check-not-exists" if draft.get(key).is_none() => return Ok(()),
            "check-not-exists" => return Err(format!("key {key:?} exists")),
            "check-index" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("failed to check index, key {key:?} doesn't exist"))?;
                if row.modify_index != self.index {
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {} != {}",
                        row.modify_index, self.index
                    ));
                }
                row.clone()
            }
            "check-session" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("failed to check session, key {key:?} doesn't exist"))?;
                let current = row.session.as_deref().unwrap_or_default();
                if current != self.session {
                    return Err(format!(
                        "failed session check for key {key:?}, current session {current:?} != {:?}",
                        self.session
                    ));
                }
                row.clone()
            }
            verb => return Err(format!("unknown KV verb {verb:?}")),
        };
        show(results, key, &row, false);
        Ok(())
    }
}

/// A text of an operation.
fn text<'a>(kv: &'a Json, name: &str) -> Result<&'a str, Reply> {
    match field(kv, name) {
        None | Some(Json::Null) => Ok(""),
        Some(Json::String(text)) => Ok(text),
        Some(other) => Err(wrong_type(other, name, "string")),
    }
}

/// A number of an operation.
fn number(kv: &Json, name: &str) -> Result<u64, Reply> {
    match field(kv, name) {
        None | Some(Json::Null) => Ok(0),
        Some(other) => other
            .as_u64()
            .ok_or_else(|| wrong_type(other, name, "uint64")),
    }
}

fn wrong_type(json: &Json, name: &str, wanted: &str) -> Reply {
    let kind = wire::kind(json);
    failed_to_parse(format!(
        "json: cannot unmarshal {kind} into Go struct field KVTxnOp.KV.{name} of type {wanted}"
    ))
}

fn show(results: &mut String, key: &str, row: &Row, with_value: bool) {
    results.push_str("{\"KV\":");
    wire::row(results, key, row, with_value);
    results.push_str("},");
}
