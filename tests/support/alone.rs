//! Tests that need a process of their own, in a program that runs many at the same time.

use std::process::{Command, Stdio};

/// Set in the process of one such test.
const ALONE: &str = "TEST_ALONE";

/// Runs a test in a process of its own, and answers true; in that process it answers false. For tests of which what
/// they count, change or wait for belongs to the whole process: threads, memory, descriptors, the log, a shutdown.
///
/// `if ran_alone(the_test) { return; }` is the first line of `the_test`.
pub(crate) fn ran_alone<Test: Fn()>(_: Test) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let name = std::any::type_name::<Test>();
    let (_, name) = name.split_once("::").expect("program::module::test");
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("this program, again");
    let said = [run.stdout, run.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    println!("{}", said.join("\n"));
    let status = run.status;
    assert!(status.success(), "{name}, alone in a process: {status}");
    let has_run = said[0].contains("test result: ok. 1 passed");
    assert!(has_run, "no test is named {name}");
    true
}
