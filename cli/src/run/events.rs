//! What `run` waits for: signals, what the library reports, and a point in time. One call waits for all of them, and
//! nothing polls.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use consul_lock::clock::Time;
use consul_lock::error::Error;
use consul_lock::lock::Completion;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::sys;

/// The signals that end a wait, and that the command gets while it runs.
pub const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The signals of job control and of the children.
const OTHERS: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGTSTP, Signal::SIGCONT];

/// What has come.
#[derive(Debug)]
pub enum Event {
    /// This process got a signal.
    Signal(Signal),
    /// The call of the library that was begun has ended.
    Done(Result<(), Error>),
    /// The library has news of the lock, which the lock itself tells.
    LockChanged,
    /// The time has come.
    Time,
}

/// What signals did before this process took them.
pub struct Before {
    /// The signal mask.
    pub mask: SigSet,
    /// What SIGCHLD did.
    pub child_signal: Option<SigAction>,
    /// The signals that the caller of the program has this process ignore, as `nohup` does with SIGHUP.
    pub ignored: SigSet,
}

/// The events of this process.
pub struct Events {
    signals: SignalFd,
    bell: Arc<EventFd>,
    news: Receiver<Event>,
    tell: Sender<Event>,
    timer: TimerFd,
}

/// Blocks the signals, for this thread and all threads that it starts: they come as events, and none is lost.
pub fn take_signals() -> io::Result<(Before, SignalFd)> {
    let mut taken = SigSet::empty();
    let mut ignored = SigSet::empty();
    for signal in PASSED_ON.into_iter().chain(OTHERS) {
        let now = sys::disposition(signal);
        if now.is_some_and(|now| matches!(now.handler(), SigHandler::SigIgn)) {
            ignored.add(signal);
        }
        taken.add(signal);
    }
    let child_signal = sys::disposition(Signal::SIGCHLD);
    // Where SIGCHLD is ignored, the system keeps no exit status of a child.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    sys::set_disposition(Signal::SIGCHLD, &default);
    let mut blocked = taken;
    // Not taken: a line to the terminal must not stop this process while the command has the foreground.
    blocked.add(Signal::SIGTTOU);
    let mut mask = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut mask))?;
    let before = Before {
        mask,
        child_signal,
        ignored,
    };
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok((before, SignalFd::with_flags(&taken, flags)?))
}

impl Events {
    /// The events, with the signals that this process has taken.
    pub fn new(signals: SignalFd) -> io::Result<Events> {
        let (tell, news) = channel();
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Events {
            signals,
            bell: Arc::new(bell),
            news,
            tell,
            // The clock of leases: it counts the time of a suspend, too.
            timer: TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?,
        })
    }

    /// A function that any thread may call once, to make an event.
    pub fn ring<T, F>(&self, into: F) -> impl FnOnce(T) + Send + use<T, F>
    where
        F: FnOnce(T) -> Event + Send + 'static,
    {
        let (tell, bell) = (self.tell.clone(), self.bell.clone());
        move |news| {
            let _ = tell.send(into(news));
            let _ = bell.write(1);
        }
    }

    /// The end of a call of the library, as an event.
    pub fn completion(&self) -> Completion<()> {
        Completion::prompt(self.ring(Event::Done))
    }

    /// The next event. [`Event::Time`]: `by` has come, and nothing else has.
    pub fn next(&self, by: Option<Time>) -> Event {
        loop {
            if let Ok(Some(info)) = self.signals.read_signal() {
                let number = i32::try_from(info.ssi_signo).unwrap_or_default();
                if let Ok(signal) = Signal::try_from(number) {
                    return Event::Signal(signal);
                }
            }
            let _ = self.bell.read();
            if let Ok(news) = self.news.try_recv() {
                // More news may wait, for which the bell has rung already.
                let _ = self.bell.write(1);
                return news;
            }
            if by.is_some_and(|by| Time::now() >= by) || self.wait(by).is_err() {
                return Event::Time;
            }
        }
    }

    /// Waits until there may be an event.
    fn wait(&self, by: Option<Time>) -> Result<(), Errno> {
        match by {
            Some(by) => {
                let left = by.since(Time::now()).max(Duration::from_nanos(1));
                let once = Expiration::OneShot(left.into());
                self.timer.set(once, TimerSetTimeFlags::empty())?;
            }
            None => self.timer.unset()?,
        }
        let mut sources = [self.signals.as_fd(), self.bell.as_fd(), self.timer.as_fd()]
            .map(|source| PollFd::new(source, PollFlags::POLLIN));
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) | Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
