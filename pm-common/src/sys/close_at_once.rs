//! Closing what others have sent, without waiting for it: close(2) of a socket with SO_LINGER that is the last one waits
//! for its peer, as long as the sender liked (socket(7)), also inside of another one that it was sent over.
//!
//! A signal ends such a wait, so there is one every few milliseconds meanwhile.

use std::mem::ManuallyDrop;
use std::ops::Deref;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// How long a close may take, in nanoseconds.
const PAUSE: libc::c_long = 5_000_000;

/// A value that holds descriptors which others may have prepared; dropping it does not wait.
#[derive(Debug)]
pub struct Hurried<T>(ManuallyDrop<T>);

impl<T> Hurried<T> {
    /// The value, to be dropped in a hurry.
    pub const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// The value, of which the caller knows that nobody else has prepared it.
    pub fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither dropped nor used afterwards.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Deref for Hurried<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Hurried<T> {
    fn drop(&mut self) {
        // SAFETY: the value is dropped here alone, and not used afterwards.
        hurried(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// Does something during which no close waits for long. Where the timer cannot be had, it may.
pub fn hurried<R>(act: impl FnOnce() -> R) -> R {
    let timer = Timer::start();
    let done = act();
    drop(timer);
    done
}

/// Interrupts this thread every few milliseconds, as long as it is there.
struct Timer(libc::timer_t);

impl Timer {
    fn start() -> Option<Self> {
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, which is async-signal-safe; nobody else here uses SIGALRM.
        unsafe { sigaction(Signal::SIGALRM, &action) }.ok()?;
        // SAFETY: all zeroes are a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        event.sigev_notify_thread_id = nix::unistd::gettid().as_raw();
        let mut id = std::ptr::null_mut();
        // SAFETY: the kernel reads the event and writes the id; both outlive the call.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if made == -1 {
            return None;
        }
        let timer = Self(id);
        let time = libc::timespec { tv_sec: 0, tv_nsec: PAUSE };
        let times = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: the timer is ours; the kernel reads the times, which outlive the call, and the old ones are not asked for.
        let set = unsafe { libc::timer_settime(timer.0, 0, &raw const times, std::ptr::null_mut()) };
        (set == 0).then_some(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and not used afterwards.
        unsafe { libc::timer_delete(self.0) };
    }
}

extern "C" fn nothing(_: libc::c_int) {}
