//! Who may bind an address twice: a worker that has closed it in between, and one that sets SO_REUSEPORT itself. Any
//! other gets EADDRINUSE, as it would without us. For what Node asks over its channel the same rule is in
//! `Address::give` (`sockets::address`) and, for other addresses of the port, in `Sockets::join_of` (`sockets::any_port`).

use std::os::fd::OwnedFd;

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::Binds;
use crate::sockets::Sockets;
use crate::sockets::wanted::BindAddress;

impl Binds {
    /// Whether worker `who` may bind `socket` to an address that it may have bound before. Where it may not, the kernel
    /// is left to refuse it. `socket`: where we have a duplicate.
    pub(super) fn may_bind(
        &mut self,
        who: WorkerId,
        at: BindAddress,
        socket: Option<&OwnedFd>,
        sockets: &mut Sockets,
    ) -> bool {
        if !sockets.has_bound(who, at) {
            return true;
        }
        // A worker listened here before; what it closed again is free for it.
        let held = self.sockets(who);
        self.closed = sockets.leave_closed(who, at, &held);
        // Workers share a port, and not the programs of one worker, unless these want to.
        !sockets.has_open(who, at, &held) || socket.is_some_and(|socket| socket::joins(socket).unwrap_or(true))
    }
}
