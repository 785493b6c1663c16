//! `consul-lock dev --real`: a real Consul, which ends with the command.

use std::net::TcpListener;

use crate::support::agent::binary;
use crate::support::prelude::*;

/// `consul-lock dev --real ARGS`, with the Consul of the tests as CONSUL_BIN.
fn dev(args: &[&str]) -> Command {
    let mut all = vec!["dev", "--real"];
    all.extend_from_slice(args);
    let mut command = consul_lock(consul(), &all);
    command.env("CONSUL_BIN", binary());
    command
}

/// The address that the command prints when its Consul takes sessions.
fn address(dev: &Running) -> String {
    dev.prints("\n");
    let line = dev.stdout();
    let address = line.trim_end().strip_prefix("CONSUL_HTTP_ADDR=127.0.0.1:");
    format!(
        "127.0.0.1:{}",
        address.unwrap_or_else(|| panic!("{line:?}"))
    )
}

/// The command has ended with an advice.
fn refused(command: &mut Command, code: i32, words: &str) {
    let ended = Running::start(command).end().expect_code(code);
    assert!(ended.stderr.contains(words), "{ended:?}");
    assert_eq!(ended.stdout, "");
    ended.leaves_no_process();
}

#[test]
fn it_serves_locks_until_a_signal_ends_it() {
    for end in [Signal::SIGTERM, Signal::SIGINT] {
        let dev = Running::start(&mut dev(&[]));
        let mut run = consul_lock(consul(), &["run", "real", "--", "true"]);
        run.env("CONSUL_HTTP_ADDR", address(&dev));
        Running::start(&mut run).end().expect_code(0);
        dev.signal(end);
        dev.end().expect_code(0).leaves_no_process();
    }
}

#[test]
fn its_agent_ends_with_it_however_it_ends() {
    let dev = Running::start(&mut dev(&[]));
    address(&dev);
    dev.signal(Signal::SIGKILL);
    let ended = dev.end();
    assert_eq!(ended.signal(), Some(9));
    ended.leaves_no_process();
}

#[test]
fn it_ends_with_its_parent() {
    let inner = dev(&[]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#""$0" "$@" & wait"#])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let shell = Running::start(&mut shell);
    address(&shell);
    assert!(marked(&shell.mark).len() >= 3);
    shell.signal(Signal::SIGKILL);
    shell.end().leaves_no_process();
}

#[test]
fn what_is_wrong_is_said() {
    let advice = "install Consul, or name its program in CONSUL_BIN";
    refused(
        &mut dev(&["--listen", "10.0.0.1:8500"]),
        64,
        "give --listen 127.0.0.1:PORT",
    );
    refused(dev(&[]).env("CONSUL_BIN", "/nowhere/consul"), 69, advice);
    let mut of_the_path = dev(&[]);
    refused(
        of_the_path.env("CONSUL_BIN", "").env("PATH", "/nowhere"),
        69,
        advice,
    );
    refused(
        dev(&[]).env("CONSUL_BIN", "/bin/false"),
        69,
        "it takes no sessions, and says: nothing",
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").to_string();
    refused(&mut dev(&["--listen", &port]), 69, "address already in use");
}
