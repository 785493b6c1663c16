//! Locks that share their key, on a real Consul: the readers of a read/write lock, and the holders of a semaphore.
//! A client is as good as a process: it has a queue, sessions and slots of its own.

use crate::support::prelude::{self, *};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::proxy::{Fault, Proxy, Seen};
use crate::support::rows::{self, losses};
use consul_lock::error::LostReason;

/// One agent for the tests that count nothing in Consul. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

const WAITS: (&str, &str) = ("acquire_timeout_ms", "60000");
const ONCE: (&str, &str) = ("acquire_timeout_ms", "0");
const SHARE: (&str, &str) = ("mode", "share");

fn a_client() -> Client {
    client(consul().address(), &[])
}

fn lock(client: &Client, key: &str, more: &[(&str, &str)]) -> Lock {
    prelude::lock(client, key, &[&[WAITS], more].concat())
}

/// A lock of another process.
fn elsewhere(key: &str, more: &[(&str, &str)]) -> Lock {
    lock(&a_client(), key, more)
}

/// A lock of another process, held.
fn held(key: &str, more: &[(&str, &str)]) -> Lock {
    let lock = elsewhere(key, more);
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

fn tickets(key: &str) -> usize {
    rows::tickets(consul(), key)
}

/// The rows of those who share a key.
fn shares(key: &str) -> Vec<String> {
    rows::shares(consul(), key)
}

#[track_caller]
fn nothing_of(key: &str) {
    rows::nothing_of(consul(), key);
}

/// Readers and writers that enter and leave. It panics when a writer is not alone.
#[derive(Default)]
struct Room {
    inside: Mutex<(u32, u32)>,
    most_readers: AtomicU32,
}

impl Room {
    fn stay(&self, is_writer: bool, time: Duration) {
        let mut inside = self.inside.lock().unwrap();
        let (readers, writers) = &mut *inside;
        *(if is_writer {
            &mut *writers
        } else {
            &mut *readers
        }) += 1;
        assert!(
            *writers == 0 || (*writers, *readers) == (1, 0),
            "{writers} writers and {readers} readers at once"
        );
        self.most_readers.fetch_max(*readers, Ordering::SeqCst);
        drop(inside);
        thread::sleep(time);
        let mut inside = self.inside.lock().unwrap();
        *(if is_writer {
            &mut inside.1
        } else {
            &mut inside.0
        }) -= 1;
    }

    fn readers(&self) -> u32 {
        self.inside.lock().unwrap().0
    }
}

// Together, or alone.

#[test]
fn readers_are_together_and_never_beside_a_writer() {
    let room = Room::default();
    let (reads, writes) = (AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    // For 4 s, and on a slow machine until all have had their share.
    let goes_on = || match begun.elapsed().as_secs() {
        0..4 => true,
        4..30 => reads.load(Ordering::SeqCst) < 40 || writes.load(Ordering::SeqCst) < 20,
        _ => false,
    };
    thread::scope(|scope| {
        for number in 0..8 {
            let (room, reads, writes, goes_on) = (&room, &reads, &writes, &goes_on);
            scope.spawn(move || {
                let client = a_client();
                let is_writer = number < 2;
                let more: &[_] = if is_writer { &[] } else { &[SHARE] };
                while goes_on() {
                    let lock = lock(&client, "together", more);
                    lock.acquire().unwrap();
                    room.stay(is_writer, Duration::from_millis(5));
                    lock.release().unwrap();
                    let count = if is_writer { writes } else { reads };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let (reads, writes) = (reads.into_inner(), writes.into_inner());
    let most = room.most_readers.into_inner();
    println!("{reads} reads, {writes} writes, at most {most} readers at once");
    assert!(reads >= 40 && writes >= 20 && most >= 2);
    nothing_of("together");
}

/// At every instant some reader is inside: without a line no writer would ever find the key free.
#[test]
fn a_stream_of_readers_does_not_starve_a_writer() {
    let room = Room::default();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            let (room, is_over) = (&room, &is_over);
            scope.spawn(move || {
                let client = a_client();
                while !is_over.load(Ordering::SeqCst) {
                    let lock = lock(&client, "stream", &[SHARE]);
                    lock.acquire().unwrap();
                    room.stay(false, Duration::from_millis(50));
                    lock.release().unwrap();
                }
            });
        }
        until("readers are in", || room.readers() >= 3);
        let client = a_client();
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            let begun = Instant::now();
            let lock = lock(&client, "stream", &[]);
            lock.acquire().unwrap();
            longest = longest.max(begun.elapsed());
            room.stay(true, Duration::from_millis(5));
            lock.release().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        println!("the longest wait of a writer: {longest:?}");
        assert!(longest < Duration::from_secs(10), "{longest:?}");
    });
    nothing_of("stream");
}

#[test]
fn a_stream_of_writers_does_not_starve_a_reader() {
    let room = Room::default();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..5 {
            let (room, is_over) = (&room, &is_over);
            scope.spawn(move || {
                let client = a_client();
                while !is_over.load(Ordering::SeqCst) {
                    let lock = lock(&client, "writers", &[]);
                    lock.acquire().unwrap();
                    room.stay(true, Duration::from_millis(20));
                    lock.release().unwrap();
                }
            });
        }
        until("writers wait", || tickets("writers") >= 3);
        let client = a_client();
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            let begun = Instant::now();
            let lock = lock(&client, "writers", &[SHARE]);
            lock.acquire().unwrap();
            longest = longest.max(begun.elapsed());
            room.stay(false, Duration::from_millis(5));
            lock.release().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        println!("the longest wait of a reader: {longest:?}");
        assert!(longest < Duration::from_secs(10), "{longest:?}");
    });
    nothing_of("writers");
}

/// One line for all: those who share and stand beside each other enter together.
#[test]
fn readers_and_writers_are_served_in_the_order_in_which_they_came() {
    let first = held("order", &[]);
    // How many of each group are in.
    let inside = [const { AtomicU32::new(0) }; 6];
    let entered = Mutex::new(Vec::new());
    let groups = ["RR", "W", "RR", "W", "W", "RRR"];
    let arrivals = groups.iter().enumerate();
    let arrivals: Vec<(usize, bool, u32)> = arrivals
        .flat_map(|(group, kinds)| {
            let size = u32::try_from(kinds.len()).unwrap();
            kinds.chars().map(move |kind| (group, kind == 'W', size))
        })
        .collect();
    let room = Room::default();
    thread::scope(|scope| {
        for (number, (group, is_writer, size)) in arrivals.iter().copied().enumerate() {
            let (room, inside, entered) = (&room, &inside, &entered);
            scope.spawn(move || {
                let more: &[_] = if is_writer { &[] } else { &[SHARE] };
                // A long grace: on a slow machine no waiter passes another one.
                let lock = elsewhere("order", &[more, &[("queue_grace_ms", "10000")]].concat());
                lock.acquire().unwrap();
                entered.lock().unwrap().push(group);
                inside[group].fetch_add(1, Ordering::SeqCst);
                // All of a group are in at once.
                until("the group is complete", || {
                    inside[group].load(Ordering::SeqCst) == size
                });
                room.stay(is_writer, Duration::from_millis(50));
                lock.release().unwrap();
            });
            until("it stands in line", || tickets("order") == number + 1);
        }
        first.release().unwrap();
    });
    let expected: Vec<usize> = arrivals.iter().map(|(group, _, _)| *group).collect();
    assert_eq!(*entered.lock().unwrap(), expected);
    nothing_of("order");
}

#[test]
fn at_most_so_many_as_the_limit_allows_each_with_a_slot_of_its_own() {
    let slots = [const { AtomicBool::new(false) }; 3];
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let served = Mutex::new(vec![0; 10]);
    let begun = Instant::now();
    let goes_on = || match begun.elapsed().as_secs() {
        0..4 => true,
        // A busy machine may take a while to have three at once.
        4..30 => {
            let all_served = served.lock().unwrap().iter().all(|count| *count >= 3);
            !all_served || most.load(Ordering::SeqCst) < 3
        }
        _ => false,
    };
    thread::scope(|scope| {
        for number in 0..10 {
            let (slots, inside, most, served) = (&slots, &inside, &most, &served);
            let goes_on = &goes_on;
            scope.spawn(move || {
                let client = a_client();
                while goes_on() {
                    let lock = lock(&client, "permits", &[SHARE, ("limit", "3")]);
                    assert_eq!(lock.slot(), None);
                    lock.acquire().unwrap();
                    let slot = lock.slot().expect("a slot");
                    let slot = &slots[usize::from(slot)];
                    assert!(!slot.swap(true, Ordering::SeqCst), "two have one slot");
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    slot.store(false, Ordering::SeqCst);
                    lock.release().unwrap();
                    served.lock().unwrap()[number] += 1;
                }
            });
        }
    });
    let served = served.into_inner().unwrap();
    println!("served {served:?}");
    assert_eq!(most.into_inner(), 3);
    assert!(served.iter().all(|count| *count >= 3), "{served:?}");
    nothing_of("permits");
}

#[test]
fn an_exclusive_lock_takes_all_permits() {
    let permits = [SHARE, ("limit", "3")];
    let holders: Vec<Lock> = (0..3).map(|_| held("all-permits", &permits)).collect();
    let slots: BTreeSet<Option<u16>> = holders.iter().map(Lock::slot).collect();
    assert_eq!(slots, BTreeSet::from([Some(0), Some(1), Some(2)]));
    let alone = elsewhere("all-permits", &[("mode", "exclusive"), ("limit", "3")]);
    let late = elsewhere("all-permits", &permits);
    thread::scope(|scope| {
        let has_all = scope.spawn(|| alone.acquire());
        until("it has the gate", || {
            consul().holder(&full("all-permits")).is_some()
        });
        // No other session enters any more, and the lock is not held yet.
        let comes = scope.spawn(|| late.acquire());
        until("the late one waits", || tickets("all-permits") == 1);
        for holder in &holders {
            assert!(!has_all.is_finished() && !alone.is_held());
            holder.release().unwrap();
        }
        has_all.join().unwrap().unwrap();
        assert_eq!(alone.slot(), None);
        assert_eq!(shares("all-permits"), [""; 0]);
        assert!(!late.is_held());
        alone.release().unwrap();
        comes.join().unwrap().unwrap();
    });
    late.release().unwrap();
    nothing_of("all-permits");
}

#[test]
fn another_limit_is_a_conflict_that_names_both() {
    let three = held("limits", &[SHARE, ("limit", "3")]);
    let session = three.session_id().unwrap();
    for wait in ["0", "20000"] {
        let wait = ("acquire_timeout_ms", wait);
        for (limit, ours) in [
            (&[SHARE, wait, ("limit", "5")][..], "at most 5"),
            (&[SHARE, wait], "without a limit"),
            (&[wait, ("limit", "4")], "at most 4"),
        ] {
            let begun = Instant::now();
            let error = elsewhere("limits", limit).acquire().unwrap_err();
            assert_eq!(error.status, Status::Conflict, "{limit:?}: {error}");
            let named = [ours, "at most 3", &session, &full("limits")];
            for word in named {
                assert!(error.message.contains(word), "{limit:?}: {error}");
            }
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }
    // The one that was there first has lost nothing by that.
    three.check().unwrap();
    let other = held("limits", &[SHARE, ("limit", "3")]);
    other.release().unwrap();
    three.release().unwrap();

    // What counts is who shares the key now.
    let five = held("limits", &[SHARE, ("limit", "5")]);
    let error = elsewhere("limits", &[SHARE, ("limit", "3")]).acquire();
    assert_eq!(status(error), Status::Conflict);
    five.release().unwrap();
    let reader = held("limits", &[SHARE]);
    let error = elsewhere("limits", &[SHARE, ("limit", "3")])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::Conflict, "{error}");
    reader.release().unwrap();
    nothing_of("limits");
}

/// Two that come at the same instant, with different limits: at most one of them gets in.
#[test]
fn different_limits_at_the_same_instant() {
    let (granted, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    for _ in 0..10 {
        let inside = Mutex::new(BTreeSet::new());
        let together = std::sync::Barrier::new(4);
        thread::scope(|scope| {
            for limit in ["2", "4", "2", "4"] {
                let (inside, together, granted, refused) = (&inside, &together, &granted, &refused);
                scope.spawn(move || {
                    let lock = elsewhere("race-of-limits", &[SHARE, ("limit", limit)]);
                    together.wait();
                    match lock.acquire() {
                        Ok(()) => {
                            granted.fetch_add(1, Ordering::SeqCst);
                            let mut limits = inside.lock().unwrap();
                            limits.insert(limit);
                            assert_eq!(limits.len(), 1, "two limits at once");
                            drop(limits);
                            thread::sleep(Duration::from_millis(20));
                            // All leave together, so that no limit follows the other one.
                        }
                        Err(error) => {
                            assert_eq!(error.status, Status::Conflict, "{error}");
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    together.wait();
                });
            }
        });
        nothing_of("race-of-limits");
    }
    let (granted, refused) = (granted.into_inner(), refused.into_inner());
    println!("{granted} granted, {refused} refused");
    assert!(granted >= 1 && refused >= 1);
}

#[test]
fn unfair_ones_stand_in_no_line_and_exclude_each_other_all_the_same() {
    let unfair = ("fair", "false");
    let proxy = Proxy::start(consul().address(), |_: &Seen| Fault::Pass);
    let room = Room::default();
    let served = AtomicU32::new(0);
    thread::scope(|scope| {
        for number in 0..6 {
            let (room, served, proxy) = (&room, &served, &proxy);
            scope.spawn(move || {
                let client = client(proxy.address(), &[]);
                let is_writer = number < 2;
                let more: &[_] = if is_writer {
                    &[unfair]
                } else {
                    &[unfair, SHARE]
                };
                for _ in 0..8 {
                    let lock = lock(&client, "unfair", more);
                    lock.acquire().unwrap();
                    room.stay(is_writer, Duration::from_millis(5));
                    lock.release().unwrap();
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(served.into_inner(), 48);
    let is_ticket = |seen: &Seen| seen.body.contains("/.fifo/");
    assert!(!proxy.seen().iter().any(is_ticket), "{:?}", proxy.kinds());
    nothing_of("unfair");
}

// No, and why.

#[test]
fn one_attempt_is_refused_at_once_and_keeps_no_other_lock_out() {
    let writer = held("once", &[]);
    let error = elsewhere("once", &[SHARE, ONCE]).acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    let session = writer.session_id().unwrap();
    assert!(error.message.contains("held by") || error.message.contains("holds it"));
    assert!(error.message.contains(&session), "{error}");
    writer.release().unwrap();

    let reader = held("once", &[SHARE]);
    // A reader that comes meanwhile must find no gate.
    let before = consul().row(&full("once"));
    let error = elsewhere("once", &[ONCE]).acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(error.message.contains("share it"), "{error}");
    assert!(error.message.contains(&reader.session_id().unwrap()));
    assert_eq!((before, consul().row(&full("once"))), (None, None));
    let beside = held("once", &[SHARE, ONCE]);
    beside.release().unwrap();
    reader.release().unwrap();

    let full_up: Vec<Lock> = (0..2)
        .map(|_| held("once", &[SHARE, ("limit", "2")]))
        .collect();
    let error = elsewhere("once", &[SHARE, ("limit", "2"), ONCE])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(
        error.message.contains("2 of at most 2 share it") && error.message.contains("one other"),
        "{error}"
    );
    drop(full_up);
    nothing_of("once");
}

#[test]
fn a_timeout_says_who_shares_the_key_and_opens_it_again() {
    let readers: Vec<Lock> = (0..3).map(|_| held("patience", &[SHARE])).collect();
    let writer = elsewhere("patience", &[("acquire_timeout_ms", "1500")]);
    let begun = Instant::now();
    let error = writer.acquire().unwrap_err();
    let took = begun.elapsed();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(
        took >= Duration::from_millis(1_400) && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert!(error.message.contains("3 share it"), "{error}");
    assert!(error.message.contains("2 others"), "{error}");
    let sessions: Vec<String> = readers.iter().filter_map(Lock::session_id).collect();
    assert!(
        sessions.iter().any(|id| error.message.contains(id)),
        "{error}"
    );
    // Its name says the program and the host.
    assert!(error.message.contains("consul_lock "), "{error}");
    until("the gate is open", || {
        consul().row(&full("patience")).is_none()
    });
    held("patience", &[SHARE, ONCE]).release().unwrap();

    // A lock of the same client: the caller waits for itself.
    let client = a_client();
    let own = lock(&client, "itself", &[SHARE]);
    own.acquire().unwrap();
    let nested = lock(&client, "itself", &[("acquire_timeout_ms", "3000")]);
    let error = nested.acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(error.message.contains("this very process"), "{error}");
    own.release().unwrap();

    drop(readers);
    let writer = held("patience", &[]);
    let error = elsewhere("patience", &[SHARE, ("acquire_timeout_ms", "3000")])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(error.message.contains(&writer.session_id().unwrap()));
    writer.release().unwrap();
    nothing_of("patience");
}

/// A cancel ends each of the waits: for a holder, for a slot, and for those who share.
#[test]
fn a_cancel_ends_every_wait() {
    let permit = [SHARE, ("limit", "1")];
    for (key, blocks, waits, is_waiting) in [
        (
            "cancel-holder",
            &[][..],
            &[SHARE][..],
            (|| tickets("cancel-holder") == 1) as fn() -> bool,
        ),
        ("cancel-slot", &permit, &permit, || {
            tickets("cancel-slot") == 1
        }),
        ("cancel-gate", &[SHARE], &[], || {
            consul().holder(&full("cancel-gate")).is_some()
        }),
    ] {
        let blocker = held(key, blocks);
        let waiter = elsewhere(key, waits);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| waiter.acquire());
            until("it waits", is_waiting);
            thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            waiter.cancel();
            let outcome = waiting.join().unwrap();
            assert_eq!(status(outcome), Status::Cancelled, "{key}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{key}");
        });
        blocker.check().unwrap();
        // What it had taken is free again.
        until("nothing of the waiter is left", || {
            let keys = consul().keys().into_iter();
            keys.filter(|found| found.starts_with(&full(key))).count() == 1
        });
        blocker.release().unwrap();
        nothing_of(key);
    }
}

// While it is held.

#[test]
fn a_share_is_renewed_checked_and_written_under() {
    let readers = [
        held(
            "kept",
            &[
                SHARE,
                ("lock_timeout_seconds", "10"),
                ("auto_renew", "true"),
            ],
        ),
        held("kept", &[SHARE, ("lock_timeout_seconds", "10")]),
    ];
    let heard = losses(&readers[0]);
    assert_ne!(readers[0].session_id(), readers[1].session_id());
    assert_ne!(readers[0].fencing_token(), readers[1].fencing_token());
    let begun = Instant::now();
    for (number, reader) in readers.iter().enumerate() {
        reader.check().unwrap();
        let data = format!("data/kept-{number}");
        reader.put_if_held(&data, b"read").unwrap();
        assert_eq!(consul().row(&data).unwrap()["Value"], "cmVhZA==");
        reader.delete_if_held(&data).unwrap();
        assert_eq!(consul().row(&data), None);
        // Neither its own row nor the key may be written.
        for own in [full("kept"), shares("kept")[0].clone()] {
            let refused = reader.put_if_held(&own, b"v");
            assert_eq!(status(refused), Status::InvalidArgument);
        }
    }
    readers[1].renew().unwrap();
    while begun.elapsed() < Duration::from_secs(15) {
        assert!(readers[0].remaining() > Duration::from_secs(3));
        thread::sleep(Duration::from_millis(200));
    }
    readers[0].check().unwrap();
    assert!(!readers[1].is_held(), "its lease is over");
    assert_eq!(status(readers[1].release()), Status::Lost);
    readers[0].release().unwrap();
    assert!(heard.try_recv().is_err());
    nothing_of("kept");
}

#[test]
fn the_loss_of_a_share_is_told_at_once() {
    for (key, more) in [
        ("lost-reader", &[SHARE][..]),
        ("lost-permit", &[SHARE, ("limit", "2")]),
    ] {
        let beside = held(key, more);
        type Loss = (fn(&Lock, &str), LostReason);
        let ways: [Loss; 3] = [
            (
                |lock, _| consul().destroy(&lock.session_id().unwrap()),
                LostReason::KeyGone,
            ),
            (
                |_, row| {
                    consul().request("DELETE", &format!("/v1/kv/{row}"), "");
                },
                LostReason::KeyGone,
            ),
            (
                |_, row| {
                    consul().request("DELETE", &format!("/v1/kv/{row}"), "");
                    consul().other_holds(row);
                },
                LostReason::TakenOver,
            ),
        ];
        for (number, (lose, reason)) in ways.into_iter().enumerate() {
            let before = shares(key);
            let lock = held(key, &[more, &[("lock_timeout_seconds", "180")]].concat());
            let heard = losses(&lock);
            let rows = shares(key).into_iter();
            let mut row = rows.filter(|row| !before.contains(row));
            let row = row.next().expect("its row");
            // Watched only a moment after it was taken.
            thread::sleep(Duration::from_millis(1_500));
            lose(&lock, &row);
            let told = heard.recv_timeout(Duration::from_secs(5));
            // The watch may see the instant without a row.
            let is_right = told == Ok(reason) || number == 2 && told == Ok(LostReason::KeyGone);
            assert!(is_right, "{key} {number}: {told:?}");
            assert!(!lock.is_held());
            for outcome in [
                lock.check(),
                lock.put_if_held("data/lost-share", b"v"),
                lock.release(),
            ] {
                assert_eq!(status(outcome), Status::Lost, "{key} {number}");
            }
            if let Some(theirs) = consul().holder(&row) {
                consul().destroy(&theirs);
            }
        }
        assert_eq!(consul().row("data/lost-share"), None);
        // The other one has lost nothing.
        beside.check().unwrap();
        beside.release().unwrap();
        nothing_of(key);
    }
}

/// Without a watch a check tells the loss.
#[test]
fn a_check_tells_the_loss_of_a_share() {
    let lock = held("unwatched-share", &[SHARE, ("monitor", "false")]);
    lock.check().unwrap();
    let row = shares("unwatched-share").remove(0);
    consul().request("DELETE", &format!("/v1/kv/{row}"), "");
    assert_eq!(status(lock.check()), Status::Lost);
    assert_eq!(lock.why_lost(), Some(LostReason::KeyGone));
    drop(lock);
    nothing_of("unwatched-share");
}

/// A resource that refuses a smaller token than it has seen refuses what comes late, whatever its mode.
#[test]
fn fencing_tokens_grow_across_modes() {
    let mut last = 0;
    let modes: [&[(&str, &str)]; 3] = [&[], &[SHARE], &[SHARE, ("limit", "2")]];
    for turn in 0..9 {
        let lock = held("tokens", modes[turn % 3]);
        let token = lock.fencing_token().expect("held");
        assert!(token > last, "{token} after {last}");
        last = token;
        let row = match turn % 3 {
            0 => full("tokens"),
            _ => shares("tokens").remove(0),
        };
        assert_eq!(consul().row(&row).unwrap()["ModifyIndex"], token);
        assert_eq!(consul().holder(&row), lock.session_id());
        lock.release().unwrap();
    }
    nothing_of("tokens");
}

#[test]
fn a_value_is_stored_with_a_share() {
    let lock = held("value-of-share", &[SHARE, ("value", "host 7")]);
    let row = consul().row(&shares("value-of-share")[0]).unwrap();
    assert_eq!(row["Value"], "aG9zdCA3");
    lock.release().unwrap();
    let lock = elsewhere("value-of-share", &[SHARE]);
    lock.set_value(&[b'v'; 512]).unwrap();
    let error = lock.set_value(&[b'v'; 513]).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
    assert!(error.message.contains("512"), "{error}");
    lock.acquire().unwrap();
    lock.release().unwrap();
    nothing_of("value-of-share");
}

/// Consul keeps a key closed for a while after the session of its holder has ended; sharing waits for that, too.
#[test]
fn the_lock_delay_of_an_exclusive_holder_holds_back_those_who_share() {
    let delayed = || client(consul().address(), &[("lock_delay_ms", "2000")]);
    let writer = lock(&delayed(), "delay", &[]);
    writer.acquire().unwrap();
    let ended = Instant::now();
    consul().destroy(&writer.session_id().unwrap());
    let error = lock(&delayed(), "delay", &[SHARE, ONCE])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    let reader = lock(&delayed(), "delay", &[SHARE]);
    reader.acquire().unwrap();
    let waited = ended.elapsed();
    assert!(waited >= Duration::from_millis(1_900), "{waited:?}");
    assert_eq!(consul().row(&full("delay")), None);
    reader.release().unwrap();
    nothing_of("delay");
}

/// A writer that gives up its wait for a reader has had the key, and no caller has had the lock: the key is free at once.
#[test]
fn the_end_of_a_wait_for_readers_leaves_no_lock_delay() {
    let delayed = || client(consul().address(), &[("lock_delay_ms", "60000")]);
    let reader = lock(&delayed(), "no-delay", &[SHARE]);
    reader.acquire().unwrap();
    let writer = lock(&delayed(), "no-delay", &[("acquire_timeout_ms", "3000")]);
    let error = writer.acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    lock(&delayed(), "no-delay", &[SHARE, ONCE])
        .acquire()
        .unwrap();
    reader.release().unwrap();
    nothing_of("no-delay");
}

#[test]
fn a_key_that_gos_client_left_behind_is_shared_all_the_same() {
    let path = format!("/v1/kv/{}", full("left"));
    let left = format!("{path}?flags=3304740253564472344");
    let reply = consul().request("PUT", &left, "theirs");
    assert_eq!(reply.body.trim(), "true");
    let readers = [held("left", &[SHARE]), held("left", &[SHARE, ONCE])];
    let writer = elsewhere("left", &[]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| writer.acquire());
        until("it has the gate", || {
            consul().holder(&full("left")).is_some()
        });
        for reader in &readers {
            reader.release().unwrap();
        }
        waiting.join().unwrap().unwrap();
    });
    writer.release().unwrap();
    nothing_of("left");
}

/// Whatever is lost on the way of an acquire and of its release: the lock is held once, and nothing of it stays.
#[test]
fn answers_that_are_lost_do_not_lose_a_lock_of_any_kind() {
    let faults = [
        Fault::CloseBefore,
        Fault::DropReply,
        Fault::ResetReply,
        Fault::Answer(500, "No cluster leader"),
        Fault::TwiceLater(Duration::from_millis(50)),
        Fault::PassAndAgain(Duration::from_millis(20)),
        Fault::OnlyLater(Duration::from_millis(50)),
    ];
    let kinds: [(&str, &[(&str, &str)]); 4] = [
        ("reader", &[SHARE]),
        ("permit", &[SHARE, ("limit", "2")]),
        ("writer", &[]),
        ("several", &[]),
    ];
    thread::scope(|scope| {
        for (number, fault) in faults.iter().enumerate() {
            for (kind, more) in kinds {
                scope.spawn(move || {
                    let key = format!("faulty-{kind}-{number}");
                    let left = Arc::new(AtomicU32::new(0));
                    let (more_left, spoilt) = (left.clone(), fault.clone());
                    let proxy = Proxy::start(consul().address(), move |seen| {
                        let take = |left: u32| left.checked_sub(1);
                        let order = Ordering::SeqCst;
                        let is_write = seen.target == "/v1/txn" && seen.body.contains("Session");
                        let spoils = is_write && more_left.fetch_update(order, order, take).is_ok();
                        if spoils { spoilt.clone() } else { Fault::Pass }
                    });
                    let client = client(proxy.address(), &[("request_timeout_ms", "3000")]);
                    let beside = held(&format!("{key}-beside"), &[SHARE]);
                    for round in 0..4 {
                        let failed = |error: Error| panic!("{kind}, {fault:?}, {round}: {error}");
                        let mut options = Options::new();
                        for (name, value) in [&[WAITS], more].concat() {
                            options.set(name, value).unwrap();
                        }
                        let second = format!("{key}-second");
                        let keys: &[&str] = match kind {
                            "several" => &[&key, &second],
                            _ => &[&key],
                        };
                        let lock = Lock::new_all(keys, Some(&options), Some(&client)).unwrap();
                        left.store(1 + round % 2, Ordering::SeqCst);
                        lock.acquire().unwrap_or_else(failed);
                        thread::sleep(Duration::from_millis(100));
                        left.store(0, Ordering::SeqCst);
                        lock.check().unwrap_or_else(failed);
                        left.store(1, Ordering::SeqCst);
                        lock.release().unwrap_or_else(failed);
                        thread::sleep(Duration::from_millis(100));
                        left.store(0, Ordering::SeqCst);
                        // Free for all.
                        held(&key, &[ONCE]).release().unwrap();
                    }
                    beside.release().unwrap();
                    nothing_of(&key);
                });
            }
        }
    });
}

// What it costs.

/// Two Raft writes for a share without contention, and one more for each place in line.
#[test]
fn a_share_costs_two_writes_and_three_in_line() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    for more in [&[SHARE][..], &[SHARE, ("limit", "3")], &[]] {
        let cycle = || {
            let lock = lock(&client, "cost", more);
            lock.acquire().unwrap();
            lock.release().unwrap();
        };
        // The second use of a key keeps its session warm.
        cycle();
        cycle();
        let before = (consul.raft_index(), number(&client, "raft_writes"));
        for _ in 0..20 {
            cycle();
        }
        let after = (consul.raft_index(), number(&client, "raft_writes"));
        let written = after.0 - before.0;
        let counted = after.1 - before.1;
        assert_eq!(counted, 40, "{more:?}: {written}");
        // A leader adds one of its own each minute.
        assert!((40..=42).contains(&written), "{more:?}: {written}");
    }
    drop(client);
    for (key, more) in [
        ("cost-of-readers", &[SHARE][..]),
        ("cost-of-permits", &[SHARE, ("limit", "3")]),
    ] {
        let clients: Vec<Client> = (0..6)
            .map(|_| prelude::client(consul.address(), &[]))
            .collect();
        // Warm.
        for client in &clients {
            let lock = lock(client, key, &[]);
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
        let rounds = 8_u64;
        let before = consul.raft_index();
        thread::scope(|scope| {
            for (number, client) in clients.iter().enumerate() {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        // Every third is exclusive, so that there is a line.
                        let more: &[_] = if number % 3 == 0 { &[] } else { more };
                        let grace = ("queue_grace_ms", "10000");
                        let lock = lock(client, key, &[more, &[grace]].concat());
                        lock.acquire().unwrap();
                        thread::sleep(Duration::from_millis(3));
                        lock.release().unwrap();
                    }
                });
            }
        });
        let written = consul.raft_index() - before;
        let grants = 6 * rounds;
        println!("{key}: {written} writes for {grants} grants");
        // And an attempt each that came before the line was known.
        assert!(written <= 3 * grants + 2 * 6 + 2, "{key}: {written}");
    }
    consul.has_nothing_left();
}

/// Readers of one process need no word of each other.
#[test]
fn the_readers_of_one_client_share_at_the_same_time() {
    let client = a_client();
    let locks: Vec<Lock> = (0..20)
        .map(|_| lock(&client, "one-client", &[SHARE]))
        .collect();
    for lock in &locks {
        lock.acquire().unwrap();
    }
    assert_eq!(shares("one-client").len(), 20);
    let tokens: BTreeSet<Option<u64>> = locks.iter().map(Lock::fencing_token).collect();
    assert_eq!(tokens.len(), 20);
    for lock in &locks {
        lock.check().unwrap();
        lock.release().unwrap();
    }
    nothing_of("one-client");
}

// Forks.

/// The child of a fork cannot use a share of its parent, and its end does not end the share.
#[test]
fn a_forked_child_cannot_use_a_share() {
    if ran_alone(a_forked_child_cannot_use_a_share) {
        return;
    }
    let share = held("forked", &[SHARE, ("limit", "2")]);
    // SAFETY: the child calls functions that answer without a lock of another thread, and ends with `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_right = [
            share.check(),
            share.renew(),
            share.downgrade(),
            share.upgrade(0),
            share.release(),
        ]
        .into_iter()
        .all(|outcome| outcome.is_err_and(|error| error.status == Status::Forked));
        let is_right = is_right && !share.is_held() && share.slot().is_none();
        drop(share);
        // SAFETY: ends the child without a word to the exit handlers of the parent.
        unsafe { libc::_exit(if is_right { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: a child of this process.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "a call in the child did not answer FORKED");
    share.check().unwrap();
    assert!(share.slot().is_some());
    share.release().unwrap();
    nothing_of("forked");
}
