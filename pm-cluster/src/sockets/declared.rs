//! Addresses that are opened beforehand: they stay until the stop, and each worker is given its socket at its start.

use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use pm_common::policy::WorkerId;
use pm_common::sys::socket::{self, UnixName};

use super::Listeners;
use super::bound::LEAST_BACKLOG;
use crate::command::listen::Declared;
use crate::node::key::Wanted;
use crate::sockets::address::{Entry, Source};
use crate::sockets::unix::{self as paths, Access};

impl Listeners {
    /// Opens an address for all workers to come.
    ///
    /// # Errors
    /// That of bind(2), listen(2), chown(2) or chmod(2).
    pub fn declare(&mut self, what: &Declared) -> io::Result<()> {
        if let Some(source) = self.take_outside(&what.wanted(), self.own_mode()) {
            return self.insert_declared(source?);
        }
        let source = match what {
            Declared::Tcp(address) => {
                let (source, warning) = Source::tcp(*address, false, LEAST_BACKLOG, self.own_mode(), self.spread)?;
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
        self.entries.get_mut(id).ok_or(io::ErrorKind::NotFound)?.declared = true;
        Ok(())
    }

    /// The sockets that a worker is started with, and their addresses. They block, as those of systemd do.
    ///
    /// # Errors
    /// That of making or duplicating a socket.
    pub fn pass(&mut self, who: WorkerId) -> io::Result<Vec<(OwnedFd, String)>> {
        let standing = self.standing(who);
        let mut passed = Vec::new();
        let declared: Vec<u64> = self.entries.iter().filter(|(_, entry)| entry.declared).map(|(id, _)| *id).collect();
        for id in declared {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let lent = entry.make_for(who, standing, &mut self.warnings)?;
            if !lent.shared {
                socket::set_nonblocking(&lent.socket, false)?;
            }
            // It need not say that it listens: the socket does.
            entry.accepting(who);
            entry.reserved.insert(who);
            passed.push((lent.socket, entry.description.clone()));
            self.entries.note_sockets(id);
        }
        Ok(passed)
    }

    /// A declared address that answers a query: from now on it has that key.
    pub(super) fn declared_for(&mut self, key: &str, wanted: &Wanted) -> Option<u64> {
        let entries = self.entries.iter().filter(|(_, entry)| entry.declared && entry.key.starts_with("own "));
        let fits = |entry: &Entry| match wanted {
            Wanted::Tcp { address, otherwise, .. } => {
                [Some(*address), *otherwise].into_iter().flatten().any(|a| entry.description == format!("tcp:{a}"))
            }
            Wanted::Unix(UnixName::Path(path)) => entry.description == format!("unix:{}", path.display()),
            _ => false,
        };
        let id = entries.into_iter().find(|(_, entry)| fits(entry)).map(|(id, _)| *id)?;
        self.entries.rename(id, key);
        Some(id)
    }
}
