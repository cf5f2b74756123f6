//! One worker's channel: Node's IPC, lines of JSON over a unix stream socket, with descriptors beside them.
//!
//! The worker is not trusted: whatever it sends or fails to read, a channel keeps bounded memory and never blocks.

mod conversation;
mod decoder;
mod outbox;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::fdpass;

use self::conversation::Conversation;
use crate::node::message::{Message, Outgoing};

/// Bytes taken in with one read: little, so that a worker that floods us delays the others little.
const READ: usize = 16 * 1024;

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// More may come.
    Open,
    /// The worker has closed its end, or died.
    Closed,
}

/// Our end of one worker's channel.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
    conversation: Conversation,
}

impl Channel {
    /// Speaks over `fd`: a connected unix stream socket, whose other end is the worker's NODE_CHANNEL_FD.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, conversation: Conversation::default() }
    }

    /// Reads once, at most 16 KiB, appends what it meant to `out`, and sends what acknowledgements are due.
    ///
    /// Descriptors that a worker sends are acknowledged (else it falls silent for ever) and closed.
    pub fn receive(&mut self, out: &mut Vec<Message>) -> Received {
        let (mut buf, mut fds) = ([0; READ], Vec::new());
        let read = match fdpass::receive(self.fd.as_fd(), &mut buf, &mut fds) {
            Ok(0) => return Received::Closed,
            Ok(read) => read,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Received::Open;
            }
            Err(_) => return Received::Closed,
        };
        let bytes = buf.get(..read).unwrap_or_default();
        self.conversation.take_in(bytes, fds.len(), out);
        drop(fds);
        self.flush(out);
        Received::Open
    }

    /// From the next on, [`Message::App`] is given for the app's own messages, or not; a worker's first are not.
    pub const fn keep_messages(&mut self, keep: bool) {
        self.conversation.keep_messages(keep);
    }

    /// Queues a message, and sends it at once if nothing waits before it; its `seq`, by which an answer names it.
    ///
    /// `None`: not sent, and it never will be. The channel is broken; the worker reads or acknowledges nothing and too
    /// much waits already (1 MiB, 4096 descriptors); the system refuses more descriptors on their way; or it is a
    /// second `Disconnect`, which would cut the worker's connections.
    pub fn send(&mut self, outgoing: &Outgoing<'_>) -> Option<u64> {
        let fd = self.fd.as_fd();
        self.conversation.send(outgoing, |bytes, pass| fdpass::send(fd, bytes, pass))
    }

    /// Sends what waits, as far as the worker reads; what could not be delivered is appended to `out`.
    pub fn flush(&mut self, out: &mut Vec<Message>) {
        let fd = self.fd.as_fd();
        self.conversation.flush(out, |bytes, pass| fdpass::send(fd, bytes, pass));
    }

    /// Something waits for the worker to read: poll for writability, then [`Self::flush`].
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.conversation.wants_write()
    }

    /// False while so much waits for the worker to read that nothing more should be taken from it.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.conversation.wants_read()
    }

    /// Descriptors sent or queued whose arrival the worker has not acknowledged.
    #[must_use]
    pub fn unacknowledged_handles(&self) -> usize {
        self.conversation.unacknowledged_handles()
    }

    /// What the worker did against the protocol; once in a channel's life, so that a flood makes one warning.
    pub fn take_complaint(&mut self) -> Option<String> {
        self.conversation.take_complaint()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
