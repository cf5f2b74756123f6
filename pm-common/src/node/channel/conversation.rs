//! The rules of a channel, without its socket: what comes in, what is due in return.

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::decoder::{Decoder, Line, MARK};
use super::outbox::Outbox;
use crate::node::message::{Message, Outgoing};

/// All that a channel remembers.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    decoder: Decoder,
    outbox: Outbox,
    /// The number that our next message gets.
    seq: u64,
    disconnecting: bool,
    complaint: Complaint,
}

/// The first offence is kept for the caller, later ones are not worth another word.
#[derive(Debug, Default)]
struct Complaint {
    offended: bool,
    text: Option<String>,
}

impl Complaint {
    fn add(&mut self, text: impl Into<String>) {
        if !self.offended {
            self.text = Some(text.into());
        }
        self.offended = true;
    }
}

impl Conversation {
    /// Takes in one read: its bytes, and how many descriptors came with it.
    pub(super) fn take_in(&mut self, bytes: &[u8], descriptors: usize, out: &mut Vec<Message>) {
        let Self { decoder, outbox, complaint, .. } = self;
        let mut due = Vec::new();
        decoder.feed(bytes, descriptors, |line| match line {
            Line::Cluster(text) => out.extend(parse(text, complaint)),
            Line::Ready => out.push(Message::Ready),
            Line::Message(text) => out.extend(Message::of_app(text)),
            Line::Handle { arrived } => due.push(arrived),
            Line::Ack if outbox.acknowledged() => {}
            Line::Ack => complaint.add("it acknowledged a descriptor that was not sent"),
            Line::Nack => match outbox.not_arrived() {
                Ok(()) => {}
                Err(Some(seq)) => out.push(Message::Undelivered { seq }),
                Err(None) => complaint.add("it missed a descriptor that was not sent"),
            },
            Line::Offence(text) => complaint.add(text),
        });
        for arrived in due {
            let name = if arrived { "NODE_HANDLE_ACK" } else { "NODE_HANDLE_NACK" };
            let line = self.marked(format!("{{\"cmd\":\"{name}\"}}\n"));
            self.outbox.push(line, None, 0);
        }
    }

    /// From the next on, the app's own messages are given.
    pub(super) const fn keep_messages(&mut self, keep: bool) {
        self.decoder.keep_messages(keep);
    }

    /// Queues a message, and writes it if nothing waits before it; `None`: it never will be.
    pub(super) fn send(
        &mut self,
        outgoing: &Outgoing<'_>,
        write: impl FnMut(&[u8], Option<BorrowedFd<'_>>) -> io::Result<usize>,
    ) -> Option<u64> {
        let handle = outgoing.handle();
        if !self.may_send(outgoing) {
            return None;
        }
        let seq = self.seq;
        self.seq += 1;
        // What is said to the app is no internal message.
        let marks = !matches!(outgoing, Outgoing::Shutdown | Outgoing::App(_));
        let line = if marks { self.marked(outgoing.line(seq)) } else { outgoing.line(seq).into_bytes() };
        let waiting = self.outbox.is_waiting();
        self.outbox.push(line, handle.map(Rc::clone), seq);
        let mut refused = false;
        if !waiting {
            self.outbox.flush(&mut |_| refused = true, write);
        }
        (!refused).then_some(seq)
    }

    fn may_send(&mut self, outgoing: &Outgoing<'_>) -> bool {
        let disconnects = matches!(outgoing, Outgoing::Disconnect { .. });
        if disconnects && self.disconnecting {
            return false;
        }
        let room = self.outbox.has_room(outgoing.handle().is_some());
        self.disconnecting |= disconnects && room;
        if !room && self.outbox.handles() + self.outbox.kept() > 0 {
            self.complaint.add("it does not take what is sent to it");
        }
        room
    }

    /// Writes what waits.
    pub(super) fn flush(
        &mut self,
        out: &mut Vec<Message>,
        write: impl FnMut(&[u8], Option<BorrowedFd<'_>>) -> io::Result<usize>,
    ) {
        self.outbox.flush(&mut |seq| out.push(Message::Undelivered { seq }), write);
    }

    pub(super) fn wants_write(&self) -> bool {
        self.outbox.is_waiting()
    }

    pub(super) const fn wants_read(&self) -> bool {
        !self.outbox.is_backlogged()
    }

    pub(super) fn unacknowledged_handles(&self) -> usize {
        self.outbox.handles()
    }

    pub(super) fn take_complaint(&mut self) -> Option<String> {
        self.complaint.text.take()
    }

    /// The line as this peer reads it.
    fn marked(&self, line: String) -> Vec<u8> {
        let mut bytes = line.into_bytes();
        if self.decoder.marked() {
            bytes.insert(0, MARK);
        }
        bytes
    }

    /// Bytes kept for what came in, and for what is to go out.
    #[cfg(test)]
    pub(super) const fn kept(&self) -> (usize, usize) {
        (self.decoder.kept(), self.outbox.kept())
    }
}

fn parse(text: &[u8], complaint: &mut Complaint) -> Option<Message> {
    let value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => {
            complaint.add(format!("it sent a cluster message that is not JSON: {error}"));
            return None;
        }
    };
    Message::parse(&value).unwrap_or_else(|why| {
        complaint.add(format!("it sent {why}"));
        None
    })
}
