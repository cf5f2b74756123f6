//! What a child reads. Workers that are several read nothing; one child reads what its supervisor was given.

use crate::sys::socket;

/// What a child reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// /dev/null.
    Nothing,
    /// Our own standard input, which is then nobody else's.
    Ours,
}

impl Input {
    /// Our own, unless that is a terminal: a child is in the background for it, and would be stopped as it reads.
    pub(super) fn ours() -> Self {
        if rustix::termios::isatty(rustix::stdio::stdin()) { Self::Nothing } else { Self::Ours }
    }

    /// Whether the next child reads what we do. Its predecessor may have left that so that reads do not wait.
    pub(super) fn pass(self) -> bool {
        if self == Self::Ours {
            // What knows no such flag needs none.
            let _ = socket::set_nonblocking(rustix::stdio::stdin(), false);
        }
        self == Self::Ours
    }
}
