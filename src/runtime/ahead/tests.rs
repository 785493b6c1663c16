//! Requests that leave before a worker runs. A worker that the test counts, and that does not run yet, stands for one that
//! wakes late.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::*;
use crate::callbacks::Completion;
use crate::core::{Call, Done, Outcome};
use crate::error::Status;
use crate::lockorder::{Mutex, Rank};
use crate::runtime::Handle;
use crate::runtime::ask::Query;
use crate::runtime::tests::{acquire, runtime_at, until};
use crate::sys;

const SOON: Duration = Duration::from_secs(20);

/// The answer to a question for the holder of a key: the key does not exist.
const FREE: &str = "HTTP/1.1 404 Not Found\r\nX-Consul-Index: 7\r\nContent-Length: 0\r\n\r\n";

/// What a test asks to open a connection, and the answer.
const HELLO: (&str, &str) = (
    "/v1/status/leader",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\"\"",
);

/// Where the caller's part of a call has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Begin,
    Sent,
}

thread_local! {
    /// Where this thread panics next.
    static PANIC_AT: Cell<Option<Part>> = const { Cell::new(None) };
}

/// Panics, if a test wants that.
pub(super) fn reached(part: Part) {
    if PANIC_AT.get() == Some(part) {
        PANIC_AT.set(None);
        panic!("on purpose");
    }
}

/// A server that answers all other requests when the test sends the answer.
struct Server {
    port: u16,
    requests: Receiver<String>,
    reply: Sender<&'static str>,
}

fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, requests) = channel();
    let (reply, replies) = channel();
    let replies = Arc::new(Mutex::new(Rank::Leaf, replies));
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (seen, replies) = (seen.clone(), replies.clone());
            thread::spawn(move || serve(socket.unwrap(), &seen, &replies));
        }
    });
    Server {
        port,
        requests,
        reply,
    }
}

fn serve(socket: TcpStream, seen: &Sender<String>, replies: &Mutex<Receiver<&'static str>>) {
    let mut reader = BufReader::new(socket);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name == "Content-Length").then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let answer = if head.contains(HELLO.0) {
            HELLO.1
        } else {
            let _ = seen.send(head);
            match replies.lock().recv() {
                Ok(answer) => answer,
                Err(_) => return,
            }
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

impl Server {
    /// The library has sent a request.
    fn has_a_request(&self) {
        self.requests.recv_timeout(SOON).expect("it left");
    }

    /// Answers one request: now, or when it comes.
    fn answers(&self) {
        self.reply.send(FREE).unwrap();
    }
}

/// A client with an open connection and with a worker that does not run.
fn asleep() -> (Server, Arc<Runtime>) {
    let server = server();
    let runtime = runtime_at(server.port);
    connect(&runtime);
    sleeper(&runtime);
    (server, runtime)
}

/// The same, after a question whose request has left.
fn halfway() -> (Server, Arc<Runtime>, Receiver<Outcome>) {
    let (server, runtime) = asleep();
    let outcome = ask(&runtime, "k");
    // No worker has run, and Consul has the request.
    server.has_a_request();
    (server, runtime, outcome)
}

/// The call ends well.
fn is_told(outcome: &Receiver<Outcome>) {
    outcome.recv_timeout(SOON).unwrap().expect("an answer");
}

/// A worker comes, and receives the answer. The connection is free for the next request.
fn ends_well(server: &Server, runtime: &Arc<Runtime>, outcome: &Receiver<Outcome>) {
    server.answers();
    wake(runtime);
    is_told(outcome);
    until("the connection is free again", || runtime.wires.has_idle());
}

/// Makes an open connection, which waits for its next request.
fn connect(runtime: &Runtime) {
    runtime.ask_directly(&Query::Get(HELLO.0), SOON).unwrap();
    assert!(runtime.wires.has_idle());
}

/// Asks for the holder of a key, as an event loop does.
fn ask(runtime: &Runtime, key: &str) -> Receiver<Outcome> {
    let (told, outcome) = channel();
    let done: Completion<Done> = Completion::prompt(move |outcome| {
        let _ = told.send(outcome);
    });
    runtime.who_start(key.into(), done).unwrap();
    outcome
}

/// A worker that is there and does not run.
fn sleeper(runtime: &Runtime) {
    runtime.workers.team(Lane::Make).add_sleeper();
}

/// The worker begins to run.
fn wake(runtime: &Arc<Runtime>) {
    let runtime = runtime.clone();
    thread::spawn(move || runtime.work_as_sleeper());
}

#[test]
fn a_request_leaves_before_a_worker_runs() {
    let (server, runtime, outcome) = halfway();
    assert!(outcome.try_recv().is_err() && !runtime.wires.has_idle());
    ends_well(&server, &runtime, &outcome);
    assert_eq!(runtime.wires.connections().peak(), 1);
}

#[test]
fn a_worker_that_comes_sooner_receives_the_answer() {
    let (server, runtime) = asleep();
    let first = ask(&runtime, "a");
    server.has_a_request();
    // The worker that waits is the first one's, so the second request gets another one, which first receives.
    let second = ask(&runtime, "b");
    assert_eq!(runtime.workers.threads(), 2);
    server.answers();
    is_told(&first);
    wake(&runtime);
    server.has_a_request();
    server.answers();
    is_told(&second);
    until("no worker is lost", || {
        runtime.workers.team(Lane::Make).idle_threads() == 2
    });
}

#[test]
fn a_cancel_ends_what_was_sent_and_has_no_receiver_yet() {
    let (server, runtime) = asleep();
    let (id, _shown) = runtime.new_lock();
    let (told, outcome) = channel();
    let done = Completion::prompt(move |outcome| {
        let _ = told.send(outcome);
    });
    runtime.start(id, acquire(), done).expect("it starts");
    server.has_a_request();
    runtime.call(id, Call::Cancel).expect("it is cancelled");
    let error = outcome.recv_timeout(SOON).unwrap().expect_err("cancelled");
    assert_eq!(error.status, Status::Cancelled, "{error}");
    wake(&runtime);
    until("the worker is free again", || {
        runtime.workers.team(Lane::Make).idle_threads() == 1
    });
    // The cancel has closed the connection: the reply of the old request must not answer a new one.
    assert!(!runtime.wires.has_idle());
}

/// An interpreter may end a thread of its own as soon as the call has returned.
#[test]
fn a_caller_whose_thread_ends_gets_its_answer() {
    let (server, runtime) = asleep();
    let outcome = thread::scope(|scope| scope.spawn(|| ask(&runtime, "k")).join().unwrap());
    server.has_a_request();
    ends_well(&server, &runtime, &outcome);
}

/// The child has the job of its parent, its connection and the handle of its client.
#[test]
fn a_fork_between_the_halves_leaves_the_request_to_the_parent() {
    let (server, runtime, outcome) = halfway();
    let mut handle = Some(Handle::new(&runtime));
    let child_did_well = sys::in_child(|| {
        // The child frees what it can free of its parent's, and works with a connection of its own.
        drop(handle.take());
        let own = runtime_at(server.port);
        own.ask_directly(&Query::Get(HELLO.0), SOON).is_ok() && own.wires.has_idle()
    });
    assert!(child_did_well);
    assert!(outcome.try_recv().is_err());
    ends_well(&server, &runtime, &outcome);
    assert_eq!(runtime.wires.connections().peak(), 1);
}

/// The host notices nothing: a question whose fate is unknown is asked again, by a worker.
#[test]
fn a_panic_of_the_caller_leaves_nothing_reserved_and_the_question_to_a_worker() {
    for at in [Part::Begin, Part::Sent] {
        let (server, runtime) = asleep();
        PANIC_AT.set(Some(at));
        let outcome = ask(&runtime, "k");
        assert_eq!(PANIC_AT.get(), None, "{at:?} was reached");
        let team = runtime.workers.team(Lane::Make);
        assert_eq!(team.idle_threads(), 1, "{at:?}");
        assert!(outcome.try_recv().is_err(), "{at:?}");
        // What was sent without a receiver has closed its connection, so its answer meets no other request.
        let is_open = runtime.wires.connections().open() == 1;
        assert_eq!(is_open, at == Part::Begin, "{at:?}");
        if at == Part::Sent {
            server.has_a_request();
            server.answers();
        }
        server.answers();
        wake(&runtime);
        is_told(&outcome);
        server.has_a_request();
        until("the worker is free again", || team.idle_threads() == 1);
    }
}

#[test]
fn a_client_that_is_left_waits_for_what_was_sent() {
    let (server, runtime, outcome) = halfway();
    runtime.leave();
    server.answers();
    wake(&runtime);
    is_told(&outcome);
    until("all threads end", || Arc::strong_count(&runtime) == 1);
}

#[test]
fn without_an_open_connection_the_worker_does_all() {
    let server = server();
    let runtime = runtime_at(server.port);
    sleeper(&runtime);
    let outcome = ask(&runtime, "k");
    assert!(
        server
            .requests
            .recv_timeout(Duration::from_millis(200))
            .is_err(),
        "the caller opens no connection"
    );
    server.answers();
    wake(&runtime);
    is_told(&outcome);
}

#[test]
fn a_connection_that_died_is_not_used() {
    let server = server();
    let runtime = runtime_at(server.port);
    connect(&runtime);
    let used = runtime.wires.take_open(Lane::Make);
    let mut used = used.expect("a connection");
    // The library's own end stands for a server that closes: the next look finds the end of the connection.
    used.wire().unwrap().break_off();
    used.put();
    sleeper(&runtime);
    let outcome = ask(&runtime, "k");
    assert!(!runtime.wires.has_idle(), "the look has closed it");
    server.answers();
    wake(&runtime);
    outcome
        .recv_timeout(SOON)
        .unwrap()
        .expect("an answer, by another connection");
    assert_eq!(runtime.wires.connections().peak(), 1);
}

#[test]
fn a_large_value_is_the_workers() {
    let large = |length: usize| Request::Write {
        rows: vec!["k".into()],
        session: crate::core::messages::SessionId("s".into()),
        key: "data".into(),
        value: Some(crate::core::messages::Value(Arc::new(vec![b'v'; length]))),
    };
    let server = server();
    let runtime = runtime_at(server.port);
    connect(&runtime);
    let job = |request| RequestJob {
        id: crate::core::RequestId(1),
        request,
        by: crate::clock::Time::now() + SOON,
        lane: Lane::Keep,
        lock: None,
        interrupt: crate::consul::interrupt::Interrupt::default(),
        ahead: None,
    };
    // Both longer than a request may be: the first is not even encoded, the second one is.
    for length in [LONGEST + 1, LONGEST - 100] {
        assert!(runtime.send_ahead(&job(large(length))).is_none());
        assert!(
            runtime.wires.has_idle(),
            "the connection is as good as before"
        );
    }
    assert!(runtime.send_ahead(&job(large(LONGEST / 2))).is_some());
}
