//! The node that sessions are bound to: the core registers a missing node, and looks at the node once.

use std::time::Duration;

use super::late::Bench;
use crate::core::messages::{AgentRow, Answer, Fault, NodeRow, Request, SessionId, SessionRow};
use crate::core::{Call, Done, Input, Patience, SessionNode};
use crate::error::{Error, Status};

fn locks() -> Option<SessionNode> {
    Some(SessionNode {
        name: "locks".into(),
        registration: "curl -X PUT".to_owned(),
    })
}

fn is_create(request: &Request) -> bool {
    matches!(request, Request::CreateSession { .. })
}

fn is_register(request: &Request) -> bool {
    matches!(request, Request::RegisterNode { node } if &**node == "locks")
}

fn is_agent(request: &Request) -> bool {
    matches!(request, Request::DescribeAgent)
}

fn session() -> SessionId {
    SessionId("ours".into())
}

/// Brings the core to the create of its session.
fn begins(bench: &mut Bench) {
    bench.acquires(Patience::Once);
    bench.finds_free();
}

fn takes_it(bench: &mut Bench) {
    let (create, _) = bench.take("make a session", is_create);
    bench.answer(create, Ok(Answer::Created(session())));
    let (lock, _) = bench.take("lock", |request| matches!(request, Request::Lock { .. }));
    let below = Vec::new();
    bench.answer(lock, Ok(Answer::Locked { index: 7, below }));
    assert_eq!(bench.told.last(), Some(&Ok(Done::Ok)));
}

/// A lock that is held for a second.
fn holds(bench: &mut Bench) {
    begins(bench);
    takes_it(bench);
    bench.after(Duration::from_millis(1_100));
}

fn server(bench: &mut Bench, node: &str) {
    let (look, _) = bench.take("look at the agent", is_agent);
    let agent = AgentRow {
        node: node.to_owned(),
        server_among_others: true,
    };
    bench.answer(look, Ok(Answer::Agent(Some(agent))));
}

fn session_on(bench: &mut Bench, node: &str) {
    let (describe, _) = bench.take(
        "describe its session",
        |request| matches!(request, Request::DescribeSession { session: id } if *id == session()),
    );
    let row = SessionRow {
        name: "consul_lock".to_owned(),
        node: node.to_owned(),
        ttl: None,
    };
    bench.answer(describe, Ok(Answer::Described(Some(row))));
}

#[test]
fn a_node_that_is_missing_is_made_once_and_the_session_then() {
    let mut bench = Bench::with(locks());
    begins(&mut bench);
    let (create, request) = bench.take("make a session", is_create);
    assert!(
        matches!(request, Request::CreateSession { node: Some(node), .. } if &*node == "locks")
    );
    bench.answer(create, Ok(Answer::NoNode));
    let (register, _) = bench.take("make the node", is_register);
    bench.answer(register, Ok(Answer::Registered));
    takes_it(&mut bench);
}

#[test]
fn a_node_that_does_not_stay_is_unavailable_and_not_made_in_a_loop() {
    let mut bench = Bench::with(locks());
    begins(&mut bench);
    for _ in 0..2 {
        let (create, _) = bench.take("make a session", is_create);
        bench.answer(create, Ok(Answer::NoNode));
        if bench.told.is_empty() {
            let (register, _) = bench.take("make the node", is_register);
            bench.answer(register, Ok(Answer::Registered));
        }
    }
    let told = bench.told.first().expect("an outcome").clone();
    let error = told.expect_err("no session");
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(bench.asked.is_empty() && bench.core.is_idle());
}

#[test]
fn who_may_not_make_the_node_is_told_how() {
    let mut bench = Bench::with(locks());
    begins(&mut bench);
    let (create, _) = bench.take("make a session", is_create);
    bench.answer(create, Ok(Answer::NoNode));
    let (register, _) = bench.take("make the node", is_register);
    let denied = Error::new(Status::Denied, "needs node:write");
    bench.answer(register, Err(Fault::Final(denied)));
    let told = bench.told.first().expect("an outcome").clone();
    let error = told.expect_err("no session");
    assert_eq!(error.status, Status::Denied);
    for part in ["needs node:write", "\"locks\"", "once: curl -X PUT"] {
        assert!(error.message.contains(part), "{error}");
    }
    assert!(bench.core.is_idle());
}

#[test]
fn a_server_with_our_session_is_told_once() {
    let mut bench = Bench::new();
    begins(&mut bench);
    takes_it(&mut bench);
    bench.after(Duration::from_millis(900));
    assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
    bench.after(Duration::from_millis(200));
    server(&mut bench, "server-1");
    session_on(&mut bench, "server-1");
    let [line] = &bench.logged[..] else {
        panic!("one line, not {:?}", bench.logged);
    };
    for part in ["\"server-1\"", "session_node", "leave_on_terminate"] {
        assert!(line.contains(part), "{line}");
    }
    bench.after(Duration::from_secs(2));
    assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
}

#[test]
fn what_stands_on_no_server_is_not_told_of() {
    let client = AgentRow {
        node: "client".to_owned(),
        server_among_others: false,
    };
    // A client agent; an agent that the token may not ask; an agent with an unknown answer.
    for answer in [
        Ok(Answer::Agent(Some(client))),
        Ok(Answer::Agent(None)),
        Err(Fault::Final(Error::new(Status::Rejected, "404"))),
    ] {
        let mut bench = Bench::new();
        holds(&mut bench);
        let (look, _) = bench.take("look at the agent", is_agent);
        bench.answer(look, answer);
        bench.after(Duration::from_secs(2));
        assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
        assert!(bench.logged.is_empty(), "{:?}", bench.logged);
    }
    // Behind a load balancer the session may be bound to another agent.
    let mut bench = Bench::new();
    holds(&mut bench);
    server(&mut bench, "server-1");
    session_on(&mut bench, "client");
    assert!(bench.logged.is_empty(), "{:?}", bench.logged);
}

#[test]
fn a_look_that_is_not_answered_ends_and_owes_nothing() {
    let mut bench = Bench::new();
    holds(&mut bench);
    assert!(bench.asked.iter().any(|(_, request)| is_agent(request)));
    bench.after(Duration::from_millis(4_900));
    assert!(bench.asked.iter().any(|(_, request)| is_agent(request)));
    bench.after(Duration::from_millis(200));
    assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
    // A look under way does not keep the core busy, and a drain ends it.
    let mut bench = Bench::new();
    holds(&mut bench);
    bench.calls(2, Call::LetGo);
    assert!(bench.core.is_idle());
    bench.step(Input::Drain);
    assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
    // A lock that is given back at once begins no look.
    let mut bench = Bench::new();
    begins(&mut bench);
    takes_it(&mut bench);
    bench.calls(2, Call::LetGo);
    bench.after(Duration::from_secs(2));
    assert!(!bench.asked.iter().any(|(_, request)| is_agent(request)));
}

#[test]
fn a_node_that_an_agent_may_own_is_told_once() {
    let rows = [Some(false), Some(true), None];
    for external in rows {
        let mut bench = Bench::with(locks());
        holds(&mut bench);
        let (look, _) = bench.take(
            "look at the node",
            |request| matches!(request, Request::DescribeNode { node } if &**node == "locks"),
        );
        let row = external.map(|external| NodeRow { external });
        bench.answer(look, Ok(Answer::Node(row)));
        let told = bench
            .logged
            .iter()
            .filter(|line| line.contains("external-node"));
        assert_eq!(told.count(), usize::from(external == Some(false)));
    }
}
