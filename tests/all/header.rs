//! The headers of `include/` are what the source says, and compile in every C and C++ that we promise.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::header::HEADERS;
use crate::support::{differs, root, scratch};

/// The declarations that cbindgen makes of `src/ffi`, each with its comment, by name.
fn declarations() -> BTreeMap<String, String> {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_crate(root())
        .generate()
        .expect("cbindgen understands src/ffi");
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text)
        .expect("UTF-8")
        .replace("CONSUL_LOCK_STATUS_", "CONSUL_LOCK_")
        .replace("CONSUL_LOCK_EVENT_KIND_T_", "CONSUL_LOCK_EVENT_");
    let text = on_one_line(&text);
    let blocks = text.split("\n\n").map(str::trim);
    let mut all = BTreeMap::new();
    for block in blocks.filter(|block| !block.is_empty()) {
        let (_, code) = block.rsplit_once("*/\n").unwrap_or(("", block));
        let before = all.insert(name(block, code), block.to_owned());
        assert_eq!(before, None, "twice in the output of cbindgen");
    }
    all
}

/// The same text, where a comment of one line takes one line and not three.
fn on_one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (mut out, mut at) = (String::new(), 0);
    while let Some(line) = lines.get(at) {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let whole = match lines.get(at + 1..at + 3).unwrap_or_default() {
            [said, end] if rest == "/**" && end.trim() == "*/" => Some(format!(
                "{indent}/**{} */",
                said.trim().trim_start_matches('*')
            )),
            _ => None,
        };
        let whole = whole.filter(|whole| whole.chars().count() <= 100);
        at += if whole.is_some() { 3 } else { 1 };
        out.push_str(whole.as_deref().unwrap_or(line));
        out.push('\n');
    }
    out
}

/// What a declaration declares.
fn name(block: &str, code: &str) -> String {
    let end_of_word = |text: &str| {
        let word = text.trim_end_matches(';').rsplit([' ', '*', '(']).next();
        word.expect("a word").to_owned()
    };
    if let Some(macro_name) = code.strip_prefix("#define ") {
        return macro_name.split(' ').next().expect("a name").to_owned();
    }
    if let Some((_, tail)) = code.split_once("(*") {
        return tail.split(')').next().expect("a name").to_owned();
    }
    if let Some((head, _)) = code.split_once('(') {
        return end_of_word(head);
    }
    end_of_word(block)
}

/// A header: its template, with the declarations in their places, which are taken away.
fn made_of(template: &str, declarations: &mut BTreeMap<String, String>) -> String {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    let part = |text: &str| text.parse::<u32>().expect("a number");
    let number = part(major) * 1_000_000 + part(minor) * 1_000 + part(patch);
    let template = fs::read_to_string(root().join("abi").join(template)).expect("the template");
    let template = template
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@MAJOR@", major)
        .replace("@MINOR@", minor)
        .replace("@PATCH@", patch)
        .replace("@NUMBER@", &number.to_string());
    let mut text = String::from("/* Generated from src/ffi and abi/. */\n");
    for line in template.lines() {
        match line.strip_prefix('@') {
            Some(name) => text.push_str(&declarations.remove(name).unwrap_or_else(|| {
                panic!("{name} is not in src/ffi, or stands in two places");
            })),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_headers_are_what_the_source_says() {
    let mut left = declarations();
    for header in HEADERS {
        let text = made_of(&format!("{header}.in"), &mut left);
        // The Go module has no other folder's files.
        for folder in ["include", "bindings/go/internal/include"] {
            differs(
                &root().join(folder).join(header),
                &text,
                "UPDATE_HEADER=1 cargo test --test all header::",
            );
        }
    }
    let left: Vec<_> = left.keys().collect();
    assert!(left.is_empty(), "in no template of abi/: {left:?}");
}

#[test]
fn the_table_of_contents_names_the_sections_in_their_order() {
    for header in HEADERS {
        let text = text(header);
        let (_, contents) = text.split_once(" * CONTENTS\n *\n").expect("a table");
        let table = contents
            .lines()
            .map_while(|line| line.strip_prefix(" *     "))
            .map(|line| line.split("  ").next().expect("a title"));
        let banners = text.lines().filter_map(|line| {
            let title = line.strip_prefix("/* ---- ")?;
            title.strip_suffix(" ---- */")
        });
        let table: Vec<_> = table.collect();
        assert!(table.len() > 3, "{table:?}");
        assert_eq!(table, banners.collect::<Vec<_>>(), "{header}");
    }
}

#[test]
fn no_line_is_too_wide_to_be_read() {
    for header in HEADERS.into_iter().chain(["consul_lock.hpp"]) {
        for line in text(header).lines() {
            assert!(line.chars().count() <= 100, "{header}: {line}");
        }
    }
}

fn text(header: &str) -> String {
    fs::read_to_string(root().join("include").join(header)).expect("the header")
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
    fs::write(&source, text).expect("a scratch file");
    source
}

#[test]
fn the_headers_compile_alone_and_twice_in_every_c() {
    for header in HEADERS {
        let source = twice(&format!("twice_{header}.c"), header);
        for standard in ["c99", "c11", "c17", "c2x"] {
            compiles("gcc", standard, &source);
        }
    }
}

#[test]
fn the_headers_compile_alone_and_twice_in_every_cpp() {
    for header in HEADERS {
        let source = twice(&format!("twice_{header}.cpp"), header);
        for standard in ["c++11", "c++14", "c++17", "c++20"] {
            compiles("g++", standard, &source);
        }
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
    fs::write(&source, text).expect("a scratch file");
    let output = Command::new("gcc")
        .args(["-std=c99", "-c", "-o", "/dev/null", "-I"])
        .arg(root().join("include"))
        .arg(&source)
        .output()
        .expect("gcc");
    assert!(String::from_utf8_lossy(&output.stderr).contains("unused-result"));
}

#[test]
fn the_headers_take_no_names_but_their_own() {
    for text in HEADERS.map(text) {
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
}
