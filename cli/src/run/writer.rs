//! Output to readers that may not read: a thread writes, and this process waits for no reader while it looks after a
//! command.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many lines may wait for a reader. More of them are dropped.
const LINES: usize = 1000;

/// How long this process waits for a reader at its end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The writer to the standard error, once there was something to write.
static STANDARD_ERROR: Mutex<Option<Writer>> = Mutex::new(None);

/// A thread that writes lines.
pub struct Writer {
    lines: SyncSender<String>,
    end: Receiver<()>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(mut to: impl Write + Send + 'static) -> io::Result<Writer> {
        let (lines, waiting) = sync_channel::<String>(LINES);
        let (ended, end) = channel();
        thread::Builder::new().spawn(move || {
            for line in waiting {
                let _ = to.write_all(line.as_bytes());
            }
            let _ = ended.send(());
        })?;
        Ok(Writer { lines, end })
    }

    /// Has the thread write a line, and never waits.
    pub fn write(&self, line: String) {
        let _ = self.lines.try_send(line);
    }

    /// Waits until all is written, for a second at most.
    pub fn end(self) {
        drop(self.lines);
        let _ = self.end.recv_timeout(PATIENCE);
    }
}

/// Writes a line to the standard error. False: the system has no thread for that.
#[must_use]
pub fn write_to_standard_error(line: String) -> bool {
    let mut writer = STANDARD_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if writer.is_none() {
        *writer = Writer::start(io::stderr()).ok();
    }
    match &*writer {
        Some(writer) => {
            writer.write(line);
            true
        }
        None => false,
    }
}

/// Waits until the lines for the standard error are written, for a second at most.
pub fn end_standard_error() {
    let mut writer = STANDARD_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(writer) = writer.take() {
        writer.end();
    }
}
