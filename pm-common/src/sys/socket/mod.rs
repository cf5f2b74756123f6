//! Listening sockets: lanes (TCP sockets of one SO_REUSEPORT group), shared TCP, UDP and unix sockets.
//!
//! Every socket made here is close-on-exec and non-blocking: a listener is handed to workers as it is, and a worker that
//! shares the description of a blocking one could hang in accept(2). Errors carry the kernel's errno.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::libc;
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::policy::steering::Instruction;

pub use crate::policy::listening::UnixName;

mod datagram;
mod traffic;

pub use datagram::{UdpOptions, udp_bound};
pub use nix::libc::{EACCES, EADDRINUSE, EBADF, ECONNREFUSED, EINVAL, EMFILE, ENOENT, ENOTSOCK};
pub use traffic::{Traffic, accept_queue, is_idle, nothing_read, traffic};

/// How a TCP socket stands to others on its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Alone on its port: another bind by anybody is EADDRINUSE.
    Alone,
    /// Beside our earlier lanes of the port: SO_REUSEPORT before bind.
    Beside,
}

/// A TCP socket bound to `address`, not listening yet. SO_REUSEADDR is always set: without it on every socket of a
/// port, a bind fails while one accepted connection lives. `only_v6` counts for IPv6 addresses; they are dual stack without.
///
/// # Errors
/// That of socket(2), setsockopt(2) or bind(2).
pub fn tcp_bound(address: SocketAddr, only_v6: bool, join: Join) -> io::Result<OwnedFd> {
    let fd = inet(address, SocketType::STREAM)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, only_v6)?;
    }
    if join == Join::Beside {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}

/// A TCP socket of the address's family, not bound yet.
///
/// # Errors
/// That of socket(2).
pub fn tcp_unbound(address: SocketAddr) -> io::Result<OwnedFd> {
    inet(address, SocketType::STREAM)
}

/// bind(2).
///
/// # Errors
/// That of bind(2).
pub fn bind(fd: impl AsFd, address: SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(fd, &address)?)
}

/// Sets SO_REUSEADDR: without it a bind fails while one connection of the port lives.
///
/// # Errors
/// That of setsockopt(2).
pub fn reuse_address(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseaddr(fd, true)?)
}

/// Whether SO_REUSEPORT is set.
///
/// # Errors
/// That of getsockopt(2).
pub fn joins(fd: impl AsFd) -> io::Result<bool> {
    Ok(sockopt::socket_reuseport(fd)?)
}

/// Clears SO_REUSEPORT.
///
/// # Errors
/// That of setsockopt(2).
pub fn join_no_more(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(fd, false)?)
}

/// Whether an IPv6 socket takes no IPv4 connections.
///
/// # Errors
/// That of getsockopt(2).
pub fn is_only_v6(fd: impl AsFd) -> io::Result<bool> {
    Ok(sockopt::ipv6_v6only(fd)?)
}

/// What protocol a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// Multipath TCP: it can be shared, and not steered.
    Mptcp,
    /// Datagrams: each socket of a port gets its share.
    Udp,
    /// Anything else.
    Other,
}

/// The protocol of a socket.
///
/// # Errors
/// ENOTSOCK if it is none.
pub fn protocol(fd: impl AsFd) -> io::Result<Protocol> {
    let protocol = sockopt::socket_protocol(fd)?.map(|protocol| protocol.as_raw().get());
    Ok(match protocol.map(|number| number as i32) {
        Some(libc::IPPROTO_TCP) => Protocol::Tcp,
        Some(libc::IPPROTO_MPTCP) => Protocol::Mptcp,
        Some(libc::IPPROTO_UDP) => Protocol::Udp,
        _ => Protocol::Other,
    })
}

/// Starts to listen; the kernel cuts `backlog` to net.core.somaxconn.
///
/// # Errors
/// That of listen(2); EADDRINUSE if another program listened first on an address that both had bound.
pub fn listen(fd: impl AsFd, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(fd, backlog)?)
}

/// Whether it listens (SO_ACCEPTCONN): shutdown(2) of anybody who has it ends that.
///
/// # Errors
/// That of getsockopt(2).
pub fn is_listening(fd: impl AsFd) -> io::Result<bool> {
    Ok(sockopt::socket_acceptconn(fd)?)
}

/// Lets later ones join the port of a socket that was alone until now. Of TCP, only after listen(2): two programs that set
/// SO_REUSEPORT before both end up sharing the port silently, this way the second one gets EADDRINUSE.
///
/// # Errors
/// That of setsockopt(2).
pub fn let_others_join(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(fd, true)?)
}

fn inet(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

impl UnixName {
    fn address(&self) -> io::Result<SocketAddrUnix> {
        Ok(match self {
            Self::Path(path) => SocketAddrUnix::new(path.as_os_str().as_bytes())?,
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
        })
    }
}

/// A unix stream socket bound to `name`, not listening yet.
///
/// # Errors
/// That of socket(2) or bind(2); ENAMETOOLONG beyond 107 bytes.
pub fn unix_bound(name: &UnixName) -> io::Result<OwnedFd> {
    let fd = unix()?;
    rustix::net::bind(&fd, &name.address()?)?;
    Ok(fd)
}

/// Knocks at a unix socket: `Ok` if somebody listens there (a full queue counts), else the errno (ECONNREFUSED: nobody).
///
/// # Errors
/// That of connect(2).
pub fn unix_knock(name: &UnixName) -> io::Result<()> {
    match rustix::net::connect(unix()?, &name.address()?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn unix() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// The next connection of a non-blocking listener, non-blocking and close-on-exec; `None` if none waits. Connections
/// that broke while they waited are passed over (accept(2): their errors come out here).
///
/// # Errors
/// That of accept4(2): EMFILE and its kin leave the connection in the queue.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    loop {
        match rustix::net::accept_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => return Ok(Some(fd)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) if of_one_connection(errno) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn of_one_connection(errno: Errno) -> bool {
    let passing = [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
    ];
    passing.contains(&errno)
}

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A unix socket; `None`: without a name.
    Unix(Option<UnixName>),
}

/// The address that a socket is bound to.
///
/// # Errors
/// That of getsockname(2); EINVAL for another family.
pub fn local(fd: impl AsFd) -> io::Result<Local> {
    let any = rustix::net::getsockname(fd)?;
    if let Ok(address) = SocketAddr::try_from(any.clone()) {
        return Ok(Local::Inet(address));
    }
    let unix = SocketAddrUnix::try_from(any)?;
    let path = unix.path_bytes().map(|path| UnixName::Path(PathBuf::from(std::ffi::OsStr::from_bytes(path))));
    Ok(Local::Unix(path.or_else(|| unix.abstract_name().map(|name| UnixName::Abstract(name.to_vec())))))
}

/// The IP address and port that a socket is bound to.
///
/// # Errors
/// That of getsockname(2); EINVAL for another family.
pub fn local_inet(fd: impl AsFd) -> io::Result<SocketAddr> {
    match local(fd)? {
        Local::Inet(address) => Ok(address),
        Local::Unix(_) => Err(Errno::INVAL.into()),
    }
}

/// Sets or clears O_NONBLOCK of the open file description, which everybody shares who has a duplicate of it.
///
/// # Errors
/// That of fcntl(2).
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, on)?)
}

/// Makes `program` choose the socket of `lane`'s SO_REUSEPORT group for each new connection, in place of the one before.
///
/// # Errors
/// EINVAL while the socket is alone and had SO_REUSEPORT set only after listen(2), or for a malformed program; ENOMEM
/// for one beyond net.core.optmem_max; EOPNOTSUPP where there is no such thing (MPTCP).
pub fn steer(lane: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> =
        program.iter().map(|one| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k }).collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from(Errno::INVAL))?;
    let description = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    nix::sys::socket::setsockopt(&lane.as_fd(), nix::sys::socket::sockopt::AttachReusePortCbpf, &description)?;
    Ok(())
}

/// The number that /proc/net/tcp and /proc/PID/fd show for a socket.
///
/// # Errors
/// That of fstat(2).
pub fn inode(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// What can be listened on or bound through a passed socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP, or a unix stream.
    Stream,
    /// UDP.
    Datagram,
    /// Anything else.
    Other,
}

/// The kind of a socket.
///
/// # Errors
/// ENOTSOCK if it is none.
pub fn kind(fd: impl AsFd) -> io::Result<Kind> {
    let kind = sockopt::socket_type(fd)?;
    Ok(match kind {
        SocketType::STREAM => Kind::Stream,
        SocketType::DGRAM => Kind::Datagram,
        _ => Kind::Other,
    })
}

/// A duplicate of the descriptor `number`, if this process was started with it: what it opened itself is close-on-exec
/// and is nobody's business.
///
/// # Errors
/// EBADF if it is not open, or not inherited.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is only used for the two calls below, which report EBADF if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// The index of a network interface by its name (`eth0`), for the zone of a link-local address.
///
/// # Errors
/// ENODEV if there is none.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let any = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(rustix::net::netdevice::name_to_index(any, name)?)
}
