//! A real agent that also speaks TLS and listens at a socket in the file system.

use std::path::PathBuf;

use super::agent::temporary_folder;
use super::certificates::{Ca, Pair};
use super::consul::Consul;
use super::ports;

/// Dropped, it is gone.
pub(crate) struct Secure {
    pub(crate) consul: Consul,
    /// `127.0.0.1:PORT` of its HTTPS.
    pub(crate) https: String,
    /// The path of its socket.
    pub(crate) socket: String,
    folder: PathBuf,
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Secure {
    /// It wants a certificate of every client of its HTTPS.
    pub(crate) fn start(ca: &Ca, own: &Pair) -> Secure {
        Secure::start_with(ca, own, true)
    }

    pub(crate) fn start_with(ca: &Ca, own: &Pair, verify_incoming: bool) -> Secure {
        let mut said = String::new();
        // Another process may take a port between our look and the agent's start.
        for _ in 0..5 {
            let folder = temporary_folder();
            let socket = folder.join("http.sock").display().to_string();
            let [http, https, server, lan] = ports::free();
            let settings = format!(
                "ca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n\
                 verify_incoming_https = {verify_incoming}\n\
                 addresses {{ http = \"127.0.0.1 unix://{socket}\" }}\n",
                ca.file(),
                own.certificate,
                own.key
            );
            let arguments = [
                "-dev".to_owned(),
                "-bind=127.0.0.1".to_owned(),
                format!("-https-port={https}"),
                format!("-server-port={server}"),
                format!("-serf-lan-port={lan}"),
            ];
            let secure = Secure {
                consul: Consul::run("node", http, &arguments, &settings),
                https: format!("127.0.0.1:{https}"),
                socket,
                folder,
            };
            match secure.consul.ready() {
                Ok(()) => return secure,
                Err(text) => said = text,
            }
            if !said.contains("address already in use") {
                break;
            }
        }
        panic!("{said}");
    }
}
