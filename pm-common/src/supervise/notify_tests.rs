//! Tests of the notification protocol, against real sockets.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg_addr, sendto};

use super::*;
use crate::supervise::notify_send::Upward;

fn next(socket: &mut NotifySocket) -> Datagram {
    socket.receive().expect("received").expect("a datagram waits")
}

/// A socket and the bare means to send anything to it.
fn setup() -> (NotifySocket, UnixDatagram, SocketAddrUnix) {
    let (socket, name) = NotifySocket::new().expect("a socket");
    let address = SocketAddrUnix::new_abstract_name(&name.as_bytes()[1..]).expect("a name");
    (socket, UnixDatagram::unbound().expect("a sender"), address)
}

fn said(bytes: &[u8]) -> Vec<Assignment> {
    let (mut socket, sender, to) = setup();
    sendto(&sender, bytes, SendFlags::empty(), &to).expect("sent");
    next(&mut socket).assignments
}

#[test]
fn what_is_said_upward_is_heard_below() {
    let (mut socket, name) = NotifySocket::new().expect("a socket");
    let upward = Upward::to(name.as_ref()).expect("an address");
    let all = [
        Assignment::PmSupervisor("cluster".to_owned()),
        Assignment::Ready,
        Assignment::Status("2 of 4".to_owned()),
        Assignment::Reloading,
        Assignment::Stopping,
        Assignment::MainPid(77),
        Assignment::Watchdog,
        Assignment::ExtendTimeout(Span::millis(1500)),
        Assignment::Barrier,
        Assignment::FdStore,
        Assignment::FdStoreRemove,
        Assignment::FdName("pm-state".to_owned()),
        Assignment::FdPoll,
        Assignment::PmGaveUp(3),
    ];
    assert!(upward.send(&all));
    let datagram = next(&mut socket);
    assert_eq!(datagram.assignments, all);
    assert_eq!(datagram.sender.pid, i32::try_from(std::process::id()).ok());
    assert_eq!(datagram.sender.uid, Some(rustix::process::getuid().as_raw()));
    assert!(datagram.fds.is_empty());
    assert!(socket.receive().expect("nothing is no error").is_none());
}

#[test]
fn reloading_carries_the_clock_in_its_own_datagram() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("notify");
    let listener = UnixDatagram::bind(&file).expect("bound");
    let before = clock::now().0 / 1000;
    assert!(Upward::to(file.as_os_str()).expect("a path").send(&[Assignment::Reloading]));
    let mut buf = [0; 100];
    let n = listener.recv(&mut buf).expect("received");
    let text = std::str::from_utf8(&buf[..n]).expect("text");
    let usec: u64 = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(text).trim().parse().expect("a number");
    assert!((before..=clock::now().0 / 1000).contains(&usec), "{text}");
}

#[test]
fn names_are_random_and_the_form_is_fixed() {
    let (a, b) = (NotifySocket::new().expect("a socket").1, NotifySocket::new().expect("a socket").1);
    assert_ne!(a, b);
    let hex = a.strip_prefix("@pm-").expect("the prefix");
    assert!(hex.len() == 32 && hex.bytes().all(|c| c.is_ascii_hexdigit()), "{a}");
}

#[test]
fn values_that_make_no_sense_are_ignored() {
    for junk in [
        "",
        "\n",
        "=",
        "READY",
        "READY=",
        "READY=0",
        "ready=1",
        " READY=1",
        "READY=1 ",
        "MAINPID=0",
        "MAINPID=-5",
        "MAINPID=99999999999",
        "MAINPID=x",
        "EXTEND_TIMEOUT_USEC=-1",
        "EXTEND_TIMEOUT_USEC=18446744073709551615",
        "EXTEND_TIMEOUT_USEC=18446744073709551616",
        "X_PM_GAVE_UP=256",
        "X_PM_GAVE_UP=",
        "FDSTORE=0",
        "FDPOLL=1",
        "FDNAME=",
        "FDNAME=a:b",
        "FDNAME=a\tb",
        "READY=1\0x",
    ] {
        assert_eq!(said(junk.as_bytes()), [], "{junk:?}");
    }
    assert_eq!(said(b"STATUS=\xff\nREADY=1"), [Assignment::Ready], "only the line that is no text is dropped");
    assert_eq!(said(b"X=\nSTATUS=a=b\nREADY=1\0"), [Assignment::Status("a=b".to_owned()), Assignment::Ready]);
    assert_eq!(said(b"X_PM_GAVE_UP=255"), [Assignment::PmGaveUp(255)]);
}

#[test]
fn a_line_break_in_a_status_forges_nothing() {
    let (mut socket, name) = NotifySocket::new().expect("a socket");
    Upward::to(name.as_ref()).expect("an address").send(&[Assignment::Status("a\nREADY=1\0".to_owned())]);
    assert_eq!(next(&mut socket).assignments, [Assignment::Status("a READY=1 ".to_owned())]);
}

#[test]
fn too_long_a_datagram_says_nothing_but_is_taken_off() {
    let mut long = b"READY=1\nSTATUS=".to_vec();
    long.resize(LONGEST, b'x');
    assert_eq!(said(&long).len(), 2);
    long.push(b'x');
    assert_eq!(said(&long), []);
    let (mut socket, sender, to) = setup();
    sendto(&sender, &long, SendFlags::empty(), &to).expect("sent");
    sendto(&sender, b"READY=1", SendFlags::empty(), &to).expect("sent");
    assert_eq!(next(&mut socket).assignments, []);
    assert_eq!(next(&mut socket).assignments, [Assignment::Ready]);
}

#[test]
fn descriptors_come_along_and_closing_them_answers_a_barrier() {
    let (mut socket, sender, to) = setup();
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let many = [writer.as_fd(); 20];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
    sendmsg_addr(&sender, &to, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::empty()).expect("sent");
    drop(writer);
    let datagram = next(&mut socket);
    assert_eq!(datagram.assignments, [Assignment::Barrier]);
    assert_eq!(datagram.fds.len(), 20);
    let flags = |fd| rustix::io::fcntl_getfd(fd).expect("flags");
    assert!(datagram.fds.iter().all(|fd| flags(fd).contains(rustix::io::FdFlags::CLOEXEC)));
    drop(datagram);
    assert_eq!(reader.read(&mut [0; 1]).expect("the end: no copy of the writer is left"), 0);
}

/// A TCP socket whose last close would wait for half a minute: it has data that nobody reads.
fn lingering() -> (OwnedFd, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut ours = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (theirs, _) = listener.accept().expect("accepted");
    ours.set_nonblocking(true).expect("set");
    while ours.write(&[0; 1 << 16]).is_ok() {}
    sockopt::set_socket_linger(&ours, Some(Duration::from_secs(30))).expect("set");
    (ours.into(), theirs)
}

fn send_along(sender: &UnixDatagram, to: &SocketAddrUnix, fd: OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let one = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&one)));
    sendmsg_addr(sender, to, &[IoSlice::new(b"READY=1")], &mut control, SendFlags::empty()).expect("sent");
}

#[test]
fn what_is_sent_along_holds_nobody_up() {
    type Way = (&'static str, fn(NotifySocket));
    let mut peers = Vec::new();
    let ways: [Way; 3] = [
        ("received", |mut socket| drop(next(&mut socket))),
        ("discarded", |mut socket| socket.discard().expect("thrown away")),
        ("left there", drop),
    ];
    for (way, dispose) in ways {
        for nested in [false, true] {
            let (socket, sender, to) = setup();
            let (mut fd, peer) = lingering();
            peers.push(peer);
            if nested {
                let path = tempfile::tempdir().expect("a directory");
                let name = path.path().join("inner");
                let inner = UnixDatagram::bind(&name).expect("bound");
                send_along(&sender, &SocketAddrUnix::new(&name).expect("a path"), fd);
                fd = inner.into();
            }
            send_along(&sender, &to, fd);
            let begun = Instant::now();
            dispose(socket);
            assert!(begun.elapsed() < Duration::from_secs(5), "{way}, nested: {nested}");
        }
    }
}

/// A pidfd names the sender whatever becomes of its pid; one that is gone has none, and its uid is known nevertheless.
#[test]
fn a_sender_is_pinned_while_it_is_there() {
    let (mut socket, name) = NotifySocket::new().expect("a socket");
    let pinned = credentials::pin_senders(socket.as_fd());
    assert!(Upward::to(name.as_ref()).expect("an address").send(&[Assignment::Ready]));
    assert_eq!(next(&mut socket).sender.pidfd.is_some(), pinned);
    let script = "import os, socket\n\
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', '\\0' + os.environ['TO'][1:])";
    let mut sender = std::process::Command::new("python3");
    let sender = sender.args(["-c", script]).env("TO", &name).spawn().expect("python3");
    let pid = sender.id();
    assert!(sender.wait_with_output().expect("our child").status.success());
    let datagram = next(&mut socket);
    assert_eq!(datagram.assignments, [Assignment::Ready]);
    assert_eq!(datagram.sender.pid, i32::try_from(pid).ok());
    assert_eq!(datagram.sender.uid, Some(rustix::process::getuid().as_raw()));
}

#[test]
fn no_socket_no_way_up_and_no_harm() {
    for none in ["", "@", "vsock:2:1234", "relative/path", "x"] {
        assert!(Upward::to(none.as_ref()).is_none(), "{none}");
    }
    assert!(Upward::to(format!("/{}", "x".repeat(200)).as_ref()).is_none(), "longer than a path may be");
    assert!(Upward::to("@pm-nobody-listens-here".as_ref()).is_none());
    let nobody = Upward::to("/nonexistent/socket".as_ref()).expect("a path");
    assert!(!nobody.send(&[Assignment::Ready]));
}

/// Anybody may bind a name that nobody has any more.
#[test]
fn the_next_one_of_an_abstract_name_hears_nothing() {
    let (socket, name) = NotifySocket::new().expect("a socket");
    let upward = Upward::to(name.as_ref()).expect("an address");
    drop(socket);
    let thief = datagram_socket().expect("a socket");
    bind(&thief, &SocketAddrUnix::new_abstract_name(&name.as_bytes()[1..]).expect("a name")).expect("free");
    assert!(!upward.send(&[Assignment::Ready]));
    assert!(!upward.send_with(&[Assignment::FdStore], thief.as_fd()));
    upward.send_last(&[Assignment::Stopping], Duration::from_secs(1));
    assert!(credentials::receive(thief.as_fd(), &mut [0; 9]).is_err(), "nothing came");
}

/// systemd may bind its path anew.
#[test]
fn the_next_one_of_a_path_is_spoken_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("notify");
    drop(UnixDatagram::bind(&file).expect("bound"));
    let upward = Upward::to(file.as_os_str()).expect("a path");
    assert!(!upward.send(&[Assignment::Ready]));
    std::fs::remove_file(&file).expect("removed");
    let listener = UnixDatagram::bind(&file).expect("bound");
    assert!(upward.send(&[Assignment::Ready]));
    let mut room = [0; 20];
    let got = listener.recv(&mut room).expect("received");
    assert_eq!(room.get(..got), Some(b"READY=1\n".as_slice()));
}

#[test]
fn a_full_queue_does_not_block() {
    let (mut socket, name) = NotifySocket::new().expect("a socket");
    let upward = Upward::to(name.as_ref()).expect("an address");
    let mut queued = 0;
    while upward.send(&[Assignment::Watchdog]) {
        queued += 1;
    }
    for _ in 0..queued {
        assert_eq!(next(&mut socket).assignments, [Assignment::Watchdog]);
    }
    assert!(socket.receive().expect("nothing is no error").is_none());
}

#[test]
fn junk_never_panics() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let real =
        b"X_PM_SUPERVISOR=cluster\nREADY=1\nSTATUS=x\nMAINPID=12\nEXTEND_TIMEOUT_USEC=5\nX_PM_GAVE_UP=1\nBARRIER=1";
    for _ in 0..100_000 {
        let mut bytes = real.to_vec();
        for _ in 0..random() % 8 {
            let at = usize::try_from(random()).expect("64 bits") % bytes.len();
            bytes[at] = random().to_le_bytes()[0];
        }
        bytes.truncate(usize::try_from(random()).expect("64 bits") % (bytes.len() + 1));
        assert!(parse(&bytes).len() <= 20);
    }
}
