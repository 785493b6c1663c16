//! What the environment says is followed, or refused by name; never overlooked.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)] // helpers of tests

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::{compile, root};

/// Compiled once: the tests run at the same time.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let source = root().join("tests/c/environment.c");
    PROGRAM
        .get_or_init(|| compile(&source, "environment", &["-std=c11"]))
        .clone()
}

/// What the program says, with nothing of Consul's in its environment but this.
fn told(program: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(name);
        }
    }
    let output = command
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim_end()
        .to_owned()
}

#[test]
fn settings_that_cannot_be_followed_are_refused_by_name() {
    let program = program();
    for name in [
        "CONSUL_HTTP_TOKEN_FILE",
        "CONSUL_HTTP_AUTH",
        "CONSUL_HTTP_SSL",
        "CONSUL_HTTP_SSL_VERIFY",
        "CONSUL_CACERT",
        "CONSUL_CAPATH",
        "CONSUL_CLIENT_CERT",
        "CONSUL_CLIENT_KEY",
        "CONSUL_TLS_SERVER_NAME",
        "CONSUL_NAMESPACE",
        "CONSUL_PARTITION",
    ] {
        // An option for the address does not make them go away.
        for arguments in [&[][..], &["127.0.0.1:8500"]] {
            let told = told(
                &program,
                &[(name, "hunter2"), ("CONSUL_HTTP_TOKEN", "hunter2")],
                arguments,
            );
            assert!(
                told.starts_with(&format!("INVALID_ENVIRONMENT: {name} ")),
                "{told}"
            );
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert_eq!(
            self::told(&program, &[(name, "")], &[]),
            "made",
            "empty is not set"
        );
    }
}

#[test]
fn addresses() {
    let program = program();
    for good in [
        "",
        "127.0.0.1:8500",
        "http://127.0.0.1:8500",
        "http://[::1]:8500/",
        "consul.example",
    ] {
        assert_eq!(
            told(&program, &[("CONSUL_HTTP_ADDR", good)], &[]),
            "made",
            "{good}"
        );
    }
    for bad in [
        "https://127.0.0.1:8501",
        "unix:///run/consul.sock",
        "tcp://127.0.0.1:8500",
        "http://127.0.0.1:8500/consul",
        "127.0.0.1:port",
        "http://",
    ] {
        let by_environment = told(&program, &[("CONSUL_HTTP_ADDR", bad)], &[]);
        assert!(
            by_environment.starts_with("INVALID_ENVIRONMENT: CONSUL_HTTP_ADDR: "),
            "{by_environment}"
        );
        let by_option = told(&program, &[("CONSUL_HTTP_ADDR", "127.0.0.1:8500")], &[bad]);
        assert!(
            by_option.starts_with("INVALID_OPTION: option address: "),
            "{by_option}"
        );
        // A right option wins over a wrong variable.
        assert_eq!(
            told(&program, &[("CONSUL_HTTP_ADDR", bad)], &["127.0.0.1:8500"]),
            "made"
        );
    }
}

#[test]
fn a_token_that_is_no_token() {
    let told = told(
        &program(),
        &[("CONSUL_HTTP_TOKEN", "hunter2\nX-Evil: 1")],
        &[],
    );
    assert!(told.contains("the token has characters"), "{told}");
    assert!(!told.contains("hunter2") && !told.contains('\n'), "{told}");
}
