//! A timer of the wall clock: it follows the clock when somebody sets it, and counts the time that the machine sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

/// What a look at a timer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rang {
    /// Its time has come.
    Yes,
    /// Nothing has happened.
    No,
    /// Somebody has set the clock: the timer is to be set anew.
    ClockSet,
}

/// A timerfd_create(2) on CLOCK_REALTIME.
#[derive(Debug)]
pub struct WallTimer(OwnedFd);

impl WallTimer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// Those of timerfd_create(2): out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?))
    }

    /// Sets it to a time in milliseconds since 1970; one that is over rings at once.
    ///
    /// # Errors
    /// Those of timerfd_settime(2).
    pub fn set(&self, at: u64) -> io::Result<()> {
        let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let it_value = Timespec { tv_sec: part(at / 1000), tv_nsec: part(at % 1000 * 1_000_000) };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.0, flags, &Itimerspec { it_interval, it_value }) {
            // The clock was set since the timer was: it is set all the same (timerfd_settime(2)).
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether it has rung; it rings once.
    #[must_use]
    pub fn look(&self) -> Rang {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Ok(_) => Rang::Yes,
            Err(Errno::CANCELED) => Rang::ClockSet,
            Err(_) => Rang::No,
        }
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
