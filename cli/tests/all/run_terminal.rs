//! `consul-lock run` on a terminal: what a person types, and what a person sees.

use crate::support::prelude::*;
use crate::support::tmux::Tmux;

/// The shell has the terminal again, and no process of the test but itself.
#[track_caller]
fn is_back(tmux: &Tmux, key: &str) {
    until("the shell is alone", || marked(&tmux.mark).len() == 1);
    tmux.line("echo 'ba''ck'");
    tmux.shows("back");
    nothing_of(consul(), key);
}

/// The shell of a trap must not begin a long command just when the signal comes: the trap waits for the end of that
/// command.
#[test]
fn ctrl_c_ends_the_command() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run ctrl-c -- sh -c 'trap \"echo caught; exit 4\" INT; echo runs; while :; do sleep 0.1; done'; echo status $?");
    tmux.shows("runs");
    tmux.key("C-c");
    tmux.shows("caught");
    tmux.shows("status 4");
    tmux.line("clear; $T run ctrl-c sleep 61; echo 'sta''tus' $?");
    until("it runs", || {
        is_held("ctrl-c") && marked(&tmux.mark).len() == 4
    });
    tmux.key("C-c");
    tmux.line("echo last $?");
    tmux.shows("last 130");
    is_back(&tmux, "ctrl-c");
}

#[test]
fn ctrl_c_ends_the_script_around() {
    let tmux = Tmux::shell(consul());
    tmux.line(
        "bash -c '$T run script -- sh -c \"echo runs; exec sleep 60\"; echo went on'; echo last $?",
    );
    tmux.shows("runs");
    tmux.key("C-c");
    tmux.line("echo last $?");
    tmux.shows("last 130");
    assert!(!tmux.screen().contains("\nwent on"), "{}", tmux.screen());
    // A command that handles Ctrl-C does not end the script.
    let script = r#"trap \"exit 0\" INT; echo again; while :; do sleep 0.1; done"#;
    tmux.line(&format!(
        "clear; bash -c '$T run script -- sh -c \"{script}\"; echo went on'"
    ));
    tmux.shows("again");
    tmux.key("C-c");
    tmux.shows("went on");
    is_back(&tmux, "script");
}

#[test]
fn ctrl_c_ends_a_wait_and_the_script_around() {
    let session = consul().other_holds(&full("script-waits"));
    let tmux = Tmux::shell(consul());
    tmux.line("bash -c '$T run -w forever script-waits true; echo went on'");
    until("a place in the line", || {
        consul()
            .keys()
            .iter()
            .any(|key| key.starts_with(&full("script-waits/.fifo/")))
    });
    tmux.key("C-c");
    tmux.line("echo last $?");
    tmux.shows("last 130");
    assert!(!tmux.screen().contains("\nwent on"), "{}", tmux.screen());
    consul().destroy(&session);
    is_back(&tmux, "script-waits");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_continues_it() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run ctrl-z -- sh -c 'echo runs; read -r x; echo got $x; exit 3'; echo status $?");
    tmux.shows("runs");
    tmux.key("C-z");
    tmux.shows("[1]+  Stopped");
    assert!(is_held("ctrl-z"));
    tmux.line("jobs; echo 'pro''mpt'");
    tmux.shows("prompt");
    tmux.line("clear; fg; echo after $?");
    until("the foreground", || marked(&tmux.mark).len() == 4);
    thread::sleep(Duration::from_millis(300));
    tmux.line("words");
    tmux.shows("got words");
    tmux.shows("after 3");
    is_back(&tmux, "ctrl-z");
}

#[test]
fn a_job_that_is_stopped_for_longer_than_the_ttl_has_lost_its_lock() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run --ttl 10s long-stop -- sh -c 'echo runs; sleep 0.2; sleep 60; echo never'");
    tmux.shows("runs");
    tmux.key("C-z");
    tmux.shows("[1]+  Stopped");
    // The guard kills the command before the lease ends.
    until("the command is dead", || marked(&tmux.mark).len() <= 3);
    tmux.line("fg; echo after $?");
    tmux.shows("after 79");
    assert!(
        tmux.screen().contains("consul-lock: lost the lock"),
        "{}",
        tmux.screen()
    );
    assert!(!tmux.screen().contains("\nnever"), "{}", tmux.screen());
    is_back(&tmux, "long-stop");
}

#[test]
fn bg_continues_a_job_without_the_terminal() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run bg -- sh -c 'echo runs; sleep 1; echo done; exit 5'");
    tmux.shows("runs");
    tmux.key("C-z");
    tmux.shows("[1]+  Stopped");
    tmux.line("bg; wait %1; echo after $?");
    tmux.shows("done");
    tmux.shows("after 5");
    is_back(&tmux, "bg");
}

#[test]
fn a_job_in_the_background_that_reads_stops_until_fg() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run reads -- sh -c 'sleep 0.5; read -r x; echo got $x' &");
    until("it is stopped", || {
        tmux.line("jobs");
        tmux.screen().contains("[1]+  Stopped")
    });
    tmux.line("clear; fg; echo after $?");
    thread::sleep(Duration::from_millis(500));
    tmux.line("it");
    tmux.shows("got it");
    tmux.shows("after 0");
    is_back(&tmux, "reads");
}

#[test]
fn a_pager_behind_a_pipe_keeps_the_keyboard() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run pager -- seq 1 1000 | less; echo last $?");
    tmux.shows("40");
    tmux.key("q");
    tmux.shows("last 0");
    tmux.line("clear; $T run pager -- sh -c 'seq 2001 3000 | less'; echo then $?");
    tmux.shows("2040");
    tmux.key("q");
    tmux.shows("then 0");
    is_back(&tmux, "pager");
}

#[test]
fn a_command_with_another_input_gets_the_keyboard_when_it_asks() {
    let tmux = Tmux::shell(consul());
    tmux.line(
        "echo x | $T run asks -- sh -c 'read -r y </dev/tty; echo got $y' | cat; echo last $?",
    );
    until("it runs", || is_held("asks"));
    thread::sleep(Duration::from_millis(500));
    tmux.line("keys");
    tmux.shows("got keys");
    tmux.shows("last 0");
    is_back(&tmux, "asks");
}

#[test]
fn without_a_shell_ctrl_z_does_not_hang() {
    let line = "exec $T run alone -- sh -c 'echo runs; read -r x; echo got $x; exit 6'";
    let tmux = Tmux::start(consul(), line);
    tmux.shows("runs");
    tmux.key("C-z");
    thread::sleep(Duration::from_millis(500));
    tmux.line("on");
    tmux.shows("got on");
    until("nothing is left", || marked(&tmux.mark).is_empty());
    nothing_of(consul(), "alone");
}

#[test]
fn a_terminal_that_is_closed_ends_the_command() {
    let tmux = Tmux::shell(consul());
    tmux.line("$T run closes -- sh -c 'echo runs; sleep 60 | sleep 61'");
    tmux.shows("runs");
    let mark = tmux.mark.clone();
    drop(tmux);
    until("nothing is left", || marked(&mark).is_empty());
    nothing_of(consul(), "closes");
}

#[test]
fn a_terminal_that_stops_writers_of_the_background_does_not_stop_the_tool() {
    let tmux = Tmux::shell(consul());
    tmux.line(
        "stty tostop; $T run -v tostop -- sh -c 'sleep 60 & echo runs; exit 3'; echo last $?",
    );
    tmux.shows("consul-lock: the command has left processes");
    tmux.shows("last 3");
    is_back(&tmux, "tostop");
}

#[test]
fn a_wait_can_be_stopped_for_longer_than_the_ttl_and_goes_on() {
    let session = consul().other_holds(&full("wait-stops"));
    let tmux = Tmux::shell(consul());
    tmux.line("$T run -w forever --ttl 10s wait-stops -- sh -c 'echo got it; exit 4'");
    let ticket = || {
        let keys = consul().keys();
        keys.iter()
            .any(|key| key.starts_with(&full("wait-stops/.fifo/")))
    };
    until("a place in the line", ticket);
    tmux.key("C-z");
    tmux.shows("[1]+  Stopped");
    until("the place is gone", || !ticket());
    tmux.line("fg; echo after $?");
    until("a place in the line", ticket);
    consul().destroy(&session);
    tmux.shows("got it");
    tmux.shows("after 4");
    is_back(&tmux, "wait-stops");
}

#[test]
fn job_control_works_below_itself() {
    let tmux = Tmux::shell(consul());
    tmux.line(
        "$T run out-er -- $T run in-ner -- sh -c 'echo runs; read -r x; echo got $x; exit 3'",
    );
    tmux.shows("runs");
    tmux.key("C-z");
    tmux.shows("[1]+  Stopped");
    tmux.line("clear; fg; echo after $?");
    thread::sleep(Duration::from_millis(700));
    tmux.line("words");
    tmux.shows("got words");
    tmux.shows("after 3");
    tmux.line("clear; $T run out-er -- $T run in-ner -- sh -c 'echo again; exec sleep 60'");
    tmux.shows("again");
    tmux.key("C-c");
    tmux.line("echo then $?");
    tmux.shows("then 130");
    is_back(&tmux, "out-er");
    nothing_of(consul(), "in-ner");
}
