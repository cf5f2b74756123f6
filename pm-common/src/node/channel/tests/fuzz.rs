//! A million mutated messages. PM_FUZZ_SEED and PM_FUZZ_COUNT choose others; a failure names what repeats it.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use serde_json::Value;

use super::super::conversation::Conversation;
use super::super::decoder::LONGEST;
use crate::node::message::{Message, Outgoing};

/// Real messages of workers, old and new.
const REAL: [&str; 18] = [
    r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3000,"addressType":4,"seq":1}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":{"ticketKeys":"0a1b"},"address":"::1","port":0,"addressType":6,"backlog":false,"flags":1,"seq":2}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":1,"data":null,"address":"/a/\u0000b","port":-1,"addressType":-1,"readableAll":true,"seq":3}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"queryServer","address":null,"port":null,"addressType":null,"fd":77,"seq":4}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"queryServer","address":"0.0.0.0","port":53,"addressType":"udp4","flags":4,"seq":5}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"listening","index":0,"data":null,"address":null,"port":3000,"addressType":4,"seq":6}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"close","key":"null:3000:4:undefined:0","seq":7}"#,
    r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":8}"#,
    r#"{"cmd":"NODE_CLUSTER","ack":3,"accepted":true,"seq":9}"#,
    r#"{"cmd":"NODE_CLUSTER","ack":4,"accepted":false,"seq":10}"#,
    r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"hello":"world"},"key":"k"}"#,
    r#"{"cmd":"NODE_HANDLE_ACK"}"#,
    r#"{"cmd":"NODE_HANDLE_NACK"}"#,
    r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"k"}"#,
    r#""ready""#,
    "\u{2}{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\",\"port\":3000,\"addressType\":4}",
    r#"{"type":"process:msg","data":{"memory":[1,2,3.5e7,"\ud83d\ude00",null,true]}}"#,
];

/// xorshift64: the same everywhere, for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("under the limit")
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn byte(&mut self) -> u8 {
        // As often as not one that means something in JSON.
        let telling = b"{}[]\":,\\\n\x02\x00 -09eE.tfnu\xff";
        if self.one_in(2) { telling[self.below(telling.len())] } else { self.next().to_le_bytes()[0] }
    }
}

fn mutate(message: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        if message.is_empty() {
            return;
        }
        let (at, byte) = (random.below(message.len()), random.byte());
        let end = at + random.below(message.len() - at);
        match random.below(7) {
            0 => message[at] ^= 1 << random.below(8),
            1 => message[at] = byte,
            2 => message.insert(at, byte),
            3 => drop(message.drain(at..end)),
            4 => message.extend_from_within(at..end),
            5 => {
                let other = REAL[random.below(REAL.len())].as_bytes();
                let from = random.below(other.len());
                message.splice(at..end, other[from..].iter().copied());
            }
            _ => drop(message.splice(at..at, std::iter::repeat_n(byte, random.below(20)))),
        }
    }
    if random.one_in(20_000) {
        let (at, byte) = (random.below(message.len().max(1)), random.byte());
        message.splice(at..at, std::iter::repeat_n(byte, random.below(3 * LONGEST)));
    }
}

/// A conversation whose worker reads when it likes.
struct Bench {
    conversation: Conversation,
    random: Random,
    handle: Rc<OwnedFd>,
    heard: Vec<Message>,
    /// The worker reads once in so many messages.
    laziness: usize,
    counts: Counts,
}

/// What was seen, to know that the test tests.
#[derive(Default)]
struct Counts {
    heard: u64,
    unwanted: u64,
    unsent: u64,
    complaints: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let null = std::fs::File::open("/dev/null").expect("opened");
        let (conversation, random) = (Conversation::default(), Random(seed.max(1)));
        let (handle, heard, counts) = (Rc::new(null.into()), Vec::new(), Counts::default());
        Self { conversation, random, handle, heard, laziness: 10, counts }
    }

    /// Another worker, of another character; the one before leaves nothing behind.
    fn renew(&mut self) {
        self.counts.complaints += u64::from(self.conversation.take_complaint().is_some());
        assert!(self.conversation.take_complaint().is_none());
        self.conversation = Conversation::default();
        assert_eq!(Rc::strong_count(&self.handle), 1, "descriptors are let go");
        self.laziness = [10, 100, 1000, 1_000_000][self.random.below(4)];
    }

    /// Feeds in reads of any size, as the loop does: never while the channel does not want it.
    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            while !self.conversation.wants_read() {
                self.counts.unwanted += 1;
                self.flush(1);
            }
            let longest = if rest.len() > 2000 { super::super::READ } else { rest.len() + 40 };
            let (part, behind) = rest.split_at((1 + self.random.below(longest)).min(rest.len()));
            let descriptors = if self.random.one_in(10) { self.random.below(4) } else { 0 };
            self.conversation.take_in(part, descriptors, &mut self.heard);
            rest = behind;
            self.check();
        }
    }

    fn check(&self) {
        let (inward, outward) = self.conversation.kept();
        assert!(inward <= 2 * LONGEST, "{inward} bytes kept of what came in");
        // The limit, one message over it, and the acknowledgements of a read.
        assert!(outward <= 1024 * 1024 + 2 * LONGEST + 30_000, "{outward} bytes kept to go out");
        assert!(self.conversation.unacknowledged_handles() <= 4096);
        assert!(Rc::strong_count(&self.handle) <= 1 + 4096);
    }

    /// Answers as the primary does.
    fn answer(&mut self) {
        for message in mem::take(&mut self.heard) {
            self.counts.heard += 1;
            let (key, handle, ack) = ("k", &self.handle, 1);
            let outgoing = match &message {
                Message::Query { seq, query } if query.port == 3000 => {
                    Outgoing::Shared { ack: *seq, key, data: &query.data, handle }
                }
                Message::Query { seq, query } => Outgoing::Refused { ack: *seq, key, data: &query.data, errno: 98 },
                Message::Listening(_) => Outgoing::NewConn { key, connection: handle },
                Message::Accepted { .. } => Outgoing::RoundRobin { ack, key, data: &Value::Null, sockname: None },
                _ => Outgoing::Ack { ack },
            };
            let taken = self.random.below(200);
            let sent = self.conversation.send(&outgoing, |bytes, _| take(bytes, taken));
            self.counts.unsent += u64::from(sent.is_none());
            self.check();
        }
    }

    /// The primary says much at once; what the worker does not read is refused at some point.
    fn shout(&mut self) {
        let data = Value::from("x".repeat(5000));
        let outgoing = Outgoing::RoundRobin { ack: 1, key: "k", data: &data, sockname: None };
        for _ in 0..300 {
            let sent = self.conversation.send(&outgoing, |_, _| Err(io::ErrorKind::WouldBlock.into()));
            self.counts.unsent += u64::from(sent.is_none());
            self.check();
        }
    }

    /// The worker reads: rarely all, often nothing.
    fn flush(&mut self, one_in: usize) {
        let mut budget = if self.random.one_in(one_in) { self.random.below(1 << 21) } else { 0 };
        let refuse = self.random.one_in(1000);
        self.conversation.flush(&mut self.heard, |bytes, pass| {
            if refuse && pass.is_some() {
                return Err(io::Error::other("too many on their way"));
            }
            let n = take(bytes, budget)?;
            budget -= n;
            Ok(n)
        });
    }

    /// Whatever came before, after a line's end the next message is understood.
    fn resynchronised(&mut self) {
        self.heard.clear();
        self.feed(format!("\n{}\n", REAL[0]).as_bytes());
        assert_eq!(self.heard.last(), Some(&Message::Online));
        self.heard.clear();
    }
}

/// What a socket with so much room does.
fn take(bytes: &[u8], room: usize) -> io::Result<usize> {
    if room == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(bytes.len().min(room)) }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_million_mutated_messages_do_no_harm() {
    let (seed, count) = (setting("PM_FUZZ_SEED", 0x9e37_79b9_7f4a_7c15), setting("PM_FUZZ_COUNT", 1_000_000));
    let _repeat = Repeat(seed);
    let mut bench = Bench::new(seed);
    let mut message = Vec::new();
    for round in 1..=count {
        message.clear();
        message.extend_from_slice(REAL[bench.random.below(REAL.len())].as_bytes());
        mutate(&mut message, &mut bench.random);
        if !bench.random.one_in(50) {
            message.push(b'\n');
        }
        bench.feed(&message);
        bench.answer();
        bench.flush(bench.laziness);
        if bench.random.one_in(20_000) {
            bench.shout();
        }
        if round % 50 == 0 {
            bench.resynchronised();
        }
        if round % 10_000 == 0 {
            bench.renew();
        }
    }
    let Counts { heard, unwanted, unsent, complaints } = bench.counts;
    let seen = format!("heard {heard}, reading unwanted {unwanted}, unsent {unsent}, complaints {complaints}");
    assert!(heard > count / 6, "too few mutations leave something to hear: {seen}");
    assert!(count < 1_000_000 || (unwanted > 0 && unsent > 0), "the limits are reached: {seen}");
    assert_eq!(complaints, count / 10_000, "each life has its one complaint: {seen}");
}

/// Says at a panic how to have it again.
struct Repeat(u64);

impl Drop for Repeat {
    #[allow(clippy::print_stderr, reason = "a test's output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: PM_FUZZ_SEED={}", self.0);
        }
    }
}
