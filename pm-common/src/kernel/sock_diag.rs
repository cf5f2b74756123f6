//! The connections and listeners of a port, as the kernel's socket monitor shows them (sock_diag(7)).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

/// A TCP connection whose other end is a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The number of its socket; 0 while it waits to be accepted.
    pub inode: u64,
    /// Bytes that the program has not read.
    pub unread: u32,
    /// Bytes that the client has not acknowledged.
    pub unsent: u32,
    /// Milliseconds since the program sent something last.
    pub sent_ago: u32,
    /// Milliseconds since something came last.
    pub received_ago: u32,
    /// Bytes that came in all.
    pub received: u64,
    /// What the kernel names it by, for ever.
    pub cookie: u64,
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The older request: its form is another, and it gives both families at one go.
const TCPDIAG_GETSOCK: u16 = 18;
pub(super) const REQUEST_DUMP: u16 = 0x301; // NLM_F_REQUEST | NLM_F_DUMP
const ERROR: u16 = 2;
const DONE: u16 = 3;
const INFO: u16 = 2; // INET_DIAG_INFO
pub(super) const HEADER: usize = 16;
const MESSAGE: usize = 72;
/// ESTABLISHED and CLOSE_WAIT.
const CONNECTED: u32 = 1 << 1 | 1 << 8;
pub(super) const LISTEN: u32 = 1 << 10;
const LISTENING: u8 = 10;
/// INET_DIAG_REQ_BYTECODE, and its operations: the local port is at least, at most.
const FILTER: u16 = 1;
const AT_LEAST: u8 = 2;
const AT_MOST: u8 = 3;
/// INET_DIAG_BC_S_COND: the local address.
const FROM_HOST: u8 = 7;
/// Bytes of `struct inet_diag_bc_op`, and of the head of an attribute.
const OPERATION: usize = 4;

/// Ports that are looked at with one dump, however few of those between them are asked for.
const NEAR: u16 = 16;

/// A socket at a local port: a listener, or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// The port.
    pub port: u16,
    /// The number of the socket; 0 of a connection that waits to be accepted.
    pub inode: u64,
    /// Of a listener: the connections that wait in its queue.
    pub waiting: Option<u32>,
}

/// All listeners at these ports and the connections to them, of both families, in one dump.
///
/// Nothing but what a [`Socket`] holds is asked for: of many connections the details would take most of the time.
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn at_ports(ports: &BTreeSet<u16>) -> io::Result<Vec<Socket>> {
    let (Some(first), Some(last)) = (ports.first(), ports.last()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    each_tcp(*first..=*last, 0, CONNECTED | LISTEN, |at, inode, body| {
        if ports.contains(&at.port()) {
            let waiting = if body.get(1) == Some(&LISTENING) { word(body, 56) } else { None };
            found.push(Socket { port: at.port(), inode, waiting });
        }
    })?;
    Ok(found)
}

/// `struct inet_diag_req`, and the filter: a program whose jumps are in bytes; one past its end refuses.
fn request_of(address: Option<IpAddr>, first: u16, last: u16, details: u8, states: u32) -> Vec<u8> {
    let host = address.map(host_condition).unwrap_or_default();
    let ports = [(AT_LEAST, first), (AT_MOST, last)].map(|(operation, port)| {
        let [low, high] = port.to_ne_bytes();
        (operation, vec![0, 0, low, high])
    });
    let operations: Vec<(u8, Vec<u8>)> = address.map(|_| (FROM_HOST, host)).into_iter().chain(ports).collect();
    let mut left: usize = operations.iter().map(|(_, operand)| OPERATION + operand.len()).sum();

    let mut bytes = header((HEADER + 60 + OPERATION + left) as u32, TCPDIAG_GETSOCK, REQUEST_DUMP);
    // Any family, address, port and interface.
    bytes.extend([0, 0, 0, details]);
    bytes.resize(HEADER + 52, 0);
    bytes.extend(states.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(((OPERATION + left) as u16).to_ne_bytes());
    bytes.extend(FILTER.to_ne_bytes());
    for (operation, operand) in operations {
        let length = OPERATION + operand.len();
        bytes.extend([operation, length as u8]);
        bytes.extend(((left + OPERATION) as u16).to_ne_bytes());
        bytes.extend(operand);
        left -= length;
    }
    bytes
}

/// `struct inet_diag_hostcond`: exactly this address, at any port.
fn host_condition(address: IpAddr) -> Vec<u8> {
    let (family, address) = match address {
        IpAddr::V4(v4) => (nix::libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (nix::libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut bytes = vec![family as u8, address.len() as u8 * 8, 0, 0];
    bytes.extend((-1_i32).to_ne_bytes());
    bytes.extend(address);
    bytes
}

pub(super) fn header(length: u32, kind: u16, flags: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend([length.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &flags.to_ne_bytes()].concat());
    bytes.extend([0; 8]);
    bytes
}

/// The connections to local ports, of both families, each port looked at once; `None`: the kernel has no such monitor, or
/// forbids it.
#[derive(Debug, Default)]
pub struct SeenPorts(BTreeMap<u16, Option<Vec<Connection>>>);

impl SeenPorts {
    /// Those to all these ports.
    pub fn at(&mut self, ports: &BTreeSet<u16>) -> Option<Vec<Connection>> {
        let unseen: Vec<u16> = ports.iter().copied().filter(|port| !self.0.contains_key(port)).collect();
        // There may be a thousand, most often one next to the other.
        for run in unseen.chunk_by(|one, next| next - one <= NEAR) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let found = dump(*first, *last, CONNECTED).ok();
            self.0.extend(run.iter().map(|port| (*port, found.as_ref().map(|_| Vec::new()))));
            for (port, one) in found.into_iter().flatten() {
                if let Some(Some(all)) = self.0.get_mut(&port) {
                    all.push(one);
                }
            }
        }
        let seen = ports.iter().map(|port| self.0.get(port)?.as_deref());
        seen.collect::<Option<Vec<_>>>().map(|all| all.concat())
    }

    /// What was seen is old.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The listeners of a port, each with the number of its socket and the connections that wait in its queue.
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn queues(port: u16) -> io::Result<Vec<(u64, u32)>> {
    // inet_diag in the kernel: of a listener, the unread bytes are the length of the queue.
    Ok(dump(port, port, LISTEN)?.iter().map(|(_, one)| (one.inode, one.unread)).collect())
}

/// The numbers of the sockets that listen on exactly this address and port.
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn listeners_at(address: SocketAddr) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    // A server may listen on hundreds of addresses of one port: the others are not even written out.
    each(&request_of(Some(address.ip()), address.port(), address.port(), 0, LISTEN), |body| {
        found.extend(named(body).filter(|(at, _)| at.ip() == address.ip()).map(|(_, inode)| inode));
    })?;
    Ok(found)
}

fn dump(first: u16, last: u16, states: u32) -> io::Result<Vec<(u16, Connection)>> {
    let mut found = Vec::new();
    each_tcp(first..=last, 1 << (INFO - 1), states, |at, inode, body| {
        found.extend(connection(inode, body).map(|one| (at.port(), one)));
    })?;
    Ok(found)
}

/// Calls `with` for each TCP socket in these states at these local ports: with its address, its number, and the
/// `struct inet_diag_msg`, which has the attributes (`details`) that were asked for behind it.
///
/// The kernel goes through all connections of the machine: once for both families.
pub(super) fn each_tcp(
    ports: RangeInclusive<u16>,
    details: u8,
    states: u32,
    mut with: impl FnMut(SocketAddr, u64, &[u8]),
) -> io::Result<()> {
    each(&request_of(None, *ports.start(), *ports.end(), details, states), |body| {
        if let Some((at, inode)) = named(body).filter(|(at, _)| ports.contains(&at.port())) {
            with(at, inode, body);
        }
    })
}

/// The local address and the number of the socket that a `struct inet_diag_msg` tells of.
fn named(body: &[u8]) -> Option<(SocketAddr, u64)> {
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let ip: IpAddr = match i32::from(*body.first()?) {
        nix::libc::AF_INET6 => <[u8; 16]>::try_from(body.get(8..24)?).ok()?.into(),
        _ => <[u8; 4]>::try_from(body.get(8..12)?).ok()?.into(),
    };
    Some((SocketAddr::from((ip, port)), word(body, 68)?.into()))
}

/// Asks the socket monitor, reads its dump to the end, and calls `with` for each message.
pub(super) fn each(request: &[u8], mut with: impl FnMut(&[u8])) -> io::Result<()> {
    let (netlink, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = socket_with(netlink, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&socket, request, SendFlags::empty())?;
    let mut room = vec![0; 32768];
    loop {
        // A dump is made as it is read: it never has us wait.
        let got = match recv(&socket, room.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((got, _)) => got,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if take(room.get(..got).unwrap_or_default(), &mut with)? {
            return Ok(());
        }
    }
}

/// Takes the messages of one read; true: the dump has ended.
fn take(mut bytes: &[u8], with: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (word(bytes, 0), half(bytes, 4)) {
        let length = length as usize;
        let Some(body) = bytes.get(HEADER..length) else { return Ok(true) };
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = word(body, 0).map_or(0, |code| (code as i32).wrapping_neg());
                return if errno == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(errno)) };
            }
            SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK => with(body),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// One `struct inet_diag_msg` and its attributes.
fn connection(inode: u64, body: &[u8]) -> Option<Connection> {
    let mut attributes = body.get(MESSAGE..)?;
    let mut info: &[u8] = &[];
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
        let length = usize::from(length).max(4);
        if kind == INFO {
            info = attributes.get(4..length).unwrap_or_default();
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // The offsets are those of struct tcp_info, which only ever grows at its end.
    Some(Connection {
        inode,
        unread: word(body, 56)?,
        unsent: word(body, 60)?,
        // A listener has none.
        sent_ago: word(info, 44).unwrap_or(0),
        received_ago: word(info, 52).unwrap_or(0),
        received: info.get(128..136).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes),
        // sock_diag_save_cookie in the kernel: the low half first.
        cookie: u64::from(word(body, 44)?) | u64::from(word(body, 48)?) << 32,
    })
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_connections_of_a_port_and_what_they_are_at() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("loopback");
            let address = listener.local_addr().expect("bound");
            let mut client = TcpStream::connect(address).expect("connects");
            let (mut server, _) = listener.accept().expect("accepts");
            let inode = crate::sys::socket::inode(&server).expect("open");
            let look = || SeenPorts::default().at(&BTreeSet::from([address.port()])).expect("a monitor");
            assert_eq!(look().iter().map(|one| (one.inode, one.received)).collect::<Vec<_>>(), [(inode, 0)]);
            client.write_all(b"hello").expect("sent");
            assert_eq!((look()[0].unread, look()[0].received), (5, 5));
            server.read_exact(&mut [0; 5]).expect("read");
            server.write_all(b"answer").expect("sent");
            assert_eq!((look()[0].unread, look()[0].unsent), (0, 0), "the other end's kernel has it");
            client.read_exact(&mut [0; 6]).expect("read");
            let _waiting = TcpStream::connect(address).expect("connects");
            let waits = || look().into_iter().find(|one| one.inode == 0).map(|one| one.cookie);
            assert!(waits().is_some() && waits() == waits(), "it waits to be accepted, and stays the same");
            assert_eq!(look().iter().filter(|one| Some(one.cookie) == waits()).count(), 1, "no other is named so");
            let of_listener = crate::sys::socket::inode(&listener).expect("open");
            assert_eq!(queues(address.port()).expect("a monitor"), [(of_listener, 1)]);
            drop(client);
            assert_eq!(look().len(), 2, "CLOSE_WAIT");
            drop(server);
            assert_eq!(look().len(), 1);
        }
    }

    #[test]
    fn of_many_addresses_of_a_port_the_kernel_tells_of_the_one_that_is_asked_for() {
        let first = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = first.local_addr().expect("bound").port();
        let hosts = ["127.0.0.2", "127.0.0.3", "::1", "::ffff:127.0.0.4"];
        // Somebody else may have one of them.
        let others: Vec<_> = hosts.iter().filter_map(|host| TcpListener::bind((*host, port)).ok()).collect();
        for listener in others.iter().chain([&first]) {
            let (at, inode) =
                (listener.local_addr().expect("bound"), crate::sys::socket::inode(listener).expect("open"));
            let mut told = Vec::new();
            let request = request_of(Some(at.ip()), port, port, 0, LISTEN);
            each(&request, |body| told.extend(named(body))).expect("a monitor");
            assert_eq!(told, [(at, inode)]);
            assert_eq!(listeners_at(at).expect("a monitor"), [inode]);
        }
        assert!(listeners_at(([0, 0, 0, 0], port).into()).expect("a monitor").is_empty());
    }

    #[test]
    fn all_at_some_ports_in_one_look_and_nothing_else() {
        let bound = |host: &str| TcpListener::bind(host).expect("loopback");
        let (four, six, other) = (bound("127.0.0.1:0"), bound("[::1]:0"), bound("127.0.0.1:0"));
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let connect =
            |listener: &TcpListener| TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let clients = [connect(&four), connect(&four), connect(&six), connect(&other)];
        let (accepted, _) = four.accept().expect("accepts");
        let look = |listeners: &[&TcpListener]| {
            let mut all = at_ports(&listeners.iter().map(|one| port(one)).collect()).expect("a monitor");
            all.sort_by_key(|one| (one.port, one.inode));
            all
        };
        let inode = |fd: &dyn std::os::fd::AsFd| crate::sys::socket::inode(fd.as_fd()).expect("open");
        let listener = |of: &TcpListener, waiting| Socket { port: port(of), inode: inode(of), waiting };
        let waits = |of: &TcpListener| Socket { port: port(of), inode: 0, waiting: None };
        let mut wanted = vec![
            listener(&four, Some(1)),
            waits(&four),
            Socket { port: port(&four), inode: inode(&accepted), waiting: None },
            listener(&six, Some(1)),
            waits(&six),
        ];
        wanted.sort_by_key(|one| (one.port, one.inode));
        assert_eq!(look(&[&four, &six]), wanted);
        assert_eq!(look(&[&other]), [waits(&other), listener(&other, Some(1))]);
        assert_eq!(look(&[]), []);
        drop(clients);
    }

    #[test]
    fn a_port_is_looked_at_once_and_those_beside_it_are_not_told_of() {
        let bound = || TcpListener::bind("127.0.0.1:0").expect("loopback");
        let (one, other, between) = (bound(), bound(), bound());
        let all = [&one, &other, &between].map(|of| of.local_addr().expect("bound"));
        let _clients = all.map(|at| TcpStream::connect(at).expect("connects"));
        let mut seen = SeenPorts::default();
        let wanted = BTreeSet::from([all[0].port(), all[1].port()]);
        let first = seen.at(&wanted).expect("a monitor");
        assert_eq!(first.len(), 2);
        let _late = TcpStream::connect(all[0]).expect("connects");
        assert_eq!(seen.at(&wanted), Some(first), "what was seen stays");
        seen.clear();
        assert_eq!(seen.at(&wanted).map(|all| all.len()), Some(3));
    }

    #[test]
    fn garbage_is_no_connection() {
        let mut found = 0;
        assert!(take(&[0xff; 40], &mut |_| found += 1).expect("no error of the kernel"));
        assert!(!take(&[], &mut |_| found += 1).expect("nothing"));
        assert_eq!((named(&[0; 71]), connection(1, &[0; 71]), found), (None, None, 0));
    }
}
