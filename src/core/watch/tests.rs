//! Cores with many watches, in virtual time, against a server that answers as the test says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{LONGEST_QUERY, LONGEST_WATCH, Watches};
use crate::clock::{Now, Time};
use crate::core::messages::{
    Answer, Below, Fault, Key, KeyRow, Limit, Request, SessionId, Sharer, Slot, Ticket, Value, Want,
};
use crate::core::{
    Action, Call, CallId, Config, Core, Input, LockId, LockSpec, ObserverId, Patience, RequestId,
};
use crate::error::{Error, Status};

/// How long an answer takes.
const ROUND_TRIP: Duration = Duration::from_millis(1);

type Reply = Result<Answer, Fault>;

/// A core and a server. A request to which the server has no answer hangs until the server looks again.
struct Bench<S> {
    core: Core,
    now: Time,
    server: S,
    serial: u64,
    calls: u64,
    due: BTreeMap<(Time, u64), (RequestId, Time, Request)>,
    hanging: BTreeMap<RequestId, Request>,
    /// Every request, with the instant at which the core sent it.
    asked: Vec<(Time, Request)>,
    /// Requests that the core aborted while the server had no answer to them.
    aborted: usize,
    log: Vec<String>,
}

impl<S: FnMut(&Request, Time) -> Option<Reply>> Bench<S> {
    fn new(connections: usize, server: S) -> Bench<S> {
        let config = Config {
            address: "bench:8500".to_owned(),
            identity: "consul_lock bench".to_owned(),
            request_timeout: Duration::from_secs(10),
            release_timeout: Duration::from_secs(2),
            lock_delay: false,
            flags: 9,
            session_node: None,
            connections,
            seed: 1,
        };
        Bench {
            core: Core::new(config),
            now: Time(1_000_000_000),
            server,
            serial: 0,
            calls: 0,
            due: BTreeMap::new(),
            hanging: BTreeMap::new(),
            asked: Vec::new(),
            aborted: 0,
            log: Vec::new(),
        }
    }

    fn step(&mut self, event: Input) {
        let now = Now {
            time: self.now,
            unix_ms: 0,
        };
        let mut actions = Vec::new();
        self.core.step(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Send { id, request, .. } => {
                    self.serial += 1;
                    self.asked.push((self.now, request.clone()));
                    let at = (self.now + ROUND_TRIP, self.serial);
                    self.due.insert(at, (id, self.now, request));
                }
                Action::Abort(id) => {
                    self.aborted += usize::from(self.hanging.remove(&id).is_some());
                }
                Action::Log { line, .. } => self.log.push(line),
                _ => {}
            }
        }
    }

    fn call(&mut self, lock: u64, what: Call) {
        self.calls += 1;
        let (lock, call) = (LockId(lock), CallId(self.calls));
        self.step(Input::Call { lock, call, what });
    }

    fn acquire_as(&mut self, lock: u64, spec: LockSpec) {
        self.call(lock, Call::Acquire(spec));
    }

    fn acquire(&mut self, lock: u64, key: &str, fair: bool) {
        self.call(lock, Call::Acquire(spec(key, fair)));
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let reply = self.due.first_key_value().map(|((at, _), _)| *at);
            let tick = self.core.wake_at();
            let Some(next) = reply.into_iter().chain(tick).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if reply.is_some_and(|at| at <= self.now)
                && let Some((_, (id, sent, request))) = self.due.pop_first()
            {
                match (self.server)(&request, self.now) {
                    Some(answer) => self.reply(id, sent, answer),
                    None => _ = self.hanging.insert(id, request),
                }
            } else {
                self.step(Input::Tick);
            }
        }
    }

    fn reply(&mut self, request: RequestId, sent: Time, answer: Reply) {
        self.step(Input::Reply {
            request,
            sent: Some(sent),
            answer,
        });
    }

    /// The server answers the requests that hang, where it has an answer now.
    fn stir(&mut self) {
        for (id, request) in std::mem::take(&mut self.hanging) {
            match (self.server)(&request, self.now) {
                Some(answer) => self.reply(id, self.now, answer),
                None => _ = self.hanging.insert(id, request),
            }
        }
    }

    fn count(&self, is_it: fn(&Request) -> bool) -> usize {
        self.asked
            .iter()
            .filter(|(_, request)| is_it(request))
            .count()
    }
}

fn spec(key: &str, fair: bool) -> LockSpec {
    let ttl = Duration::from_secs(3_600);
    LockSpec {
        fair,
        ..LockSpec::exclusive(key, ttl, Patience::Forever)
    }
}

/// The answer to the request would show the line.
fn shows_line(request: &Request) -> bool {
    match request {
        Request::Lock { see, .. } | Request::Survey { see, .. } => see.line,
        Request::ReadLine { .. } | Request::Join { .. } => true,
        Request::Unlock { lines, .. } => !lines.is_empty(),
        _ => false,
    }
}

fn is_watch(request: &Request) -> bool {
    matches!(request, Request::Watch { .. })
}

fn is_listing(request: &Request) -> bool {
    matches!(request, Request::WatchNames { .. })
}

fn row(session: &str, index: u64) -> Answer {
    let row = KeyRow {
        session: Some(SessionId(session.into())),
        create_index: 10,
        modify_index: index,
        flags: 9,
        value: Value(Vec::new().into()),
    };
    Answer::Row {
        row: Some(row),
        index,
    }
}

/// How Consul answers requests for keys that others hold, but for blocking queries.
fn held_by_others(request: &Request) -> Option<Answer> {
    Some(match request {
        Request::Survey { .. } => Answer::Exists(0),
        Request::CreateSession { .. } => Answer::Created(SessionId("a".into())),
        Request::RenewSession { .. } => Answer::Renewed,
        Request::DestroySession { .. } => Answer::Destroyed,
        Request::Lock { .. } | Request::Take { .. } => Answer::Held,
        Request::Join { slots, session, .. } => Answer::Line(Below::line_of_one(vec![Ticket {
            slot: slots[0],
            session: session.clone(),
            want: Want::Exclusive,
            several: None,
            create_index: 12,
            modify_index: 12,
        }])),
        Request::Read { .. } => row("b", 11),
        Request::DescribeSession { .. } => Answer::Described(None),
        _ => return None,
    })
}

/// How Consul answers requests for keys that this core holds, but for blocking queries.
fn held_by_us(request: &Request) -> Option<Answer> {
    Some(match request {
        Request::Survey { .. } => Answer::Line(Below::line_of_one(Vec::new())),
        Request::Lock { .. } => Answer::Locked {
            index: 11,
            below: Below::line_of_one(Vec::new()),
        },
        // A look comes before, a check after.
        Request::Read { consistent, .. } if *consistent => row("a", 11),
        Request::Read { .. } => Answer::Row {
            row: None,
            index: 9,
        },
        request => return held_by_others(request),
    })
}

/// Ten questions a second, and those that may come in a row.
const TEN_A_SECOND_FOR_30_S: usize = 320;

/// The answer to a blocking query with this number.
type Nonsense = fn(u64) -> Answer;

/// The answer to any other request.
type Sense = fn(&Request) -> Option<Answer>;

/// What a server may answer to blocking queries at once.
fn nonsense() -> Vec<(&'static str, Nonsense)> {
    vec![
        ("the same", |_| row("b", 11)),
        ("a growing index", |n| row("b", 100 + n)),
        ("a falling index", |n| row("b", 1_000_000 - n)),
        ("our own session", |n| row("a", 100 + n)),
        ("404, a growing index", |n| Answer::Row {
            row: None,
            index: 100 + n,
        }),
        ("one and the other", |n| match n % 2 {
            0 => row(if n % 4 == 0 { "a" } else { "b" }, 100 + n),
            _ => Answer::Row {
                row: None,
                index: 100 + n,
            },
        }),
    ]
}

#[test]
fn no_watch_asks_more_than_ten_times_a_second_whatever_comes_back() {
    let servers: [(&str, Sense); 2] = [("waits", held_by_others), ("holds", held_by_us)];
    for (what, at_once) in nonsense() {
        for (who, server) in servers {
            for fair in [true, false] {
                let mut n = 0;
                let mut bench = Bench::new(32, |request, _| {
                    n += u64::from(is_watch(request));
                    let blocking = is_watch(request).then(|| at_once(n));
                    blocking.or_else(|| server(request)).map(Ok)
                });
                bench.acquire(1, "k", fair);
                bench.run(Duration::from_secs(30));
                let (watches, all) = (bench.count(is_watch), bench.asked.len());
                println!("{what}, {who}, fair {fair}: {watches} of {all} in 30 s");
                assert!(watches > 0, "{what}, {who}, fair {fair}");
                assert!(
                    watches <= TEN_A_SECOND_FOR_30_S && all <= 5 * TEN_A_SECOND_FOR_30_S,
                    "{what}, {who}, fair {fair}: {watches} of {all} in 30 s"
                );
            }
        }
    }
}

/// Two sessions share the key with a limit of two.
fn two_sharers() -> Vec<Sharer> {
    let sharer = |slot: u64| Sharer {
        limit: Limit::new(2).expect("a limit"),
        slot: Slot::new(slot),
        session: SessionId(format!("b{slot}").into()),
        create_index: 5 + slot,
        modify_index: 5 + slot,
        value: Value(Vec::new().into()),
    };
    vec![sharer(0), sharer(1)]
}

/// How Consul answers a waiter for one of two slots that are taken, but for blocking queries.
fn no_slot(request: &Request, ticket: &mut Vec<Ticket>) -> Option<Answer> {
    if let Request::Join { slots, session, .. } = request {
        *ticket = vec![Ticket {
            slot: slots[0],
            session: session.clone(),
            want: Want::Share(Limit::new(2).expect("a limit")),
            several: None,
            create_index: 12,
            modify_index: 12,
        }];
    }
    let below = || {
        let (line, sharers) = (ticket.clone(), two_sharers());
        vec![Below { line, sharers }]
    };
    match request {
        Request::Survey { .. } | Request::Join { .. } => Some(Answer::Line(below())),
        request => held_by_others(request),
    }
}

/// The names of so many slots.
fn slots(count: u64, index: u64) -> Answer {
    let names = (0..count).map(|slot| format!("k/.share/slot/{}", Slot::new(slot)));
    Answer::Names {
        names: names.collect(),
        index,
    }
}

#[test]
fn no_waiter_for_a_slot_asks_more_than_ten_times_a_second_whatever_comes_back() {
    let nonsense: [(&str, Nonsense); 6] = [
        ("the same", |_| slots(2, 6)),
        ("a growing index", |n| slots(2, 100 + n)),
        ("a falling index", |n| slots(2, 1_000_000 - n)),
        ("a free slot that is none", |n| slots(1, 100 + n)),
        ("no name", |n| slots(0, 100 + n)),
        ("a row", |n| row("b", 100 + n)),
    ];
    for (what, at_once) in nonsense {
        for fair in [true, false] {
            let (mut n, mut ticket) = (0, Vec::new());
            let mut bench = Bench::new(32, |request, _| {
                n += u64::from(is_listing(request));
                let blocking = is_listing(request).then(|| at_once(n));
                blocking.or_else(|| no_slot(request, &mut ticket)).map(Ok)
            });
            let want = Want::Share(Limit::new(2).expect("a limit"));
            bench.acquire_as(
                1,
                LockSpec {
                    want,
                    ..spec("k", fair)
                },
            );
            bench.run(Duration::from_secs(30));
            let (watches, all) = (bench.count(is_listing), bench.asked.len());
            println!("{what}, fair {fair}: {watches} of {all} in 30 s");
            assert!(watches > 0, "{what}, fair {fair}: {:?}", bench.asked);
            assert!(
                watches <= TEN_A_SECOND_FOR_30_S && all <= 5 * TEN_A_SECOND_FOR_30_S,
                "{what}, fair {fair}: {watches} of {all} in 30 s"
            );
        }
    }
}

/// The wait of an exclusive lock, and that of an upgrade, for those who share the key.
#[test]
fn no_wait_for_sharers_asks_more_than_ten_times_a_second_whatever_comes_back() {
    let shared = || {
        vec![Below {
            line: Vec::new(),
            sharers: two_sharers(),
        }]
    };
    for (what, at_once) in nonsense() {
        for upgrades in [true, false] {
            let mut n = 0;
            let mut bench = Bench::new(32, |request, _| {
                if is_watch(request) {
                    n += 1;
                    return Some(Ok(at_once(n)));
                }
                let answer = match request {
                    Request::Lock { .. } if upgrades => Answer::Locked {
                        index: 11,
                        below: vec![Below::default()],
                    },
                    Request::Lock { .. } | Request::Upgrade { .. } => Answer::Locked {
                        index: 12,
                        below: shared(),
                    },
                    Request::Prove { .. } => Answer::Proved {
                        index: 12,
                        below: shared(),
                    },
                    request => return held_by_us(request).map(Ok),
                };
                Some(Ok(answer))
            });
            let limit = Limit::new(3).expect("a limit");
            let want = match upgrades {
                true => Want::Share(limit),
                false => Want::Exclusive,
            };
            bench.acquire_as(
                1,
                LockSpec {
                    want,
                    ..spec("k", true)
                },
            );
            bench.run(Duration::from_millis(100));
            if upgrades {
                bench.call(1, Call::Upgrade(Patience::Forever));
            }
            bench.run(Duration::from_secs(30));
            let (watches, all) = (bench.count(is_watch), bench.asked.len());
            println!("{what}, upgrades {upgrades}: {watches} of {all} in 30 s");
            let proofs = bench.count(|request| matches!(request, Request::Prove { .. }));
            assert!(watches > 0 && proofs > 2, "{what}, upgrades {upgrades}");
            assert!(
                watches <= TEN_A_SECOND_FOR_30_S && all <= 5 * TEN_A_SECOND_FOR_30_S,
                "{what}, upgrades {upgrades}: {watches} of {all} in 30 s"
            );
        }
    }
}

#[test]
fn no_listing_is_asked_for_more_than_ten_times_a_second_whatever_comes_back() {
    // The locks that learn that their key is gone ask again, each at its own pace.
    let some_more = 2 * TEN_A_SECOND_FOR_30_S;
    for (what, shows_keys, most) in [
        ("other names", true, TEN_A_SECOND_FOR_30_S),
        ("none of ours", false, some_more),
    ] {
        let mut n = 0;
        let mut bench = Bench::new(4, |request, _| match request {
            Request::Watch { .. } => None,
            Request::WatchNames { .. } => {
                n += 1;
                let ours = (0..6).map(|number| format!("f/{number}"));
                let names = ours.filter(|_| shows_keys);
                let names = names.chain([format!("f/other-{n}")]).collect();
                let index = 100 + n;
                Some(Ok(Answer::Names { names, index }))
            }
            request => held_by_others(request).map(Ok),
        });
        for number in 0..6 {
            bench.acquire(number, &format!("f/{number}"), false);
        }
        bench.run(Duration::from_secs(30));
        let listings = bench.count(is_listing);
        println!("{what}: {listings} listings of {}", bench.asked.len());
        assert!((1..=most).contains(&listings), "{what}: {listings}");
    }
}

/// The core acts upon a change at once, whatever the pace, because there was a silence before.
#[test]
fn a_change_after_a_silence_is_acted_upon_at_once() {
    let held = std::cell::Cell::new(true);
    let mut bench = Bench::new(32, |request, _| match request {
        Request::Watch { .. } if held.get() => None,
        Request::Watch { .. } => Some(Ok(Answer::Row {
            row: None,
            index: 20,
        })),
        Request::Lock { .. } if !held.get() => held_by_us(request).map(Ok),
        request => held_by_others(request).map(Ok),
    });
    bench.acquire(1, "k", false);
    bench.run(Duration::from_secs(4));
    let lock = |request: &Request| matches!(request, Request::Lock { .. });
    assert_eq!(bench.count(lock), 0);
    held.set(false);
    bench.stir();
    bench.run(ROUND_TRIP * 4);
    assert_eq!(bench.count(lock), 1);
}

/// A time that no want has any more would be due for ever: the core would answer it again and again, without an end.
#[test]
fn observers_that_share_the_query_of_a_lock_leave_no_time_behind() {
    let is_over = std::cell::Cell::new(false);
    let mut bench = Bench::new(32, |request, _| match request {
        Request::Watch { .. } => is_over.get().then(|| Ok(row("b", 11))),
        request => held_by_others(request).map(Ok),
    });
    bench.acquire(1, "k", false);
    bench.run(Duration::from_secs(1));
    bench.step(Input::Observe {
        observer: ObserverId(1),
        key: "k".into(),
    });
    for second in 0..3 * LONGEST_WATCH.as_secs() {
        bench.run(Duration::from_secs(1));
        is_over.set(second % LONGEST_QUERY.as_secs() == 0);
        bench.stir();
        is_over.set(false);
        let Watches { untils, wants, .. } = &bench.core.ctx.watches;
        for (at, watcher) in untils {
            let want = wants.get(watcher);
            assert!(want.is_some_and(|want| want.until == *at), "{watcher:?}");
        }
    }
    // The attempt of the lock, and the first read for the observers.
    assert_eq!(bench.count(|request| !is_watch(request)), 2);
}

/// Consul keeps the connection of an aborted query: so the core aborts none, and each query keeps its place.
#[test]
fn a_query_that_is_not_wanted_any_more_keeps_its_place_and_is_shared() {
    let over = std::cell::Cell::new(false);
    let mut bench = Bench::new(5, |request, _| match request {
        Request::Watch { key, .. } if over.get() && &**key == "f/0" => Some(Ok(row("b", 11))),
        Request::Watch { .. } | Request::WatchNames { .. } => None,
        request => held_by_others(request).map(Ok),
    });
    for number in 0..3 {
        bench.acquire(number, &format!("f/{number}"), false);
    }
    bench.run(Duration::from_secs(1));
    assert_eq!((bench.count(is_watch), bench.count(is_listing)), (2, 1));
    bench.call(0, Call::Cancel);
    bench.run(Duration::from_secs(1));
    // The third lock has to go on without a query of its own.
    assert_eq!((bench.count(is_watch), bench.aborted), (2, 0));
    // A lock that wants the same key shares the query.
    bench.acquire(4, "f/0", false);
    bench.run(Duration::from_secs(1));
    assert_eq!((bench.count(is_watch), bench.aborted), (2, 0));
    bench.call(4, Call::Cancel);
    over.set(true);
    bench.stir();
    bench.run(Duration::from_secs(1));
    let last = bench.asked.iter().rfind(|(_, request)| is_watch(request));
    assert!(
        matches!(last, Some((_, Request::Watch { key, .. })) if &**key == "f/2"),
        "its place is free now: {last:?}"
    );
    assert_eq!((bench.count(is_watch), bench.aborted), (3, 0));
}

#[test]
fn no_query_is_long_and_none_goes_on_long_after_the_deadline() {
    let mut bench = Bench::new(32, |request, _| match request {
        Request::Watch { .. } => None,
        request => held_by_others(request).map(Ok),
    });
    let waits = |bench: &Bench<_>| -> Vec<Duration> {
        let asked = bench.asked.iter();
        let wait = asked.filter_map(|(_, request)| match request {
            Request::Watch { wait, .. } => Some(*wait),
            _ => None,
        });
        wait.collect()
    };
    bench.acquire(1, "k", false);
    let mut impatient = spec("l", false);
    impatient.patience = Patience::For(Duration::from_millis(1_500));
    bench.call(2, Call::Acquire(impatient));
    bench.run(Duration::from_millis(500));
    let [patient, impatient] = waits(&bench)[..] else {
        panic!("{:?}", bench.asked);
    };
    assert_eq!(patient, super::LONGEST_QUERY);
    assert!(impatient < Duration::from_millis(1_700), "{impatient:?}");
}

/// The query of each key that is given back is answered, and the core begins none for another key in a hurry.
#[test]
fn a_thousand_locks_given_back_begin_no_thousand_queries() {
    let free = std::cell::RefCell::new(std::collections::HashSet::<Key>::new());
    let mut bench = Bench::new(32, |request, _| match request {
        Request::Watch { key, .. } if free.borrow().contains(key) => Some(Ok(Answer::Row {
            row: None,
            index: 20,
        })),
        Request::Watch { .. } => None,
        request => held_by_us(request).map(Ok),
    });
    for number in 0..1_000 {
        bench.acquire(number, &format!("f/{number}"), false);
    }
    bench.run(Duration::from_secs(3));
    let begun = bench.count(is_watch);
    assert_eq!(begun, 10, "half of those that may be watched");
    for number in 0..1_000 {
        bench.call(number, Call::Release);
        free.borrow_mut().insert(format!("f/{number}").into());
        bench.stir();
        bench.run(ROUND_TRIP);
    }
    let (begun, aborted) = (bench.count(is_watch) - begun, bench.aborted);
    assert!(
        begun <= 20 && aborted == 0,
        "{begun} begun, {aborted} aborted"
    );
    // The core watches a lock that is kept again when there is calm.
    bench.acquire(2_000, "f/kept", false);
    let before = bench.count(is_watch);
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.count(is_watch), before + 1);
}

/// The keys of a folder with too many names to read take turns at once, and the log says so.
#[test]
fn a_listing_that_is_too_large_is_asked_for_once() {
    let too_large = || Error::new(Status::Rejected, "the answer is larger than that");
    let mut bench = Bench::new(5, |request, now| match request {
        Request::Watch { .. } if now < Time(4_000_000_000) => None,
        Request::Watch { .. } => Some(Ok(row("b", 11))),
        Request::WatchNames { .. } => Some(Err(Fault::TooLarge(too_large()))),
        request => held_by_others(request).map(Ok),
    });
    for number in 0..6 {
        bench.acquire(number, &format!("f/{number}"), false);
    }
    bench.run(Duration::from_secs(1));
    assert_eq!((bench.count(is_watch), bench.count(is_listing)), (2, 1));
    bench.run(Duration::from_secs(4));
    bench.stir();
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.count(is_listing), 1);
    let keys = bench.asked.iter().filter_map(|(_, request)| match request {
        Request::Watch { key, .. } => Some(key.clone()),
        _ => None,
    });
    let keys: std::collections::BTreeSet<_> = keys.collect();
    assert_eq!(keys.len(), 6, "all had a turn");
    let said = bench.log.iter().filter(|line| line.contains("take turns"));
    assert_eq!(said.count(), 1, "{:?}", bench.log);
}

/// With junk below the tickets, the core repeats a first attempt whose answer it cannot read without the line.
#[test]
fn a_line_that_is_too_large_is_done_without() {
    let too_large = || Fault::TooLarge(Error::new(Status::Rejected, "more than is read"));
    for held in [false, true] {
        let mut bench = Bench::new(32, |request, _| match request {
            request if shows_line(request) => Some(Err(too_large())),
            Request::Watch { .. } => None,
            request if held => held_by_others(request).map(Ok),
            request => held_by_us(request).map(Ok),
        });
        // The third lock in succession tries without a look.
        for lock in 1..=3 {
            bench.acquire(lock, "k", true);
            bench.run(Duration::from_millis(20));
            bench.call(lock, Call::Release);
            bench.run(Duration::from_millis(20));
        }
        assert_eq!(bench.count(shows_line), 1, "{:?}", bench.asked);
        let locks = bench.count(|request| matches!(request, Request::Lock { .. }));
        assert_eq!(locks, if held { 0 } else { 3 }, "{:?}", bench.asked);
        let said = bench
            .log
            .iter()
            .filter(|l| l.contains("no particular order"));
        assert_eq!(said.count(), 1, "{:?}", bench.log);
    }
    // Consul may have applied the transaction: the same transaction again, without the line, tells.
    let mut bench = Bench::new(32, |request, _| match request {
        request @ Request::Lock { .. } if shows_line(request) => Some(Err(too_large())),
        Request::Watch { .. } => None,
        request => held_by_us(request).map(Ok),
    });
    bench.acquire(1, "k", true);
    bench.run(Duration::from_millis(20));
    let locks = bench.asked.iter().filter_map(|(_, request)| match request {
        Request::Lock {
            hold, session, see, ..
        } => Some((hold.clone(), session.clone(), see.line)),
        _ => None,
    });
    let locks: Vec<_> = locks.collect();
    let [(value, session, true), (again, same, false)] = &locks[..] else {
        panic!("{locks:?}");
    };
    assert_eq!((value, session), (again, same));
    // The core does not use the session again.
    bench.call(1, Call::Release);
    bench.run(Duration::from_millis(20));
    let destroyed = bench.count(|request| matches!(request, Request::DestroySession { .. }));
    assert_eq!(destroyed, 1, "{:?}", bench.asked);
}

#[test]
fn a_single_attempt_reads_no_line() {
    let mut bench = Bench::new(32, |request, _| held_by_us(request).map(Ok));
    for lock in 1..=3 {
        let mut once = spec("k", true);
        once.patience = Patience::Once;
        bench.call(lock, Call::Acquire(once));
        bench.run(Duration::from_millis(20));
        bench.call(lock, Call::Release);
        bench.run(Duration::from_millis(20));
    }
    assert_eq!(bench.count(shows_line), 0, "{:?}", bench.asked);
}
