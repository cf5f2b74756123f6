//! Where the connections of an address come from, and how such sockets are made.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pm_common::policy::listening::Listening;
use pm_common::sys::socket::{self, EACCES, EADDRINUSE, EBADF, EINVAL, Join, Kind, Local};

use super::lanes::{self, Lanes, Opened};
use super::unix::{self, Access, Claim};
use super::wanted::{BindAddress, LEAST_BACKLOG, Wanted};
use super::warnings::Warnings;

/// How connections reach the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The kernel spreads them over one socket for each worker.
    #[default]
    Lanes,
    /// All workers accept from one socket.
    Shared,
    /// We accept, and pass each connection to a worker in turn.
    RoundRobin,
}

/// Where the connections of an address come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A socket for each worker.
    Lanes(Lanes),
    /// One socket for all workers.
    Shared {
        /// The socket.
        fd: OwnedFd,
        /// Its path, if it is a unix socket that we bound.
        claim: Option<Claim>,
    },
    /// One socket from which we accept.
    RoundRobin {
        /// The socket.
        fd: OwnedFd,
        /// Its path, if it is a unix socket.
        claim: Option<Claim>,
    },
}

/// How sockets are made.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) mode: Mode,
    /// The clients of one address stay with one slot.
    pub(super) sticky: bool,
    /// A worker ends before the next one of its slot starts.
    pub(super) ends_first: bool,
    /// Whether lanes may be bound although other lanes of ours are in their way.
    pub(super) join: Join,
    pub(super) warnings: Warnings,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            sticky: false,
            ends_first: false,
            join: Join::Alone,
            warnings: Warnings::default(),
        }
    }
}

impl Manner {
    /// For workers that have the socket itself, and accept from it: we do not.
    pub(super) fn of_binds(&self) -> Self {
        let mode = if self.mode == Mode::Shared { Mode::Shared } else { Mode::Lanes };
        Self { mode, ..self.clone() }
    }

    /// Makes the sockets that are asked for. What cannot have lanes shares one socket: that is said once, here.
    ///
    /// # Errors
    /// With the errno that Node would give.
    pub(super) fn open(&self, wanted: &Wanted, backlog: i32, access: Access) -> io::Result<Source> {
        match *wanted {
            Wanted::Tcp { address, otherwise, only_v6 } => {
                let one = |address| self.tcp(BindAddress { address, only_v6 }, backlog);
                match (one(address), otherwise) {
                    (Err(error), Some(other)) if !final_word(&error) => one(other),
                    (result, _) => result,
                }
            }
            Wanted::Udp(address, options) => Ok(Source::shared(socket::udp_bound(address, options)?)),
            Wanted::Unix(ref name) => {
                let (fd, claim) = unix::listen(name, backlog, access)?;
                Ok(self.single(fd, claim))
            }
            Wanted::Inherited { number, datagram } => Ok(Source::shared(passed(number, datagram)?)),
        }
    }

    /// The lanes of an address, of which there is none yet.
    pub(super) fn lanes(&self, at: BindAddress, backlog: i32) -> Lanes {
        Lanes::of_workers(at, backlog, &self.warnings).sticking(self.sticky).ending_first(self.ends_first)
    }

    /// Makes the sockets of a TCP address.
    ///
    /// # Errors
    /// Those of the first socket.
    pub(super) fn tcp(&self, at: BindAddress, backlog: i32) -> io::Result<Source> {
        if self.mode == Mode::Lanes {
            let what = "an address cannot have lanes, its workers share one socket";
            return Ok(self.or_shared(lanes::open(self.lanes(at, backlog), self.join)?, at.address, what));
        }
        let fd = socket::tcp_bound(at.address, at.only_v6, Join::Alone)?;
        socket::listen(&fd, backlog)?;
        Ok(self.single(fd, None))
    }

    /// Serves an address from a socket that is bound already.
    ///
    /// # Errors
    /// That of listening on it, and of looking at it.
    pub(super) fn around(&self, first: OwnedFd, datagram: bool) -> io::Result<Source> {
        if datagram {
            return Ok(Source::shared(first));
        }
        socket::listen(&first, LEAST_BACKLOG)?;
        let Some(address) = socket::local_inet(&first).ok().filter(|_| self.mode == Mode::Lanes) else {
            return Ok(self.single(first, None));
        };
        let only_v6 = address.is_ipv6() && socket::is_only_v6(&first)?;
        let _ = socket::reuse_address(&first);
        let opened = lanes::open_around(first, self.lanes(BindAddress { address, only_v6 }, LEAST_BACKLOG))?;
        let what = "no lanes beside the socket that we were started with, its workers share it";
        Ok(self.or_shared(opened, address, what))
    }

    fn or_shared(&self, opened: Opened, address: SocketAddr, what: &str) -> Source {
        match opened {
            Opened::Lanes(lanes) => Source::Lanes(lanes),
            Opened::Single(fd, reason) => {
                self.warnings.push(format!("{what} address=tcp:{address} reason={reason}"));
                Source::shared(fd)
            }
        }
    }

    fn single(&self, fd: OwnedFd, claim: Option<Claim>) -> Source {
        if self.mode == Mode::RoundRobin { Source::RoundRobin { fd, claim } } else { Source::Shared { fd, claim } }
    }
}

impl Source {
    /// One socket for all workers, that is no path of ours.
    pub(super) const fn shared(fd: OwnedFd) -> Self {
        Self::Shared { fd, claim: None }
    }

    /// The lanes, if it has any.
    pub(super) const fn lanes(&self) -> Option<&Lanes> {
        if let Self::Lanes(lanes) = self { Some(lanes) } else { None }
    }

    /// The lanes, if it has any, to be changed.
    pub(super) const fn lanes_mut(&mut self) -> Option<&mut Lanes> {
        if let Self::Lanes(lanes) = self { Some(lanes) } else { None }
    }

    /// Its path, if it is a unix socket that we bound.
    pub(super) const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Lanes(_) => None,
            Self::Shared { claim, .. } | Self::RoundRobin { claim, .. } => claim.as_ref(),
        }
    }

    /// Where it listens.
    pub(super) fn at(&self) -> Listening {
        match self {
            Self::Lanes(lanes) => Listening::Tcp(lanes.address()),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => listening(fd),
        }
    }

    /// The sockets that connections come to.
    pub(super) fn streams(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Lanes(lanes) => lanes.sockets_of_all().collect(),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => {
                let is_stream = socket::kind(fd).is_ok_and(|kind| kind == Kind::Stream);
                is_stream.then(|| fd.as_fd()).into_iter().collect()
            }
        }
    }

    pub(super) fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Lanes(lanes) => Some(lanes.address()),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => socket::local_inet(fd).ok(),
        }
    }
}

/// Where a socket listens.
pub(super) fn listening(fd: impl AsFd) -> Listening {
    let fd = &fd;
    match (socket::local(fd), socket::kind(fd)) {
        (Ok(Local::Inet(address)), Ok(Kind::Datagram)) => Listening::Udp(address),
        (Ok(Local::Inet(address)), _) => Listening::Tcp(address),
        (Ok(Local::Unix(Some(name))), _) => Listening::Unix(name),
        (Ok(Local::Unix(None)) | Err(_), _) => Listening::Unknown,
    }
}

/// Errors for which another address family is no remedy.
fn final_word(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EADDRINUSE | EACCES))
}

/// A socket that we were started with. It may be listening already; the worker listens anyway.
fn passed(number: i32, datagram: bool) -> io::Result<OwnedFd> {
    // Node takes a number that is no open descriptor for an argument that makes no sense.
    let fd = socket::inherited(number).map_err(|error| match error.raw_os_error() {
        Some(EBADF) => io::Error::from_raw_os_error(EINVAL),
        _ => error,
    })?;
    let wanted = if datagram { Kind::Datagram } else { Kind::Stream };
    if socket::kind(&fd)? == wanted { Ok(fd) } else { Err(io::Error::from_raw_os_error(EINVAL)) }
}
