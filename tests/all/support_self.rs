//! The tests' own tools do what they say: a fault that never happened would prove nothing.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::consul::{Consul, until};
use crate::support::http::{Message, exchange};
use crate::support::proxy::{Fault, Proxy};
use crate::support::scripted::{Answer, Scripted, reply_bytes};

const LIMIT: Duration = Duration::from_secs(10);

fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

fn write(address: &str, key: &str) -> io::Result<Message> {
    exchange(address, "PUT", &format!("/v1/kv/{key}"), &[], "x", LIMIT)
}

fn is_written(key: &str) -> bool {
    consul().row(key).is_some()
}

#[track_caller]
fn kind_of<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

/// A proxy that does this to every request.
fn doing(fault: Fault) -> Proxy {
    Proxy::start(consul().address(), move |_| fault.clone())
}

#[test]
fn passed_on_as_it_is() {
    let proxy = doing(Fault::Pass);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    // Long enough for Consul to answer in chunks.
    let value = "v".repeat(20_000);
    for (method, body, status) in [("PUT", &*value, 200), ("GET", "", 200), ("DELETE", "", 200)] {
        let length = body.len();
        let request = format!(
            "{method} /v1/kv/self/passed HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let reply = Message::reply(&mut from).unwrap();
        assert_eq!(reply.status(), status);
        if method == "GET" {
            assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
            assert!(reply.body.len() > value.len());
            assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok());
        }
    }
    let seen = proxy.seen();
    assert_eq!(seen[0].method, "PUT");
    assert_eq!(seen[0].target, "/v1/kv/self/passed");
    assert_eq!(seen[0].body, value);
    assert_eq!(proxy.kinds(), ["read", "read", "read"]);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn closed_or_reset_before_consul_sees_it() {
    for (fault, kind) in [
        (Fault::CloseBefore, ErrorKind::UnexpectedEof),
        (Fault::ResetBefore, ErrorKind::ConnectionReset),
    ] {
        let proxy = doing(fault);
        assert_eq!(kind_of(write(proxy.address(), "self/before")), kind);
        assert_eq!(proxy.count("read"), 1);
        assert!(!is_written("self/before"));
    }
}

#[test]
fn applied_and_the_answer_lost() {
    for (key, fault, kind) in [
        ("self/dropped", Fault::DropReply, ErrorKind::UnexpectedEof),
        ("self/reset", Fault::ResetReply, ErrorKind::ConnectionReset),
    ] {
        let proxy = doing(fault);
        assert_eq!(kind_of(write(proxy.address(), key)), kind);
        assert!(is_written(key));
    }
}

#[test]
fn applied_and_never_answered() {
    let proxy = doing(Fault::NeverReply);
    let limit = Duration::from_secs(1);
    let target = "/v1/kv/self/never";
    let result = exchange(proxy.address(), "PUT", target, &[], "x", limit);
    assert!(matches!(
        kind_of(result),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    until("it is applied", || is_written("self/never"));
}

#[test]
fn late_even_for_a_client_that_gave_up() {
    // Long enough for a slow machine to look before it arrives.
    let time = Duration::from_secs(3);
    let proxy = doing(Fault::DelayBefore(time));
    let begun = Instant::now();
    assert_eq!(write(proxy.address(), "self/late").unwrap().status(), 200);
    assert!(begun.elapsed() >= time);

    let limit = Duration::from_millis(300);
    let target = "/v1/kv/self/given-up";
    kind_of(exchange(proxy.address(), "PUT", target, &[], "x", limit));
    assert!(!is_written("self/given-up"));
    until("it arrives", || is_written("self/given-up"));
}

#[test]
fn applied_at_once_and_answered_late() {
    let time = Duration::from_secs(2);
    let proxy = doing(Fault::DelayReply(time));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| write(proxy.address(), "self/slow").unwrap());
        until("it is applied", || is_written("self/slow"));
        assert!(begun.elapsed() < time);
    });
    assert!(begun.elapsed() >= time);
}

#[test]
fn answered_without_consul() {
    let proxy = doing(Fault::Answer(429, "too many"));
    let reply = write(proxy.address(), "self/canned").unwrap();
    assert_eq!((reply.status(), &*reply.body), (429, &b"too many"[..]));
    assert!(!is_written("self/canned"));
}

#[test]
fn applied_later_and_twice() {
    // Long enough for a slow machine to write, look, delete and look again before.
    let time = Duration::from_secs(3);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let proxy = doing(Fault::OnlyLater(time));
            kind_of(write(proxy.address(), "self/only-later"));
            assert!(!is_written("self/only-later"));
            until("it arrives", || is_written("self/only-later"));
        });
        for (key, fault, is_answered) in [
            ("self/twice", Fault::TwiceLater(time), false),
            ("self/again", Fault::PassAndAgain(time), true),
        ] {
            scope.spawn(move || {
                let proxy = doing(fault);
                assert_eq!(write(proxy.address(), key).is_ok(), is_answered);
                assert!(is_written(key));
                consul().request("DELETE", &format!("/v1/kv/{key}"), "");
                assert!(!is_written(key));
                until("it comes again", || is_written(key));
                assert_eq!(proxy.count("read"), 1);
            });
        }
    });
}

#[test]
fn a_client_that_leaves_ends_its_blocking_query() {
    // Consul 1.8 goes on with the query of a client that left, so it cannot be the witness.
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    let proxy = Proxy::start(&address, |_| Fault::Pass);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    client
        .write_all(b"GET /v1/kv/watched?index=1&wait=60s HTTP/1.1\r\n\r\n")
        .unwrap();
    let (upstream, _) = upstream.accept().unwrap();
    upstream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut from = BufReader::new(upstream);
    assert!(Message::request(&mut from).unwrap().is_some());
    assert_eq!(proxy.kinds(), ["watch"]);
    drop(client);
    assert_eq!(from.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_dropped_proxy_is_gone() {
    let time = Duration::from_secs(3);
    let proxy = doing(Fault::OnlyLater(time));
    let address = proxy.address().to_owned();
    kind_of(write(&address, "self/gone"));
    let idle = TcpStream::connect(&address).unwrap();
    until("it is accepted", || proxy.connections() == 2);
    drop(proxy);
    idle.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!((&idle).read(&mut [0; 1]).unwrap(), 0);
    until("the port is given back", || {
        TcpStream::connect(&address)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    std::thread::sleep(time + Duration::from_millis(500));
    assert!(consul().row("self/gone").is_none());
}

#[test]
fn a_scripted_server_misbehaves_as_told() {
    let slowly = Duration::from_millis(20);
    let mut answers = vec![
        Answer::indexed(200, 7, "[]"),
        Answer::After(
            Duration::from_millis(300),
            Box::new(Answer::reply(500, "no")),
        ),
        Answer::Close,
        Answer::Reset,
        Answer::Raw(b"garbage\r\n\r\n".to_vec()),
        Answer::half_reply(200, "0123456789"),
        Answer::Trickle(reply_bytes(200, &[], b"slow"), slowly),
        Answer::Hang,
        Answer::RawThenHang(b"HTTP/1.1 200 OK\r\n".to_vec()),
    ]
    .into_iter();
    let server = Scripted::start(move |asked| {
        assert_eq!((&*asked.method, &*asked.target), ("PUT", "/v1/txn?x=1"));
        assert_eq!(asked.header("x-consul-token"), Some("t"));
        assert_eq!(asked.body, "body");
        answers.next().expect("one answer for each request")
    });
    let ask = |limit| {
        let token = [("X-Consul-Token", "t")];
        exchange(
            server.address(),
            "PUT",
            "/v1/txn?x=1",
            &token,
            "body",
            limit,
        )
    };
    let reply = ask(LIMIT).unwrap();
    assert_eq!((reply.status(), &*reply.body), (200, &b"[]"[..]));
    assert_eq!(reply.header("X-Consul-Index"), Some("7"));
    let begun = Instant::now();
    assert_eq!(ask(LIMIT).unwrap().status(), 500);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(kind_of(ask(LIMIT)), ErrorKind::UnexpectedEof);
    assert_eq!(kind_of(ask(LIMIT)), ErrorKind::ConnectionReset);
    assert_eq!(ask(LIMIT).unwrap().status(), 0);
    assert_eq!(kind_of(ask(LIMIT)), ErrorKind::UnexpectedEof);
    let begun = Instant::now();
    assert_eq!(ask(LIMIT).unwrap().body, b"slow");
    assert!(begun.elapsed() >= slowly * 40);
    for _ in 0..2 {
        let kind = kind_of(ask(Duration::from_millis(300)));
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    }
    assert_eq!(server.connections(), 9);
}

#[test]
fn a_dev_agent_starts_pauses_and_dies() {
    let begun = Instant::now();
    let mut consul = Consul::start();
    println!("a dev agent took {:?} to start", begun.elapsed());
    consul.has_nothing_left();

    // Writes are counted, reads are not. The least of three: the agent's own may come in between.
    let counted = [(); 3].map(|()| {
        let index = consul.quiet_raft_index();
        consul.request("PUT", "/v1/kv/a", "1");
        consul.request("GET", "/v1/kv/a", "");
        let session = consul.other_holds("b");
        let writes = consul.raft_index() - index;
        assert_eq!(consul.holder("b"), Some(session.clone()));
        consul.destroy(&session);
        writes
    });
    assert_eq!(counted.iter().min(), Some(&3), "{counted:?}");
    assert_eq!(consul.keys(), ["a"]);

    consul.pause();
    assert!(consul.answer_within_a_second("/v1/status/leader").is_none());
    consul.resume();
    until("it answers again", || {
        consul.answer_within_a_second("/v1/status/leader").is_some()
    });

    consul.kill();
    assert_eq!(
        kind_of(TcpStream::connect(consul.address())),
        ErrorKind::ConnectionRefused
    );
    consul.restart();
    consul.ready().unwrap();
    consul.has_nothing_left();
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let text = std::panic::catch_unwind(|| Consul::start_with("no_such_setting = 1"));
    let text = text.map(drop).unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("no_such_setting"), "{text}");
}

/// Set for the process that the test below kills.
const TO_BE_KILLED: &str = "SUPPORT_SELF_TO_BE_KILLED";

#[test]
fn no_agent_outlives_a_killed_test() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        // In a static, as in many tests.
        println!("\nagent {}", consul().pid());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "support_self::no_agent_outlives_a_killed_test",
            "--nocapture",
        ])
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    let mut lines = told.lines().map_while(Result::ok);
    let pid = lines.find_map(|line| Some(line.strip_prefix("agent ")?.to_owned()));
    let process = Path::new("/proc").join(pid.expect("the agent's pid"));
    let command = std::fs::read_to_string(process.join("cmdline")).unwrap();
    assert!(command.contains("\0agent\0"), "{command}");
    let folder = std::fs::read_link(process.join("cwd")).unwrap();
    assert!(folder.join("log").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    until("the agent is gone", || !process.exists());
    until("its folder is gone", || !folder.exists());
}

#[test]
fn three_servers_lose_one_and_get_it_back() {
    let begun = Instant::now();
    let mut cluster = Cluster::start();
    println!("three servers took {:?} to start", begun.elapsed());
    let (leader, follower) = (cluster.leader(), cluster.follower());
    cluster.servers[leader].request("PUT", "/v1/kv/kept", "v");

    cluster.servers[leader].kill();
    let begun = Instant::now();
    until("another leads", || {
        cluster.servers[follower]
            .request("PUT", "/v1/kv/elected", "v")
            .status
            == 200
    });
    println!("the election took {:?}", begun.elapsed());
    assert_ne!(cluster.leader(), leader);

    let begun = Instant::now();
    cluster.restart(leader);
    println!("the restart took {:?}", begun.elapsed());
    assert_eq!(cluster.servers[leader].keys(), ["elected", "kept"]);

    let now = cluster.leader();
    cluster.servers[now].pause();
    until("another leads", || cluster.leader() != now);
    cluster.servers[now].resume();
}
