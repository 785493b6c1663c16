//! Secrets appear in no message, no line of the log, no number and no Debug text: every way to fail,
//! with secrets that can be recognised.

use std::sync::Mutex;
use std::thread;

use crate::support::certificates::{Ca, Valid};
use crate::support::consul::Consul;
use crate::support::program::says_all;
use crate::support::scripted::{Answer, Scripted, reply_bytes};
use crate::support::secure::Secure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::{OptionPlace, Options};

const TOKEN: &str = "marker-token-5f3a9c";
const IN_FILE: &str = "marker-in-a-file-77b1";
const USER: &str = "marker-user";
const PASSWORD: &str = "marker-password-c0de";
const VALUE: &str = "marker-value-1d2e3f";

/// Everything that must not be seen, as it is and as it is sent.
fn markers(key_file: &str) -> Vec<String> {
    let plain = [TOKEN, IN_FILE, PASSWORD, VALUE].map(str::to_owned);
    let sent = [format!("{USER}:{PASSWORD}"), VALUE.to_owned()].map(|text| BASE64.encode(text));
    let key = std::fs::read_to_string(key_file).expect("a key");
    let lines = key
        .lines()
        .filter(|line| !line.starts_with('-') && line.len() > 16);
    let lines: Vec<String> = lines.map(|line| line[..16].to_owned()).collect();
    assert!(!lines.is_empty());
    plain.into_iter().chain(sent).chain(lines).collect()
}

#[test]
fn no_failure_shows_a_secret() {
    let ca = Ca::new("the CA");
    let own = ca.client(Valid::Now);
    let other = ca.client_with_sec1_key();
    let markers = markers(&own.key);
    let file = ca.write("token", &format!("{IN_FILE}\n"));
    let broken_file = ca.write("broken-token", &format!("{IN_FILE}\n{IN_FILE}"));
    let secure = Secure::start(&ca, &ca.server(&["127.0.0.1"], Valid::Now));
    let acl = Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }",
    );
    let limited = Consul::start_with("limits { http_max_conns_per_client = 1 }");
    let _others: Vec<_> = (0..2)
        .map(|_| std::net::TcpStream::connect(limited.address()).expect("a connection"))
        .collect();
    secure.consul.other_holds("locks/ephemeral/held");

    // Servers that misbehave in one way each; the first says everything back that it was asked.
    let echo = |status| {
        Scripted::start(move |asked| {
            let text = format!("{:?} {}", asked.headers, asked.body);
            Answer::reply(status, &text)
        })
    };
    let echo_in_transaction = Scripted::start(|asked| match &*asked.target {
        "/v1/txn" => {
            let what = format!("Permission denied {:?} {}", asked.headers, asked.body);
            let what =
                serde_json::json!({"Results": null, "Errors": [{"OpIndex": 0, "What": what}]});
            Answer::reply(409, &what.to_string())
        }
        "/v1/session/create" => {
            Answer::reply(200, "{\"ID\":\"11111111-2222-3333-4444-555555555555\"}")
        }
        target if target.starts_with("/v1/session/destroy") => Answer::reply(200, "true"),
        _ => Answer::indexed(404, 1, ""),
    });
    let answers = [
        Answer::Close,
        Answer::Reset,
        Answer::Hang,
        Answer::reply(200, "nonsense"),
        Answer::reply(429, "rate limit exceeded"),
        Answer::reply(500, "No cluster leader"),
        Answer::half_reply(200, "[]"),
        Answer::Raw(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()),
        Answer::Raw(reply_bytes(
            301,
            &[("Location".to_owned(), "http://h/".to_owned())],
            b"",
        )),
    ];
    let scripted = answers.map(|answer| Scripted::start(move |_| answer.clone()));
    let echoes = [200, 302, 400, 403, 409, 500, 503].map(echo);
    let plain = scripted.iter().chain(&echoes).chain([&echo_in_transaction]);
    let mut addresses: Vec<String> = plain.map(|server| server.address().to_owned()).collect();
    addresses.extend([
        acl.address().to_owned(),
        limited.address().to_owned(),
        secure.consul.address().to_owned(),
        format!("http://{}", secure.https),
        format!("https://{}", secure.https),
        format!("https://{}", acl.address()),
        "127.0.0.1:1".to_owned(),
        "unix:///nowhere".to_owned(),
        "no-such-host.invalid:8500".to_owned(),
    ]);
    let pair = |cert: &str, key: &str| [format!("client_cert={cert}"), format!("client_key={key}")];
    let token = format!("token={TOKEN}");
    let from_file = format!("token_file={file}");
    let auth = format!("http_auth={USER}:{PASSWORD}");
    let ca_file = format!("ca_file={}", ca.file());
    let value = format!("lock.value={VALUE}");
    let [cert, key] = pair(&own.certificate, &own.key);
    let [wrong_cert, wrong_key] = pair(&own.certificate, &other.key);
    let swapped = pair(&own.key, &own.key);
    let ca_is_key = format!("ca_file={}", own.key);
    let file_is_key = format!("token_file={}", own.key);
    let broken = format!("token_file={broken_file}");
    let said = Mutex::new(String::new());
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = says_all(arguments, variables);
        for marker in &markers {
            assert!(
                !output.contains(marker),
                "{marker} in {arguments:?}:\n{output}"
            );
        }
        let mut said = said.lock().expect("not poisoned");
        said.push_str(&output);
        said.push('\n');
    };
    let try_all = |address: &str| {
        let address = format!("address={address}");
        for credentials in [&token, &from_file] {
            for key_and_patience in [
                &["key=held", "lock.acquire_timeout_ms=0"],
                &["key=free", "lock.acquire_timeout_ms=400"],
            ] {
                let mut arguments = vec!["take", "log=4", &address, credentials, &auth];
                arguments.extend([&*ca_file, &cert, &key, &value, "request_timeout_ms=400"]);
                arguments.extend(key_and_patience);
                run(&arguments, &[]);
            }
        }
    };
    thread::scope(|scope| {
        for address in &addresses {
            scope.spawn(|| try_all(address));
        }
    });
    // So many at once may all be late. These two have the time for an answer.
    let address = format!("address={}", secure.consul.address());
    for mine in ["key=held", "key=free"] {
        let mut arguments = vec!["take", mine, "release_timeout_ms=20000"];
        arguments.extend([&*address, &token, &auth, &value]);
        run(&arguments, &[]);
    }
    // What is refused before anything is sent.
    for bad in [
        vec![&*wrong_cert, &*wrong_key],
        vec![&*swapped[0], &*swapped[1]],
        vec![&*ca_is_key],
        vec![&*file_is_key],
        vec![&*broken],
        vec!["token=marker-token-5f3a9c\n"],
        vec!["token=marker-token-5f3a9c marker-token-5f3a9c"],
        vec!["http_auth=marker-user:marker-password-c0de\n"],
        vec!["address=http://marker-user:marker-password-c0de@h:1"],
        vec!["address=http://marker-user:marker-password-c0de@h:1\r"],
        vec!["address=a:1,http://marker-user:marker-password-c0de@h:1"],
        vec!["address=a:1,tcp://marker-user:marker-password-c0de@h"],
        vec!["address=http://marker-user:no,marker-password-c0de@h:1"],
        vec!["proxy=http://marker-user:marker-password-c0de@h:1"],
        vec!["proxy=http://marker-user:marker-password-c0de@h:1\n"],
    ] {
        let mut arguments = vec!["take", "log=4", "address=https://127.0.0.1:1"];
        arguments.extend(bad);
        run(&arguments, &[]);
    }
    for (name, value) in [
        ("CONSUL_HTTP_TOKEN", "marker-token-5f3a9c\n"),
        ("CONSUL_HTTP_TOKEN_FILE", &*broken_file),
        ("CONSUL_HTTP_AUTH", "marker-user:marker-password-c0de\n"),
        (
            "CONSUL_HTTP_ADDR",
            "http://marker-user:marker-password-c0de@h:1",
        ),
        (
            "CONSUL_HTTP_ADDR",
            "a:1,http://marker-user:marker-password-c0de@h:1",
        ),
        (
            "CONSUL_HTTP_ADDR",
            "http://marker-user:marker-password-c0de@h:1\r",
        ),
        ("CONSUL_HTTP_SSL", "maybe"),
    ] {
        run(
            &["make", "log=4"],
            &[(name, value), ("CONSUL_CLIENT_KEY", &own.key)],
        );
    }
    let said = said.into_inner().expect("not poisoned");
    // The paths were really taken.
    for part in [
        "DENIED",
        "UNAVAILABLE",
        "NOT_ACQUIRED",
        "REJECTED",
        "INVALID_OPTION",
        "INVALID_ENVIRONMENT",
        "\nstats {",
        "\nlog ",
        "(hidden)",
        "taken\nreleased",
    ] {
        assert!(said.contains(part), "nothing says {part:?}");
    }
}

/// A server or a proxy that quotes what it was asked, in whatever form it writes.
#[test]
fn a_quotation_hides_them_in_every_form() {
    const TOKEN: &str = "s3cr3t/tok\"en<>&'+x";
    const PASSWORD: &str = "hunter2 <pw>";
    const VALUE: &str = "v4lue \"secret\" \u{e9}";
    let json = |text: &str| serde_json::to_string(text).expect("JSON");
    let gos = move |text: &str| {
        let text = json(text).replace('<', "\\u003c").replace('>', "\\u003e");
        text.replace('&', "\\u0026")
    };
    let url = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let html = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        text.replace('>', "&gt;").replace('"', "&#34;")
    };
    let base64 = |text: &str| BASE64.encode(text);
    type Form<'a> = &'a dyn Fn(&str) -> String;
    let forms: [(&str, Form<'_>); 6] = [
        ("plain", &str::to_owned),
        ("JSON", &json),
        ("Go's JSON", &gos),
        ("URL", &url),
        ("HTML", &html),
        ("base64", &base64),
    ];
    let both = format!("bob:{PASSWORD}");
    let quotations: Vec<(String, String, bool)> = forms
        .iter()
        .flat_map(|(name, form)| {
            [TOKEN, PASSWORD, &both, VALUE].map(|secret| {
                let said = format!("you said {} to me", form(secret));
                ((*name).to_owned(), said, secret == VALUE)
            })
        })
        .chain([(
            "cut off".to_owned(),
            format!("you said {}", &TOKEN[..12]),
            false,
        )])
        .collect();
    let attempt = |status: u16, in_transaction: bool, form: &str, said: &str| {
        let quotation = said.to_owned();
        let server = Scripted::start(move |asked| match &*asked.target {
            "/v1/session/create" if in_transaction => {
                Answer::reply(200, "{\"ID\":\"11111111-2222-3333-4444-555555555555\"}")
            }
            target if in_transaction && target.starts_with("/v1/session/destroy") => {
                Answer::reply(200, "true")
            }
            target if in_transaction && target.starts_with("/v1/kv") => Answer::indexed(404, 1, ""),
            // Nothing shares the key: the attempt with the value follows.
            "/v1/txn" if in_transaction && !asked.body.contains("\"lock\"") => {
                Answer::reply(200, "{\"Results\":[],\"Errors\":null}")
            }
            _ if status == 409 => {
                let error = serde_json::json!({"OpIndex": 0, "What": quotation});
                let body = serde_json::json!({"Results": null, "Errors": [error]});
                Answer::reply(409, &body.to_string())
            }
            _ => Answer::reply(status, &quotation),
        });
        let mut settings = Options::new();
        for (name, value) in [
            ("address", server.address()),
            ("token", TOKEN),
            ("http_auth", &both),
            ("request_timeout_ms", "1000"),
        ] {
            settings.set(name, value).unwrap();
        }
        let mut options = Options::new();
        options.set("value", VALUE).unwrap();
        let lock = Lock::new(
            "k",
            Some(&options),
            Some(&Client::new(Some(&settings)).unwrap()),
        )
        .unwrap();
        let told = lock.acquire().expect_err("refused").message;
        let rest = told.replace("(hidden)", "");
        for part in ["s3cr3t", "hunter", "v4lue", "secret"] {
            assert!(!rest.contains(part), "{status} {form}: {told}");
        }
        for secret in [TOKEN, PASSWORD, &both, VALUE] {
            assert!(
                !rest.contains(&BASE64.encode(secret)),
                "{status} {form}: {told}"
            );
        }
    };
    thread::scope(|scope| {
        for (status, in_transaction) in [(400, true), (403, true), (409, true), (500, false)] {
            let (quotations, attempt) = (&quotations, &attempt);
            scope.spawn(move || {
                // Only a transaction carries the value.
                let sent = quotations
                    .iter()
                    .filter(|(_, _, value)| in_transaction || !value);
                for (form, said, _) in sent {
                    attempt(status, in_transaction, form, said);
                }
            });
        }
    });
}

/// A password that is a word of Consul's own hides nothing that has to be understood.
#[test]
fn a_password_that_is_a_word_of_consuls() {
    let consul = Consul::start();
    let session = consul.other_holds("locks/ephemeral/k");
    let address = format!("address={}", consul.address());
    for password in ["lock", "held", "session", "already", "Permission"] {
        let auth = format!("http_auth=bob:{password}");
        let said = says_all(
            &[
                "take",
                "key=k",
                &address,
                &auth,
                "lock.acquire_timeout_ms=300",
                "lock.fair=false",
            ],
            &[],
        );
        assert!(said.contains("NOT_ACQUIRED"), "{password}: {said}");
    }
    consul.destroy(&session);
    consul.has_nothing_left();
}

#[test]
fn no_debug_text_shows_a_secret() {
    let ca = Ca::new("the CA");
    let own = ca.client(Valid::Now);
    let mut of_client = Options::new();
    for (name, value) in [
        ("address", "https://127.0.0.1:1"),
        ("token", TOKEN),
        ("http_auth", &format!("{USER}:{PASSWORD}")),
        ("client_cert", &own.certificate),
        ("client_key", &own.key),
    ] {
        of_client.set(name, value).unwrap();
    }
    let mut refused = Options::new();
    for name in ["address", "proxy"] {
        let value = format!("http://{USER}:{PASSWORD}@h:1");
        refused.set(name, &value).unwrap();
    }
    let refused_settings = refused.values_for(OptionPlace::Client).unwrap();
    let why = Client::new(Some(&refused)).expect_err("a password");
    let settings = of_client.values_for(OptionPlace::Client).unwrap();
    let client = Client::new(Some(&of_client)).unwrap();
    let mut of_lock = Options::new();
    of_lock.set("value", VALUE).unwrap();
    let lock = Lock::new("k", Some(&of_lock), Some(&client)).unwrap();
    let error = lock.acquire().expect_err("no server listens");
    let of_lock_settings = of_lock.values_for(OptionPlace::Lock).unwrap();
    let shown = format!(
        "{of_client:?} {settings:?} {client:?} {of_lock:?} {of_lock_settings:?} {lock:?} {error:?} \
         {refused:?} {refused_settings:?} {why:?} {}",
        client.stats()
    );
    for marker in markers(&own.key) {
        assert!(!shown.contains(&marker), "{marker}: {shown}");
    }
    assert!(
        shown.contains("token") && shown.contains("client_key"),
        "{shown}"
    );
}
