//! `consul-lock run`, on a real Consul: its arguments, the command's surroundings, and the exit statuses.

use crate::support::prelude::*;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;

fn run(args: &[&str]) -> Command {
    let args: Vec<&str> = ["run"].into_iter().chain(args.iter().copied()).collect();
    consul_lock(consul(), &args)
}

fn end(command: &mut Command) -> Ended {
    Running::start(command).end()
}

#[test]
fn the_command_runs_under_the_lock_and_knows_it() {
    let script = r#"echo "$CONSUL_LOCK_KEY $CONSUL_LOCK_TOKEN $CONSUL_LOCK_SESSION ${CONSUL_LOCK_SLOT-none}"
        read -r line"#;
    let mut command = run(&["knows", "--", "sh", "-c", script]);
    command.env("CONSUL_LOCK_SLOT", "7");
    let mut running = Running::start_with_input(&mut command);
    running.prints("\n");
    let row = consul().row(&full("knows")).expect("the lock");
    let token = row["LockIndex"].as_u64().expect("a number");
    assert!(token > 0);
    let holder = row["Session"].as_str().expect("a session");
    let told = running.stdout();
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words[0], full("knows"));
    assert!(words[1].parse::<u64>().expect("a token") > 0);
    assert_eq!(words[2..], [holder, "none"]);
    // An operator who asks for the holder sees the command, and the process that takes signals for the command.
    let who = consul_lock(consul(), &["who", "--json", "knows"])
        .output()
        .unwrap();
    let who: Json = serde_json::from_slice(&who.stdout).expect("JSON");
    assert_eq!(who["exclusive"]["program"], "sh", "{who}");
    assert_eq!(who["exclusive"]["pid"], running.pid(), "{who}");
    drop(running.input());
    let ended = running.end().expect_code(1);
    assert_eq!(ended.stderr, "");
    leaves_nothing(consul(), "knows", &ended);
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 75", 75),
        ("exit 255", 255),
        ("kill -s TERM $$", 143),
        ("kill -s KILL $$", 137),
        ("kill -s SEGV $$", 139),
        // A real-time signal.
        ("kill -s 40 $$", 168),
    ] {
        let ended = end(&mut run(&["own-status", "sh", "-c", script])).expect_code(status);
        assert_eq!(ended.stderr, "", "{script}");
        leaves_nothing(consul(), "own-status", &ended);
    }
}

/// The command's standard error begins so, and its exit status is this one.
#[track_caller]
fn refuses(command: &mut Command, status: i32, parts: &[&str]) {
    let ended = end(command).expect_code(status);
    assert_eq!(ended.stdout, "", "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?}: {ended:?}");
    }
    ended.leaves_no_process();
}

#[test]
fn exit_64_for_wrong_arguments() {
    refuses(&mut run(&["--no-such", "k", "true"]), 64, &["--no-such"]);
    refuses(&mut run(&[]), 64, &["KEY"]);
    refuses(&mut run(&["k"]), 64, &["consul-lock: ", "CMD is missing"]);
    refuses(&mut run(&["--ttl", "5s", "k", "true"]), 64, &["--ttl 5s"]);
    refuses(
        &mut run(&["/k", "true"]),
        64,
        &["consul-lock: ", "locks/ephemeral//k"],
    );
    refuses(
        &mut run(&["--pattern", "none", "k", "true"]),
        64,
        &["lock_key_pattern"],
    );
    refuses(
        &mut run(&["--address", "nonsense:port", "k", "true"]),
        64,
        &["address"],
    );
    refuses(
        &mut run(&["--status-fd", "77", "k", "true"]),
        64,
        &["--status-fd 77"],
    );
}

#[test]
fn exit_69_without_consul() {
    let mut command = run(&["k", "true"]);
    let [port] = crate::support::ports::free();
    let address = format!("127.0.0.1:{port}");
    command.env("CONSUL_HTTP_ADDR", &address);
    refuses(
        &mut command,
        69,
        &["consul-lock: could not acquire the lock", &address],
    );
}

#[test]
fn exit_70_where_the_system_gives_nothing() {
    let mut command = run(&["k", "true"]);
    let limits = nix::libc::rlimit {
        rlim_cur: 4,
        rlim_max: 4,
    };
    // Descriptors for the loader of the program, and not for more.
    #[allow(unsafe_code)]
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(
            move || match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
    refuses(
        &mut command,
        70,
        &["consul-lock: could not start", "Too many open files"],
    );
}

#[test]
fn exit_70_where_the_system_gives_the_command_nothing() {
    let session = consul().other_holds(&full("lacking"));
    let running = Running::start(&mut run(&["--wait", "60", "lacking", "true"]));
    until("it waits", || {
        let waiters = format!("{}/", full("lacking"));
        consul().keys().iter().any(|key| key.starts_with(&waiters))
    });
    thread::sleep(Duration::from_millis(500));
    // One more descriptor, and not the pipe that the start of a program needs.
    let open = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).expect("its descriptors");
    let open: Vec<u64> = open
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let free = (0..).find(|number| !open.contains(number)).unwrap();
    let limits = nix::libc::rlimit {
        rlim_cur: free + 1,
        rlim_max: free + 1,
    };
    let pid = i32::try_from(running.pid()).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: the call reads `limits`, and writes nothing.
    let set = unsafe {
        let nothing = std::ptr::null_mut();
        nix::libc::prlimit(pid, nix::libc::RLIMIT_NOFILE, &raw const limits, nothing)
    };
    assert_eq!(set, 0);
    consul().destroy(&session);
    let ended = running.end().expect_code(70);
    for part in ["could not run true: ", "ulimit -n", "Too many open files"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    leaves_nothing(consul(), "lacking", &ended);
}

#[test]
fn exit_75_while_another_session_holds_the_lock() {
    let session = consul().other_holds(&full("taken"));
    let parts = [
        "consul-lock: could not acquire the lock",
        &session,
        "somebody else",
    ];
    refuses(&mut run(&["taken", "true"]), 75, &parts);
    refuses(&mut run(&["--wait", "200ms", "taken", "true"]), 75, &parts);
    let quiet = end(&mut run(&["--conflict-exit", "0", "taken", "true"])).expect_code(0);
    assert_eq!(quiet.stderr, "", "cron would send a mail");
    refuses(&mut run(&["-v", "-E", "0", "taken", "true"]), 0, &parts);
    refuses(
        &mut run(&["-E", "9", "-w", "0.2", "taken", "true"]),
        9,
        &parts,
    );
    // All keys or none.
    refuses(
        &mut run(&["--also", "taken", "free", "true"]),
        75,
        &["taken"],
    );
    nothing_of(consul(), "free");
    consul().destroy(&session);
    end(&mut run(&["taken", "true"])).expect_code(0);
    nothing_of(consul(), "taken");
}

#[test]
fn exit_75_for_another_limit() {
    let mut two = Running::start_with_input(&mut run(&["--slots", "2", "limits", "cat"]));
    until("the share", || {
        !consul()
            .keys()
            .iter()
            .all(|key| !key.starts_with(&full("limits")))
    });
    refuses(
        &mut run(&["--slots", "3", "limits", "true"]),
        75,
        &["2", "3"],
    );
    drop(two.input());
    two.end().expect_code(0);
}

#[test]
fn exit_77_without_rights() {
    let settings = r#"acl { enabled = true default_policy = "deny" tokens { master = "root" } }"#;
    let consul = Consul::start_with(settings);
    let mut command = consul_lock(&consul, &["run", "k", "true"]);
    refuses(
        &mut command,
        77,
        &["consul-lock: could not acquire", "Permission denied"],
    );
    let scratch = Scratch::new();
    std::fs::write(scratch.path("token"), "root\n").unwrap();
    let file = scratch.path("token");
    let args = ["run", "--token-file", &file, "k", "sh", "-c", "exit 5"];
    end(&mut consul_lock(&consul, &args)).expect_code(5);
    let mut command = consul_lock(&consul, &["run", "k", "sh", "-c", "exit 6"]);
    end(command.env("CONSUL_HTTP_TOKEN", "root")).expect_code(6);
}

#[test]
fn exit_78_for_a_wrong_variable() {
    let mut command = run(&["k", "true"]);
    refuses(
        command.env("CONSUL_HTTP_SSL", "perhaps"),
        78,
        &["consul-lock: ", "CONSUL_HTTP_SSL"],
    );
    let mut command = run(&["k", "true"]);
    refuses(
        command.env("CONSUL_CACERT", "/no/such"),
        78,
        &["CONSUL_CACERT", "/no/such"],
    );
}

#[test]
fn exit_126_and_127_for_what_cannot_be_run() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("text"), "exit 3\n").unwrap();
    let text = scratch.path("text");
    refuses(
        &mut run(&["cannot", &text]),
        126,
        &["consul-lock: could not run ", &text, "denied"],
    );
    refuses(&mut run(&["cannot", "/"]), 126, &["could not run /"]);
    refuses(
        &mut run(&["cannot", "no-such-program"]),
        127,
        &["could not run no-such-program"],
    );
    refuses(
        &mut run(&["cannot", "/no/such/program"]),
        127,
        &["/no/such/program"],
    );
    refuses(&mut run(&["cannot", "--", ""]), 127, &["could not run"]);
    nothing_of(consul(), "cannot");
}

#[test]
fn a_script_without_an_interpreter_runs_as_a_shell_runs_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let path = scratch.path("script");
    std::fs::write(&path, "exit 3\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    end(&mut run(&["script", &path])).expect_code(3);
}

#[test]
fn the_standard_streams_are_those_of_the_command() {
    let mut running =
        Running::start_with_input(&mut run(&["streams", "sh", "-c", "cat; echo err >&2"]));
    running.input().write_all(b"one\ntwo\n").unwrap();
    let ended = running.end().expect_code(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("one\ntwo\n", "err\n"));
}

/// Runs a line of a shell in which `$T` is the command.
fn shell(script: &str) -> Command {
    let mut command = run(&[]);
    let program = command.get_program().to_owned();
    let mut shell = Command::new("bash");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    command.arg("dropped");
    shell.args(["-c", script]).env("T", program);
    shell
}

#[test]
fn it_is_part_of_a_pipeline() {
    let ended = end(&mut shell("echo x | $T run pipe cat | wc -c")).expect_code(0);
    assert_eq!(ended.stdout.trim(), "2");
    // A reader that goes ends a writer that writes on: SIGPIPE does what it does by default.
    let script = "$T run pipe yes | head -n 1; echo ${PIPESTATUS[*]}";
    let ended = end(&mut shell(script)).expect_code(0);
    assert_eq!(ended.stdout, "y\n141 0\n", "{ended:?}");
    nothing_of(consul(), "pipe");
}

#[test]
fn what_sigpipe_does_is_handed_on() {
    // The signals that a program ignores; SIGPIPE is the 13th bit.
    let of = |script: &str| {
        let ended = end(&mut shell(script)).expect_code(0);
        let digits = ended.stdout.split_whitespace().last().unwrap_or_default();
        u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{ended:?}"))
    };
    let ignored = "trap '' PIPE; $T run pipes grep SigIgn /proc/self/status";
    assert_eq!(of(ignored) & 0x1000, 0x1000);
    let default = "$T run pipes grep SigIgn /proc/self/status";
    assert_eq!(of(default) & 0x1000, 0);
    nothing_of(consul(), "pipes");
}

#[test]
fn it_runs_with_closed_streams() {
    let scratch = Scratch::new();
    let script = format!(
        "$T run closed -- sh -c 'echo ran > {}' <&- >&- 2>&-",
        scratch.path("file")
    );
    end(&mut shell(&script)).expect_code(0);
    assert_eq!(scratch.read("file"), "ran\n");
    // Its own words have no reader: the exit status says it.
    end(&mut shell("$T run -v closed -- sh -c 'exit 4' 2>&-")).expect_code(4);
    end(&mut shell("$T run closed -- no-such-program 2>&-")).expect_code(127);
    end(&mut shell(
        "{ sleep 0.3; $T run -v closed -- no-such-program; echo $? >&3; } 3>&1 2>&1 >/dev/null | true",
    ));
    nothing_of(consul(), "closed");
}

#[test]
fn it_runs_in_the_empty_environment_of_cron() {
    let address = consul().address();
    let script = format!("env -i $T run --address {address} cron env");
    let ended = end(&mut shell(&script)).expect_code(0);
    let names = ended
        .stdout
        .lines()
        .map(|line| line.split('=').next().unwrap_or_default());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CONSUL_LOCK_KEY",
            "CONSUL_LOCK_SESSION",
            "CONSUL_LOCK_TOKEN"
        ]
    );
    // A session of its own, without a terminal.
    let script = format!(
        "cd / && env -i setsid -w $T run --address {address} cron sh -c 'exit 3' </dev/null"
    );
    end(&mut shell(&script)).expect_code(3);
    nothing_of(consul(), "cron");
}

#[test]
fn a_shell_runs_a_line_with_its_arguments() {
    let line = "echo \"$0 $1\" | tr a-z A-Z; exit 4";
    let ended = end(&mut run(&["--shell", "line", line, "zero", "one"])).expect_code(4);
    assert_eq!(ended.stdout, "ZERO ONE\n");
}

#[test]
fn the_words_of_the_command_reach_it_untouched() {
    let words = [
        "printf", "%s|", "-v", "--", "--wait", "", "a b", "--json", "--help",
    ];
    let args: Vec<&str> = ["--wait=1s", "words", "--"]
        .into_iter()
        .chain(words)
        .collect();
    let ended = end(&mut run(&args)).expect_code(0);
    assert_eq!(ended.stdout, "-v|--|--wait||a b|--json|--help|");
    // Words need not be UTF-8.
    use std::os::unix::ffi::OsStrExt as _;
    let mut command = run(&["words", "printf", "%s"]);
    command.arg(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"\xff\xfe");
}

#[test]
fn slots_and_shares_run_beside_each_other() {
    let script = "echo $CONSUL_LOCK_SLOT; read -r line";
    let args = ["--slots", "2", "slots", "sh", "-c", script];
    let mut holders = [(); 2].map(|()| Running::start_with_input(&mut run(&args)));
    for holder in &holders {
        holder.prints("\n");
    }
    let mut slots = holders.each_ref().map(Running::stdout);
    slots.sort();
    assert_eq!(slots, ["0\n", "1\n"]);
    refuses(&mut run(&args), 75, &["slots"]);
    for holder in &mut holders {
        drop(holder.input());
    }
    for holder in holders {
        holder.end().expect_code(1);
    }
    let args = ["--shared", "readers", "sh", "-c", "echo in; read -r line"];
    let mut readers = [(); 3].map(|()| Running::start_with_input(&mut run(&args)));
    for reader in &readers {
        reader.prints("in");
    }
    refuses(&mut run(&["readers", "true"]), 75, &["readers"]);
    for reader in &mut readers {
        drop(reader.input());
    }
    for reader in readers {
        reader.end().expect_code(1);
    }
    nothing_of(consul(), "slots");
    nothing_of(consul(), "readers");
}

#[test]
fn several_keys_a_value_and_a_pattern() {
    // The key of the variable is one that `who` takes as it is.
    let program = env!("CARGO_BIN_EXE_consul-lock");
    let script = format!(
        "echo \"$CONSUL_LOCK_KEY\"; echo \"$CONSUL_LOCK_KEY\" | while read -r key; do
        {program} who --pattern %s \"$key\" > /dev/null || exit 9; done; echo all; read -r line"
    );
    let args = [
        "--also",
        "b",
        "--also",
        "c",
        "--value",
        "mine",
        "--pattern",
        "some/%s/lock",
        "a",
    ];
    let args: Vec<&str> = args.into_iter().chain(["sh", "-c", &script]).collect();
    let mut running = Running::start_with_input(&mut run(&args));
    running.prints("all\n");
    assert_eq!(
        running.stdout(),
        "some/a/lock\nsome/b/lock\nsome/c/lock\nall\n"
    );
    for key in ["some/a/lock", "some/b/lock", "some/c/lock"] {
        let row = consul().row(key).expect(key);
        assert!(row["Session"].is_string(), "{row}");
        // "mine" in base 64.
        assert_eq!(row["Value"], "bWluZQ==");
    }
    drop(running.input());
    let ended = running.end().expect_code(1);
    no_session_of(consul(), ended.pid);
    until("no key is left", || {
        !consul().keys().iter().any(|key| key.starts_with("some/"))
    });
}

#[test]
fn the_outcome_as_json() {
    let of = |command: &mut Command| {
        let ended = end(command);
        let line = ended.stderr.lines().last().unwrap_or_default().to_owned();
        let json: Json = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{ended:?}"));
        assert_eq!(json["exit"], ended.code());
        json
    };
    let json = of(&mut run(&["--json", "json", "sh", "-c", "exit 75"]));
    assert_eq!(json["outcome"], "ended");
    assert_eq!(json["command_exit"], 75);
    assert_eq!(json["released"], true);
    assert_eq!(json["keys"][0], full("json"));
    assert!(
        json["token"].as_u64() > Some(0) && json["session"].is_string(),
        "{json}"
    );
    assert!(
        json["held_ms"].is_u64() && json["waited_ms"].is_u64(),
        "{json}"
    );
    let json = of(&mut run(&["--json", "json", "sh", "-c", "kill -9 $$"]));
    assert_eq!(
        (&json["command_signal"], &json["command_exit"]),
        (&9.into(), &Json::Null)
    );
    let json = of(&mut run(&["--json", "json", "no-such-program"]));
    assert_eq!(json["outcome"], "failed");
    assert!(json["error"].as_str().unwrap().contains("no-such-program"));
    let session = consul().other_holds(&full("json"));
    let json = of(&mut run(&["--json", "-E", "3", "json", "true"]));
    assert_eq!(json["outcome"], "not acquired");
    assert!(json["error"].as_str().unwrap().contains(&session));
    consul().destroy(&session);
    // To a descriptor, which the command does not get.
    let script = "$T run --status-fd 5 json -- sh -c '[ ! -e /proc/self/fd/5 ] && echo out && exit 3' 5>&1 >/dev/null";
    let ended = end(&mut shell(script)).expect_code(3);
    let json: Json = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(json["command_exit"], 3);
}

#[test]
fn the_help_has_the_statuses_and_the_examples() {
    let ended = end(&mut run(&["--help"])).expect_code(0);
    let text: Vec<&str> = ended.stdout.split_whitespace().collect();
    let text = text.join(" ");
    for part in [
        "Exit status",
        " 79 ",
        "127",
        "Examples",
        "Ctrl-Z",
        "setsid",
        "CONSUL_HTTP_ADDR",
        "--pattern %s \"$CONSUL_LOCK_KEY\"",
        "--ttl less --kill-after and about a second",
        "to the standard error, beside the text",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let short = end(&mut run(&["-h"])).expect_code(0);
    assert!(short.stdout.lines().count() < 45, "{}", short.stdout);
}

#[test]
fn the_subcommand_help_shows_the_same_help() {
    let of = |args: &[&str]| end(&mut consul_lock(consul(), args)).expect_code(0).stdout;
    assert_eq!(of(&["help", "run"]), of(&["run", "--help"]));
    assert_eq!(of(&["help"]), of(&["--help"]));
    let unknown = end(&mut consul_lock(consul(), &["help", "no-such"])).expect_code(64);
    assert!(unknown.stderr.contains("no-such"), "{unknown:?}");
    // The option may come before the subcommand, too.
    let ended = end(&mut consul_lock(
        consul(),
        &["--json", "run", "before", "true"],
    ));
    let ended = ended.expect_code(0);
    assert!(ended.stderr.contains("\"outcome\":\"ended\""), "{ended:?}");
}

#[test]
fn eight_at_once_never_overlap() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    let script = format!("echo in >> {file}; sleep 0.05; echo out >> {file}");
    let all = [(); 8].map(|()| {
        Running::start(&mut run(&[
            "--wait", "forever", "--shell", "eight", &script,
        ]))
    });
    for one in all {
        let ended = one.end().expect_code(0);
        ended.leaves_no_process();
    }
    assert_eq!(scratch.read("file"), "in\nout\n".repeat(8));
    nothing_of(consul(), "eight");
}

#[test]
fn it_runs_below_itself() {
    let program = env!("CARGO_BIN_EXE_consul-lock");
    let ended = end(&mut run(&[
        "outer",
        program,
        "run",
        "inner",
        "sh",
        "-c",
        "echo $CONSUL_LOCK_KEY; exit 9",
    ]));
    assert_eq!(ended.stdout, full("inner") + "\n");
    let ended = ended.expect_code(9);
    leaves_nothing(consul(), "outer", &ended);
    leaves_nothing(consul(), "inner", &ended);
}
