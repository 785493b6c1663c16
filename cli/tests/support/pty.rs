//! The command on a terminal, without a shell around it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;

use super::consul::until;
use super::process::{heeds_signals, signal};

/// A process whose standard streams are a terminal of 100 columns and 12 lines. Dropped, it is dead.
pub(crate) struct OnTerminal {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    pub(crate) fn start(command: &mut Command) -> OnTerminal {
        let size = Winsize {
            ws_row: 12,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a terminal");
        let stream = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let child = heeds_signals(command)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .expect("the command");
        let keyboard = File::from(pty.master);
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let into = shown.clone();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(size @ 1..) = screen.read(&mut part) {
                into.lock().expect("not poisoned").extend(&part[..size]);
            }
        });
        OnTerminal {
            child,
            keyboard,
            shown,
        }
    }

    /// All that was ever written to the terminal.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("not poisoned")).into_owned()
    }

    #[track_caller]
    pub(crate) fn shows(&self, words: &str) {
        let what = format!("{words:?} on the terminal");
        until(&what, || self.shown().contains(words));
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("typed");
    }

    pub(crate) fn signal(&self, wanted: Signal) {
        signal(self.child.id(), wanted);
    }

    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("the command on the terminal ends", || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
