//! The settings of TLS. The library reads the files that they name, again when they are replaced.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error as TlsError};

use super::Tls;
use super::trust::{Root, Trusted, Verifier};
use crate::consul::files::{self, Stamp};
use crate::error::{Error, Status};
use crate::options::{OptionValues, Setting};
use crate::sys;

/// How many bytes a file of certificates or of a key may have.
const LONGEST: u64 = 4 << 20;

/// How many bytes all files of CAs may have together.
const LONGEST_OF_ALL: usize = 32 << 20;

/// The settings of TLS.
pub(crate) struct TlsSettings {
    name: Option<ServerName<'static>>,
    verifies: bool,
    own: Option<Files>,
    cas: Cas,
}

/// The CAs that may have signed Consul's certificate.
enum Cas {
    File(Setting<String>),
    Folder(Setting<String>),
    /// The CAs of the system: the first of these files that can be read, and every file of the folders.
    System {
        files: Vec<PathBuf>,
        folders: Vec<PathBuf>,
    },
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsSettings").field(&self.shown()).finish()
    }
}

/// `client_cert` and `client_key`.
type Files = (Setting<String>, Setting<String>);

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Where systems keep the CAs that they trust: the files that Go's crypto/x509 looks for.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const FOLDERS: &str = "/etc/ssl/certs:/etc/pki/tls/certs";

impl TlsSettings {
    /// Reads no file.
    pub(crate) fn new(settings: &OptionValues) -> Result<TlsSettings, Error> {
        // Half a pair is a mistake, also without TLS.
        let own = both_or_neither(settings)?;
        let name = settings.text("tls_server_name").map(|name| {
            server_name(&name.value)
                .ok_or_else(|| name.wrong("no certificate can be for that name"))
        });
        let cas = match (settings.text("ca_file"), settings.text("ca_path")) {
            (Some(file), _) => Cas::File(file),
            (None, Some(folder)) => Cas::Folder(folder),
            (None, None) => Cas::of_the_system(),
        };
        Ok(TlsSettings {
            name: name.transpose()?,
            verifies: settings.bool("ssl_verify"),
            own,
            cas,
        })
    }

    /// Whether the settings name a file.
    pub(crate) fn names_any(&self) -> bool {
        self.own.is_some() || !matches!(self.cas, Cas::System { .. })
    }

    pub(crate) fn verifies(&self) -> bool {
        self.verifies
    }

    fn named(&self) -> impl Iterator<Item = &Setting<String>> {
        let cas = match &self.cas {
            Cas::File(setting) | Cas::Folder(setting) => Some(setting),
            Cas::System { .. } => None,
        };
        let own = self.own.iter();
        cas.into_iter()
            .chain(own.flat_map(|(certificate, key)| [certificate, key]))
    }

    /// The files, for messages.
    pub(crate) fn shown(&self) -> String {
        let named: Vec<&str> = self.named().map(|setting| &*setting.value).collect();
        match named.as_slice() {
            [] => "the system's CAs".to_owned(),
            named => named.join(", "),
        }
    }

    /// An error about the files.
    pub(crate) fn wrong(&self, why: String) -> Error {
        match self.named().next() {
            Some(setting) => setting.wrong(why),
            None => Error::new(Status::Unavailable, why),
        }
    }

    /// The stamps of the files now.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let mut stamps: Vec<Stamp> = self
            .named()
            .map(|setting| Stamp::of(Path::new(&setting.value)))
            .collect();
        let inside = match &self.cas {
            Cas::File(_) => Vec::new(),
            Cas::Folder(folder) => files::all_in(Path::new(&folder.value)).unwrap_or_default(),
            Cas::System { files, folders } => files.iter().chain(folders).cloned().collect(),
        };
        stamps.extend(inside.iter().map(|path| Stamp::of(path)));
        stamps
    }

    /// Reads the files. The error names the setting, and shows nothing of the files' content.
    pub(crate) fn load(&self) -> Result<Tls, Error> {
        let stamps = self.stamps();
        let mut content = DefaultHasher::new();
        let own = match &self.own {
            Some(files) => Some((&files.0, own(files, &mut content)?)),
            None => None,
        };
        let roots = self.cas.load(&mut content)?;
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let internal = |error: TlsError| {
            let why = format!("TLS cannot be set up: {error}");
            Error::new(Status::Internal, why)
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(internal)?;
        let verifier = Verifier {
            trusted: self.verifies.then_some(Trusted { roots }),
            algorithms,
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let first = own
            .as_ref()
            .and_then(|(_, (chain, _))| chain.first().cloned());
        let config =
            match own {
                None => builder.with_no_client_auth(),
                Some((setting, (chain, key))) => builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| match error {
                        TlsError::InconsistentKeys(_) => {
                            setting.wrong("its key (client_key) is not that of the certificate")
                        }
                        error => setting.wrong(format!("it cannot be used: {error}")),
                    })?,
            };
        Ok(Tls {
            config: Arc::new(config),
            name: self.name.clone(),
            own: first,
            stamps,
            content: content.finish(),
        })
    }
}

impl Cas {
    /// SSL_CERT_FILE and SSL_CERT_DIR replace the usual places, as for Go's clients.
    fn of_the_system() -> Cas {
        let variable = |name| {
            let value = sys::secure_getenv(name).filter(|value| !value.is_empty())?;
            String::from_utf8(value).ok()
        };
        let folders = variable("SSL_CERT_DIR").unwrap_or_else(|| FOLDERS.to_owned());
        Cas::System {
            files: match variable("SSL_CERT_FILE") {
                Some(file) => vec![file.into()],
                None => FILES.map(PathBuf::from).to_vec(),
            },
            folders: folders.split(':').map(PathBuf::from).collect(),
        }
    }

    fn load(&self, content: &mut DefaultHasher) -> Result<Vec<Root>, Error> {
        let mut roots = Roots {
            content,
            size: 0,
            found: Vec::new(),
            seen: HashSet::new(),
        };
        let (setting, added) = match self {
            Cas::File(file) => (file, roots.add_file(Path::new(&file.value))),
            Cas::Folder(folder) => (folder, roots.add_folder(Path::new(&folder.value))),
            Cas::System { files, folders } => {
                roots.add_those_of_the_system(files, folders);
                return Ok(roots.found);
            }
        };
        added.map_err(|why| setting.wrong(why))?;
        if roots.found.is_empty() {
            return Err(setting.wrong(format!("{} has no certificate in PEM", setting.value)));
        }
        Ok(roots.found)
    }
}

/// The CAs that the library has read.
struct Roots<'a> {
    content: &'a mut DefaultHasher,
    /// The size of their files in bytes.
    size: usize,
    found: Vec<Root>,
    seen: HashSet<CertificateDer<'static>>,
}

impl Roots<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = files::read(path, LONGEST)?;
        self.size += bytes.len();
        if self.size > LONGEST_OF_ALL {
            let shown = path.display();
            return Err(format!(
                "{shown}: with it the files have more than {LONGEST_OF_ALL} bytes"
            ));
        }
        self.content.write(&bytes);
        Ok(bytes)
    }

    /// Adds the certificate of a CA, unless it is there already.
    fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), TlsError> {
        if self.seen.insert(certificate.clone()) {
            self.found.push(Root::new(certificate)?);
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let bytes = self.read(path)?;
        for certificate in certificates(&bytes).map_err(|why| format!("{shown}: {why}"))? {
            self.add(certificate)
                .map_err(|error| format!("{shown}: no certificate of a CA: {error}"))?;
        }
        Ok(())
    }

    /// Adds every file of a folder and its subfolders. A file need not have a certificate.
    fn add_folder(&mut self, path: &Path) -> Result<(), String> {
        let files = files::all_in(path)?;
        files.iter().try_for_each(|file| self.add_file(file))
    }

    /// Leaves out what cannot be read: if a CA is missing, the refusal of its certificate says so.
    fn add_those_of_the_system(&mut self, files: &[PathBuf], folders: &[PathBuf]) {
        let file = files.iter().find_map(|file| self.read(file).ok());
        let entries = folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok());
        let entries: Vec<_> = entries.flatten().flatten().collect();
        let others = entries
            .iter()
            .filter_map(|entry| self.read(&entry.path()).ok());
        let all: Vec<Vec<u8>> = file.into_iter().chain(others).collect();
        for bytes in all {
            for certificate in CertificateDer::pem_slice_iter(&bytes).flatten() {
                let _ = self.add(certificate);
            }
        }
    }
}

/// The settings `client_cert` and `client_key`: both, or neither.
fn both_or_neither(settings: &OptionValues) -> Result<Option<Files>, Error> {
    match (settings.text("client_cert"), settings.text("client_key")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (Some(certificate), None) => {
            Err(certificate.wrong("the certificate needs its key (client_key, CONSUL_CLIENT_KEY)"))
        }
        (None, Some(key)) => {
            Err(key.wrong("the key needs its certificate (client_cert, CONSUL_CLIENT_CERT)"))
        }
    }
}

/// The client certificate, with those between it and its CA, and its key.
fn own((certificate, key): &Files, content: &mut DefaultHasher) -> Result<Own, Error> {
    let mut read = |file: &Setting<String>| {
        let bytes = files::read(Path::new(&file.value), LONGEST).map_err(|why| file.wrong(why))?;
        content.write(&bytes);
        Ok::<_, Error>(bytes)
    };
    let chain = certificates(&read(certificate)?)
        .map_err(|why| certificate.wrong(format!("{}: {why}", certificate.value)))?;
    if chain.is_empty() {
        let why = format!("{} has no certificate in PEM", certificate.value);
        return Err(certificate.wrong(why));
    }
    // The error of rustls could quote the file.
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| {
        key.wrong(format!(
            "{} has no private key in PEM (PKCS#8, PKCS#1 or SEC1; an encrypted one cannot be used)",
            key.value
        ))
    })?;
    Ok((chain, private))
}

/// The name in a setting. A port behind the name does not count, as in Consul's Go client.
fn server_name(text: &str) -> Option<ServerName<'static>> {
    let without_port = || {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        port.parse::<u16>()
            .is_ok()
            .then(|| ServerName::try_from(host.to_owned()).ok())?
    };
    ServerName::try_from(text.to_owned())
        .ok()
        .or_else(without_port)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // The error of rustls could quote the file.
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    read.map_err(|_| "it is not in PEM".to_owned())
}
