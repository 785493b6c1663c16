//! TLS: its configuration, and its failures in words. Only this module and the connection itself (`stream.rs`) use
//! rustls.

mod certificate;
mod settings;
mod trust;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};

use super::address::{Address, Destination};
use super::errand::Wait;
use super::files::Stamp;
use super::replaceable::Replaceable;
use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
pub(crate) use settings::TlsSettings;
pub(super) use words::{error_in, is_about_our_certificate, is_final};

/// The configuration of TLS to Consul, made from the files of the settings.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// The name that certificates must be for, at any address.
    name: Option<ServerName<'static>>,
    /// The client certificate, if there is one.
    own: Option<CertificateDer<'static>>,
    /// The stamps of the files before the library read them.
    stamps: Vec<Stamp>,
    /// The hash of their content.
    content: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .field("has_certificate", &self.own.is_some())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Tls {
    /// Both were made from the same files.
    fn eq(&self, other: &Tls) -> bool {
        self.content == other.content && self.stamps == other.stamps
    }
}

/// The TLS of one process, made anew when its files are replaced.
#[derive(Debug)]
pub(super) struct Rotating {
    source: Arc<TlsSettings>,
    current: Replaceable<Tls>,
    /// When the library last looked at the files.
    looked: Mutex<Time>,
}

/// The library looks at the files at most once in this time: connections may come in a burst.
const LOOKS: Duration = Duration::from_secs(1);

impl Rotating {
    pub(super) fn new(source: &Arc<TlsSettings>, first: &Tls) -> Rotating {
        Rotating {
            source: source.clone(),
            current: Replaceable::new(
                first.made_anew(),
                "the files for TLS cannot be used as they are now; the library goes on with what it read before",
            ),
            looked: Mutex::new(Rank::Leaf, Time::default()),
        }
    }

    /// The TLS for a new connection, from the files as they are now.
    pub(super) fn current(&self, wait: Wait<'_>) -> Arc<Tls> {
        let now = Time::now();
        let current = self.current.current();
        let mut looked = self.looked.lock();
        let lately = now.since(*looked) < LOOKS;
        if !lately {
            *looked = now;
        }
        drop(looked);
        if lately {
            return current;
        }
        let source = self.source.clone();
        let look = move |used: &Tls| match source.stamps() == used.stamps {
            true => Ok(None),
            false => source.load().map(Some).map_err(|why| why.message),
        };
        self.current.has_newer(&current, wait, look);
        self.current.current()
    }

    /// Whether there is other TLS than `used`, with which one side refused the other.
    pub(super) fn has_newer(&self, used: &Arc<Tls>, wait: Wait<'_>) -> bool {
        let source = self.source.clone();
        let read = move |used: &Tls| {
            let read = source.load().map_err(|why| why.message)?;
            Ok(Some(read).filter(|read| read.content != used.content))
        };
        self.current.has_newer(used, wait, read)
    }
}

impl Tls {
    /// The same for another process: rustls remembers connections behind a mutex, which may have been locked during
    /// a fork.
    fn made_anew(&self) -> Tls {
        let mut config = (*self.config).clone();
        config.resumption = Resumption::in_memory_sessions(16);
        Tls {
            config: Arc::new(config),
            ..self.clone()
        }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// The name that the certificate at this address must be for.
    pub(super) fn name_at(&self, address: &Address) -> Result<ServerName<'static>, String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let host = match &address.destination {
            // The zone of a link-local address means something on this machine alone.
            Destination::Tcp { host, .. } => host.split('%').next().unwrap_or_default(),
            Destination::Unix(_) => "localhost",
        };
        ServerName::try_from(host.to_owned())
            .map_err(|_| format!("no certificate can be for \"{host}\": set tls_server_name"))
    }
}
