//! How each program is started, ours first.

use std::path::{Path, PathBuf};

use crate::common::prelude::*;

pub(crate) fn all() -> Vec<Program> {
    let peers = installed();
    let here = support::root().join("benches/peers");
    let lock_py = here.join("python-consul/lock.py");
    let python = Program::at(
        "python-consul, as consul-lock",
        Path::new("python3"),
        Some(&lock_py),
    )
    .with("PYTHONPATH", peers.join("python"));
    vec![
        ours("libconsul_lock"),
        go(),
        Program::at("rs-consul", &peers.join("rs/release/rs-consul-peer"), None),
        node_by_hand(),
        python,
        node("npm consul 0.40, its lock", "lock-0.40.mjs"),
    ]
}

/// Through the C functions.
pub(crate) fn ours(name: &str) -> Program {
    let source = support::root().join("benches/peers/ours/ours.c");
    Program::at(name, &support::compile(&source, "ours", &["-O2"]), None)
}

pub(crate) fn go() -> Program {
    Program::at("Go api.Lock", &installed().join("go-api"), None)
}

pub(crate) fn node_by_hand() -> Program {
    node("npm consul 2, by hand", "hand-written.mjs")
}

fn node(name: &str, script: &str) -> Program {
    let script = installed().join("node").join(script);
    Program::at(name, Path::new("node"), Some(&script))
}

/// Where scripts/peers puts them.
fn installed() -> PathBuf {
    report::folder(&support::root()).join("peers")
}
