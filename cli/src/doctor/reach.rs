//! The way to the agent: address, TLS, HTTP, the leader, and the clocks on both sides.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consul_lock::client::{Peer, Reply};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value as Json, json};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Patient, Report};
use crate::{connection, when};

const LEADER: &str = "/v1/status/leader";

/// How many requests tell the time of a round trip.
const ROUND_TRIPS: usize = 5;

/// What a busy agent may add to the difference of two clocks, whose header has whole seconds.
const CLOCKS: i64 = 3;

/// None: there is no Consul that could make a lock.
pub fn check(patient: &Patient<'_>, report: &mut Report) -> Option<()> {
    let begun = Instant::now();
    let reply = match patient.get(LEADER) {
        Ok(reply) => reply,
        Err(error) => {
            report.fail("address", &error.message, advice(&error.message), json!({}));
            return None;
        }
    };
    let took = begun.elapsed();
    let Peer {
        address, resolved, ..
    } = &reply.peer;
    let numbers = resolved.map(|to| to.to_string());
    let other = numbers.as_ref().filter(|numbers| *numbers != address);
    let other = other.map(|numbers| format!(" ({numbers})"));
    let text = format!(
        "{address}{} answers after {}, connecting included",
        other.unwrap_or_default(),
        ms(took)
    );
    let facts = json!({"address": address, "resolved": numbers, "ms": millis(took)});
    report.ok("address", &text, facts);
    tls(patient, &reply.peer, report);
    let leader = http(patient, &reply, report)?;
    if leader.is_empty() {
        let advice =
            "wait for the election of a leader, or look at `consul operator raft list-peers`";
        report.fail("leader", "the servers have no leader", advice, json!({}));
        return None;
    }
    report.ok("leader", &leader, json!({"leader": leader}));
    clock(&reply.peer, report);
    Some(())
}

/// What to do about an address that gives no answer. The message of the library says most of it.
fn advice(message: &str) -> &'static str {
    let has = |text| message.contains(text);
    if has("closed without a reply") || has("reset by peer") {
        "is that the HTTP port of an agent (8500)? An agent also closes connections beyond \
         limits.http_max_conns_per_client (200 from one address)"
    } else if has("does not speak TLS") {
        // The message itself names the way.
        ""
    } else if has("certificate") || has("TLS") {
        "docs/OPTIONS.md: ca_file (CONSUL_CACERT), client_cert, client_key, tls_server_name"
    } else {
        "set --address or CONSUL_HTTP_ADDR to the HTTP API of a running agent, as in 127.0.0.1:8500"
    }
}

fn tls(patient: &Patient<'_>, peer: &Peer, report: &mut Report) {
    let Some(der) = &peer.certificate else {
        let loopback = peer.resolved.is_none_or(|to| to.ip().is_loopback());
        let has_token = ["token", "token_file", "http_auth"]
            .iter()
            .any(|name| connection::value(patient.matches, name).is_some());
        if has_token && !loopback {
            let advice = "use https:// (CONSUL_HTTP_SSL=true), or an agent on this machine";
            let text = "no TLS: the token goes over the network as plain text";
            report.warn("tls", text, advice, json!({"tls": false}));
        } else {
            report.ok("tls", "not used (plain HTTP)", json!({"tls": false}));
        }
        return;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        let text = "the certificate of the agent cannot be read";
        report.warn("tls", text, "", json!({"tls": true}));
        return;
    };
    let until = certificate.validity().not_after.timestamp();
    let left = until.saturating_sub(now() / 1000);
    let days = left / 86_400;
    let names = names(&certificate);
    let date = when::iso(until.saturating_mul(1000)).unwrap_or_default();
    let text = format!(
        "signed by {}, for {}, until {} ({days} days)",
        certificate.issuer(),
        names.join(" and "),
        date.get(..10).unwrap_or_default()
    );
    let facts = json!({
        "tls": true,
        "issuer": certificate.issuer().to_string(),
        "names": names,
        "until": date,
    });
    let verifies = connection::value(patient.matches, "ssl_verify");
    let verifies = verifies.is_none_or(|text| text.starts_with(['1', 't', 'T']));
    if !verifies {
        let text = format!("not verified (ssl_verify is false): {text}");
        let advice = "name the CA with ca_file (CONSUL_CACERT) instead: a program in between can read the token";
        report.warn("tls", &text, advice, facts);
    } else if days < 14 {
        report.warn("tls", &text, "renew the agent's certificate", facts);
    } else {
        report.ok("tls", &text, facts);
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .iter()
        .flat_map(|found| &found.value.general_names);
    let names: Vec<String> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
                Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
                Err(_) => {
                    let v6 = <[u8; 16]>::try_from(*bytes).ok()?;
                    Some(std::net::Ipv6Addr::from(v6).to_string())
                }
            },
            _ => None,
        })
        .collect();
    match names.is_empty() {
        true => vec![certificate.subject().to_string()],
        false => names,
    }
}

/// The leader, as Consul says it. None: the answer is none of Consul's.
fn http(patient: &Patient<'_>, reply: &Reply, report: &mut Report) -> Option<String> {
    let body: Option<Json> = serde_json::from_slice(&reply.body).ok();
    let leader = body.filter(|_| reply.status == 200);
    let Some(leader) = leader.as_ref().and_then(Json::as_str) else {
        let text = match reply.status {
            200 => format!(
                "something answers at {}, but not as a Consul agent",
                reply.peer.address
            ),
            429 | 500.. => reply.error("could not ask for the leader").message,
            status => format!(
                "something answers at {} with HTTP {status}, and not as a Consul agent",
                reply.peer.address
            ),
        };
        let said = String::from_utf8_lossy(&reply.body);
        let advice = if said.contains("HTTPS") {
            "this port speaks TLS: use https:// (CONSUL_HTTP_SSL=true)"
        } else if reply.status == 429 {
            "close connections, or raise limits.http_max_conns_per_client of the agent"
        } else {
            "is that the HTTP port of a Consul agent (8500), with the path that a proxy wants?"
        };
        report.fail("http", &text, advice, json!({"http_status": reply.status}));
        return None;
    };
    let mut times: Vec<Duration> = (0..ROUND_TRIPS)
        .filter_map(|_| {
            let begun = Instant::now();
            patient.get(LEADER).ok().map(|_| begun.elapsed())
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let facts = json!({"round_trip_ms": millis(median)});
    if median > Duration::from_millis(500) {
        let text = format!("a round trip takes {}", ms(median));
        let advice = "use an agent that is nearer: a lock costs four round trips and more";
        report.warn("http", &text, advice, facts);
    } else {
        report.ok("http", &format!("a round trip takes {}", ms(median)), facts);
    }
    Some(leader.to_owned())
}

fn clock(peer: &Peer, report: &mut Report) {
    let slept = slept();
    let slept_text = match slept.as_secs() {
        0 => String::new(),
        _ => format!(
            "; this machine slept for {} since its start, which leases count",
            when::shown(slept)
        ),
    };
    let date = peer.date.as_deref();
    let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let theirs = theirs.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let theirs = theirs.and_then(|time| i64::try_from(time.as_secs()).ok());
    let Some(theirs) = theirs else {
        let text = format!("the agent does not tell its time{slept_text}");
        report.ok("clock", &text, json!({"slept_ms": millis(slept)}));
        return;
    };
    let apart = now() / 1000 - theirs;
    let facts = json!({"apart_s": apart, "slept_ms": millis(slept)});
    if apart.abs() <= CLOCKS {
        let text = format!("the agent's clock and this one agree{slept_text}");
        report.ok("clock", &text, facts);
    } else {
        let seconds = Duration::from_secs(apart.unsigned_abs());
        let side = if apart > 0 { "behind" } else { "ahead of" };
        let text = format!(
            "the agent's clock is {} {side} this one{slept_text}",
            when::shown(seconds)
        );
        let advice = "set both clocks (NTP): certificates need them, and the times that people read; locks do not";
        report.warn("clock", &text, advice, facts);
    }
}

/// For how long the machine has slept since its start.
fn slept() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from).ok();
    let all = read(ClockId::CLOCK_BOOTTIME).zip(read(ClockId::CLOCK_MONOTONIC));
    all.map(|(boot, awake)| boot.saturating_sub(awake))
        .unwrap_or_default()
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// A time in milliseconds, with one digit behind the point.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The same as a number.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
