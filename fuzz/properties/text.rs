//! One line out of any text. The first byte of an input says how long the line may be.

use crate::text::one_line;

pub(super) fn property(data: &[u8]) {
    let (most, text) = data
        .split_first()
        .map_or((0, data), |(most, text)| (usize::from(*most), text));
    let text = String::from_utf8_lossy(text);
    let line = one_line(&text, most);
    assert!(line.chars().count() <= most);
    assert!(
        !line
            .chars()
            .any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
    );
    assert_eq!(one_line(&line, most), line.trim());
    // What can be shown stays.
    if text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= most {
        assert_eq!(line, text);
    }
}
