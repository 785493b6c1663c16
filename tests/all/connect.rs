//! Ways to Consul: sockets in the file system, paths, proxies, several addresses, and what happens
//! on them when nothing answers.

use crate::support::prelude::*;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use crate::support::agent::temporary_folder;
use crate::support::certificates::{Ca, Valid};
use crate::support::cluster::Cluster;
use crate::support::program::says;
use crate::support::scripted::{Answer, Scripted};
use crate::support::secure::Secure;
use crate::support::{compile, root};

const TAKEN: &str = "made\ntaken\nreleased";

/// An address at which no server listens.
const NOBODY: &str = "127.0.0.1:1";

fn client(options: &[(&str, &str)]) -> Client {
    let mut all = Options::new();
    for (name, value) in options {
        all.set(name, value).unwrap();
    }
    Client::new(Some(&all)).unwrap()
}

fn cycle(client: &Client, key: &str) -> Result<(), Error> {
    let lock = lock_within(client, key, 20_000);
    lock.acquire()?;
    lock.release()
}

/// The same limits and the same cancel, whatever the way.
#[test]
fn limits_and_cancel_are_those_of_tcp_on_a_unix_socket_and_through_tls() {
    let ca = Ca::new("the CA");
    let consul = Secure::start_with(&ca, &ca.server(&["127.0.0.1"], Valid::Now), false);
    let ca_file = ca.file();
    let ways = [
        consul.consul.address().to_owned(),
        format!("unix://{}", consul.socket),
        format!("https://{}", consul.https),
    ];
    let clients = |request_timeout: &str| {
        ways.each_ref().map(|address| {
            client(&[
                ("address", address),
                ("ca_file", &ca_file),
                ("request_timeout_ms", request_timeout),
                ("release_timeout_ms", "20000"),
            ])
        })
    };
    // The short limit is for the calls that get no answer.
    let (patient, hasty) = (clients("10000"), clients("700"));
    let session = consul.consul.other_holds("locks/ephemeral/held");
    for client in &patient {
        cycle(client, "free").unwrap();
        let held = lock_within(client, "held", 0).acquire().expect_err("held");
        assert!(held.message.contains("somebody else"), "{held}");
        // Cancelled while it waits for a blocking query.
        let waits = lock_within(client, "held", -1);
        let begun = Instant::now();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| waits.acquire());
            thread::sleep(Duration::from_millis(300));
            waits.cancel();
            let error = waiting.join().unwrap().expect_err("cancelled");
            assert_eq!(error.status, Status::Cancelled, "{error}");
        });
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    consul.consul.destroy(&session);
    // These have a connection that is open.
    for client in &hasty {
        cycle(client, "free").unwrap();
    }
    consul.consul.has_nothing_left();
    // Consul answers no request, nor one on a new connection.
    consul.consul.pause();
    for client in &hasty {
        let begun = Instant::now();
        let error = lock_within(client, "free", 0)
            .acquire()
            .expect_err("no answer");
        assert_eq!(error.status, Status::Unavailable, "{error}");
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(600) && took < Duration::from_secs(20),
            "{took:?}"
        );
        let cancelled = lock_within(client, "free", -1);
        let begun = Instant::now();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| cancelled.acquire());
            thread::sleep(Duration::from_millis(100));
            cancelled.cancel();
            let error = waiting.join().unwrap().expect_err("cancelled");
            assert_eq!(error.status, Status::Cancelled, "{error}");
        });
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    consul.consul.resume();
    for client in patient.iter().chain(&hasty) {
        cycle(client, "free").unwrap();
    }
    consul.consul.has_nothing_left();
}

#[test]
fn a_unix_socket_by_environment_and_by_option() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(&["127.0.0.1"], Valid::Now));
    let address = format!("unix://{}", consul.socket);
    assert_eq!(says(&["take"], &[("CONSUL_HTTP_ADDR", &address)]), TAKEN);
    assert_eq!(says(&["take", &format!("address={address}")], &[]), TAKEN);
    let said = says(&["take", "address=unix:///nowhere/at/all.sock"], &[]);
    assert!(
        said.contains("UNAVAILABLE") && said.contains("at unix:///nowhere/at/all.sock: "),
        "{said}"
    );
    assert!(said.contains("No such file"), "{said}");
    consul.consul.has_nothing_left();
}

/// The listener accepts no connection: the time-out for connecting or a cancel ends the attempt.
#[test]
#[allow(unsafe_code)] // std cannot shorten the queue of a listener
fn a_unix_socket_whose_queue_is_full() {
    use std::os::fd::AsRawFd as _;
    let folder = temporary_folder();
    let path = folder.join("full.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: the descriptor is that of a listening socket.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let queue = UnixStream::connect(&path).unwrap();
    let address = format!("unix://{}", path.display());
    let patient = client(&[("address", &address), ("connect_timeout_ms", "60000")]);
    let hasty = client(&[("address", &address), ("connect_timeout_ms", "300")]);
    let begun = Instant::now();
    let error = lock_within(&hasty, "k", 0)
        .acquire()
        .expect_err("no connection");
    assert!(error.message.contains("no connection in time"), "{error}");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let cancelled = lock_within(&patient, "k", -1);
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| cancelled.acquire());
        thread::sleep(Duration::from_millis(100));
        cancelled.cancel();
        let error = waiting.join().unwrap().expect_err("cancelled");
        assert_eq!(error.status, Status::Cancelled, "{error}");
    });
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop((queue, listener));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What was asked of a server in front of a real Consul: method, target, headers and body.
type Asked = Arc<Mutex<Vec<(String, String, Vec<(String, String)>, String)>>>;

/// A server that hands over what it is asked, changed by `change`, to a real Consul.
fn in_front(
    consul: Arc<Consul>,
    change: impl Fn(&str, &str) -> (String, String) + Send + 'static,
) -> (Scripted, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let server = Scripted::start(move |request| {
        let (method, target) = (request.method.clone(), request.target.clone());
        let (headers, body) = (request.headers.clone(), request.body.clone());
        let (path, changed) = change(&target, &body);
        let reply = consul.request(&method, &path, &changed);
        seen.lock().unwrap().push((method, target, headers, body));
        match reply.index {
            0 => Answer::reply(reply.status, &reply.body),
            index => Answer::indexed(reply.status, index, &reply.body),
        }
    });
    (server, asked)
}

#[test]
fn a_path_before_the_api_and_basic_authentication() {
    let consul = Arc::new(Consul::start());
    let (server, asked) = in_front(consul.clone(), |target, body| {
        let path = target.strip_prefix("/a/consul").unwrap_or("/v1/nothing");
        (path.to_owned(), body.to_owned())
    });
    let address = format!("http://{}/a/consul/", server.address());
    let variables = [
        ("CONSUL_HTTP_ADDR", address.as_str()),
        ("CONSUL_HTTP_AUTH", "user:pass:word"),
        ("CONSUL_HTTP_TOKEN", "a-token"),
    ];
    assert_eq!(says(&["take"], &variables), TAKEN);
    let options = [
        "take",
        &format!("address={address}"),
        "http_auth=user",
        "token=another",
    ];
    assert_eq!(says(&options, &[]), TAKEN);
    let asked = asked.lock().unwrap();
    assert!(asked.len() >= 8);
    let header = |headers: &[(String, String)], name: &str| {
        let mut found = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.clone());
        assert!(found.next().is_none(), "{name} once");
        value
    };
    let mut seen = Vec::new();
    for (_, target, headers, _) in asked.iter() {
        assert!(target.starts_with("/a/consul/v1/"), "{target}");
        assert!(
            header(headers, "Accept-Encoding").is_none(),
            "gzip is never asked for"
        );
        seen.push((
            header(headers, "Authorization"),
            header(headers, "X-Consul-Token"),
        ));
    }
    let pair = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()));
    assert_eq!(seen[0], pair("Basic dXNlcjpwYXNzOndvcmQ=", "a-token"));
    assert_eq!(seen[seen.len() - 1], pair("Basic dXNlcjo=", "another"));
}

/// Namespaces and partitions are Consul Enterprise's: the server in front takes them away again.
#[test]
fn namespace_partition_and_datacenter_go_where_each_endpoint_wants_them() {
    let consul = Arc::new(Consul::start());
    let (server, asked) = in_front(consul.clone(), |target, body| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let ours = |part: &&str| !part.starts_with("ns=") && !part.starts_with("partition=");
        let query: Vec<&str> = query.split('&').filter(ours).collect();
        let plain = body
            .replace(",\"Namespace\":\"team a\"", "")
            .replace(",\"Partition\":\"p\\\"1\"", "");
        (format!("{path}?{}", query.join("&")), plain)
    });
    let holds = consul.other_holds("locks/ephemeral/held");
    let address = format!("http://{}", server.address());
    let variables = [
        ("CONSUL_HTTP_ADDR", address.as_str()),
        ("CONSUL_NAMESPACE", "team a"),
        ("CONSUL_PARTITION", "p\"1"),
    ];
    assert_eq!(says(&["take"], &variables), TAKEN);
    let options = [
        "take",
        "key=held",
        &format!("address={address}"),
        "namespace=team a",
        "partition=p\"1",
        "datacenter=dc1",
    ];
    let said = says(&options, &[]);
    assert!(
        said.contains("NOT_ACQUIRED") && said.contains("somebody else"),
        "{said}"
    );
    let at = format!("address={}", consul.address());
    let said = says(&["take", &at, "datacenter=nowhere"], &[]);
    assert!(said.contains("No path to datacenter"), "{said}");
    let mut kinds = std::collections::BTreeSet::new();
    for (method, target, _, body) in asked.lock().unwrap().iter() {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let in_query = query.contains("ns=team%20a&partition=p%221");
        kinds.insert(format!(
            "{method} {}",
            path.split('/').take(4).collect::<Vec<_>>().join("/")
        ));
        if path == "/v1/txn" {
            assert!(
                !query.contains("ns=") && !query.contains("partition="),
                "{target}"
            );
            let operations: Json = serde_json::from_str(body).unwrap();
            for operation in operations.as_array().unwrap() {
                assert_eq!(operation["KV"]["Namespace"], "team a", "{body}");
                assert_eq!(operation["KV"]["Partition"], "p\"1", "{body}");
            }
        } else {
            assert!(in_query, "{target}");
            assert!(!body.contains("Namespace"), "{body}");
        }
    }
    for kind in [
        "GET /v1/kv/locks",
        "GET /v1/session/info",
        "PUT /v1/session/create",
        "PUT /v1/session/destroy",
        "PUT /v1/txn",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    consul.destroy(&holds);
    consul.has_nothing_left();
}

/// Each of these variables would fail the client or its requests.
#[test]
fn an_empty_option_sets_its_variable_aside() {
    let consul = Consul::start();
    let address = format!("address={}", consul.address());
    let pairs = [
        ("namespace=", "CONSUL_NAMESPACE", "team a"),
        ("partition=", "CONSUL_PARTITION", "p"),
        ("ca_file=", "CONSUL_CACERT", "/nowhere/ca.pem"),
        ("ca_file=", "CONSUL_CAPATH", "/nowhere"),
        ("client_cert=", "CONSUL_CLIENT_CERT", "/nowhere/cert.pem"),
        ("client_key=", "CONSUL_CLIENT_KEY", "/nowhere/key.pem"),
        ("tls_server_name=", "CONSUL_TLS_SERVER_NAME", "no name"),
    ];
    for (option, variable, value) in pairs {
        let variables = [(variable, value)];
        assert_ne!(says(&["take", &address], &variables), TAKEN, "{variable}");
        let said = says(&["take", &address, option], &variables);
        assert_eq!(said, TAKEN, "{variable}");
    }
    consul.has_nothing_left();
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Scripted::start(|_| Answer::reply(200, "[]"));
    let location = format!("http://{}/v1/x", elsewhere.address());
    let server = Scripted::start(move |_| Answer::Reply {
        status: 307,
        headers: vec![("Location".to_owned(), location.clone())],
        body: Vec::new(),
    });
    let address = format!("address={}", server.address());
    let said = says(&["take", &address, "token=secret"], &[]);
    assert!(
        said.contains("REJECTED") && said.contains("a redirect is never followed"),
        "{said}"
    );
    assert_eq!(elsewhere.connections(), 0);
}

/// Answers CONNECT, and hands over everything that follows.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let seen = seen.clone();
            thread::spawn(move || tunnel(client, &seen));
        }
    });
    (address, asked)
}

fn tunnel(mut client: TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(head);
    let Ok(mut server) = TcpStream::connect(&target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn through_a_proxy_that_was_asked_for() {
    let ca = Ca::new("the CA");
    let consul = Secure::start_with(&ca, &ca.server(&["127.0.0.1"], Valid::Now), false);
    let (proxy, asked) = proxy();
    let through = format!("proxy=http://{proxy}");
    let plain = format!("address={}", consul.consul.address());
    let https = format!("address=https://{}", consul.https);
    let ca_file = format!("ca_file={}", ca.file());
    assert_eq!(
        says(&["take", &through, &plain, "token=secret"], &[]),
        TAKEN
    );
    assert_eq!(
        says(&["take", &through, &https, &ca_file, "token=secret"], &[]),
        TAKEN
    );
    let heads = asked.lock().unwrap().clone();
    let connect = |to: &str| format!("CONNECT {to} HTTP/1.1");
    assert!(
        heads[0].starts_with(&connect(consul.consul.address())),
        "{heads:?}"
    );
    assert!(
        heads
            .iter()
            .any(|head| head.starts_with(&connect(&consul.https))),
        "{heads:?}"
    );
    assert!(
        heads.iter().all(|head| !head.contains("secret")),
        "{heads:?}"
    );
    let said = says(&["take", &through, &format!("address={NOBODY}")], &[]);
    assert!(said.contains("the proxy answers HTTP 502"), "{said}");
}

/// Through the C ABI, with a look-up that is slow, or never ends.
#[test]
fn a_nameserver_that_is_slow_or_silent() {
    let consul = Consul::start();
    let source = root().join("tests/c/names.c");
    let program = compile(&source, "names", &["-std=c11", "-D_GNU_SOURCE"]);
    let port = consul.address().rsplit(':').next().unwrap();
    let output = Command::new(program).arg(port).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    consul.has_nothing_left();
}

#[test]
fn several_addresses_are_tried_in_order() {
    let (first, second) = (Consul::start(), Consul::start());
    let list = |addresses: &[&str]| addresses.join(",");
    // In order: the second is not asked while the first one serves.
    let both = client(&[("address", &list(&[first.address(), second.address()]))]);
    let held = lock_within(&both, "k", 0);
    held.acquire().unwrap();
    assert!(first.holder("locks/ephemeral/k").is_some());
    assert!(second.keys().is_empty());
    held.release().unwrap();
    // No server listens at the first address; the error names the cause at each when all fail.
    let spare = list(&[NOBODY, second.address()]);
    assert_eq!(says(&["take"], &[("CONSUL_HTTP_ADDR", &spare)]), TAKEN);
    let none = list(&[NOBODY, "unix:///nowhere"]);
    let said = says(&["take", &format!("address={none}")], &[]);
    assert!(
        said.contains(&format!("{NOBODY}: Connection refused"))
            && said.contains("unix:///nowhere: No such file"),
        "{said}"
    );
    // Nor does one that cannot serve cost the single attempt.
    for (status, why) in [
        (500, "No cluster leader"),
        (429, "rate limit exceeded"),
        (503, "No known Consul servers"),
    ] {
        let server = Scripted::start(move |_| Answer::reply(status, why));
        let spare = client(&[("address", &list(&[server.address(), second.address()]))]);
        let lock = lock_within(&spare, "k", 0);
        lock.acquire().expect(why);
        assert!(second.holder("locks/ephemeral/k").is_some());
        lock.release().unwrap();
        // Alone, or among others of its kind, it is what the attempt ends with.
        let error = self::lock_within(&client(&[("address", server.address())]), "k", 0).acquire();
        assert_eq!(error.expect_err(why).status, Status::Unavailable);
        let twice = list(&[server.address(), server.address(), server.address()]);
        let error = self::lock_within(&client(&[("address", &twice)]), "k", 0).acquire();
        assert_eq!(error.expect_err(why).status, Status::Unavailable);
    }
    // One that accepts and never answers is passed by, too.
    let spare = client(&[
        ("address", &list(&[first.address(), second.address()])),
        ("request_timeout_ms", "500"),
    ]);
    first.pause();
    cycle(&spare, "k").unwrap();
    first.resume();
    first.has_nothing_left();
    second.has_nothing_left();
}

/// A lock outlives the agent through which it was taken.
#[test]
fn a_lock_is_kept_and_given_back_through_another_server() {
    let cluster = Cluster::start();
    let [first, second] = [cluster.follower(), cluster.leader()];
    let addresses = [first, second].map(|number| cluster.servers[number].address());
    let client = client(&[
        ("address", &addresses.join(",")),
        ("request_timeout_ms", "3000"),
        ("release_timeout_ms", "20000"),
    ]);
    let held = lock_within(&client, "k", 20_000);
    held.acquire().unwrap();
    let waits = lock_within(&client, "k", -1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(500));
        cluster.servers[first].kill();
        held.renew().unwrap();
        held.check().unwrap();
        held.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    waits.release().unwrap();
    cluster.servers[second].has_nothing_left();
}

/// What most users have: an agent on their machine, and servers elsewhere.
#[test]
fn through_a_client_agent_with_three_servers() {
    let cluster = Cluster::start();
    let agent = cluster.client_agent();
    // An election may come between a release and its answer.
    let through = |address| client(&[("address", address), ("release_timeout_ms", "20000")]);
    let client = through(agent.address());
    let other = through(cluster.servers[cluster.follower()].address());
    let held = lock_within(&client, "k", 20_000);
    held.acquire().unwrap();
    let error = lock_within(&other, "k", 0).acquire().expect_err("held");
    assert!(error.message.contains("on node client"), "{error}");
    let waits = lock_within(&other, "k", 60_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(300));
        // The leader's end is survived, here as there.
        cluster.servers[cluster.leader()].kill();
        until("it can be renewed", || held.renew().is_ok());
        held.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    waits.release().unwrap();
    agent.has_nothing_left();
}
