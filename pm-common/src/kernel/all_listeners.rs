//! What of this machine serves, and where: the kernel's socket monitors, asked for all listeners, and its table of UDP.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;

use super::foreign_listeners;
use super::sock_diag::{HEADER, LISTEN, REQUEST_DUMP, SOCK_DIAG_BY_FAMILY, each, each_tcp, half, header, word};
use crate::policy::listening::{Listening, UnixName};

/// All listeners of this network, TCP of both families and unix, and the UDP sockets that wait for anybody: the number of
/// each socket, and its address.
///
/// Of UDP those do not count that are connected, or bound to a port of the range from which the kernel takes those that
/// nobody asked for (ip(7), ip_local_port_range): they are clients (of DNS, of statsd). Of unix the names do not count that
/// the kernel has chosen (unix(7), autobind: five hexadecimal digits).
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn listeners() -> io::Result<Vec<(u64, Listening)>> {
    let mut found: Vec<_> = tcp_listeners()?.into_iter().map(|(inode, at)| (inode, Listening::Tcp(at))).collect();
    each(&request_of_unix(), |body| found.extend(unix_listener(body)))?;
    let chosen = foreign_listeners::chosen_ports();
    let udp = foreign_listeners::udp_unconnected().into_iter().filter(|(_, at)| !chosen.contains(&at.port()));
    found.extend(udp.map(|(inode, at)| (inode, Listening::Udp(at))));
    Ok(found)
}

/// All TCP listeners of this network, of both families: the number of each socket, and its address.
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn tcp_listeners() -> io::Result<Vec<(u64, SocketAddr)>> {
    let mut found = Vec::new();
    each_tcp(1..=u16::MAX, 0, LISTEN, |at, inode, _| found.push((inode, at)))?;
    Ok(found)
}

/// `struct unix_diag_msg` and its attributes, of which the name alone was asked for.
fn unix_listener(body: &[u8]) -> Option<(u64, Listening)> {
    let attributes = body.get(16..)?;
    let name = attributes.get(4..usize::from(half(attributes, 0)?))?;
    let name = match name {
        [0, name @ ..] if name.len() == 5 && name.iter().all(u8::is_ascii_hexdigit) => return None,
        [0, name @ ..] => UnixName::Abstract(name.to_vec()),
        [] => return None,
        path => UnixName::Path(OsStr::from_bytes(path.split(|byte| *byte == 0).next()?).into()),
    };
    Some((word(body, 4)?.into(), Listening::Unix(name)))
}

/// `struct unix_diag_req` (linux/unix_diag.h).
fn request_of_unix() -> Vec<u8> {
    let mut bytes = header(HEADER as u32 + 24, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP);
    bytes.extend([nix::libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend(LISTEN.to_ne_bytes());
    // Any socket; its name.
    bytes.extend([0; 4]);
    bytes.extend(1_u32.to_ne_bytes());
    bytes.resize(HEADER + 24, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::linux::net::SocketAddrExt as _;

    #[test]
    fn all_that_listens_is_seen_with_its_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let tcp = ["127.0.0.1:0", "[::1]:0"].map(|host| TcpListener::bind(host).expect("loopback"));
        let all = listeners().expect("a monitor");
        let inode = |fd: &dyn std::os::fd::AsFd| crate::sys::socket::inode(fd.as_fd()).expect("open");
        let seen = |inode| all.iter().find(|(seen, _)| *seen == inode).map(|(_, address)| address.clone());
        for one in &tcp {
            assert_eq!(seen(inode(one)), Some(Listening::Tcp(one.local_addr().expect("bound"))));
        }
        assert_eq!(seen(inode(&unix)), Some(Listening::Unix(UnixName::Path(path))));
        assert_eq!(unix_listener(&[0; 20]), None);
    }

    #[test]
    fn a_client_over_udp_and_a_name_of_the_kernels_choice_are_none() {
        let inode = |fd: &dyn std::os::fd::AsFd| crate::sys::socket::inode(fd.as_fd()).expect("open");
        let chosen = foreign_listeners::chosen_ports();
        let server =
            (1025..*chosen.start()).find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).expect("a port");
        let at = server.local_addr().expect("bound");
        let (loose, connected) = (UdpSocket::bind("127.0.0.1:0").expect("loopback"), server.try_clone().expect("it"));
        let name = format!("pm-serving-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        let unix = std::os::unix::net::UnixListener::bind_addr(&address).expect("bound");
        let seen = |inode: u64| listeners().expect("a monitor").into_iter().find(|(seen, _)| *seen == inode);
        let address = |fd| seen(inode(fd)).map(|(_, address)| address);
        assert_eq!(address(&server), Some(Listening::Udp(at)));
        assert_eq!(address(&unix), Some(Listening::Unix(UnixName::Abstract(name.into()))));
        assert_eq!(address(&loose), None);
        connected.connect(loose.local_addr().expect("bound")).expect("connected");
        assert_eq!(address(&connected), None);
        // A message and its one attribute, with a name that the kernel has chosen.
        let message = |name: &[u8]| [&[0; 16][..], &[4 + name.len() as u8, 0, 0, 0], name].concat();
        assert_eq!(unix_listener(&message(b"\x000001f")), None);
        assert!(unix_listener(&message(b"\x00upper")).is_some());
    }
}
