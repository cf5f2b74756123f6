//! A word to who interrupts a wait (Ctrl-C): what was asked for goes on without us.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use nix::libc;
use signal_hook::low_level::{emulate_default_handler, register};

use crate::kernel::procfs::Proc;

/// The line to write, with its newline. What is replaced is never freed: the handler may be reading it.
static LINE: AtomicPtr<Vec<u8>> = AtomicPtr::new(ptr::null_mut());
static INSTALLED: Once = Once::new();
/// INT is to be kept for later, whatever is said.
pub(super) static HELD_BACK: AtomicBool = AtomicBool::new(false);

/// As long as this lives, INT has a line written to stderr before it ends this process as ever.
#[derive(Debug)]
pub struct Parting(());

impl Parting {
    /// Has this line said. Where INT is ignored, it stays so; where no handler can be installed,
    /// nothing is said.
    #[must_use]
    pub fn say(line: &str) -> Self {
        let line = format!("{line}\n").into_bytes();
        LINE.store(Box::into_raw(Box::new(line)), Ordering::SeqCst);
        let own = std::process::id().cast_signed();
        INSTALLED.call_once(|| {
            if !Proc::default().ignores(own, libc::SIGINT as u8) {
                let action = || {
                    if !HELD_BACK.load(Ordering::SeqCst) {
                        interrupted();
                    }
                };
                // SAFETY: the handler loads atomics, calls write(2), and emulate_default_handler, which is meant for handlers.
                let _ = unsafe { register(libc::SIGINT, action) };
            }
        });
        Self(())
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        LINE.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

/// Ends this process by INT, in a handler of it: not without the word.
pub(super) fn interrupted() {
    // SAFETY: the pointer is null or of a box that is never freed or changed.
    if let Some(line) = unsafe { LINE.load(Ordering::SeqCst).as_ref() } {
        // SAFETY: the buffer is as long as it says. Behind the `^C` of a terminal, and a line of progress.
        let _ = unsafe { libc::write(2, b"\n".as_ptr().cast(), usize::from(libc::isatty(2) == 1)) };
        // SAFETY: the buffer is as long as it says.
        let _ = unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    }
    let _ = emulate_default_handler(libc::SIGINT);
}
