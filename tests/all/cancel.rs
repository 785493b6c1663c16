//! A cancel at any moment of an acquire leaves nothing in Consul: no key, and no session.

use crate::support::prelude::*;
use consul_lock::client::shutdown;

/// An acquire on a free key takes about a millisecond here.
const MOMENTS: u64 = 400;

/// Microseconds are too short to sleep.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn at_any_moment_it_leaves_nothing_behind() {
    if ran_alone(at_any_moment_it_leaves_nothing_behind) {
        return;
    }
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let mut won = 0;
    for moment in 0..MOMENTS {
        let lock = lock(&client, &format!("cancel/{moment}"), &[]);
        thread::scope(|scope| {
            let acquired = scope.spawn(|| lock.acquire());
            spin(Duration::from_micros(moment * 5));
            lock.cancel();
            match acquired.join().expect("no panic") {
                Ok(()) => {
                    won += 1;
                    lock.release().expect("held");
                }
                Err(error) => assert_eq!(error.status, Status::Cancelled, "{error}"),
            }
        });
    }
    assert!(won < MOMENTS, "never too late");
    let _ = shutdown(Duration::from_secs(10));
    consul.has_nothing_left();
}

#[test]
fn at_any_moment_of_one_that_nobody_waits_for() {
    if ran_alone(at_any_moment_of_one_that_nobody_waits_for) {
        return;
    }
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    for moment in 0..MOMENTS {
        let lock = lock(&client, &format!("cancel/{moment}"), &[]);
        lock.acquire_start(Completion::new(|_| ()))
            .expect("it starts");
        spin(Duration::from_micros(moment * 5));
        lock.cancel();
    }
    let _ = shutdown(Duration::from_secs(10));
    consul.has_nothing_left();
}
