//! A channel over a real socket, with a hand for the worker.

use std::io::{PipeReader, PipeWriter, Read as _};
use std::rc::Rc;

use serde_json::Value;

use super::*;
use crate::node::message::Leave;

mod fuzz;

/// The worker's end.
struct Worker(OwnedFd);

impl Worker {
    fn say(&self, text: &str) {
        self.pass(text, None);
    }

    fn pass(&self, text: &str, fd: Option<BorrowedFd<'_>>) {
        assert_eq!(fdpass::send(self.0.as_fd(), text.as_bytes(), fd).expect("sent"), text.len());
    }

    /// What waits for the worker now: the bytes as text, and the descriptors.
    fn take(&self) -> (String, Vec<OwnedFd>) {
        let (mut text, mut fds, mut buf) = (String::new(), Vec::new(), [0; READ]);
        while let Ok(n @ 1..) = fdpass::receive(self.0.as_fd(), &mut buf, &mut fds) {
            text.push_str(std::str::from_utf8(&buf[..n]).expect("text"));
        }
        (text, fds)
    }
}

fn setup() -> (Channel, Worker) {
    let (ours, theirs) = fdpass::pair().expect("a pair");
    (Channel::new(ours), Worker(theirs))
}

/// All that the channel hears now.
fn hear(channel: &mut Channel) -> Vec<Message> {
    let mut out = Vec::new();
    // A read that brings a descriptor ends there, so that one call may leave more behind.
    for _ in 0..10 {
        assert_eq!(channel.receive(&mut out), Received::Open);
    }
    out
}

/// A descriptor to pass; when all its copies are closed, `is_closed` sees it.
fn token() -> (PipeReader, PipeWriter) {
    io::pipe().expect("a pipe")
}

fn is_closed(mut reader: PipeReader) -> bool {
    rustix::io::ioctl_fionbio(&reader, true).expect("non-blocking");
    matches!(reader.read(&mut [0]), Ok(0))
}

const ONLINE: &str = "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\",\"seq\":0}\n";
const HANDLE: &str = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{\"x\":1}}\n";
const ACK: &str = "{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
const NACK: &str = "{\"cmd\":\"NODE_HANDLE_NACK\"}\n";

#[test]
fn messages_come_in_until_the_worker_is_gone() {
    let (mut channel, worker) = setup();
    let mut out = Vec::new();
    assert_eq!(channel.receive(&mut out), Received::Open, "nothing waits");
    worker.say(&format!("{ONLINE}\"ready\"\n{{\"any\":\"thing\"}}\n{}", &ONLINE[..20]));
    assert_eq!(channel.receive(&mut out), Received::Open);
    worker.say(&ONLINE[20..]);
    drop(worker);
    assert_eq!(channel.receive(&mut out), Received::Open, "what it said before its end counts");
    assert_eq!(out, [Message::Online, Message::Ready, Message::Online]);
    assert_eq!(channel.receive(&mut out), Received::Closed);
    assert_eq!(channel.send(&Outgoing::Ack { ack: 1 }), Some(0));
    assert_eq!(channel.send(&Outgoing::Ack { ack: 1 }), None, "the channel is known to be broken");
    assert!(!channel.wants_write());
    assert_eq!(channel.take_complaint(), None);
}

#[test]
fn a_worker_that_dies_with_unread_messages_is_closed_too() {
    let (mut channel, worker) = setup();
    channel.send(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() }));
    worker.say(ONLINE);
    drop(worker);
    let mut out = Vec::new();
    assert_eq!(channel.receive(&mut out), Received::Open);
    assert_eq!((channel.receive(&mut out), out), (Received::Closed, vec![Message::Online]));
}

#[test]
fn one_read_takes_little() {
    let (mut channel, worker) = setup();
    worker.say(&ONLINE.repeat(1000));
    let mut out = Vec::new();
    assert_eq!(channel.receive(&mut out), Received::Open);
    assert_eq!(out.len(), READ / ONLINE.len());
    assert_eq!(out.len() + hear(&mut channel).len(), 1000);
}

#[test]
fn a_users_handle_is_acknowledged_once_and_closed() {
    let (mut channel, worker) = setup();
    let (reader, writer) = token();
    worker.say(ONLINE);
    worker.pass(HANDLE, Some(writer.as_fd()));
    drop(writer);
    assert_eq!(hear(&mut channel), [Message::Online]);
    assert_eq!(worker.take().0, ACK);
    assert!(is_closed(reader));
    worker.say(HANDLE);
    hear(&mut channel);
    assert_eq!(worker.take().0, NACK, "its descriptor did not come");
    assert_eq!((channel.take_complaint(), channel.unacknowledged_handles()), (None, 0));
}

#[test]
fn a_long_message_with_a_handle_is_acknowledged_at_its_end() {
    let (mut channel, worker) = setup();
    let (reader, writer) = token();
    worker.pass("{\"cmd\":\"NODE_HANDLE\",\"msg\":\"", Some(writer.as_fd()));
    drop(writer);
    for _ in 0..20 {
        worker.say(&"x".repeat(10_000));
        hear(&mut channel);
    }
    assert_eq!(worker.take().0, "");
    assert!(is_closed(reader), "closed at once, not at the end");
    worker.say("\"}\n");
    hear(&mut channel);
    assert_eq!(worker.take().0, ACK);
}

#[test]
fn surplus_descriptors_are_closed_and_complained_of_once() {
    let (mut channel, worker) = setup();
    let (reader, writer) = token();
    for _ in 0..100 {
        worker.pass("{\"user\":1}\n", Some(writer.as_fd()));
        hear(&mut channel);
    }
    drop(writer);
    assert!(is_closed(reader));
    assert_eq!(worker.take().0, "");
    assert!(channel.take_complaint().expect("one").contains("descriptors"));
    worker.say("{\"cmd\":\"NODE_CLUSTER\"\n");
    hear(&mut channel);
    assert_eq!(channel.take_complaint(), None, "one warning in a life");
}

#[test]
fn handles_are_pipelined_and_let_go_when_acknowledged() {
    let (mut channel, worker) = setup();
    let (reader, writer) = token();
    let handle = Rc::new(OwnedFd::from(writer));
    for seq in 0..3 {
        assert_eq!(channel.send(&Outgoing::NewConn { key: "k", connection: &handle }), Some(seq));
    }
    assert_eq!((channel.unacknowledged_handles(), Rc::strong_count(&handle)), (3, 4));
    let (text, fds) = worker.take();
    let seqs: Vec<_> =
        text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")["msg"]["seq"].clone()).collect();
    assert_eq!((seqs, fds.len()), (vec![0.into(), 1.into(), 2.into()], 3));
    drop(fds);
    worker.say(&ACK.repeat(2));
    assert_eq!(hear(&mut channel), []);
    assert_eq!((channel.unacknowledged_handles(), Rc::strong_count(&handle)), (1, 2));
    worker.say(ACK);
    hear(&mut channel);
    assert_eq!((channel.unacknowledged_handles(), channel.take_complaint()), (0, None));
    drop(handle);
    assert!(is_closed(reader));
    worker.say(ACK);
    hear(&mut channel);
    assert!(channel.take_complaint().is_some(), "a fourth was not due");
}

#[test]
fn a_handle_that_does_not_arrive_is_sent_again_and_then_given_back() {
    let (mut channel, worker) = setup();
    let handle = Rc::new(OwnedFd::from(token().1));
    channel.send(&Outgoing::Ack { ack: 0 });
    channel.send(&Outgoing::NewConn { key: "k", connection: &handle });
    let ack = worker.take().0.lines().next().expect("a line").len() + 1;
    assert_eq!(ack, "{\"cmd\":\"NODE_CLUSTER\",\"ack\":0,\"seq\":0}\n".len());
    for _ in 0..3 {
        worker.say(NACK);
        assert_eq!(hear(&mut channel), []);
        let (text, fds) = worker.take();
        assert!(text.contains("\"seq\":1}") && text.lines().count() == 1, "{text}");
        assert_eq!(fds.len(), 1);
    }
    worker.say(NACK);
    assert_eq!(hear(&mut channel), [Message::Undelivered { seq: 1 }]);
    assert_eq!((worker.take().0.as_str(), Rc::strong_count(&handle)), ("", 1));
    assert_eq!(channel.take_complaint(), None);
}

#[test]
fn a_full_socket_splits_messages_but_loses_no_descriptor() {
    let (mut channel, worker) = setup();
    let handle = Rc::new(OwnedFd::from(token().1));
    let data = Value::from("x".repeat(10_000));
    let mut sent = 0;
    while !channel.wants_write() || sent % 7 != 0 {
        let shared = Outgoing::Shared { ack: sent, key: "k", data: &data, handle: &handle };
        assert_eq!(channel.send(&shared), Some(sent));
        sent += 1;
    }
    let (mut text, mut fds) = (String::new(), 0);
    while channel.wants_write() || fds == 0 {
        let (more, passed) = worker.take();
        text.push_str(&more);
        fds += passed.len();
        channel.flush(&mut Vec::new());
    }
    let (more, passed) = worker.take();
    text.push_str(&more);
    assert_eq!(((fds + passed.len()) as u64, text.lines().count() as u64), (sent, sent));
    for (seq, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("whole lines");
        assert_eq!(line["msg"]["seq"], seq);
    }
}

#[test]
fn a_worker_that_never_reads_is_not_read_and_cannot_grow_us() {
    let (mut channel, worker) = setup();
    let flood = "{\"cmd\":\"NODE_HANDLE\"}\n".repeat(1000);
    let mut rounds = 0;
    while channel.wants_read() {
        let _ = fdpass::send(worker.0.as_fd(), flood.as_bytes(), None);
        assert_eq!(channel.receive(&mut Vec::new()), Received::Open);
        rounds += 1;
        assert!(rounds < 10_000, "it is read for ever");
    }
    let handle = Rc::new(OwnedFd::from(token().1));
    let data = Value::from("x".repeat(10_000));
    let mut sent = 0;
    while channel.send(&Outgoing::Shared { ack: 1, key: "k", data: &data, handle: &handle }).is_some() {
        sent += 1;
        assert!(sent < 1000, "it is written for ever");
    }
    assert!(channel.conversation.kept().1 < 1_100_000);
    assert!(channel.take_complaint().is_some());
    while channel.wants_write() {
        worker.take();
        channel.flush(&mut Vec::new());
    }
    assert!(channel.wants_read(), "when it reads again, so do we");
}

#[test]
fn a_second_disconnect_is_not_sent() {
    let (mut channel, worker) = setup();
    assert_eq!(channel.send(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() })), Some(0));
    assert_eq!(channel.send(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() })), None);
    assert_eq!(channel.send(&Outgoing::Ack { ack: 5 }), Some(1));
    assert_eq!(worker.take().0.lines().count(), 2);
    assert_eq!(channel.take_complaint(), None);
}

#[test]
fn bun_is_answered_in_its_way() {
    let (mut channel, worker) = setup();
    channel.send(&Outgoing::Ack { ack: 0 });
    assert!(worker.take().0.starts_with('{'));
    worker.say(&format!("\x02{ONLINE}\x02{HANDLE}"));
    assert_eq!(hear(&mut channel), [Message::Online]);
    channel.send(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() }));
    let text = worker.take().0;
    assert!(text.lines().count() == 2 && text.lines().all(|line| line.starts_with("\x02{")), "{text:?}");
}

#[test]
fn malformed_messages_make_one_warning_and_nothing_else() {
    let deep = format!("{{\"cmd\":\"NODE_CLUSTER\",\"data\":{}\n", "[".repeat(50_000));
    for wrong in [
        "{\"cmd\":\"NODE_CLUSTER\"\n",
        "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"seq\":\"x\"}\n",
        "{\"cmd\":\"NODE_CLUSTER\",\"x\":\"\u{7f}\\ud800\"}\n",
        ACK,
        NACK,
        deep.as_str(),
    ] {
        let (mut channel, worker) = setup();
        worker.say(&wrong.repeat(2));
        worker.say(ONLINE);
        assert_eq!(hear(&mut channel), [Message::Online], "{wrong:.60}");
        assert!(channel.take_complaint().is_some(), "{wrong:.60}");
        assert_eq!((channel.take_complaint(), worker.take().0.as_str()), (None, ""), "{wrong:.60}");
    }
}

#[test]
fn a_descriptor_that_the_system_does_not_pass_is_said_to_be_unsent() {
    let (mut channel, worker) = setup();
    let handle = Rc::new(OwnedFd::from(token().1));
    let outgoing = Outgoing::NewConn { key: "k", connection: &handle };
    let refuse = |_: &[u8], pass: Option<BorrowedFd<'_>>| match pass {
        Some(_) => Err(io::Error::from_raw_os_error(109)), // ETOOMANYREFS
        None => Ok(1),
    };
    assert_eq!(channel.conversation.send(&outgoing, refuse), None);
    assert_eq!((channel.unacknowledged_handles(), Rc::strong_count(&handle)), (0, 1));
    assert_eq!(channel.take_complaint(), None, "not the worker's fault");
    assert!(channel.send(&outgoing).is_some(), "the next may pass");
    // One that had to wait is given back later.
    let wait = |_: &[u8], _: Option<BorrowedFd<'_>>| Err(io::ErrorKind::WouldBlock.into());
    let waiting = channel.conversation.send(&outgoing, wait).expect("queued");
    let mut out = Vec::new();
    channel.conversation.flush(&mut out, refuse);
    assert_eq!(out, [Message::Undelivered { seq: waiting }]);
    drop(worker);
}
