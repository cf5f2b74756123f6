//! What is asked for: by a query of Node's, by a bind, or beforehand.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use pm_common::policy::listening::Listening;
use pm_common::sys::socket::{UdpOptions, UnixName};

use super::unix::Access;

/// The shortest queue of a lane: what comes while its worker is being replaced waits there.
pub(super) const LEAST_BACKLOG: i32 = 1024;

/// What a worker asks for in Node's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name of the address in the protocol: two workers that ask for the same get the same.
    pub key: String,
    /// The sockets.
    pub wanted: Wanted,
    /// The port is the kernel's choice.
    pub any_port: bool,
    /// The length of the queue.
    pub backlog: i32,
    /// Who may use a unix socket.
    pub access: Access,
}

/// The sockets that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A TCP listener.
    Tcp {
        /// The address to bind; the unspecified IPv6 one where none was given.
        address: SocketAddr,
        /// Where that family is missing: the next to try.
        otherwise: Option<SocketAddr>,
        /// IPv6 only, not dual stack.
        only_v6: bool,
    },
    /// A UDP socket.
    Udp(SocketAddr, UdpOptions),
    /// A unix stream listener.
    Unix(UnixName),
    /// A descriptor that we were started with.
    Inherited {
        /// Its number in our table.
        number: i32,
        /// The number is to be of a UDP socket, else of a stream listener.
        datagram: bool,
    },
}

impl Wanted {
    /// Whether nobody can bind it, as a link-local address needs its zone (ipv6(7)): it is asked for by who looks on all
    /// addresses of the machine whether a port is free (get-port), and is no news.
    pub(super) fn lacks_zone(&self) -> bool {
        let Self::Tcp { address: SocketAddr::V6(at), .. } = self else { return false };
        at.ip().is_unicast_link_local() && at.scope_id() == 0
    }

    /// The port, where there is one; 0 is the kernel's choice.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { address, .. } | Self::Udp(address, _) => Some(address.port()),
            Self::Unix(_) | Self::Inherited { .. } => None,
        }
    }
}

/// A TCP address as a program binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindAddress {
    /// The address; its port is not 0.
    pub address: SocketAddr,
    /// Of an IPv6 address: no IPv4 connections.
    pub only_v6: bool,
}

/// An address to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// `[HOST]:PORT`
    Tcp(SocketAddr),
    /// `unix:PATH[,mode=OCTAL][,owner=USER[:GROUP]]`
    Unix {
        /// Where.
        path: PathBuf,
        /// Its permissions, if not what the umask leaves.
        mode: Option<u32>,
        /// Whose it is, if not ours.
        owner: Option<(u32, Option<u32>)>,
    },
}

impl Declared {
    /// Where it listens.
    pub(super) fn at(&self) -> Listening {
        match self {
            Self::Tcp(address) => Listening::Tcp(*address),
            Self::Unix { path, .. } => Listening::Unix(UnixName::Path(path.clone())),
        }
    }

    /// This address in the form in which a worker would ask for it.
    pub(super) fn wanted(&self) -> Wanted {
        match self {
            Self::Tcp(address) => Wanted::Tcp { address: *address, otherwise: None, only_v6: false },
            Self::Unix { path, .. } => Wanted::Unix(UnixName::Path(path.clone())),
        }
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at().fmt(f)
    }
}
