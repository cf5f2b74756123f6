//! Addresses that are opened beforehand: they stay until the stop, and each worker is given its socket at its start.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use pm_common::policy::WorkerId;
use pm_common::sys::passed;
use pm_common::sys::socket::{self, UnixName};

use super::own::LEAST_BACKLOG;
use super::{Listeners, Mode};
use crate::address::Wanted;
use crate::declared::Declared;
use crate::entry::{Entry, Source};
use crate::lanes::{self, Opened};
use crate::paths::{self, Access};

/// More sockets than these are not looked through.
const MOST_PASSED: u32 = 256;

/// The socket bound to this address among those that we were started with (sd_listen_fds(3)).
fn inherited(address: SocketAddr) -> Option<OwnedFd> {
    let number = |key: &str| std::env::var(key).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID") == Some(std::process::id());
    let count = number("LISTEN_FDS").filter(|_| ours).and_then(|n| i32::try_from(n.min(MOST_PASSED)).ok())?;
    let all = (passed::FIRST..passed::FIRST + count).filter_map(|number| socket::inherited(number).ok());
    all.into_iter().find(|fd| socket::local_inet(fd).is_ok_and(|bound| bound == address))
}

impl Listeners {
    /// Opens an address for all workers to come.
    ///
    /// # Errors
    /// That of bind(2), listen(2), chown(2) or chmod(2).
    pub fn declare(&mut self, what: &Declared) -> io::Result<()> {
        let source = match what {
            Declared::Tcp(address) => {
                if let Some(first) = inherited(*address) {
                    return self.declare_inherited(first, *address);
                }
                let mode = if self.mode == Mode::Shared { Mode::Shared } else { Mode::Lanes };
                let (source, warning) = Source::tcp(*address, false, LEAST_BACKLOG, mode, self.spread)?;
                self.warnings.extend(warning);
                source
            }
            Declared::Unix { path, mode, owner } => {
                let access = Access { readable_all: false, writable_all: false };
                let (fd, claim) = paths::listen(&UnixName::Path(path.clone()), LEAST_BACKLOG, access)?;
                if let Some((user, group)) = owner {
                    std::os::unix::fs::chown(path, Some(*user), *group)?;
                }
                if let Some(mode) = mode {
                    std::fs::set_permissions(path, Permissions::from_mode(*mode))?;
                }
                Source::Shared { fd, claim }
            }
        };
        self.insert_declared(source)
    }

    fn insert_declared(&mut self, source: Source) -> io::Result<()> {
        let id = self.insert_own(source);
        self.entries.get_mut(&id).ok_or(io::ErrorKind::NotFound)?.declared = true;
        Ok(())
    }

    /// A socket that we were started with: a lane, if another can be bound beside it; else the one of all.
    fn declare_inherited(&mut self, first: OwnedFd, address: SocketAddr) -> io::Result<()> {
        socket::listen(&first, LEAST_BACKLOG)?;
        let only_v6 = address.is_ipv6() && socket::is_only_v6(&first)?;
        let _ = socket::reuse_address(&first);
        if self.mode == Mode::Shared {
            return self.insert_declared(Source::Shared { fd: first, claim: None });
        }
        let source = match lanes::open_around(first, only_v6, LEAST_BACKLOG, self.spread)? {
            Opened::Lanes(lanes) => Source::Lanes(lanes),
            Opened::Single(fd, reason) => {
                let what = "no lanes beside the socket that we were started with, its workers share it";
                self.warnings.push(format!("{what} address=tcp:{address} reason={reason}"));
                Source::Shared { fd, claim: None }
            }
        };
        self.insert_declared(source)
    }

    /// The sockets that a worker is started with, and their addresses. They block, as those of systemd do.
    ///
    /// # Errors
    /// That of making or duplicating a socket.
    pub fn pass(&mut self, who: WorkerId) -> io::Result<Vec<(OwnedFd, String)>> {
        let standing = self.standing(who);
        let mut passed = Vec::new();
        for entry in self.entries.values_mut().filter(|entry| entry.declared) {
            let lent = entry.make_for(who, standing, &mut self.warnings)?;
            if !lent.shared {
                socket::set_nonblocking(&lent.socket, false)?;
            }
            // It need not say that it listens: the socket does.
            entry.accepting(who);
            entry.reserved.insert(who);
            passed.push((lent.socket, entry.description.clone()));
        }
        Ok(passed)
    }

    /// A declared address that answers a query: from now on it has that key.
    pub(super) fn declared_for(&mut self, key: &str, wanted: &Wanted) -> Option<u64> {
        let entries = self.entries.iter_mut().filter(|(_, entry)| entry.declared && entry.key.starts_with("own "));
        let fits = |entry: &Entry| match wanted {
            Wanted::Tcp { address, otherwise, .. } => {
                [Some(*address), *otherwise].into_iter().flatten().any(|a| entry.description == format!("tcp:{a}"))
            }
            Wanted::Unix(UnixName::Path(path)) => entry.description == format!("unix:{}", path.display()),
            _ => false,
        };
        let (id, entry) = entries.into_iter().find(|(_, entry)| fits(entry))?;
        key.clone_into(&mut entry.key);
        Some(*id)
    }
}
