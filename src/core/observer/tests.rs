//! A core with observers, in virtual time, against answers that the test gives.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Now, Time};
use crate::core::messages::{Answer, Fault, Key, KeyRow, Request, SessionId, Value};
use crate::core::{Action, Config, Core, Input, ObserverId, RequestId};
use crate::error::{Error, Status};

struct Bench {
    core: Core,
    now: Time,
    /// The requests on their way.
    open: BTreeMap<RequestId, Request>,
    /// What the observers were told, in words.
    told: Vec<(u64, String)>,
    /// How many requests the core has sent.
    sent: usize,
}

impl Bench {
    fn new() -> Bench {
        let config = Config {
            address: "bench:8500".to_owned(),
            identity: "consul_lock bench".to_owned(),
            request_timeout: Duration::from_secs(10),
            release_timeout: Duration::from_secs(2),
            lock_delay: false,
            flags: 9,
            session_node: None,
            connections: 32,
            seed: 1,
        };
        Bench {
            core: Core::new(config),
            now: Time(1_000_000_000),
            open: BTreeMap::new(),
            told: Vec::new(),
            sent: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let now = Now {
            time: self.now,
            unix_ms: 0,
        };
        let mut actions = Vec::new();
        self.core.step(now, input, &mut actions);
        for action in actions {
            match action {
                Action::Send { id, request, .. } => {
                    self.sent += 1;
                    self.open.insert(id, request);
                }
                Action::Abort(id) => drop(self.open.remove(&id)),
                Action::Observed { observer, seen } => {
                    let word = match seen {
                        Ok(None) => "free".to_owned(),
                        Ok(Some(holder)) => format!("{} {}", holder.session, holder.fencing_token),
                        Err(error) => format!("{:?}", error.status),
                    };
                    self.told.push((observer.0, word));
                }
                _ => {}
            }
        }
    }

    fn observe(&mut self, observer: u64) {
        self.step(Input::Observe {
            observer: ObserverId(observer),
            key: "k".into(),
        });
    }

    fn reply(&mut self, request: RequestId, answer: Result<Answer, Fault>) {
        self.open.remove(&request);
        self.step(Input::Reply {
            request,
            sent: Some(self.now),
            answer,
        });
    }

    /// Lets time pass, without an answer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = end;
    }

    /// The one read on its way, and whether the leader itself is asked.
    fn read(&self) -> (RequestId, bool) {
        let mut reads = self.open.iter().filter_map(|(id, request)| match request {
            Request::Read { consistent, .. } => Some((*id, *consistent)),
            _ => None,
        });
        let read = reads.next().expect("a read");
        assert_eq!(reads.next(), None, "one at a time");
        read
    }

    /// The one blocking query on its way, and its index.
    fn query(&self) -> (RequestId, u64) {
        let mut queries = self.open.iter().filter_map(|(id, request)| match request {
            Request::Watch { index, .. } => Some((*id, *index)),
            _ => None,
        });
        let query = queries.next().expect("a query");
        assert_eq!(queries.next(), None, "one at a time");
        query
    }

    fn told(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.told)
    }
}

fn held(session: &str, index: u64) -> Result<Answer, Fault> {
    let row = KeyRow {
        session: Some(SessionId(session.into())),
        create_index: index,
        modify_index: index,
        flags: 9,
        value: Value(Vec::new().into()),
    };
    Ok(Answer::Row {
        row: Some(row),
        index,
    })
}

fn free(index: u64) -> Result<Answer, Fault> {
    Ok(Answer::Row { row: None, index })
}

fn words(told: &[(u64, &str)]) -> Vec<(u64, String)> {
    let told = told.iter();
    told.map(|(observer, word)| (*observer, (*word).to_owned()))
        .collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn each_change_is_told_once_and_the_query_follows_the_index() {
    let mut bench = Bench::new();
    bench.observe(1);
    bench.reply(bench.read().0, held("a", 7));
    assert_eq!(bench.told(), words(&[(1, "a 7")]));
    assert_eq!(bench.query().1, 7);
    bench.reply(bench.query().0, held("a", 7));
    assert_eq!(bench.told(), words(&[]), "no change");
    bench.reply(bench.query().0, held("b", 9));
    assert_eq!(bench.told(), words(&[(1, "b 9")]));
    assert_eq!(bench.query().1, 9);
    bench.step(Input::Unobserve(ObserverId(1)));
    bench.reply(bench.query().0, free(12));
    assert!(bench.told().is_empty() && bench.open.is_empty());
    assert!(bench.core.wake_at().is_none());
}

#[test]
fn an_older_answer_is_told_only_if_the_leader_gives_it_too() {
    for (truth, expected) in [
        (held("a", 50), vec![]),
        // A snapshot was restored.
        (held("old", 20), words(&[(1, "old 20")])),
        (free(30), words(&[(1, "free")])),
    ] {
        let mut bench = Bench::new();
        bench.observe(1);
        bench.reply(bench.read().0, held("a", 50));
        bench.told();
        bench.reply(bench.query().0, free(40));
        bench.pass(100 * MS);
        let (read, by_leader) = bench.read();
        assert!(by_leader && bench.told().is_empty());
        bench.reply(read, truth);
        assert_eq!(bench.told(), expected);
        bench.pass(100 * MS);
        bench.query();
    }
}

#[test]
fn a_key_that_does_not_exist_is_asked_for_with_pauses() {
    let mut bench = Bench::new();
    bench.observe(1);
    bench.reply(bench.read().0, free(5));
    let mut index = 5;
    // Each write beside the key ends the query.
    for _ in 0..200 {
        bench.pass(100 * MS);
        if bench
            .open
            .values()
            .any(|r| matches!(r, Request::Watch { .. }))
        {
            index += 1;
            bench.reply(bench.query().0, free(index));
        }
    }
    assert!((20..=28).contains(&bench.sent), "{} requests", bench.sent);
    assert_eq!(bench.told(), words(&[(1, "free")]));
}

#[test]
fn a_late_observer_reads_the_key_anew_and_shares_the_query() {
    let mut bench = Bench::new();
    bench.observe(1);
    // One that comes while a read is on its way must not get what was before.
    let first = bench.read().0;
    bench.observe(2);
    bench.reply(first, held("a", 7));
    bench.told();
    bench.reply(bench.read().0, held("b", 9));
    assert_eq!(bench.told(), words(&[(1, "b 9"), (2, "b 9")]));
    let query = bench.query();
    bench.observe(3);
    bench.reply(bench.read().0, held("b", 9));
    assert_eq!(bench.told(), words(&[(3, "b 9")]));
    assert_eq!(bench.query(), query, "the same query");
}

#[test]
fn what_happened_before_the_query_of_another_observer_began_is_not_missed() {
    let mut bench = Bench::new();
    bench.observe(1);
    bench.reply(bench.read().0, held("a", 7));
    let query = bench.query();
    bench.told();
    // All observers end; the query goes on from index 7.
    bench.step(Input::Unobserve(ObserverId(1)));
    bench.observe(2);
    // A server that lags behind shows what was before.
    bench.reply(bench.read().0, free(6));
    bench.pass(50 * MS);
    assert_eq!(bench.query(), query);
    bench.pass(100 * MS);
    bench.reply(bench.read().0, held("a", 7));
    assert_eq!(bench.told(), words(&[(2, "free"), (2, "a 7")]));
    assert_eq!(bench.query(), query);
}

#[test]
fn an_outage_is_told_once_when_it_lasts_and_a_refusal_at_once() {
    let mut bench = Bench::new();
    bench.observe(1);
    bench.reply(bench.read().0, held("a", 7));
    bench.reply(bench.query().0, Err(lost()));
    bench.told();
    for _ in 0..100 {
        bench.pass(Duration::from_secs(1));
        bench.reply(bench.read().0, Err(lost()));
    }
    assert_eq!(bench.told(), words(&[(1, "Unavailable")]));
    bench.pass(Duration::from_secs(1));
    bench.reply(bench.read().0, held("a", 7));
    assert_eq!(bench.told(), words(&[(1, "a 7")]));
    let denied = || Fault::Final(Error::new(Status::Denied, "no"));
    bench.reply(bench.query().0, Err(denied()));
    assert_eq!(bench.told(), words(&[(1, "Denied")]));
    bench.pass(Duration::from_secs(5));
    bench.reply(bench.read().0, Err(denied()));
    assert!(bench.told().is_empty());
    bench.pass(Duration::from_secs(5));
    bench.reply(bench.read().0, held("a", 7));
    assert_eq!(bench.told(), words(&[(1, "a 7")]));
}

fn lost() -> Fault {
    Fault::Unknown(Error::new(Status::Unavailable, "reset"))
}

#[test]
fn without_a_connection_for_a_query_the_key_is_read_now_and_then() {
    let mut bench = Bench::new();
    for number in 0..40 {
        let key: Key = format!("k{number}").into();
        let observer = ObserverId(number);
        bench.step(Input::Observe { observer, key });
        bench.reply(bench.read().0, held("a", 7));
    }
    let is_query = |request: &&Request| matches!(request, Request::Watch { .. });
    assert_eq!(bench.open.values().filter(is_query).count(), 10);
    bench.told();
    bench.pass(5 * Duration::from_secs(1));
    let reads: Vec<RequestId> = bench
        .open
        .iter()
        .filter(|(_, request)| matches!(request, Request::Read { .. }))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(reads.len(), 30);
    for read in reads {
        bench.reply(read, held("b", 8));
    }
    assert_eq!(bench.told().len(), 30);
}
