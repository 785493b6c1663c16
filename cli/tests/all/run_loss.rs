//! The end of the lock while the command of `consul-lock run` runs: the group never outlives the lock.

use crate::support::prelude::*;

fn run(consul: &Consul, args: &[&str]) -> Command {
    let args: Vec<&str> = ["run"].into_iter().chain(args.iter().copied()).collect();
    consul_lock(consul, &args)
}

/// A command that writes the time in ms into a file as long as it lives, and ignores TERM.
const STUBBORN: &str = "trap 'echo term' TERM; echo $$; while :; do sleep 0.1; done";
const MEEK: &str = "echo $$; exec sleep 60";

#[test]
fn a_lost_lock_ends_the_command_by_term() {
    for (key, how) in [("lost-key", "delete"), ("lost-session", "destroy")] {
        let running = Running::start(&mut run(consul(), &[key, "sh", "-c", MEEK]));
        let command = running.pids()[0];
        let session = consul().holder(&full(key)).expect("a holder");
        // The library watches the key of a lock that is held for longer than a second.
        thread::sleep(Duration::from_millis(1500));
        match how {
            "delete" => drop(consul().request("DELETE", &format!("/v1/kv/{}", full(key)), "")),
            _ => consul().destroy(&session),
        }
        let ended = running.end().expect_code(79);
        assert!(ended.took < Duration::from_secs(15), "{ended:?}");
        assert!(!is_alive(command));
        let said = format!("consul-lock: lost the lock \"{key}\": ");
        assert!(ended.stderr.contains(&said), "{ended:?}");
        assert!(ended.stderr.contains("the command is ended"), "{ended:?}");
        leaves_nothing(consul(), key, &ended);
    }
}

#[test]
fn a_command_that_ignores_term_is_killed_later() {
    let args = [
        "--kill-after",
        "1500ms",
        "--json",
        "stubborn",
        "sh",
        "-c",
        STUBBORN,
    ];
    let running = Running::start(&mut run(consul(), &args));
    let command = running.pids()[0];
    thread::sleep(Duration::from_millis(1500));
    consul().destroy(&consul().holder(&full("stubborn")).expect("a holder"));
    running.prints("term");
    let told = Instant::now();
    assert!(is_alive(command));
    // A signal in the meantime reaches the group, and changes nothing else.
    running.signal(Signal::SIGTERM);
    let ended = running.end().expect_code(79);
    let took = told.elapsed();
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(ended.stderr.contains("\"outcome\":\"lost\""), "{ended:?}");
    assert!(ended.stderr.contains("\"command_signal\":9"), "{ended:?}");
    leaves_nothing(consul(), "stubborn", &ended);
}

#[test]
fn a_lost_lock_may_be_ignored() {
    let script = "echo $$; read -r line; exit 4";
    let args = ["--on-lost", "ignore", "ignores", "sh", "-c", script];
    let mut running = Running::start_with_input(&mut run(consul(), &args));
    let command = running.pids()[0];
    thread::sleep(Duration::from_millis(1500));
    consul().destroy(&consul().holder(&full("ignores")).expect("a holder"));
    running.says("the command goes on (--on-lost ignore)");
    thread::sleep(Duration::from_millis(500));
    assert!(is_alive(command));
    drop(running.input());
    let ended = running.end().expect_code(4);
    leaves_nothing(consul(), "ignores", &ended);
}

/// Runs a command at a Consul that falls silent, and answers how long after the acquire the group was gone.
fn silenced(script: &str, args: &[&str]) -> (Duration, Ended) {
    let consul = Consul::start();
    let args: Vec<&str> = args
        .iter()
        .copied()
        .chain(["silent", "sh", "-c", script])
        .collect();
    let running = Running::start(&mut run(&consul, &args));
    let command = running.pids()[0];
    let begun = Instant::now();
    consul.pause();
    while is_alive(command) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
    let took = begun.elapsed();
    let ended = running.end().expect_code(79);
    // The lock is lost: no release is worth a wait.
    let rest = begun.elapsed() - took;
    assert!(rest < Duration::from_secs(5), "{rest:?}");
    consul.resume();
    ended.leaves_no_process();
    (took, ended)
}

#[test]
fn a_silent_consul_ends_the_command_before_the_lease_ends() {
    let (took, ended) = silenced(MEEK, &["--ttl", "10s", "--kill-after", "3s"]);
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(9),
        "{took:?}"
    );
    assert!(
        ended.stderr.contains("Consul has confirmed no renewal"),
        "{ended:?}"
    );
    assert!(ended.took < Duration::from_secs(30), "{ended:?}");
}

#[test]
fn a_silent_consul_kills_a_stubborn_command_before_the_lease_ends() {
    let (took, ended) = silenced(STUBBORN, &["--ttl", "10s", "--kill-after", "3s"]);
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(ended.stdout.contains("term"), "{ended:?}");
}

#[test]
fn a_release_that_a_silent_consul_does_not_confirm() {
    let consul = Consul::start();
    let script = "echo in; read -r line; exit 5";
    let mut running = Running::start_with_input(&mut run(&consul, &["silent", "sh", "-c", script]));
    running.prints("in");
    consul.pause();
    drop(running.input());
    let ended = running.end().expect_code(5);
    consul.resume();
    let said = "could not confirm the release of the lock \"silent\": ";
    assert!(ended.stderr.contains(said), "{ended:?}");
    // That is for programs.
    assert!(!ended.stderr.contains("consul_lock_shutdown"), "{ended:?}");
    ended.leaves_no_process();
}

#[test]
fn a_fixed_life_ends_in_time() {
    for (key, script, least, most) in [("fixed", MEEK, 6, 9), ("fixed-2", STUBBORN, 8, 10)] {
        let args = [
            "--no-renew",
            "--ttl",
            "10s",
            "--kill-after",
            "2s",
            key,
            "sh",
            "-c",
            script,
        ];
        let running = Running::start(&mut run(consul(), &args));
        let command = running.pids()[0];
        let begun = Instant::now();
        while is_alive(command) {
            thread::sleep(Duration::from_millis(10));
        }
        let took = begun.elapsed();
        let bounds = Duration::from_secs(least)..Duration::from_secs(most);
        assert!(bounds.contains(&took), "{took:?}");
        let ended = running.end().expect_code(79);
        assert!(ended.stderr.contains("--no-renew"), "{ended:?}");
        leaves_nothing(consul(), key, &ended);
    }
}

#[test]
fn a_renewed_lock_lives_as_long_as_the_command() {
    let runs = [("renewed", "3s"), ("renewed-2", "0")].map(|(key, kill_after)| {
        let args = [
            "--ttl",
            "10s",
            "-k",
            kill_after,
            key,
            "sh",
            "-c",
            "sleep 24; exit 6",
        ];
        (key, Running::start(&mut run(consul(), &args)))
    });
    for (key, running) in runs {
        let ended = running.end().expect_code(6);
        assert_eq!(ended.stderr, "");
        leaves_nothing(consul(), key, &ended);
    }
}

#[test]
fn a_tool_that_is_stopped_does_not_let_the_command_outlive_the_lease() {
    let args = ["--ttl", "10s", "frozen", "sh", "-c", STUBBORN];
    let running = Running::start(&mut run(consul(), &args));
    let command = running.pids()[0];
    let begun = Instant::now();
    running.signal(Signal::SIGSTOP);
    while is_alive(command) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(10),
        "{took:?}"
    );
    running.signal(Signal::SIGCONT);
    let ended = running.end().expect_code(79);
    leaves_nothing(consul(), "frozen", &ended);
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_is_gone_and_not_before() {
    // The holder's Consul falls silent for the holder alone: the tool is stopped.
    let scratch = Scratch::new();
    let file = scratch.path("file");
    let script = format!("echo $$; while :; do echo a >> {file}; sleep 0.02; done");
    let holder = Running::start(&mut run(
        consul(),
        &["--ttl", "10s", "handed", "sh", "-c", &script],
    ));
    let command = holder.pids()[0];
    let script = format!("echo b >> {file}; sleep 0.3; echo b >> {file}");
    let waiter = Running::start(&mut run(
        consul(),
        &["-w", "60", "--shell", "handed", &script],
    ));
    holder.signal(Signal::SIGSTOP);
    waiter.end().expect_code(0);
    assert!(!is_alive(command));
    let text = scratch.read("file");
    let text = text.trim_end().trim_start_matches(['a', '\n']);
    assert_eq!(text, "b\nb");
    holder.signal(Signal::SIGCONT);
    holder.end().expect_code(79);
}

#[test]
fn a_tool_that_is_stopped_does_not_let_what_has_left_the_group_outlive_the_lease() {
    // Once below the command, and once as an orphan of it.
    for line in [
        "timeout 60 sleep 41 & echo $!; wait",
        "(timeout 60 sleep 42 & echo $!); exec sleep 43",
    ] {
        let args = ["--ttl", "10s", "away", "sh", "-c", line];
        let holder = Running::start(&mut run(consul(), &args));
        let away = holder.pids()[0];
        until("it leaves the group", || group_of(away) == away);
        let script = format!("test -e /proc/{away} && ! grep -q '^State:.Z' /proc/{away}/status");
        holder.signal(Signal::SIGSTOP);
        let waiter = Running::start(&mut run(
            consul(),
            &["-w", "60", "--shell", "away", &script],
        ));
        // The test fails: the process has ended.
        waiter.end().expect_code(1);
        assert!(!is_alive(away));
        holder.signal(Signal::SIGCONT);
        let ended = holder.end().expect_code(79);
        leaves_nothing(consul(), "away", &ended);
    }
}

/// The process group of a process.
fn group_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let word = after.split(' ').nth(2).unwrap_or_default();
    word.parse().unwrap_or_default()
}
