//! `include/consul_lock.h` is what the source says, and compiles in every C and C++ that we promise.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{differs, root, scratch};

/// Version macros and the attribute, which cbindgen cannot make from Cargo.toml.
fn preamble() -> String {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ]
    .map(|part| part.parse::<u32>().expect("a number"));
    let number = major * 1_000_000 + minor * 1_000 + patch;
    format!(
        "\n/** The version of this header; that of the library is consul_lock_version(). */
#define CONSUL_LOCK_VERSION \"{major}.{minor}.{patch}\"
/** The first number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MAJOR {major}
/** The second number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MINOR {minor}
/** The third number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_PATCH {patch}
/** For comparisons: major * 1000000 + minor * 1000 + patch. */
#define CONSUL_LOCK_VERSION_NUMBER {number}

/** The result of such a function must be looked at. */
#if defined(__GNUC__) || defined(__clang__)
#define CONSUL_LOCK_MUST_USE __attribute__((warn_unused_result))
#else
#define CONSUL_LOCK_MUST_USE
#endif"
    )
}

fn generated() -> String {
    let mut config =
        cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    config.after_includes = Some(preamble());
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_crate(root())
        .generate()
        .expect("cbindgen understands src/ffi");
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    text.replace("CONSUL_LOCK_STATUS_", "CONSUL_LOCK_")
        .replace("CONSUL_LOCK_EVENT_TYPE_", "CONSUL_LOCK_EVENT_")
}

#[test]
fn the_header_is_what_the_source_says() {
    differs(
        &root().join("include/consul_lock.h"),
        &generated(),
        "UPDATE_HEADER=1 cargo test --test all header::",
    );
}

/// Compiles a file that includes the header twice and nothing else.
fn compiles(compiler: &str, standard: &str, source: &Path) {
    let output = Command::new(compiler)
        .args([
            &format!("-std={standard}"),
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
        ])
        .args(["-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .arg(source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} -std={standard}: {said}"
    );
}

fn twice(name: &str, header: &str) -> PathBuf {
    let source = scratch("header").join(name);
    let text = format!("#include <{header}>\n#include <{header}>\nint made_of_nothing_else;\n");
    std::fs::write(&source, text).expect("a scratch file");
    source
}

#[test]
fn the_header_compiles_alone_and_twice_in_every_c() {
    let source = twice("twice.c", "consul_lock.h");
    for standard in ["c99", "c11", "c17", "c2x"] {
        compiles("gcc", standard, &source);
    }
}

#[test]
fn the_header_compiles_alone_and_twice_in_every_cpp() {
    let source = twice("twice.cpp", "consul_lock.h");
    for standard in ["c++11", "c++14", "c++17", "c++20"] {
        compiles("g++", standard, &source);
    }
}

#[test]
fn the_cpp_header_compiles_alone_and_twice() {
    let source = twice("twice_hpp.cpp", "consul_lock.hpp");
    for standard in ["c++17", "c++20"] {
        compiles("g++", standard, &source);
    }
}

#[test]
fn an_ignored_acquire_is_a_warning() {
    let source = scratch("header").join("ignored.c");
    let text = "#include <consul_lock.h>\nvoid f(consul_lock *l) { consul_lock_acquire(l, 0); }\n";
    std::fs::write(&source, text).expect("a scratch file");
    let output = Command::new("gcc")
        .args(["-std=c99", "-c", "-o", "/dev/null", "-I"])
        .arg(root().join("include"))
        .arg(&source)
        .output()
        .expect("gcc");
    assert!(String::from_utf8_lossy(&output.stderr).contains("unused-result"));
}

#[test]
fn the_header_takes_no_names_but_its_own() {
    let text = std::fs::read_to_string(root().join("include/consul_lock.h")).expect("the header");
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("#define "))
    {
        assert!(line.starts_with("CONSUL_LOCK_"), "{line}");
    }
    for line in text.lines().filter(|line| line.starts_with("typedef")) {
        assert!(
            line.contains("consul_lock") || line == "typedef enum {",
            "{line}"
        );
    }
}
