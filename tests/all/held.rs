//! What happens while a lock is held, on a real Consul: its renewal, the writes under it, and the
//! report of its loss.

use crate::support::prelude::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use crate::support::proxy::{Fault, Proxy, Seen, UNREADABLE};
use consul_lock::error::LostReason;
use consul_lock::key::MAX_VALUE;

/// One agent for all tests here. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

fn lock_at(address: &str, key: &str, options: &[(&str, &str)]) -> Lock {
    let client = client(address, &[("token", ""), ("request_timeout_ms", "3000")]);
    lock(
        &client,
        key,
        &[&[("lock_timeout_seconds", "10")], options].concat(),
    )
}

/// A lock that is held.
fn held(address: &str, key: &str, options: &[(&str, &str)]) -> Lock {
    let lock = lock_at(address, key, options);
    lock.acquire().unwrap();
    lock
}

/// What its lost callback is told; the channel is closed when the callback is dropped.
fn losses(lock: &Lock) -> Receiver<LostReason> {
    let (told, heard) = channel();
    let told = Box::new(move |reason| told.send(reason).unwrap());
    lock.set_lost_callback(Some(told)).unwrap();
    heard
}

fn delete(key: &str) {
    let reply = consul().request("DELETE", &format!("/v1/kv/{}", full(key)), "");
    assert_eq!(reply.body.trim(), "true");
}

fn stored(key: &str) -> Option<String> {
    let reply = consul().request("GET", &format!("/v1/kv/{key}?raw"), "");
    (reply.status == 200).then_some(reply.body)
}

const SOON: Duration = Duration::from_secs(5);

/// A write under a lock, as the proxy sees it.
fn is_put(seen: &Seen) -> bool {
    seen.target == "/v1/txn" && seen.body.contains("\"Verb\":\"set\"")
}

fn pass(_: &Seen) -> Fault {
    Fault::Pass
}

/// Told once, with that reason, and dropped afterwards.
#[track_caller]
fn is_told(heard: &Receiver<LostReason>, wanted: LostReason, within: Duration) {
    assert_eq!(heard.recv_timeout(within), Ok(wanted));
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
}

// Renewal.

#[test]
fn auto_renew_keeps_a_lock_for_longer_than_its_ttl() {
    let proxy = Proxy::start(consul().address(), pass);
    let lock = held(proxy.address(), "renewed", &[("auto_renew", "true")]);
    let heard = losses(&lock);
    let (token, session) = (lock.fencing_token(), lock.session_id());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(24) {
        assert!(lock.remaining() > Duration::from_secs(3));
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!((lock.fencing_token(), lock.session_id()), (token, session));
    lock.check().unwrap();
    lock.release().unwrap();
    drop(lock);
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    // One that was under way has arrived by then.
    thread::sleep(Duration::from_millis(500));
    let renewals = proxy.count("renew");
    assert!(
        (6..=10).contains(&renewals),
        "every third of 10 s: {renewals}"
    );
    // The next one would come in this time.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(proxy.count("renew"), renewals, "it is not renewed any more");
}

#[test]
fn a_lock_is_renewed_no_longer_than_its_longest_life() {
    let options = [("auto_renew", "true"), ("max_lifetime_seconds", "8")];
    let lock = held(consul().address(), "max-lifetime", &options);
    let begun = Instant::now();
    let heard = losses(&lock);
    assert_eq!(
        heard.recv_timeout(Duration::from_secs(40)),
        Ok(LostReason::Expired)
    );
    let took = begun.elapsed();
    // Renewed twice, after some 3.3 s and 6.6 s, on a slow machine once.
    assert!(
        took > Duration::from_secs(12) && took < Duration::from_secs(30),
        "{took:?}"
    );
    assert!(!lock.is_held());
    assert_eq!(status(lock.release()), Status::Lost);
}

#[test]
fn a_renewal_that_fails_is_tried_again() {
    let mut failures = 0;
    let proxy = Proxy::start(consul().address(), move |seen| {
        if seen.kind() != "renew" || failures == 3 {
            return Fault::Pass;
        }
        failures += 1;
        [
            Fault::Answer(500, "No cluster leader"),
            Fault::DropReply,
            Fault::NeverReply,
        ][failures - 1]
            .clone()
    });
    let lock = held(proxy.address(), "renewed-again", &[("auto_renew", "true")]);
    thread::sleep(Duration::from_secs(13));
    assert!(lock.is_held());
    lock.check().unwrap();
    lock.release().unwrap();
}

// Losses.

#[test]
fn a_session_that_is_ended_is_told_at_the_next_renewal() {
    // The watch would find it earlier.
    let options = [("auto_renew", "true"), ("monitor", "false")];
    let lock = held(consul().address(), "session", &options);
    let heard = losses(&lock);
    consul().destroy(&lock.session_id().unwrap());
    is_told(&heard, LostReason::SessionGone, Duration::from_secs(8));
    assert!(!lock.is_held());
    assert_eq!(status(lock.check()), Status::Lost);
}

#[test]
fn what_a_call_finds_out_is_told_too() {
    for (key, ask) in [
        ("gone-check", Lock::check as fn(&Lock) -> _),
        ("gone-put", |lock| lock.put_if_held("data/gone", b"v")),
        ("gone-release", Lock::release),
    ] {
        let lock = held(consul().address(), key, &[]);
        let heard = losses(&lock);
        delete(key);
        assert_eq!(status(ask(&lock)), Status::Lost);
        is_told(&heard, LostReason::KeyGone, SOON);
    }
    assert_eq!(stored("data/gone"), None);

    let lock = held(consul().address(), "taken", &[]);
    let heard = losses(&lock);
    delete("taken");
    let theirs = consul().other_holds(&full("taken"));
    assert_eq!(status(lock.put_if_held("data/taken", b"v")), Status::Lost);
    assert_eq!(status(lock.delete_if_held("data/taken")), Status::Lost);
    is_told(&heard, LostReason::TakenOver, SOON);
    assert_eq!(stored("data/taken"), None);
    assert_eq!(consul().holder(&full("taken")), Some(theirs.clone()));
    consul().destroy(&theirs);

    let lock = held(consul().address(), "renew", &[]);
    let heard = losses(&lock);
    consul().destroy(&lock.session_id().unwrap());
    assert_eq!(status(lock.renew()), Status::Lost);
    is_told(&heard, LostReason::SessionGone, SOON);
}

/// The caller calls no function, and no renewal is due: the watch of the key finds the loss.
#[test]
fn a_watched_lock_is_told_of_its_loss_at_once() {
    let life = [("lock_timeout_seconds", "180")];
    let proxy = Proxy::start(consul().address(), pass);
    let lock = held(proxy.address(), "watched-session", &life);
    let heard = losses(&lock);
    until("it is watched", || proxy.count("watch") > 0);
    consul().destroy(&lock.session_id().unwrap());
    is_told(&heard, LostReason::KeyGone, SOON);
    assert!(!lock.is_held());
    assert_eq!(status(lock.release()), Status::Lost);

    let proxy = Proxy::start(consul().address(), pass);
    let lock = held(proxy.address(), "watched-key", &life);
    let heard = losses(&lock);
    until("it is watched", || proxy.count("watch") > 0);
    delete("watched-key");
    is_told(&heard, LostReason::KeyGone, SOON);
}

#[test]
fn the_holder_and_the_waiters_of_a_process_share_one_watch() {
    let proxy = Proxy::start(consul().address(), pass);
    let mut connection = Options::new();
    connection.set("address", proxy.address()).unwrap();
    let client = Client::new(Some(&connection)).unwrap();
    let lock = Lock::new("shared-watch", None, Some(&client)).unwrap();
    lock.acquire().unwrap();
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "20000").unwrap();
    let next = Lock::new("shared-watch", Some(&options), Some(&client)).unwrap();
    thread::scope(|scope| {
        let begun = Instant::now();
        let waiter = scope.spawn(|| next.acquire());
        until("it waits", || proxy.count("watch") > 0);
        // Longer than it takes until a held lock is watched.
        thread::sleep(Duration::from_millis(1_500));
        // A query lasts 5 s.
        let queries = 1 + begun.elapsed().as_secs() / 5;
        assert!(proxy.count("watch") as u64 <= queries);
        lock.release().unwrap();
        waiter.join().unwrap().unwrap();
    });
    next.release().unwrap();
}

#[test]
fn a_lock_that_is_not_to_be_watched_is_not() {
    let proxy = Proxy::start(consul().address(), pass);
    let lock = held(proxy.address(), "unwatched", &[("monitor", "false")]);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(proxy.count("watch"), 0);
    lock.release().unwrap();
}

#[test]
fn a_cut_network_does_not_hide_the_end_of_the_lease() {
    let proxy = Proxy::start(consul().address(), pass);
    for (key, renew) in [("cut", "false"), ("cut-renewed", "true")] {
        proxy.set(pass);
        let lock = held(proxy.address(), key, &[("auto_renew", renew)]);
        let begun = Instant::now();
        let heard = losses(&lock);
        proxy.set(|_| Fault::NeverReply);
        let left = lock.remaining();
        is_told(&heard, LostReason::Expired, left + Duration::from_secs(3));
        assert!(
            begun.elapsed() + Duration::from_millis(10) >= left,
            "not before"
        );
        assert!(!lock.is_held());
        proxy.set(pass);
        assert_eq!(status(lock.release()), Status::Lost);
    }
}

#[test]
fn who_comes_late_is_told_at_once_and_who_gave_it_back_never() {
    let lock = held(consul().address(), "late", &[]);
    let first = losses(&lock);
    delete("late");
    assert_eq!(status(lock.check()), Status::Lost);
    is_told(&first, LostReason::KeyGone, SOON);
    is_told(&losses(&lock), LostReason::KeyGone, SOON);

    let lock = lock_at(consul().address(), "given-back", &[]);
    let before = losses(&lock);
    lock.acquire().unwrap();
    let heard = losses(&lock);
    // The one before was dropped for it.
    assert_eq!(
        before.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    lock.release().unwrap();
    let after = losses(&lock);
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    drop(lock);
    assert_eq!(
        after.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );

    for end in [drop as fn(Lock), |lock| lock.abandon()] {
        let lock = held(consul().address(), "dropped", &[]);
        let session = lock.session_id().unwrap();
        let heard = losses(&lock);
        end(lock);
        assert_eq!(
            heard.recv_timeout(SOON),
            Err(RecvTimeoutError::Disconnected)
        );
        consul().destroy(&session);
    }
    let heard = losses(&lock_at(consul().address(), "never-used", &[]));
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    let lock = held(consul().address(), "silenced", &[]);
    let heard = losses(&lock);
    lock.set_lost_callback(None).unwrap();
    assert_eq!(
        heard.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    lock.release().unwrap();
}

#[test]
fn a_lost_callback_may_call_the_library_and_delays_no_renewal() {
    let other = held(consul().address(), "other", &[("auto_renew", "true")]);
    let lock = held(consul().address(), "busy", &[]);
    let session = lock.session_id().unwrap();
    let (told, heard) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let address = consul().address();
    let callback = Box::new(move |_| {
        let inside = held(address, "inside", &[]);
        inside.release().unwrap();
        may_go_on.recv().unwrap();
        told.send(()).unwrap();
    });
    lock.set_lost_callback(Some(callback)).unwrap();
    consul().destroy(&session);
    assert_eq!(status(lock.check()), Status::Lost);
    thread::sleep(Duration::from_secs(11));
    assert!(other.is_held(), "renewed while a callback blocks");
    go_on.send(()).unwrap();
    heard.recv_timeout(SOON).unwrap();
    other.release().unwrap();
}

// Writes.

#[test]
fn what_is_written_under_a_lock() {
    let lock = lock_at(consul().address(), "put", &[]);
    assert_eq!(status(lock.put_if_held("data/put", b"v")), Status::NotHeld);
    lock.acquire().unwrap();
    lock.put_if_held("data/put \"1\"", b"one").unwrap();
    assert_eq!(stored("data/put%20%221%22"), Some("one".to_owned()));
    lock.put_if_held("data/put \"1\"", b"").unwrap();
    assert_eq!(stored("data/put%20%221%22"), Some(String::new()));
    lock.delete_if_held("data/put \"1\"").unwrap();
    lock.delete_if_held("data/put \"1\"").unwrap();
    assert_eq!(stored("data/put%20%221%22"), None);
    // The largest, with the longest key that still leaves room for it.
    let long = format!("data/{}", "x".repeat(3_000));
    lock.put_if_held(&long, &vec![b'x'; MAX_VALUE]).unwrap();
    assert_eq!(stored(&long).unwrap().len(), MAX_VALUE);
    lock.delete_if_held(&long).unwrap();
    for (key, len) in [
        ("data/large", MAX_VALUE + 1),
        (&*full("put"), 1),
        (&*full("put/.fifo/000"), 1),
        ("/data", 1),
    ] {
        let refused = lock.put_if_held(key, &vec![0; len]);
        assert_eq!(status(refused), Status::InvalidArgument, "{key}");
    }
    assert!(lock.is_held(), "a refusal changes nothing");
    lock.release().unwrap();
    assert_eq!(status(lock.put_if_held("data/put", b"v")), Status::NotHeld);
    assert_eq!(stored("data/put"), None);
}

/// On an agent of its own: the other tests write, too.
#[test]
fn a_write_under_a_lock_is_one_raft_write() {
    let consul = Consul::start();
    let options = [("lock_timeout_seconds", "180")];
    let lock = held(consul.address(), "counted", &options);
    // The least of three: the agent itself writes now and then.
    let writes = [(); 3].map(|()| {
        let before = consul.quiet_raft_index();
        lock.put_if_held("data/counted", b"v").unwrap();
        consul.raft_index() - before
    });
    assert_eq!(writes.iter().min(), Some(&1), "{writes:?}");
    lock.release().unwrap();
}

#[test]
fn a_write_whose_answer_is_lost_is_repeated() {
    for (n, fault) in [Fault::DropReply, Fault::CloseBefore, Fault::ResetReply]
        .into_iter()
        .enumerate()
    {
        let mut once = Some(fault);
        let proxy = Proxy::start(consul().address(), move |seen| {
            let fault = if is_put(seen) { once.take() } else { None };
            fault.unwrap_or(Fault::Pass)
        });
        let lock = held(proxy.address(), &format!("repeat-{n}"), &[]);
        let key = format!("data/repeat-{n}");
        lock.put_if_held(&key, b"v").unwrap();
        let puts: Vec<Seen> = proxy.seen().into_iter().filter(is_put).collect();
        assert_eq!(puts.len(), 2);
        assert_eq!(puts[0].body, puts[1].body, "byte for byte");
        assert_eq!(stored(&key), Some("v".to_owned()));
        lock.release().unwrap();
        // A session with a request of unknown fate is not used again.
        assert!(proxy.kinds().contains(&"destroy"));
    }
}

#[test]
fn a_write_that_cannot_be_settled_says_so() {
    let proxy = Proxy::start(consul().address(), |seen| match is_put(seen) {
        true => Fault::DropReply,
        false => Fault::Pass,
    });
    let lock = held(proxy.address(), "unsettled", &[]);
    let error = lock.put_if_held("data/unsettled", b"hunter2").unwrap_err();
    assert_eq!(error.status, Status::Unconfirmed, "{error}");
    let text = &error.message;
    assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
    for part in ["data/unsettled", "ephemeral/unsettled", proxy.address()] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(stored("data/unsettled"), Some("hunter2".to_owned()));
    assert!(lock.is_held());

    // Surely not applied: nothing is in doubt.
    proxy.set(|seen| match is_put(seen) {
        true => Fault::Answer(500, "No cluster leader"),
        false => Fault::Pass,
    });
    let error = lock.put_if_held("data/unapplied", b"v").unwrap_err();
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert_eq!(stored("data/unapplied"), None);

    // The write's answer is lost, and then the lock is: the library cannot know which of the write
    // and the loss came first.
    let mut first = true;
    proxy.set(move |seen| {
        if !is_put(seen) {
            return Fault::Pass;
        }
        if std::mem::take(&mut first) {
            return Fault::DropReply;
        }
        delete("unsettled");
        Fault::Pass
    });
    let heard = losses(&lock);
    let error = lock.put_if_held("data/unsettled-2", b"v").unwrap_err();
    assert_eq!(error.status, Status::Unconfirmed, "{error}");
    is_told(&heard, LostReason::KeyGone, SOON);
    assert_eq!(status(lock.put_if_held("data/x", b"v")), Status::Lost);
}

/// What was written is never told as not written, whatever comes back instead of Consul's answer.
#[test]
fn a_write_whose_answer_cannot_be_read_is_in_doubt() {
    for (n, (what, bytes)) in UNREADABLE.into_iter().enumerate() {
        let proxy = Proxy::start(consul().address(), pass);
        let key = format!("unreadable-{n}");
        let lock = held(proxy.address(), &key, &[("lock_timeout_seconds", "60")]);
        let mut spoilt = false;
        // The first answer alone: the same write is sent again, and that answer says that it was done.
        proxy.set(move |seen| {
            if is_put(seen) && !std::mem::replace(&mut spoilt, true) {
                Fault::Instead(bytes)
            } else {
                Fault::Pass
            }
        });
        let data = format!("data/unreadable-{n}");
        assert_eq!(lock.put_if_held(&data, b"v"), Ok(()), "{what}");
        proxy.set(move |seen| {
            if is_put(seen) {
                Fault::Instead(bytes)
            } else {
                Fault::Pass
            }
        });
        let error = lock.put_if_held(&data, b"w").expect_err(what);
        assert_eq!(error.status, Status::Unconfirmed, "{what}: {error}");
        assert_eq!(stored(&data), Some("w".to_owned()), "{what}");
        assert!(lock.is_held());
        lock.release().unwrap();
    }
}

#[test]
fn a_write_under_way_ends_with_a_release() {
    let proxy = Proxy::start(consul().address(), |seen| match is_put(seen) {
        true => Fault::NeverReply,
        false => Fault::Pass,
    });
    let lock = held(proxy.address(), "released", &[]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| lock.put_if_held("data/released", b"v"));
        until("it is on its way", || proxy.seen().iter().any(is_put));
        lock.release().unwrap();
        assert_eq!(status(writer.join().unwrap()), Status::Unconfirmed);
    });
    assert_eq!(consul().row(&full("released")), None);
}

#[test]
fn a_token_without_the_right_to_write() {
    let consul = Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }",
    );
    let rules = "session_prefix \"\" { policy = \"write\" } \
                 key_prefix \"locks/ephemeral/\" { policy = \"write\" } \
                 key_prefix \"data/\" { policy = \"write\" }";
    let body = serde_json::json!({"Name": "held", "Rules": rules}).to_string();
    assert_eq!(consul.request("PUT", "/v1/acl/policy", &body).status, 200);
    let body = serde_json::json!({"Policies": [{"Name": "held"}]}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &body);
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let mut connection = Options::new();
    connection.set("address", consul.address()).unwrap();
    connection
        .set("token", json["SecretID"].as_str().expect("a token"))
        .unwrap();
    let client = Client::new(Some(&connection)).unwrap();
    let lock = Lock::new("k", None, Some(&client)).unwrap();
    lock.acquire().unwrap();
    lock.put_if_held("data/mine", b"v").unwrap();
    for refused in [
        lock.put_if_held("others/theirs", b"v"),
        lock.delete_if_held("others/theirs"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.status, Status::Denied, "{error}");
        assert!(error.message.contains("policy = \"write\""), "{error}");
        assert!(error.message.contains("others/theirs"), "{error}");
    }
    assert!(lock.is_held());
    lock.release().unwrap();
}
