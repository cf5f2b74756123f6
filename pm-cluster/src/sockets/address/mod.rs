//! One address of a cluster: where its connections come from, and which workers have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pm_common::policy::WorkerId;
use pm_common::policy::steering::Spread;
use pm_common::sys::socket::{self, EACCES, EADDRINUSE, EBADF, EINVAL, Join, Kind, Local, UnixName};
use serde_json::Value;

use crate::node::key::Wanted;
use crate::sockets::lanes::{self, Lanes, Opened, Standing};
use crate::sockets::unix::{self as paths, Access, Claim};
use crate::sockets::{How, Mode};
use pm_common::node::query::Query;

mod bound;

pub use bound::Lent;

/// Where the connections of an address come from.
#[derive(Debug)]
pub enum Source {
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

impl Source {
    /// Makes the sockets that a query asks for. What cannot have lanes shares one socket: that is said once, here.
    ///
    /// # Errors
    /// With the errno that Node would give.
    pub fn open(
        wanted: &Wanted,
        query: &Query,
        mode: Mode,
        spread: Spread,
        warnings: &mut Vec<String>,
    ) -> io::Result<Self> {
        match *wanted {
            Wanted::Tcp { address, otherwise, only_v6 } => {
                let one = |address| tcp(address, only_v6, query.backlog, mode, spread);
                let opened = match (one(address), otherwise) {
                    (Err(error), Some(other)) if !final_word(&error) => one(other),
                    (result, _) => result,
                };
                opened.map(|(source, warning)| {
                    warnings.extend(warning);
                    source
                })
            }
            Wanted::Udp(address, options) => Ok(Self::Shared { fd: socket::udp_bound(address, options)?, claim: None }),
            Wanted::Unix(ref name) => unix(name, query, mode),
            Wanted::Inherited { number, datagram } => Ok(Self::Shared { fd: passed(number, datagram)?, claim: None }),
        }
    }

    /// The sockets of a TCP address, and what is to be said of them.
    ///
    /// # Errors
    /// Those of the first socket.
    pub fn tcp(
        address: SocketAddr,
        only_v6: bool,
        backlog: i32,
        mode: Mode,
        spread: Spread,
    ) -> io::Result<(Self, Option<String>)> {
        tcp(address, only_v6, backlog, mode, spread)
    }

    /// `tcp:127.0.0.1:3000`, `udp:[::]:53`, `unix:/path`, `unix:@abstract`.
    fn description(&self) -> String {
        let fd = match self {
            Self::Lanes(lanes) => return format!("tcp:{}", lanes.address()),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => fd,
        };
        described(fd)
    }

    /// The sockets that connections come to.
    pub fn streams(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Lanes(lanes) => lanes.sockets_of_all().collect(),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => {
                let is_stream = socket::kind(fd).is_ok_and(|kind| kind == Kind::Stream);
                is_stream.then(|| fd.as_fd()).into_iter().collect()
            }
        }
    }

    fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Lanes(lanes) => Some(lanes.address()),
            Self::Shared { fd, .. } | Self::RoundRobin { fd, .. } => socket::local_inet(fd).ok(),
        }
    }
}

/// The address of a socket, as that of a source.
pub(crate) fn described(fd: impl AsFd) -> String {
    let fd = &fd;
    match (socket::local(fd), socket::kind(fd)) {
        (Ok(Local::Inet(address)), Ok(Kind::Datagram)) => format!("udp:{address}"),
        (Ok(Local::Inet(address)), _) => format!("tcp:{address}"),
        (Ok(Local::Unix(Some(UnixName::Path(path)))), _) => format!("unix:{}", path.display()),
        (Ok(Local::Unix(Some(UnixName::Abstract(name)))), _) => format!("unix:@{}", String::from_utf8_lossy(&name)),
        (Ok(Local::Unix(None)) | Err(_), _) => "unknown".to_owned(),
    }
}

/// Errors for which another address family is no remedy.
fn final_word(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EADDRINUSE | EACCES))
}

type WithWarning = (Source, Option<String>);

fn tcp(address: SocketAddr, only_v6: bool, backlog: i32, mode: Mode, spread: Spread) -> io::Result<WithWarning> {
    if mode == Mode::Lanes {
        return Ok(match lanes::open(address, only_v6, backlog, spread)? {
            Opened::Lanes(lanes) => (Source::Lanes(lanes), None),
            Opened::Single(fd, reason) => {
                let what = "an address cannot have lanes, its workers share one socket";
                let warning = format!("{what} address=tcp:{address} reason={reason}");
                (Source::Shared { fd, claim: None }, Some(warning))
            }
        });
    }
    let fd = socket::tcp_bound(address, only_v6, Join::Alone)?;
    socket::listen(&fd, backlog)?;
    let claim = None;
    Ok((if mode == Mode::Shared { Source::Shared { fd, claim } } else { Source::RoundRobin { fd, claim } }, None))
}

fn unix(name: &UnixName, query: &Query, mode: Mode) -> io::Result<Source> {
    let access = Access { readable_all: query.readable_all, writable_all: query.writable_all };
    let (fd, claim) = paths::listen(name, query.backlog, access)?;
    Ok(if mode == Mode::RoundRobin { Source::RoundRobin { fd, claim } } else { Source::Shared { fd, claim } })
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

/// One address and its workers.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the protocol.
    pub key: String,
    /// What the first worker said to all.
    pub data: Value,
    /// For messages and the status.
    pub description: String,
    /// Its connections.
    pub source: Source,
    /// The port was the kernel's choice.
    pub any_port: bool,
    /// It was opened beforehand, and stays until the stop.
    pub declared: bool,
    /// Workers that were given their socket at the start, and have not asked for it.
    pub reserved: BTreeSet<WorkerId>,
    /// Who has it open, and whether it accepts by now.
    workers: BTreeMap<WorkerId, bool>,
    /// The slots whose workers had it, as long as a next one is expected.
    slots: BTreeSet<u32>,
}

impl Entry {
    /// An address that no worker has yet.
    #[must_use]
    pub fn new(key: &str, source: Source, any_port: bool) -> Self {
        let description = source.description();
        let (workers, slots) = (BTreeMap::new(), BTreeSet::new());
        Self {
            key: key.to_owned(),
            data: Value::Null,
            description,
            source,
            any_port,
            declared: false,
            reserved: BTreeSet::new(),
            workers,
            slots,
        }
    }

    /// Gives a worker its means to accept.
    ///
    /// # Errors
    /// EADDRINUSE if it has this address open; that of making or duplicating a socket.
    pub fn give(&mut self, who: WorkerId, standing: Standing, warnings: &mut Vec<String>) -> io::Result<How> {
        let reserved = self.reserved.remove(&who);
        if self.workers.contains_key(&who) && !reserved {
            return Err(io::Error::from_raw_os_error(EADDRINUSE));
        }
        let how = match &mut self.source {
            // It does not accept yet, even if it is ready.
            Source::Lanes(lanes) if reserved => How::Handle(lanes.held(who).ok_or(io::ErrorKind::NotFound)?),
            Source::Lanes(lanes) => How::Handle(lanes.give(who, not_yet(standing), warnings)?),
            Source::Shared { fd, .. } => How::Handle(fd.try_clone()?),
            Source::RoundRobin { fd, .. } => How::RoundRobin(socket::local_inet(fd).ok()),
        };
        if let Source::Shared { claim: Some(claim), .. } | Source::RoundRobin { claim: Some(claim), .. } = &self.source
        {
            claim.keep_reachable();
        }
        self.workers.insert(who, false);
        self.slots.insert(who.slot);
        Ok(how)
    }

    /// The worker listens now.
    pub fn accepting(&mut self, who: WorkerId) {
        if let Some(accepts) = self.workers.get_mut(&who) {
            *accepts = true;
        }
    }

    /// The workers that listen.
    pub fn accepting_workers(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(|(_, accepts)| **accepts).map(|(&who, _)| who)
    }

    /// Whether this worker listens.
    #[must_use]
    pub fn is_accepted_by(&self, who: WorkerId) -> bool {
        self.workers.get(&who) == Some(&true)
    }

    /// Steers by what the worker is for now, and by whether it accepts here.
    pub fn stand(&mut self, who: WorkerId, standing: Standing, warnings: &mut Vec<String>) {
        let Some(&accepts) = self.workers.get(&who) else { return };
        if let Source::Lanes(lanes) = &mut self.source {
            lanes.set(who, if accepts { standing } else { not_yet(standing) }, warnings);
        }
    }

    /// The worker has closed its copy, or is dead.
    pub fn leave(&mut self, who: WorkerId, warnings: &mut Vec<String>) {
        self.reserved.remove(&who);
        if self.workers.remove(&who).is_none() {
            return;
        }
        if let Source::Lanes(lanes) = &mut self.source {
            lanes.vacate(who, warnings);
        }
    }

    /// No next worker of the slot is expected here.
    pub fn release_slot(&mut self, slot: u32, warnings: &mut Vec<String>) {
        if !self.slots.remove(&slot) {
            return;
        }
        if let Source::Lanes(lanes) = &mut self.source {
            lanes.release_slot(slot, warnings);
        }
    }

    /// The same after a close, unless another worker of the slot has the address open.
    pub fn forget_slot_of(&mut self, who: WorkerId, warnings: &mut Vec<String>) {
        if self.workers.keys().all(|other| other.slot != who.slot) {
            self.release_slot(who.slot, warnings);
        }
    }

    /// No next worker of any slot is expected here.
    pub fn forget_slots(&mut self, warnings: &mut Vec<String>) {
        for slot in self.slots.clone() {
            self.release_slot(slot, warnings);
        }
    }

    /// The lanes that no worker holds, with the slot whose next worker is to get it.
    pub fn unattended(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, Option<u32>)> {
        let lanes = if let Source::Lanes(lanes) = &self.source { Some(lanes) } else { None };
        lanes.into_iter().flat_map(Lanes::unattended)
    }

    /// The port it is bound to.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.source.inet().map(|address| address.port())
    }

    /// A worker of this slot has had it, and its next one may want it.
    #[must_use]
    pub fn is_known_to(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }

    /// Nobody has it open.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.workers.is_empty() && !self.declared
    }

    /// Nobody has it open, and nobody is expected to.
    #[must_use]
    pub fn unwanted(&self) -> bool {
        self.idle() && self.slots.is_empty()
    }
}

/// A worker that does not accept here can drain here, but not serve.
fn not_yet(standing: Standing) -> Standing {
    if standing == Standing::InService { Standing::Waiting } else { standing }
}
