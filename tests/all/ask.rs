//! Questions of a tool to Consul's HTTP API, on a real Consul.

use crate::support::prelude::*;
use consul_lock::client::{Query, in_path};

const DENY: &str = "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }";

#[test]
fn a_question_goes_the_way_of_the_client() {
    let consul = Consul::start_with(DENY);
    let root = client(
        consul.address(),
        &[("token", "root"), ("datacenter", "dc1")],
    );
    let reply = root
        .ask(&Query::Get("/v1/status/leader"))
        .expect("an answer");
    assert_eq!(reply.status, 200);
    assert!(reply.peer.date.is_some() && reply.peer.certificate.is_none());
    assert_eq!(reply.peer.resolved.unwrap().to_string(), consul.address());
    assert_eq!(reply.peer.address, consul.address());
    // An agent's own API has no datacenter.
    let reply = root.ask(&Query::Get("/v1/agent/self")).expect("an answer");
    assert_eq!(reply.status, 200);
    let other = client(
        consul.address(),
        &[("token", "root"), ("datacenter", "mars")],
    );
    let error = other
        .ask(&Query::Get("/v1/kv/a"))
        .expect("an answer")
        .error("could not read the key");
    assert_eq!(error.status, Status::Unavailable);
    let address = consul.address();
    assert_eq!(
        error.message,
        format!(
            "could not read the key at {address}: GET /v1/kv/a answered HTTP 500: No path to datacenter"
        )
    );
}

#[test]
fn a_refusal_shows_no_secret() {
    let consul = Consul::start_with(DENY);
    let secret = "11111111-2222-3333-4444-555555555555";
    let stranger = client(consul.address(), &[("token", secret)]);
    let reply = stranger
        .ask(&Query::Get(&format!("/v1/agent/self?token={secret}")))
        .expect("an answer");
    assert_eq!(reply.status, 403);
    let error = reply.error("could not ask");
    assert_eq!(
        (error.status, error.http_status),
        (Status::Denied, Some(403))
    );
    assert!(!format!("{error} {reply:?}").contains(secret), "{error}");
}

#[test]
fn keys_are_absent_or_not() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let keys = ["a b/ü", "c"];
    let before = consul.quiet_raft_index();
    let absent = || client.ask(&Query::Absent(&keys)).expect("an answer").status;
    assert_eq!(absent(), 200);
    assert_eq!(consul.raft_index(), before, "nothing is written");
    let path = format!("/v1/kv/{}", in_path("a b/ü"));
    assert_eq!(path, "/v1/kv/a%20b/%C3%BC");
    let put = client.ask(&Query::Put(&path, "\"x\"")).expect("an answer");
    assert_eq!((put.status, put.body.trim_ascii()), (200, &b"true"[..]));
    assert_eq!(absent(), 409);
}

#[test]
fn a_blocking_query_may_take_longer_than_a_request() {
    let consul = Consul::start();
    let client = client(consul.address(), &[("request_timeout_ms", "500")]);
    consul.request("PUT", "/v1/kv/a", "1");
    let first = client.ask(&Query::Get("/v1/kv/a")).expect("an answer");
    let ask = Query::Watch {
        path: "/v1/kv/a",
        index: first.index.expect("an index"),
        wait: Duration::from_millis(1_500),
    };
    let begun = Instant::now();
    let same = client.ask(&ask).expect("an answer");
    assert!(begun.elapsed() >= Duration::from_millis(1_400));
    assert_eq!(same.index, first.index);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.ask(&ask).expect("an answer"));
        thread::sleep(Duration::from_millis(100));
        consul.request("PUT", "/v1/kv/a", "2");
        assert!(waiting.join().unwrap().index > first.index);
    });
}

#[test]
fn a_list_of_ten_thousand_keys_is_read() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    for part in 0..200 {
        let one = |number| json!({"KV": {"Verb": "set", "Key": format!("many/{part}-{number}/{}", "x".repeat(80)), "Value": "eHh4eHh4eHh4eHh4"}});
        let body = json!((0..50).map(one).collect::<Vec<Json>>()).to_string();
        assert_eq!(consul.request("PUT", "/v1/txn", &body).status, 200);
    }
    let reply = client
        .ask(&Query::Get("/v1/kv/many/?recurse="))
        .expect("all");
    assert!(reply.body.len() > 2 << 20, "{}", reply.body.len());
    let rows: Json = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(rows.as_array().unwrap().len(), 10_000);
}

#[test]
fn without_an_agent_the_error_says_what_to_do() {
    let client = client("127.0.0.1:1", &[]);
    let error = client.ask(&Query::Get("/v1/status/leader")).unwrap_err();
    assert_eq!(error.status, Status::Unavailable);
    let begin = "could not ask Consul at 127.0.0.1:1: GET /v1/status/leader: ";
    assert!(error.message.starts_with(begin), "{error}");
    assert!(
        error.message.contains("is a Consul agent running there?"),
        "{error}"
    );
}
