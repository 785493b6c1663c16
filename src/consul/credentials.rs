//! What proves to Consul who we are: the token, which may be replaced while we run, and HTTP basic
//! authentication.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::log::{self, Level};

/// A token or another text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// No token is longer; what is, is another file.
const LONGEST: u64 = 64 << 10;

/// Where the credentials come from: configuration, the same in a child after a fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// What the file said at first, where there is one.
    pub(crate) token: Option<Secret>,
    pub(crate) file: Option<PathBuf>,
    /// The value of the header.
    pub(crate) basic: Option<Secret>,
}

/// A token that can be sent as a header.
pub(crate) fn token(text: &str) -> Result<Secret, &'static str> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret(text.to_owned()))
    } else {
        Err("the token has characters that cannot be sent (a line break, perhaps)")
    }
}

/// The token in a file. Opened by its path each time: whoever replaces a token replaces the file, or
/// a symbolic link to it.
pub(crate) fn read_file(path: &Path) -> Result<Secret, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(told)?;
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(told)?;
    match text.trim() {
        _ if text.len() as u64 > LONGEST => Err(format!(
            "{} is longer than {LONGEST} bytes, and no file of a token",
            path.display()
        )),
        "" => Err(format!("{} is empty", path.display())),
        text => token(text).map_err(|why| format!("{}: {why}", path.display())),
    }
}

/// The header for `user:password`, or `user` alone, as Consul's Go client makes it.
pub(crate) fn basic(user_and_password: &str) -> Secret {
    let whole = match user_and_password.contains(':') {
        true => user_and_password.to_owned(),
        false => format!("{user_and_password}:"),
    };
    Secret(format!("Basic {}", BASE64.encode(whole)))
}

/// What is sent now.
#[derive(Debug)]
pub(crate) struct Credentials {
    source: Source,
    token: Mutex<Option<Arc<Secret>>>,
}

impl Credentials {
    pub(crate) fn new(source: Source) -> Credentials {
        let token = source.token.clone().map(Arc::new);
        Credentials {
            source,
            token: Mutex::new(token),
        }
    }

    /// The token to send.
    pub(crate) fn token(&self) -> Option<Arc<Secret>> {
        let token = self.token.lock();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Consul refused `sent`: is there another one by now?
    pub(crate) fn has_newer_token(&self, sent: Option<&Arc<Secret>>) -> bool {
        let Some(path) = &self.source.file else {
            return false;
        };
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have read it meanwhile.
        if token.as_ref() != sent {
            return true;
        }
        match read_file(path) {
            Ok(found) => {
                let found = Some(Arc::new(found));
                let newer = *token != found;
                *token = found;
                newer
            }
            Err(why) => {
                drop(token);
                let line = format!("Consul refused the token, and its file gives no other: {why}");
                log::write(Level::Warn, &line);
                false
            }
        }
    }

    /// Takes the credentials that were sent out of a text.
    pub(crate) fn hide(&self, token: Option<&Secret>, text: &mut Vec<u8>) {
        let basic = self.source.basic.as_ref();
        let basic = basic.map(|header| header.0.trim_start_matches("Basic "));
        for secret in token.map(|token| token.0.as_str()).into_iter().chain(basic) {
            hide(text, secret.as_bytes());
        }
    }

    /// The `Authorization` header.
    pub(crate) fn basic(&self) -> Option<&Secret> {
        self.source.basic.as_ref()
    }
}

/// Takes a secret out of a text. One of three characters or less is none.
pub(super) fn hide(text: &mut Vec<u8>, secret: &[u8]) {
    const HIDDEN: &[u8] = b"(hidden)";
    if secret.len() < 4 {
        return;
    }
    let mut from = 0;
    while let Some(rest) = text.get(from..)
        && let Some(at) = rest.windows(secret.len()).position(|part| part == secret)
    {
        text.splice(from + at..from + at + secret.len(), HIDDEN.iter().copied());
        from += at + HIDDEN.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_as_gos_client_sends_them() {
        assert_eq!(basic("user:pass:word").0, "Basic dXNlcjpwYXNzOndvcmQ=");
        assert_eq!(basic("user").0, "Basic dXNlcjo=");
    }

    #[test]
    fn secrets_are_taken_out_of_texts() {
        let credentials = Credentials::new(Source {
            basic: Some(basic("user:pass")),
            ..Source::default()
        });
        let token = Secret("hunter2".to_owned());
        let mut text = b"hunter2, hunter and Basic dXNlcjpwYXNz; hunter2".to_vec();
        credentials.hide(Some(&token), &mut text);
        assert_eq!(text, b"(hidden), hunter and Basic (hidden); (hidden)");
    }

    #[test]
    fn a_file_is_read_again_by_its_path_and_only_then() {
        let folder = std::env::temp_dir().join(format!("token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("token");
        let write = |text: &str| {
            let aside = folder.join("aside");
            std::fs::write(&aside, text).expect("written");
            std::fs::rename(&aside, &path).expect("in place");
        };
        write("first\n");
        let credentials = Credentials::new(Source {
            token: Some(read_file(&path).expect("a token")),
            file: Some(path.clone()),
            basic: None,
        });
        let first = credentials.token();
        assert_eq!(first.as_deref(), Some(&Secret("first".to_owned())));
        assert!(!credentials.has_newer_token(first.as_ref()));
        write(" second \r\n");
        assert_eq!(credentials.token(), first, "not before it is refused");
        assert!(credentials.has_newer_token(first.as_ref()));
        let second = credentials.token();
        assert_eq!(second.as_deref(), Some(&Secret("second".to_owned())));
        assert!(
            credentials.has_newer_token(first.as_ref()),
            "for a latecomer"
        );
        let long = "a".repeat(LONGEST as usize + 1);
        for bad in ["", " \n", "a\nb", &long] {
            write(bad);
            let why = read_file(&path).expect_err("no token");
            assert!(why.len() < 200 && !why.contains("a\nb"), "{why}");
            assert!(!credentials.has_newer_token(second.as_ref()));
            assert_eq!(credentials.token(), second, "the old one stays");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(!credentials.has_newer_token(second.as_ref()));
    }
}
