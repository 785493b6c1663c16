//! What must hold for each parser, whatever its input. `fuzz/targets` gives them inputs without end; the unit tests give
//! them those of `fuzz/corpus`, so an input that once broke a property and lies there is a test from then on.
//!
//! The module is a part of the crate (`src/lib.rs`), because the parsers are private. It exists under `cfg(fuzzing)`,
//! which cargo-fuzz sets, and in the unit tests.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::path::PathBuf;

/// Panics if the property does not hold for these bytes.
pub type Property = fn(&[u8]);

/// Each target has a module here, a program in `fuzz/targets`, a corpus, and a unit test.
macro_rules! targets {
    ($count:literal: $($name:ident)*) => {
        $(mod $name;)*

        /// The properties by the names of their targets.
        pub const ALL: [(&str, Property); $count] = [$((stringify!($name), $name::property),)*];

        #[cfg(test)]
        mod inputs_of {
            $(#[test]
            fn $name() {
                super::tests::corpus(stringify!($name), super::$name::property);
            })*
        }
    };
}

mod reading;

targets! {
    15: address answer boundary credentials key locked_at options reader reply rows secrets text ticket tls ttl
}

/// What one of the targets checks.
pub fn check(name: &str, data: &[u8]) {
    let (_, property) = ALL
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target");
    property(data);
}

/// A text that stands in no message of the library's, nor in a dictionary of the fuzzer.
const MARK: &str = "m4rk-0f-what-no-error-sh0ws";

/// The first line, and the rest.
fn head(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// A text that an error may show: one line, and no longer than a person reads.
fn is_fit_to_show(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.len() < 70_000
}

/// A file with this content, of this process and thread alone.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    let name = format!("consul_lock-fuzz-{}-{thread}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).expect("a file");
    path
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Every input of a corpus has the property.
    pub(super) fn corpus(name: &str, property: Property) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("a corpus")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        assert!(
            paths.len() > 2,
            "the corpus of {name} has {} inputs",
            paths.len()
        );
        for path in paths {
            // The name of the input stands in the output of a test that fails.
            println!("{}", path.display());
            property(&std::fs::read(&path).expect("readable"));
        }
    }

    #[test]
    fn each_target_has_a_program() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
        let count = std::fs::read_dir(&targets).expect("the targets").count();
        // One target has a parser of the command (`fuzz/command`).
        assert_eq!(count, ALL.len() + 1);
        for (name, _) in ALL {
            let program = std::fs::read_to_string(targets.join(format!("{name}.rs"))).expect(name);
            assert!(
                program.contains(&format!("check(\"{name}\", data)")),
                "{name}"
            );
        }
    }
}
