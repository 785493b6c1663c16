//! What the tests of the command share: a real Consul, which is that of the library's own tests, and the command as
//! a process.
#![allow(dead_code)] // each test file uses a part of it

#[path = "../../../tests/support/agent.rs"]
pub(crate) mod agent;
#[path = "../../../tests/support/certificates.rs"]
pub(crate) mod certificates;
#[path = "../../../tests/support/consul.rs"]
pub(crate) mod consul;
#[path = "../../../tests/support/http.rs"]
pub(crate) mod http;
#[path = "../../../tests/support/ports.rs"]
pub(crate) mod ports;
#[path = "../../../tests/support/proxy.rs"]
pub(crate) mod proxy;
#[path = "../../../tests/support/secure.rs"]
pub(crate) mod secure;
#[path = "../../../tests/support/server.rs"]
pub(crate) mod server;
#[path = "../../../tests/support/stopped.rs"]
pub(crate) mod stopped;

pub(crate) mod locks;
pub(crate) mod prelude;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod tmux;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace").to_path_buf()
}

/// A new folder for the files of one test, inside the target folder. Removed when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("command-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Scratch(folder)
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// What is in a file; empty if there is no such file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
