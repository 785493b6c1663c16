//! The log says what an operator wants to know, and no secret.

use crate::support::prelude::{self, *};
use crate::support::proxy::{Fault, Proxy};
use consul_lock::log::{Level, set_callback};

const TOKEN: &str = "a-token-that-nobody-may-see";
const VALUE: &str = "a-value-that-nobody-may-see";

fn client(address: &str) -> Client {
    prelude::client(address, &[("token", TOKEN)])
}

fn lock(client: &Client, key: &str, wait_ms: i64) -> Lock {
    let wait = wait_ms.to_string();
    prelude::lock(
        client,
        key,
        &[("acquire_timeout_ms", &wait), ("value", VALUE)],
    )
}

/// Everything that the log of this process said.
fn listen() -> Arc<Mutex<Vec<(Level, String)>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    let callback = move |level, line: &str| {
        heard.lock().unwrap().push((level, line.to_owned()));
    };
    set_callback(Some(Box::new(callback)), Level::Debug);
    lines
}

#[test]
fn the_log_says_what_goes_wrong_and_no_secret() {
    if ran_alone(the_log_says_what_goes_wrong_and_no_secret) {
        return;
    }
    let consul = Consul::start();
    let proxy = Proxy::start(consul.address(), |_| Fault::Pass);
    let lines = listen();
    let said = |level, words: &[&str]| {
        until(&format!("the log says {words:?}"), || {
            let lines = lines.lock().unwrap();
            lines
                .iter()
                .any(|(l, line)| *l == level && words.iter().all(|word| line.contains(word)))
        });
    };
    let client = client(proxy.address());
    let lost = lock(&client, "log/lost", 0);
    lost.acquire().expect("free");
    let session = lost.session_id().expect("held");
    consul.request("PUT", &format!("/v1/session/destroy/{session}"), "");
    lost.check().expect_err("gone");
    said(
        Level::Error,
        &["lost the lock", "log/lost", proxy.address(), "deleted"],
    );

    said(
        Level::Info,
        &["flight recorder of", "log/lost", "row ", "lost 3"],
    );

    // A lock-delay that another program's session left, long enough for the acquire to meet it.
    let body = r#"{"TTL": "10s", "LockDelay": "5s", "Behavior": "delete"}"#;
    let other = consul.request("PUT", "/v1/session/create", body);
    let other: Json = serde_json::from_str(&other.body).expect("JSON");
    let other = other["ID"].as_str().expect("an id");
    let path = format!("/v1/kv/locks/ephemeral/log/delayed?acquire={other}");
    consul.request("PUT", &path, "theirs");
    consul.request("PUT", &format!("/v1/session/destroy/{other}"), "");
    let delayed = lock(&client, "log/delayed", 30_000);
    delayed.acquire().expect("after the delay");
    said(Level::Info, &["log/delayed", "lock-delay"]);
    let lines_of = |word: &str| {
        let lines = lines.lock().unwrap();
        lines.iter().filter(|(_, line)| line.contains(word)).count()
    };
    assert_eq!(lines_of("lock-delay"), 1, "once per key");

    proxy.set(|_| Fault::CloseBefore);
    let error = delayed.release().expect_err("no answer comes");
    assert_eq!(error.status, Status::Unconfirmed);
    said(Level::Warn, &["log/delayed", "did not confirm"]);
    said(
        Level::Info,
        &["flight recorder of", "log/delayed", "tell ", " 24"],
    );
    // Tried again and again, and not said every time.
    let failed = lock(&client, "log/outage", 4_000).acquire();
    failed.expect_err("no answer comes");
    said(Level::Warn, &["trying again", proxy.address()]);
    let outages = lines_of("trying again");
    assert!(outages <= 3, "{outages} lines");

    // A client that may acquire a lock, but not end its session.
    proxy.set(|seen| match seen.kind() {
        "destroy" => Fault::Answer(403, "Permission denied"),
        _ => Fault::Pass,
    });
    let held = lock(&client, "log/forbidden", 10_000);
    held.acquire().expect("free");
    let error = held.release().expect_err("forbidden");
    assert_eq!(error.status, Status::Unconfirmed);
    said(
        Level::Warn,
        &["could not destroy the session", "TTL ends it"],
    );

    set_callback(None, Level::Debug);
    for (_, line) in lines.lock().unwrap().iter() {
        assert!(!line.contains(TOKEN) && !line.contains(VALUE), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}
