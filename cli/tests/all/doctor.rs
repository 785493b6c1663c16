//! `consul-lock doctor`, on a real Consul, and where there is none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::certificates::{Ca, Valid};
use crate::support::locks::held;
use crate::support::prelude::*;
use crate::support::secure::Secure;

const DENY: &str = "acl { enabled = true default_policy = \"deny\" enable_key_list_policy = true \
                    tokens { master = \"root\" } }";

/// Name and rules of a token, the exit status, and the checks that are not well.
type Case<'a> = (&'a str, &'a str, i32, &'a [(&'a str, &'a str)]);

/// What each check said, in their order.
struct Checks(Vec<Json>);

impl Checks {
    fn of(ended: &Ended) -> Checks {
        let lines = ended.stdout.lines();
        Checks(
            lines
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect(),
        )
    }

    #[track_caller]
    fn one(&self, name: &str) -> &Json {
        let found = self.0.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no check {name}: {:?}", self.0))
    }

    /// The checks that are not well, with their verdict.
    fn troubles(&self) -> Vec<(&str, &str)> {
        let checks = self.0.iter().map(|check| {
            let text = |name: &str| check[name].as_str().expect("text");
            (text("check"), text("verdict"))
        });
        checks.filter(|(_, verdict)| *verdict != "ok").collect()
    }

    #[track_caller]
    fn says(&self, name: &str, words: &[&str]) {
        let check = self.one(name);
        for words in words {
            let has = |member: &str| check[member].as_str().unwrap_or_default().contains(words);
            assert!(has("text") || has("advice"), "{words}: {check}");
        }
    }
}

fn command(consul: &Consul, args: &[&str]) -> Command {
    let mut all = vec!["doctor", "--json"];
    all.extend_from_slice(args);
    consul_lock(consul, &all)
}

#[track_caller]
fn checked(command: &mut Command, code: i32) -> Checks {
    Checks::of(&Running::start(command).end().expect_code(code))
}

fn token(consul: &Consul, name: &str, rules: &str) -> String {
    let body = json!({"Name": name, "Rules": rules}).to_string();
    let reply = consul.request("PUT", "/v1/acl/policy", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = json!({"Policies": [{"Name": name}]}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &body);
    let made: Json = serde_json::from_str(&reply.body).unwrap();
    made["SecretID"].as_str().unwrap().to_owned()
}

#[test]
fn an_empty_variable_is_none() {
    let mut command = command(consul(), &[]);
    command
        .env("CONSUL_HTTP_TOKEN", "")
        .env("CONSUL_CACERT", "");
    let checks = checked(&mut command, 0);
    let said = checks.one("variables")["text"].to_string();
    assert!(said.contains("CONSUL_HTTP_ADDR"), "{said}");
    assert!(
        !said.contains("TOKEN") && !said.contains("CACERT"),
        "{said}"
    );
}

#[test]
fn tls_to_a_plain_port_needs_no_certificate() {
    let address = format!("https://{}", consul().address());
    let checks = checked(&mut command(consul(), &["--address", &address]), 1);
    let check = checks.one("address");
    assert!(check["text"].to_string().contains("use http://"), "{check}");
    assert!(!check["advice"].to_string().contains("ca_file"), "{check}");
}

#[test]
fn a_healthy_agent_is_well_and_keeps_nothing() {
    let consul = Consul::start();
    let checks = checked(&mut command(&consul, &[]), 0);
    assert!(checks.troubles().is_empty(), "{:?}", checks.0);
    let names: Vec<&str> = checks
        .0
        .iter()
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "variables",
            "address",
            "tls",
            "http",
            "leader",
            "clock",
            "version",
            "agent",
            "connections",
            "token",
            "looking",
            "locking",
            "waiting",
            "listing",
            "session",
            "names",
            "shortest TTL",
            "lock"
        ]
    );
    let lock = checks.one("lock");
    for step in ["taken_ms", "proved_ms", "given_back_ms"] {
        assert!(lock[step].as_f64().is_some_and(|ms| ms > 0.0), "{lock}");
    }
    consul.has_nothing_left();
    let ended = Running::start(&mut consul_lock(&consul, &["doctor"])).end();
    let ended = ended.expect_code(0);
    assert!(ended.stdout.ends_with("\nAll is well.\n"), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), names.len() + 2, "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
    consul.has_nothing_left();
}

#[test]
fn a_key_that_is_held_is_examined_as_well() {
    let key = "doctor-held";
    let holder = held(consul(), key, &[]);
    let checks = checked(&mut command(consul(), &[key]), 0);
    assert!(checks.troubles().is_empty(), "{:?}", checks.0);
    checks.says("locking", &[&full(key)]);
    holder.check().expect("still held");
    holder.release().expect("held");
}

#[test]
fn the_agents_own_settings_are_told() {
    let settings = "session_ttl_min = \"20s\"\nlimits { http_max_conns_per_client = 40 }";
    let consul = Consul::start_with(settings);
    let checks = checked(&mut command(&consul, &[]), 0);
    assert_eq!(
        checks.troubles(),
        [("connections", "warn"), ("shortest TTL", "warn")]
    );
    checks.says("shortest TTL", &["session_ttl_min = 20s", "to 20 or more"]);
    checks.says("connections", &["40 connections", "max_connections"]);
    consul.has_nothing_left();
}

#[test]
fn each_right_that_is_missing_is_named() {
    let consul = Consul::start_with(DENY);
    let key = "key_prefix \"locks/ephemeral/report\" { policy = \"write\" }";
    let sessions = "session_prefix \"\" { policy = \"write\" }";
    let agent = "agent_prefix \"\" { policy = \"read\" }";
    let list = "key_prefix \"locks/ephemeral/\" { policy = \"list\" }";
    let whole = [key, sessions, agent, list].join("\n");
    let without = |what: &str| whole.replace(what, "");
    let alone = whole.replace(
        "key_prefix \"locks/ephemeral/report\"",
        "key \"locks/ephemeral/report\"",
    );
    let reads = "key_prefix \"\" { policy = \"read\" } session_prefix \"\" { policy = \"read\" }";
    let cases: [Case<'_>; 7] = [
        ("whole", &whole, 0, &[]),
        ("no-agent", &without(agent), 0, &[("agent", "warn")]),
        ("no-list", &without(list), 0, &[("listing", "warn")]),
        ("alone", &alone, 0, &[("waiting", "warn"), ("lock", "warn")]),
        ("no-session", &without(sessions), 1, &[("session", "fail")]),
        (
            "reads",
            reads,
            1,
            &[
                ("agent", "warn"),
                ("locking", "fail"),
                ("listing", "warn"),
                ("session", "fail"),
            ],
        ),
        (
            "nothing",
            "",
            1,
            &[("agent", "warn"), ("looking", "fail"), ("session", "fail")],
        ),
    ];
    let mut all = Vec::new();
    for (name, rules, code, troubles) in cases {
        let secret = token(&consul, name, rules);
        let mut command = command(&consul, &["report"]);
        let ended = Running::start(command.env("CONSUL_HTTP_TOKEN", &secret)).end();
        assert!(!ended.stdout.contains(&secret) && !ended.stderr.contains(&secret));
        let checks = Checks::of(&ended.expect_code(code));
        assert_eq!(checks.troubles(), troubles, "{name}: {:?}", checks.0);
        checks.says("token", &[name]);
        all.push(checks);
    }
    all[2].says(
        "listing",
        &["key_prefix \"locks/ephemeral/\" { policy = \"list\" }"],
    );
    all[3].says(
        "waiting",
        &["key_prefix \"locks/ephemeral/report\" { policy = \"write\" }"],
    );
    all[4].says("session", &["session_prefix \"\" { policy = \"write\" }"]);
    all[5].says("locking", &["key:write on \"locks/ephemeral/report\""]);
    all[6].says(
        "looking",
        &["key \"locks/ephemeral/report\" { policy = \"read\" }"],
    );
    consul.has_nothing_left();
}

#[test]
fn a_token_is_known_unknown_or_missing() {
    let consul = Consul::start_with(DENY);
    let unknown = "11111111-2222-3333-4444-555555555555";
    let mut with = command(&consul, &[]);
    let checks = checked(with.env("CONSUL_HTTP_TOKEN", unknown), 1);
    assert_eq!(checks.troubles(), [("agent", "warn"), ("token", "fail")]);
    assert_eq!(checks.0.last().unwrap()["check"], "token");
    let checks = checked(&mut command(&consul, &[]), 1);
    assert_eq!(checks.one("token")["verdict"], "warn");
    checks.says("token", &["anonymous", "CONSUL_HTTP_TOKEN"]);
    assert_eq!(checks.one("looking")["verdict"], "fail");
    let mut with = command(&consul, &[]);
    let checks = checked(with.env("CONSUL_HTTP_TOKEN", "root"), 0);
    assert!(checks.troubles().is_empty(), "{:?}", checks.0);
    let body = json!({"ExpirationTTL": "2h"}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &body);
    let made: Json = serde_json::from_str(&reply.body).unwrap();
    let mut with = command(&consul, &[]);
    with.env("CONSUL_HTTP_TOKEN", made["SecretID"].as_str().unwrap());
    let checks = checked(&mut with, 1);
    checks.says("token", &["expires in 1h 59m", "renew it"]);
    consul.has_nothing_left();
}

#[test]
fn what_is_no_agent_is_told_from_one_that_is_not_there() {
    let at = |address: &str| {
        let mut command = command(consul(), &["--request-timeout-ms", "2000"]);
        checked(command.env("CONSUL_HTTP_ADDR", address), 1)
    };
    let checks = at("127.0.0.1:1");
    assert_eq!(checks.troubles(), [("address", "fail")]);
    checks.says(
        "address",
        &["127.0.0.1:1", "is a Consul agent running there?"],
    );
    let answers = |text: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(text.as_bytes());
            }
        });
        address
    };
    let page = answers("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>");
    let checks = at(&page);
    assert_eq!(checks.troubles(), [("http", "fail")]);
    checks.says("http", &["HTTP 404", "is that the HTTP port"]);
    let other = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    at(&other).says("http", &["not as a Consul agent"]);
    let headless = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\"\"");
    let checks = at(&headless);
    assert_eq!(checks.troubles(), [("leader", "fail")]);
    at(&answers("")).says(
        "address",
        &["closed without a reply", "http_max_conns_per_client"],
    );
    let busy = answers("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy");
    at(&busy).says("http", &["429", "close connections"]);
}

#[test]
fn a_wrong_setting_stops_the_checks() {
    let mut with = command(consul(), &[]);
    let checks = checked(with.env("CONSUL_HTTP_SSL", "maybe"), 1);
    assert_eq!(checks.troubles(), [("settings", "fail")]);
    checks.says("settings", &["CONSUL_HTTP_SSL"]);
    checks.says("variables", &["CONSUL_HTTP_SSL=maybe"]);
    let args = ["--token-file", "/no/such/file"];
    let checks = checked(&mut command(consul(), &args), 1);
    checks.says("settings", &["/no/such/file"]);
}

#[test]
fn tls_is_told_with_its_certificate() {
    let ca = Ca::new("our CA");
    let own = ca.server(&["localhost", "127.0.0.1"], Valid::Now);
    let secure = Secure::start_with(&ca, &own, false);
    let at = |address: &str, file: &str, code| {
        let mut command = command(&secure.consul, &[]);
        command.env("CONSUL_HTTP_ADDR", address);
        checked(command.env("CONSUL_CACERT", file), code)
    };
    let https = format!("https://{}", secure.https);
    let checks = at(&https, &ca.file(), 0);
    assert!(checks.troubles().is_empty(), "{:?}", checks.0);
    checks.says(
        "tls",
        &["signed by CN=our CA, for localhost and 127.0.0.1, until "],
    );
    let stranger = Ca::new("another CA");
    let checks = at(&https, &stranger.file(), 1);
    assert_eq!(checks.troubles(), [("address", "fail")]);
    checks.says("address", &["certificate", "CONSUL_CACERT"]);
    // Plain HTTP to a port that speaks TLS.
    let checks = at(&secure.https, &ca.file(), 1);
    assert_eq!(checks.troubles(), [("http", "fail")]);
    checks.says("http", &["use https://"]);
    let mut careless = command(&secure.consul, &["--ssl-verify", "false"]);
    let checks = checked(careless.env("CONSUL_HTTP_ADDR", &https), 0);
    assert_eq!(checks.troubles(), [("tls", "warn")]);
    checks.says("tls", &["not verified"]);
    secure.consul.has_nothing_left();
}

#[test]
fn a_session_node_is_never_registered() {
    let consul = Consul::start();
    let args = ["--session-node", "locks"];
    let checks = checked(&mut command(&consul, &args), 0);
    assert_eq!(checks.troubles(), [("session", "warn")]);
    checks.says("session", &["not in the catalog", "node:write"]);
    let nodes = consul.request("GET", "/v1/catalog/nodes", "").body;
    assert!(!nodes.contains("\"locks\""), "{nodes}");
    let body =
        json!({"Node": "locks", "Address": "192.0.2.1", "NodeMeta": {"external-node": "true"}});
    consul.request("PUT", "/v1/catalog/register", &body.to_string());
    let checks = checked(&mut command(&consul, &args), 0);
    assert!(checks.troubles().is_empty(), "{:?}", checks.0);
    consul.has_nothing_left();
}

#[test]
fn a_signal_at_any_time_leaves_nothing() {
    let consul = Consul::start();
    let whole = Running::start(&mut command(&consul, &[])).end().took;
    let steps = 30;
    let mut ended_by_signal = 0;
    for step in 0..steps {
        let doctor = Running::start(&mut command(&consul, &[]));
        thread::sleep(whole * step / steps);
        doctor.signal(Signal::SIGINT);
        let ended = doctor.end();
        match ended.signal() {
            // The command had not begun yet.
            Some(2) => {}
            None => {
                assert!(matches!(ended.code(), 130 | 0), "{ended:?}");
                ended_by_signal += usize::from(ended.code() == 130);
            }
            Some(_) => panic!("{ended:?}"),
        }
        assert!(consul.keys().is_empty(), "{:?}", consul.keys());
        assert!(consul.sessions().is_empty(), "{:?}", consul.sessions());
    }
    assert!(ended_by_signal > 0);
}
