//! A terminal with a person at it, by tmux: keys go in, and the screen can be read.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::consul::{Consul, comes_true};
use super::process::{consul_lock, heeds_signals};

/// A terminal of its own server of tmux. Dropped, it is gone, as a window that is closed.
pub(crate) struct Tmux {
    socket: String,
    pub(crate) mark: String,
}

impl Tmux {
    /// A terminal with a shell, in which `$T` is `consul-lock`.
    pub(crate) fn shell(consul: &Consul) -> Tmux {
        Tmux::start(consul, "bash --norc --noprofile -i")
    }

    /// A terminal in which one command runs, without a shell that has job control.
    pub(crate) fn start(consul: &Consul, line: &str) -> Tmux {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = format!("consul-lock-test-{}-{number}", std::process::id());
        let template = consul_lock(consul, &[]);
        let mut command = Command::new("tmux");
        for (name, value) in template.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mark = template.get_envs().find(|(name, _)| *name == "TEST_MARK");
        let mark = mark
            .and_then(|(_, value)| value?.to_str())
            .expect("a mark")
            .to_owned();
        // Of the terminal, and not of the server of tmux.
        let mark_it = format!("TEST_MARK={mark}");
        command.env("T", template.get_program());
        command.env_remove("TEST_MARK").env_remove("TMUX");
        command.env("TERM", "screen").env("LC_ALL", "C.UTF-8");
        command.args(["-L", &socket, "-f", "/dev/null"]);
        command.args([
            "new-session",
            "-d",
            "-e",
            &mark_it,
            "-x",
            "150",
            "-y",
            "45",
            line,
        ]);
        let output = heeds_signals(&mut command).output().expect("tmux");
        assert!(output.status.success(), "{output:?}");
        let tmux = Tmux { socket, mark };
        // The screen stays when its command has ended.
        tmux.tell(&["set-option", "-g", "remain-on-exit", "on"]);
        tmux
    }

    fn tell(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(words);
        command.output().expect("tmux")
    }

    /// Types a line.
    pub(crate) fn line(&self, text: &str) {
        self.tell(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    /// Presses a key, such as `C-c`.
    pub(crate) fn key(&self, key: &str) {
        let output = self.tell(&["send-keys", key]);
        assert!(output.status.success(), "{output:?}");
    }

    /// What a person sees.
    pub(crate) fn screen(&self) -> String {
        let output = self.tell(&["capture-pane", "-p", "-J"]);
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Waits until the screen shows a line that begins so.
    #[track_caller]
    pub(crate) fn shows(&self, begin: &str) {
        // The terminal shows a key that sends a signal as ^C.
        let begins = |line: &str| line.trim_start_matches(['^', 'C', 'Z']).starts_with(begin);
        let is_shown = comes_true(|| self.screen().lines().any(begins));
        assert!(
            is_shown,
            "{begin:?} is not on the screen:\n{}",
            self.screen()
        );
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tell(&["kill-server"]);
    }
}
