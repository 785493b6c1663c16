//! What a test cannot bring about from outside: a core that panicked; a lock that gets another keeper, or is
//! won, between the look and the call that ends the lock.

use std::thread;
use std::time::Duration;

use super::*;
use crate::consul::address::Address;
use crate::consul::credentials::CredentialSettings;
use crate::core::{LockSpec, Patience, Phase};

/// A client of a server that does not run.
fn runtime() -> Arc<Runtime> {
    runtime_at(1)
}

/// A client of a server at this port.
pub(super) fn runtime_at(port: u16) -> Arc<Runtime> {
    let address = Address::parse(&format!("127.0.0.1:{port}"));
    let endpoint = Endpoint {
        addresses: vec![address.expect("an address")],
        origin: "a test".to_owned(),
        tls: None,
        credentials: CredentialSettings::default(),
        proxy: None,
        connect_timeout: Duration::from_secs(2),
    };
    let config = Config {
        address: endpoint.shown(),
        identity: "consul_lock test".to_owned(),
        request_timeout: Duration::from_secs(10),
        release_timeout: Duration::from_secs(2),
        lock_delay: false,
        flags: 1,
        session_node: None,
        connections: 32,
        seed: 1,
    };
    Runtime::new(endpoint, Scope::default(), config)
}

/// An acquire that waits for ever.
pub(super) fn acquire() -> Call {
    let ttl = Duration::from_secs(30);
    Call::Acquire(LockSpec::exclusive("k", ttl, Patience::Forever))
}

pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Time::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Time::now() < deadline, "never so: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_broken_core_tells_all_and_keeps_no_thread_busy() {
    let runtime = runtime();
    let (id, shown) = runtime.new_lock();
    let caller = thread::spawn({
        let runtime = runtime.clone();
        move || runtime.call(id, acquire())
    });
    until("it tries again and again", || {
        shown.view().phase == Phase::Acquiring && runtime.state.lock().timer.until().is_some()
    });

    runtime.state.lock().break_down();
    let told = caller.join().expect("no panic here").expect_err("broken");
    assert_eq!(told.status, Status::Internal);
    let refused = runtime.call(id, Call::Release).expect_err("broken");
    assert_eq!(refused.status, Status::Internal);
    until("the timer ends", || {
        runtime.state.lock().timer.until().is_none()
    });
    until("the workers end", || Arc::strong_count(&runtime) == 1);
}

#[test]
fn an_instant_that_a_step_asked_for_stands() {
    let runtime = runtime();
    let mut state = runtime.state.lock();
    runtime.have_timer(&mut state).expect("a thread");
    drop(state);
    until(
        "the timer was told of an earlier instant, and looked",
        || {
            // The core asks for none, so the timer itself sleeps for a second at a time.
            let at = Time::now() + Duration::from_millis(300);
            let mut state = runtime.state.lock();
            let sleeps_longer = state.timer.until().is_some_and(|until| until > at);
            runtime.wake_timer(&mut state, at);
            drop(state);
            thread::sleep(Duration::from_millis(100));
            let until = runtime.state.lock().timer.until();
            // On a busy machine the instant may be over by now.
            let looked = sleeps_longer && Time::now() < at;
            assert!(!looked || until.is_some_and(|until| until <= at));
            looked
        },
    );
}

#[test]
fn an_orphan_that_got_another_keeper_is_none() {
    let runtime = runtime();
    let (id, _shown) = runtime.new_lock();
    let ignored = Completion::prompt(|_| ());
    runtime.start(id, acquire(), ignored).expect("it starts");
    let (queue, reader) = Queue::new().expect("a queue");
    runtime.bind(id, queue);
    assert!(runtime.end_of_orphan(id, false).is_none(), "it is read");
    drop(reader);
    // A cancel would do nothing if the lock came first.
    assert!(matches!(
        runtime.end_of_orphan(id, false),
        Some(Input::Call {
            what: Call::Release,
            ..
        })
    ));
    assert!(runtime.end_of_orphan(id, false).is_none(), "once");
    let _ = runtime.call(id, Call::Cancel);
}
