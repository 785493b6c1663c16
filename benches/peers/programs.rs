//! How each program is started, ours first.

use std::path::{Path, PathBuf};

use crate::common::prelude::*;

pub(crate) fn all() -> Vec<Program> {
    vec![
        ours("libconsul_lock"),
        go(),
        Program::at(
            "rs-consul",
            &installed().join("rs/release/rs-consul-peer"),
            None,
        ),
        node_by_hand(),
        python_as_before(),
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

#[allow(dead_code)] // of benches/languages.rs alone
pub(crate) fn python_by_hand() -> Program {
    python("python-consul, by hand", "hand_written.py")
}

/// The algorithm of the library from which the idea of this one came.
pub(crate) fn python_as_before() -> Program {
    python("python-consul, as consul-lock", "lock.py")
}

fn python(name: &str, script: &str) -> Program {
    let script = support::root()
        .join("benches/peers/python-consul")
        .join(script);
    Program::at(name, Path::new("python3"), Some(&script))
        .with("PYTHONPATH", installed().join("python"))
        .with("PYTHONDONTWRITEBYTECODE", "1")
}

fn node(name: &str, script: &str) -> Program {
    let script = installed().join("node").join(script);
    Program::at(name, Path::new("node"), Some(&script))
}

/// Where scripts/peers puts them.
fn installed() -> PathBuf {
    report::folder(&support::root()).join("peers")
}
