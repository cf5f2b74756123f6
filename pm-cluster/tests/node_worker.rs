//! The channel against a real Node worker: the whole life of one, by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::Duration;

use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::{Leave, Message, Outgoing};
use pm_common::node::query::{Family, Query};
use pm_common::sys::fdpass;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

/// Long enough for the slowest machine; reached only by a failure.
const LIMIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

fn wait(fd: &impl AsFd, what: PollFlags) {
    assert_eq!(poll(&mut [PollFd::new(fd, what)], Some(&LIMIT)).expect("polled"), 1, "the worker is silent");
}

/// A worker that runs the script, and our end of its channel.
struct Worker {
    child: Child,
    channel: Channel,
    heard: Vec<Message>,
    _directory: tempfile::TempDir,
}

impl Worker {
    fn start(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.js");
        std::fs::write(&file, script).expect("the script is written");
        let (ours, theirs) = fdpass::pair().expect("a pair");
        // The shell moves the channel from its stdin to another descriptor: only a child may be given one that is inherited.
        let child = Command::new("sh")
            .args(["-c", "exec node \"$0\" 3<&0 </dev/null"])
            .arg(&file)
            .env_remove("NODE_OPTIONS")
            .env("NODE_CHANNEL_FD", "3")
            .env("NODE_CHANNEL_SERIALIZATION_MODE", "json")
            .env("NODE_UNIQUE_ID", "1")
            .stdin(theirs)
            .spawn()
            .expect("sh starts");
        Self { child, channel: Channel::new(ours), heard: Vec::new(), _directory: directory }
    }

    /// Waits until the channel can be read, or written where something waits, and does both; false: it has ended.
    fn turn(&mut self) -> bool {
        let write = if self.channel.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        wait(&self.channel, PollFlags::IN | write);
        self.channel.flush(&mut self.heard);
        self.channel.receive(&mut self.heard) == Received::Open
    }

    /// The next message; the test fails where there is none.
    fn hear(&mut self) -> Message {
        while self.heard.is_empty() {
            assert!(self.turn(), "the worker has ended (is node on the PATH?)");
        }
        self.heard.remove(0)
    }

    fn hear_query(&mut self) -> (u64, Query) {
        match self.hear() {
            Message::Query { seq, query } => (seq, query),
            other => panic!("not a query: {other:?}"),
        }
    }

    fn say(&mut self, outgoing: &Outgoing<'_>) -> u64 {
        self.channel.send(outgoing).expect("sent")
    }

    /// Waits for the end of the channel, then for the process; its exit code.
    fn end(mut self) -> Option<i32> {
        while self.turn() {}
        assert_eq!(self.heard, []);
        assert_eq!(self.channel.take_complaint(), None);
        assert_eq!(self.channel.unacknowledged_handles(), 0);
        let pid = Pid::from_child(&self.child);
        wait(&pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"), PollFlags::IN);
        self.child.wait().expect("waited").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A listener as pm-cluster hands it on: some Nodes (as that of Debian 12) accept until nothing waits.
fn listener() -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    listener.set_nonblocking(true).expect("set");
    listener
}

/// A client whose reads and writes end, and its connection as `listener` takes it.
fn taken(listener: &TcpListener) -> (TcpStream, Rc<OwnedFd>) {
    let client = connect(listener.local_addr().expect("an address"));
    wait(listener, PollFlags::IN);
    (client, Rc::new(OwnedFd::from(listener.accept().expect("accepted").0)))
}

fn connect(address: SocketAddr) -> TcpStream {
    let limit = Duration::from_secs(LIMIT.tv_sec.unsigned_abs());
    let connection = TcpStream::connect_timeout(&address, limit).expect("connected");
    connection.set_read_timeout(Some(limit)).expect("set");
    connection.set_write_timeout(Some(limit)).expect("set");
    connection
}

fn request(connection: &mut TcpStream) {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("written");
}

fn answer(mut connection: TcpStream) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("read to the end");
    text
}

fn get(address: SocketAddr) -> String {
    let mut connection = connect(address);
    request(&mut connection);
    answer(connection)
}

const SERVER: &str = "
    const cluster = require('cluster');
    require('http').createServer((q, s) => s.end(`worker ${cluster.worker.id} ${cluster.isWorker}`))
        .listen(0, () => process.send('ready'));
";

#[test]
fn a_worker_lives_from_online_to_its_end() {
    let mut worker = Worker::start(SERVER);
    assert_eq!(worker.hear(), Message::Online);
    let (seq, query) = worker.hear_query();
    assert_eq!((&query.address, query.port, query.family, query.data.clone()), (&None, 0, Family::Tcp4, Value::Null));

    let listener = listener();
    let address = listener.local_addr().expect("an address");
    let handle = Rc::new(OwnedFd::from(listener));
    worker.say(&Outgoing::Shared { ack: seq, key: "k", data: &query.data, handle: &handle });
    assert_eq!(worker.hear(), Message::Ready);
    match worker.hear() {
        Message::Listening(bound) => assert_eq!((bound.port, bound.family), (address.port(), Family::Tcp4)),
        other => panic!("not listening: {other:?}"),
    }
    assert_eq!((worker.channel.unacknowledged_handles(), Rc::strong_count(&handle)), (0, 1));
    assert!(get(address).ends_with("worker 1 true"));

    // A connection that another listener took, under the key of the one that it has.
    let (mut client, connection) = taken(&self::listener());
    let passed = worker.say(&Outgoing::NewConn { key: "k", connection: &connection });
    assert_eq!(worker.hear(), Message::Accepted { ack: passed, accepted: true });
    drop(connection);
    request(&mut client);
    assert!(answer(client).ends_with("worker 1 true"));

    worker.say(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() }));
    assert_eq!(worker.hear(), Message::Close { key: "k".to_owned() });
    assert_eq!(worker.end(), Some(0));
}

#[test]
fn a_refusal_is_the_applications_error() {
    let mut worker = Worker::start(
        "require('net').createServer().on('error', (e) => process.exit(e.code === 'EADDRINUSE' ? 7 : 8))
             .listen(80, '192.0.2.1');",
    );
    assert_eq!(worker.hear(), Message::Online);
    let (ack, query) = worker.hear_query();
    assert_eq!((query.address.as_deref(), query.port), (Some("192.0.2.1"), 80));
    worker.say(&Outgoing::Refused { ack, key: "k", data: &query.data, errno: 98 });
    assert_eq!(worker.end(), Some(7));
}

#[test]
fn round_robin_and_a_leave_of_its_own() {
    let mut worker = Worker::start(
        "const cluster = require('cluster');
         const server = require('http').createServer((q, s) => { s.end('rr'); cluster.worker.disconnect(); });
         server.listen(4321, '127.0.0.1');",
    );
    assert_eq!(worker.hear(), Message::Online);
    let (ack, query) = worker.hear_query();
    let sockname = Some(SocketAddr::from(([127, 0, 0, 1], 4321)));
    worker.say(&Outgoing::RoundRobin { ack, key: "k", data: &query.data, sockname });
    assert!(matches!(worker.hear(), Message::Listening(Query { port: 4321, .. })));
    let (mut client, connection) = taken(&listener());
    let passed = worker.say(&Outgoing::NewConn { key: "k", connection: &connection });
    assert_eq!(worker.hear(), Message::Accepted { ack: passed, accepted: true });
    drop(connection);
    request(&mut client);
    assert!(answer(client).ends_with("rr"));
    assert_eq!(worker.hear(), Message::Close { key: "k".to_owned() });
    let Message::ExitedAfterDisconnect { seq } = worker.hear() else { panic!("it does not leave") };
    worker.say(&Outgoing::Ack { ack: seq });
    assert_eq!(worker.end(), Some(0));
}

#[test]
fn handles_of_the_user_do_not_silence_a_worker() {
    let mut worker = Worker::start(
        "const server = require('net').createServer().listen({ port: 0, exclusive: true }, () => {
             let left = 20;
             const sent = () => { if (--left === 0) process.send('ready'); };
             for (let i = 0; i < 20; i++) process.send({ i }, server, sent);
         });
         process.on('disconnect', () => server.close());",
    );
    assert_eq!(worker.hear(), Message::Online);
    assert_eq!(worker.hear(), Message::Ready, "twenty acknowledgements let its queue go on");
    worker.say(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() }));
    assert_eq!(worker.end(), Some(0));
}
