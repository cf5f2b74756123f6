//! What waits to be written to a worker, and the descriptors whose arrival it has not acknowledged.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Bytes unread by the worker above which we take nothing more from it.
const UNREAD: usize = 256 * 1024;

/// Bytes kept for the worker, unread or unacknowledged, above which nothing more is sent to it.
const KEPT: usize = 1024 * 1024;

/// Descriptors on their way to the worker above which no more are sent to it: it may ask for all its addresses at once.
const HANDLES: usize = 4096;

/// Small messages without a descriptor are joined up to this size, to be sent with one call.
const JOINED: usize = 16 * 1024;

/// How often a message whose descriptor did not arrive is sent, as in Node.
const TRIES: u8 = 4;

/// One message with a descriptor, or several without.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    /// How many of the bytes went. The descriptor went with the first.
    sent: usize,
    handle: Option<Rc<OwnedFd>>,
    seq: u64,
    tries: u8,
}

/// What became of an attempt to write.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Sent,
    Later,
    /// The system does not pass this descriptor (too many are on their way, unix(7): ETOOMANYREFS).
    Refused,
    Broken,
}

/// The queue towards one worker.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// To be written, in this order.
    unsent: VecDeque<Frame>,
    /// Written with a descriptor, not acknowledged, in this order.
    unacknowledged: VecDeque<Frame>,
    /// The bytes of `unsent`, those of the first that went already included.
    unsent_bytes: usize,
    /// The bytes of `unacknowledged`.
    unacknowledged_bytes: usize,
    /// The handles of `unsent`.
    unsent_handles: usize,
    broken: bool,
}

impl Outbox {
    /// Whether one more message may be queued.
    pub(super) fn has_room(&self, with_handle: bool) -> bool {
        let handles_fit = !with_handle || self.handles() < HANDLES;
        !self.broken && handles_fit && self.kept() < KEPT
    }

    /// Queues a line, with its descriptor. Without asking [`Self::has_room`]: acknowledgements always go.
    pub(super) fn push(&mut self, bytes: Vec<u8>, handle: Option<Rc<OwnedFd>>, seq: u64) {
        if self.broken {
            return;
        }
        match self.unsent.back_mut() {
            Some(last) if last.handle.is_none() && handle.is_none() && last.bytes.len() < JOINED => {
                self.unsent_bytes += bytes.len();
                last.bytes.extend(bytes);
            }
            _ => self.queue(Frame { bytes, sent: 0, handle, seq, tries: 1 }),
        }
    }

    /// Writes until nothing is left or `write` takes no more; the numbers of messages that cannot be sent go to `lost`.
    pub(super) fn flush(
        &mut self,
        lost: &mut impl FnMut(u64),
        mut write: impl FnMut(&[u8], Option<BorrowedFd<'_>>) -> io::Result<usize>,
    ) {
        while let Some(first) = self.unsent.front_mut() {
            match first.step(&mut write) {
                Step::Sent if first.sent < first.bytes.len() => {}
                Step::Sent => self.first_is_sent(),
                Step::Later => return,
                Step::Refused => {
                    if let Some(frame) = self.unqueue() {
                        lost(frame.seq);
                    }
                }
                Step::Broken => return self.break_off(),
            }
        }
    }

    /// The oldest descriptor on its way has arrived; false: none is on its way.
    pub(super) fn acknowledged(&mut self) -> bool {
        self.unwait().is_some()
    }

    /// The oldest descriptor on its way has not arrived: its message is sent again.
    ///
    /// # Errors
    /// `Some(seq)`: it was sent often enough. `None`: no descriptor is on its way.
    pub(super) fn not_arrived(&mut self) -> Result<(), Option<u64>> {
        let frame = self.unwait().ok_or(None)?;
        if frame.tries >= TRIES {
            return Err(Some(frame.seq));
        }
        self.queue(Frame { sent: 0, tries: frame.tries + 1, ..frame });
        Ok(())
    }

    /// Something waits to be written.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The worker leaves too much unread.
    pub(super) const fn is_backlogged(&self) -> bool {
        self.unsent_bytes > UNREAD
    }

    /// Descriptors queued, or on their way.
    pub(super) fn handles(&self) -> usize {
        self.unsent_handles + self.unacknowledged.len()
    }

    /// Bytes queued, or of messages whose descriptor is on its way.
    pub(super) const fn kept(&self) -> usize {
        self.unsent_bytes + self.unacknowledged_bytes
    }

    fn queue(&mut self, frame: Frame) {
        self.unsent_bytes += frame.bytes.len();
        self.unsent_handles += usize::from(frame.handle.is_some());
        self.unsent.push_back(frame);
    }

    fn unqueue(&mut self) -> Option<Frame> {
        let frame = self.unsent.pop_front()?;
        self.unsent_bytes -= frame.bytes.len();
        self.unsent_handles -= usize::from(frame.handle.is_some());
        Some(frame)
    }

    fn unwait(&mut self) -> Option<Frame> {
        let frame = self.unacknowledged.pop_front()?;
        self.unacknowledged_bytes -= frame.bytes.len();
        Some(frame)
    }

    fn first_is_sent(&mut self) {
        if let Some(frame) = self.unqueue().filter(|frame| frame.handle.is_some()) {
            self.unacknowledged_bytes += frame.bytes.len();
            self.unacknowledged.push_back(frame);
        }
    }

    fn break_off(&mut self) {
        *self = Self { broken: true, ..Self::default() };
    }
}

impl Frame {
    fn step(&mut self, write: &mut impl FnMut(&[u8], Option<BorrowedFd<'_>>) -> io::Result<usize>) -> Step {
        let pass = self.handle.as_ref().filter(|_| self.sent == 0);
        let rest = self.bytes.get(self.sent..).unwrap_or_default();
        match write(rest, pass.map(|handle| handle.as_fd())) {
            Ok(n) => self.sent += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Step::Later,
            Err(e) if pass.is_some() && !is_gone(&e) => return Step::Refused,
            Err(_) => return Step::Broken,
        }
        Step::Sent
    }
}

/// There is no reader any more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
