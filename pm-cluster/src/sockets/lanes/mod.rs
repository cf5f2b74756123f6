//! The lanes of one TCP address: listening sockets of one SO_REUSEPORT group, each for one worker at a time.
//!
//! A lane is never closed while the address is in service: close(2) moves the last socket of the group into the hole and
//! resets clients whose handshake is under way. A lane that nobody needs is parked: steered away, kept, given to the next.
//! The group is mirrored here in the kernel's order (that of listen(2); a socket that leaves is replaced by the last one),
//! with the sockets of other programs in it. Their coming and going is only seen when lanes change: until then the
//! steering list may name an index too far (the kernel then hashes over all) or a foreign socket, and if several foreign
//! sockets changed between two looks, their order is a guess.
//!
//! `lane` is one lane; `which_lane` says which a worker gets, `program_socket` makes a program's own socket one. `group` is the group
//! in the kernel and who of it gets new connections (`sticky`: clients that stay with their slot). `stuck` lanes, whose
//! worker takes nothing, and those that a worker has `shut_down` leave it. `left_behind` is who waits in one without a worker.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::steering::{self, Instruction};
use pm_common::sys::fd_limit;
use pm_common::sys::socket::{self, Join};

use super::wanted::BindAddress;
use super::warnings::Warnings;

mod group;
mod lane;
mod left_behind;
mod program_socket;
mod shut_down;
mod sticky;
mod stuck;
mod which_lane;

use group::{Foreign, Member};
use lane::Lane;
pub use lane::Standing;
pub use program_socket::prepare;
use sticky::Sticky;

/// All lanes of one address.
#[derive(Debug)]
pub(crate) struct Lanes {
    at: BindAddress,
    backlog: i32,
    warnings: Warnings,
    lanes: Vec<Lane>,
    /// The lanes by the numbers of their sockets.
    ours: BTreeMap<u64, usize>,
    group: Vec<Member>,
    /// The steering program of the group, if it is ours.
    attached: Vec<Instruction>,
    foreign: Foreign,
    told_unsteered: bool,
    /// A worker ends before the next one of its slot starts.
    ends_first: bool,
    /// A worker has shut a lane down: others will, too.
    shuts: bool,
    /// Source ports whose connections go to a worker's lane, whatever it stands at.
    sources: BTreeMap<WorkerId, u16>,
    /// The clients of one address stay with one slot.
    sticky: Option<Box<Sticky>>,
}

/// What opening an address came to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Two lanes, none given to anybody.
    Lanes(Lanes),
    /// One listener, and why there can be no second one beside it.
    Single(OwnedFd, String),
}

/// The socket beside a first one, which shows that there can be one.
type Second = fn(&Lanes, &OwnedFd) -> io::Result<OwnedFd>;

/// Opens an address with two lanes (the steering program cannot be attached to a lone socket), or with one listener;
/// `join`: whether other lanes of ours may be in its way.
///
/// # Errors
/// That of the first socket: EADDRINUSE, EACCES, EADDRNOTAVAIL and so on; EMFILE and ENFILE of either.
pub(crate) fn open(lanes: Lanes, join: Join) -> io::Result<Opened> {
    lanes.open_with(join, Lanes::second)
}

/// Makes the lanes of an address around a socket that is bound and listens already.
///
/// # Errors
/// That of looking at it.
pub(crate) fn open_around(first: OwnedFd, lanes: Lanes) -> io::Result<Opened> {
    lanes.around(first, Lanes::second)
}

impl Lanes {
    /// An address without a lane: its workers bring their own.
    #[must_use]
    pub(crate) fn of_workers(at: BindAddress, backlog: i32, warnings: &Warnings) -> Self {
        Self {
            at,
            backlog,
            warnings: warnings.clone(),
            lanes: Vec::new(),
            ours: BTreeMap::new(),
            group: Vec::new(),
            attached: Vec::new(),
            foreign: Foreign::default(),
            told_unsteered: false,
            ends_first: false,
            shuts: false,
            sources: BTreeMap::new(),
            sticky: None,
        }
    }

    /// Has what comes wait for the next worker of a slot as the last one drains, or not.
    #[must_use]
    pub(crate) const fn ending_first(mut self, on: bool) -> Self {
        self.ends_first = on;
        self
    }

    fn open_with(self, join: Join, second: Second) -> io::Result<Opened> {
        let first = socket::tcp_bound(self.at.address, self.at.only_v6, join)?;
        socket::listen(&first, self.backlog)?;
        self.around(first, second)
    }

    fn around(mut self, first: OwnedFd, second: Second) -> io::Result<Opened> {
        self.at.address = socket::local_inet(&first)?;
        match socket::let_others_join(&first).and_then(|()| second(&self, &first)) {
            // For life it would be shared, over what may be there in the next moment.
            Err(error) if fd_limit::lacks_descriptors(&error) => Err(error),
            Err(error) => Ok(Opened::Single(first, report::reason(&error))),
            Ok(second) => {
                self.push(first)?;
                self.push(second)?;
                Ok(Opened::Lanes(self))
            }
        }
    }

    fn second(&self, first: &OwnedFd) -> io::Result<OwnedFd> {
        let second = self.beside()?;
        // This shows whether the kernel can steer, before anybody depends on it.
        socket::steer(first, &steering::program(&[0]).unwrap_or_default())?;
        Ok(second)
    }

    fn beside(&self) -> io::Result<OwnedFd> {
        let fd = socket::tcp_bound(self.at.address, self.at.only_v6, Join::Beside)?;
        socket::listen(&fd, self.backlog)?;
        Ok(fd)
    }

    fn push(&mut self, fd: OwnedFd) -> io::Result<usize> {
        let (inode, index) = (socket::inode(&fd)?, self.lanes.len());
        self.ours.insert(inode, index);
        self.lanes.push(Lane::new(fd, inode));
        self.join_group(index);
        Ok(index)
    }

    fn add(&mut self) -> io::Result<usize> {
        // Its index is the number of sockets in the group now, foreign ones included.
        self.leave_all_shut();
        self.look_for_foreign();
        let fd = self.beside()?;
        self.push(fd)
    }

    /// Changes what the lanes of this worker are for; says whether it has one.
    pub(crate) fn set(&mut self, who: WorkerId, standing: Standing) -> bool {
        let (mut found, mut changed) = (false, false);
        for lane in self.lanes.iter_mut().filter(|lane| lane.holder == Some(who)) {
            (found, changed) = (true, changed || lane.standing != standing);
            lane.standing = standing;
        }
        self.set_also(who, standing);
        if standing != Standing::Waiting {
            self.keep_no_longer(who.slot);
        }
        // A worker may listen on a thousand addresses, and say at each that it is in service.
        if changed {
            if self.ends_first && standing == Standing::Draining {
                self.wait_for_next(who);
            }
            self.keep_end_idle();
            self.steer();
        }
        found
    }

    /// The next connection that waits in a lane, if nobody holds it.
    ///
    /// # Errors
    /// That of accept4(2).
    pub(crate) fn accept(&self, index: usize) -> io::Result<Option<OwnedFd>> {
        match self.lanes.get(index) {
            Some(lane) if lane.holder.is_none() => socket::accept(&lane.fd),
            _ => Ok(None),
        }
    }

    /// The numbers of the lanes that get new connections now.
    #[must_use]
    pub(crate) fn steered_to(&self) -> Vec<usize> {
        let rank = self.best_rank();
        let ranked =
            || self.listening().filter(|(_, lane)| Some(lane.rank()) == rank).map(|(index, _)| index).collect();
        let mut best: Vec<usize> = self.seated().unwrap_or_else(ranked);
        best.sort_unstable();
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const LOOPBACK: BindAddress = BindAddress {
        address: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
        only_v6: false,
    };

    fn none() -> Lanes {
        Lanes::of_workers(LOOPBACK, 5, &Warnings::default())
    }

    fn lanes() -> Lanes {
        match open(none(), Join::Alone).expect("opened") {
            Opened::Lanes(lanes) => lanes,
            Opened::Single(_, reason) => panic!("no lanes here: {reason}"),
        }
    }

    fn worker(slot: u32, generation: u64) -> WorkerId {
        WorkerId { slot, generation }
    }

    #[test]
    fn where_a_second_socket_is_refused_there_is_one_for_all_and_it_listens() {
        let refuse = |_: &Lanes, _: &OwnedFd| Err(io::Error::from_raw_os_error(socket::EADDRINUSE));
        let opened = none().open_with(Join::Alone, refuse).expect("opened");
        let Opened::Single(fd, reason) = opened else { panic!("one socket expected") };
        assert_eq!(reason, "Address already in use");
        TcpStream::connect(socket::local_inet(&fd).expect("bound")).expect("it listens");
    }

    #[test]
    fn want_of_a_descriptor_for_the_second_socket_decides_nothing() {
        let lack = |_: &Lanes, _: &OwnedFd| Err(io::Error::from_raw_os_error(socket::EMFILE));
        let opened = none().open_with(Join::Alone, lack);
        assert_eq!(opened.expect_err("to be tried again").raw_os_error(), Some(socket::EMFILE));
    }

    #[test]
    fn who_gets_new_connections_goes_by_rank() {
        let mut lanes = lanes();
        assert_eq!(lanes.steered_to(), [0, 1], "nobody has one: all wait in a queue");
        for slot in 0..3 {
            lanes.give(worker(slot, 1), Standing::Waiting).expect("given");
        }
        assert_eq!(lanes.steered_to(), [0, 1, 2]);
        lanes.set(worker(1, 1), Standing::InService);
        assert_eq!(lanes.steered_to(), [1]);
        lanes.set(worker(1, 1), Standing::Draining);
        lanes.vacate(worker(0, 1));
        assert_eq!(lanes.steered_to(), [2], "one that starts, before one whose worker is dead or drains");
        lanes.vacate(worker(2, 1));
        lanes.release_slot(2);
        assert_eq!(lanes.steered_to(), [0], "one that is waited for, before one that drains");
        lanes.release_slot(0);
        assert_eq!(lanes.steered_to(), [1]);
        assert_eq!((lanes.lanes.len(), lanes.warnings.take()), (3, Vec::new()));
    }

    #[test]
    fn a_slot_released_while_its_worker_lives_leaves_the_lane_to_anybody() {
        let mut lanes = lanes();
        lanes.give(worker(0, 1), Standing::InService).expect("given");
        lanes.release_slot(0);
        assert_eq!(lanes.steered_to(), [0]);
        lanes.vacate(worker(0, 1));
        assert!(lanes.listening().all(|(_, lane)| lane.holder.is_none() && lane.slot.is_none()));
    }
}
