//! Sockets that we were started with (systemd, podman, s6): the address of one is served from it as soon as a worker
//! wants that address, be it Node's query, a bind, or `--listen`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use pm_common::policy::listening::Listening;
use pm_common::sys::listen_fds::Passed;
use pm_common::sys::socket::{self, Kind, Local, UnixName};

use super::Sockets;
use super::source::{self, Manner, Source};
use super::wanted::{BindAddress, Wanted};

/// A socket that we were started with; ours are duplicates of it.
#[derive(Debug)]
pub(super) struct Outside {
    fd: BorrowedFd<'static>,
    /// As that of an address.
    at: Listening,
    /// A worker, or `--listen`, has asked for it; or it was said that nobody has.
    settled: bool,
}

impl Outside {
    /// Whether it is bound there.
    pub(super) fn is_at(&self, at: &Listening) -> bool {
        self.at == *at
    }

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

impl Sockets {
    /// Has addresses served from these sockets.
    pub fn started_with(&mut self, passed: &[Passed]) {
        let bound = passed.iter().filter(|passed| socket::local(passed.fd).is_ok());
        let outside = |passed: &Passed| Outside { fd: passed.fd, at: source::listening(passed.fd), settled: false };
        self.outside.extend(bound.map(outside));
    }

    /// The connections of the socket that we were started with for this, if there is one that nobody has yet.
    pub(super) fn take_outside(&mut self, wanted: &Wanted, manner: &Manner) -> Option<io::Result<Source>> {
        let known = &self.addresses;
        let free = |outside: &Outside| known.values().all(|address| address.at != outside.at);
        let found = self.outside.iter_mut().find(|outside| outside.fits(wanted) && free(outside))?;
        found.settled = true;
        Some(found.fd.try_clone_to_owned().and_then(|fd| manner.around(fd, found.is_datagram())))
    }

    /// If we were started with a socket for this bind, it is an address as any other from now on.
    pub(super) fn look_outside(&mut self, at: BindAddress) {
        if self.outside.is_empty() || self.addresses.at(at).is_some() {
            return;
        }
        let wanted = Wanted::Tcp { address: at.address, otherwise: None, only_v6: at.only_v6 };
        match self.take_outside(&wanted, &self.manner.of_binds()) {
            Some(Ok(source)) => _ = self.insert(None, source, false),
            Some(Err(_)) => {}
            None => self.note_elsewhere(at.address),
        }
    }

    /// A worker wants this address: what we were started with may have its port, and another address.
    pub(super) fn note_elsewhere(&mut self, wanted: SocketAddr) {
        let on_port = |outside: &&mut Outside| outside.inet().is_some_and(|at| at.port() == wanted.port());
        let stream = self.outside.iter_mut().filter(|outside| !outside.settled && !outside.is_datagram());
        if let Some(outside) = stream.into_iter().find(|outside| on_port(outside)) {
            outside.settled = true;
            let socket = &outside.at;
            self.manner.warnings.push(format!(
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
            let address = &outside.at;
            self.manner.warnings.push(format!(
                "no worker has listened so far on a socket that we were started with address={address}; have the program \
                 listen there{remedy}"
            ));
        }
    }
}
