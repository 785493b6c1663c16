//! Answers that come late, step by step, in orders that chance seldom finds.

use std::time::Duration;

use crate::clock::{Now, Time};
use crate::core::messages::{
    Answer, Below, Fault, Found, KeyRow, Request, SessionId, Slot, Ticket, Value, Want,
};
use crate::core::{
    Action, Call, CallId, Config, Core, Input, LockId, LockSpec, Outcome, Patience, Phase,
    RequestId, SessionNode, View,
};
use crate::error::{Error, Status};

pub(super) const TTL: Duration = Duration::from_secs(10);

/// A core whose requests the test answers one by one.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Time,
    /// The requests that have no answer yet.
    pub(super) asked: Vec<(RequestId, Request)>,
    /// The lock that the test calls, and the phase that the core last published of any lock.
    lock: LockId,
    pub(super) phase: Phase,
    /// What the observers of that lock see.
    pub(super) view: View,
    /// When the request that was sent last ends.
    pub(super) by: Time,
    /// The outcomes that the core has told.
    pub(super) told: Vec<Outcome>,
    /// The lines that the core has logged.
    pub(super) logged: Vec<String>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with(None)
    }

    pub(super) fn with(session_node: Option<SessionNode>) -> Bench {
        let config = Config {
            address: "bench:8500".to_owned(),
            identity: "consul_lock bench".to_owned(),
            request_timeout: Duration::from_secs(10),
            release_timeout: Duration::from_secs(2),
            lock_delay: false,
            flags: 9,
            session_node,
            connections: 32,
            seed: 1,
        };
        Bench {
            core: Core::new(config),
            now: Time(1_000_000_000),
            asked: Vec::new(),
            lock: LockId(1),
            phase: Phase::New,
            view: View::default(),
            by: Time::default(),
            told: Vec::new(),
            logged: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, event: Input) {
        let now = Now {
            time: self.now,
            unix_ms: 0,
        };
        let mut actions = Vec::new();
        self.core.step(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Send {
                    id, request, by, ..
                } => {
                    self.asked.push((id, request));
                    self.by = by;
                }
                Action::Publish { view, .. } => {
                    self.phase = view.phase;
                    self.view = view;
                }
                Action::Log { line, .. } => self.logged.push(line),
                Action::Abort(ended) => self.asked.retain(|(id, _)| *id != ended),
                Action::Tell { outcome, .. } => self.told.push(outcome),
                _ => {}
            }
        }
    }

    /// Takes out the last such request, which the core must have sent.
    pub(super) fn take(
        &mut self,
        what: &str,
        is_it: impl Fn(&Request) -> bool,
    ) -> (RequestId, Request) {
        let at = self.asked.iter().rposition(|(_, request)| is_it(request));
        let at = at.unwrap_or_else(|| panic!("it does not {what}: {:?}", self.asked));
        self.asked.remove(at)
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Result<Answer, Fault>) {
        let sent = Some(self.now);
        self.now = self.now + Duration::from_millis(1);
        self.step(Input::Reply {
            request,
            sent,
            answer,
        });
    }

    pub(super) fn acquires(&mut self, patience: Patience) {
        let spec = LockSpec::exclusive("k", TTL, patience);
        self.calls(self.lock.0, Call::Acquire(spec));
    }

    /// Begins an acquire with settings of its own.
    pub(super) fn acquires_as(&mut self, spec: LockSpec) {
        self.calls(self.lock.0, Call::Acquire(spec));
    }

    pub(super) fn calls(&mut self, call: u64, what: Call) {
        let (lock, call) = (self.lock, CallId(call));
        self.step(Input::Call { lock, call, what });
    }

    /// Time passes.
    pub(super) fn after(&mut self, time: Duration) {
        self.now = self.now + time;
        self.step(Input::Tick);
    }

    /// Makes a session, and stands alone in line with it behind a holder, whose end is watched.
    /// The core begins to wait for a key that another session holds.
    pub(super) fn waits(&mut self, session: &SessionId) {
        self.acquires(Patience::Forever);
        let (survey, _) = self.take("look", |request| matches!(request, Request::Survey { .. }));
        self.answer(survey, Ok(Answer::Exists(0)));
        self.finds_held();
        self.stands_in_line(session);
    }

    pub(super) fn stands_in_line(&mut self, session: &SessionId) {
        let (create, _) = self.take("make a session", |request| {
            matches!(request, Request::CreateSession { .. })
        });
        self.answer(create, Ok(Answer::Created(session.clone())));
        let (join, request) = self.take("join", |request| matches!(request, Request::Join { .. }));
        let Request::Join { slots, .. } = request else {
            return;
        };
        self.answer(
            join,
            Ok(Answer::Line(Below::line_of_one(vec![ticket(
                slots[0], session,
            )]))),
        );
        self.finds_held();
    }

    /// The first look shows that no session has the key, and that none shares it or waits for it.
    pub(super) fn finds_free(&mut self) {
        let (survey, _) = self.take("look", |request| matches!(request, Request::Survey { .. }));
        self.answer(survey, Ok(Answer::Line(Below::line_of_one(Vec::new()))));
    }

    pub(super) fn finds_held(&mut self) {
        let (look, _) = self.take("look", |request| matches!(request, Request::Read { .. }));
        let row = KeyRow {
            session: Some(SessionId("another's".into())),
            create_index: 5,
            modify_index: 5,
            flags: 9,
            value: Value(b"".to_vec().into()),
        };
        let row = Some(row);
        self.answer(look, Ok(Answer::Row { row, index: 5 }));
    }

    pub(super) fn renewal_of(&mut self, session: &SessionId) -> RequestId {
        let (renewal, _) = self.take(
            "renew",
            |request| matches!(request, Request::RenewSession { session: s } if s == session),
        );
        renewal
    }
}

pub(super) fn ticket(slot: Slot, session: &SessionId) -> Ticket {
    Ticket {
        slot,
        session: session.clone(),
        want: Want::Exclusive,
        several: None,
        create_index: 7,
        modify_index: 7,
    }
}

pub(super) fn is_destroy(request: &Request) -> bool {
    matches!(request, Request::DestroySession { .. })
}

pub(super) fn is_watch(request: &Request) -> bool {
    matches!(request, Request::Watch { .. })
}

/// The answer to the renewal of a session comes after another session has replaced it. The core forgets neither
/// the new session nor its ticket.
#[test]
fn a_late_answer_about_a_session_that_was_replaced() {
    let [first, second] = ["first", "second"].map(|id| SessionId(id.into()));
    let gone = || Err(Fault::SessionGone(Error::new(Status::Lost, "gone")));
    let mut bench = Bench::new();
    bench.waits(&first);

    // The core renews the session. Before the answer the key is free, and the session is gone.
    bench.after(TTL / 2);
    let late = bench.renewal_of(&first);
    let (watch, _) = bench.take("watch", is_watch);
    bench.answer(
        watch,
        Ok(Answer::Row {
            row: None,
            index: 9,
        }),
    );
    let renewal = bench.renewal_of(&first);
    bench.answer(renewal, gone());
    // A server that lags behind may have said so.
    let (destroy, _) = bench.take("destroy it", is_destroy);
    bench.answer(destroy, Ok(Answer::Destroyed));
    bench.stands_in_line(&second);

    let before = bench.asked.clone();
    bench.answer(late, gone());
    assert_eq!(bench.asked, before, "it waits as it did");
    assert!(matches!(&before[..], [(_, request)] if is_watch(request)));
}

/// After a cancel, the core waits for the answer to a create, then cuts its connection, then looks for the session,
/// once more if need be, and destroys it once.
#[test]
fn a_create_that_nobody_wants_any_more() {
    let ms = Duration::from_millis;
    let unanswered = || Err(Fault::Unknown(Error::new(Status::Unavailable, "cut")));
    let is_create = |request: &Request| matches!(request, Request::CreateSession { .. });
    let is_find = |request: &Request| matches!(request, Request::FindSession { .. });
    let mut bench = Bench::new();
    bench.acquires(Patience::Once);
    bench.finds_free();
    bench.calls(2, Call::Cancel);
    bench.after(ms(90));
    assert!(matches!(&bench.asked[..], [(_, request)] if is_create(request)));
    let (create, _) = bench.asked[0];
    bench.after(ms(20));
    assert!(bench.asked.is_empty(), "its connection is cut");
    bench.after(ms(500));

    bench.answer(create, unanswered());
    let (first, _) = bench.take("look for it", is_find);
    bench.answer(first, Ok(Answer::Found(None)));
    bench.after(ms(900));
    assert!(bench.asked.is_empty() && !bench.core.is_idle());
    bench.after(ms(200));
    let (last, _) = bench.take("look for it again", is_find);
    bench.after(ms(5_000));
    assert!(bench.asked.is_empty(), "it waits for the answer");
    let session = SessionId("late".into());
    bench.answer(last, Ok(Answer::Found(Some(session))));
    let (destroy, _) = bench.take("destroy it", is_destroy);
    bench.after(ms(5_000));
    assert!(bench.asked.is_empty(), "it waits for the answer");
    bench.answer(destroy, Ok(Answer::Destroyed));
    assert!(bench.asked.is_empty() && bench.core.is_idle());
    assert_eq!(bench.core.wake_at(), None);
}

/// A leader that was paused answers the renewal of a waiter from its own memory, after the end of the lease: the
/// session is as good as gone, and so is its ticket.
#[test]
fn a_renewal_that_is_answered_after_the_end_of_the_lease() {
    let [first, second] = ["first", "second"].map(|id| SessionId(id.into()));
    let mut bench = Bench::new();
    bench.waits(&first);

    bench.after(TTL / 2);
    let late = bench.renewal_of(&first);
    let sent = bench.now;
    bench.after(TTL / 2);
    let answer = Ok(Answer::Renewed);
    bench.step(Input::Reply {
        request: late,
        sent: Some(sent),
        answer,
    });
    let (destroy, request) = bench.take("end the session", is_destroy);
    assert!(matches!(request, Request::DestroySession { session } if session == first));
    bench.answer(destroy, Ok(Answer::Destroyed));
    bench.stands_in_line(&second);
    assert!(matches!(&bench.asked[..], [(_, request)] if is_watch(request)));
}

/// A middlebox doubles answers: that to the last release, which names the same key and session, comes instead of
/// the answer to the next lock. The index in the answer gives it away.
#[test]
fn an_answer_to_an_earlier_request_proves_nothing() {
    let session = SessionId("warm".into());
    let is_lock = |request: &Request| matches!(request, Request::Lock { .. });
    let is_look = |request: &Request| matches!(request, Request::Read { .. });
    let locked = |index| {
        let below = Vec::new();
        Ok(Answer::Locked { index, below })
    };
    let mut bench = Bench::new();
    for lock in 1..=3_u64 {
        bench.lock = LockId(lock);
        bench.acquires(Patience::Once);
        if lock <= 2 {
            bench.finds_free();
            let (create, _) = bench.take("make a session", |request| {
                matches!(request, Request::CreateSession { .. })
            });
            bench.answer(create, Ok(Answer::Created(session.clone())));
        }
        let (attempt, _) = bench.take("try", is_lock);
        if lock < 3 {
            bench.answer(attempt, locked(10 * lock));
            bench.calls(lock * 100, Call::Release);
        }
        match lock {
            1 => {
                let (look, _) = bench.take("make sure that it is ours", is_look);
                let row = Some(row_of(&session, 10));
                bench.answer(look, Ok(Answer::Row { row, index: 10 }));
                let (destroy, _) = bench.take("destroy it", is_destroy);
                bench.answer(destroy, Ok(Answer::Destroyed));
            }
            2 => {
                let (unlock, _) = bench.take("give it back", |request| {
                    matches!(request, Request::Unlock { .. })
                });
                bench.answer(unlock, Ok(Answer::Unlocked { below: Vec::new() }));
            }
            _ => {
                // The token of the lock before.
                bench.answer(attempt, locked(20));
                assert_eq!(bench.phase, Phase::Acquiring);
                bench.after(Duration::from_millis(50));
                let (again, _) = bench.take("ask again", is_lock);
                bench.answer(again, Ok(Answer::Changed));
                let (look, _) = bench.take("look", is_look);
                let row = Some(row_of(&session, 30));
                bench.answer(look, Ok(Answer::Row { row, index: 30 }));
                let (ours, request) = bench.take("have it confirmed", is_lock);
                assert!(
                    matches!(
                        &request,
                        Request::Lock { targets, .. } if targets[0].found == Found::Ours
                    ),
                    "{request:?}"
                );
                bench.answer(ours, locked(30));
                assert_eq!(bench.phase, Phase::Held);
            }
        }
    }
}

pub(super) fn row_of(session: &SessionId, index: u64) -> KeyRow {
    KeyRow {
        session: Some(session.clone()),
        create_index: index,
        modify_index: index,
        flags: 9,
        value: Value(b"".to_vec().into()),
    }
}

/// The core tries a token that Consul does not know again for a minute, also for an acquire that waits for ever; a
/// single attempt fails at once.
#[test]
fn a_token_that_stays_unknown() {
    let unknown = || {
        let error = Error::new(Status::Denied, "ACL not found");
        Err(Fault::NotApplied(error))
    };
    let mut bench = Bench::new();
    bench.acquires(Patience::Once);
    let (look, _) = bench.take("look", |_| true);
    bench.answer(look, unknown());
    assert!(matches!(&bench.told[..], [Err(error)] if error.status == Status::Denied));

    let mut bench = Bench::new();
    bench.acquires(Patience::Forever);
    let begun = bench.now;
    let mut asked = 0;
    while bench.told.is_empty() {
        bench.after(Duration::from_millis(10));
        if let Some((request, _)) = bench.asked.pop() {
            bench.answer(request, unknown());
            asked += 1;
        }
        assert!(bench.now.since(begun) < Duration::from_secs(70), "for ever");
    }
    let took = bench.now.since(begun);
    assert!(took >= Duration::from_secs(60), "{took:?}");
    assert!((60..180).contains(&asked), "the pauses grow: {asked}");
    assert!(matches!(&bench.told[..], [Err(error)] if error.status == Status::Denied));
    assert!(bench.asked.is_empty() && bench.core.is_idle());
}

/// A look that succeeds hides no create that fails: the outcome has the reason, and the pauses grow.
#[test]
fn what_fails_between_good_looks_is_told() {
    let missing = || {
        let error = Error::new(Status::Unavailable, "Missing node registration");
        Err(Fault::NotApplied(error))
    };
    let mut bench = Bench::new();
    bench.acquires(Patience::For(Duration::from_secs(20)));
    let mut creates = 0;
    while bench.told.is_empty() {
        bench.after(Duration::from_millis(10));
        let Some((id, request)) = bench.asked.pop() else {
            continue;
        };
        let answer = match request {
            Request::CreateSession { .. } => {
                creates += 1;
                missing()
            }
            Request::Survey { .. } => Ok(Answer::Line(Below::line_of_one(Vec::new()))),
            _ => Ok(Answer::Row {
                row: None,
                index: 3,
            }),
        };
        bench.answer(id, answer);
    }
    let [Err(error)] = &bench.told[..] else {
        panic!("{:?}", bench.told)
    };
    assert_eq!(error.status, Status::Unavailable);
    assert!(error.message.contains("Missing node"), "{error}");
    assert!((15..60).contains(&creates), "{creates}");
}
