//! The token, and its rights: each is tried by a request that changes nothing.

use std::time::SystemTime;

use consul_lock::client::{Query, in_path};
use consul_lock::error::Status;
use serde_json::{Value as Json, json};

use super::{Patient, Report};
use crate::{connection, when};

/// The accessor of requests without a token, in every Consul.
const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";

/// False: Consul does not know the token.
pub fn token(patient: &Patient<'_>, report: &mut Report) -> bool {
    let is_set = ["token", "token_file"]
        .iter()
        .any(|name| connection::value(patient.matches, name).is_some());
    let reply = match patient.get("/v1/acl/token/self") {
        Ok(reply) => reply,
        Err(error) => {
            report.warn("token", &error.message, "", json!({}));
            return true;
        }
    };
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    if said.contains("ACL support disabled") {
        let text = match is_set {
            true => "set, but this Consul has no ACLs: every client may do everything",
            false => "none, and none is needed: this Consul has no ACLs",
        };
        report.ok("token", text, json!({"acl": false}));
        return true;
    }
    if reply.status == 501 {
        let text = "none is needed: that is consul-lock dev, a Consul for tests without ACLs";
        report.ok("token", text, json!({"acl": false}));
        return true;
    }
    if reply.status == 403 && !is_set {
        // Consul 1.8 does not know the token of requests without one.
        anonymous(report, json!({"acl": true}));
        return true;
    }
    if reply.status == 403 {
        let advice = "it is mistyped, deleted, expired, or of another cluster: get a new one";
        let text = "Consul does not know the token";
        report.fail("token", text, advice, json!({"acl": true}));
        return false;
    }
    let json: Option<Json> = serde_json::from_slice(&reply.body).ok();
    let Some(json) = json.filter(|_| reply.status == 200) else {
        let text = reply.error("could not read the token").message;
        report.warn("token", &text, "", json!({}));
        return true;
    };
    known(&json, report);
    true
}

fn anonymous(report: &mut Report, facts: Json) {
    let advice = "set --token-file, CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN";
    report.warn("token", "none: requests are anonymous", advice, facts);
}

fn known(token: &Json, report: &mut Report) {
    let text = |name: &str| token.get(name).and_then(Json::as_str).unwrap_or_default();
    let policies = token.get("Policies").and_then(Json::as_array);
    let policies = policies.into_iter().flatten();
    let policies: Vec<&str> = policies
        .filter_map(|policy| policy.get("Name")?.as_str())
        .collect();
    let accessor = text("AccessorID");
    let expires = text("ExpirationTime");
    let facts =
        json!({"acl": true, "accessor": accessor, "policies": policies, "expires": expires});
    if accessor == ANONYMOUS {
        anonymous(report, facts);
        return;
    }
    let of = match policies.is_empty() {
        true => String::new(),
        false => format!(", with the policies {}", policies.join(", ")),
    };
    let left = humantime::parse_rfc3339_weak(expires.get(..19).unwrap_or_default()).ok();
    let left = left.and_then(|end| end.duration_since(SystemTime::now()).ok());
    match left {
        Some(left) if left.as_secs() < 86_400 => {
            let text = format!("known{of}, expires in {}", when::shown(left));
            let advice =
                "renew it in time: a lock whose token expires is lost at the end of its lease";
            report.warn("token", &text, advice, facts);
        }
        Some(left) => {
            let text = format!("known{of}, expires in {}", when::shown(left));
            report.ok("token", &text, facts);
        }
        None => report.ok("token", &format!("known{of}"), facts),
    }
}

/// What became of a request that needs a right.
enum Right {
    Granted,
    Missing,
    /// Another failure, in words.
    Unknown(String),
}

/// False: the token may not lock the key.
pub fn check(patient: &Patient<'_>, report: &mut Report) -> bool {
    let seen = patient.client.holders(&patient.key);
    let full = match &seen {
        Ok(holders) => holders.key.to_string(),
        Err(error) if error.status == Status::InvalidArgument => {
            report.fail("key", &error.message, "", json!({}));
            return false;
        }
        Err(error) => {
            report.fail("looking", &error.message, "", json!({"right": "key:read"}));
            return false;
        }
    };
    let shown = shown(patient, &full);
    let text = format!("key:read on \"{shown}\": the library sees who holds it");
    report.ok("looking", &text, json!({"right": "key:read"}));
    let may_lock = locking(patient, &full, report);
    if may_lock {
        waiting(patient, &full, report);
    }
    listing(patient, &full, report);
    may_lock
}

/// The key, with a star in place of a scratch key.
fn shown(patient: &Patient<'_>, full: &str) -> String {
    match patient.is_named() {
        true => full.to_owned(),
        false => full.replace(&patient.scratch, "*"),
    }
}

fn locking(patient: &Patient<'_>, full: &str, report: &mut Report) -> bool {
    let facts = json!({"right": "key:write"});
    let shown = shown(patient, full);
    match may_write(patient, full) {
        Right::Granted => {
            let text = format!("key:write on \"{shown}\": the library may lock it");
            report.ok("locking", &text, facts);
            true
        }
        Right::Missing => {
            let text = format!("the token lacks key:write on \"{shown}\": no lock can be taken");
            let advice = match patient.is_named() {
                true => format!("give it key_prefix \"{full}\" {{ policy = \"write\" }} (docs/acl.md)"),
                false => "name a KEY that the token may lock, or give it the policy of \"All locks\" (docs/acl.md)"
                    .to_owned(),
            };
            report.fail("locking", &text, &advice, facts);
            false
        }
        Right::Unknown(why) => {
            report.fail("locking", &why, "", facts);
            false
        }
    }
}

/// A ticket stands below the key, and so does the row of a session that shares the key.
fn waiting(patient: &Patient<'_>, full: &str, report: &mut Report) {
    let facts = json!({"right": "key:write below the key"});
    match may_write(patient, &format!("{full}/.fifo/3ff")) {
        Right::Granted => {
            let text = "key:write below the key: waiters stand in line, and the key can be shared";
            report.ok("waiting", text, facts);
        }
        Right::Missing => {
            let text = "the token lacks key:write below the key: waiters have no order, and no lock is shared";
            let prefix = shown(patient, full);
            let prefix = prefix.trim_end_matches('*');
            let advice = format!(
                "give it key_prefix \"{prefix}\" {{ policy = \"write\" }} instead of key (docs/acl.md)"
            );
            report.warn("waiting", text, &advice, facts);
        }
        Right::Unknown(why) => report.warn("waiting", &why, "", facts),
    }
}

/// The names below the folder of the key: `ls` wants the list, and so do clients that wait for many keys.
fn listing(patient: &Patient<'_>, full: &str, report: &mut Report) {
    let folder = full.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let facts = json!({"right": "key:list"});
    let path = format!("/v1/kv/{}?keys=&separator=/", in_path(&folder));
    match patient.get(&path) {
        Ok(reply) if reply.status == 403 => {
            let text = format!(
                "the token lacks key:list on \"{folder}\": no ls, and waiting for more than 20 keys at once takes turns"
            );
            let advice =
                format!("give it key_prefix \"{folder}\" {{ policy = \"list\" }} (docs/acl.md)");
            report.warn("listing", &text, &advice, facts);
        }
        Ok(reply) if matches!(reply.status, 200 | 404) => {
            let text = format!("key:list on \"{folder}\", or no such right is needed here");
            report.ok("listing", &text, facts);
        }
        Ok(reply) => {
            let text = reply.error("could not list the keys").message;
            report.warn("listing", &text, "", facts);
        }
        Err(error) => report.warn("listing", &error.message, "", facts),
    }
}

/// A transaction that checks that a key is not there needs the right to write the key, and writes nothing.
fn may_write(patient: &Patient<'_>, key: &str) -> Right {
    let reply = match patient.client.ask(&Query::Absent(&[key])) {
        Ok(reply) => reply,
        Err(error) => return Right::Unknown(error.message),
    };
    let said = String::from_utf8_lossy(&reply.body);
    match reply.status {
        200 => Right::Granted,
        403 | 409 if said.contains("Permission denied") => Right::Missing,
        // The key is there: Consul has looked at it.
        409 if said.contains("exists") => Right::Granted,
        _ => Right::Unknown(reply.error("could not try the right key:write").message),
    }
}
