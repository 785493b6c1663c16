//! `tests/c/connect.c`: one lock's life with settings from the environment and from arguments. In a
//! process of its own, for the environment belongs to the whole process.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::{compile, root};

/// Compiled once: the tests run at the same time.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let name = "connect";
        compile(&root().join("tests/c/connect.c"), name, &["-std=gnu11"])
    };
    PROGRAM.get_or_init(build).clone()
}

/// With nothing of Consul's in its environment but these, which win over what was there.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// What it says, but for the numbers of its client.
pub(crate) fn says(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let all = says_all(arguments, variables);
    let lines: Vec<&str> = all
        .lines()
        .filter(|line| !line.starts_with("stats "))
        .collect();
    lines.join("\n")
}

/// Everything that it says.
pub(crate) fn says_all(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = command(arguments, variables).output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{:?} {said}", output.status);
    said.trim_end().to_owned()
}

/// One that runs until its input ends.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, and waits until it says `word`.
    pub(crate) fn until(word: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut running = Running(command(arguments, variables).spawn().expect("it runs"));
        let mut said = Vec::new();
        let from = running.0.stdout.as_mut().expect("piped");
        while !String::from_utf8_lossy(&said)
            .lines()
            .any(|line| line == word)
        {
            let mut byte = [0];
            let read = from.read(&mut byte).expect("readable");
            assert!(read > 0, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        running
    }

    /// Ends its input, and returns what it still says.
    pub(crate) fn finish(mut self) -> String {
        drop(self.0.stdin.take());
        let mut said = String::new();
        let from = self.0.stdout.as_mut().expect("piped");
        from.read_to_string(&mut said).expect("UTF-8");
        self.0.wait().expect("its end");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
