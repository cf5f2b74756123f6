//! Sockets that we were started with (systemd, podman, s6): the address of one is served from it as soon as a worker
//! wants that address, be it Node's query, a bind, or `--listen`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use pm_common::sys::passed::Passed;
use pm_common::sys::socket::{self, Kind, Local, UnixName};

use super::address::{self as entry, Source};
use super::bound::{LEAST_BACKLOG, Spot};
use super::{Listeners, Mode};
use crate::node::key::Wanted;
use crate::sockets::lanes::{self, Opened};

/// A socket that we were started with; ours are duplicates of it.
#[derive(Debug)]
pub(super) struct Outside {
    fd: BorrowedFd<'static>,
    /// As of an entry.
    description: String,
    /// A worker, or `--listen`, has asked for it; or it was said that nobody has.
    settled: bool,
}

impl Outside {
    fn inet(&self) -> Option<SocketAddr> {
        socket::local_inet(self.fd).ok()
    }

    fn is_datagram(&self) -> bool {
        socket::kind(self.fd).is_ok_and(|kind| kind == Kind::Datagram)
    }

    fn fits(&self, wanted: &Wanted) -> bool {
        let local = socket::local(self.fd).ok();
        let inet = |address: &SocketAddr, datagram| self.is_datagram() == datagram && self.inet() == Some(*address);
        match wanted {
            Wanted::Tcp { address, otherwise, .. } => {
                [Some(address), otherwise.as_ref()].into_iter().flatten().any(|address| inet(address, false))
            }
            Wanted::Udp(address, _) => inet(address, true),
            Wanted::Unix(name) => matches!(local, Some(Local::Unix(Some(bound))) if bound == *name),
            Wanted::Inherited { number, datagram } => self.fd.as_raw_fd() == *number && self.is_datagram() == *datagram,
        }
    }
}

impl Listeners {
    /// Has addresses served from these sockets.
    pub fn started_with(&mut self, passed: &[Passed]) {
        let bound = passed.iter().filter(|passed| socket::local(passed.fd).is_ok());
        let outside =
            |passed: &Passed| Outside { fd: passed.fd, description: entry::described(passed.fd), settled: false };
        self.outside.extend(bound.map(outside));
    }

    /// The connections of the socket that we were started with for this, if there is one that nobody has yet.
    pub(super) fn take_outside(&mut self, wanted: &Wanted, mode: Mode) -> Option<io::Result<Source>> {
        let entries = &self.entries;
        let free = |outside: &Outside| entries.values().all(|entry| entry.description != outside.description);
        let found = self.outside.iter_mut().find(|outside| outside.fits(wanted) && free(outside))?;
        found.settled = true;
        let (fd, datagram) = (found.fd, found.is_datagram());
        Some(self.around(fd, datagram, mode))
    }

    /// If we were started with a socket for this bind, it is an address as any other from now on.
    pub(super) fn look_outside(&mut self, spot: Spot) {
        if self.outside.is_empty() || self.entries.at(spot).is_some() {
            return;
        }
        let wanted = Wanted::Tcp { address: spot.address, otherwise: None, only_v6: spot.only_v6 };
        match self.take_outside(&wanted, self.own_mode()) {
            Some(Ok(source)) => _ = self.insert_own(source),
            Some(Err(_)) => {}
            None => self.note_elsewhere(spot.address),
        }
    }

    fn around(&mut self, fd: BorrowedFd<'static>, datagram: bool, mode: Mode) -> io::Result<Source> {
        let first = fd.try_clone_to_owned()?;
        if datagram {
            return Ok(Source::Shared { fd: first, claim: None });
        }
        socket::listen(&first, LEAST_BACKLOG)?;
        let address = match (mode, socket::local_inet(&first)) {
            (Mode::RoundRobin, _) => return Ok(Source::RoundRobin { fd: first, claim: None }),
            (Mode::Lanes, Ok(address)) => address,
            (Mode::Shared, _) | (Mode::Lanes, Err(_)) => return Ok(Source::Shared { fd: first, claim: None }),
        };
        let only_v6 = address.is_ipv6() && socket::is_only_v6(&first)?;
        let _ = socket::reuse_address(&first);
        match lanes::open_around(first, only_v6, LEAST_BACKLOG, self.spread)? {
            Opened::Lanes(lanes) => Ok(Source::Lanes(lanes)),
            Opened::Single(fd, reason) => {
                let what = "no lanes beside the socket that we were started with, its workers share it";
                self.warnings.push(format!("{what} address=tcp:{address} reason={reason}"));
                Ok(Source::Shared { fd, claim: None })
            }
        }
    }

    /// A worker wants this address: what we were started with may have its port, and another address.
    pub(super) fn note_elsewhere(&mut self, wanted: SocketAddr) {
        let on_port = |outside: &&mut Outside| outside.inet().is_some_and(|at| at.port() == wanted.port());
        let stream = self.outside.iter_mut().filter(|outside| !outside.settled && !outside.is_datagram());
        if let Some(outside) = stream.into_iter().find(|outside| on_port(outside)) {
            outside.settled = true;
            let socket = &outside.description;
            self.warnings.push(format!(
                "a worker listens on another address than the socket that we were started with address=tcp:{wanted} \
                 socket={socket}; have both agree (ListenStream= of the unit, or the program)"
            ));
        }
    }

    /// Says of each socket that we were started with and that nobody has asked for what can be done.
    pub fn note_unused(&mut self) {
        for outside in self.outside.iter_mut().filter(|outside| !outside.settled) {
            outside.settled = true;
            let remedy = match (outside.is_datagram(), socket::local(outside.fd)) {
                (false, Ok(Local::Inet(address))) => format!(", or hand it over with --listen {address}"),
                (false, Ok(Local::Unix(Some(UnixName::Path(path))))) => {
                    format!(", or hand it over with --listen unix:{}", path.display())
                }
                _ => String::new(),
            };
            let address = &outside.description;
            self.warnings.push(format!(
                "no worker has listened so far on a socket that we were started with address={address}; have the program \
                 listen there{remedy}"
            ));
        }
    }
}
