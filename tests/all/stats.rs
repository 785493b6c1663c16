//! The numbers of a client are what happened.

use crate::support::prelude::{self, *};

fn lock(client: &Client, key: &str, wait_ms: i64) -> Lock {
    let wait = wait_ms.to_string();
    prelude::lock(
        client,
        key,
        &[
            ("acquire_timeout_ms", &wait),
            ("lock_timeout_seconds", "60"),
        ],
    )
}

/// The sum of all requests.
fn requests(stats: &Json) -> u64 {
    let kinds = stats["requests"].as_object().expect("an object");
    kinds.values().map(|n| n.as_u64().expect("a number")).sum()
}

/// The Raft index of a Consul: grows by one with each write.
fn raft_index(consul: &Consul) -> u64 {
    let agent = consul.request("GET", "/v1/agent/self", "");
    let agent: Json = serde_json::from_str(&agent.body).expect("JSON");
    let index = agent["Stats"]["raft"]["last_log_index"].as_str();
    index.and_then(|text| text.parse().ok()).expect("an index")
}

#[test]
fn the_numbers_are_what_happened() {
    if ran_alone(the_numbers_are_what_happened) {
        return;
    }
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let fresh = stats(&client);
    assert_eq!(requests(&fresh), 0);
    assert_eq!(
        (&fresh["threads"], &fresh["connections"]),
        (&0.into(), &0.into())
    );

    let before = raft_index(&consul);
    let held = lock(&client, "stats/a", 0);
    held.acquire().expect("free");
    let waiting = lock(&client, "stats/a", -1);
    waiting
        .acquire_start(Completion::new(|_| {}))
        .expect("it starts");
    until("it waits", || stats(&client)["requests"]["watch"] != 0);
    let now = stats(&client);
    assert_eq!(
        (&now["held"], &now["waiting"]),
        (&1.into(), &1.into()),
        "{now}"
    );
    assert_eq!(now["acquire_us"]["count"], 1);
    assert_eq!(now["hold_us"]["count"], 0);
    assert!(now["threads"].as_u64() >= Some(3), "{now}");
    assert!(now["connections"].as_u64() >= Some(1), "{now}");
    // Much longer than an acquire of a free key may take.
    thread::sleep(Duration::from_secs(3));
    held.release().expect("held");
    until("the next has it", || waiting.is_held());
    thread::sleep(Duration::from_millis(100));
    waiting.release().expect("held");
    consul_lock::client::shutdown(Duration::from_secs(10)).expect("all is undone");

    let end = stats(&client);
    assert_eq!(
        (&end["held"], &end["waiting"]),
        (&0.into(), &0.into()),
        "{end}"
    );
    assert_eq!(end["acquire_us"]["count"], 2);
    assert_eq!(end["hold_us"]["count"], 2);
    let within = |json: &Json, least, most| json.as_u64().is_some_and(|n| n >= least && n < most);
    // The one that waited, and the longer of the two holds.
    assert!(
        within(&end["acquire_us"]["max"], 3_000_000, 40_000_000),
        "{end}"
    );
    assert!(within(&end["acquire_us"]["p50"], 1, 3_000_000), "{end}");
    assert!(
        within(&end["hold_us"]["p99"], 3_000_000, 40_000_000),
        "{end}"
    );
    assert!(end["connections_peak"].as_u64() >= end["connections"].as_u64());
    assert_eq!(
        (&end["unanswered"], &end["lost"]),
        (&0.into(), &0.into()),
        "{end}"
    );
    // Consul's own housekeeping writes a little, too.
    let written = raft_index(&consul) - before;
    let counted = end["raft_writes"].as_u64().expect("a number");
    assert!(counted >= 4 && counted <= written, "{end}, {written}");
    assert!(written <= counted + 10, "{end}, {written}");

    let lost = lock(&client, "stats/b", 0);
    lost.acquire().expect("free");
    let session = lost.session_id().expect("held");
    consul.request("PUT", &format!("/v1/session/destroy/{session}"), "");
    assert_eq!(lost.check().expect_err("gone").status, Status::Lost);
    assert_eq!(stats(&client)["lost"], 1);
    drop(lost);

    let nobody = self::client("127.0.0.1:1", &[]);
    let error = lock(&nobody, "stats/c", 500).acquire().expect_err("closed");
    assert_eq!(error.status, Status::Unavailable);
    let numbers = stats(&nobody);
    assert!(numbers["retries"].as_u64() >= Some(2), "{numbers}");
    assert!(numbers["unanswered"].as_u64() >= Some(3), "{numbers}");
    assert_eq!(
        (&numbers["connections"], &numbers["raft_writes"]),
        (&0.into(), &0.into())
    );
    consul.has_nothing_left();
}
