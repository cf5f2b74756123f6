//! Lanes whose worker takes nothing from them: steered away, and passed on to the worker that replaces it.
//!
//! What waits in such a lane must not wait for the end of a worker that hangs, so its successor is given the very socket
//! while the old worker still has it open. Both may accept from it then: one that comes to its senses only helps. (It
//! shares O_NONBLOCK with its successor, which is the same program and sets it in the same way.) If the successor fails,
//! the lane is the old worker's again. As long as one of them has it we do not accept there.

use std::os::fd::{AsFd as _, BorrowedFd};

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::{Lane, Lanes, Standing};

impl Lane {
    /// From here on it is this worker's.
    pub(super) fn pass_to(&mut self, who: WorkerId, standing: Standing) {
        if let Some(old) = self.holder.filter(|old| *old != who) {
            self.also.push((old, self.standing));
        }
        (self.slot, self.holder, self.standing) = (Some(who.slot), Some(who), standing);
        (self.stuck, self.given_up) = (false, false);
    }

    /// The worker has it open no more; whether it was the one that the lane is for.
    pub(super) fn is_let_go_by(&mut self, who: WorkerId) -> bool {
        self.also.retain(|(other, _)| *other != who);
        self.holder == Some(who)
    }

    /// Its holder has gone: it is again that of the worker before, if that one lives. Else nobody has it.
    pub(super) fn falls_back(&mut self) -> bool {
        let before = self.also.pop();
        self.holder = before.map(|(who, _)| who);
        self.standing = before.map_or(Standing::Waiting, |(_, standing)| standing);
        (self.stuck, self.given_up) = (before.is_some(), before.is_some());
        before.is_some()
    }
}

impl Lanes {
    /// The lane of a worker of the same slot that is given up.
    pub(super) fn given_up_for(&self, who: WorkerId) -> Option<usize> {
        let replaces = |old: WorkerId| old.slot == who.slot && old != who;
        self.listening().find(|(_, l)| l.given_up && l.holder.is_some_and(replaces)).map(|(index, _)| index)
    }

    pub(super) fn set_also(&mut self, who: WorkerId, standing: Standing) {
        let others = self.lanes.iter_mut().flat_map(|lane| &mut lane.also);
        others.filter(|(other, _)| *other == who).for_each(|other| other.1 = standing);
    }

    /// The lanes of workers that are in service: number, socket, and worker.
    pub fn in_service(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, WorkerId)> {
        let lanes = self.listening().filter(|(_, lane)| lane.standing == Standing::InService);
        lanes.filter_map(|(index, lane)| Some((index, lane.fd.as_fd(), lane.holder?)))
    }

    /// Marks a lane whose worker takes nothing from it, or takes from it again; says whether new connections go elsewhere
    /// now.
    pub fn set_stuck(&mut self, index: usize, stuck: bool, warnings: &mut Vec<String>) -> bool {
        if let Some(lane) = self.lanes.get_mut(index)
            && lane.stuck != stuck
        {
            lane.stuck = stuck;
            self.steer(warnings);
        }
        !self.steered_to().contains(&index)
    }

    /// The worker hangs: its lanes are for the one that replaces it. Or it does not hang any more.
    pub fn give_up(&mut self, who: WorkerId, hangs: bool) {
        self.lanes.iter_mut().filter(|lane| lane.holder == Some(who)).for_each(|lane| lane.given_up = hangs);
    }

    /// All connections that wait.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.lanes.iter().filter_map(|lane| socket::accept_queue(lane.fd.as_fd()).ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use pm_common::policy::steering::Spread;

    use super::super::{Opened, open};
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn worker(slot: u32, generation: u64) -> WorkerId {
        WorkerId { slot, generation }
    }

    /// Two workers in service, in lanes 0 and 1.
    fn two() -> Lanes {
        let Opened::Lanes(mut lanes) = open(LOOPBACK, false, 99, Spread::Random).expect("opened") else {
            panic!("no lanes here")
        };
        for slot in 0..2 {
            lanes.give(worker(slot, 1), Standing::InService, &mut Vec::new()).expect("given");
        }
        lanes
    }

    #[test]
    fn one_that_is_stuck_gets_no_connection_unless_all_are() {
        let (mut lanes, mut warnings) = (two(), Vec::new());
        assert!(lanes.set_stuck(0, true, &mut warnings), "the other is there");
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        assert_eq!((lanes.waiting(worker(0, 1)), lanes.waiting(worker(1, 1))), (0, 20));
        assert!(!lanes.set_stuck(1, true, &mut warnings), "it is no better off");
        assert_eq!(lanes.steered_to(), [0, 1]);
        assert!(!lanes.set_stuck(0, false, &mut warnings));
        assert_eq!((lanes.steered_to(), lanes.queued()), (vec![0], 20));
        lanes.set_stuck(0, true, &mut warnings);
        lanes.give(worker(2, 1), Standing::Waiting, &mut warnings).expect("given");
        assert_eq!(lanes.steered_to(), [0, 1], "one that is not ready yet is no help");
        drop(clients);
    }

    #[test]
    fn a_successor_gets_the_lane_of_the_one_that_hangs_with_what_waits_in_it() {
        let (mut lanes, mut warnings) = (two(), Vec::new());
        let mut client = TcpStream::connect(lanes.address()).expect("connects");
        let at = (0..2).find(|slot| lanes.waiting(worker(*slot, 1)) == 1).expect("in one of them");
        let (old, new) = (worker(at, 1), worker(at, 2));
        lanes.give_up(old, true);
        let lent = lanes.lend(new, Standing::Waiting, &mut warnings).expect("its predecessor's");
        assert_eq!((lanes.count(), lanes.waiting(old), lanes.waiting(new)), (2, 0, 1));
        assert!(socket::accept(&lent).expect("accepts").is_some());
        lanes.set(old, Standing::Draining, &mut warnings);
        lanes.set(new, Standing::InService, &mut warnings);
        assert_eq!(lanes.steered_to(), [0, 1]);
        lanes.vacate(old, &mut warnings);
        assert_eq!((lanes.steered_to(), lanes.unattended().count()), (vec![0, 1], 0));
        std::io::Write::write_all(&mut client, b"still open").expect("sent");
    }

    #[test]
    fn only_its_own_successor_gets_it_and_only_while_it_hangs() {
        let (mut lanes, mut warnings) = (two(), Vec::new());
        lanes.give_up(worker(1, 1), true);
        lanes.give_up(worker(1, 1), false);
        lanes.give_up(worker(0, 1), true);
        assert!(lanes.lend(worker(1, 2), Standing::Waiting, &mut warnings).is_none());
        lanes.give(worker(0, 1), Standing::InService, &mut warnings).expect("a second one of its own");
        assert_eq!(lanes.count(), 3);
    }

    #[test]
    fn where_the_successor_fails_the_lane_is_the_old_ones_again_and_the_next_gets_it() {
        let (mut lanes, mut warnings) = (two(), Vec::new());
        lanes.give_up(worker(0, 1), true);
        lanes.lend(worker(0, 2), Standing::Waiting, &mut warnings).expect("its predecessor's");
        lanes.vacate(worker(0, 2), &mut warnings);
        assert_eq!(lanes.in_service().map(|(_, _, who)| who).collect::<Vec<_>>(), [worker(0, 1), worker(1, 1)]);
        assert_eq!((lanes.steered_to(), lanes.unattended().count()), (vec![1], 0), "it is stuck as before");
        lanes.lend(worker(0, 3), Standing::Waiting, &mut warnings).expect("its predecessor's");
        lanes.vacate(worker(0, 1), &mut warnings);
        lanes.vacate(worker(0, 3), &mut warnings);
        assert_eq!(lanes.unattended().map(|(_, _, slot)| slot).collect::<Vec<_>>(), [Some(0)]);
    }

    #[test]
    fn a_lane_whose_workers_are_gone_is_not_stuck_any_more() {
        let (mut lanes, mut warnings) = (two(), Vec::new());
        lanes.set_stuck(0, true, &mut warnings);
        lanes.vacate(worker(0, 1), &mut warnings);
        lanes.give(worker(0, 2), Standing::InService, &mut warnings).expect("given");
        assert_eq!(lanes.steered_to(), [0, 1]);
    }
}
