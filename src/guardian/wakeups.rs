//! What can wake the guardian's main thread: signals, one timer, the volume thread, the supervisor's socket.
//!
//! There is one timer for all that is due, absolute on CLOCK_BOOTTIME, set before each wait to the earliest of it:
//! nothing can be late because something else was armed, and a suspended host wakes up to an expired one.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::moment::Moment;

/// The signal by which the kernel says that the supervisor (or the thread of it that started us) is gone.
const PARENT_DIED: Signal = Signal::SIGUSR1;

/// The sources of wake-ups.
pub struct Wakeups {
    signals: SignalFd,
    timer: TimerFd,
    volume: Arc<EventFd>,
}

/// What woke the main thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    /// SIGUSR1 was among the signals.
    pub parent_died: bool,
    pub volume: bool,
    pub socket: bool,
}

impl Wakeups {
    /// Blocks the signals, so call it before any other thread exists. SIGTERM, SIGINT, SIGHUP and SIGQUIT mean nothing
    /// here: they hit a whole service or terminal, and it is the supervisor that orders the stop.
    pub fn new() -> nix::Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGPIPE,
            PARENT_DIED,
        ] {
            mask.add(signal);
        }
        mask.thread_block()?;
        prctl::set_pdeathsig(PARENT_DIED)?;
        Ok(Self {
            signals: SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            timer: TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?,
            volume: Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?),
        })
    }

    /// By which the volume thread wakes the main thread.
    pub fn bell(&self) -> Arc<EventFd> {
        Arc::clone(&self.volume)
    }

    /// Waits until something happens, `until` at the latest. Of `others` nothing is said but that one of them can be read, by
    /// the end of the wait.
    pub fn wait(
        &self,
        until: Option<Moment>,
        socket: Option<(BorrowedFd<'_>, bool)>,
        others: &[BorrowedFd<'_>],
    ) -> nix::Result<Ready> {
        match until {
            // An absolute time of zero would disarm the timer.
            Some(until) => {
                let at = TimeSpec::from(Duration::from_nanos(until.as_nanos().clamp(1, i64::MAX as u64)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.unset()?,
        }
        let mut polled = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.volume.as_fd(), PollFlags::POLLIN),
        ];
        if let Some((fd, unsent)) = socket {
            let events = if unsent { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
            polled.push(PollFd::new(fd, events));
        }
        let with_socket = polled.len();
        polled.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let happened = |index: usize| polled.get(index).and_then(PollFd::any).unwrap_or(false);
        let mut ready =
            Ready { volume: happened(2), socket: socket.is_some() && happened(with_socket - 1), ..Ready::default() };
        while let Ok(Some(signal)) = self.signals.read_signal() {
            ready.parent_died |= signal.ssi_signo == PARENT_DIED as u32;
        }
        if ready.volume {
            // Only resets the counter; an error would mean that it is zero already.
            let _ = self.volume.read();
        }
        Ok(ready)
    }
}
