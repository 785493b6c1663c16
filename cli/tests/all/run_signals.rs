//! Signals to `consul-lock run`, of each kind and at each stage.

use crate::support::prelude::*;
use crate::support::proxy::{Fault, Proxy};

fn run(args: &[&str]) -> Command {
    let args: Vec<&str> = ["run"].into_iter().chain(args.iter().copied()).collect();
    consul_lock(consul(), &args)
}

const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

#[test]
fn each_signal_ends_a_wait_at_once() {
    let session = consul().other_holds(&full("waits"));
    for signal in PASSED_ON {
        let running = Running::start(&mut run(&["-w", "forever", "waits", "true"]));
        until("a place in the line", || {
            let ticket = full("waits/.fifo/");
            consul().keys().iter().any(|key| key.starts_with(&ticket))
        });
        let sent = Instant::now();
        running.signal(signal);
        let ended = running.end().expect_code(128 + signal as i32);
        let took = sent.elapsed();
        assert!(took < Duration::from_secs(2), "{signal}: {took:?}");
        ended.leaves_no_process();
        no_session_of(consul(), ended.pid);
        until("no ticket is left", || {
            !consul()
                .keys()
                .iter()
                .any(|key| key.starts_with(&full("waits/")))
        });
    }
    assert_eq!(consul().holder(&full("waits")), Some(session.clone()));
    consul().destroy(&session);
}

#[test]
fn a_signal_that_comes_first_is_not_lost() {
    for signal in PASSED_ON {
        // Blocked by the caller, and pending before the program begins.
        let script = "import os, signal, sys
number = int(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
os.kill(os.getpid(), number)
os.execv(sys.argv[2], sys.argv[2:])";
        let number = (signal as i32).to_string();
        let template = run(&["first", "sleep", "60"]);
        let mut command = Command::new("python3");
        command
            .args(["-c", script, &number])
            .arg(template.get_program());
        command.args(template.get_args());
        for (name, value) in template
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
        {
            command.env(name, value);
        }
        let ended = Running::start(&mut command).end();
        assert!(ended.took < Duration::from_secs(20), "{ended:?}");
        let ended = ended.expect_code(128 + signal as i32);
        leaves_nothing(consul(), "first", &ended);
    }
}

#[test]
fn each_signal_reaches_the_group_of_the_command() {
    let all = "TERM INT HUP QUIT USR1 USR2";
    // The shell, and a shell below it.
    let script = format!(
        "for s in {all}; do trap \"echo outer $s\" $s; done
        sh -c 'for s in {all}; do trap \"echo inner $s\" $s; done; echo ready
            while :; do sleep 0.05; done' &
        while :; do wait; done"
    );
    let running = Running::start(&mut run(&["each", "sh", "-c", &script]));
    running.prints("ready\n");
    for signal in PASSED_ON {
        running.signal(signal);
        let name = &signal.as_str()[3..];
        running.prints(&format!("outer {name}\n"));
        // A shell starts what is in its background with these two ignored.
        if !matches!(signal, Signal::SIGINT | Signal::SIGQUIT) {
            running.prints(&format!("inner {name}\n"));
        }
    }
    running.signal(Signal::SIGKILL);
    let ended = running.end();
    assert_eq!(ended.signal(), Some(9));
    ended.leaves_no_process();
}

#[test]
fn each_signal_ends_a_command_that_does_not_catch_it() {
    for signal in PASSED_ON {
        let script = "echo $$; exec sleep 60";
        let running = Running::start(&mut run(&["ends", "sh", "-c", script]));
        let command = running.pids()[0];
        running.signal(signal);
        let ended = running.end().expect_code(128 + signal as i32);
        assert!(!is_alive(command));
        leaves_nothing(consul(), "ends", &ended);
    }
}

#[test]
fn a_killed_tool_leaves_no_process() {
    // What ignores everything, and what the command has started.
    let script =
        "trap '' TERM HUP INT; (trap '' TERM HUP; sleep 60) | sleep 61 & echo $$; sleep 62";
    let running = Running::start(&mut run(&["--ttl", "10s", "--shell", "killed", script]));
    running.prints("\n");
    until("the processes", || marked(&running.mark).len() >= 6);
    running.signal(Signal::SIGKILL);
    let ended = running.end();
    assert_eq!(ended.signal(), Some(9));
    ended.leaves_no_process();
    // The session ends by its TTL.
    assert!(consul().holder(&full("killed")).is_some());
    let begun = Instant::now();
    while consul().holder(&full("killed")).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_command_dies_even_if_the_guard_is_killed_too() {
    let running = Running::start(&mut run(&["both", "sh", "-c", "echo $$; exec sleep 60"]));
    let command = running.pids()[0];
    let guard = marked(&running.mark).into_iter().find(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.unwrap_or_default().trim() == "lock-guard"
    });
    signal(guard.expect("a guard"), Signal::SIGKILL);
    assert!(is_alive(command));
    running.signal(Signal::SIGKILL);
    running.end().leaves_no_process();
    // And without a guard all else is as usual.
    let running = Running::start(&mut run(&["both-2", "sh", "-c", "echo $$; exec sleep 60"]));
    let command = running.pids()[0];
    let mut others = marked(&running.mark).into_iter();
    let guard = others.find(|pid| *pid != command && *pid != running.pid());
    signal(guard.expect("a guard"), Signal::SIGKILL);
    running.signal(Signal::SIGTERM);
    let ended = running.end().expect_code(143);
    leaves_nothing(consul(), "both-2", &ended);
}

#[test]
fn a_signal_ends_the_wait_for_a_release_that_is_not_confirmed() {
    let proxy = Proxy::start(consul().address(), |seen| match seen.kind() {
        "unlock" | "destroy" => Fault::NeverReply,
        _ => Fault::Pass,
    });
    let mut command = run(&["releases", "sh", "-c", "echo $$; exit 3"]);
    let running = Running::start(command.env("CONSUL_HTTP_ADDR", proxy.address()));
    let command = running.pids()[0];
    until("the release", || {
        !is_alive(command) && proxy.count("unlock") + proxy.count("destroy") > 0
    });
    let sent = Instant::now();
    running.signal(Signal::SIGTERM);
    // The command has ended: its status counts.
    let ended = running.end().expect_code(3);
    assert!(sent.elapsed() < Duration::from_secs(4), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("SIGTERM came before Consul confirmed"),
        "{ended:?}"
    );
    ended.leaves_no_process();
    nothing_of(consul(), "releases");
}

#[test]
fn a_release_that_is_not_confirmed_does_not_hide_the_status() {
    let proxy = Proxy::start(consul().address(), |seen| match seen.kind() {
        "unlock" | "destroy" => Fault::NeverReply,
        _ => Fault::Pass,
    });
    let mut command = run(&[
        "--release-timeout-ms",
        "500",
        "--json",
        "unconfirmed",
        "sh",
        "-c",
        "exit 3",
    ]);
    let ended = Running::start(command.env("CONSUL_HTTP_ADDR", proxy.address())).end();
    let ended = ended.expect_code(3);
    assert!(ended.took < Duration::from_secs(5), "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("consul-lock: could not confirm the release"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("\"released\":false"), "{ended:?}");
    nothing_of(consul(), "unconfirmed");
}

#[test]
fn signals_that_the_caller_ignores_stay_ignored() {
    let session = consul().other_holds(&full("ignored"));
    let template = run(&[
        "-w",
        "forever",
        "ignored",
        "sh",
        "-c",
        "echo in; sleep 0.4; echo out",
    ]);
    let mut command = Command::new("nohup");
    command
        .arg(template.get_program())
        .args(template.get_args());
    for (name, value) in template
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        command.env(name, value);
    }
    let mut running = Running::start(&mut command);
    until("a place in the line", || {
        consul()
            .keys()
            .iter()
            .any(|key| key.starts_with(&full("ignored/.fifo/")))
    });
    running.signal(Signal::SIGHUP);
    thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "HUP is ignored under nohup");
    consul().destroy(&session);
    running.prints("in");
    running.signal(Signal::SIGHUP);
    let ended = running.end().expect_code(0);
    assert!(ended.stdout.ends_with("in\nout\n"), "{ended:?}");
}

#[test]
fn the_command_has_the_mask_and_the_dispositions_of_the_caller() {
    let status = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])";
    // Not by a shell, which has a mask of its own.
    let template = run(&["mask", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let mut command = Command::new("python3");
    command
        .args(["-c", status])
        .arg(template.get_program())
        .args(template.get_args());
    for (name, value) in template
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        command.env(name, value);
    }
    let ended = Running::start(&mut command).end().expect_code(0);
    let set = |signals: &[Signal]| -> u64 { signals.iter().map(|s| 1 << (*s as i32 - 1)).sum() };
    let field = |name: &str| {
        let line = ended
            .stdout
            .lines()
            .find(|line| line.starts_with(name))
            .expect(name);
        u64::from_str_radix(line.split_whitespace().nth(1).expect(name), 16).expect("a set")
    };
    assert_eq!(
        field("SigBlk"),
        set(&[Signal::SIGUSR1, Signal::SIGALRM]),
        "{ended:?}"
    );
    assert_eq!(
        field("SigIgn") & set(&[Signal::SIGHUP, Signal::SIGPIPE]),
        set(&[Signal::SIGHUP])
    );
}

#[test]
fn a_signal_ends_a_wait_at_once_while_consul_is_silent() {
    let consul = Consul::start();
    // A place in the line outlives its waiter while Consul is silent: each waiter has a key of its own.
    let waits = |key: &str| {
        let session = consul.other_holds(&full(key));
        let mut command = consul_lock(&consul, &["run", "-w", "forever", key, "true"]);
        let running = Running::start(&mut command);
        let ticket = full(&format!("{key}/.fifo/"));
        until("a place in the line", || {
            consul.keys().iter().any(|key| key.starts_with(&ticket))
        });
        (session, running)
    };
    for (key, pauses) in [("heard", false), ("unheard", true)] {
        let (session, running) = waits(key);
        if pauses {
            consul.pause();
        }
        let sent = Instant::now();
        running.signal(Signal::SIGTERM);
        let ended = running.end().expect_code(143);
        assert!(sent.elapsed() < Duration::from_secs(4), "{ended:?}");
        ended.leaves_no_process();
        consul.resume();
        consul.destroy(&session);
    }
    // A second signal does not wait at all.
    let (_, running) = waits("unheard-2");
    consul.pause();
    running.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(200));
    let sent = Instant::now();
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert!(sent.elapsed() < Duration::from_millis(600), "{ended:?}");
    ended.expect_code(143);
    consul.resume();
}
