//! What the environment says is followed, or refused by name; never overlooked.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::certificates::{Ca, Valid};
use crate::support::consul::Consul;
use crate::support::program::says;

/// An address at which no server listens.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn addresses() {
    for good in [
        "",
        "127.0.0.1:8500",
        "http://127.0.0.1:8500",
        "http://[::1]:8500/",
        "http://127.0.0.1:8500/consul",
        "https://127.0.0.1:8501",
        "unix:///run/consul.sock",
        "consul.example",
        "a:8500,http://b:8500",
    ] {
        assert_eq!(
            says(&["make"], &[("CONSUL_HTTP_ADDR", good)]),
            "made",
            "{good}"
        );
    }
    for bad in [
        "tcp://127.0.0.1:8500",
        "127.0.0.1:port",
        "http://",
        "unix://",
        "http://user:hunter2@h:1",
    ] {
        let by_environment = says(&["make"], &[("CONSUL_HTTP_ADDR", bad)]);
        assert!(
            by_environment.starts_with("INVALID_ENVIRONMENT: CONSUL_HTTP_ADDR: "),
            "{by_environment}"
        );
        assert!(!by_environment.contains("hunter2"), "{by_environment}");
        let option = format!("address={bad}");
        let by_option = says(
            &["make", &option],
            &[("CONSUL_HTTP_ADDR", "127.0.0.1:8500")],
        );
        assert!(
            by_option.starts_with("INVALID_OPTION: option address: "),
            "{by_option}"
        );
        // A right option wins over a wrong variable.
        let right = says(
            &["make", "address=127.0.0.1:8500"],
            &[("CONSUL_HTTP_ADDR", bad)],
        );
        assert_eq!(right, "made");
    }
}

/// Never a silent default: for verification that would be a hole.
#[test]
fn what_cannot_be_parsed_is_an_error_that_names_the_variable() {
    let missing = "/nowhere/at/all";
    let tls = ("CONSUL_HTTP_SSL", "true");
    for (name, value, besides, why) in [
        (
            "CONSUL_HTTP_SSL",
            "yes",
            None,
            "\"yes\" is not true or false",
        ),
        (
            "CONSUL_HTTP_SSL_VERIFY",
            "no",
            None,
            "\"no\" is not true or false",
        ),
        (
            "CONSUL_HTTP_SSL_VERIFY",
            "off",
            Some(tls),
            "\"off\" is not true or false",
        ),
        (
            "CONSUL_CACERT",
            missing,
            Some(tls),
            "/nowhere/at/all: No such file",
        ),
        (
            "CONSUL_CAPATH",
            missing,
            Some(tls),
            "/nowhere/at/all: No such file",
        ),
        (
            "CONSUL_CLIENT_CERT",
            missing,
            None,
            "the certificate needs its key (client_key, CONSUL_CLIENT_KEY)",
        ),
        (
            "CONSUL_CLIENT_KEY",
            missing,
            None,
            "the key needs its certificate (client_cert,",
        ),
        (
            "CONSUL_TLS_SERVER_NAME",
            "no name",
            Some(tls),
            "no certificate can be for that name",
        ),
        (
            "CONSUL_HTTP_TOKEN",
            "hunter2\nX-Evil: 1",
            None,
            "the given value is not",
        ),
        (
            "CONSUL_HTTP_TOKEN",
            "hunter2 hunter2",
            None,
            "characters that cannot be sent",
        ),
        (
            "CONSUL_HTTP_TOKEN_FILE",
            missing,
            None,
            "/nowhere/at/all: No such file",
        ),
        (
            "CONSUL_HTTP_AUTH",
            "hunter2:\n",
            None,
            "the given value is not",
        ),
    ] {
        let mut variables = vec![(name, value)];
        variables.extend(besides);
        let said = says(&["make"], &variables);
        assert!(
            said.starts_with(&format!("INVALID_ENVIRONMENT: {name}: ")) && said.contains(why),
            "{said}"
        );
        assert!(
            !said.contains("hunter2") && said.lines().count() == 1,
            "{said}"
        );
        variables[0].1 = "";
        assert_eq!(
            says(&["make"], &variables),
            "made",
            "{name}: empty is not set"
        );
    }
}

/// What files must be, by option and by variable.
#[test]
fn files_that_are_not_what_they_should_be() {
    let ca = Ca::new("the CA");
    let client = ca.client(Valid::Now);
    let other = ca.client_with_sec1_key();
    let nothing = ca.write("nothing.pem", "hunter2\n");
    let broken = "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n";
    let broken = ca.write("broken.pem", broken);
    let half = ca.write(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let empty = ca.write("empty", " \n");
    let sub = ca.folder("sub");
    for (options, why) in [
        (
            vec![("ca_file", &nothing)],
            "option ca_file: FILE has no certificate in PEM",
        ),
        (
            vec![("ca_file", &broken)],
            "option ca_file: FILE: it is not in PEM",
        ),
        (
            vec![("ca_path", &sub)],
            "option ca_path: FILE has no certificate in PEM",
        ),
        (
            vec![("client_key", &client.key), ("client_cert", &nothing)],
            "option client_cert: FILE has no certificate in PEM",
        ),
        (
            vec![
                ("client_cert", &client.certificate),
                ("client_key", &nothing),
            ],
            "option client_key: FILE has no private key in PEM",
        ),
        (
            vec![("client_cert", &client.certificate), ("client_key", &half)],
            "an encrypted one cannot be used",
        ),
        (
            vec![
                ("client_key", &other.key),
                ("client_cert", &client.certificate),
            ],
            "its key (client_key) is not that of the certificate",
        ),
        (
            vec![("token_file", &empty)],
            "option token_file: FILE is empty",
        ),
        (
            vec![("token_file", &broken)],
            "the token has characters that cannot be sent",
        ),
    ] {
        let options: Vec<(&str, &str)> = options.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let why = why.replace("FILE", options[options.len() - 1].1);
        // Also where no TLS is spoken.
        for address in ["address=https://127.0.0.1:8501", "address=127.0.0.1:8500"] {
            let mut arguments = vec!["make".to_owned(), address.to_owned()];
            let options = options.iter();
            arguments.extend(options.map(|(name, value)| format!("{name}={value}")));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = says(&arguments, &[]);
            assert!(
                said.starts_with("INVALID_OPTION: ") && said.contains(&why),
                "{said}, not {why}"
            );
            assert!(
                !said.contains("hunter2") && said.lines().count() == 1,
                "{said}"
            );
        }
    }
}

/// A FIFO would have us wait for a writer, and a device may have no end.
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let ca = Ca::new("the CA");
    let pair = ca.client(Valid::Now);
    let folder = ca.folder("folder");
    let fifo = format!("{folder}/fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let link = format!("{folder}/link");
    symlink(&fifo, &link).unwrap();
    let device = "/dev/zero".to_owned();
    let long = ca.write("long.pem", &"a line that goes on\n".repeat(300_000));
    for (file, why) in [
        (&fifo, "is a FIFO, no file"),
        (&link, "is a FIFO, no file"),
        (&device, "is a device, no file"),
        (&folder, "is a folder, no file"),
        (&long, "is longer than "),
    ] {
        for options in [
            vec![("token_file", file)],
            vec![("ca_file", file)],
            vec![("client_cert", file), ("client_key", &pair.key)],
            vec![("client_cert", &pair.certificate), ("client_key", file)],
        ] {
            let mut arguments = vec!["make".to_owned()];
            let set = options.iter();
            arguments.extend(set.map(|(name, value)| format!("{name}={value}")));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = says(&arguments, &[]);
            assert!(
                said.starts_with("INVALID_OPTION: ") && said.contains(&format!("{file} {why}")),
                "{arguments:?}: {said}"
            );
        }
    }
    let said = says(&["make", &format!("ca_path={folder}")], &[]);
    assert!(said.contains("fifo is a FIFO, no file"), "{said}");
    let system = [("SSL_CERT_FILE", &*fifo), ("SSL_CERT_DIR", &folder)];
    let said = says(&["make", "address=https://127.0.0.1:1"], &system);
    assert_eq!(said, "made", "what the system has is left out");
}

/// Precedence: an option, a file, the environment. Options that belong together set aside the
/// variables of all of them.
#[test]
fn an_option_wins_over_a_file_and_a_file_over_the_environment() {
    let consul = Consul::start_with(
        r#"acl { enabled = true  default_policy = "deny"  tokens { master = "root" } }"#,
    );
    let ca = Ca::new("a folder");
    let right = ca.write("right", "root\n");
    let wrong = ca.write("wrong", "wrong");
    let at = ("CONSUL_HTTP_ADDR", consul.address());
    let denied = |said: String| assert!(said.contains("\nDENIED: "), "{said}");
    let taken = |said: String| assert_eq!(said, "made\ntaken\nreleased");
    let file = |name: &str| format!("token_file={name}");
    taken(says(&["take"], &[at, ("CONSUL_HTTP_TOKEN", "root")]));
    taken(says(&["take"], &[at, ("CONSUL_HTTP_TOKEN_FILE", &right)]));
    taken(says(
        &["take"],
        &[
            at,
            ("CONSUL_HTTP_TOKEN_FILE", &right),
            ("CONSUL_HTTP_TOKEN", "wrong"),
        ],
    ));
    denied(says(
        &["take"],
        &[
            at,
            ("CONSUL_HTTP_TOKEN_FILE", &wrong),
            ("CONSUL_HTTP_TOKEN", "root"),
        ],
    ));
    taken(says(
        &["take", &file(&right)],
        &[at, ("CONSUL_HTTP_TOKEN", "wrong")],
    ));
    taken(says(
        &["take", &file(&right)],
        &[at, ("CONSUL_HTTP_TOKEN_FILE", &wrong)],
    ));
    taken(says(
        &["take", "token=root"],
        &[at, ("CONSUL_HTTP_TOKEN_FILE", "/nowhere")],
    ));
    taken(says(&["take", "token=root", &file(&wrong)], &[at]));
    denied(says(
        &["take", "token="],
        &[at, ("CONSUL_HTTP_TOKEN", "root")],
    ));
    // The address is the variable's, the token the option's.
    let elsewhere = format!("address={NOBODY}");
    let said = says(&["take", "token=root", &elsewhere], &[at]);
    assert!(
        said.contains("UNAVAILABLE") && said.contains(NOBODY),
        "{said}"
    );
}

/// A proxy only when asked for, whatever the environment says.
#[test]
fn the_proxies_of_the_environment_are_not_used() {
    let consul = Consul::start();
    let nobody = format!("http://{NOBODY}");
    let proxies = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ];
    let mut variables: Vec<_> = proxies.map(|name| (name, nobody.as_str())).to_vec();
    variables.push(("CONSUL_HTTP_ADDR", consul.address()));
    assert_eq!(says(&["take"], &variables), "made\ntaken\nreleased");
    let said = says(&["take", &format!("proxy={nobody}")], &variables);
    assert!(said.contains("UNAVAILABLE"), "{said}");
    let said = says(&["make", "proxy=https://h:1"], &[]);
    assert!(
        said.contains("option proxy: a proxy is http://host:port"),
        "{said}"
    );
}
