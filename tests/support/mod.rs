//! What the tests share: a real Consul, alone or as three servers, a proxy that loses, delays and
//! repeats what goes between, a server that misbehaves as told, the compiler, the header.
//!
//! What talks to Consul does not use the library under test: a fault of the library's HTTP must not
//! hide itself.
#![allow(dead_code)] // each test program uses a part of it
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

pub(crate) mod agent;
pub(crate) mod alone;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod consul;
pub(crate) mod contender;
pub(crate) mod header;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod ports;
pub(crate) mod prelude;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod rows;
pub(crate) mod scripted;
pub(crate) mod secure;
pub(crate) mod server;
pub(crate) mod stopped;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Memory of this process, in bytes: "VmRSS" what it has now, "VmHWM" the most that it ever had.
pub(crate) fn memory(kind: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find(|line| line.starts_with(kind));
    let kib: Option<usize> = line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok());
    kib.expect(kind) * 1024
}

/// A folder for the files of one test program, inside the target folder.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// The shared library: the file that BENCH_LIBRARY names, or the one beside the test programs, where `cargo test` puts
/// it.
pub(crate) fn library() -> PathBuf {
    let library = std::env::var_os("BENCH_LIBRARY").map_or_else(
        || {
            let program = std::env::current_exe().expect("the path of this program");
            program.with_file_name("libconsul_lock.so")
        },
        PathBuf::from,
    );
    assert!(library.exists(), "{} was not built", library.display());
    library
}

/// Fails if a committed, generated file is not what it should be; with UPDATE_HEADER=1 writes it.
pub(crate) fn differs(file: &Path, wanted: &str, command: &str) {
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        fs::write(file, wanted).expect("writable");
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    if found == wanted {
        return;
    }
    let line = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| found.lines().count().min(wanted.lines().count()));
    panic!(
        "{} is out of date from line {}:\n  is     {:?}\n  should {:?}\n{command} rewrites it",
        file.display(),
        line + 1,
        found.lines().nth(line),
        wanted.lines().nth(line),
    );
}

/// Compiles a C or C++ program against the header and the shared library; warnings are errors.
pub(crate) fn compile(source: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let cpp = source
        .extension()
        .is_some_and(|extension| extension == "cpp");
    let program = scratch("programs").join(name);
    // Another process may compile or run the same: it is made aside, and put in place in one step.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let aside = program.with_extension(format!("{}-{number}", std::process::id()));
    let folder = library().parent().expect("a folder").to_path_buf();
    let output = Command::new(if cpp { "g++" } else { "gcc" })
        .args(["-g", "-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .arg("-I")
        .arg(root().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&aside)
        .arg("-L")
        .arg(&folder)
        .args(["-lconsul_lock", "-pthread", "-ldl"])
        // The library has a SONAME, and under cargo test no file of that name.
        .arg(format!("-Wl,-rpath,{}", soname_folder().display()))
        .output()
        .expect("a compiler");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}", source.display());
    fs::rename(&aside, &program).expect("the program");
    program
}

/// A folder in which the shared library can be found under its SONAME.
fn soname_folder() -> PathBuf {
    let folder = scratch("soname");
    let name = format!(
        "libconsul_lock.so.{}.{}",
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR")
    );
    let link = folder.join(name);
    if fs::read_link(&link).ok().as_deref() != Some(library().as_path()) {
        // Test programs run at the same time: make it aside, then put it in place in one step.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let aside = folder.join(format!("{}-{number}.new", std::process::id()));
        let _ = fs::remove_file(&aside);
        if std::os::unix::fs::symlink(library(), &aside).is_ok() {
            let _ = fs::rename(&aside, &link);
        }
    }
    folder
}
