//! The name of the program, for session names: that of the script where an interpreter runs one.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Programs whose first argument is the script that people know. A version may follow.
const INTERPRETERS: [&str; 9] = [
    "python", "pypy", "ruby", "node", "nodejs", "perl", "php", "lua", "bun",
];

/// Options of interpreters that are followed by a value.
const WITH_VALUE: [&str; 9] = [
    "-r",
    "-I",
    "-W",
    "-X",
    "-C",
    "--require",
    "--import",
    "--loader",
    "--env-file",
];

/// The number of bytes of the command line that are read.
const LONGEST: u64 = 64 << 10;

/// `report.py` for `python3 report.py`, else the name of the executable.
pub(super) fn name() -> String {
    let executable = std::env::current_exe().ok();
    let executable = executable.as_deref().map(base_name).unwrap_or_default();
    if !is_interpreter(&executable) {
        return executable;
    }
    let mut line = Vec::new();
    let read =
        File::open("/proc/self/cmdline").and_then(|file| file.take(LONGEST).read_to_end(&mut line));
    let script = read.ok().and_then(|_| script(&line));
    // Only the name of a file: an argument may be a secret.
    let script = script.map(|script| Path::new(OsStr::from_bytes(script)));
    let script = script.filter(|script| script.is_file());
    script.map_or(executable, base_name)
}

fn base_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_interpreter(executable: &str) -> bool {
    let version = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    INTERPRETERS.contains(&executable.trim_end_matches(version))
}

/// The first argument that is not an option. None: there is none, or an option has the program (`-e CODE`).
fn script(command_line: &[u8]) -> Option<&[u8]> {
    let mut arguments = command_line.split(|byte| *byte == 0).skip(1);
    while let Some(argument) = arguments.next() {
        let text = std::str::from_utf8(argument).unwrap_or_default();
        match text {
            "--" => return arguments.next(),
            "-" => return None,
            _ if WITH_VALUE.contains(&text) => {
                arguments.next();
            }
            _ if has_code(text) => return None,
            _ if argument.starts_with(b"-") => {}
            _ => return Some(argument).filter(|argument| !argument.is_empty()),
        }
    }
    None
}

/// Whether an option has the program: `-e`, `-c`, `-p`, `-m`, also behind other letters (`-ne`), and the long
/// forms of Node.
fn has_code(option: &str) -> bool {
    if let Some(long) = option.strip_prefix("--") {
        return long.starts_with("eval") || long.starts_with("print");
    }
    let letters = option.strip_prefix('-').unwrap_or_default();
    let attached = WITH_VALUE.iter().any(|with| option.starts_with(with));
    !attached && letters.contains(['c', 'e', 'm', 'p'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_the_first_argument_that_is_no_option() {
        let cases = "
            python3 report.py => report.py
            python3 -u -W ignore /opt/report.py --token hunter2 => /opt/report.py
            ruby -rset -r json worker.rb hunter2 => worker.rb
            node --require ./before.js --enable-source-maps job.mjs => job.mjs
            node -- job.mjs => job.mjs
            node =>
            python3 - =>
            python3 -c hunter2 x =>
            python3 -Bc hunter2 =>
            python3 -m module x =>
            ruby -ne hunter2 x =>
            node --eval hunter2 x =>
            node --eval=hunter2 x =>
            node -p hunter2 =>";
        for (line, expected) in cases
            .lines()
            .skip(1)
            .filter_map(|case| case.split_once(" =>"))
        {
            let (line, expected) = (
                line.trim(),
                Some(expected.trim()).filter(|name| !name.is_empty()),
            );
            let bytes: Vec<u8> = line
                .bytes()
                .map(|b| if b == b' ' { 0 } else { b })
                .collect();
            assert_eq!(script(&bytes), expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn interpreters_are_known_with_and_without_a_version() {
        for known in "python3.11 ruby ruby3.1 node nodejs php-8.2 lua5.4".split(' ') {
            assert!(is_interpreter(known), "{known}");
        }
        for other in ["consul", "nodemon", "give_up", "3", ""] {
            assert!(!is_interpreter(other), "{other}");
        }
    }

    #[test]
    fn a_program_has_the_name_of_its_executable() {
        let this = std::env::current_exe().expect("a path");
        assert_eq!(name(), base_name(&this));
    }
}
