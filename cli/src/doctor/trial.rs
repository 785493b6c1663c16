//! A session and a lock, made and given back.
//!
//! A signal ends the command only when the trial that is under way has cleaned up, or after five seconds: the session
//! has the shortest TTL that the agent takes, and so ends by itself then.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consul_lock::client::{Query, Reply, in_path, shutdown};
use consul_lock::error::{Error, Status};
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use serde_json::{Value as Json, json};

use super::reach::{millis, ms};
use super::{Patient, Report};
use crate::{connection, when};

/// Locked while something of the command may stand in Consul.
static UNDER_WAY: Mutex<()> = Mutex::new(());

/// The smallest TTL of a session, in seconds, unless the agent wants a larger one.
const SHORTEST: u64 = 10;

/// Waits until nothing of the command stands in Consul, and keeps another trial from beginning.
pub fn wait_for_its_end() {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        if let Ok(guard) = UNDER_WAY.try_lock() {
            std::mem::forget(guard);
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A name that no other lock has.
pub fn scratch_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    format!("consul-lock-doctor-{}-{nanos:x}", std::process::id())
}

/// Makes a session and ends it. The TTL that the agent takes, in seconds. None: no session can be made.
pub fn session(patient: &Patient<'_>, report: &mut Report) -> Option<u64> {
    let node = connection::value(patient.matches, "session_node");
    if let Some(node) = &node
        && !is_registered(patient, node)
    {
        let text = format!(
            "not tried: the node {node} (session_node) is not in the catalog, or the token lacks node:read"
        );
        let advice =
            "the first lock registers it, for which the token needs node:write (docs/acl.md)";
        report.warn("session", &text, advice, json!({"session_node": node}));
        return None;
    }
    let guard = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let mut ttl = SHORTEST;
    let mut made = make(patient, node.as_deref(), ttl);
    if let Ok(reply) = &made
        && let Some(least) = least_ttl(&String::from_utf8_lossy(&reply.body))
    {
        ttl = least;
        made = make(patient, node.as_deref(), ttl);
    }
    let created = begun.elapsed();
    let id = made.as_ref().ok().and_then(id_of);
    let Some(id) = id else {
        drop(guard);
        refused(made, report);
        return None;
    };
    let path = |what: &str| format!("/v1/session/{what}/{}", in_path(&id));
    let read = patient.get(&path("info"));
    let begun = Instant::now();
    let ended = patient.client.ask(&Query::Put(&path("destroy"), ""));
    let destroyed = begun.elapsed();
    drop(guard);
    let text = format!(
        "session:write: made in {}, ended in {}",
        ms(created),
        ms(destroyed)
    );
    let facts = json!({
        "right": "session:write",
        "made_ms": millis(created),
        "ended_ms": millis(destroyed),
    });
    if ended.is_ok_and(|reply| reply.status == 200) {
        report.ok("session", &text, facts);
    } else {
        let text = format!(
            "made in {}, but not ended: its TTL of {ttl} s does that",
            ms(created)
        );
        report.warn("session", &text, "", facts);
    }
    names(read, report);
    least(ttl, report);
    Some(ttl)
}

fn make(patient: &Patient<'_>, node: Option<&str>, ttl: u64) -> Result<Reply, Error> {
    let mut body = json!({
        "Name": patient.scratch,
        "TTL": format!("{ttl}s"),
        "Behavior": "delete",
        "LockDelay": "0s",
        "Checks": [],
        "NodeChecks": [],
    });
    if let (Some(node), Some(body)) = (node, body.as_object_mut()) {
        body.insert("Node".to_owned(), node.into());
    }
    let body = body.to_string();
    patient.client.ask(&Query::Put("/v1/session/create", &body))
}

fn id_of(reply: &Reply) -> Option<String> {
    let json: Json = serde_json::from_slice(&reply.body).ok()?;
    let id = json.get("ID")?.as_str().map(str::to_owned);
    id.filter(|_| reply.status == 200)
}

fn refused(made: Result<Reply, Error>, report: &mut Report) {
    let facts = json!({"right": "session:write"});
    match made {
        Ok(reply) if reply.status == 403 => {
            let text = "the token lacks session:write on the agent's node: no lock can be taken";
            let advice = "give it session_prefix \"\" { policy = \"write\" } (docs/acl.md)";
            report.fail("session", text, advice, facts);
        }
        Ok(reply) => {
            let text = reply.error("could not make a session").message;
            report.fail("session", &text, "", facts);
        }
        Err(error) => report.fail("session", &error.message, "", facts),
    }
}

/// The right to read sessions shows the names of holders.
fn names(read: Result<Reply, Error>, report: &mut Report) {
    let facts = json!({"right": "session:read"});
    let Ok(reply) = read else {
        return;
    };
    let rows: Option<Json> = serde_json::from_slice(&reply.body).ok();
    let shown = rows.and_then(|rows| rows.as_array().map(Vec::len));
    if reply.status == 200 && shown == Some(1) {
        let text = "session:read: errors and `who` show the holder's program and host";
        report.ok("names", text, facts);
    } else {
        let text =
            "the token lacks session:read: errors and `who` show the holder's session, and no name";
        let advice = "give it session_prefix \"\" { policy = \"read\" } (docs/acl.md)";
        report.warn("names", text, advice, facts);
    }
}

fn least(ttl: u64, report: &mut Report) {
    let facts = json!({"session_ttl_min_s": ttl});
    if ttl > SHORTEST {
        let shown = when::shown(Duration::from_secs(ttl));
        let text = format!("the agent refuses sessions below session_ttl_min = {shown}");
        let advice = format!("set lock_timeout_seconds (run --ttl) to {ttl} or more");
        report.warn("shortest TTL", &text, &advice, facts);
    } else {
        let text = "10 s (session_ttl_min), the least that the library asks for";
        report.ok("shortest TTL", text, facts);
    }
}

/// The least TTL in seconds, where Consul refuses a smaller one:
/// `Invalid Session TTL '10000000000', must be between [1m0s=24h0m0s]`.
fn least_ttl(said: &str) -> Option<u64> {
    let (_, range) = said.split_once("Invalid Session TTL")?.1.split_once('[')?;
    let (least, _) = range.split_once('=')?;
    let mut seconds = 0.0;
    let mut number = String::new();
    for c in least.chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let unit = match c {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        number.clear();
    }
    // The library takes up to a day.
    (SHORTEST..=86_400).find(|whole| *whole as f64 >= seconds)
}

fn is_registered(patient: &Patient<'_>, node: &str) -> bool {
    let reply = patient.get(&format!("/v1/catalog/node/{}", in_path(node)));
    let json = reply
        .ok()
        .and_then(|reply| serde_json::from_slice(&reply.body).ok());
    json.is_some_and(|json: Json| json.get("Node").is_some_and(Json::is_object))
}

/// Takes a lock under the scratch key and gives it back.
pub fn lock(patient: &Patient<'_>, report: &mut Report, ttl: u64) {
    let key = &patient.scratch;
    let made =
        options(ttl).and_then(|options| Lock::new(key, Some(&options), Some(&patient.client)));
    let lock = match made {
        Ok(lock) => lock,
        Err(error) => {
            report.fail("lock", &error.message, "", json!({}));
            return;
        }
    };
    let guard = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut steps: Vec<(&str, Duration)> = Vec::new();
    let mut step = |name, work: &dyn Fn() -> Result<(), Error>| {
        let begun = Instant::now();
        work().map(|()| steps.push((name, begun.elapsed())))
    };
    let outcome = step("taken", &|| lock.acquire())
        .and_then(|()| step("proved", &|| lock.check()))
        .and_then(|()| step("given back", &|| lock.release()));
    if outcome.is_err() && lock.is_held() {
        let _ = lock.release();
    }
    // The library keeps the session for the next lock, and there is none.
    let cleaned = shutdown(Duration::from_secs(5));
    drop(guard);
    let times: Vec<String> = steps
        .iter()
        .map(|(name, time)| format!("{name} in {}", ms(*time)))
        .collect();
    let facts: serde_json::Map<String, Json> = steps
        .iter()
        .map(|(name, time)| {
            (
                format!("{}_ms", name.replace(' ', "_")),
                json!(millis(*time)),
            )
        })
        .collect();
    match (outcome, cleaned) {
        (Ok(()), Ok(())) => {
            let text = format!("under a scratch key: {}", times.join(", "));
            report.ok("lock", &text, facts.into());
        }
        (Ok(()), Err(error)) => report.warn("lock", &error.message, "", facts.into()),
        (Err(error), _) if error.status == Status::Denied && patient.is_named() => {
            let text = format!(
                "not tried: the token may lock the key itself, and not \"{}\"",
                lock.key()
            );
            report.warn(
                "lock",
                &text,
                "nothing, if the lines above are well",
                facts.into(),
            );
        }
        (Err(error), _) => report.fail("lock", &error.message, "", facts.into()),
    }
}

fn options(ttl: u64) -> Result<Options, Error> {
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "0")?;
    options.set("lock_timeout_seconds", &ttl.to_string())?;
    options.set("auto_renew", "false")?;
    options.set("monitor", "false")?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_ttl_is_read() {
        let said = |range| format!("Invalid Session TTL '10000000000', must be between [{range}]");
        assert_eq!(least_ttl(&said("1m0s=24h0m0s")), Some(60));
        assert_eq!(least_ttl(&said("15.5s=24h0m0s")), Some(16));
        assert_eq!(least_ttl(&said("1h0m1s=24h0m0s")), Some(3601));
        for other in ["", "Invalid Session TTL", &said("x=24h"), "{\"ID\": \"a\"}"] {
            assert_eq!(least_ttl(other), None, "{other}");
        }
    }
}
