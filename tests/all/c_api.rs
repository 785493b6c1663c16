//! C and C++ programs against the shared library and a real Consul.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use crate::support::consul::Consul;
use crate::support::header::functions;
use crate::support::{compile, library, root};

/// The C programs use POSIX threads, time and dlopen.
const C: &[&str] = &["-std=c11", "-D_GNU_SOURCE"];

/// The programs that packaging/gate runs, too, with the packages.
const C_PROGRAMS: &str = include_str!("../c/programs");

fn source(name: &str) -> PathBuf {
    root().join("tests").join(name)
}

fn run(mut command: Command, consul: &Consul) -> Output {
    command
        .env("CONSUL_HTTP_ADDR", consul.address())
        .env_remove("CONSUL_HTTP_TOKEN")
        .output()
        .expect("the program runs")
}

fn succeeds(name: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs programs at the same time; none may fail or leave anything in Consul.
fn all_succeed(programs: &[(&str, Vec<String>)]) {
    let consul = Consul::start();
    thread::scope(|scope| {
        for (name, line) in programs {
            let consul = &consul;
            scope.spawn(move || {
                let mut command = Command::new(&line[0]);
                command.args(&line[1..]);
                succeeds(name, &run(command, consul));
            });
        }
    });
    consul.has_nothing_left();
}

fn line(program: PathBuf) -> Vec<String> {
    vec![program.into_os_string().into_string().expect("UTF-8")]
}

/// Compiles tests/c/NAME.c as VARIANT.
fn built(name: &str, variant: &str, flags: &[&str]) -> PathBuf {
    let flags: Vec<&str> = C.iter().chain(flags).copied().collect();
    compile(
        &source(&format!("c/{name}.c")),
        &format!("{name}-{variant}"),
        &flags,
    )
}

#[test]
fn the_c_programs() {
    let mut programs = Vec::new();
    for name in C_PROGRAMS.lines().filter(|name| !name.starts_with('#')) {
        programs.push((name, line(built(name, "plain", &[]))));
    }
    let mut reload = line(built("reload", "plain", &["-Wl,--as-needed"]));
    reload.push(library().into_os_string().into_string().expect("UTF-8"));
    programs.push(("reload", reload));
    all_succeed(&programs);
}

#[test]
fn every_function_is_called_inside_a_callback() {
    let program = std::fs::read_to_string(source("c/async.c")).expect("the program");
    let inside = program.split_once("static void inside(").expect("inside").1;
    let missing: Vec<String> = functions()
        .into_iter()
        .map(|function| function.name)
        .filter(|name| !inside.contains(&format!("{name}(")) && !name.ends_with("value_set"))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "not in tests/c/async.c");
}

#[test]
fn the_c_programs_under_sanitizers() {
    let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let mut programs = Vec::new();
    for name in [
        "contract", "refusals", "value", "share", "several", "lost", "host", "async", "queue",
        "observe",
    ] {
        let program = built(name, "sanitized", &flags);
        let symbols = Command::new("nm")
            .arg(&program)
            .output()
            .expect("nm (binutils)");
        let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
        assert!(
            symbols.contains("__asan_init"),
            "{name} is not instrumented"
        );
        assert!(
            symbols.contains("__ubsan_handle"),
            "{name} is not instrumented"
        );
        programs.push((name, line(program)));
    }
    all_succeed(&programs);
}

#[test]
fn a_handful_under_valgrind() {
    let mut programs = Vec::new();
    let mut names = vec!["refusals", "value", "async"];
    if std::env::var_os("VALGRIND_ALL").is_some() {
        names.extend([
            "contract",
            "share",
            "several",
            "abandon",
            "lost",
            "cancelled_thread",
            "host",
            "fork",
            "no_threads",
            "async_fork",
            "queue",
        ]);
    }
    for name in names {
        let mut command: Vec<String> = [
            "valgrind",
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
        ]
        .map(str::to_owned)
        .to_vec();
        // A child has not the threads of its parent, and so never frees what they had.
        let leaks = match name {
            "fork" | "async_fork" | "queue" => "none",
            _ => "definite",
        };
        command.push(format!("--errors-for-leak-kinds={leaks}"));
        command.extend(line(built(name, "valgrind", &[])));
        programs.push((name, command));
    }
    all_succeed(&programs);
}

#[test]
fn the_cpp_programs() {
    let (lock, plain) = (source("cpp/lock.cpp"), source("cpp/plain.cpp"));
    let sharing = source("cpp/sharing.cpp");
    // They use the same keys: each has a Consul of its own, and a compiler for as long as it takes.
    let run = |source: &Path, name: String, flags: &[&str]| {
        let program = compile(source, &name, flags);
        all_succeed(&[(&name, line(program))]);
    };
    thread::scope(|scope| {
        for standard in ["-std=c++17", "-std=c++20"] {
            let name = standard.trim_start_matches("-std=");
            let (lock, plain, sharing, run) = (&lock, &plain, &sharing, &run);
            scope.spawn(move || run(lock, format!("lock-{name}"), &[standard]));
            scope.spawn(move || run(sharing, format!("sharing-{name}"), &[standard]));
            let flags = [standard, "-fno-exceptions", "-fno-rtti"];
            scope.spawn(move || run(plain, format!("plain-{name}"), &flags));
        }
    });
}

/// Compiles an example as its language wants it.
fn example(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(Path::file_name).expect("a folder");
    let file = path.file_name().expect("a name");
    let name = [folder, file].map(|part| part.to_string_lossy()).join("-");
    let is_c = path.extension().is_some_and(|extension| extension == "c");
    let languages = path.ends_with(Path::new("languages").join(file));
    let standard = match (is_c, languages) {
        (true, true) => C,
        (true, false) => &["-std=c99", "-pedantic"],
        (false, _) => &["-std=c++17", "-pedantic"],
    };
    compile(path, &name.replace('.', "-"), standard)
}

#[test]
fn the_examples() {
    let consul = Consul::start();
    let says = |name: &str| {
        let program = example(&root().join("examples").join(name));
        let output = run(Command::new(program), &consul);
        succeeds(name, &output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(says("first.c"), "making the report\n");
    let said = says("wait.c");
    assert!(
        said.starts_with("locks/ephemeral/wait-example is ours for "),
        "{said}"
    );
    assert!(says("hold.cpp").ends_with("wrote 42 lines\n"));
    assert_eq!(
        says("event_loop.c"),
        "the lock is ours\nstep 1\nstep 2\nstep 3\nreleased\n"
    );
    consul.has_nothing_left();
}

/// Every example in C and C++ says what is wrong with the environment, and does not end as if all were well.
#[test]
fn the_examples_report_an_environment_that_cannot_be_read() {
    let folders = ["examples", "examples/languages", "bindings/cpp/examples"];
    let files = folders.map(|folder| std::fs::read_dir(root().join(folder)).expect("a folder"));
    let examples: Vec<PathBuf> = files
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "c" || extension == "cpp")
        })
        .collect();
    assert!(examples.len() > 18, "{examples:?}");
    for path in examples {
        let name = path.display();
        let output = Command::new(example(&path))
            // What examples/worker.c wants; the others use none of it, or only the key.
            .args(["name", "key", "0", "0", "10"])
            .env("CONSUL_HTTP_SSL", "maybe")
            .output()
            .expect("the program runs");
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| code > 0),
            "{name}: {}",
            output.status
        );
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.contains("CONSUL_HTTP_SSL: \"maybe\""),
            "{name}: {said}"
        );
    }
}
