//! The bus of messages: what an app says with `process.send` goes to whoever is connected to the socket `bus` in the app's
//! directory, and what those write goes to the app's `process.on('message')`.
//!
//! Both ways are lines of JSON. To us: `{"slot":N,"message":ANY}`, without a slot for all workers; the answer is
//! `{"sent":N}`, how many were sent it. From us: `{"slot":N,"generation":N,"pid":N,"message":ANY}`, and `{"missed":N}` to one
//! that did not read for too long. While nobody is connected, nothing is kept.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::sockopt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Adapter, Driver, Source};
use crate::cli::report;
use crate::node::message::Message;
use crate::policy::WorkerId;
use crate::sys::socket::{self, UnixName};

/// The name of the socket in the app's directory.
pub const NAME: &str = "bus";

/// Connected at a time; one more is closed at once.
const MOST_CLIENTS: usize = 32;

/// The longest line taken, in bytes: as long as a worker's.
const LONGEST: usize = 64 * 1024;

/// Bytes that wait for one who does not read; beyond them messages are missed.
const MOST_WAITING: usize = 1 << 20;

/// Names what the bus waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BusToken {
    Listener,
    Client(u64),
}

/// The bus of one supervisor.
#[derive(Debug, Default)]
pub(super) struct MessageBus {
    listener: Option<Listener>,
    clients: BTreeMap<u64, Client>,
    next: u64,
    /// The socket was opened, or cannot be.
    tried: bool,
}

/// The socket that is connected to.
#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    dir: OwnedFd,
    /// The file of the socket: a successor's has the same name.
    inode: u64,
}

/// Who is connected.
#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    /// Of the line which has begun.
    line: Vec<u8>,
    /// What it has not read yet.
    waiting: Vec<u8>,
    missed: u64,
}

/// What somebody wants to be sent.
#[derive(Debug, Deserialize)]
struct Letter {
    /// `None`: to all.
    slot: Option<u32>,
    /// As it was written: numbers may be longer than ours.
    message: Box<RawValue>,
}

impl MessageBus {
    /// Opens the socket, once, in the app's directory.
    fn open(&mut self, dir: &Path) {
        if std::mem::replace(&mut self.tried, true) {
            return;
        }
        self.listener = Listener::open(dir)
            .inspect_err(|error| {
                let at = dir.join(NAME);
                let why = report::reason(error);
                report::warning(format_args!("nobody can send the app messages, cannot open {}: {why}", at.display()));
            })
            .ok();
    }

    /// Whether somebody is connected.
    fn is_heard(&self) -> bool {
        !self.clients.is_empty()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = Source<'_, BusToken>> {
        let listener = self.listener.iter().map(|own| Source::to_read(BusToken::Listener, own.fd.as_fd()));
        listener.chain(self.clients.iter().map(|(number, client)| Source {
            token: BusToken::Client(*number),
            fd: client.fd.as_fd(),
            read: true,
            write: !client.waiting.is_empty(),
        }))
    }

    /// Takes in those that have connected, whose word the app's owner's is.
    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(Some(fd)) = socket::accept(&listener.fd) {
            if self.clients.len() < MOST_CLIENTS && is_trusted(fd.as_fd()) {
                self.next += 1;
                let client = Client { fd, line: Vec::new(), waiting: Vec::new(), missed: 0 };
                self.clients.insert(self.next, client);
            }
        }
    }

    /// Reads once what a client says, and writes what waits for it; one that has gone is forgotten.
    fn take_in(&mut self, number: u64) -> Vec<Letter> {
        let Some(client) = self.clients.get_mut(&number) else { return Vec::new() };
        let mut letters = Vec::new();
        if client.flush().and_then(|()| client.read(&mut letters)).is_err() {
            self.clients.remove(&number);
        }
        letters
    }

    fn answer(&mut self, number: u64, sent: usize) {
        self.clients.get_mut(&number).into_iter().for_each(|client| client.write(&format!("{{\"sent\":{sent}}}\n")));
    }

    /// Gives all clients a worker's message, which is JSON.
    fn publish(&mut self, id: WorkerId, pid: i32, message: &str) {
        let (slot, generation) = (id.slot, id.generation);
        let line = format!("{{\"slot\":{slot},\"generation\":{generation},\"pid\":{pid},\"message\":{message}}}\n");
        self.clients.values_mut().for_each(|client| client.write(&line));
    }

    /// Takes the socket away, if it is still ours.
    pub(super) fn end(&mut self) {
        if let Some(listener) = self.listener.take()
            && inode_at(listener.dir.as_fd()) == Some(listener.inode)
        {
            let _ = rustix::fs::unlinkat(&listener.dir, NAME, AtFlags::empty());
        }
    }
}

impl Listener {
    fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        match rustix::fs::unlinkat(&dir, NAME, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        // unix(7) allows 107 bytes, and a directory may be deeper.
        let path = format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd());
        let fd = socket::unix_bound(&UnixName::Path(path.into()))?;
        rustix::fs::chmodat(&dir, NAME, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
        socket::listen(&fd, MOST_CLIENTS as i32)?;
        let inode = inode_at(dir.as_fd()).ok_or(rustix::io::Errno::NOENT)?;
        Ok(Self { fd, dir, inode })
    }
}

fn inode_at(dir: BorrowedFd<'_>) -> Option<u64> {
    Some(rustix::fs::statat(dir, NAME, AtFlags::SYMLINK_NOFOLLOW).ok()?.st_ino)
}

/// Whether whoever connected is our user or root (SO_PEERCRED, unix(7)).
fn is_trusted(fd: BorrowedFd<'_>) -> bool {
    sockopt::socket_peercred(fd).is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

impl Client {
    /// Takes in what there is to read, and the letters that are whole.
    ///
    /// # Errors
    /// It has gone, or what it writes is no line of ours.
    fn read(&mut self, letters: &mut Vec<Letter>) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let read = match rustix::io::read(&self.fd, &mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        self.line.extend_from_slice(bytes.get(..read).unwrap_or_default());
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            letters.push(serde_json::from_slice(&line)?);
        }
        if self.line.len() > LONGEST { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    /// Queues a line, or counts it as missed, and writes as far as the client reads.
    fn write(&mut self, line: &str) {
        if self.missed > 0 && self.waiting.is_empty() {
            self.waiting.extend(format!("{{\"missed\":{}}}\n", self.missed).bytes());
            self.missed = 0;
        }
        if self.waiting.len() + line.len() > MOST_WAITING {
            self.missed += 1;
            return;
        }
        self.waiting.extend(line.bytes());
        // One that has gone is noticed when it is read.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match rustix::net::send(&self.fd, &self.waiting, rustix::net::SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.waiting.drain(..sent)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

impl<A: Adapter> Driver<A> {
    /// Opens the bus once the app has somebody who could hear.
    pub(super) fn open_bus(&mut self) {
        let dir = self.publisher.directory();
        if self.adapter.has_channels() && !dir.is_empty() {
            self.bus.open(Path::new(OsStr::from_bytes(dir)));
        }
    }

    pub(super) fn look_at_bus(&mut self, token: BusToken) {
        match token {
            BusToken::Listener => self.bus.accept(),
            BusToken::Client(number) => {
                for letter in self.bus.take_in(number) {
                    let message = letter.message.get();
                    // Node would take it for its own supervisor's word.
                    let is_apps = Message::of_app(message.as_bytes()).is_some();
                    let sent = if is_apps { self.adapter.send_message(letter.slot, message) } else { 0 };
                    self.bus.answer(number, sent);
                }
            }
        }
        self.adapter.keep_messages(self.bus.is_heard());
    }

    /// Passes on what the programs have said.
    pub(super) fn pass_messages(&mut self) {
        for (id, message) in self.adapter.take_messages() {
            let pid = self.processes.get(&id).map_or(0, |process| process.child.pid);
            self.bus.publish(id, pid, &message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connected() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        (Client { fd: ours.into(), line: Vec::new(), waiting: Vec::new(), missed: 0 }, theirs)
    }

    #[test]
    fn letters_come_whole_however_they_are_cut() {
        let (mut client, mut theirs) = connected();
        let mut letters = Vec::new();
        for part in
            [r#"{"slot":1,"mess"#, "age\":{\"a\":1e999}}\n{\"message\":5}", "\n{\"slot\":null,\"message\":\"x\\n\"}\n"]
        {
            theirs.write_all(part.as_bytes()).expect("written");
            client.read(&mut letters).expect("read");
        }
        let letters: Vec<_> = letters.iter().map(|letter| (letter.slot, letter.message.get())).collect();
        assert_eq!(letters, [(Some(1), r#"{"a":1e999}"#), (None, "5"), (None, r#""x\n""#)]);
    }

    #[test]
    fn who_writes_no_letters_is_let_go() {
        for wrong in ["hello\n", "{}\n", "{\"slot\":-1,\"message\":1}\n", "{\"slot\":5000000000,\"message\":1}\n"] {
            let (mut client, mut theirs) = connected();
            theirs.write_all(wrong.as_bytes()).expect("written");
            assert!(client.read(&mut Vec::new()).is_err(), "{wrong}");
        }
        let (mut client, mut theirs) = connected();
        theirs.set_nonblocking(true).expect("set");
        let mut read = 0;
        while client.read(&mut Vec::new()).is_ok() {
            assert!(read <= LONGEST + 16 * 1024, "an endless line");
            read += theirs.write(&[b'x'; 1000]).unwrap_or(0);
        }
    }

    #[test]
    fn who_does_not_read_misses_messages_and_is_told_how_many() {
        let (mut client, mut theirs) = connected();
        let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(1000));
        for _ in 0..3000 {
            client.write(&line);
        }
        assert!(client.waiting.len() <= MOST_WAITING);
        let missed = client.missed;
        assert!(missed > 0);
        let mut read = Vec::new();
        theirs.set_nonblocking(true).expect("set");
        while !client.waiting.is_empty() {
            let _ = theirs.read_to_end(&mut read);
            client.flush().expect("written");
        }
        client.write("{\"message\":1}\n");
        let _ = theirs.read_to_end(&mut read);
        let text = String::from_utf8(read).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - 2..], [format!("{{\"missed\":{missed}}}"), "{\"message\":1}".to_owned()]);
        assert_eq!(lines.len() as u64, 3000 - missed + 2);
    }

    #[test]
    fn the_socket_goes_with_us_but_not_a_successors() {
        let dir = std::env::temp_dir().join(format!("pm-bus-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let (mut first, mut second) = (MessageBus::default(), MessageBus::default());
        first.open(&dir);
        second.open(&dir);
        first.end();
        UnixStream::connect(dir.join(NAME)).expect("the second is there");
        second.accept();
        assert!(second.is_heard());
        second.end();
        assert!(!dir.join(NAME).exists());
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
