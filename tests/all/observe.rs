//! Observers of a key's holder, on a real Consul: what they are told and when, and that they cost one query.

use crate::support::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use consul_lock::client::{Manner, Observer, Seen};
use consul_lock::queue::{News, Queue};

/// What an observer was told, in words: `free`, `SESSION VALUE`, or a status.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn hear(&self, seen: Seen) {
        let word = match seen {
            Ok(None) => "free".to_owned(),
            Ok(Some(holder)) => {
                assert!(holder.fencing_token > 0);
                let value = String::from_utf8_lossy(&holder.value.0).into_owned();
                format!("{} {value}", holder.session.0)
            }
            Err(error) => format!("{:?}", error.status),
        };
        self.0.lock().unwrap().push(word);
    }

    fn words(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn comes_to(&self, word: &str) {
        until(word, || {
            self.words().last().is_some_and(|last| last == word)
        });
    }
}

fn observe(client: &Client, key: &str) -> (Observer, Told) {
    let told = Told::default();
    let hears = told.clone();
    let callback = Box::new(move |seen| {
        hears.hear(seen);
        true
    });
    let observer = client.observe(key, Manner::Hosted, callback);
    (observer.expect("it begins"), told)
}

/// A lock that is held, and the word of its observers.
fn leader(client: &Client, key: &str, value: &str) -> (Lock, String) {
    let leader = lock(
        client,
        key,
        &[("value", value), ("acquire_timeout_ms", "20000")],
    );
    leader.acquire().expect("free");
    let word = format!("{} {value}", leader.session_id().expect("held"));
    (leader, word)
}

#[test]
fn each_change_of_the_holder_is_told_in_its_order() {
    let consul = Consul::start();
    let (watching, leading) = (client(consul.address(), &[]), client(consul.address(), &[]));
    let (observer, told) = observe(&watching, "election");
    told.comes_to("free");
    let mut expected = vec!["free".to_owned()];
    for value in ["10.0.0.1:80", "10.0.0.2:80"] {
        let (leader, word) = leader(&leading, "election", value);
        told.comes_to(&word);
        leader.release().expect("held");
        told.comes_to("free");
        expected.extend([word, "free".to_owned()]);
    }
    assert_eq!(told.words(), expected);
    assert_eq!(number(&watching, "observers"), 1);
    drop(observer);
    assert_eq!(number(&watching, "observers"), 0);
}

#[test]
fn an_observer_sees_what_its_caller_has_done_before() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (_first, first) = observe(&client, "own");
    first.comes_to("free");
    let (_leader, word) = leader(&client, "own", "me");
    let (_second, second) = observe(&client, "own");
    second.comes_to(&word);
    assert_eq!(
        second.words(),
        std::slice::from_ref(&word),
        "no older state"
    );
    first.comes_to(&word);
}

#[test]
fn the_successor_of_a_leader_that_died_is_told_soon() {
    let consul = Consul::start();
    let (watching, leading) = (client(consul.address(), &[]), client(consul.address(), &[]));
    let (_observer, told) = observe(&watching, "failover");
    let (first, word) = leader(&leading, "failover", "a");
    told.comes_to(&word);
    thread::scope(|scope| {
        let address = consul.address();
        let standby = scope.spawn(move || leader(&client(address, &[]), "failover", "b"));
        let line = "locks/ephemeral/failover/.fifo/";
        until("it stands in line", || {
            consul.keys().iter().any(|key| key.starts_with(line))
        });
        consul.destroy(&first.session_id().expect("held"));
        let (second, word) = standby.join().expect("it leads");
        let begun = Instant::now();
        told.comes_to(&word);
        assert!(begun.elapsed() < Duration::from_secs(5), "no poll of 5 s");
        second.release().expect("held");
    });
    told.comes_to("free");
}

#[test]
fn an_observer_that_has_ended_is_told_nothing() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (observer, told) = observe(&client, "ended");
    let (_kept, kept) = observe(&client, "ended");
    told.comes_to("free");
    kept.comes_to("free");
    drop(observer);
    let (_leader, word) = leader(&client, "ended", "x");
    kept.comes_to(&word);
    assert_eq!(told.words(), ["free"]);
}

#[test]
fn the_end_waits_for_a_callback_that_runs() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (begun, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begins, ends) = (begun.clone(), over.clone());
    let callback = Box::new(move |_| {
        begins.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(500));
        ends.fetch_add(1, Ordering::SeqCst);
        true
    });
    let observer = client.observe("slow", Manner::Hosted, callback);
    until("it runs", || begun.load(Ordering::SeqCst) == 1);
    drop(observer);
    assert_eq!(over.load(Ordering::SeqCst), 1);
}

#[test]
fn a_callback_may_end_its_own_observer() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let place: Arc<Mutex<Option<Observer>>> = Arc::default();
    let (ends, calls) = (place.clone(), Arc::new(AtomicUsize::new(0)));
    let counts = calls.clone();
    let callback = Box::new(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        // The observer is put there before the callback may have it.
        drop(ends.lock().unwrap().take());
        true
    });
    let mut inside = place.lock().unwrap();
    *inside = Some(client.observe("inside", Manner::Hosted, callback).unwrap());
    drop(inside);
    until("it has ended", || number(&client, "observers") == 0);
    let (leader, _) = leader(&client, "inside", "x");
    leader.release().expect("held");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn observers_of_a_key_share_one_query() {
    let consul = Consul::start();
    let (watching, leading) = (client(consul.address(), &[]), client(consul.address(), &[]));
    let (first, word) = leader(&leading, "shared", "x");
    let all: Vec<_> = (0..200).map(|_| observe(&watching, "shared")).collect();
    for (_, told) in &all {
        told.comes_to(&word);
    }
    let asked = |kind: &str| stats(&watching)["requests"][kind].as_u64().unwrap();
    let before = asked("watch");
    assert!(before <= 3, "{before} queries");
    first.release().expect("held");
    for (_, told) in &all {
        told.comes_to("free");
    }
    let (_second, word) = leader(&leading, "shared", "y");
    for (_, told) in &all {
        told.comes_to(&word);
    }
    assert!(asked("watch") - before <= 10, "{}", asked("watch"));
    assert!(asked("read") <= 210, "{}", asked("read"));
    assert!(number(&watching, "connections_peak") <= 6);
}

#[test]
fn more_keys_than_queries_are_all_observed() {
    let consul = Consul::start();
    let (watching, leading) = (client(consul.address(), &[]), client(consul.address(), &[]));
    let keys: Vec<String> = (0..24).map(|number| format!("many/{number}")).collect();
    let all: Vec<_> = keys.iter().map(|key| observe(&watching, key)).collect();
    let leaders: Vec<_> = keys.iter().map(|key| leader(&leading, key, key)).collect();
    for ((_, told), (_, word)) in all.iter().zip(&leaders) {
        told.comes_to(word);
    }
    // A waiter of the same client is not kept waiting by observers.
    let (first, _) = &leaders[23];
    let waiter = lock_within(&watching, "many/23", 20_000);
    thread::scope(|scope| {
        let waits = scope.spawn(|| waiter.acquire());
        until("it waits", || number(&watching, "waiting") == 1);
        first.release().expect("held");
        waits.join().unwrap().expect("its turn");
    });
}

#[test]
fn a_refusal_is_told_once_and_the_holder_when_consul_shows_it() {
    let consul = Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }",
    );
    let put = |path: &str, body: Json| -> Json {
        let reply = consul.request("PUT", path, &body.to_string());
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap()
    };
    let rules = |policy: &str| format!("key_prefix \"locks/\" {{ policy = \"{policy}\" }}");
    let policy = put(
        "/v1/acl/policy",
        json!({"Name": "observer", "Rules": rules("deny")}),
    );
    let token = put("/v1/acl/token", json!({"Policies": [{"Name": "observer"}]}));
    let token = token["SecretID"].as_str().unwrap();
    let watching = client(consul.address(), &[("token", token)]);
    let (_observer, told) = observe(&watching, "secret");
    told.comes_to("Denied");
    let id = policy["ID"].as_str().unwrap();
    put(
        &format!("/v1/acl/policy/{id}"),
        json!({"Name": "observer", "Rules": rules("read")}),
    );
    told.comes_to("free");
    assert_eq!(told.words(), ["Denied", "free"]);
}

#[test]
fn an_outage_is_told_once_and_the_holder_after_it() {
    let consul = Consul::start();
    let watching = client(consul.address(), &[("request_timeout_ms", "1000")]);
    let (_leader, word) = leader(&client(consul.address(), &[]), "outage", "x");
    let (_observer, told) = observe(&watching, "outage");
    told.comes_to(&word);
    consul.pause();
    told.comes_to("Unavailable");
    consul.resume();
    told.comes_to(&word);
    assert_eq!(told.words(), [&*word, "Unavailable", &*word]);
}

#[test]
fn news_for_a_queue_without_a_reader_ends_its_observer() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (queue, reader) = Queue::new().expect("a queue");
    let sender = queue.sender(7);
    let callback = Box::new(move |seen| {
        sender.put(News::Observed(seen));
        sender.is_read()
    });
    let observer = client.observe("queue", Manner::Prompt, callback).unwrap();
    let mut event = None;
    until("an event", || {
        event = queue.next();
        event.is_some()
    });
    let event = event.expect("an event");
    assert!(event.tag == 7 && matches!(event.news, News::Observed(Ok(None))));
    drop(reader);
    let (leader, _) = leader(&client, "queue", "x");
    until("it has ended", || number(&client, "observers") == 0);
    leader.release().expect("held");
    drop(observer);
}
