//! The library exports what the header declares, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::header::functions;
use crate::support::{library, root};

/// The names that the dynamic linker can find in the library.
fn exported() -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library())
        .output()
        .expect("nm (binutils)");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// `abi/symbols.txt`: a symbol and the version that it came in.
fn recorded() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("abi/symbols.txt")).expect("abi/symbols.txt");
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, version) = line
            .split_once(' ')
            .unwrap_or_else(|| panic!("no version: {line}"));
        assert_eq!(version.split('.').count(), 3, "{line}");
        assert!(names.insert(name.to_owned()), "{name} twice");
    }
    names
}

#[test]
fn the_library_exports_exactly_the_recorded_symbols() {
    assert_eq!(
        exported(),
        recorded(),
        "left: nm -D; right: abi/symbols.txt"
    );
}

#[test]
fn the_header_declares_exactly_the_recorded_symbols() {
    let declared: BTreeSet<String> = functions().into_iter().map(|f| f.name).collect();
    assert_eq!(
        declared,
        recorded(),
        "left: the header; right: abi/symbols.txt"
    );
}

#[test]
fn the_library_has_a_soname_and_stays_mapped() {
    let output = Command::new("readelf")
        .arg("-d")
        .arg(library())
        .output()
        .expect("readelf");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("libconsul_lock.so.0.1"), "{text}");
    assert!(text.contains("NODELETE"), "{text}");
}
