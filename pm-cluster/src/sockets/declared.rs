//! Addresses that are opened beforehand: they stay until the stop, and each worker is given its socket at its start.

use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::sys::socket::{self, UnixName};

use super::Sockets;
use super::address::Address;
use super::source::Source;
use super::unix::{self, Access};
use super::wanted::{BindAddress, Declared, LEAST_BACKLOG, Wanted};

impl Sockets {
    /// Opens an address for all workers to come.
    ///
    /// # Errors
    /// That of bind(2), listen(2), chown(2) or chmod(2).
    pub fn declare(&mut self, what: &Declared) -> io::Result<()> {
        let manner = self.manner.of_binds();
        let source = match (self.take_outside(&what.wanted(), &manner), what) {
            (Some(source), _) => source?,
            (None, Declared::Tcp(address)) => {
                manner.tcp(BindAddress { address: *address, only_v6: false }, LEAST_BACKLOG)?
            }
            (None, Declared::Unix { path, mode, owner }) => {
                let access = Access { readable_all: false, writable_all: false };
                let (fd, claim) = unix::listen(&UnixName::Path(path.clone()), LEAST_BACKLOG, access)?;
                if let Some((user, group)) = owner {
                    std::os::unix::fs::chown(path, Some(*user), *group)?;
                }
                if let Some(mode) = mode {
                    std::fs::set_permissions(path, Permissions::from_mode(*mode))?;
                }
                Source::Shared { fd, claim }
            }
        };
        let id = self.insert(None, source, false);
        self.addresses.get_mut(id).ok_or(io::ErrorKind::NotFound)?.declared = true;
        Ok(())
    }

    /// The sockets that a worker is started with, and their addresses. They block, as those of systemd do.
    ///
    /// # Errors
    /// That of making or duplicating a socket.
    pub fn pass(&mut self, who: WorkerId) -> io::Result<Vec<(OwnedFd, Listening)>> {
        let standing = self.standing(who);
        let mut passed = Vec::new();
        let declared: Vec<u64> =
            self.addresses.iter().filter(|(_, address)| address.declared).map(|(id, _)| *id).collect();
        for id in declared {
            let Some(address) = self.addresses.get_mut(id) else { continue };
            address.open_again();
            let given = address.give_made(who, standing)?;
            if !given.shared {
                socket::set_nonblocking(&given.socket, false)?;
            }
            // The worker need not say that it listens: the socket does.
            address.accepting(who);
            address.reserved.insert(who);
            passed.push((given.socket, address.at.clone()));
            self.addresses.note_sockets(id);
        }
        Ok(passed)
    }

    /// A declared address that answers a query: from now on it has that key.
    pub(super) fn declared_for(&mut self, key: &str, wanted: &Wanted) -> Option<u64> {
        let mut unnamed = self.addresses.iter().filter(|(_, address)| address.declared && address.key.is_none());
        let fits = |address: &Address| match wanted {
            Wanted::Tcp { address: wanted, otherwise, .. } => {
                [Some(*wanted), *otherwise].into_iter().flatten().any(|a| address.at.tcp() == Some(a))
            }
            Wanted::Unix(name) => matches!(&address.at, Listening::Unix(at) if at == name),
            _ => false,
        };
        let id = unnamed.find(|(_, address)| fits(address)).map(|(id, _)| *id)?;
        self.addresses.name(id, key);
        Some(id)
    }
}
