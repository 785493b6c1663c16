//! A token, alone and in a file: what is taken can be sent as a header, and no refusal shows what the file has.

use super::{MARK, file};
use crate::consul::credentials::{read_file, token};

pub(super) fn property(data: &[u8]) {
    let text = std::str::from_utf8(data);
    if let Ok(text) = text {
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
        assert_eq!(token(text).is_ok(), fits);
    }
    let path = file("token", data);
    match (read_file(&path), text) {
        (Ok(read), Ok(text)) => {
            assert_eq!(read.0, text.trim());
            assert!(!read.0.is_empty() && read.0.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        (Ok(_), Err(_)) => panic!("not UTF-8"),
        (Err(why), _) => {
            assert!(
                why.starts_with(&*path.to_string_lossy()) && why.len() < 500,
                "{why}"
            );
        }
    }
    let path = file("token", &[data, b"\n", MARK.as_bytes()].concat());
    if let Err(why) = read_file(&path) {
        assert!(!why.contains(MARK), "{why}");
    }
}
