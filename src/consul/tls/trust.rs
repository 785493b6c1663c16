//! Which server passes for Consul. The rules are those of Consul's own client, which is Go's crypto/tls.

use std::fmt;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};

use super::certificate::{self, Claims};
use super::words::of_certificate;

/// Decides whether the other side is Consul. In every mode the other side must prove that it has the key of its
/// certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None: any server passes.
    pub(super) trusted: Option<Trusted>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// A trusted certificate is one that a trusted CA has signed; or, as for Go's clients, one that the settings
/// name: a server made and signed that certificate itself, and most such certificates say that they are a CA's.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) roots: Vec<Root>,
}

/// A trusted certificate.
#[derive(Debug)]
pub(super) struct Root {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    /// webpki asks nothing of a root but its key; Go also asks for these.
    claims: Claims,
}

impl Root {
    pub(super) fn new(certificate: CertificateDer<'static>) -> Result<Root, TlsError> {
        let bad = TlsError::InvalidCertificate(CertificateError::BadEncoding);
        let mut store = RootCertStore::empty();
        store.add(certificate.clone())?;
        Ok(Root {
            anchor: store.roots.pop().ok_or_else(|| bad.clone())?,
            claims: certificate::claims(&certificate).ok_or(bad)?,
            certificate,
        })
    }

    /// Why this root cannot vouch for another certificate.
    fn cannot_sign(&self, now: u64) -> Result<(), String> {
        let why = if let Err(why) = self.claims.valid_at(now) {
            of_certificate(&why)
        } else if !self.claims.signs {
            "it is not marked as a CA's that signs certificates".to_owned()
        } else if !self.claims.for_servers {
            "it is not for servers (its extended key usage)".to_owned()
        } else {
            return Ok(());
        };
        Err(why)
    }
}

impl Trusted {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), TlsError> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let is_it = |root: &&Root| root.certificate == *certificate;
        if let Some(Root { claims, .. }) = self.roots.iter().find(is_it) {
            claims.valid_at(now.as_secs())?;
            if !claims.for_servers {
                return Err(CertificateError::InvalidPurpose.into());
            }
            return verify_server_name(&parsed, name);
        }
        let signed_by = |roots: Vec<&Root>| {
            let roots = roots.into_iter().map(|root| root.anchor.clone()).collect();
            let (store, all) = (RootCertStore { roots }, algorithms.all);
            verify_server_cert_signed_by_trust_anchor(&parsed, &store, between, now, all)
        };
        let (able, unable): (Vec<_>, Vec<_>) = self
            .roots
            .iter()
            .partition(|root| root.cannot_sign(now.as_secs()).is_ok());
        signed_by(able).map_err(|error| {
            if error != CertificateError::UnknownIssuer.into() {
                return error;
            }
            if self.roots.is_empty() {
                return because(NO_CAS.to_owned());
            }
            let signer = unable.iter().find(|root| signed_by(vec![root]).is_ok());
            let why = signer.and_then(|root| root.cannot_sign(now.as_secs()).err());
            why.map_or(error, |why| {
                because(format!("of the CA that has signed it: {why}"))
            })
        })?;
        verify_server_name(&parsed, name)
    }
}

const NO_CAS: &str = "there is no certificate of a CA on this host: install its package ca-certificates, or \
                      set ca_file (CONSUL_CACERT) to the CA of this Consul";

/// A reason for which rustls has no variant.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

fn because(why: String) -> TlsError {
    CertificateError::Other(OtherError(std::sync::Arc::new(Reason(why)))).into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if let Some(trusted) = &self.trusted {
            trusted.verify(certificate, between, name, now, &self.algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
