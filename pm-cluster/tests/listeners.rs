//! All kinds of listeners against the real kernel: errors as Node gives them, sharing, round robin, the end.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{address, connect, inode, lanes, loopback, open, query, serving, take, unattended, worker};
use pm_cluster::sockets::{How, Mode, Sockets};
use pm_common::node::query::{Family, Query};
use pm_common::sys::socket::{self, EADDRINUSE, EINVAL, ENOTSOCK};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(60);

fn refused(query: &Query) -> i32 {
    open(&mut lanes(), worker(0, 1), query).expect_err("refused")
}

fn mode(mode: Mode) -> Sockets {
    Sockets::new(mode)
}

#[test]
fn errors_are_nodes_own() {
    const EADDRNOTAVAIL: i32 = 99;
    const EACCES: i32 = 13;
    assert_eq!(refused(&query(Family::Tcp4, Some("192.0.2.1"), 0)), -EADDRNOTAVAIL);
    assert_eq!(refused(&query(Family::Udp4, Some("192.0.2.1"), 0)), -EADDRNOTAVAIL);
    assert_eq!(refused(&query(Family::Pipe, None, 0)), -EINVAL);
    assert_eq!(refused(&query(Family::Pipe, Some("/nowhere/at/all.sock"), 0)), -EACCES);
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    assert_eq!(refused(&query(Family::Tcp4, None, port)), -EADDRINUSE, "no fall-back to another family");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    assert_eq!(refused(&query(Family::Udp4, Some("127.0.0.1"), port)), -EADDRINUSE);
}

#[test]
fn a_refusal_is_not_remembered() {
    let mut listeners = lanes();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let query = query(Family::Tcp4, Some("127.0.0.1"), taken.local_addr().expect("bound").port());
    assert_eq!(open(&mut listeners, worker(0, 1), &query).expect_err("taken"), -EADDRINUSE);
    drop(taken);
    open(&mut listeners, worker(0, 1), &query).expect("free now");
}

#[test]
fn the_kernels_choice_of_a_port_is_the_same_for_all_workers_and_generations() {
    let mut listeners = lanes();
    let (first, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (second, _) = serving(&mut listeners, worker(1, 1), &loopback());
    assert_eq!(address(&first), address(&second));
    let another = Query { index: 1, ..loopback() };
    let (other, _) = serving(&mut listeners, worker(0, 1), &another);
    assert_ne!(address(&first), address(&other));
    listeners.gone(worker(0, 1));
    listeners.gone(worker(1, 1));
    let (next, _) = serving(&mut listeners, worker(1, 2), &loopback());
    assert_eq!(address(&first), address(&next));
}

#[test]
fn a_second_listen_of_a_worker_is_eaddrinuse_until_it_closes_the_first() {
    for kind in [Mode::Lanes, Mode::Shared, Mode::RoundRobin] {
        let mut listeners = mode(kind);
        let (_, key) = open(&mut listeners, worker(0, 1), &loopback()).expect("granted");
        open(&mut listeners, worker(1, 1), &loopback()).expect("granted");
        assert_eq!(open(&mut listeners, worker(0, 1), &loopback()).expect_err("open"), -EADDRINUSE);
        listeners.closed(worker(0, 1), &key);
        open(&mut listeners, worker(0, 1), &loopback()).expect("granted again");
    }
}

#[test]
fn an_address_outlives_its_workers_until_their_slots_are_released() {
    let mut listeners = lanes();
    let (fd, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (other, _) = serving(&mut listeners, worker(1, 1), &loopback());
    let address = address(&fd);
    drop((fd, other));
    listeners.gone(worker(0, 1));
    listeners.release_slot(0);
    listeners.gone(worker(1, 1));
    TcpStream::connect(address).expect("slot 1 is expected back");
    listeners.release_slot(1);
    assert_eq!(TcpStream::connect(address).expect_err("over").kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_port_that_was_only_probed_can_be_listened_on() {
    let mut listeners = lanes();
    let (fd, key) = serving(&mut listeners, worker(0, 1), &loopback());
    let port = address(&fd).port();
    drop(fd);
    listeners.closed(worker(0, 1), &key);
    serving(&mut listeners, worker(0, 1), &query(Family::Tcp4, Some("127.0.0.1"), port));
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    free.local_addr().expect("bound").port()
}

#[test]
fn what_nobody_has_open_gives_way() {
    let mut listeners = lanes();
    let port = free_port();
    let narrow = query(Family::Tcp4, Some("127.0.0.1"), port);
    let (fd, key) = serving(&mut listeners, worker(0, 1), &narrow);
    let wide = query(Family::Tcp4, Some("0.0.0.0"), port);
    assert_eq!(open(&mut listeners, worker(0, 1), &wide).expect_err("in use"), -EADDRINUSE);
    drop(fd);
    listeners.closed(worker(0, 1), &key);
    serving(&mut listeners, worker(0, 1), &wide);
}

/// Two workers start at once: the first of them has closed its look, and listens, before the second has.
#[test]
fn looks_that_overlap_leave_nothing() {
    let mut listeners = lanes();
    let port = free_port();
    let wide = query(Family::Tcp4, Some("0.0.0.0"), port);
    let narrow = query(Family::Tcp4, Some("127.0.0.1"), port);
    let looks = [0, 1].map(|slot| serving(&mut listeners, worker(slot, 1), &wide));
    let key = looks[0].1.clone();
    drop(looks);
    listeners.closed(worker(0, 1), &key);
    let _first = serving(&mut listeners, worker(0, 1), &narrow);
    listeners.closed(worker(1, 1), &key);
    let _second = serving(&mut listeners, worker(1, 1), &narrow);
    let elsewhere = TcpStream::connect(("127.0.0.2", port)).map(drop).map_err(|error| error.kind());
    assert_eq!(elsewhere, Err(ErrorKind::ConnectionRefused));
}

/// As port finders do: they listen on another address for a moment, and find the port as without other workers.
#[test]
fn what_another_worker_has_open_is_not_in_the_way_and_a_look_leaves_nothing() {
    let mut listeners = lanes();
    let port = free_port();
    let wide = query(Family::Tcp4, Some("0.0.0.0"), port);
    let narrow = query(Family::Tcp4, Some("127.0.0.1"), port);
    let elsewhere = || TcpStream::connect(("127.0.0.2", port)).map(drop).map_err(|error| error.kind());
    for slot in 0..2 {
        let (look, key) = serving(&mut listeners, worker(slot, 1), &wide);
        drop(look);
        listeners.closed(worker(slot, 1), &key);
        let (fd, _) = serving(&mut listeners, worker(slot, 1), &narrow);
        assert_eq!(elsewhere(), Err(ErrorKind::ConnectionRefused), "slot {slot}");
        drop(fd);
    }
    listeners.gone(worker(0, 1));
    let (look, key) = serving(&mut listeners, worker(0, 2), &wide);
    TcpStream::connect(("127.0.0.1", port)).expect("what waits for the slot's next worker is kept");
    drop(look);
    listeners.closed(worker(0, 2), &key);
    assert_eq!(elsewhere(), Err(ErrorKind::ConnectionRefused));
    serving(&mut listeners, worker(0, 2), &narrow);
}

#[test]
fn only_v6_means_only_v6() {
    let Ok(_) = std::net::TcpListener::bind("[::1]:0") else { return };
    let mut listeners = lanes();
    let (both, _) = serving(&mut listeners, worker(0, 1), &query(Family::Tcp4, None, 0));
    connect(([127, 0, 0, 1], address(&both).port()).into(), 1);
    let (six, _) = serving(&mut listeners, worker(0, 1), &Query { flags: 1, ..query(Family::Tcp6, Some("::"), 0) });
    let error = TcpStream::connect(("127.0.0.1", address(&six).port())).expect_err("IPv4");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn udp_is_one_socket_for_all_in_every_mode() {
    for kind in [Mode::Lanes, Mode::Shared, Mode::RoundRobin] {
        let mut listeners = mode(kind);
        let udp = query(Family::Udp4, Some("127.0.0.1"), 0);
        let (first, key) = serving(&mut listeners, worker(0, 1), &udp);
        let (second, _) = serving(&mut listeners, worker(1, 1), &udp);
        assert_eq!(inode(&first), inode(&second));
        assert_eq!(listeners.at_key(&key).map(ToString::to_string), Some(format!("udp:{}", address(&first))));
        let receiver = UdpSocket::from(first);
        receiver.set_nonblocking(false).expect("blocking");
        receiver.set_read_timeout(Some(LIMIT)).expect("set");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bound");
        sender.send_to(b"hello", receiver.local_addr().expect("bound")).expect("sent");
        assert_eq!(receiver.recv(&mut [0; 16]).expect("received"), 5);
    }
}

#[test]
fn shared_is_one_socket_for_all() {
    let mut listeners = mode(Mode::Shared);
    let (first, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (second, _) = serving(&mut listeners, worker(1, 1), &loopback());
    assert_eq!(inode(&first), inode(&second));
    assert_eq!(unattended(&listeners).count(), 0);
    let _clients = connect(address(&first), 10);
    assert_eq!(take(&[&second], 10), [10]);
}

#[test]
fn in_round_robin_we_accept_for_all() {
    let mut listeners = mode(Mode::RoundRobin);
    let (how, key) = open(&mut listeners, worker(0, 1), &loopback()).expect("granted");
    let How::RoundRobin(Some(address)) = how else { panic!("no socket is given: {how:?}") };
    open(&mut listeners, worker(1, 1), &loopback()).expect("granted");
    let workers = |sockets: &Sockets| sockets.all().into_keys().collect::<Vec<_>>();
    listeners.steer_in(worker(0, 1));
    listeners.accepting(worker(1, 1), &key);
    assert_eq!(workers(&listeners), [worker(1, 1)], "who is ready does not accept yet");
    listeners.accepting(worker(0, 1), &key);
    assert_eq!(workers(&listeners), [worker(0, 1), worker(1, 1)]);
    listeners.gone(worker(0, 1));
    assert_eq!(workers(&listeners), [worker(1, 1)]);
    let _clients = connect(address, 5);
    let lane = unattended(&listeners).next().expect("kept").at;
    let mut count = 0;
    while count < 5 {
        count += usize::from(listeners.accept(lane).expect("accept").is_some());
    }
    listeners.close_all();
    assert!(listeners.accept(lane).expect("only a name now").is_none());
}

#[test]
fn a_unix_path_is_shared_put_back_and_removed_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a dead predecessor"));
    let unix = query(Family::Pipe, path.to_str(), 0);
    let mut listeners = lanes();
    let (first, key) = serving(&mut listeners, worker(0, 1), &unix);
    assert_eq!(listeners.at_key(&key).map(ToString::to_string), Some(format!("unix:{}", path.display())));
    std::fs::remove_file(&path).expect("the second worker clears the path before it listens");
    let (second, _) = serving(&mut listeners, worker(1, 1), &unix);
    assert_eq!(inode(&first), inode(&second));
    UnixStream::connect(&path).expect("reachable").write_all(b"x").expect("written");
    listeners.close_all();
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
}

fn addresses(sockets: &Sockets, who: pm_common::policy::WorkerId) -> Vec<String> {
    sockets.all().remove(&who).map(|(addresses, _)| addresses.into_iter().collect()).unwrap_or_default()
}

#[test]
fn the_status_shows_what_a_worker_accepts_on() {
    let mut listeners = lanes();
    let (fd, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let name = format!("pm-cluster-status-{}", std::process::id());
    let (_unix, _) = serving(&mut listeners, worker(0, 1), &query(Family::Pipe, Some(&format!("/x/\0{name}")), 0));
    open(&mut listeners, worker(1, 1), &loopback()).expect("granted, not listening yet");
    let expected = [format!("tcp:{}", address(&fd)), format!("unix:@{name}")];
    assert_eq!(addresses(&listeners, worker(0, 1)), expected);
    assert_eq!(addresses(&listeners, worker(1, 1)), Vec::<String>::new());
}

#[test]
fn a_worker_cannot_make_us_open_addresses_without_end() {
    const EMFILE: i32 = 24;
    pm_common::sys::fd_limit::raise_descriptors();
    let mut listeners = lanes();
    let name = |n: u32| format!("/\0pm-cluster-many-{}-{n}", std::process::id());
    let outcome = (0..5000).find_map(|n| {
        open(&mut listeners, worker(0, 1), &query(Family::Pipe, Some(&name(n)), 0)).err().map(|errno| (n, errno))
    });
    let (count, errno) = outcome.expect("refused at last");
    assert_eq!(errno, -EMFILE);
    assert!((1024..5000).contains(&count), "{count}");
    open(&mut listeners, worker(1, 1), &loopback()).expect("another worker has room");
    let warnings = listeners.take_warnings();
    assert!(warnings.len() == 1 && warnings[0].contains(&format!("most={count}; ")), "{warnings:?}");
}

#[test]
fn a_worker_may_go_through_many_ports_one_after_the_other() {
    let mut listeners = lanes();
    let name = |n: u32| format!("/\0pm-cluster-turns-{}-{n}", std::process::id());
    for n in 0..3000 {
        let (_, key) = open(&mut listeners, worker(0, 1), &query(Family::Pipe, Some(&name(n)), 0)).expect("granted");
        listeners.closed(worker(0, 1), &key);
    }
}

/// Set for the copy of this test program that is started with a socket as its stdin.
const STARTED_WITH_SOCKET: &str = "PM_TEST_STDIN_IS_A_SOCKET";

#[test]
fn a_descriptor_that_we_were_started_with_can_be_listened_on() {
    let zero = Query { fd: Some(0), ..query(Family::Fd, None, 0) };
    if std::env::var_os(STARTED_WITH_SOCKET).is_some() {
        let mut listeners = lanes();
        let (first, key) = serving(&mut listeners, worker(0, 1), &zero);
        let (second, _) = serving(&mut listeners, worker(1, 1), &zero);
        assert_eq!(inode(&first), inode(&second));
        assert_eq!(listeners.at_key(&key).map(ToString::to_string), Some(format!("tcp:{}", address(&first))));
        assert_eq!(refused(&Query { fd: Some(0), ..query(Family::Udp4, None, 0) }), -EINVAL, "not a UDP socket");
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", "a_descriptor_that_we_were_started_with_can_be_listened_on"]);
    again.env(STARTED_WITH_SOCKET, "1").stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let output = again.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_descriptor_of_our_own_is_nobodys_business() {
    let own = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let number = std::os::fd::AsRawFd::as_raw_fd(&own);
    let by_number = |fd| Query { fd: Some(fd), ..query(Family::Fd, None, 0) };
    assert_eq!(refused(&by_number(number)), -EINVAL);
    assert_eq!(refused(&by_number(99_999)), -EINVAL);
    assert_eq!(refused(&by_number(1)), -ENOTSOCK, "stdout is open, and no socket");
}

#[test]
fn nothing_read_tells_a_connection_that_can_still_be_given_to_another() {
    let (fd, _) = serving(&mut lanes(), worker(0, 1), &loopback());
    for half_closed in [false, true] {
        let mut client = connect(address(&fd), 1).remove(0);
        client.write_all(b"GET /").expect("sent");
        if half_closed {
            client.shutdown(std::net::Shutdown::Write).expect("shut down");
        }
        let waits = PollFd::new(&fd, PollFlags::IN);
        assert_eq!(poll(&mut [waits], Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).expect("polled"), 1);
        let connection = TcpStream::from(socket::accept(&fd).expect("accept").expect("one waits"));
        connection.set_nonblocking(false).expect("blocking");
        connection.set_read_timeout(Some(LIMIT)).expect("set");
        assert_eq!(connection.peek(&mut [0; 5]).expect("something"), 5);
        assert!(socket::nothing_read(&connection).expect("TCP"), "half closed: {half_closed}");
        std::io::Read::read_exact(&mut &connection, &mut [0; 2]).expect("read");
        assert!(!socket::nothing_read(&connection).expect("TCP"), "half closed: {half_closed}");
    }
}
