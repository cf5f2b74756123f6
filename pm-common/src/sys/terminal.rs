//! Writing to what may be a terminal.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

/// Writes all of `bytes` to stderr, best effort: a message must never end or block a supervisor for ever.
///
/// SIGTTOU is blocked meanwhile: under `stty tostop` a background write would else raise it, which a supervisor
/// takes for a request to scale down (setpgid(2), termios(3): a blocked SIGTTOU lets the write through).
pub fn write_stderr(bytes: &[u8]) {
    let mut block = SigSet::empty();
    block.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    let blocked = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&block), Some(&mut before)).is_ok();
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stderr(), rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    if blocked {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}
