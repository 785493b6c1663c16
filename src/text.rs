//! Makes texts that came from Consul or a proxy fit for a message.

/// One line of at most `most` characters: line breaks and tabs become spaces, and characters that cannot be shown
/// (control characters, marks that turn the direction of a line) become question marks.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    text.trim().chars().map(shown).take(most).collect()
}

fn shown(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '"' | '\'' | '\\' => c,
        // Debug escapes the characters that cannot be shown.
        c if c.escape_debug().len() == 1 => c,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_short_line() {
        for (text, line) in [
            ("", ""),
            (" \r\n", ""),
            ("No cluster leader\n", "No cluster leader"),
            ("a\r\nb\tc", "a  b c"),
            (
                "it's \"C:\\x\" é ü 中 \u{1f600}",
                "it's \"C:\\x\" é ü 中 \u{1f600}",
            ),
            ("\u{1b}[31mred\u{7}\0", "?[31mred??"),
            ("a\u{202e}b\u{2028}c\u{85}d\u{feff}e", "a?b?c?d?e"),
            ("0123456789abc", "0123456789"),
        ] {
            assert_eq!(
                one_line(text, 10.max(line.chars().count())),
                line,
                "{text:?}"
            );
        }
    }
}
