//! The connection against small servers that misbehave in one way each.

mod replies;
mod requests;

use super::*;
use crate::consul::address::{Address, Destination};
use crate::consul::connect::Endpoint;
use crate::consul::credentials::CredentialSettings;
use crate::consul::http::Method;
use crate::consul::secrets::Secret;
use crate::sys;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        addresses: vec![Address::parse(&format!("127.0.0.1:{port}")).unwrap()],
        origin: "a test".to_owned(),
        tls: None,
        credentials: CredentialSettings {
            token: Some(Secret("hunter2".to_owned())),
            ..CredentialSettings::default()
        },
        proxy: None,
        connect_timeout: Duration::from_secs(2),
    }
}

fn open(endpoint: Endpoint) -> Wire {
    Wire::new(&Route::new(endpoint))
}

fn not_sent(why: &str) -> Failure {
    Failure::NotSent(why.to_owned())
}

fn unknown(why: &str) -> Failure {
    Failure::Unknown(why.to_owned())
}

fn get(target: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        target: target.to_owned(),
        body: None,
    }
}

fn put(body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: Method::Put,
        target: "/v1/txn".to_owned(),
        body: Some(body.to_vec()),
    }
}

fn soon() -> Time {
    Time::now() + Duration::from_secs(10)
}

fn ask(wire: &mut Wire, request: &HttpRequest) -> Exchange {
    wire.perform(request, soon(), &Interrupt::default())
}

fn is_not_sent(exchange: &Exchange) {
    let result = &exchange.result;
    assert!(matches!(result, Err(Failure::NotSent(_))), "{exchange:?}");
    assert_eq!(exchange.sent, None);
}

/// It took at least `ms` milliseconds, and not for ever.
fn took_about(ms: u64, begun: Instant) {
    let (took, most) = (begun.elapsed(), Duration::from_secs(20));
    assert!(took >= Duration::from_millis(ms) && took < most, "{took:?}");
}

/// Serves connections one after the other with `serve`.
fn server(serve: impl Fn(usize, BufReader<TcpStream>) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            serve(number, BufReader::new(socket.unwrap()));
        }
    });
    port
}

/// Reads one request: its head, and its body by its Content-Length.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some((head, body))
}

/// Answers every request on a connection with `reply`.
fn answering(reply: &'static str, seen: mpsc::Sender<(usize, String, Vec<u8>)>) -> u16 {
    server(move |number, mut reader| {
        while let Some((head, body)) = read_request(&mut reader) {
            let _ = seen.send((number, head, body));
            reader.get_mut().write_all(reply.as_bytes()).unwrap();
        }
    })
}

const OK: &str = "HTTP/1.1 200 OK\r\nX-Consul-Index: 42\r\nContent-Length: 4\r\n\r\ntrue";

#[test]
fn one_connection_serves_many_requests() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    assert!(!wire.is_open());
    for _ in 0..3 {
        let before = Time::now();
        let exchange = ask(&mut wire, &put(b"[]"));
        let expected = HttpReply {
            status: 200,
            index: Some(42),
            body: b"true".to_vec(),
            secrets: Secrets::default(),
        };
        assert_eq!(exchange.result, Ok(expected));
        assert!(exchange.sent.unwrap() >= before && exchange.sent.unwrap() <= Time::now());
        assert!(wire.is_open());
    }
    for _ in 0..3 {
        let (connection, head, body) = requests.recv().unwrap();
        assert_eq!(connection, 0);
        assert!(head.starts_with("PUT /v1/txn HTTP/1.1\r\n"), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("\r\nx-consul-token: hunter2\r\n"), "{head}");
        assert!(head.contains("\r\nuser-agent: libconsul_lock/"), "{head}");
        assert!(
            !head.contains("accept-encoding") && !head.contains("transfer-encoding"),
            "{head}"
        );
        assert_eq!(body, b"[]");
    }
}

#[test]
fn a_put_without_a_body_has_a_length_all_the_same() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    ask(&mut wire, &put(b"")).result.unwrap();
    let (_, head, _) = requests.recv().unwrap();
    assert!(
        head.to_lowercase().contains("\r\ncontent-length: 0\r\n"),
        "{head}"
    );
}

#[test]
fn a_large_body_arrives_whole() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    let body: Vec<u8> = (0..520_000_u32).map(|i| (i % 251) as u8).collect();
    ask(&mut wire, &put(&body)).result.unwrap();
    assert_eq!(requests.recv().unwrap().2, body);
}

#[test]
fn errors_and_redirects_are_replies() {
    for (reply, status, body) in [
        (
            "HTTP/1.1 500 X\r\nContent-Length: 17\r\n\r\nNo cluster leader",
            500,
            "No cluster leader",
        ),
        (
            "HTTP/1.1 301 X\r\nLocation: /v1/x\r\nContent-Length: 0\r\n\r\n",
            301,
            "",
        ),
        ("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", 404, ""),
        (
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            200,
            "abcde",
        ),
    ] {
        let mut wire = open(endpoint(answering(reply, mpsc::channel().0)));
        for _ in 0..2 {
            let exchange = ask(&mut wire, &get("/v1/kv/k"));
            let reply = exchange.result.expect("a reply");
            assert_eq!((reply.status, reply.index), (status, None));
            assert_eq!(reply.body, body.as_bytes());
            // Errors show only the reply that is no success.
            let quoted = "hunter2 that was sent";
            let hides = reply.secrets.hide(None, quoted) != quoted;
            assert_eq!(hides, status != 200);
        }
    }
}

#[test]
fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut wire = open(endpoint(port));
    let exchange = ask(&mut wire, &put(b"[]"));
    is_not_sent(&exchange);
}

#[test]
fn an_answer_that_is_cut_off_is_unknown() {
    for half in [
        "",
        "HTTP/1.1 200 OK\r\nConte",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntrue",
    ] {
        let port = server(move |_, mut reader| {
            let _ = read_request(&mut reader);
            reader.get_mut().write_all(half.as_bytes()).unwrap();
        });
        let mut wire = open(endpoint(port));
        let exchange = ask(&mut wire, &put(b"[]"));
        assert!(exchange.sent.is_some());
        assert!(
            matches!(exchange.result, Err(Failure::Unknown(_))),
            "{half:?}: {exchange:?}"
        );
        assert!(!wire.is_open());
    }
}

/// A middlebox says everything twice: the copy never passes for the answer to the next request.
#[test]
fn what_stands_in_a_connection_after_an_answer_closes_it() {
    for pause in [None, Some(0), Some(20)] {
        let port = server(move |_, mut reader| {
            while let Some((head, _)) = read_request(&mut reader) {
                let target = head.split(' ').nth(1).unwrap();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                    target.len()
                );
                let Some(pause) = pause else {
                    let _ = reader.get_mut().write_all(reply.repeat(2).as_bytes());
                    continue;
                };
                let _ = reader.get_mut().write_all(reply.as_bytes());
                thread::sleep(Duration::from_millis(pause));
                let _ = reader.get_mut().write_all(reply.as_bytes());
            }
        });
        let mut wire = open(endpoint(port));
        for n in 0..5 {
            let target = format!("/v1/kv/{n}");
            let exchange = ask(&mut wire, &get(&target));
            let body = exchange.result.unwrap().body;
            assert_eq!(body, target.as_bytes(), "{pause:?}");
            thread::sleep(Duration::from_millis(100));
            assert!(!wire.is_open(), "{pause:?}");
        }
    }
}

#[test]
fn silence_ends_at_the_deadline_and_not_before() {
    let port = server(|_, mut reader| while read_request(&mut reader).is_some() {});
    let mut wire = open(endpoint(port));
    for ms in [300, 30] {
        let begun = Instant::now();
        let by = Time::now() + Duration::from_millis(ms);
        let exchange = wire.perform(&get("/v1/kv/k"), by, &Interrupt::default());
        assert_eq!(exchange.result, Err(unknown("no reply in time")));
        took_about(ms, begun);
        assert!(!wire.is_open());
    }
}

#[test]
fn another_thread_ends_a_request_at_once() {
    let (reached, waiting) = mpsc::channel();
    let port = server(move |_, mut reader| {
        while read_request(&mut reader).is_some() {
            reached.send(()).unwrap();
        }
    });
    let mut wire = open(endpoint(port));
    let interrupt = Interrupt::default();
    let begun = Instant::now();
    let exchange = thread::scope(|scope| {
        let interrupt = &interrupt;
        scope.spawn(move || {
            waiting.recv().unwrap();
            interrupt.end();
        });
        wire.perform(&get("/v1/kv/k?index=1&wait=60s"), soon(), interrupt)
    });
    assert_eq!(exchange.result, Err(unknown("interrupted")));
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Sticky: an exchange that has not begun does not begin.
    let exchange = wire.perform(&get("/v1/kv/k"), soon(), &interrupt);
    is_not_sent(&exchange);
}

/// A listener that takes no connection any more, and the connections that fill it: what comes now
/// waits for an answer to its first packet.
fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(socket);
        assert!(queue.len() < 10_000, "the listener's queue has no end");
    }
    (listener, queue)
}

#[test]
fn another_thread_ends_a_connect_at_once() {
    let (listener, _queue) = deaf();
    let mut endpoint = endpoint(listener.local_addr().unwrap().port());
    endpoint.connect_timeout = Duration::from_secs(60);
    let mut wire = open(endpoint);
    let interrupt = Interrupt::default();
    let begun = Instant::now();
    let by = Time::now() + Duration::from_secs(60);
    let exchange = thread::scope(|scope| {
        scope.spawn(|| {
            // The connect is under way when its socket is known.
            while !interrupt.has_socket() {
                assert!(begun.elapsed() < Duration::from_secs(30));
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(50));
            interrupt.end();
        });
        wire.perform(&put(b"[]"), by, &interrupt)
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(exchange.sent, None);
    assert_eq!(exchange.result, Err(not_sent("interrupted")));
    assert!(!wire.is_open());
}

#[test]
fn a_connect_ends_at_its_own_limit_and_at_the_deadline() {
    let (listener, _queue) = deaf();
    let port = listener.local_addr().unwrap().port();
    for (limit, left) in [(300, 60_000), (60_000, 300)] {
        let mut endpoint = endpoint(port);
        endpoint.connect_timeout = Duration::from_millis(limit);
        let begun = Instant::now();
        let by = Time::now() + Duration::from_millis(left);
        let exchange = open(endpoint).perform(&put(b"[]"), by, &Interrupt::default());
        assert_eq!(exchange.sent, None);
        assert_eq!(exchange.result, Err(not_sent("no connection in time")));
        took_about(300, begun);
    }
}

/// Linux ends a read of a socket with a time-out at every signal, also under SA_RESTART.
#[test]
fn signals_neither_end_a_request_nor_prolong_it() {
    let port = server(|number, mut reader| {
        while let Some((_, body)) = read_request(&mut reader) {
            if number == 0 {
                thread::sleep(Duration::from_millis(300));
                assert_eq!(body.len(), 520_000);
                reader.get_mut().write_all(OK.as_bytes()).unwrap();
            }
        }
    });
    sys::under_signals(|| {
        let mut wire = open(endpoint(port));
        for _ in 0..2 {
            let exchange = ask(&mut wire, &put(&[0; 520_000]));
            assert_eq!(exchange.result.unwrap().body, b"true");
        }
        drop(wire);
        // The second connection is never answered.
        let begun = Instant::now();
        let by = Time::now() + Duration::from_millis(300);
        let mut wire = open(endpoint(port));
        let exchange = wire.perform(&get("/v1/kv/k"), by, &Interrupt::default());
        assert_eq!(exchange.result, Err(unknown("no reply in time")));
        took_about(300, begun);
        let (listener, _queue) = deaf();
        let begun = Instant::now();
        let by = Time::now() + Duration::from_millis(300);
        let mut wire = open(endpoint(listener.local_addr().unwrap().port()));
        let exchange = wire.perform(&get("/v1/kv/k"), by, &Interrupt::default());
        assert_eq!(exchange.result, Err(not_sent("no connection in time")));
        assert!(begun.elapsed() >= Duration::from_millis(300));
    });
}

#[test]
fn a_reply_without_end_is_cut_off_and_a_long_list_is_not() {
    const SIZE: usize = 3 << 20;
    let port = server(|_, mut reader| {
        while read_request(&mut reader).is_some() {
            let socket = reader.get_mut();
            // The other end may hang up in the middle.
            let _ = write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")
                .and_then(|()| socket.write_all(&vec![b'x'; SIZE]));
        }
    });
    let mut wire = open(endpoint(port));
    let exchange = ask(&mut wire, &get("/v1/kv/k"));
    let Err(Failure::TooLarge(why)) = &exchange.result else {
        panic!("{exchange:?}");
    };
    assert!(why.contains("more than 2097152 bytes"), "{why}");
    assert!(!wire.is_open());
    let exchange = ask(&mut wire, &get("/v1/session/list"));
    assert_eq!(exchange.result.unwrap().body.len(), SIZE);
    assert!(wire.is_open());
}

#[test]
fn more_than_the_reply_is_never_taken_for_the_next_one() {
    let (seen, requests) = mpsc::channel();
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue\
                 HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse";
    let mut wire = open(endpoint(answering(twice, seen)));
    for connection in 0..2 {
        let exchange = ask(&mut wire, &put(b"[]"));
        assert_eq!(exchange.result.unwrap().body, b"true");
        assert_eq!(requests.recv().unwrap().0, connection);
        assert!(!wire.is_open());
    }
}

#[test]
fn every_address_of_a_name_is_tried() {
    let (seen, _requests) = mpsc::channel();
    let mut endpoint = endpoint(answering(OK, seen));
    // The first address of `localhost` may be ::1, where no server listens.
    if let Destination::Tcp { host, .. } = &mut endpoint.addresses[0].destination {
        *host = "localhost".to_owned();
    }
    let exchange = ask(&mut open(endpoint), &put(b"[]"));
    assert_eq!(exchange.result.unwrap().body, b"true");
}

#[test]
fn an_interrupt_that_comes_too_late_ends_nothing() {
    let mut wire = open(endpoint(answering(OK, mpsc::channel().0)));
    let interrupt = Interrupt::default();
    wire.perform(&get("/"), soon(), &interrupt).result.unwrap();
    interrupt.end();
    assert!(wire.is_open());
    ask(&mut wire, &get("/")).result.unwrap();
}

#[test]
fn a_connection_that_died_idle_is_seen_before_it_is_used() {
    let port = server(|_, mut reader| {
        let _ = read_request(&mut reader);
        reader.get_mut().write_all(OK.as_bytes()).unwrap();
    });
    let mut wire = open(endpoint(port));
    ask(&mut wire, &get("/")).result.unwrap();
    let begun = Instant::now();
    while wire.is_open() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_token_that_is_no_header_is_refused_and_not_shown() {
    let mut endpoint = endpoint(answering(OK, mpsc::channel().0));
    endpoint.credentials.token = Some(Secret("hunter2\r\nX-Evil: 1".to_owned()));
    let mut wire = open(endpoint.clone());
    let exchange = ask(&mut wire, &get("/"));
    is_not_sent(&exchange);
    assert!(!format!("{exchange:?} {wire:?} {endpoint:?}").contains("hunter2"));
}

#[test]
fn a_head_that_is_too_long_is_told_as_that() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 4\r\n\r\ntrue",
        "x".repeat(20 << 10)
    );
    let mut wire = open(endpoint(answering(long.leak(), mpsc::channel().0)));
    let exchange = ask(&mut wire, &get("/v1/kv/k"));
    let Err(Failure::Unknown(why)) = exchange.result else {
        panic!("{exchange:?}");
    };
    assert!(
        why.contains("the head of the reply has more than 16 KB"),
        "{why}"
    );
    assert!(!wire.is_open());
}

fn send_at_once(wire: &mut Wire, request: &HttpRequest) -> bool {
    wire.is_open() && wire.send_at_once(request, &Interrupt::default())
}

#[test]
fn a_request_that_is_sent_at_once_is_received_on_another_thread() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    assert!(
        !wire.send_at_once(&get("/v1/kv/k"), &Interrupt::default()),
        "it opens no connection"
    );
    ask(&mut wire, &put(b"1")).result.expect("a reply");
    for body in [b"2", b"3"] {
        let request = put(body);
        let before = Time::now();
        assert!(send_at_once(&mut wire, &request) && !wire.is_open());
        let exchange = thread::scope(|scope| {
            let received = scope.spawn(|| wire.receive(&request, soon(), &Interrupt::default()));
            received.join().unwrap()
        });
        assert!(exchange.sent.is_some_and(|sent| sent >= before));
        exchange.result.expect("a reply");
    }
    let bodies: Vec<_> = requests
        .try_iter()
        .map(|(at, _, body)| (at, body))
        .collect();
    let expected = [b"1", b"2", b"3"].map(|body| (0, body.to_vec()));
    assert_eq!(bodies, expected, "one connection, and each request once");
}

#[test]
fn what_a_connection_does_not_take_at_once_follows() {
    let (seen, requests) = mpsc::channel();
    let (go_on, stopped) = mpsc::channel::<()>();
    let port = server(move |number, mut reader| {
        while let Some((head, body)) = read_request(&mut reader) {
            let _ = seen.send((number, head, body));
            reader.get_mut().write_all(OK.as_bytes()).unwrap();
            // The library must not be able to send all of the next request.
            let _ = stopped.recv();
        }
    });
    let mut wire = open(endpoint(port));
    ask(&mut wire, &get("/v1/kv/k")).result.expect("a reply");
    // More than the buffers of both sides hold.
    let body: Vec<u8> = (0..40_000_000_u32).map(|at| (at >> 8) as u8).collect();
    let request = put(&body);
    assert!(send_at_once(&mut wire, &request) && wire.cut_at.is_some());
    go_on.send(()).unwrap();
    drop(go_on);
    let exchange = wire.receive(&request, soon(), &Interrupt::default());
    exchange.result.expect("a reply");
    let last = requests.iter().nth(1).unwrap();
    assert!(
        last.0 == 0 && last.2 == body,
        "the same connection, every byte once"
    );
    ask(&mut wire, &put(b"small")).result.expect("a reply");
    assert_eq!(requests.recv().unwrap().2, b"small");
}

#[test]
fn a_full_connection_takes_nothing_and_serves_no_more() {
    let port = server(|_, mut reader| {
        read_request(&mut reader);
        reader.get_mut().write_all(OK.as_bytes()).unwrap();
        thread::sleep(Duration::from_secs(5));
    });
    let mut wire = open(endpoint(port));
    ask(&mut wire, &get("/v1/kv/k")).result.expect("a reply");
    let socket = wire.open.as_ref().unwrap().stream.socket().clone();
    while sys::send_at_once(&socket, &[b' '; 4096]).is_ok() {}
    let begun = Instant::now();
    assert!(!send_at_once(&mut wire, &put(b"[]")));
    assert!(begun.elapsed() < Duration::from_secs(2) && !wire.is_open());
}

#[test]
fn an_interrupt_between_sending_and_receiving_ends_the_request() {
    let (reached, waiting) = mpsc::channel();
    let port = server(move |_, mut reader| {
        while let Some((head, _)) = read_request(&mut reader) {
            if head.starts_with("GET") {
                reader.get_mut().write_all(OK.as_bytes()).unwrap();
            } else {
                reached.send(()).unwrap();
            }
        }
    });
    let mut wire = open(endpoint(port));
    ask(&mut wire, &get("/v1/kv/k")).result.expect("a reply");
    let interrupt = Interrupt::default();
    assert!(wire.is_open() && wire.send_at_once(&put(b"[]"), &interrupt));
    waiting.recv().unwrap();
    interrupt.end();
    let begun = Instant::now();
    let exchange = wire.receive(&put(b"[]"), soon(), &interrupt);
    assert!(exchange.sent.is_some() && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(exchange.result, Err(unknown("interrupted")));
    ask(&mut wire, &get("/v1/kv/k")).result.expect("a reply");
    // An interrupt that came before leaves nothing to receive.
    assert!(wire.is_open() && !wire.send_at_once(&put(b"[]"), &interrupt));
    assert!(waiting.try_recv().is_err());
}
