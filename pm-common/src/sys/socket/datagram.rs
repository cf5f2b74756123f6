//! UDP sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::inet;

/// The options of a UDP socket, as libuv's flags have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UdpOptions {
    /// IPV6_V6ONLY; unset leaves the system's default.
    pub only_v6: bool,
    /// SO_REUSEADDR
    pub reuse_address: bool,
    /// SO_REUSEPORT
    pub reuse_port: bool,
}

/// A bound UDP socket.
///
/// # Errors
/// That of socket(2), setsockopt(2) or bind(2); EINVAL for `only_v6` with IPv4, as libuv.
pub fn udp_bound(address: SocketAddr, options: UdpOptions) -> io::Result<OwnedFd> {
    if options.only_v6 && !address.is_ipv6() {
        return Err(Errno::INVAL.into());
    }
    let fd = inet(address, SocketType::DGRAM)?;
    if options.only_v6 {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    if options.reuse_address {
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    if options.reuse_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}
