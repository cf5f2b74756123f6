//! From the bytes of a channel to its lines, with bounded memory, whatever comes.
//!
//! Only cluster messages are kept until their newline. What a line is shows in its first bytes, as every worker's
//! runtime writes `cmd` first; the user's own messages are passed over without being kept, unless somebody wants them.

/// The longest message that is kept, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// Bun marks its internal messages with this byte, and understands only such.
pub(super) const MARK: u8 = 2;

/// A whole line that concerns us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A cluster message: JSON that begins as one.
    Cluster(&'a [u8]),
    /// The user's `"ready"`.
    Ready,
    /// A message that says to have a descriptor with it; whether it came.
    Handle {
        /// The descriptor came.
        arrived: bool,
    },
    /// A descriptor of ours has arrived.
    Ack,
    /// A message of ours arrived without its descriptor.
    Nack,
    /// The user's message, where those are kept.
    Message(&'a [u8]),
    /// Against the protocol.
    Offence(&'static str),
}

/// What the line under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LineKind {
    /// Its first bytes do not tell yet.
    #[default]
    Unknown,
    Cluster,
    Ready,
    Handle,
    Ack,
    Nack,
    /// The user's, or an internal one that does not concern us, while the user's are wanted.
    Kept,
    /// The user's, or an internal one that does not concern us, while nobody wants those.
    Other,
    TooLong,
}

/// How the lines begin. None is the beginning of another.
const BEGINNINGS: [(&[u8], LineKind); 5] = [
    (b"{\"cmd\":\"NODE_CLUSTER\"", LineKind::Cluster),
    (b"{\"cmd\":\"NODE_HANDLE\"", LineKind::Handle),
    (b"{\"cmd\":\"NODE_HANDLE_ACK\"", LineKind::Ack),
    (b"{\"cmd\":\"NODE_HANDLE_NACK\"", LineKind::Nack),
    (b"\"ready\"", LineKind::Ready),
];

/// Enough bytes to tell what a line is.
const HEAD: usize = 1 + b"{\"cmd\":\"NODE_HANDLE_NACK\"".len();

/// The state between two reads.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Of the line under way: its head, or all of it if it is a cluster message.
    line: Vec<u8>,
    kind: LineKind,
    /// Descriptors that came and were not claimed by a message yet.
    unclaimed: usize,
    marked: bool,
    /// The user's messages are wanted.
    keeps: bool,
}

impl Decoder {
    /// Takes in one read: its bytes, and how many descriptors came with it.
    ///
    /// The kernel ends a read behind the data that a descriptor came with, so that it belongs to a line that this read
    /// ends or leaves under way; what no such line claims is surplus.
    pub(super) fn feed(&mut self, bytes: &[u8], descriptors: usize, mut each: impl FnMut(Line<'_>)) {
        self.unclaimed += descriptors;
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, behind) = rest.split_at(end);
            self.extend(line);
            self.finish(&mut each);
            rest = behind.get(1..).unwrap_or_default();
        }
        self.extend(rest);
        let may_claim = self.kind == LineKind::Handle || (self.kind == LineKind::Unknown && !self.line.is_empty());
        if self.unclaimed > usize::from(may_claim) {
            self.unclaimed = usize::from(may_claim);
            each(Line::Offence("it sent descriptors that belong to no message"));
        }
    }

    /// From its next message on the user's are given, or passed over.
    pub(super) const fn keep_messages(&mut self, keep: bool) {
        self.keeps = keep;
    }

    /// The peer is one that marks its internal messages.
    pub(super) const fn marked(&self) -> bool {
        self.marked
    }

    /// Bytes kept.
    #[cfg(test)]
    pub(super) const fn kept(&self) -> usize {
        self.line.capacity()
    }

    fn extend(&mut self, part: &[u8]) {
        let mut part = part;
        if self.kind == LineKind::Unknown {
            let (head, rest) = part.split_at(part.len().min(HEAD - self.line.len()));
            self.line.extend_from_slice(head);
            self.classify();
            part = rest;
        }
        match self.kind {
            LineKind::Cluster | LineKind::Kept if self.line.len() + part.len() <= LONGEST => {
                self.line.extend_from_slice(part);
            }
            LineKind::Cluster => self.kind = LineKind::TooLong,
            LineKind::Kept => self.kind = LineKind::Other,
            LineKind::Ready if !part.is_empty() => {
                self.kind = self.users();
                self.line.extend_from_slice(part);
            }
            _ => {}
        }
        if !matches!(self.kind, LineKind::Unknown | LineKind::Cluster | LineKind::Kept | LineKind::Ready) {
            self.line = Vec::new();
        }
    }

    /// Decides by the head, which is in `line`, as far as it is there.
    fn classify(&mut self) {
        let (mark, head) = match self.line.split_first() {
            Some((&MARK, head)) => (true, head),
            _ => (false, self.line.as_slice()),
        };
        let undecided = BEGINNINGS.iter().any(|(beginning, _)| beginning.starts_with(head) && head != *beginning);
        let found = BEGINNINGS.iter().find(|(beginning, _)| head.starts_with(beginning));
        self.kind = match found {
            Some((beginning, LineKind::Ready)) if head.len() > beginning.len() => self.users(),
            Some((_, kind)) => *kind,
            None if undecided => LineKind::Unknown,
            None => self.users(),
        };
        self.marked |= mark && found.is_some();
    }

    /// What a message of the user's is.
    const fn users(&self) -> LineKind {
        if self.keeps { LineKind::Kept } else { LineKind::Other }
    }

    fn finish(&mut self, each: &mut impl FnMut(Line<'_>)) {
        match std::mem::take(&mut self.kind) {
            LineKind::Cluster => {
                let line = std::mem::take(&mut self.line);
                each(Line::Cluster(line.strip_prefix(&[MARK]).unwrap_or(&line)));
            }
            LineKind::Kept => each(Line::Message(&std::mem::take(&mut self.line))),
            LineKind::Ready => each(Line::Ready),
            LineKind::Handle => {
                let arrived = self.unclaimed > 0;
                self.unclaimed -= usize::from(arrived);
                each(Line::Handle { arrived });
            }
            LineKind::Ack => each(Line::Ack),
            LineKind::Nack => each(Line::Nack),
            LineKind::TooLong => each(Line::Offence("it sent a cluster message of over 64 KiB")),
            LineKind::Unknown | LineKind::Other => {}
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was decoded, with nothing borrowed.
    fn decode(decoder: &mut Decoder, bytes: &[u8], descriptors: usize) -> Vec<String> {
        let mut lines = Vec::new();
        decoder.feed(bytes, descriptors, |line| {
            lines.push(match line {
                Line::Cluster(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Line::Message(bytes) => message(std::str::from_utf8(bytes).expect("text")),
                other => format!("{other:?}"),
            });
        });
        lines
    }

    fn message(text: &str) -> String {
        format!("message {text}")
    }

    const ALL: &[u8] = b"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\",\"seq\":0}\n\
        {\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{}}\n\
        \n\"ready\"\n\"ready\" \n\"readily\"\n\"ready\\n\"\n{\"hello\":\"NODE_CLUSTER\"}\n5\nnull\n\
        {\"cmd\":\"NODE_FOO\"}\n{\"cmd\":\"NODE_HANDLES\"}\n\
        {\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"cmd\":\"NODE_CLUSTER\"}\n{\"cmd\":\"NODE_CLU\n";

    fn expected() -> Vec<String> {
        let first = r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#;
        let all = [first, "Handle { arrived: true }", "Ready", "Ack", "Nack", r#"{"cmd":"NODE_CLUSTER"}"#];
        all.map(str::to_owned).to_vec()
    }

    #[test]
    fn merged_and_cut_anywhere_the_lines_are_the_same() {
        assert_eq!(decode(&mut Decoder::default(), ALL, 1), expected());
        let handle = ALL.iter().position(|b| *b == b'\n').expect("a line") + 1;
        for cut in 1..ALL.len() {
            let mut decoder = Decoder::default();
            // A descriptor comes with the first byte of its message.
            let first = usize::from(handle < cut);
            let mut lines = decode(&mut decoder, &ALL[..cut], first);
            lines.extend(decode(&mut decoder, &ALL[cut..], 1 - first));
            assert_eq!(lines, expected(), "cut at {cut}");
        }
        let mut decoder = Decoder::default();
        let single = |(i, _)| decode(&mut decoder, &ALL[i..=i], usize::from(i == handle));
        assert_eq!(ALL.iter().enumerate().flat_map(single).collect::<Vec<_>>(), expected());
    }

    #[test]
    fn a_long_cluster_message_is_skipped_to_its_end() {
        let mut decoder = Decoder::default();
        let mut most = b"{\"cmd\":\"NODE_CLUSTER\"".to_vec();
        most.resize(LONGEST, b' ');
        most.push(b'\n');
        assert_eq!(decode(&mut decoder, &most, 0).len(), 1);
        most.insert(30, b' ');
        let mut lines = Vec::new();
        for part in most.chunks(1000) {
            lines.extend(decode(&mut decoder, part, 0));
            assert!(decoder.kept() <= 2 * LONGEST);
        }
        assert_eq!(lines, [r#"Offence("it sent a cluster message of over 64 KiB")"#]);
        assert_eq!(decoder.kept(), 0);
        assert_eq!(decode(&mut decoder, ALL, 1), expected());
    }

    #[test]
    fn long_messages_of_the_user_are_passed_over_unkept() {
        let mut decoder = Decoder::default();
        let block = [b'x'; 10_000];
        for beginning in ["{\"x\":\"", "\"ready", "{\"cmd\":\"NODE_HANDLE\",\"msg\":\""] {
            let descriptors = usize::from(beginning.contains("HANDLE"));
            assert_eq!(decode(&mut decoder, beginning.as_bytes(), descriptors), [""; 0]);
            for _ in 0..100 {
                assert_eq!(decode(&mut decoder, &block, 0), [""; 0]);
                assert_eq!(decoder.kept(), 0);
            }
            let end = decode(&mut decoder, b"\"}\n", 0);
            assert_eq!(end.first().map(String::as_str), (descriptors == 1).then_some("Handle { arrived: true }"));
        }
    }

    #[test]
    fn the_users_messages_are_given_while_they_are_wanted() {
        let all = b"5\n\"ready\"\n\"readily\"\n{\"cmd\":\"NODE_X\"}\n{\"x\":1}\n";
        let expected =
            [&message("5"), "Ready", &message("\"readily\""), &message(r#"{"cmd":"NODE_X"}"#), &message(r#"{"x":1}"#)];
        for cut in 0..all.len() {
            let mut decoder = Decoder::default();
            decoder.keep_messages(true);
            let mut lines = decode(&mut decoder, &all[..cut], 0);
            lines.extend(decode(&mut decoder, &all[cut..], 0));
            assert_eq!(lines, expected, "cut at {cut}");
        }
        // One under way when somebody begins to want them would be given in part.
        let mut decoder = Decoder::default();
        decode(&mut decoder, b"{\"a\":", 0);
        decoder.keep_messages(true);
        assert_eq!(decode(&mut decoder, b"1}\n7\n", 0), [message("7")]);
        assert_eq!(decode(&mut decoder, &vec![b'7'; LONGEST + 1], 0), [""; 0]);
        assert_eq!((decode(&mut decoder, b"\n", 0), decoder.kept()), (Vec::new(), 0));
    }

    #[test]
    fn descriptors_are_claimed_by_their_message_only() {
        let handle = b"{\"cmd\":\"NODE_HANDLE\"}\n";
        let (arrived, missing) = ("Handle { arrived: true }", "Handle { arrived: false }");
        let surplus = r#"Offence("it sent descriptors that belong to no message")"#;
        assert_eq!(decode(&mut Decoder::default(), handle, 0), [missing]);
        assert_eq!(decode(&mut Decoder::default(), handle, 3), [arrived, surplus]);
        // Once surplus, no later message gets it.
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, b"5\n", 1), [surplus]);
        assert_eq!(decode(&mut decoder, handle, 0), [missing]);
        assert_eq!(decode(&mut decoder, b"{\"user\":1", 1), [surplus]);
        assert_eq!(decode(&mut decoder, b"}\n", 0), [""; 0]);
        // The end of one message and the beginning of the next, each with its own.
        assert_eq!(decode(&mut decoder, &handle[..5], 1), [""; 0]);
        let mut joined = handle[5..].to_vec();
        joined.extend(&handle[..15]);
        assert_eq!(decode(&mut decoder, &joined, 1), [arrived]);
        assert_eq!(decode(&mut decoder, &handle[15..], 0), [arrived]);
    }

    #[test]
    fn buns_mark_is_seen_and_taken_off() {
        let mut decoder = Decoder::default();
        decode(&mut decoder, b"\x02\n\x02{\"x\":1}\n\x02\x02{\"cmd\":\"NODE_CLUSTER\"}\n", 0);
        assert!(!decoder.marked());
        assert_eq!(decode(&mut decoder, b"\x02{\"cmd\":\"NODE_CLUSTER\"}\n", 0), ["{\"cmd\":\"NODE_CLUSTER\"}"]);
        assert!(decoder.marked());
    }
}
