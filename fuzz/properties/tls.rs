//! Files of TLS: certificates and keys in PEM, and the DER inside of it. No refusal shows what a file has.
//!
//! The first byte of an input says what the rest is: a file of CAs, a certificate with its key, DER to be put into PEM, or a
//! name of a server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{MARK, file, is_fit_to_show};
use crate::consul::tls::TlsSettings;
use crate::options::{OptionPlace, Options};

pub(super) fn property(data: &[u8]) {
    let Some((what, content)) = data.split_first() else {
        return;
    };
    let in_pem = match what {
        b'd' => {
            let body = STANDARD.encode(content);
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into_bytes()
        }
        _ => content.to_vec(),
    };
    let path = file("tls", &[&in_pem, MARK.as_bytes()].concat());
    let path = path.to_string_lossy();
    let mut options = Options::new();
    let mut set = |name, value: &str| options.set(name, value).is_ok();
    let is_set = match what {
        b'o' => set("client_cert", &path) && set("client_key", &path) && set("ca_file", &path),
        b'n' => {
            let name = String::from_utf8_lossy(content);
            set("tls_server_name", &name) && set("ca_file", &path)
        }
        _ => set("ca_file", &path),
    };
    if !is_set {
        return;
    }
    let values = options
        .values_for(OptionPlace::Client)
        .expect("options of a client");
    let loaded = TlsSettings::new(values).and_then(|settings| settings.load());
    if let Err(error) = loaded {
        let message = error.message.replace(&*path, "");
        assert!(
            is_fit_to_show(&message) && message.len() < 2_000,
            "{message}"
        );
        assert!(!message.contains(MARK), "{message}");
    }
}
