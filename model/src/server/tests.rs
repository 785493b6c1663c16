//! What no client can see: the queries of clients that have gone.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::*;

fn server() -> Server {
    let settings = Settings {
        edition: Edition::V1_22,
        node: "node".to_owned(),
        speed: 1,
        seed: 1,
    };
    Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), &settings).unwrap()
}

/// Serves until something is so.
fn until(server: &mut Server, is_so: impl Fn(&Server) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut events = Events::with_capacity(16);
    while !is_so(server) {
        assert!(Instant::now() < deadline, "never so");
        assert!(server.turn(&mut events, Duration::from_millis(50)).unwrap());
    }
}

fn waiting(server: &Server, count: usize) -> Vec<TcpStream> {
    let query = b"GET /v1/kv/a?index=100&wait=10m HTTP/1.1\r\n\r\n";
    let connect = |_| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(query).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

#[test]
fn the_query_of_a_client_that_closes_its_connection_is_forgotten() {
    let mut server = server();
    let mut clients = waiting(&server, 10);
    until(&mut server, |server| server.model.parked() == 10);
    // One in an orderly way, one that only says that it has ended, one with a request behind the query.
    drop(clients.pop());
    clients.pop().unwrap().shutdown(Shutdown::Write).unwrap();
    let mut last = clients.pop().unwrap();
    last.write_all(b"GET /v1/kv/b HTTP/1.1\r\n\r\n").unwrap();
    drop(last);
    until(&mut server, |server| server.model.parked() == 7);
    assert_eq!(server.connections.len(), 7);
    assert_eq!(server.parked.len(), 7);
    drop(clients);
    until(&mut server, |server| server.connections.is_empty());
    assert_eq!(server.model.parked(), 0);
}

/// The client sends a body that is too large, to its end, and reads only then.
#[test]
fn a_client_that_still_sends_gets_the_last_answer() {
    let mut server = server();
    let address = server.address();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"PUT /v1/kv/big HTTP/1.1\r\nContent-Length: 6000000\r\n\r\n")
            .unwrap();
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(2));
            stream.write_all(&[b'x'; 100_000]).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    until(&mut server, |_| client.is_finished());
    assert!(client.join().unwrap().starts_with("HTTP/1.1 413 "));
    until(&mut server, |server| server.connections.is_empty());
}

/// The client reads the answers only when all is sent; behind a query that waits, nothing is read but the first bytes.
#[test]
fn a_client_that_sends_far_ahead_is_slowed_down() {
    let mut server = server();
    let address = server.address();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let query = b"GET /v1/kv/none?index=100&wait=500ms HTTP/1.1\r\n\r\n";
        stream.write_all(query).unwrap();
        for number in 0..60 {
            let head = format!("PUT /v1/kv/{number} HTTP/1.1\r\nContent-Length: 400000\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&[b'x'; 400_000]).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    });
    until(&mut server, |server| {
        server.connections.values().any(Connection::is_held_up)
    });
    assert_eq!(server.model.parked(), 1);
    until(&mut server, |_| client.is_finished());
    let answers = client.join().unwrap();
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 60);
    until(&mut server, |server| server.connections.is_empty());
}

/// A client that never ends its side is not kept for ever.
#[test]
fn a_connection_ends_some_time_after_its_last_answer() {
    let mut server = server();
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.write_all(b"BAD\r\n\r\n").unwrap();
    until(&mut server, |server| !server.lingering.is_empty());
    assert_eq!(server.connections.len(), 1);
    until(&mut server, |server| server.connections.is_empty());
    assert!(server.lingering.is_empty());
}

#[test]
fn a_stopper_ends_the_server() {
    let mut server = server();
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run(Duration::from_secs(60), || true));
    stopper.stop().unwrap();
    thread.join().unwrap().unwrap();
}
