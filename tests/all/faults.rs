//! What networks and servers do to single requests, done by a proxy before a real Consul.

use crate::support::consul::comes_true;
use crate::support::log::Log;
use crate::support::prelude::*;
use crate::support::proxy::{Fault, Proxy, Seen, UNREADABLE};
use crate::support::scripted::{Answer, Asked, Scripted};

fn client_at(address: &str, options: &[(&str, &str)]) -> Client {
    client(address, &[&[("token", "hunter2")], options].concat())
}

fn lock_at(client: &Client, key: &str, wait_ms: &str) -> Lock {
    let life = ("lock_timeout_seconds", "30");
    lock(
        client,
        key,
        &[("acquire_timeout_ms", wait_ms), life, ("value", "hunter2")],
    )
}

/// Does something to the first request of a kind; the others pass.
fn first(kind: &'static str, fault: Fault) -> impl FnMut(&Seen) -> Fault + Send + 'static {
    let mut fault = Some(fault);
    move |seen| {
        if seen.kind() == kind {
            fault.take()
        } else {
            None
        }
        .unwrap_or(Fault::Pass)
    }
}

/// Does something to all requests of a kind.
fn every(kind: &'static str, fault: Fault) -> impl FnMut(&Seen) -> Fault + Send + 'static {
    move |seen| {
        if seen.kind() == kind || kind == "*" {
            fault.clone()
        } else {
            Fault::Pass
        }
    }
}

fn nothing_left(consul: &Consul, key: &str) {
    let full = format!("locks/ephemeral/{key}");
    until("the key is gone", || consul.row(&full).is_none());
    let ours = || {
        let mut sessions = consul.sessions();
        sessions.retain(|row| row["Name"].as_str().unwrap().starts_with("consul_lock "));
        sessions
    };
    let gone = comes_true(|| ours().is_empty());
    assert!(gone, "after {key}, Consul still has {:?}", ours());
}

fn one_line_without_secrets(error: &Error, key: &str, address: &str) {
    let text = &error.message;
    assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
    assert!(text.contains(key) && text.contains(address), "{text}");
}

#[test]
fn a_lost_answer_to_the_lock_is_resolved_by_the_same_transaction() {
    let consul = Consul::start();
    for (n, fault) in [
        Fault::DropReply,
        Fault::ResetReply,
        Fault::TwiceLater(Duration::from_millis(50)),
    ]
    .into_iter()
    .enumerate()
    {
        for wait in ["0", "5000"] {
            let key = format!("lost-lock-{n}-{wait}");
            let proxy = Proxy::start(consul.address(), first("lock", fault.clone()));
            let client = client_at(proxy.address(), &[]);
            let lock = lock_at(&client, &key, wait);
            lock.acquire().unwrap();
            let locks: Vec<String> = proxy
                .seen()
                .into_iter()
                .filter(|s| s.kind() == "lock")
                .map(|s| s.body)
                .collect();
            assert_eq!(locks.len(), 3);
            assert_eq!(locks[0], locks[1], "byte for byte");
            assert!(locks[2].contains("\"check-session\""), "{}", locks[2]);
            let row = consul.row(&format!("locks/ephemeral/{key}")).unwrap();
            assert_eq!(
                row["CreateIndex"].as_u64(),
                lock.fencing_token(),
                "the original index"
            );
            lock.release().unwrap();
            assert!(
                proxy.kinds().contains(&"destroy"),
                "a doubtful session is never used again"
            );
            nothing_left(&consul, &key);
        }
    }
}

#[test]
fn a_lost_answer_to_the_create_leaves_no_session() {
    let consul = Consul::start();
    let key = "lost-create";
    let proxy = Proxy::start(consul.address(), first("create", Fault::DropReply));
    let client = client_at(proxy.address(), &[]);
    let lock = lock_at(&client, key, "5000");
    lock.acquire().unwrap();
    until("the orphan is gone", || {
        let ours = consul.sessions();
        ours.iter()
            .filter(|row| row["Name"].as_str().unwrap().starts_with("consul_lock "))
            .count()
            == 1
    });
    lock.release().unwrap();
    nothing_left(&consul, key);
}

/// Such an answer is a lost one: what was asked is asked again, or looked up, and nothing stays behind.
#[test]
fn an_answer_that_cannot_be_read_is_a_lost_answer() {
    let consul = Consul::start();
    for (n, (what, bytes)) in UNREADABLE.into_iter().enumerate() {
        for kind in ["create", "lock", "destroy"] {
            let key = format!("unreadable-{n}-{kind}");
            let proxy = Proxy::start(consul.address(), first(kind, Fault::Instead(bytes)));
            let client = client_at(proxy.address(), &[]);
            let lock = lock_at(&client, &key, "10000");
            lock.acquire()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            lock.release()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            nothing_left(&consul, &key);
        }
    }
    // One attempt asks for a session once.
    for (what, bytes) in UNREADABLE {
        let key = "unreadable-once";
        let proxy = Proxy::start(consul.address(), first("create", Fault::Instead(bytes)));
        let client = client_at(proxy.address(), &[]);
        let error = lock_at(&client, key, "0").acquire().expect_err(what);
        one_line_without_secrets(&error, key, proxy.address());
        nothing_left(&consul, key);
        assert_eq!(proxy.count("create"), 1, "{what}");
    }
}

#[test]
fn a_lost_answer_to_the_release_is_made_up_for() {
    let consul = Consul::start();
    // Cold: the session is destroyed. Hot: the key is deleted, and a late copy must find nothing.
    for (kind, cycles) in [("destroy", 0), ("unlock", 2)] {
        for fault in [
            Fault::DropReply,
            Fault::TwiceLater(Duration::from_millis(300)),
        ] {
            let key = format!("lost-{kind}");
            let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
            let client = client_at(proxy.address(), &[]);
            for _ in 0..cycles {
                let lock = lock_at(&client, &key, "0");
                lock.acquire().unwrap();
                lock.release().unwrap();
            }
            proxy.set(first(kind, fault));
            let lock = lock_at(&client, &key, "0");
            lock.acquire().unwrap();
            lock.release().unwrap();
            // The next lock on the key outlives the late copy of the release.
            let next = lock_at(&client, &key, "0");
            next.acquire().unwrap();
            std::thread::sleep(Duration::from_millis(500));
            next.check().unwrap();
            next.release().unwrap();
            nothing_left(&consul, &key);
        }
    }
}

#[test]
fn what_was_surely_not_applied_is_tried_again_within_the_time() {
    let consul = Consul::start();
    for (n, fault) in [
        Fault::Answer(500, "No cluster leader"),
        Fault::Answer(
            500,
            "rpc error getting client: failed to get conn: dial tcp: refused",
        ),
        Fault::Answer(429, "Your IP is issuing too many concurrent connections"),
        Fault::Answer(503, "rate limit exceeded"),
        Fault::Answer(500, "rpc error making call: EOF"),
        // States that settle.
        Fault::Answer(500, "rpc error making call: Missing node registration"),
        Fault::Answer(500, "Missing check 'mem' registration"),
        Fault::Answer(500, "Check 'mem' is in critical state"),
        Fault::Answer(403, "ACL not found"),
        Fault::CloseBefore,
    ]
    .into_iter()
    .enumerate()
    {
        for kind in ["survey", "create", "lock"] {
            let key = format!("again-{n}-{kind}");
            let proxy = Proxy::start(consul.address(), first(kind, fault.clone()));
            let client = client_at(proxy.address(), &[]);
            let lock = lock_at(&client, &key, "10000");
            lock.acquire().unwrap();
            lock.release().unwrap();
            nothing_left(&consul, &key);
        }
    }
}

#[test]
fn one_attempt_is_one_attempt() {
    let consul = Consul::start();
    let key = "one-attempt";
    let proxy = Proxy::start(
        consul.address(),
        every("survey", Fault::Answer(500, "No cluster leader")),
    );
    let client = client_at(proxy.address(), &[]);
    let error = lock_at(&client, key, "0").acquire().unwrap_err();
    assert_eq!(error.status, Status::Unavailable);
    assert_eq!(error.http_status, Some(500));
    assert!(error.message.contains("No cluster leader"), "{error}");
    one_line_without_secrets(&error, key, proxy.address());
    assert_eq!(proxy.kinds(), ["survey"]);
}

#[test]
fn the_three_ways_not_to_get_it_are_never_confused() {
    let consul = Consul::start();
    for (body, status, patience) in [
        ("Permission denied", Status::Denied, "20000"),
        // A token may become known: that is waited for.
        ("ACL not found", Status::Denied, "1500"),
    ] {
        for (kind, wait) in [("create", "0"), ("create", patience), ("lock", patience)] {
            let key = format!("denied-{kind}");
            let proxy = Proxy::start(consul.address(), every(kind, Fault::Answer(403, body)));
            let client = client_at(proxy.address(), &[]);
            let begun = Instant::now();
            let error = lock_at(&client, &key, wait).acquire().unwrap_err();
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "waiting would not help"
            );
            assert_eq!(error.status, status);
            assert_eq!(error.http_status, Some(403));
            assert!(error.message.contains("docs/acl.md"), "{error}");
            one_line_without_secrets(&error, &key, proxy.address());
            nothing_left(&consul, &key);
        }
    }
    let key = "denied-in-a-transaction";
    let denied = r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied"}]}"#;
    let proxy = Proxy::start(consul.address(), every("lock", Fault::Answer(409, denied)));
    let client = client_at(proxy.address(), &[]);
    assert_eq!(
        lock_at(&client, key, "5000").acquire().unwrap_err().status,
        Status::Denied
    );
    nothing_left(&consul, key);

    let key = "redirected";
    let proxy = Proxy::start(consul.address(), every("survey", Fault::Answer(301, "")));
    let client = client_at(proxy.address(), &[]);
    let error = lock_at(&client, key, "5000").acquire().unwrap_err();
    assert_eq!(error.status, Status::Rejected);
    assert!(error.message.contains("redirect"), "{error}");
}

#[test]
fn silence_is_unavailable_and_ends_at_the_deadline() {
    let consul = Consul::start();
    let key = "silence";
    let proxy = Proxy::start(consul.address(), every("*", Fault::NeverReply));
    let client = client_at(proxy.address(), &[("request_timeout_ms", "1000")]);
    for (wait, least, most) in [
        ("0", 900, 6_000),
        ("300", 300, 5_000),
        ("2500", 2_500, 8_000),
    ] {
        let begun = Instant::now();
        let error = lock_at(&client, key, wait).acquire().unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.status, Status::Unavailable, "{error}");
        assert!(
            took > Duration::from_millis(least) && took < Duration::from_millis(most),
            "{took:?}"
        );
        one_line_without_secrets(&error, key, proxy.address());
    }
}

#[test]
fn no_consul_at_all() {
    let [port] = crate::support::ports::free();
    let address = format!("127.0.0.1:{port}");
    let client = client_at(&address, &[]);
    let begun = Instant::now();
    let error = lock_at(&client, "k", "0").acquire().unwrap_err();
    assert_eq!(error.status, Status::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5));
    one_line_without_secrets(&error, "k", &address);
    let begun = Instant::now();
    let error = lock_at(&client, "k", "1500").acquire().unwrap_err();
    assert_eq!(error.status, Status::Unavailable);
    assert!(begun.elapsed() >= Duration::from_millis(1_500));
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert!(client.holder("k").is_err());
}

#[test]
fn a_consul_that_stops_while_we_wait_is_not_somebody_who_holds_the_lock() {
    let consul = Consul::start();
    let client = client_at(consul.address(), &[]);
    let theirs = consul.other_holds("locks/ephemeral/k");
    let lock = lock_at(&client, "k", "3000");
    let begun = Instant::now();
    let error = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock.acquire().unwrap_err());
        std::thread::sleep(Duration::from_millis(700));
        consul.pause();
        let error = waiter.join().unwrap();
        consul.resume();
        error
    });
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    consul.destroy(&theirs);
}

#[test]
fn a_release_that_nobody_confirms_says_so_and_goes_on() {
    let consul = Consul::start();
    let key = "unconfirmed";
    let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
    let client = client_at(
        proxy.address(),
        &[
            ("release_timeout_ms", "700"),
            ("request_timeout_ms", "1500"),
        ],
    );
    let lock = lock_at(&client, key, "0");
    lock.acquire().unwrap();
    proxy.set(every("*", Fault::CloseBefore));
    let begun = Instant::now();
    let error = lock.release().unwrap_err();
    assert_eq!(error.status, Status::Unconfirmed);
    assert!(begun.elapsed() < Duration::from_secs(5));
    one_line_without_secrets(&error, key, proxy.address());
    assert!(!lock.is_held());
    assert_eq!(lock.release().unwrap_err().status, Status::NotHeld);
    drop(lock);
    assert!(consul.row("locks/ephemeral/unconfirmed").is_some());
    proxy.set(|_: &Seen| Fault::Pass);
    nothing_left(&consul, key);
}

#[test]
fn a_cancel_undoes_what_was_on_its_way() {
    let consul = Consul::start();
    let delay = Duration::from_secs(3);
    let arrived = delay + Duration::from_millis(500);
    for (kind, fault, until_then) in [
        ("create", Fault::NeverReply, Duration::ZERO),
        ("lock", Fault::NeverReply, Duration::ZERO),
        // It arrives after its session is gone.
        ("lock", Fault::DelayBefore(delay), arrived),
        ("survey", Fault::DelayBefore(delay), arrived),
    ] {
        let key = format!("cancelled-{kind}");
        let proxy = Proxy::start(consul.address(), first(kind, fault));
        let client = client_at(proxy.address(), &[]);
        let lock = lock_at(&client, &key, "20000");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock.acquire());
            until("the request is on its way", || {
                proxy.kinds().contains(&kind)
            });
            if kind == "create" {
                // A create that reaches Consul after the library has looked for its session is the TTL's: ADR 0012.
                until("Consul has made the session", || {
                    !consul.sessions().is_empty()
                });
            }
            let begun = Instant::now();
            lock.cancel();
            assert_eq!(
                waiter.join().unwrap().unwrap_err().status,
                Status::Cancelled
            );
            // Nothing waits for what is delayed.
            let took = begun.elapsed();
            assert!(took < Duration::from_millis(2_500), "{took:?}");
        });
        std::thread::sleep(until_then);
        nothing_left(&consul, &key);
    }
}

/// Answers the survey with which a single attempt begins: the key is there.
fn odd_exists(request: &Asked) -> Option<Answer> {
    let exists =
        r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"key \"locks/ephemeral/odd\" exists"}]}"#;
    (request.target == "/v1/txn").then(|| Answer::reply(409, exists))
}

/// What another program stored as the session of a key goes nowhere: not into a path, not into a
/// text. It holds the key.
#[test]
fn a_session_id_that_is_none_holds_the_key_and_nothing_is_asked_about_it() {
    for id in [
        "x\r\nX-Evil: 1",
        "../../kv/secret?raw",
        "a?dc=evil&x=",
        "\u{e9}\u{202e}\u{7}\u{1b}[31mred",
        &"A".repeat(1 << 20),
        " ",
    ] {
        let (asked, requests) = std::sync::mpsc::channel();
        let row = serde_json::json!([{
            "LockIndex": 1, "Key": "locks/ephemeral/odd", "Flags": 0, "Value": null,
            "CreateIndex": 3, "ModifyIndex": 5, "Session": id,
        }]);
        let server = Scripted::start(move |request| {
            asked.send(request.target.clone()).unwrap();
            odd_exists(request).unwrap_or_else(|| Answer::indexed(200, 5, &row.to_string()))
        });
        let client = client_at(server.address(), &[]);
        let error = lock_at(&client, "odd", "0").acquire().unwrap_err();
        assert_eq!(error.status, Status::NotAcquired, "{error}");
        one_line_without_secrets(&error, "odd", server.address());
        assert!(error.message.len() < 400, "{error}");
        let holder = client.holder("odd").unwrap().expect("held");
        assert_eq!(&*holder.session.0, "(unreadable)");
        assert_eq!((holder.name, holder.node), (None, None));
        drop(client);
        let targets: Vec<String> = requests.try_iter().collect();
        let [survey, looks @ ..] = &*targets else {
            panic!("nothing was asked")
        };
        assert_eq!(survey, "/v1/txn");
        assert_eq!(looks, ["/v1/kv/locks/ephemeral/odd"; 2]);
    }
}

/// Another program may choose any name for its session.
#[test]
fn the_names_of_a_holder_are_one_line() {
    let id = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";
    let row = serde_json::json!([{
        "LockIndex": 1, "Key": "locks/ephemeral/odd", "Flags": 0, "Value": null,
        "CreateIndex": 3, "ModifyIndex": 5, "Session": id,
    }]);
    let name = format!("evil\nname\u{1b}[31m\u{202e}{}", "N".repeat(50_000));
    let info = serde_json::json!([{"ID": id, "Name": name, "Node": "n\r\nm"}]);
    let server = Scripted::start(move |request| {
        if let Some(exists) = odd_exists(request) {
            return exists;
        }
        let info = request
            .target
            .starts_with("/v1/session/info/")
            .then_some(&info);
        Answer::indexed(200, 5, &info.unwrap_or(&row).to_string())
    });
    let client = client_at(server.address(), &[]);
    let error = lock_at(&client, "odd", "0").acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    one_line_without_secrets(&error, "odd", server.address());
    assert!(error.message.len() < 800, "{error}");
    assert!(error.message.contains("\"evil name?[31m?NN"), "{error}");
    let holder = client.holder("odd").unwrap().expect("held");
    let name = holder.name.unwrap();
    assert!(name.starts_with("evil name?[31m?NN") && name.len() < 5_000);
    assert_eq!(holder.node.as_deref(), Some("n  m"));
}

#[test]
fn a_session_that_is_ended_behind_our_back_is_replaced() {
    let consul = Consul::start();
    let key = "replaced";
    let client = client_at(consul.address(), &[]);
    // A warm session, ended by an operator before the next lock uses it.
    for _ in 0..2 {
        let lock = lock_at(&client, key, "0");
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    for row in consul.sessions() {
        consul.destroy(row["ID"].as_str().unwrap());
    }
    let lock = lock_at(&client, key, "0");
    lock.acquire().unwrap();
    lock.release().unwrap();
    nothing_left(&consul, key);
}

/// The lock was given, but its lease cannot be made whole: it is not handed out with what is left.
#[test]
fn a_lock_without_its_whole_life_is_given_back() {
    let consul = Consul::start();
    let key = "whole-life";
    let mut held_up = false;
    let proxy = Proxy::start(consul.address(), move |seen: &Seen| match seen.kind() {
        "lock" if !held_up => {
            held_up = true;
            Fault::DelayReply(Duration::from_millis(1_200))
        }
        "renew" => Fault::NeverReply,
        _ => Fault::Pass,
    });
    let client = client_at(proxy.address(), &[("request_timeout_ms", "4000")]);
    let lock = lock_at(&client, key, "3000");
    let error = lock.acquire().unwrap_err();
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(error.message.contains("its whole life"), "{error}");
    one_line_without_secrets(&error, key, proxy.address());
    nothing_left(&consul, key);
}

/// The same, and the renewal works at the second try: it is worth another one, also to a single attempt.
#[test]
fn a_lock_is_made_whole_within_the_time() {
    let consul = Consul::start();
    for wait in ["0", "20000"] {
        let key = format!("made-whole-{wait}");
        let (mut held_up, mut lost) = (false, false);
        let proxy = Proxy::start(consul.address(), move |seen: &Seen| match seen.kind() {
            "lock" if !held_up => {
                held_up = true;
                Fault::DelayReply(Duration::from_millis(1_200))
            }
            "renew" if !lost => {
                lost = true;
                Fault::DropReply
            }
            _ => Fault::Pass,
        });
        let client = client_at(proxy.address(), &[]);
        let lock = lock_at(&client, &key, wait);
        lock.acquire().unwrap();
        assert!(
            lock.remaining() > Duration::from_secs(20),
            "{:?}",
            lock.remaining()
        );
        assert_eq!(proxy.count("renew"), 2);
        lock.release().unwrap();
        nothing_left(&consul, &key);
    }
}

/// A create that was answered is over, whatever the answer was.
#[test]
fn a_create_that_was_refused_leaves_nothing_under_way() {
    let consul = Consul::start();
    for (status, body, expected) in [
        (403, "Permission denied", Status::Denied),
        (400, "Request decode failed", Status::Rejected),
        (500, "Invalid Session TTL '1'", Status::Rejected),
        (500, "No cluster leader", Status::Unavailable),
    ] {
        let key = format!("refused-{status}");
        let proxy = Proxy::start(
            consul.address(),
            every("create", Fault::Answer(status, body)),
        );
        let client = client_at(proxy.address(), &[]);
        // shutdown.rs waits for it.
        for wait in ["0", "300"] {
            let lock = lock_at(&client, &key, wait);
            assert_eq!(lock.acquire().unwrap_err().status, expected);
            let begun = Instant::now();
            assert_eq!(lock.release().unwrap_err().status, Status::NotHeld);
            // Nothing is undone, so nothing is waited for: release_timeout_ms is 10 s.
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        assert_eq!(proxy.count("list"), 0, "{status}: nothing to look for");
        nothing_left(&consul, &key);
    }
}

/// Reads work and writes do not: the pauses between the writes grow all the same, and the log says it.
#[test]
fn writes_that_fail_are_not_hurried_by_reads_that_work() {
    let consul = Consul::start();
    for (n, (kind, answer)) in [
        ("create", Fault::Answer(429, "rate limit exceeded")),
        ("lock", Fault::Answer(500, "rpc error making call: EOF")),
        (
            "lock",
            Fault::Answer(
                409,
                r#"{"Results":null,"Errors":[{"OpIndex":1,"What":"invalid session \"x\""}]}"#,
            ),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("hurried-{n}");
        let proxy = Proxy::start(consul.address(), every(kind, answer));
        let client = client_at(proxy.address(), &[]);
        let wait = Duration::from_secs(5);
        let error = lock_at(&client, &key, "5000").acquire().unwrap_err();
        assert_eq!(error.status, Status::Unavailable, "{error}");
        // 20 ms, doubled up to 1 s, less a half at most: some 12 in 5 s.
        let writes = proxy.count(kind);
        assert!(
            (3..40).contains(&writes),
            "{kind}: {writes} within {wait:?}"
        );
        assert!(proxy.seen().len() < 160, "{} requests", proxy.seen().len());
        nothing_left(&consul, &key);
    }
}

/// More than is read of an answer stands where the tickets of a key are.
#[test]
fn junk_in_the_line_of_a_key_blocks_nobody() {
    let consul = Consul::start();
    let log = Log::listen();
    let said = || log.said(&["in no particular order", "ephemeral/junk/"]);
    let junk = "x".repeat(500_000);
    let line = "/v1/kv/locks/ephemeral/junk/.fifo/";
    for number in 0..6 {
        let path = format!("{line}junk-{number}");
        assert_eq!(consul.request("PUT", &path, &junk).status, 200);
    }
    let client = client_at(consul.address(), &[]);
    for wait in ["0", "10000"] {
        for _ in 0..5 {
            let lock = lock_at(&client, "junk", wait);
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
    }
    // Held by another process, which waited, too.
    let elsewhere = client_at(consul.address(), &[]);
    let held = lock_at(&elsewhere, "junk", "10000");
    held.acquire().unwrap();
    std::thread::scope(|scope| {
        let lock = lock_at(&client, "junk", "60000");
        let waiter = scope.spawn(move || {
            lock.acquire().unwrap();
            lock.release().unwrap();
        });
        std::thread::sleep(Duration::from_millis(300));
        held.release().unwrap();
        waiter.join().unwrap();
    });
    until("each client says so", || said().len() >= 2);
    let said = said();
    assert_eq!(said.len(), 2, "once: {said:?}");
    assert!(said[0].contains("remove what does not belong below \"locks/ephemeral/junk/.fifo/\""));
    drop(client);
    drop(elsewhere);
    assert_eq!(
        consul
            .request("DELETE", &format!("{line}?recurse"), "")
            .status,
        200
    );
    nothing_left(&consul, "junk");
}

/// More keys are waited for than may be watched one by one, in a folder that cannot be listed.
#[test]
fn keys_in_a_folder_of_too_many_names_take_turns_at_once() {
    let consul = Consul::start();
    let log = Log::listen();
    let said = || log.said(&["cannot be listed", "ephemeral/big/"]);
    let folder = "locks/ephemeral/big/";
    for first in (0..1_280).step_by(64) {
        let set = |number| {
            let key = format!("{folder}{number:04}{}", "x".repeat(2_000));
            serde_json::json!({"KV": {"Verb": "set", "Key": key, "Value": ""}})
        };
        let body = serde_json::Value::from_iter((first..first + 64).map(set)).to_string();
        assert_eq!(consul.request("PUT", "/v1/txn", &body).status, 200);
    }
    let keys: Vec<String> = (0..6).map(|number| format!("big/{number}")).collect();
    let theirs: Vec<String> = keys
        .iter()
        .map(|key| consul.other_holds(&format!("locks/ephemeral/{key}")))
        .collect();
    let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
    let client = client_at(proxy.address(), &[("max_connections", "4")]);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = keys
            .iter()
            .map(|key| {
                let lock = lock_at(&client, key, "120000");
                scope.spawn(move || {
                    lock.acquire().unwrap();
                    lock.release().unwrap();
                })
            })
            .collect();
        until("the log says so", || !said().is_empty());
        // Long enough for all to have had a turn.
        std::thread::sleep(Duration::from_secs(2));
        let ended = Instant::now();
        for session in &theirs {
            consul.destroy(session);
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
        // Each turn is half a second; without them it was up to a minute.
        let took = ended.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
    let listings = proxy.seen();
    let listings = listings.iter().filter(|seen| seen.target.contains("keys"));
    assert_eq!(listings.count(), 1);
    assert_eq!(said().len(), 1, "{:?}", said());
    drop(client);
    let all = format!("/v1/kv/{folder}?recurse");
    assert_eq!(consul.request("DELETE", &all, "").status, 200);
    nothing_left(&consul, "big/0");
}
