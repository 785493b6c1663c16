//! Keys: what is taken is one key of Consul's that no part of the way changes, and the URL says it percent-encoded.

use crate::consul::encode::{Scope, encode};
use crate::core::messages::Request;
use crate::key::{full, plain};

pub(super) fn property(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (pattern, key) = text.split_once('\n').unwrap_or(("locks/%s", text));
    let pattern = if pattern.contains("%s") {
        pattern
    } else {
        "%s"
    };
    match full(pattern, key) {
        Ok(whole) => {
            assert_eq!(*whole, pattern.replacen("%s", key, 1));
            assert_eq!(
                plain(&whole).as_deref(),
                Ok(&*whole),
                "the rules are the same"
            );
            assert!(!whole.starts_with('/') && !whole.contains("//"));
            assert!(!whole.chars().any(char::is_control));
            assert!(
                !whole
                    .split('/')
                    .any(|part| [".", "..", ".fifo", ".share"].contains(&part))
            );
            is_sent_as_it_is(&whole);
        }
        Err(error) => {
            assert!(super::is_fit_to_show(&error.message), "{}", error.message);
            assert!(error.message.len() < 1_200, "{}", error.message);
        }
    }
}

fn is_sent_as_it_is(key: &str) {
    let request = Request::Read {
        key: key.into(),
        consistent: false,
    };
    let target = encode(&request, &Scope::default()).expect("memory").target;
    let sent = target.strip_prefix("/v1/kv/").expect("a path");
    assert!(sent.len() <= 60_000);
    assert!(
        sent.bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#\"<>".contains(&byte))
    );
    assert_eq!(decoded(sent), key.as_bytes());
}

fn decoded(text: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        plain.push(match byte {
            b'%' => {
                let digits = std::str::from_utf8(&more[..2]).expect("digits");
                rest = &more[2..];
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            byte => *byte,
        });
    }
    plain
}
