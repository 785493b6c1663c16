//! The failures of TLS in words that say which side refused what.

use std::io;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{AlertDescription as Alert, CertificateError, Error as TlsError};

use super::{Tls, certificate};

impl Tls {
    /// What went wrong, and which side refused what.
    pub(in crate::consul) fn explain(&self, error: &TlsError) -> String {
        match error {
            TlsError::InvalidCertificate(error) => {
                format!(
                    "the library refuses Consul's certificate: {}",
                    of_certificate(error)
                )
            }
            TlsError::AlertReceived(alert) => self.of_alert(*alert),
            TlsError::InvalidMessage(_) => {
                "the server at this address does not speak TLS; for plain HTTP \
                                            use http:// and no CONSUL_HTTP_SSL (option ssl)"
                    .to_owned()
            }
            error => format!("TLS failed: {error}"),
        }
    }

    fn of_alert(&self, alert: Alert) -> String {
        let name = format!("(alert {alert:?})");
        let refused = |why: &str| format!("Consul refused the client certificate: {why} {name}");
        if is_about_our_certificate(&TlsError::AlertReceived(alert))
            && let Some(why) = self.own.as_ref().and_then(not_valid_now)
        {
            return refused(&why);
        }
        let set = "set client_cert and client_key (CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY)";
        match alert {
            Alert::HandshakeFailure => {
                let or = match self.own {
                    None => format!("either Consul requires a client certificate ({set}), or "),
                    Some(_) => String::new(),
                };
                format!(
                    "Consul refused the TLS handshake {name}: {or}both sides share no protocol \
                     version or algorithm (a P-521 key is not supported)"
                )
            }
            Alert::CertificateRequired | Alert::BadCertificate if self.own.is_none() => {
                format!("Consul wants a client certificate and the library has none {name}; {set}")
            }
            Alert::CertificateExpired => refused("it has expired"),
            Alert::UnknownCA => refused("it is of a CA that Consul does not trust"),
            Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateRequired
            | Alert::DecryptError
            | Alert::AccessDenied => {
                refused("it is of a CA that Consul does not trust, or not for clients")
            }
            Alert::UnrecognisedName => {
                format!("Consul has no certificate for that name {name}; set tls_server_name")
            }
            _ => format!("Consul refused the TLS handshake {name}"),
        }
    }
}

/// Whether one side will refuse the other again. Any other failure may pass.
pub(in crate::consul) fn is_final(error: &TlsError) -> bool {
    match error {
        TlsError::InvalidCertificate(_)
        | TlsError::InvalidMessage(_)
        | TlsError::NoCertificatesPresented
        | TlsError::PeerIncompatible(_)
        | TlsError::AlertReceived(
            Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName,
        ) => true,
        error => is_about_our_certificate(error),
    }
}

/// Whether Consul's TLS refuses the client certificate, or misses one. Then Consul has seen no request.
pub(in crate::consul) fn is_about_our_certificate(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::AlertReceived(
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::CertificateRequired
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
    )
}

/// The failure of TLS inside an error of a connection.
pub(in crate::consul) fn error_in(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// Why a certificate is not valid by its dates. Many servers do not say why they refuse a certificate, but the
/// library can read its dates.
fn not_valid_now(certificate: &CertificateDer<'_>) -> Option<String> {
    let claims = certificate::claims(certificate)?;
    let why = claims.valid_at(UnixTime::now().as_secs()).err()?;
    Some(of_certificate(&why))
}

/// webpki's word for a server that shows the certificate of a CA.
const CA_FOR_SERVER: &str = "CaUsedAsEndEntity";

pub(super) fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "no CA that the library trusts has signed it; set ca_file \
                                            (CONSUL_CACERT) to the CA of this Consul"
                .to_owned()
        }
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
