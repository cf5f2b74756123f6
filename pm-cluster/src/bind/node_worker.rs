//! Workers that have Node's channel and bind beside it: their threads, and the processes that they start.

use std::net::SocketAddr;

use pm_common::kernel::procfs;
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::sys::other_process;
use pm_common::sys::socket::{self, Protocol};

use super::{Asked, Binds, Fanout};
use crate::sockets::Sockets;
use crate::sockets::wanted::BindAddress;

impl Binds {
    /// Whether workers that start are watched.
    #[must_use]
    pub(crate) fn watches(&self) -> bool {
        self.fanout != Fanout::Off
    }

    /// Has the workers watched that are started from here on.
    pub(crate) fn watch(&mut self, fanout: Fanout) {
        self.fanout = fanout;
    }

    /// Whether the `thread` is the one that speaks over the channel and knows what to do with it: what it binds by itself
    /// all the same is its own (`exclusive`). Node's other threads have no channel.
    pub(super) fn asks_us(&self, asked: &Asked, thread: i32) -> bool {
        let Some(channel) = self.watched.get(&asked.who).and_then(|watched| watched.channel) else { return false };
        thread == asked.process.0 && procfs::is_node(thread) && asked.process.was_given(channel)
    }

    /// Takes a listener of a worker that is not watched for a lane of it: the socket with this number in the process, which
    /// listens at `address`. Gives where it listens; `None`: it is not to be shared, or cannot be.
    pub(crate) fn take(
        &mut self,
        who: WorkerId,
        (pid, inode, address): (i32, u64, SocketAddr),
        sockets: &mut Sockets,
    ) -> Option<Listening> {
        let number = procfs::uses_of(pid, inode).all.first()?.number;
        let socket = other_process::take_descriptor(pid, number).ok()?;
        // The number may be another's by now. What joins others by itself is shared as it is.
        let same = socket::inode(&socket).is_ok_and(|found| found == inode);
        if !same || socket::joins(&socket).ok()? || socket::protocol(&socket).ok()? != Protocol::Tcp {
            return None;
        }
        let only_v6 = address.is_ipv6() && socket::is_only_v6(&socket).ok()?;
        let at = BindAddress { address, only_v6 };
        if !sockets.has_room(who, at) {
            return None;
        }
        sockets.adopt(who, at, socket, true, 0).ok()?;
        let address = sockets.at(at)?.clone();
        self.listens_at(who, &address);
        Some(address)
    }
}
