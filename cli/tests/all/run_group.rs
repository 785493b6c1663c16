//! The process group of the command: what it forks, leaves behind, stops and keeps open.

use crate::support::prelude::*;

fn run(args: &[&str]) -> Command {
    let args: Vec<&str> = ["run"].into_iter().chain(args.iter().copied()).collect();
    consul_lock(consul(), &args)
}

#[test]
fn what_the_command_leaves_in_its_group_ends_before_the_lock() {
    let script = "sleep 60 & echo $!; exit 7";
    let running = Running::start(&mut run(&["leaves", "sh", "-c", script]));
    let left = running.pids()[0];
    let ended = running.end().expect_code(7);
    assert!(!is_alive(left));
    assert!(
        ended.stderr.contains("has left processes behind"),
        "{ended:?}"
    );
    leaves_nothing(consul(), "leaves", &ended);
}

#[test]
fn the_lock_is_held_until_the_last_of_the_group_is_dead() {
    let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & sleep 0.5; exit 3";
    let args = ["--kill-after", "2s", "last", "sh", "-c", script];
    let running = Running::start(&mut run(&args));
    let left = running.pids()[0];
    running.says("has left processes");
    thread::sleep(Duration::from_millis(500));
    assert!(is_alive(left) && is_held("last"));
    until("it is killed", || {
        let holds = is_held("last");
        let lives = is_alive(left);
        assert!(holds || !lives, "the group outlives the lock");
        !lives
    });
    let ended = running.end().expect_code(3);
    leaves_nothing(consul(), "last", &ended);
}

#[test]
fn a_command_that_ends_at_once_many_times() {
    // The end may come at every step of the start.
    for _ in 0..30 {
        let ended = Running::start(&mut run(&[
            "at-once",
            "sh",
            "-c",
            "sh -c 'exit 0' & exit 2",
        ]))
        .end();
        ended.expect_code(2);
    }
    nothing_of(consul(), "at-once");
}

#[test]
fn a_daemon_leaves_the_group_and_lives_on() {
    let script = "setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $!; sleep 0.3; exit 0";
    let running = Running::start(&mut run(&["daemon", "sh", "-c", script]));
    let daemon = running.pids()[0];
    let ended = running.end().expect_code(0);
    assert_eq!(ended.stderr, "");
    assert!(is_alive(daemon), "--help says that a daemon is not covered");
    signal(daemon, Signal::SIGKILL);
    leaves_nothing(consul(), "daemon", &ended);
}

#[test]
fn a_command_that_stops_itself_keeps_the_lock_and_goes_on() {
    // In a session of its own: no terminal.
    let template = run(&[
        "--ttl",
        "10s",
        "stops",
        "sh",
        "-c",
        "echo $$; kill -s STOP $$; echo on; exit 5",
    ]);
    let mut command = Command::new("setsid");
    command
        .arg("-w")
        .arg(template.get_program())
        .args(template.get_args());
    for (name, value) in template
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        command.env(name, value);
    }
    let running = Running::start(&mut command);
    let stopped = running.pids()[0];
    // Longer than its TTL.
    thread::sleep(Duration::from_secs(14));
    assert!(is_held("stops") && is_alive(stopped));
    signal(stopped, Signal::SIGCONT);
    let ended = running.end().expect_code(5);
    assert!(ended.stdout.ends_with("on\n"));
    nothing_of(consul(), "stops");
}

#[test]
fn a_stopped_command_is_ended_by_a_signal_and_by_a_loss() {
    let script = "echo $$; kill -s STOP $$; sleep 60";
    let running = Running::start(&mut run(&["stopped", "sh", "-c", script]));
    running.prints("\n");
    thread::sleep(Duration::from_millis(300));
    running.signal(Signal::SIGTERM);
    let ended = running.end().expect_code(143);
    leaves_nothing(consul(), "stopped", &ended);

    let running = Running::start(&mut run(&["stopped", "sh", "-c", script]));
    running.prints("\n");
    thread::sleep(Duration::from_millis(1500));
    consul().destroy(&consul().holder(&full("stopped")).expect("a holder"));
    let ended = running.end().expect_code(79);
    assert!(ended.took < Duration::from_secs(15), "{ended:?}");
    leaves_nothing(consul(), "stopped", &ended);
}

#[test]
fn a_zombie_of_a_process_that_left_the_group_delays_nothing() {
    // A parent that has left the group, and does not wait for its child, which stays in the group.
    let script = "import os, time
pid = os.fork()
if pid:
    print(pid, flush=True)
    time.sleep(1)
    os._exit(6)
child = os.fork()
if not child:
    time.sleep(60)
os.setsid()
time.sleep(60)";
    let args = ["--kill-after", "500ms", "zombie", "python3", "-c", script];
    let running = Running::start(&mut run(&args));
    let parent = running.pids()[0];
    let mark = running.mark.clone();
    until("it ends", || marked(&mark).len() <= 1);
    assert!(is_alive(parent));
    // It still has the outputs.
    signal(parent, Signal::SIGKILL);
    let ended = running.end().expect_code(6);
    assert!(ended.took < Duration::from_secs(20), "{ended:?}");
    leaves_nothing(consul(), "zombie", &ended);
}

#[test]
fn no_descriptor_and_no_child_is_left_to_the_command() {
    let mut command = run(&["descriptors", "ls", "/proc/self/fd"]);
    let ended = Running::start(&mut command).end().expect_code(0);
    // As without the lock: what the test program itself has inherited is there, too.
    let bare = Running::start(Command::new("ls").arg("/proc/self/fd")).end();
    assert_eq!(ended.stdout, bare.stdout);
}

#[test]
fn the_other_ends_of_the_streams_see_when_the_command_closes_them() {
    use std::io::{Read as _, Write as _};
    let script = "echo closes; exec <&- >&- 2>&-; sleep 3; exit 4";
    let mut child = run(&["closes", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "closes\n");
    // A moment later the reading end of its input is closed.
    let mut input = child.stdin.take().unwrap();
    until("nothing reads the input", || input.write_all(b"x").is_err());
    assert!(child.try_wait().unwrap().is_none(), "the command runs on");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    nothing_of(consul(), "closes");
}

#[test]
fn the_guard_keeps_nothing_open() {
    let running = Running::start(&mut run(&["guard-files", "sh", "-c", "echo $$; sleep 1"]));
    running.prints("\n");
    let mut guards = marked(&running.mark);
    guards.retain(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.unwrap_or_default().trim() == "lock-guard"
    });
    assert_eq!(guards.len(), 1);
    let open = std::fs::read_dir(format!("/proc/{}/fd", guards[0]))
        .unwrap()
        .flatten();
    let open: Vec<_> = open
        .map(|fd| std::fs::read_link(fd.path()).unwrap())
        .collect();
    // Its pipe and its timer.
    assert_eq!(open.len(), 2, "{open:?}");
    running.end().expect_code(0);
}

/// `timeout` and a shell with job control make groups of their own, and stay in the session.
const OUT_OF_GROUP: [&str; 2] = [
    "timeout -k 50 70 sh -c 'trap \"\" TERM; echo $$; sleep 60; sleep 60' & read -r x",
    "set -m; sh -c 'trap \"\" TERM; echo $$; sleep 60; sleep 60' & read -r x",
];

#[test]
fn what_has_left_the_group_and_not_the_session_ends_before_the_lock() {
    for script in OUT_OF_GROUP {
        let args = ["--kill-after", "3s", "left-group", "bash", "-c", script];
        let mut running = Running::start_with_input(&mut run(&args));
        let left = running.pids()[0];
        drop(running.input());
        running.says("has left processes behind");
        assert!(is_alive(left) && is_held("left-group"));
        let ended = running.end().expect_code(1);
        assert!(!is_alive(left));
        leaves_nothing(consul(), "left-group", &ended);
    }
}

#[test]
fn a_loss_ends_what_has_left_the_group_and_not_the_session() {
    for script in OUT_OF_GROUP {
        let args = ["--kill-after", "1s", "lost-group", "bash", "-c", script];
        let running = Running::start_with_input(&mut run(&args));
        let left = running.pids()[0];
        thread::sleep(Duration::from_millis(1500));
        consul().destroy(&consul().holder(&full("lost-group")).expect("a holder"));
        let ended = running.end().expect_code(79);
        assert!(!is_alive(left));
        leaves_nothing(consul(), "lost-group", &ended);
    }
}

/// A pipe that is full.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::Write as _;
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

#[test]
fn a_reader_of_its_words_that_does_not_read_delays_nothing() {
    for (place, option) in [("words", "-v"), ("words", "--json"), ("report", "-v")] {
        let (reader, writer) = full_pipe();
        let begun = Instant::now();
        let mut args = vec![option];
        if place == "report" {
            args.extend(["--status-fd", "1"]);
        }
        args.extend(["full", "sh", "-c", "sleep 60 & exit 3"]);
        let mut command = run(&args);
        match place {
            "report" => command.stdout(writer).stderr(Stdio::null()),
            _ => command.stdout(Stdio::null()).stderr(writer),
        };
        let mut running = command.stdin(Stdio::null()).spawn().unwrap();
        drop(command);
        until("the lock is given back", || {
            let status = running.try_wait().unwrap();
            assert!(begun.elapsed() < Duration::from_secs(10), "{args:?}");
            status.is_some_and(|status| {
                assert_eq!(status.code(), Some(3));
                true
            })
        });
        drop(reader);
        nothing_of(consul(), "full");
    }
}

/// A line of bash in which `"$0" "$@"` is `consul-lock run` with these arguments.
fn from_bash(script: &str, args: &[&str]) -> Command {
    let template = run(args);
    let mut command = Command::new("bash");
    for (name, value) in template
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        command.env(name, value);
    }
    command.args(["-c", script]);
    command
        .arg(template.get_program())
        .args(template.get_args());
    command
}

#[test]
fn the_children_that_a_shell_has_left_to_it_are_not_the_commands() {
    // The last one of them becomes an orphan while the command runs.
    let script = "sleep 59 >/dev/null 2>&1 & sleep 0.5 & echo $(jobs -p %1)
        sh -c 'sleep 0.6; sleep 58 >/dev/null 2>&1 & echo $!; sleep 0.1' & exec \"$0\" \"$@\"";
    let args = ["exec", "sh", "-c", "sleep 60 & sleep 1.5; exit 3"];
    let running = Running::start(&mut from_bash(script, &args));
    until("both pids", || running.stdout().lines().count() == 2);
    let pids = running.stdout();
    let ended = running.end().expect_code(3);
    for before in pids.lines().map(|pid| pid.parse().expect("a pid")) {
        assert!(is_alive(before), "{pids}");
        signal(before, Signal::SIGKILL);
    }
    assert!(
        ended.stderr.contains("has left processes behind"),
        "{ended:?}"
    );
    leaves_nothing(consul(), "exec", &ended);
}

#[test]
fn a_job_that_leaves_the_group_ends_before_the_lock_beside_children_of_a_shell() {
    let script = "sleep 31 >/dev/null 2>&1 & echo $!; exec \"$0\" \"$@\"";
    let line = "timeout 26 sleep 25 & echo $!; sleep .3; exit 0";
    let running = Running::start(&mut from_bash(script, &["left", "bash", "-mc", line]));
    until("both pids", || running.stdout().lines().count() == 2);
    let pids = running.stdout();
    let ended = running.end().expect_code(0);
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    let [before, job] = pids[..] else {
        panic!("{pids:?}")
    };
    assert!(!is_alive(job), "the job outlives the lock");
    assert!(is_alive(before));
    signal(before, Signal::SIGKILL);
    assert!(
        ended.stderr.contains("has left processes behind"),
        "{ended:?}"
    );
    leaves_nothing(consul(), "left", &ended);
}
