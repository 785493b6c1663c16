//! How each program is started, ours first.

use std::path::{Path, PathBuf};

use crate::common::program::Program;
use crate::common::report;
use crate::support;

pub(crate) fn all() -> Vec<Program> {
    let peers = report::folder(&support::root()).join("peers");
    let here = support::root().join("benches/peers");
    let ours = support::compile(&here.join("ours/ours.c"), "ours", &["-O2"]);
    let lock_py = here.join("python-consul/lock.py");
    let mut python = program(
        "python-consul, as consul-lock",
        Path::new("python3"),
        Some(&lock_py),
    );
    python
        .environment
        .push(("PYTHONPATH", peers.join("python").into()));
    let node = |name, script| {
        program(
            name,
            Path::new("node"),
            Some(&peers.join("node").join(script)),
        )
    };
    vec![
        program("libconsul_lock", &ours, None),
        program("Go api.Lock", &peers.join("go-api"), None),
        program("rs-consul", &peers.join("rs/release/rs-consul-peer"), None),
        node("npm consul 2, by hand", "hand-written.mjs"),
        python,
        node("npm consul 0.40, its lock", "lock-0.40.mjs"),
    ]
}

fn program(name: &str, program: &Path, script: Option<&PathBuf>) -> Program {
    let words = [Some(program), script.map(PathBuf::as_path)];
    let words: Vec<&Path> = words.into_iter().flatten().collect();
    // What is looked for on the PATH has no slash.
    for file in words.iter().filter(|word| word.components().count() > 1) {
        assert!(
            file.exists(),
            "{}: scripts/peers installs it",
            file.display()
        );
    }
    Program {
        name: name.to_owned(),
        words: words.into_iter().map(Into::into).collect(),
        more: Vec::new(),
        environment: Vec::new(),
    }
}
