//! `consul-lock dev`, as a process and over its socket. What it says is compared with a real Consul in
//! `tests/sim/differential.rs`.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::support::http::{Message, exchange};
use crate::support::prelude::*;

const LIMIT: Duration = Duration::from_secs(20);
const HEADER: &str = "X-Consul-Lock-Dev";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consul-lock"));
    command.arg("dev").args(args);
    command
}

/// A server that is ready, and its address.
fn start(args: &[&str]) -> (Running, String) {
    let running = Running::start(&mut command(args));
    running.prints("\n");
    let said = running.stdout();
    let address = said.trim().strip_prefix("CONSUL_HTTP_ADDR=").expect(&said);
    (running, address.to_owned())
}

fn ask(address: &str, method: &str, target: &str, body: &str) -> Message {
    exchange(address, method, target, &[], body, LIMIT).expect("an answer")
}

fn words(reply: &Message) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
}

/// A blocking query that waits on its connection.
fn blocked(address: &str, target: &str) -> TcpStream {
    let mut stream = connect(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

fn open_files(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux");
    files.count()
}

#[test]
fn the_line_names_the_address_when_the_server_answers() {
    let (_running, address) = start(&[]);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert_eq!(ask(&address, "GET", "/v1/kv/none", "").status(), 404);
    let running = Running::start(&mut command(&["--json"]));
    running.prints("\n");
    let said: Json = serde_json::from_str(&running.stdout()).expect("JSON");
    let address = said["CONSUL_HTTP_ADDR"].as_str().expect("an address");
    assert_eq!(ask(address, "GET", "/v1/status/leader", "").status(), 200);
}

#[test]
fn every_answer_names_the_server_and_has_the_headers_of_consul() {
    let (_running, address) = start(&[]);
    for (method, target, status) in [
        ("GET", "/v1/kv/none", 404),
        ("PUT", "/v1/kv/a", 200),
        ("GET", "/v1/kv/a", 200),
        ("POST", "/v1/kv/a", 405),
        ("PUT", "/v1/session/create", 200),
        ("GET", "/v1/agent/services", 501),
        ("GET", "/v1/kv/a%zz", 400),
        ("BAD?", "/", 400),
    ] {
        let reply = ask(&address, method, target, "");
        assert_eq!(reply.status(), status, "{method} {target}");
        assert_eq!(reply.header(HEADER), Some(env!("CARGO_PKG_VERSION")));
        assert!(reply.header("Date").is_some(), "{method} {target}");
    }
    let read = ask(&address, "GET", "/v1/kv/a", "");
    assert_eq!(read.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(read.header("X-Consul-LastContact"), Some("0"));
    assert_eq!(read.header("Content-Type"), Some("application/json"));
    assert!(read.header("X-Consul-Index").is_some());
}

#[test]
fn what_it_does_not_know_is_a_501_that_names_it() {
    let (_running, address) = start(&[]);
    for (method, target, body, what) in [
        ("GET", "/v1/acl/tokens", "", "GET /v1/acl/tokens"),
        ("GET", "/v1/kv/a?filter=b", "", "?filter at /v1/kv/a"),
        (
            "GET",
            "/v1/session/list?index=1",
            "",
            "?index at /v1/session/list",
        ),
        (
            "PUT",
            "/v1/txn",
            "[{\"Node\":{\"Verb\":\"get\"}}]",
            "Node in a transaction",
        ),
        (
            "PUT",
            "/v1/catalog/register",
            "{\"Node\":\"n\",\"Service\":{}}",
            "Service in a registration",
        ),
    ] {
        let reply = ask(&address, method, target, body);
        assert_eq!(reply.status(), 501, "{target}");
        let said = words(&reply);
        let expected = format!("consul-lock dev does not know {what}: it is no Consul");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn it_listens_on_loopback_only_and_says_which_port_is_taken() {
    let ended = Running::start(&mut command(&["--listen", "0.0.0.0:0"])).end();
    let said = ended.expect_code(64).stderr;
    assert!(said.contains("cannot listen on 0.0.0.0:0"), "{said}");
    assert!(said.contains("loopback only"), "{said}");
    let (_running, address) = start(&[]);
    let ended = Running::start(&mut command(&["--listen", &address])).end();
    let said = ended.expect_code(69).stderr;
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("another program has the port"), "{said}");
}

#[test]
fn it_ends_at_a_signal() {
    for name in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (running, _) = start(&[]);
        running.signal(name);
        assert_eq!(running.end().signal(), Some(name as i32));
    }
}

/// The parent is a shell that has put the server into the background, and ends without a word to the server.
#[test]
fn it_ends_with_its_parent() {
    let folder = Scratch::new();
    let line = folder.path("line");
    let script = r#""$0" dev >"$1" & echo $!; read -r _; exit 0"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_consul-lock"), &line]);
    let mut shell = Running::start_with_input(&mut shell);
    let server = shell.pids()[0];
    until("the line", || {
        folder.read("line").contains("CONSUL_HTTP_ADDR=")
    });
    thread::sleep(Duration::from_secs(1));
    assert!(is_alive(server), "its parent is alive");
    drop(shell.input());
    let _ = shell.end().expect_code(0);
    until("the server has ended", || !is_alive(server));
}

/// The thread that started the server ends, and its process does not.
#[test]
fn it_outlives_the_thread_of_its_parent() {
    let (mut running, address) = thread::spawn(|| start(&[])).join().expect("started");
    thread::sleep(Duration::from_secs(1));
    assert!(running.is_running());
    assert_eq!(ask(&address, "GET", "/v1/kv/none", "").status(), 404);
}

#[test]
fn one_change_wakes_all_that_wait() {
    let (_running, address) = start(&[]);
    ask(&address, "PUT", "/v1/kv/key", "one");
    let index = ask(&address, "GET", "/v1/kv/key", "");
    let index = index.header("X-Consul-Index").expect("an index").to_owned();
    let target = format!("/v1/kv/key?raw&index={index}&wait=10m");
    let waiting: Vec<TcpStream> = (0..200).map(|_| blocked(&address, &target)).collect();
    thread::sleep(Duration::from_millis(300));
    ask(&address, "PUT", "/v1/kv/key", "two");
    for stream in waiting {
        let reply = Message::reply(&mut BufReader::new(stream)).expect("an answer");
        assert_eq!(words(&reply), "two");
    }
}

#[test]
fn a_client_that_goes_away_is_forgotten_at_once() {
    let (running, address) = start(&[]);
    let before = open_files(running.pid());
    let target = "/v1/kv/key?index=1&wait=10m";
    let waiting: Vec<TcpStream> = (0..50).map(|_| blocked(&address, target)).collect();
    until("50 wait", || open_files(running.pid()) == before + 50);
    drop(waiting);
    until("none waits", || open_files(running.pid()) == before);
}

/// A TTL of 10 s is over after 20 s of Consul's time, and a wait of a minute after a minute.
#[test]
fn time_passes_faster() {
    let (_running, address) = start(&["--speed", "100"]);
    let begun = Instant::now();
    let body = "{\"TTL\":\"10s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\"}";
    let session = words(&ask(&address, "PUT", "/v1/session/create", body));
    let session = session.split('"').nth(3).expect("an id");
    let acquire = format!("/v1/kv/key?acquire={session}");
    assert_eq!(words(&ask(&address, "PUT", &acquire, "")), "true");
    until("the session is over", || {
        ask(&address, "GET", "/v1/kv/key", "").status() == 404
    });
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let wait = ask(&address, "GET", "/v1/kv/none?index=1000&wait=60s", "");
    assert_eq!(wait.status(), 404);
    assert!(begun.elapsed() >= Duration::from_millis(800));
    assert!(begun.elapsed() < Duration::from_secs(20), "{begun:?}");
}

/// Requests that come together are answered in their order; one that waits holds up those behind it.
#[test]
fn requests_are_answered_in_their_order() {
    let (_running, address) = start(&[]);
    let mut stream = connect(&address);
    let requests = "PUT /v1/kv/a HTTP/1.1\r\nContent-Length: 3\r\n\r\noneGET /v1/kv/a?raw HTTP/1.1\r\n\r\n\
                    PUT /v1/kv/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1;x=y\r\no\r\n0\r\n\r\n\
                    GET /v1/kv/a?raw&index=1000&wait=300ms HTTP/1.1\r\n\r\nGET /v1/kv/b HTTP/1.1\r\n\r\n";
    // In pieces, as a network may deliver them.
    for piece in requests.as_bytes().chunks(7) {
        stream.write_all(piece).expect("sent");
    }
    let mut answers = BufReader::new(stream);
    let said: Vec<(u16, String)> = (0..5)
        .map(|_| Message::reply(&mut answers).expect("an answer"))
        .map(|reply| (reply.status(), words(&reply)))
        .collect();
    let expected = [
        (200, "true"),
        (200, "one"),
        (200, "true"),
        (200, "two"),
        (404, ""),
    ];
    assert_eq!(
        said,
        expected.map(|(status, text)| (status, text.to_owned()))
    );
}

#[test]
fn a_body_that_waits_for_permission_gets_it() {
    let (_running, address) = start(&[]);
    let mut stream = connect(&address);
    let head = "PUT /v1/kv/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut permission = [0; 25];
    stream.read_exact(&mut permission).expect("an answer");
    assert_eq!(&permission, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").expect("sent");
    let reply = Message::reply(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!(words(&reply), "true");
    assert_eq!(words(&ask(&address, "GET", "/v1/kv/a?raw", "")), "abc");
}

#[test]
fn what_is_too_large_is_refused_as_consul_refuses_it() {
    let (_running, address) = start(&[]);
    let most = "x".repeat(512 * 1024);
    assert_eq!(words(&ask(&address, "PUT", "/v1/kv/a", &most)), "true");
    let reply = ask(&address, "PUT", "/v1/kv/a", &(most.clone() + "x"));
    assert_eq!(reply.status(), 413);
    let said = words(&reply);
    let expected = "Request body(524289 bytes) too large, max size: 524288 bytes.";
    assert!(said.starts_with(expected), "{said}");
    let reply = ask(&address, "GET", &format!("/v1/kv/{most}"), "");
    assert_eq!(reply.status(), 431);
}

/// What Consul's Enterprise edition has is refused in Consul's words; a token is ignored, as without ACLs.
#[test]
fn namespaces_are_refused_and_tokens_ignored() {
    let (_running, address) = start(&[]);
    let with = |name: &str, value: &str| {
        let headers = [(name, value)];
        exchange(&address, "GET", "/v1/kv/a", &headers, "", LIMIT).expect("an answer")
    };
    let reply = with("X-Consul-Namespace", "other");
    assert_eq!(reply.status(), 400);
    assert!(words(&reply).contains("Namespaces are a Consul Enterprise feature"));
    assert_eq!(with("X-Consul-Token", "any").status(), 404);
}

#[test]
fn it_answers_like_the_version_that_it_is_told() {
    for (args, version, node) in [
        (&[][..], "1.22.0", "consul-lock-dev"),
        (&["--like", "1.8.9", "--node", "n"], "1.8.7", "n"),
        (&["--like=1.21.3"], "1.16.4", "consul-lock-dev"),
    ] {
        let (_running, address) = start(args);
        let agent = words(&ask(&address, "GET", "/v1/agent/self", ""));
        let agent: Json = serde_json::from_str(&agent).expect("JSON");
        assert_eq!(agent["Config"]["Version"], version);
        assert_eq!(agent["Config"]["NodeName"], node);
    }
    let ended = Running::start(&mut command(&["--like", "newest"])).end();
    let said = ended.expect_code(64).stderr;
    assert!(said.contains("not a version such as 1.8.7"), "{said}");
}

/// The answers of Consul 1.8.7 and 1.16.4 to these paths.
#[test]
fn a_path_that_is_not_in_its_shortest_form_is_sent_there() {
    for (path, to, old_only) in [
        ("%2Flead?flags=3", "lead?flags=3", true),
        ("a%2F%2Fb", "a/b", true),
        ("a%2F..%2Fb", "b", true),
        ("%2e/a", "a", true),
        ("%2F%C3%BC!'@", "%C3%BC%21%27@", true),
        ("a%20b//c%25?flags=3", "a%20b/c%25?flags=3", false),
    ] {
        for like in ["1.8.7", "1.16.4"] {
            let (_running, address) = start(&["--like", like]);
            let reply = ask(&address, "PUT", &format!("/v1/kv/{path}"), "");
            let location = reply.header("Location").map(str::to_owned);
            let is_sent = like == "1.8.7" || !old_only;
            let expected = is_sent.then(|| format!("/v1/kv/{to}"));
            assert_eq!(location, expected, "{like} {path}");
            assert_eq!(reply.status(), if is_sent { 301 } else { 200 });
        }
    }
    let (_running, address) = start(&["--like", "1.8.7"]);
    assert_eq!(ask(&address, "PUT", "/v1/kv/%zz//a", "").status(), 400);
}

/// Consul reads the body of this request only if the client gives its length: the session has no TTL.
#[test]
fn a_chunked_body_makes_a_session_without_options() {
    let (_running, address) = start(&[]);
    let mut stream = connect(&address);
    let request = "PUT /v1/session/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                   d\r\n{\"TTL\":\"10s\"}\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let reply = Message::reply(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!(reply.status(), 200);
    let list = words(&ask(&address, "GET", "/v1/session/list", ""));
    assert!(list.contains("\"TTL\":\"\""), "{list}");
}
