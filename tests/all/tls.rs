//! TLS to a real agent, and each way in which one side may refuse the other.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::agent::binary;
use crate::support::certificates::{Ca, Pair, Valid};
use crate::support::consul::until;
use crate::support::log::Log;
use crate::support::program::says;
use crate::support::secure::Secure;
use crate::support::{compile, root};
use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, date_time_ymd};

const LOOPBACK: &[&str] = &["server.dc1.consul", "localhost", "127.0.0.1"];

const TAKEN: &str = "made\ntaken\nreleased";

/// The options of a client with this CA, and this certificate of its own.
fn options(address: &str, ca: &str, own: Option<&Pair>) -> Vec<String> {
    let mut options = vec![
        format!("address=https://{address}"),
        format!("ca_file={ca}"),
    ];
    if let Some(Pair { certificate, key }) = own {
        options.push(format!("client_cert={certificate}"));
        options.push(format!("client_key={key}"));
    }
    options
}

fn take(options: &[String]) -> String {
    take_with(options, &[])
}

fn take_with(options: &[String], variables: &[(&str, &str)]) -> String {
    let mut arguments = vec!["take"];
    arguments.extend(options.iter().map(String::as_str));
    says(&arguments, variables)
}

/// A single attempt ended at once, and the answer names what was refused.
#[track_caller]
fn refused(said: &str, why: &[&str]) {
    assert!(
        said.starts_with("made\nUNAVAILABLE: could not acquire"),
        "{said}"
    );
    for part in why {
        assert!(said.contains(part), "{part}: {said}");
    }
    println!("{said}");
}

#[test]
fn a_client_certificate_with_a_key_of_each_kind() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(LOOPBACK, Valid::Now));
    for own in [
        ca.client(Valid::Now),
        ca.client_with_sec1_key(),
        ca.client_with_pkcs1_key(),
    ] {
        assert_eq!(
            take(&options(&consul.https, &ca.file(), Some(&own))),
            TAKEN,
            "{}",
            own.key
        );
    }
    consul.consul.has_nothing_left();
}

#[test]
fn the_environment_of_consuls_own_tools() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(&["server.dc1.consul"], Valid::Now));
    let own = ca.client(Valid::Now);
    let port = consul.https.rsplit(':').next().expect("a port");
    let at = format!("127.0.0.1:{port}");
    let folder = ca.folder("cas");
    let inner = ca.folder("cas/inner");
    std::fs::write(format!("{folder}/README"), "no certificate").expect("written");
    std::fs::write(format!("{inner}/ca.pem"), ca.pem()).expect("written");
    let common = [
        ("CONSUL_CLIENT_CERT", own.certificate.as_str()),
        ("CONSUL_CLIENT_KEY", &own.key),
        ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
    ];
    let with = |more: &[(&'static str, &str)]| {
        let variables: Vec<(&str, &str)> = common.iter().chain(more).copied().collect();
        says(&["take"], &variables)
    };
    let file = ca.file();
    let https = format!("https://{at}");
    let http = format!("http://{at}");
    assert_eq!(
        with(&[("CONSUL_HTTP_ADDR", &https), ("CONSUL_CACERT", &file)]),
        TAKEN
    );
    assert_eq!(
        with(&[("CONSUL_HTTP_ADDR", &https), ("CONSUL_CAPATH", &folder)]),
        TAKEN
    );
    // As with Consul's own client, http:// does not undo CONSUL_HTTP_SSL.
    for address in [&at, &http] {
        let ssl = ("CONSUL_HTTP_SSL", "true");
        assert_eq!(
            with(&[("CONSUL_HTTP_ADDR", address), ssl, ("CONSUL_CACERT", &file)]),
            TAKEN
        );
    }
    // A file wins over a folder; the system's CAs know nothing of ours.
    let wrong = Ca::new("another CA");
    let said = with(&[
        ("CONSUL_HTTP_ADDR", &https),
        ("CONSUL_CACERT", &wrong.file()),
        ("CONSUL_CAPATH", &folder),
    ]);
    refused(&said, &["no CA that the library trusts has signed it"]);
    refused(
        &with(&[("CONSUL_HTTP_ADDR", &https)]),
        &["no CA that the library trusts has signed it"],
    );
    // Go's clients find the CAs of the system so, too.
    assert_eq!(
        with(&[("CONSUL_HTTP_ADDR", &https), ("SSL_CERT_FILE", &file)]),
        TAKEN
    );
    assert_eq!(
        with(&[("CONSUL_HTTP_ADDR", &https), ("SSL_CERT_DIR", &inner)]),
        TAKEN
    );
    consul.consul.has_nothing_left();
}

#[test]
fn without_verification_and_only_then_any_certificate_will_do() {
    let (ca, unknown) = (Ca::new("the CA"), Ca::new("another CA"));
    let consul = Secure::start_with(&ca, &ca.server(&["elsewhere"], Valid::UntilLongAgo), false);
    let address = format!("address=https://{}", consul.https);
    let ca_file = format!("ca_file={}", unknown.file());
    let said = says(
        &["take", "log=2", &address, &ca_file],
        &[("CONSUL_HTTP_SSL_VERIFY", "0")],
    );
    assert!(said.contains("taken\nreleased"), "{said}");
    assert!(
        said.contains("log 2: the certificate of Consul is not verified"),
        "{said}"
    );
    let said = says(&["take", &address, &ca_file, "ssl_verify=false"], &[]);
    assert_eq!(said, TAKEN);
    let said = says(
        &["take", &address, &ca_file, "ssl_verify=true"],
        &[("CONSUL_HTTP_SSL_VERIFY", "0")],
    );
    refused(&said, &["the library refuses Consul's certificate"]);
}

#[test]
fn we_refuse_a_certificate_of_consuls() {
    let ca = Ca::new("the CA");
    let own = ca.client(Valid::Now);
    let consul = Secure::start(&ca, &ca.server(&["server.dc1.consul"], Valid::Now));

    let unknown = Ca::new("another CA");
    refused(
        &take(&options(&consul.https, &unknown.file(), Some(&own))),
        &[
            "the library refuses Consul's certificate: no CA that the library trusts has signed it; set ca_file",
        ],
    );

    let right = options(&consul.https, &ca.file(), Some(&own));
    refused(
        &take(&right),
        &[
            "the library refuses Consul's certificate: it is not for 127.0.0.1 but for server.dc1.consul; set tls_server_name",
        ],
    );
    let named = |name: &str| [right.clone(), vec![format!("tls_server_name={name}")]].concat();
    // A port behind it does not count, as with Consul's own client.
    for name in ["server.dc1.consul", "server.dc1.consul:8501"] {
        assert_eq!(take(&named(name)), TAKEN);
    }
    refused(
        &take(&named("server.dc2.consul")),
        &["it is not for server.dc2.consul but for"],
    );

    let old = Secure::start(&ca, &ca.server(LOOPBACK, Valid::UntilLongAgo));
    refused(
        &take(&options(&old.https, &ca.file(), Some(&own))),
        &[
            "the library refuses Consul's certificate: it expired ",
            " days ago, by this machine's clock",
        ],
    );
    let new = Secure::start(&ca, &ca.server(LOOPBACK, Valid::FromLater));
    refused(
        &take(&options(&new.https, &ca.file(), Some(&own))),
        &["the library refuses Consul's certificate: it begins to be valid in "],
    );
}

/// What a server has signed itself, and the client names as its CA: Consul's own client takes it.
#[test]
fn a_certificate_that_its_server_has_signed() {
    let folder = Ca::new("the CA");
    let itself = folder.self_signed(LOOPBACK, Valid::Now);
    let consul = Secure::start_with(&folder, &itself, false);
    let trusting = options(&consul.https, &itself.certificate, None);
    assert_eq!(take(&trusting), TAKEN);
    // It still must be for the name, be valid, and be that very one.
    let named = [trusting, vec!["tls_server_name=other.example".to_owned()]].concat();
    refused(&take(&named), &["it is not for other.example"]);
    let elsewhere = Ca::new("another CA");
    let another = elsewhere.self_signed(LOOPBACK, Valid::Now);
    refused(
        &take(&options(&consul.https, &another.certificate, None)),
        &[
            "it is the certificate of a CA (CA:TRUE); make one for a server, or set ca_file (CONSUL_CACERT) to this very one",
        ],
    );
    let old = folder.self_signed(LOOPBACK, Valid::UntilLongAgo);
    let consul = Secure::start_with(&folder, &old, false);
    refused(
        &take(&options(&consul.https, &old.certificate, None)),
        &["it expired "],
    );
}

/// What Go's client knows and ours does not: said in words.
#[test]
fn certificates_that_we_cannot_read() {
    let folder = Ca::new("the CA");
    let subject = ["-subj", "/CN=localhost", "-days", "2"];
    let p521 = folder.openssl(
        "p521",
        &[&[
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-521",
            ][..],
            &["-nodes", "-addext", "subjectAltName=IP:127.0.0.1"],
            &["-keyout", "KEY", "-out", "CERTIFICATE"],
            &subject,
        ]
        .concat()],
    );
    let consul = Secure::start_with(&folder, &p521, false);
    refused(
        &take(&options(&consul.https, &p521.certificate, None)),
        &["or both sides share no protocol version or algorithm (a P-521 key is not supported)"],
    );
    let request = folder.write("request.pem", "");
    let v1 = folder.openssl(
        "v1",
        &[
            &[
                &[
                    "req",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ][..],
                &["-nodes", "-keyout", "KEY", "-out", &request],
                &subject[..2],
            ]
            .concat(),
            &[
                &["x509", "-req", "-in", &request, "-signkey", "KEY"][..],
                &["-out", "CERTIFICATE"],
                &subject[2..],
            ]
            .concat(),
        ],
    );
    let consul = Secure::start_with(&folder, &v1, false);
    let mut options = options(&consul.https, &v1.certificate, None);
    let why = "it is of X.509 version 1; make one of version 3";
    refused(&take(&options), &[why]);
    options.push("ssl_verify=false".to_owned());
    refused(&take(&options), &[why]);
}

#[test]
fn consul_refuses_a_certificate_of_ours() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(LOOPBACK, Valid::Now));
    refused(
        &take(&options(&consul.https, &ca.file(), None)),
        &[
            "Consul wants a client certificate and the library has none",
            "client_cert",
        ],
    );
    let other = Ca::new("another CA");
    let stranger = other.client(Valid::Now);
    refused(
        &take(&options(&consul.https, &ca.file(), Some(&stranger))),
        &[
            "Consul refused the client certificate",
            "of a CA that Consul does not trust",
        ],
    );
    let old = ca.client(Valid::UntilLongAgo);
    refused(
        &take(&options(&consul.https, &ca.file(), Some(&old))),
        &[
            "Consul refused the client certificate: it expired ",
            " days ago",
        ],
    );
    let new = ca.client(Valid::FromLater);
    refused(
        &take(&options(&consul.https, &ca.file(), Some(&new))),
        &["Consul refused the client certificate: it begins to be valid in "],
    );
    consul.consul.has_nothing_left();
}

#[test]
fn plain_http_to_a_tls_port_and_the_reverse() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(LOOPBACK, Valid::Now));
    let said = says(&["take", &format!("address=http://{}", consul.https)], &[]);
    refused(&said, &["this port speaks TLS: use https://"]);
    let said = take(&options(consul.consul.address(), &ca.file(), None));
    refused(
        &said,
        &["the server at this address does not speak TLS", "http://"],
    );
}

/// A wait ends at once, too: what one side refuses does not mend itself.
#[test]
fn a_wait_ends_at_once() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(LOOPBACK, Valid::Now));
    let begun = Instant::now();
    let unknown = Ca::new("another CA");
    let mut wrong = options(&consul.https, &unknown.file(), None);
    wrong.push("lock.acquire_timeout_ms=60000".to_owned());
    refused(&take(&wrong), &["no CA that the library trusts"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// The programs of the contract know nothing of the way to Consul: forks, cancelled threads and all.
#[test]
fn the_c_programs_through_tls_and_through_a_unix_socket() {
    let ca = Ca::new("the CA");
    let consul = Secure::start(&ca, &ca.server(LOOPBACK, Valid::Now));
    let own = ca.client(Valid::Now);
    let flags = ["-std=c11", "-D_GNU_SOURCE"];
    let programs = ["contract", "fork", "cancelled_thread"].map(|name| {
        let source = root().join(format!("tests/c/{name}.c"));
        compile(&source, &format!("{name}-tls"), &flags)
    });
    for address in [
        format!("https://{}", consul.https),
        format!("unix://{}", consul.socket),
    ] {
        for program in &programs {
            let output = Command::new(program)
                .env("CONSUL_HTTP_ADDR", &address)
                .env("CONSUL_CACERT", ca.file())
                .env("CONSUL_CLIENT_CERT", &own.certificate)
                .env("CONSUL_CLIENT_KEY", &own.key)
                .env_remove("CONSUL_HTTP_TOKEN")
                .output()
                .expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{address} {}: {said}",
                program.display()
            );
        }
    }
    consul.consul.has_nothing_left();
}

/// What Consul's own client refuses of a root is refused here, too, and what it takes is taken.
#[test]
fn a_root_is_judged_as_consuls_own_client_judges_it() {
    type Change = fn(&mut CertificateParams);
    let roots: [(Change, &str); 8] = [
        (|_| {}, ""),
        (
            |root| {
                root.not_before = date_time_ymd(2019, 1, 1);
                root.not_after = date_time_ymd(2020, 1, 1);
            },
            "of the CA that has signed it: it expired ",
        ),
        (
            |root| root.not_before = date_time_ymd(4000, 1, 1),
            "of the CA that has signed it: it begins to be valid in ",
        ),
        (
            |root| root.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "of the CA that has signed it: it is not for servers",
        ),
        (
            |root| root.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "",
        ),
        (
            |root| root.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any],
            "",
        ),
        (
            |root| root.is_ca = IsCa::ExplicitNoCa,
            "of the CA that has signed it: it is not marked as a CA's",
        ),
        (
            |root| root.key_usages = vec![KeyUsagePurpose::DigitalSignature],
            "of the CA that has signed it: it is not marked as a CA's",
        ),
    ];
    for (change, why) in roots {
        let ca = Ca::with("the CA", change);
        let consul = Secure::start_with(&ca, &ca.server(LOOPBACK, Valid::Now), false);
        judged_alike(&consul.https, &ca.file(), why);
    }
    // One that its server has signed itself.
    let ca = Ca::new("another CA");
    let own: [(Change, &str); 3] = [
        (|_| {}, ""),
        (
            |own| own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "the library refuses Consul's certificate: it is not for a server",
        ),
        (|own| own.is_ca = IsCa::ExplicitNoCa, ""),
    ];
    for (change, why) in own {
        let own = ca.self_signed_with(LOOPBACK, Valid::Now, change);
        let consul = Secure::start_with(&ca, &own, false);
        judged_alike(&consul.https, &own.certificate, why);
    }
}

/// Refused for this reason by us, and by Consul's client for its own; taken by both, if there is none.
#[track_caller]
fn judged_alike(https: &str, ca_file: &str, why: &str) {
    let theirs = Command::new(binary())
        .args(["kv", "get", "-keys", "-http-addr"])
        .arg(format!("https://{https}"))
        .arg(format!("-ca-file={ca_file}"))
        .env_remove("CONSUL_HTTP_TOKEN")
        .output()
        .expect("Consul's client");
    let said = String::from_utf8_lossy(&theirs.stderr);
    assert_eq!(theirs.status.success(), why.is_empty(), "{why}: {said}");
    let ours = take(&options(https, ca_file, None));
    match why {
        "" => assert_eq!(ours, TAKEN),
        why => refused(&ours, &[why]),
    }
}

#[test]
fn a_host_without_certificates_of_cas() {
    let ca = Ca::new("the CA");
    let consul = Secure::start_with(&ca, &ca.server(LOOPBACK, Valid::Now), false);
    let nothing = [
        ("SSL_CERT_FILE", "/nowhere/at/all"),
        ("SSL_CERT_DIR", "/nowhere/at/all"),
    ];
    let address = format!("address=https://{}", consul.https);
    refused(
        &says(&["take", &address], &nothing),
        &[
            "there is no certificate of a CA on this host",
            "ca-certificates",
            "set ca_file",
        ],
    );
    let ca_file = format!("ca_file={}", ca.file());
    assert_eq!(says(&["take", &address, &ca_file], &nothing), TAKEN);
}

/// Hands bytes on, and cuts its connections when it is told to.
struct Wire {
    address: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(server: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (open, server) = (Arc::new(Mutex::new(Vec::new())), server.to_owned());
        let seen = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                for (mut from, mut to) in [(&client, &server), (&server, &client)]
                    .map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap()))
                {
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                seen.lock().unwrap().extend([client, server]);
            }
        });
        Wire { address, open }
    }

    fn cut(&self) {
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Puts these files in the place of those, each in one step.
fn replace(old: &Pair, new: &Pair) {
    for (old, new) in [(&old.certificate, &new.certificate), (&old.key, &new.key)] {
        put(old, &fs::read_to_string(new).unwrap());
    }
}

fn put(path: &str, content: &str) {
    let aside = format!("{path}.aside");
    fs::write(&aside, content).unwrap();
    fs::rename(&aside, path).unwrap();
}

/// An operator with certificates that live for a day replaces them while the client runs.
#[test]
fn certificates_that_are_replaced_are_found() {
    let log = Log::listen();
    let complaints = || log.said(&["the files for TLS cannot be used as they are now"]);

    let (first, second) = (Ca::new("the first CA"), Ca::new("the second CA"));
    let (server, own) = (first.server(LOOPBACK, Valid::Now), first.client(Valid::Now));
    let consul = Secure::start(&first, &server);
    let reload = || {
        let reply = consul.consul.request("PUT", "/v1/agent/reload", "");
        assert_eq!(reply.status, 200, "{}", reply.body);
    };
    let wire = Wire::to(&consul.https);
    let mut settings = Options::new();
    for option in options(&wire.address, &first.file(), Some(&own)) {
        let (name, value) = option.split_once('=').unwrap();
        settings.set(name, value).unwrap();
    }
    settings.set("release_timeout_ms", "20000").unwrap();
    let client = Client::new(Some(&settings)).unwrap();
    let lock = |key: &str| {
        let mut options = Options::new();
        options.set("monitor", "false").unwrap();
        Lock::new(key, Some(&options), Some(&client)).unwrap()
    };
    let held = lock("held");
    held.acquire().unwrap();

    // What they are replaced by at first is none: the old ones stay, and that is said once.
    let good = fs::read_to_string(&own.certificate).unwrap();
    put(&own.certificate, &good[..good.len() / 2]);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1_100));
        wire.cut();
        held.renew().unwrap();
    }
    until("it is said", || !complaints().is_empty());
    put(&own.certificate, &good);

    // Of another CA, on both sides.
    put(&first.file(), &format!("{}{}", first.pem(), second.pem()));
    replace(&server, &second.server(LOOPBACK, Valid::Now));
    replace(&own, &second.client(Valid::Now));
    put(&first.file(), second.pem());
    reload();
    wire.cut();
    held.renew().unwrap();

    // Consul's comes first, and of ours only a new certificate is wanted: with TLS 1.3 that is refused after
    // the handshake.
    put(&first.file(), &format!("{}{}", second.pem(), first.pem()));
    wire.cut();
    held.renew().unwrap();
    let both = fs::read_to_string(first.file()).unwrap();
    put(&first.file(), first.pem());
    reload();
    put(&first.file(), &both);
    wire.cut();
    let why = held.renew().expect_err("of the wrong CA").message;
    assert!(
        why.contains("Consul refused the client certificate"),
        "{why}"
    );
    assert!(held.is_held());
    replace(&own, &first.client(Valid::Now));
    held.renew().unwrap();
    let other = lock("other");
    other.acquire().unwrap();
    other.release().unwrap();
    held.release().unwrap();
    assert_eq!(complaints().len(), 1, "{:?}", complaints());
    consul.consul.has_nothing_left();
}
