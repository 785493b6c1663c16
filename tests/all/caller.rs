//! `tests/c/caller.c`: all functions in random order, from several threads. `scripts/sanitize` runs it for longer, under
//! the sanitizers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::support::consul::Consul;
use crate::support::header::functions;
use crate::support::{compile, root};

fn program(variant: &str) -> PathBuf {
    compile(
        &root().join("tests/c/caller.c"),
        &format!("caller-{variant}"),
        &["-std=c11", "-D_GNU_SOURCE", "-O1"],
    )
}

/// How often each function was called.
fn calls(mut command: Command, seed: u64, threads: u32, seconds: u32) -> BTreeMap<String, u64> {
    let consul = Consul::start();
    let output = command
        .args([seed.to_string(), threads.to_string()])
        // The time ends it; a slow machine makes fewer calls.
        .args(["1000000".to_owned(), seconds.to_string()])
        .env("CONSUL_HTTP_ADDR", consul.address())
        .env_remove("CONSUL_HTTP_TOKEN")
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "seed {seed}: {}\n{errors}\n{said}",
        output.status
    );
    let mut calls = BTreeMap::new();
    for line in said.lines().filter(|line| !line.starts_with("seed ")) {
        let (name, count) = line.split_once(' ').expect("a name and a number");
        let count: u64 = count.parse().expect("a number");
        *calls.entry(name.to_owned()).or_insert(0) += count;
    }
    calls
}

/// Another one each day: the tests of a day can be told again.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs() / 86_400
}

/// The functions of the header that are not among `calls`.
fn missing(calls: &BTreeMap<String, u64>) -> Vec<String> {
    let all = functions().into_iter().map(|function| function.name);
    all.filter(|name| !calls.contains_key(name)).collect()
}

/// A slow machine makes few calls in ten seconds, and a function that is called rarely may not be among them: more
/// rounds follow then.
#[test]
fn a_random_caller_calls_every_function() {
    let program = program("plain");
    let mut all = BTreeMap::new();
    for round in 0..12 {
        all.extend(calls(Command::new(&program), seed() + round, 6, 10));
        if missing(&all).is_empty() {
            break;
        }
    }
    assert_eq!(
        missing(&all),
        Vec::<String>::new(),
        "not in tests/c/caller.c"
    );
    let symbols = std::fs::read_to_string(root().join("abi/symbols.txt")).expect("the symbols");
    for symbol in symbols.lines().filter(|line| !line.starts_with('#')) {
        let name = symbol.split(' ').next().expect("a name");
        assert!(all.contains_key(name), "{name} is not in tests/c/caller.c");
    }
}

#[test]
fn a_random_caller_under_valgrind() {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=9", "--fair-sched=yes"])
        // A child has not the threads of its parent, and so never frees what they had.
        .args(["--leak-check=full", "--errors-for-leak-kinds=none"])
        .arg(program("valgrind"));
    let calls = calls(command, seed(), 3, 5);
    assert!(calls.len() > 60, "{calls:?}");
}
