//! What becomes of a socket that listens: the kernel has only bound it so far, or it is one of ours.

use std::collections::VecDeque;

use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::sys::socket;

use super::{Asked, Binds};
use crate::sockets::Sockets;
use crate::sockets::wanted::BindAddress;

impl Binds {
    pub(super) fn on_listen(
        &mut self,
        asked: &Asked,
        backlog: i32,
        sockets: &mut Sockets,
        events: &mut VecDeque<Event>,
    ) -> Option<Result<(), i32>> {
        let inode = asked.process.inode(asked.fd)?;
        if !self.waits(asked) {
            return None;
        }
        if sockets.knows(inode) {
            if let Err(error) = sockets.listen_again(inode) {
                return Some(Err(error.raw_os_error().unwrap_or(socket::EINVAL)));
            }
            let address = sockets.listens_on(asked.who, inode)?;
            return self.listening(asked, address, events);
        }
        let socket = self.duplicate(asked)?;
        let bound = socket::local_inet(&socket).ok()?;
        if !self.waits(asked) {
            return None;
        }
        let Some(pending) = self.watched.get_mut(&asked.who)?.pending.take(inode, bound) else {
            events.extend(self.is_misled(asked.who, bound, sockets).then_some(Event::Misled(asked.who)));
            return None;
        };
        let only_v6 = bound.is_ipv6() && socket::is_only_v6(&socket).unwrap_or(false);
        let at = BindAddress { address: bound, only_v6 };
        if let Some(address) = pending.lane.then(|| self.give_at_listen(asked, at, pending, sockets)).flatten() {
            return self.listening(asked, address, events);
        }
        match sockets.adopt(asked.who, at, socket, pending.lane, backlog) {
            Err(error) => return Some(Err(error.raw_os_error().unwrap_or(socket::EINVAL))),
            Ok(Some(given)) => {
                self.put(asked, &given, &asked.process.uses(inode).all)?.ok()?;
            }
            Ok(None) => {}
        }
        self.listening(asked, sockets.at(at)?.clone(), events)
    }

    /// A program that finds that the socket which it was given listens already does not call listen.
    pub(super) fn on_listens(&mut self, asked: &Asked, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let inode = asked.process.inode(asked.fd).filter(|inode| sockets.knows(*inode) && self.waits(asked));
        if let Some(address) = inode.and_then(|inode| sockets.listens_on(asked.who, inode)) {
            self.listening(asked, address, events);
        }
    }

    fn listening(
        &mut self,
        asked: &Asked,
        address: Listening,
        events: &mut VecDeque<Event>,
    ) -> Option<Result<(), i32>> {
        self.listens_at(asked.who, &address);
        events.push_back(Event::Listening { id: asked.who, address, fixed: true });
        Some(Ok(()))
    }
}
