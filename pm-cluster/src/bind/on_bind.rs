//! The answer to a bind: the program's socket is bound, and goes on as a lane when it listens, or one of ours takes its place.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use pm_common::kernel::procfs::Descriptor;
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::sys::{other_process, socket};

use super::decide::{self, Bind, Pending, Verdict};
use super::{Asked, Binds, LONGEST_ADDRESS};
use crate::sockets::wanted::BindAddress;
use crate::sockets::{self, BindGrant, Duplicate, MOST_OF_A_SLOT, Sockets};

/// The ports from here on take no right (`ip_unprivileged_port_start`, ip(7)).
const FIRST_FOR_ALL: u16 = 1024;

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

impl Binds {
    /// `None`: the kernel does what was asked for.
    pub(super) fn on_bind(
        &mut self,
        asked: &Asked,
        memory: (i32, usize, usize),
        sockets: &mut Sockets,
    ) -> Option<Result<(), i32>> {
        let address = self.address(asked, memory)?;
        let inode = asked.process.inode(asked.fd)?;
        let ours = sockets.knows(inode);
        if address.port() == 0 && !ours {
            return None;
        }
        let socket = self.duplicate(asked);
        let protocol = match &socket {
            Some(socket) => socket::protocol(socket).ok()?,
            None => asked.process.protocol(asked.fd),
        };
        // Only now is all that was read known to be of the caller, and not of another with its number.
        if !self.waits(asked) {
            return None;
        }
        let inspector = asked.process.inspects_at(memory.0, address.port());
        let verdict = decide::bind(&Bind { address, protocol, ours, asks: self.asks_us(asked, memory.0), inspector });
        if let (Verdict::Lanes | Verdict::Shared, Some(watched)) = (verdict, self.watched.get_mut(&asked.who)) {
            watched.bound = true;
        }
        match (verdict, socket) {
            (Verdict::LeaveAlone, _) | (Verdict::Inspector, None) => None,
            (Verdict::Inspector, Some(socket)) => self.bind_inspector(asked.who, address, &socket),
            (Verdict::Done, _) => Some(Ok(())),
            (Verdict::Beside, socket) => self.bind_datagrams(asked, address, &socket?),
            (Verdict::Lanes | Verdict::Shared, None) => self.make(asked, address, sockets),
            (_, Some(socket)) => {
                let lane = verdict == Verdict::Lanes && !sockets.shares();
                self.bind_own(asked, Pending { inode, address, lane, given: None }, &socket, sockets)
            }
        }
    }

    fn address(&mut self, asked: &Asked, (thread, at, length): (i32, usize, usize)) -> Option<SocketAddr> {
        match other_process::read_memory(thread, at, length.min(LONGEST_ADDRESS)) {
            Ok(bytes) => {
                self.note_unix(asked, &bytes);
                decide::socket_address(&bytes)
            }
            Err(error) => {
                if self.waits(asked) {
                    self.cannot("read what a worker binds", &error);
                }
                None
            }
        }
    }

    /// Makes the program's socket fit for its part and lets it bind, or puts one in its place.
    pub(super) fn bind_own(
        &mut self,
        asked: &Asked,
        pending: Pending,
        socket: &OwnedFd,
        sockets: &mut Sockets,
    ) -> Option<Result<(), i32>> {
        let address = pending.address;
        let only_v6 = address.is_ipv6() && socket::is_only_v6(socket).unwrap_or(false);
        let at = BindAddress { address, only_v6 };
        let again = self.watched.get(&asked.who)?.pending.has(&pending)
            && socket::local_inet(socket).is_ok_and(|at| at == address);
        if again {
            return Some(Ok(()));
        }
        if !self.may_bind(asked.who, at, Some(socket), sockets) || !sockets.has_room(asked.who, at) {
            return None;
        }
        // One that is only bound holds its port, and need not serve: its lane is handed over as it listens. A port that
        // takes a right is bound by the program itself, and so is what we cannot bind: it gets the true errno.
        let for_all = address.port() >= FIRST_FOR_ALL;
        if for_all && pending.lane && sockets.gives_at_listen(asked.who, at) {
            sockets::prepare(socket.as_fd(), false).ok()?;
            if socket::bind(socket, address).is_ok() {
                self.keep_in_mind(asked.who, pending);
                return Some(Ok(()));
            }
        }
        // Looked at only where there is one to take its place: that takes time for each descriptor of the process.
        let uses = sockets.has_free(asked.who, at).then(|| asked.process.uses(pending.inode));
        // A socket that an epoll waits for cannot be replaced unseen; it becomes a lane of its own.
        let replaceable = uses.as_ref().is_none_or(|uses| !uses.waited_for);
        let grant = if replaceable { sockets.give_for_bind(asked.who, at) } else { BindGrant::Beside };
        if let BindGrant::Socket(given) = grant {
            return self.put(asked, &given, &uses?.all);
        }
        let others = self.watched.values().any(|watched| watched.pending.any_at(address));
        let first = matches!(grant, BindGrant::Nothing) && !others;
        if pending.lane {
            sockets::prepare(socket.as_fd(), first).ok()?;
        } else {
            socket::reuse_address(socket).ok()?;
        }
        // We bind in its place, so that nothing that another worker does comes in between.
        let bind = || socket::bind(socket, address);
        let tried = for_all.then(|| match bind() {
            Err(error) if is_taken(&error) && sockets.clear_the_way(at) => bind(),
            tried => tried,
        });
        // A port of another program stays that: the next of our workers must not take it for ours, and join it.
        match tried.as_ref().is_some_and(|tried| tried.as_ref().is_err_and(is_taken)) {
            true => self.taken = Some(address.port()),
            false => self.keep_in_mind(asked.who, pending),
        }
        tried.is_some_and(|tried| tried.is_ok()).then_some(Ok(()))
    }

    /// Puts a lane that is free for the worker in the place of its socket, which listens now; gives its address. Where a
    /// master only binds, each of its processes that listens gets the same lane (uvicorn).
    pub(super) fn give_at_listen(
        &mut self,
        asked: &Asked,
        at: BindAddress,
        pending: Pending,
        sockets: &mut Sockets,
    ) -> Option<Listening> {
        if pending.given.is_none() && !(sockets.gives_at_listen(asked.who, at) && sockets.has_free(asked.who, at)) {
            return None;
        }
        let uses = asked.process.uses(pending.inode);
        if uses.waited_for {
            return None;
        }
        let given = match pending.given {
            Some(lane) => sockets.duplicate(lane)?,
            None => match sockets.give_for_bind(asked.who, at) {
                BindGrant::Socket(given) => given,
                _ => return None,
            },
        };
        let lane = socket::inode(&given.socket).ok()?;
        if !matches!(self.put(asked, &given, &uses.all), Some(Ok(()))) {
            // Nobody has it: it must not be taken for one that serves.
            let held = self.sockets(asked.who);
            sockets.free_closed(asked.who, at, &held);
            return None;
        }
        self.keep_in_mind(asked.who, Pending { given: Some(lane), ..pending });
        sockets.listens_on(asked.who, lane)
    }

    /// Keeps in mind what a socket was bound for until it listens.
    fn keep_in_mind(&mut self, who: WorkerId, pending: Pending) {
        if self.watched.get(&who).is_some_and(|watched| watched.pending.is_full()) {
            let held = self.sockets(who);
            self.watched.entry(who).and_modify(|watched| watched.pending.keep(&held));
        }
        let Some(watched) = self.watched.get_mut(&who) else { return };
        if !watched.pending.add(pending) {
            let slot = who.slot;
            self.warnings.push(format!(
                "a worker has bound more sockets than are kept in mind and listens on none of them, the first are its own \
                 and not shared with other workers slot={slot} most={MOST_OF_A_SLOT}; have it listen on each as it is bound"
            ));
        }
    }

    /// Has a worker's own UDP socket share its port with those of other workers. The first is bound alone, as a lane is.
    pub(super) fn bind_datagrams(
        &mut self,
        asked: &Asked,
        address: SocketAddr,
        socket: &OwnedFd,
    ) -> Option<Result<(), i32>> {
        if socket::joins(socket).ok()? {
            return None;
        }
        let first = !self.datagrams.values().any(|all| all.contains(&address));
        let bound = first && address.port() >= FIRST_FOR_ALL;
        if bound {
            // If it fails the port is another program's, and stays so for the next of ours.
            socket::bind(socket, address).ok()?;
        }
        let _ = socket::let_others_join(socket);
        let all = self.datagrams.entry(asked.who).or_default();
        if all.len() < MOST_OF_A_SLOT || all.contains(&address) {
            all.insert(address);
        } else {
            let slot = asked.who.slot;
            self.warnings.push(format!(
                "a worker takes datagrams at more addresses than are shared, the others are its own slot={slot} \
                 most={MOST_OF_A_SLOT}; have it use fewer, or run it as several apps"
            ));
        }
        bound.then_some(Ok(()))
    }

    /// Binds a debugger's port, or the next one that is free: Node says where it listens.
    pub(super) fn bind_inspector(
        &mut self,
        who: WorkerId,
        address: SocketAddr,
        socket: &OwnedFd,
    ) -> Option<Result<(), i32>> {
        let binds = |port| socket::bind(socket, SocketAddr::new(address.ip(), port)).is_ok();
        self.inspectors.give(who, address.port(), binds).map(|_| Ok(()))
    }

    /// Where the program's socket cannot be had: one that we make takes its place.
    pub(super) fn make(
        &mut self,
        asked: &Asked,
        address: SocketAddr,
        sockets: &mut Sockets,
    ) -> Option<Result<(), i32>> {
        let inode = asked.process.inode(asked.fd)?;
        let uses = asked.process.uses(inode);
        if uses.waited_for {
            return None;
        }
        let at = BindAddress { address, only_v6: false };
        if !self.may_bind(asked.who, at, None, sockets) || !sockets.has_room(asked.who, at) {
            return None;
        }
        match sockets.give_made(asked.who, at) {
            Ok(given) => self.put(asked, &given, &uses.all),
            // Perhaps it has rights that we have not; else the kernel gives it the true errno.
            Err(_) => None,
        }
    }

    /// Puts a socket of ours in the place of the program's, under all its numbers.
    pub(super) fn put(&mut self, asked: &Asked, given: &Duplicate, all: &[Descriptor]) -> Option<Result<(), i32>> {
        let own = all.iter().find(|one| one.number == asked.fd)?;
        if own.nonblocking || !given.shared {
            socket::set_nonblocking(&given.socket, own.nonblocking).ok()?;
        }
        let listener = self.listener(asked.who)?;
        let put = |one: &Descriptor| listener.put(asked.notice, given.socket.as_fd(), one.number, one.close_on_exec);
        // The one that was asked for last: an interrupted call finds all or none replaced.
        let others = all.iter().filter(|one| one.number != asked.fd);
        match others.map(put).find_map(Result::err).map_or_else(|| put(own), Err) {
            Ok(()) => Some(Ok(())),
            Err(error) => {
                if error.raw_os_error() != Some(socket::ENOENT) {
                    self.cannot("give a worker its socket", &error);
                }
                None
            }
        }
    }
}
