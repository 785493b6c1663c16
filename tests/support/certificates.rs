//! Certificates of a CA of the tests' own, made anew each time.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType, date_time_ymd,
};

use super::agent::temporary_folder;

/// A CA, and the folder for what it has signed, removed with it.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    pem: String,
}

impl Drop for Ca {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Files in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Valid {
    Now,
    UntilLongAgo,
    FromLater,
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

impl Ca {
    pub(crate) fn new(name: &str) -> Ca {
        Ca::with(name, |_| {})
    }

    /// One whose own certificate is made with `change`.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Ca {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        let folder = temporary_folder();
        std::fs::write(folder.join("ca.pem"), &pem).expect("written");
        Ca {
            issuer: Issuer::new(params, key),
            folder,
            pem,
        }
    }

    /// Its certificate.
    pub(crate) fn file(&self) -> String {
        text(&self.folder.join("ca.pem"))
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A file of the CA's folder.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, content).expect("written");
        text(&path)
    }

    /// A new folder in the CA's.
    pub(crate) fn folder(&self, name: &str) -> String {
        let path = self.folder.join(name);
        std::fs::create_dir(&path).expect("a folder");
        text(&path)
    }

    /// A certificate for a server with these names or addresses.
    pub(crate) fn server(&self, names: &[&str], valid: Valid) -> Pair {
        let key = KeyPair::generate().expect("a key");
        self.issue("server", names, &key, valid)
    }

    /// A certificate for a client, with its key in PKCS#8.
    pub(crate) fn client(&self, valid: Valid) -> Pair {
        let key = KeyPair::generate().expect("a key");
        self.issue("client", &["client.dc1.consul"], &key, valid)
    }

    /// The same with its key in SEC1.
    pub(crate) fn client_with_sec1_key(&self) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut pair = self.issue("sec1", &["client.dc1.consul"], &key, Valid::Now);
        let pem = pem("EC PRIVATE KEY", &inside_pkcs8(&key.serialize_der()));
        pair.key = self.write("sec1.rekeyed.pem", &pem);
        pair
    }

    /// The same with an RSA key in PKCS#1.
    pub(crate) fn client_with_pkcs1_key(&self) -> Pair {
        let made = Command::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ])
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        let pkcs8 = String::from_utf8(made.stdout).expect("PEM");
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256).expect("a key");
        let mut pair = self.issue("pkcs1", &["client.dc1.consul"], &key, Valid::Now);
        let pem = pem("RSA PRIVATE KEY", &inside_pkcs8(&key.serialize_der()));
        pair.key = self.write("pkcs1.rekeyed.pem", &pem);
        pair
    }

    /// A certificate that its server has made and signed itself, as `openssl req -x509` does: it says
    /// that it is a CA's.
    pub(crate) fn self_signed(&self, names: &[&str], valid: Valid) -> Pair {
        self.self_signed_with(names, valid, |_| {})
    }

    /// The same, made with `change`.
    pub(crate) fn self_signed_with(
        &self,
        names: &[&str],
        valid: Valid,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params = params("self-signed", names, valid);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        self.pair("self-signed", valid, &certificate.pem(), &key)
    }

    fn issue(&self, file: &str, names: &[&str], key: &KeyPair, valid: Valid) -> Pair {
        let params = params(file, names, valid);
        let certificate = params.signed_by(key, &self.issuer).expect("signed");
        self.pair(file, valid, &certificate.pem(), key)
    }

    fn pair(&self, file: &str, valid: Valid, certificate: &str, key: &KeyPair) -> Pair {
        let valid = valid as u8;
        Pair {
            certificate: self.write(&format!("{file}{valid}.pem"), certificate),
            key: self.write(&format!("{file}{valid}.key.pem"), &key.serialize_pem()),
        }
    }

    /// What `openssl` makes of these arguments: `KEY` and `CERTIFICATE` among them become the files.
    pub(crate) fn openssl(&self, file: &str, commands: &[&[&str]]) -> Pair {
        let pair = Pair {
            certificate: text(&self.folder.join(format!("{file}.pem"))),
            key: text(&self.folder.join(format!("{file}.key.pem"))),
        };
        for command in commands {
            let arguments = command.iter().map(|argument| match *argument {
                "KEY" => pair.key.as_str(),
                "CERTIFICATE" => &pair.certificate,
                argument => argument,
            });
            let made = Command::new("openssl").args(arguments).output();
            let made = made.expect("openssl");
            assert!(made.status.success(), "{made:?}");
        }
        pair
    }
}

fn params(name: &str, names: &[&str], valid: Valid) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
        })
        .collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    match valid {
        Valid::Now => {}
        Valid::UntilLongAgo => {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        Valid::FromLater => params.not_before = date_time_ymd(4000, 1, 1),
    }
    params
}

/// The key itself, as the type has it: the last octet string of a PKCS#8 structure (RFC 5208).
fn inside_pkcs8(der: &[u8]) -> Vec<u8> {
    let mut rest = open(der, 0x30).0;
    for _ in ["version", "algorithm"] {
        rest = open(rest, rest[0]).1;
    }
    open(rest, 0x04).0.to_vec()
}

/// The content of the first element, and what follows it.
fn open(der: &[u8], tag: u8) -> (&[u8], &[u8]) {
    assert_eq!(der[0], tag);
    let (length, at) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length = der[2..2 + bytes].iter();
            (
                length.fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                2 + bytes,
            )
        }
    };
    der[at..].split_at(length)
}

fn pem(title: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    format!(
        "-----BEGIN {title}-----\n{}\n-----END {title}-----\n",
        lines.join("\n")
    )
}
