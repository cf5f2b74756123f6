//! Lanes whose worker takes nothing from them: steered away, and passed on to the worker that replaces it.
//!
//! What waits in such a lane must not wait for the end of a worker that hangs, so its successor is given the very socket
//! while the old worker still has it open. Both may accept from it then: one that comes to its senses only helps. (It
//! shares O_NONBLOCK with its successor, which is the same program and sets it in the same way.) If the successor fails,
//! the lane is the old worker's again. As long as one of them has it we do not accept there.

use std::os::fd::AsFd as _;

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::{Lanes, Standing};

impl Lanes {
    pub(super) fn set_also(&mut self, who: WorkerId, standing: Standing) {
        let others = self.lanes.iter_mut().flat_map(|lane| &mut lane.also);
        others.filter(|(other, _)| *other == who).for_each(|other| other.1 = standing);
    }

    /// Marks a lane whose worker takes nothing from it, or takes from it again; says whether new connections go elsewhere
    /// now.
    pub(crate) fn set_stuck(&mut self, index: usize, stuck: bool) -> bool {
        if let Some(lane) = self.lanes.get_mut(index)
            && lane.stuck != stuck
        {
            lane.stuck = stuck;
            self.steer();
        }
        !self.steered_to().contains(&index)
    }

    /// Gives the lanes of a worker that hangs to the one that replaces it, or takes that back: it does not hang any
    /// more.
    pub(crate) fn set_hung(&mut self, who: WorkerId, hangs: bool) {
        self.lanes.iter_mut().filter(|lane| lane.holder == Some(who)).for_each(|lane| lane.hung = hangs);
    }

    /// How many connections wait in all lanes.
    #[must_use]
    pub(crate) fn queued(&self) -> u32 {
        self.lanes.iter().filter_map(|lane| socket::accept_queue(lane.fd.as_fd()).ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use super::super::{Opened, open};
    use super::*;
    use crate::sockets::wanted::BindAddress;
    use crate::sockets::warnings::Warnings;

    const LOOPBACK: BindAddress = BindAddress {
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
        only_v6: false,
    };

    fn worker(slot: u32, generation: u64) -> WorkerId {
        WorkerId { slot, generation }
    }

    /// Two workers in service, in lanes 0 and 1.
    fn two() -> Lanes {
        let closed = Lanes::of_workers(LOOPBACK, 99, &Warnings::default());
        let Opened::Lanes(mut lanes) = open(closed, socket::Join::Alone).expect("opened") else {
            panic!("no lanes here")
        };
        for slot in 0..2 {
            lanes.give(worker(slot, 1), Standing::InService).expect("given");
        }
        lanes
    }

    fn holders(lanes: &Lanes) -> Vec<Option<WorkerId>> {
        lanes.listening().map(|(_, lane)| lane.holder).collect()
    }

    #[test]
    fn one_that_is_stuck_gets_no_connection_unless_all_are() {
        let mut lanes = two();
        assert!(lanes.set_stuck(0, true), "the other is there");
        let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        assert_eq!((lanes.waiting(worker(0, 1)), lanes.waiting(worker(1, 1))), (0, 20));
        assert!(!lanes.set_stuck(1, true), "it is no better off");
        assert_eq!(lanes.steered_to(), [0, 1]);
        assert!(!lanes.set_stuck(0, false));
        assert_eq!((lanes.steered_to(), lanes.queued()), (vec![0], 20));
        lanes.set_stuck(0, true);
        lanes.give(worker(2, 1), Standing::Waiting).expect("given");
        assert_eq!(lanes.steered_to(), [0, 1], "one that is not ready yet is no help");
        drop(clients);
    }

    #[test]
    fn a_successor_gets_the_lane_of_the_one_that_hangs_with_what_waits_in_it() {
        let mut lanes = two();
        let mut client = TcpStream::connect(lanes.address()).expect("connects");
        let at = (0..2).find(|slot| lanes.waiting(worker(*slot, 1)) == 1).expect("in one of them");
        let (old, new) = (worker(at, 1), worker(at, 2));
        lanes.set_hung(old, true);
        let given = lanes.give_free(new, Standing::Waiting).expect("its predecessor's");
        assert_eq!((lanes.lanes.len(), lanes.waiting(old), lanes.waiting(new)), (2, 0, 1));
        assert!(socket::accept(&given).expect("accepts").is_some());
        lanes.set(old, Standing::Draining);
        lanes.set(new, Standing::InService);
        assert_eq!(lanes.steered_to(), [0, 1]);
        lanes.vacate(old);
        assert_eq!((lanes.steered_to(), holders(&lanes).contains(&None)), (vec![0, 1], false));
        std::io::Write::write_all(&mut client, b"still open").expect("sent");
    }

    #[test]
    fn only_its_own_successor_gets_it_and_only_while_it_hangs() {
        let mut lanes = two();
        lanes.set_hung(worker(1, 1), true);
        lanes.set_hung(worker(1, 1), false);
        lanes.set_hung(worker(0, 1), true);
        assert!(lanes.give_free(worker(1, 2), Standing::Waiting).is_none());
        lanes.give(worker(0, 1), Standing::InService).expect("a second one of its own");
        assert_eq!(lanes.lanes.len(), 3);
    }

    #[test]
    fn where_the_successor_fails_the_lane_is_the_old_ones_again_and_the_next_gets_it() {
        let mut lanes = two();
        lanes.set_hung(worker(0, 1), true);
        lanes.give_free(worker(0, 2), Standing::Waiting).expect("its predecessor's");
        lanes.vacate(worker(0, 2));
        assert_eq!(holders(&lanes), [Some(worker(0, 1)), Some(worker(1, 1))]);
        assert_eq!((lanes.steered_to(), holders(&lanes).contains(&None)), (vec![1], false), "it is stuck as before");
        lanes.give_free(worker(0, 3), Standing::Waiting).expect("its predecessor's");
        lanes.vacate(worker(0, 1));
        lanes.vacate(worker(0, 3));
        let unattended = lanes.listening().filter(|(_, lane)| lane.holder.is_none());
        assert_eq!(unattended.map(|(_, lane)| lane.slot).collect::<Vec<_>>(), [Some(0)]);
    }

    #[test]
    fn a_lane_whose_workers_are_gone_is_not_stuck_any_more() {
        let mut lanes = two();
        lanes.set_stuck(0, true);
        lanes.vacate(worker(0, 1));
        lanes.give(worker(0, 2), Standing::InService).expect("given");
        assert_eq!(lanes.steered_to(), [0, 1]);
    }
}
