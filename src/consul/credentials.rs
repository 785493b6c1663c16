//! The credentials that Consul asks for: the token, which may be replaced while the program runs, and HTTP basic
//! authentication.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::errand::Wait;
use super::files;
use super::replaceable::Replaceable;
use super::secrets::{Secret, Secrets};

/// A longer file is not the file of a token.
const LONGEST: u64 = 64 << 10;

/// The settings that the credentials come from, the same in a child after a fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CredentialSettings {
    /// The token of the settings, or of the file when the client was made.
    pub(crate) token: Option<Secret>,
    pub(crate) file: Option<PathBuf>,
    /// `user:password`, or a user alone.
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

/// The token in a file. The library opens the file by its path each time: an operator replaces the file, or a
/// symbolic link to the file.
pub(crate) fn read_file(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let bytes = files::read(path, LONGEST)
        .map_err(|why| format!("{why} (it should be the file of a token)"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
    match text.trim() {
        "" => Err(format!("{shown} is empty")),
        text => token(text).map_err(|why| format!("{shown}: {why}")),
    }
}

/// The header for `user:password`, or `user` alone, as Consul's Go client makes the header.
fn header(user_and_password: &str) -> Secret {
    let whole = match user_and_password.contains(':') {
        true => user_and_password.to_owned(),
        false => format!("{user_and_password}:"),
    };
    Secret(format!("Basic {}", BASE64.encode(whole)))
}

/// The credentials that the library sends now.
#[derive(Debug)]
pub(crate) struct Credentials {
    source: CredentialSettings,
    header: Option<Secret>,
    token: Replaceable<Option<Secret>>,
}

/// A token, or none, that a request has sent.
pub(crate) type Token = Arc<Option<Secret>>;

impl Credentials {
    pub(crate) fn new(source: CredentialSettings) -> Credentials {
        Credentials {
            header: source.basic.as_ref().map(|basic| header(&basic.0)),
            token: Replaceable::new(
                source.token.clone(),
                "Consul refused the token, and its file gives no other",
            ),
            source,
        }
    }

    /// The token to send.
    pub(crate) fn token(&self) -> Token {
        self.token.current()
    }

    /// Whether there is another token than `sent`, which Consul refused.
    pub(super) fn has_newer_token(&self, sent: &Token, wait: Wait<'_>) -> bool {
        let Some(path) = self.source.file.clone() else {
            return false;
        };
        self.token.has_newer(sent, wait, move |_| {
            read_file(&path).map(|read| Some(Some(read)))
        })
    }

    /// The secrets that a server knows after a request with this token, and that no error may show.
    pub(crate) fn secrets(&self, sent: &Token) -> Secrets {
        Secrets::new(sent.as_ref().as_ref(), self.source.basic.as_ref())
    }

    /// The `Authorization` header.
    pub(super) fn basic(&self) -> Option<&Secret> {
        self.header.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Time;
    use crate::consul::interrupt::Interrupt;

    #[test]
    fn user_and_password_as_gos_client_sends_them() {
        assert_eq!(header("user:pass:word").0, "Basic dXNlcjpwYXNzOndvcmQ=");
        assert_eq!(header("user").0, "Basic dXNlcjo=");
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
        let credentials = Credentials::new(CredentialSettings {
            token: Some(read_file(&path).expect("a token")),
            file: Some(path.clone()),
            basic: None,
        });
        let interrupt = Interrupt::default();
        let has_newer_token = |sent| {
            let wait = Wait {
                by: Time::now() + Duration::from_secs(60),
                patience: Duration::MAX,
                interrupt: &interrupt,
            };
            credentials.has_newer_token(sent, wait)
        };
        let first = credentials.token();
        assert_eq!(*first, Some(Secret("first".to_owned())));
        assert!(!has_newer_token(&first));
        write(" second \r\n");
        assert_eq!(credentials.token(), first, "not before it is refused");
        assert!(has_newer_token(&first));
        let second = credentials.token();
        assert_eq!(*second, Some(Secret("second".to_owned())));
        assert!(has_newer_token(&first), "for a latecomer");
        let long = "a".repeat(LONGEST as usize + 1);
        for bad in ["", " \n", "a\nb", &long] {
            write(bad);
            let why = read_file(&path).expect_err("no token");
            assert!(why.len() < 200 && !why.contains("a\nb"), "{why}");
            assert!(!has_newer_token(&second));
            assert_eq!(credentials.token(), second, "the old one stays");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(!has_newer_token(&second));
    }
}
