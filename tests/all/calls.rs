//! Calls that do not wait: their callbacks come once, from a thread of the library's, whatever happens
//! to the lock, the client and the Consul meanwhile, and delay nothing but each other.

use crate::support::certificates::{Ca, Valid};
use crate::support::prelude::{self, *};
use crate::support::secure::Secure;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};

/// What must happen happens within this time.
const SOON: Duration = Duration::from_secs(20);

fn lock(client: &Client, key: &str, wait_ms: i64) -> Lock {
    lock_for(client, key, wait_ms, 60)
}

fn lock_for(client: &Client, key: &str, wait_ms: i64, seconds: i64) -> Lock {
    let (wait, life) = (wait_ms.to_string(), seconds.to_string());
    prelude::lock(
        client,
        key,
        &[
            ("acquire_timeout_ms", &wait),
            ("lock_timeout_seconds", &life),
        ],
    )
}

/// One call's outcome, heard once.
struct Told(Receiver<Result<(), Error>>);

/// A callback that says the outcome and then that it is gone.
fn done() -> (Completion<()>, Told) {
    let (told, heard): (Sender<Result<(), Error>>, _) = channel();
    let here = thread::current().id();
    let done = move |outcome| {
        assert_eq!(thread::current().name(), Some("consul_lock"));
        assert_ne!(thread::current().id(), here);
        let _ = told.send(outcome);
    };
    (Completion::new(done), Told(heard))
}

impl Told {
    fn outcome(&self) -> Result<(), Error> {
        let outcome = self.0.recv_timeout(SOON).expect("it is told");
        assert!(self.0.recv().is_err(), "told twice");
        outcome
    }

    #[track_caller]
    fn is(&self, status: Status) {
        let error = self.outcome().expect_err("it failed");
        assert_eq!(error.status, status, "{error}");
    }

    fn is_pending(&self) -> bool {
        matches!(self.0.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
    }
}

fn acquire(lock: &Lock) -> Told {
    let (done, told) = done();
    lock.acquire_start(done).expect("it starts");
    told
}

fn release(lock: &Lock) -> Told {
    let (done, told) = done();
    lock.release_start(done).expect("it starts");
    told
}

#[test]
fn each_outcome_is_told_once() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let held = lock(&client, "async", 0);
    acquire(&held).outcome().expect("free");
    assert!(held.is_held() && held.fencing_token().is_some());
    acquire(&held).is(Status::AlreadyUsed);

    acquire(&lock(&client, "async", 0)).is(Status::NotAcquired);
    let begun = Instant::now();
    let told = acquire(&lock(&client, "async", 700));
    told.is(Status::Cancelled); // the lock was dropped at once
    let late = lock(&client, "async", 2_000);
    acquire(&late).is(Status::NotAcquired);
    assert!(begun.elapsed() >= Duration::from_millis(1_990));

    let cancelled = lock(&client, "async", -1);
    cancelled.cancel();
    acquire(&cancelled).is(Status::Cancelled);
    let cancelled = lock(&client, "async", -1);
    let told = acquire(&cancelled);
    thread::sleep(Duration::from_millis(200));
    assert!(told.is_pending());
    cancelled.cancel();
    told.is(Status::Cancelled);

    let pending = lock(&client, "async", -1);
    let (acquired, released) = (acquire(&pending), release(&pending));
    acquired.is(Status::Cancelled);
    released.is(Status::NotHeld);

    let abandoned = lock(&client, "async", -1);
    let told = acquire(&abandoned);
    abandoned.abandon();
    told.is(Status::Cancelled);

    release(&lock(&client, "async", 0)).is(Status::NotHeld);
    let waiter = lock(&client, "async", -1);
    let next = acquire(&waiter);
    release(&held).outcome().expect("held");
    release(&held).is(Status::NotHeld);
    next.outcome().expect("it was given back");
    assert!(waiter.fencing_token() > held.fencing_token());
    let released = release(&waiter);
    drop(waiter);
    released.outcome().expect("also when the lock is dropped");
    consul.has_nothing_left();
}

fn downgrade(lock: &Lock) -> Told {
    let (done, told) = done();
    lock.downgrade_start(done).expect("it starts");
    told
}

fn upgrade(lock: &Lock, wait_ms: i64) -> Told {
    let (done, told) = done();
    lock.upgrade_start(wait_ms, done).expect("it starts");
    told
}

#[test]
fn each_outcome_of_a_downgrade_and_an_upgrade_is_told_once() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let share = || {
        let lock = prelude::lock(&client, "turn", &[("mode", "share")]);
        lock.acquire().expect("shared");
        lock
    };
    let turned = lock(&client, "turn", 0);
    downgrade(&turned).is(Status::NotHeld);
    upgrade(&turned, 0).is(Status::NotHeld);
    turned.acquire().expect("free");
    upgrade(&turned, 0).is(Status::InvalidArgument);
    downgrade(&turned).outcome().expect("held");
    downgrade(&turned).is(Status::InvalidArgument);
    let refused = turned.upgrade_start(-2, done().0);
    assert_eq!(
        refused.expect_err("-2").status,
        Status::InvalidArgument,
        "and its callback hears nothing"
    );

    let other = share();
    upgrade(&turned, 0).is(Status::NotAcquired);
    let told = upgrade(&turned, -1);
    thread::sleep(Duration::from_millis(200));
    assert!(told.is_pending() && turned.is_held());
    upgrade(&turned, -1).is(Status::InvalidArgument);
    upgrade(&other, -1).is(Status::NotAcquired);
    turned.cancel();
    told.is(Status::Cancelled);
    assert!(turned.is_held() && other.is_held());
    let told = upgrade(&turned, -1);
    release(&other).outcome().expect("held");
    told.outcome().expect("the only one");

    downgrade(&turned).outcome().expect("held");
    let other = share();
    let told = upgrade(&turned, -1);
    thread::sleep(Duration::from_millis(200));
    release(&turned).outcome().expect("held");
    told.is(Status::NotHeld);
    drop((turned, other));
    consul.has_nothing_left();
}

#[test]
fn what_is_pending_ends_when_lock_and_client_are_gone() {
    let consul = Consul::start();
    let holding = client(consul.address(), &[]);
    let held = lock(&holding, "gone", 0);
    held.acquire().expect("free");

    let waiting = client(consul.address(), &[]);
    let pending = lock(&waiting, "gone", -1);
    let told = acquire(&pending);
    drop(waiting);
    thread::sleep(Duration::from_millis(200));
    assert!(told.is_pending(), "a lock keeps its client's threads");
    drop(pending);
    told.is(Status::Cancelled);

    let waiting = client(consul.address(), &[]);
    let pending = lock(&waiting, "gone", -1);
    let told = acquire(&pending);
    drop(waiting);
    held.release().expect("held");
    told.outcome().expect("free");
    drop(pending);
    consul.has_nothing_left();
}

#[test]
fn a_consul_that_does_not_answer_is_told_as_such() {
    let nobody = client("127.0.0.1:1", &[]);
    let refused = lock(&nobody, "nobody", 0);
    acquire(&refused).is(Status::Unavailable);

    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let silent = client(&address, &[]);
    let late = lock(&silent, "silent", 700);
    let begun = Instant::now();
    acquire(&late).is(Status::Unavailable);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(690), "too early: {took:?}");
    assert!(took < Duration::from_secs(5), "too late: {took:?}");

    // In the middle of a request that gets no answer.
    let stuck = lock(&silent, "silent", 30_000);
    let told = acquire(&stuck);
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    stuck.cancel();
    told.is(Status::Cancelled);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn a_release_that_consul_does_not_confirm_is_told_as_such() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let held = lock(&client, "unconfirmed", 0);
    acquire(&held).outcome().expect("free");
    consul.kill();
    let begun = Instant::now();
    release(&held).is(Status::Unconfirmed);
    assert!(begun.elapsed() < SOON);
}

#[test]
fn a_cancel_of_a_pending_acquire_takes_milliseconds() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let held = lock(&client, "cancel", 0);
    held.acquire().expect("free");
    let mut took: Vec<Duration> = (0..50_u64)
        .map(|round| {
            let pending = lock(&client, "cancel", -1);
            let told = acquire(&pending);
            thread::sleep(Duration::from_millis(round));
            let begun = Instant::now();
            pending.cancel();
            told.is(Status::Cancelled);
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!(
        "a cancel is told after {:?}, at most {:?}",
        took[25], took[49]
    );
    assert!(took[25] < Duration::from_secs(2), "{took:?}");
    assert!(took[49] < Duration::from_secs(5), "{took:?}");
    held.release().expect("held");
    consul.has_nothing_left();
}

#[test]
fn a_prompt_callback_that_panics_does_not_reach_who_cancels() {
    let lock = lock(&client("127.0.0.1:1", &[]), "async/prompt", -1);
    let started = lock.acquire_start(Completion::prompt(|_| panic!("on purpose")));
    started.expect("it starts");
    lock.cancel();
    assert_eq!(
        lock.release().expect_err("never held").status,
        Status::NotHeld
    );
}

#[test]
fn a_callback_that_blocks_delays_nothing_but_callbacks() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let held = lock(&client, "blocked/held", 0);
    held.acquire().expect("free");
    let renewed = lock_for(&client, "blocked/renewed", 0, 10);
    renewed.acquire().expect("free");

    let blocking = lock(&client, "blocked/first", 0);
    let entered = Arc::new(Barrier::new(2));
    let inside = entered.clone();
    let (go_on, may_go_on) = channel::<()>();
    let (left, has_left) = channel();
    let blocked = blocking.acquire_start(Completion::new(move |outcome| {
        inside.wait();
        // Whatever waits for this waits too long, and then finds it gone.
        let _ = may_go_on.recv_timeout(SOON);
        let _ = left.send(outcome);
    }));
    blocked.expect("it starts");
    entered.wait();

    let still_blocks = |what: &str| {
        let is_inside = has_left.try_recv().is_err();
        assert!(is_inside, "{what} ends with the callback only");
    };
    renewed.renew().expect("held");
    still_blocks("a renewal");
    let begun = Instant::now();
    let error = lock(&client, "blocked/held", 1_000).acquire();
    let status = error.expect_err("held").status;
    assert!(
        // Whether or not Consul answered its last look in time.
        matches!(status, Status::NotAcquired | Status::Unavailable),
        "{status:?}"
    );
    assert!(begun.elapsed() >= Duration::from_millis(990), "too early");
    still_blocks("a deadline");
    let fourth = lock(&client, "blocked/fourth", 0);
    fourth.acquire().expect("free");
    fourth.release().expect("held");
    still_blocks("a blocking call");
    let pending = lock(&client, "blocked/held", -1);
    let (done, told) = done();
    pending.acquire_start(done).expect("it starts");
    pending.cancel();
    still_blocks("a cancel");
    thread::sleep(Duration::from_millis(500));
    assert!(told.is_pending(), "one callback after the other");

    go_on.send(()).expect("it waits for this");
    let outcome = has_left.recv_timeout(SOON).expect("it returns");
    outcome.expect("free");
    told.is(Status::Cancelled);
    drop((held, renewed, blocking));
    consul.has_nothing_left();
}

#[test]
fn a_callback_may_use_locks() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let first = Arc::new(lock(&client, "inside/first", 0));
    let (said, heard) = channel();
    let inside = (first.clone(), client.clone());
    let started = first.acquire_start(Completion::new(move |outcome| {
        let (first, client) = inside;
        outcome.expect("free");
        first.renew().expect("held");
        first.check().expect("held");
        let second = lock(&client, "inside/second", 0);
        second.acquire().expect("free");
        second.release().expect("held");
        let (done, told) = done_inside(said);
        let third = lock(&client, "inside/third", 0);
        third.acquire_start(done).expect("it starts");
        first.release().expect("held");
        // What it started here is told after this has returned.
        told.store(usize::from(third.is_held()) + 1, Ordering::SeqCst);
        drop(third);
    }));
    started.expect("it starts");
    let outcome = heard.recv_timeout(SOON).expect("it is told");
    assert!(matches!(outcome, (1.., _)), "{outcome:?}");
    drop(first);
    consul.has_nothing_left();
}

type Inside = (usize, Result<(), Error>);

/// A callback that says how far the one that started it had come.
fn done_inside(said: Sender<Inside>) -> (Completion<()>, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = left.clone();
    let done = move |outcome| {
        let _ = said.send((seen.load(Ordering::SeqCst), outcome));
    };
    (Completion::new(done), left)
}

/// A prompt completion tells the outcome as a queue does, on the thread that has it.
fn asked(start: impl FnOnce(Completion<()>) -> Result<(), Error>) {
    let (told, heard) = channel();
    let done = Completion::prompt(move |outcome| {
        let _ = told.send(outcome);
    });
    start(done).expect("it starts");
    let outcome = heard.recv_timeout(SOON).expect("it is told");
    outcome.expect("it succeeds");
}

/// Values of sizes that the thread of the caller sends, that a worker sends, and around the bound between the two.
fn values_arrive_whole(consul: &Consul, client: &Client) {
    let lock = lock(client, "calls/values", -1);
    asked(|done| lock.acquire_start(done));
    let around: Vec<usize> = (11_500..12_500).step_by(100).collect();
    for size in [
        &[0, 1, 3_000],
        &around[..],
        &[16 << 10, (16 << 10) + 1, 390_000],
    ]
    .concat()
    {
        let value: String = ('a'..='z').cycle().skip(size % 26).take(size).collect();
        asked(|done| lock.put_if_held_start("data/calls", value.as_bytes(), done));
        let stored = consul.request("GET", "/v1/kv/data/calls?raw", "");
        assert!(stored.body == value, "{size} bytes");
    }
    asked(|done| lock.delete_if_held_start("data/calls", done));
    asked(|done| lock.release_start(done));
    drop(lock);
    consul.has_nothing_left();
}

#[test]
fn values_of_all_sizes_arrive_whole() {
    let consul = Consul::start();
    values_arrive_whole(&consul, &client(consul.address(), &[]));
    let ca = Ca::new("the CA");
    let secure = Secure::start(&ca, &ca.server(&["127.0.0.1"], Valid::Now));
    let own = ca.client(Valid::Now);
    let through = client(
        &format!("https://{}", secure.https),
        &[
            ("ca_file", &ca.file()),
            ("client_cert", &own.certificate),
            ("client_key", &own.key),
        ],
    );
    values_arrive_whole(&secure.consul, &through);
}

/// More calls at once than workers and connections: some are sent by the caller, the rest waits for a worker.
#[test]
fn any_number_of_calls_at_once_end_each_once() {
    let consul = Consul::start();
    let client = client(consul.address(), &[("max_connections", "4")]);
    for round in 0..5 {
        let locks: Vec<Lock> = (0..100)
            .map(|number| lock(&client, &format!("calls/many-{number}"), -1))
            .collect();
        let (told, heard) = channel();
        let tell = |number: usize| {
            let told = told.clone();
            Completion::prompt(move |outcome: Result<(), Error>| {
                let _ = told.send((number, outcome));
            })
        };
        for (number, lock) in locks.iter().enumerate() {
            lock.acquire_start(tell(number)).expect("it starts");
        }
        let mut ended: Vec<usize> = Vec::new();
        for _ in 0..100 {
            let (number, outcome) = heard.recv_timeout(SOON).expect("it is told");
            outcome.expect("it is taken");
            // Each release is sent while other acquires are under way.
            asked(|done| locks[number].release_start(done));
            ended.push(number);
        }
        ended.sort_unstable();
        assert_eq!(ended, (0..100).collect::<Vec<_>>(), "round {round}");
        assert!(heard.try_recv().is_err());
    }
    assert!(number(&client, "connections_peak") <= 4);
    drop(client);
    consul.has_nothing_left();
}
