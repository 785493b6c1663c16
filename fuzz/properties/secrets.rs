//! A secret that a server quotes does not survive, in whatever forms it was quoted: at most as deep as the library looks.
//!
//! The lines of an input: the secret; letters for the forms, the innermost first; what stands before it, and behind it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::head;
use crate::consul::credentials::{CredentialSettings, Credentials};
use crate::consul::secrets::Secret;

/// A text of at most this length is looked at as a whole.
const WHOLE: usize = 4 << 10;

pub(super) fn property(data: &[u8]) {
    let (secret, rest) = head(data);
    let (forms, rest) = head(rest);
    let (before, behind) = head(rest);
    let Ok(secret) = std::str::from_utf8(secret) else {
        return;
    };
    // A shorter one is not hidden, and a part of what stands in its place cannot be told from it.
    if secret.len() < 4 || "(hidden)".contains(secret) {
        return;
    }
    let mut quoted = secret.to_owned();
    for form in forms.iter().take(3) {
        quoted = in_form(&quoted, *form);
    }
    // Base64 is a form of the request itself, and not one in which a server quotes.
    if forms.first() == Some(&b'6') {
        quoted = STANDARD.encode(secret);
        for form in forms.iter().skip(1).take(3) {
            quoted = in_form(&quoted, *form);
        }
    }
    if forms.first() == Some(&b'u') {
        quoted = URL_SAFE_NO_PAD.encode(secret);
    }
    let text = format!(
        "{}{quoted}{}",
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(behind)
    );
    if text.len() > WHOLE {
        return;
    }
    for settings in [
        CredentialSettings {
            token: Some(Secret(secret.to_owned())),
            ..CredentialSettings::default()
        },
        CredentialSettings {
            basic: Some(Secret(format!("bob:{secret}"))),
            ..CredentialSettings::default()
        },
    ] {
        let credentials = Credentials::new(settings);
        let hidden = credentials.secrets(&credentials.token()).hide(None, &text);
        is_gone(secret, &quoted, &hidden);
    }
    let none = Credentials::new(CredentialSettings::default());
    let stored = none
        .secrets(&none.token())
        .hide(Some(secret.as_bytes()), &text);
    is_gone(secret, &quoted, &stored);
    let other = none.secrets(&none.token()).hide(None, &text);
    assert_eq!(other, text, "without secrets nothing is hidden");
}

fn is_gone(secret: &str, quoted: &str, hidden: &str) {
    assert!(hidden.contains("(hidden)"), "{hidden:?}");
    for part in hidden.split("(hidden)") {
        assert!(
            !part.contains(secret) && !part.contains(quoted),
            "{hidden:?}"
        );
    }
}

fn in_form(text: &str, form: u8) -> String {
    match form {
        b'j' => {
            let json = serde_json::to_string(text).expect("JSON");
            json[1..json.len() - 1].to_owned()
        }
        b'J' => text.encode_utf16().fold(String::new(), |mut all, unit| {
            let _ = write!(all, "\\u{unit:04x}");
            all
        }),
        b'p' => text.bytes().fold(String::new(), |mut all, byte| {
            let _ = write!(all, "%{byte:02X}");
            all
        }),
        b'f' if !text.contains('+') => text.replace('%', "%25").replace(' ', "+"),
        b'h' => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;"),
        b'H' => text.chars().fold(String::new(), |mut all, c| {
            let _ = write!(all, "&#{};", u32::from(c));
            all
        }),
        _ => text.to_owned(),
    }
}
