//! Writing to what may be a terminal, and how large that is.

use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Writes one message to stderr, best effort; false: it was dropped, because nobody reads.
///
/// A message must never block a supervisor: a full pipe (`| less`, a stuck logger) or a terminal that was told to stop
/// would hold up every worker behind it. A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking, and a
/// message is shorter.
///
/// SIGTTOU is blocked meanwhile: under `stty tostop` a background write would else raise it, which a supervisor
/// takes for a request to scale down (setpgid(2), termios(3): a blocked SIGTTOU lets the write through).
pub fn write_stderr(bytes: &[u8]) -> bool {
    let mut block = SigSet::empty();
    block.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    let blocked = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&block), Some(&mut before)).is_ok();
    let written = is_writable() && write_all(bytes);
    if blocked {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
    written
}

/// The columns and rows of a terminal: 80 and 24 of one that does not say (a serial line has 0). `None`: it is none.
pub fn size(of: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    let known = |told: u16, usual| if told == 0 { usual } else { usize::from(told) };
    Some((known(size.ws_col, 80), known(size.ws_row, 24)))
}

fn is_writable() -> bool {
    let stderr = rustix::stdio::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn write_all(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stderr(), rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
