//! TLS: how it is spoken, and its failures in words that say which side refused what. The only user of
//! rustls but for the connection itself (`stream.rs`).

mod certificate;
mod source;
mod trust;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError};

use super::address::{Address, Place};
use super::errand::Wait;
use super::files::Stamp;
use super::replaceable::Replaceable;
use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
pub(crate) use source::Source;

/// How TLS is spoken to Consul, as the files say that were read.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// The name that certificates must be for, whatever the address.
    name: Option<ServerName<'static>>,
    /// Our own certificate, if we have one.
    own: Option<CertificateDer<'static>>,
    /// What the files were like before they were read.
    stamps: Vec<Stamp>,
    /// The hash of what was in them.
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
    /// Made from the same.
    fn eq(&self, other: &Tls) -> bool {
        self.content == other.content && self.stamps == other.stamps
    }
}

/// The TLS of one process, made anew when its files are replaced.
#[derive(Debug)]
pub(super) struct Rotating {
    source: Arc<Source>,
    current: Replaceable<Tls>,
    /// When the files were looked at last.
    looked: Mutex<Time>,
}

/// New connections in a burst need no look each.
const LOOKS: Duration = Duration::from_secs(1);

impl Rotating {
    pub(super) fn new(source: &Arc<Source>, first: &Tls) -> Rotating {
        Rotating {
            source: source.clone(),
            current: Replaceable::new(
                first.made_anew(),
                "the files for TLS cannot be used as they are now; what was read before stays in use",
            ),
            looked: Mutex::new(Rank::Leaf, Time::default()),
        }
    }

    /// For a new connection: of the files as they are now.
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

    /// One side refused the other because of `used`: is there another one by now?
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
    /// The same for a process of its own: what is remembered of connections is behind a mutex, which
    /// a fork may have found locked.
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
        let host = match &address.place {
            // The zone of a link-local address is this machine's own matter.
            Place::Tcp { host, .. } => host.split('%').next().unwrap_or_default(),
            Place::Unix(_) => "localhost",
        };
        ServerName::try_from(host.to_owned())
            .map_err(|_| format!("no certificate can be for \"{host}\": set tls_server_name"))
    }

    /// What went wrong, and who refused what.
    pub(super) fn explain(&self, error: &TlsError) -> String {
        match error {
            TlsError::InvalidCertificate(error) => {
                format!("we refuse Consul's certificate: {}", of_certificate(error))
            }
            TlsError::AlertReceived(alert) => self.of_alert(*alert),
            TlsError::InvalidMessage(_) => "it does not speak TLS at this address; for plain HTTP \
                                            use http:// and no CONSUL_HTTP_SSL (option ssl)"
                .to_owned(),
            error => format!("TLS failed: {error}"),
        }
    }

    fn of_alert(&self, alert: AlertDescription) -> String {
        use AlertDescription as A;
        let name = format!("{alert:?}");
        if is_about_our_certificate(&TlsError::AlertReceived(alert))
            && let Some(why) = self.own.as_ref().and_then(not_valid_now)
        {
            return format!("Consul refused our client certificate: {why} (alert {name})");
        }
        match alert {
            A::HandshakeFailure => {
                let nothing_shared = "both sides share no protocol version or algorithm (a P-521 key is not \
                                      supported)";
                let why = match self.own {
                    None => format!(
                        "either it requires a client certificate (set client_cert and client_key, \
                         CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY), or {nothing_shared}"
                    ),
                    Some(_) => nothing_shared.to_owned(),
                };
                format!("Consul rejected the TLS handshake (alert {name}): {why}")
            }
            A::CertificateRequired | A::BadCertificate if self.own.is_none() => {
                format!(
                    "Consul wants a client certificate and we sent none (alert {name}); set \
                     client_cert and client_key (CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY)"
                )
            }
            A::CertificateExpired => {
                format!("Consul refused our client certificate: it has expired (alert {name})")
            }
            A::UnknownCA => format!(
                "Consul refused our client certificate: it is of a CA that Consul does not trust \
                 (alert {name})"
            ),
            A::BadCertificate
            | A::CertificateUnknown
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateRequired
            | A::DecryptError
            | A::AccessDenied => format!(
                "Consul refused our client certificate: it is of a CA that Consul does not trust, or \
                 not for clients (alert {name})"
            ),
            A::UnrecognisedName => format!(
                "Consul has no certificate for that name (alert {name}); set tls_server_name"
            ),
            _ => format!("Consul refused the TLS handshake (alert {name})"),
        }
    }
}

/// One side will not have the other, today or tomorrow. Anything else may be a moment's trouble.
pub(super) fn is_final(error: &TlsError) -> bool {
    use AlertDescription as A;
    match error {
        TlsError::InvalidCertificate(_)
        | TlsError::InvalidMessage(_)
        | TlsError::NoCertificatesPresented
        | TlsError::PeerIncompatible(_)
        | TlsError::AlertReceived(
            A::HandshakeFailure
            | A::ProtocolVersion
            | A::InsufficientSecurity
            | A::UnrecognisedName,
        ) => true,
        error => is_about_our_certificate(error),
    }
}

/// Consul's TLS refuses our certificate, or misses it: it hands no request on.
pub(super) fn is_about_our_certificate(error: &TlsError) -> bool {
    use AlertDescription as A;
    matches!(
        error,
        TlsError::AlertReceived(
            A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::CertificateRequired
                | A::UnknownCA
                | A::AccessDenied
        )
    )
}

/// What TLS said in an error of a connection.
pub(super) fn error_in(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// Many servers do not say why they refuse a certificate; its dates we can see ourselves. They are
/// looked at first, before anybody asks whose CA it is of.
fn not_valid_now(certificate: &CertificateDer<'_>) -> Option<String> {
    let facts = certificate::facts(certificate)?;
    let why = facts.valid_at(UnixTime::now().as_secs()).err()?;
    Some(of_certificate(&why))
}

/// How webpki says that a server shows the certificate of a CA.
const CA_FOR_SERVER: &str = "CaUsedAsEndEntity";

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no CA that we trust has signed it; set ca_file \
                                            (CONSUL_CACERT) to the CA of this Consul"
            .to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            let presented: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            let presented = match presented.as_slice() {
                [] => "no name at all".to_owned(),
                names => names.join(", "),
            };
            format!(
                "it is not for {expected} but for {presented}; set tls_server_name \
                 (CONSUL_TLS_SERVER_NAME) to the name that it must be for"
            )
        }
        CertificateError::NotValidForName => "it is not for that name".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            format!("it expired {} ago, by this machine's clock", span(since))
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = not_before.as_secs().saturating_sub(time.as_secs());
            format!(
                "it begins to be valid in {}, by this machine's clock",
                span(left)
            )
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for a server".to_owned()
        }
        CertificateError::Other(other) => match &*other.to_string() {
            CA_FOR_SERVER => {
                "it is the certificate of a CA (CA:TRUE); make one for a server, or set ca_file \
                              (CONSUL_CACERT) to this very one"
                    .to_owned()
            }
            "UnsupportedCertVersion" => {
                "it is of X.509 version 1; make one of version 3".to_owned()
            }
            other => other.to_owned(),
        },
        error => error.to_string(),
    }
}

/// `DnsName("server.dc1.consul")` is how rustls shows a name.
fn plain_name(name: &str) -> &str {
    let inside = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
