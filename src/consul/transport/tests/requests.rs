//! Requests in bytes, and a request that is sent by one thread while another receives its reply.

use super::*;

/// The head of the request that is sent to this address.
fn written(address: &str, request: &HttpRequest, credentials: CredentialSettings) -> String {
    let endpoint = Endpoint {
        addresses: vec![Address::parse(address).unwrap()],
        credentials,
        ..endpoint(1)
    };
    let route = Route::new(endpoint);
    let mut output = Output::default();
    let token = route.credentials().token();
    // The second request has the lines of the first.
    for _ in 0..2 {
        output.write(request, &route, 0, &token).unwrap();
        assert!(output.bytes().len() <= output.longest(request, route.prefix(0)));
    }
    String::from_utf8(output.bytes().to_vec()).unwrap()
}

#[test]
fn a_request_is_these_bytes() {
    let agent = concat!("User-Agent: libconsul_lock/", env!("CARGO_PKG_VERSION"));
    let none = CredentialSettings::default();
    for (address, host, prefix) in [
        ("a.example:8500", "a.example:8500", ""),
        ("http://a", "a:80", ""),
        ("https://a/consul/x/", "a:443", "/consul/x"),
        ("[::1]:8500", "[::1]:8500", ""),
        ("[fe80::1%eth0]:8500", "[fe80::1]:8500", ""),
        ("unix:///run/consul.sock", "localhost", ""),
    ] {
        assert_eq!(
            written(address, &get("/v1/kv/a%20b?index=1"), none.clone()),
            format!("GET {prefix}/v1/kv/a%20b?index=1 HTTP/1.1\r\nHost: {host}\r\n{agent}\r\n\r\n")
        );
    }
    let both = CredentialSettings {
        token: Some(Secret("hunter2".to_owned())),
        basic: Some(Secret("user:pass".to_owned())),
        ..none.clone()
    };
    let lines = "X-Consul-Token: hunter2\r\nAuthorization: Basic dXNlcjpwYXNz\r\n";
    assert_eq!(
        written("a:1", &put(b"[\"x\"]"), both),
        format!(
            "PUT /v1/txn HTTP/1.1\r\nHost: a:1\r\n{agent}\r\n{lines}\
             Content-Type: application/json\r\nContent-Length: 5\r\n\r\n[\"x\"]"
        )
    );
    for empty in [None, Some(Vec::new())] {
        let request = HttpRequest {
            body: empty,
            ..put(b"")
        };
        let text = written("a:1", &request, none.clone());
        assert!(text.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{text:?}");
    }
}

#[test]
fn a_path_that_ends_the_line_is_refused_and_nothing_is_sent() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    ask(&mut wire, &get("/v1/kv/k")).result.unwrap();
    for target in [
        "",
        "v1/kv/k",
        "/v1/kv/a b",
        "/v1/kv/a\r\nX-Evil: 1",
        "/v1/kv/a\n",
        "/v1/kv/a\0",
        "/v1/kv/a\tb",
        "/v1/kv/a\u{7f}",
        "/v1/kv/\u{e9}",
        "/v1/kv/a#b",
    ] {
        let exchange = ask(&mut wire, &get(target));
        let why =
            "the request cannot be sent: its path has a character that must be percent-encoded";
        assert_eq!(exchange.result, Err(not_sent(why)), "{target:?}");
        assert_eq!(exchange.sent, None);
    }
    assert!(wire.is_open());
    ask(&mut wire, &get("/v1/kv/k")).result.unwrap();
    let heads: Vec<_> = requests.try_iter().collect();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads.iter().all(|(connection, ..)| *connection == 0));
}

#[test]
fn neither_a_token_nor_a_value_is_in_what_a_wire_shows_of_itself() {
    let mut wire = open(endpoint(answering(OK, mpsc::channel().0)));
    ask(&mut wire, &put(b"m4rk")).result.unwrap();
    let shown = format!("{wire:?} {wire:#?}");
    assert!(wire.is_open() && shown.contains("127.0.0.1"));
    for (plain, numbers) in [("hunter2", "104, 117, 110"), ("m4rk", "109, 52, 114")] {
        assert!(
            !shown.contains(plain) && !shown.contains(numbers),
            "{shown}"
        );
    }
}

#[test]
fn a_large_request_leaves_no_memory_behind() {
    let mut wire = open(endpoint(answering(OK, mpsc::channel().0)));
    ask(&mut wire, &put(&[b'x'; 520_000])).result.unwrap();
    let output = &wire.output;
    let memory = output.memory() + wire.input.memory();
    assert!(memory < 10_000, "{memory}");
}

#[test]
fn one_thread_sends_and_another_receives() {
    let (seen, requests) = mpsc::channel();
    let mut wire = open(endpoint(answering(OK, seen)));
    let interrupt = Interrupt::default();
    for _ in 0..3 {
        let request = put(b"[]");
        let before = Time::now();
        wire.send(&request, soon(), &interrupt).unwrap();
        assert!(interrupt.has_socket());
        assert!(!wire.is_open(), "a reply is to come");
        let (wire, interrupt) = (&mut wire, &interrupt);
        let exchange = thread::scope(|scope| {
            let receives = scope.spawn(|| wire.receive(&request, soon(), interrupt));
            receives.join().unwrap()
        });
        assert_eq!(exchange.result.unwrap().body, b"true");
        assert!(exchange.sent.unwrap() >= before);
        assert!(!interrupt.has_socket());
        assert!(wire.is_open());
    }
    assert!(requests.try_iter().all(|(connection, ..)| connection == 0));
}

#[test]
fn a_reply_that_nothing_received_answers_no_other_request() {
    // The path is the answer.
    let (seen, connections) = mpsc::channel();
    let port = server(move |number, mut reader| {
        while let Some((head, _)) = read_request(&mut reader) {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let length = target.len();
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
            reader.get_mut().write_all(reply.as_bytes()).unwrap();
            seen.send(number).unwrap();
        }
    });
    let mut wire = open(endpoint(port));
    let first = Interrupt::default();
    wire.send(&get("/first"), soon(), &first).unwrap();
    assert_eq!(connections.recv().unwrap(), 0);
    let exchange = ask(&mut wire, &get("/second"));
    assert_eq!(exchange.result.unwrap().body, b"/second");
    // The server served the second connection, so the first one was closed, although `first` had its socket.
    assert_eq!(connections.recv().unwrap(), 1);
    assert!(first.has_socket());
    // The end of the first exchange ends nothing of the second.
    first.end();
    assert!(wire.is_open());
    // The same without another request.
    wire.send(&get("/third"), soon(), &Interrupt::default())
        .unwrap();
    let third = Interrupt::default();
    wire.send(&get("/fourth"), soon(), &third).unwrap();
    drop(wire);
    let mut other = open(endpoint(port));
    ask(&mut other, &get("/fifth")).result.unwrap();
}

#[test]
fn nothing_is_received_where_nothing_was_sent() {
    let mut wire = open(endpoint(answering(OK, mpsc::channel().0)));
    let interrupt = Interrupt::default();
    is_not_sent(&wire.receive(&get("/"), soon(), &interrupt));
    ask(&mut wire, &get("/")).result.unwrap();
    is_not_sent(&wire.receive(&get("/"), soon(), &interrupt));
    assert!(wire.is_open());
}

#[test]
fn another_thread_ends_an_exchange_between_its_halves() {
    let mut wire = open(endpoint(answering(OK, mpsc::channel().0)));
    ask(&mut wire, &get("/")).result.unwrap();
    let port = server(|_, mut reader| while read_request(&mut reader).is_some() {});
    let mut wire = open(endpoint(port));
    let interrupt = Interrupt::default();
    wire.send(&get("/"), soon(), &interrupt).unwrap();
    interrupt.end();
    let exchange = wire.receive(&get("/"), soon(), &interrupt);
    assert_eq!(exchange.result, Err(unknown("interrupted")));
    assert!(exchange.sent.is_some() && !wire.is_open());
}

/// Only [`Wire::is_open`] makes the look before a request needless, and for one request.
#[test]
fn a_request_looks_at_its_connection_first() {
    let port = server(|_, mut reader| {
        while let Some((head, _)) = read_request(&mut reader) {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let length = target.len();
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
            let _ = reader.get_mut().write_all(reply.as_bytes());
            thread::sleep(Duration::from_millis(20));
            let _ = reader.get_mut().write_all(reply.as_bytes());
        }
    });
    let mut wire = open(endpoint(port));
    assert!(!wire.is_open());
    for n in 0..5 {
        let target = format!("/v1/kv/{n}");
        let exchange = ask(&mut wire, &get(&target));
        assert_eq!(exchange.result.unwrap().body, target.as_bytes());
        thread::sleep(Duration::from_millis(100));
    }
}
