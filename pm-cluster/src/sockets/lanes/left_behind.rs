//! Clients that wait in a lane whose worker has ended, while others serve the address: the next worker of the lane's slot
//! accepts them. Where none is on its way (the slot fails again and again, or its successor has a lane of its own already,
//! as after the kill of a worker that drains) they are accepted here and their connections closed, so that they come again.
//!
//! Of Node they never wait so long: `node::lane_without_worker` passes them on. What becomes of an address that nobody
//! serves: `sockets::unserved`.

use std::os::fd::AsFd as _;

use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, socket};

use super::Lanes;

/// How long clients wait for the next worker of a slot: as long as for one of an address that nobody serves.
const FOR_SLOT: Span = Span::secs(30);
/// How long they wait in a lane that is no slot's: for any worker that is started, as in a roll.
const FOR_ANY: Span = Span::secs(2);

impl Lanes {
    /// Notes in which lanes somebody waits that nobody has.
    pub(super) fn note_left_behind(&mut self) {
        for lane in &mut self.lanes {
            if lane.holder.is_some() {
                lane.left = None;
            } else if lane.left.is_none() && socket::accept_queue(lane.fd.as_fd()).is_ok_and(|length| length > 0) {
                lane.left = Some(clock::now());
            }
        }
    }

    /// The lanes that somebody may wait in for nobody, with the time when that has been long enough. `comes`: whether a
    /// worker starts that may take a lane of this slot, or one of none.
    fn left_behind(&self, comes: impl Fn(Option<u32>) -> bool) -> impl Iterator<Item = (usize, Mono)> {
        let served = || self.lanes.iter().any(super::Lane::serves);
        let left = self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((index, lane.slot, lane.left?)));
        left.filter(move |(_, slot, _)| !comes(*slot) && served()).map(|(index, slot, since)| {
            let patience = if slot.is_some() { FOR_SLOT } else { FOR_ANY };
            (index, since + patience)
        })
    }

    /// When [`Self::let_left_behind_go`] has something to do.
    pub(crate) fn lets_left_behind_go_at(&self, comes: impl Fn(Option<u32>) -> bool) -> Option<Mono> {
        self.left_behind(comes).map(|(_, at)| at).min()
    }

    /// Closes the connections of those that have waited long enough; gives how many.
    pub(crate) fn let_left_behind_go(&mut self, now: Mono, comes: impl Fn(Option<u32>) -> bool) -> usize {
        let late: Vec<usize> = self.left_behind(comes).filter(|(_, at)| *at <= now).map(|(index, _)| index).collect();
        let mut closed = 0;
        for index in late {
            // More that come in the meantime are closed, too; they do not come for ever, as others get new ones.
            while let Ok(Some(connection)) = self.accept(index) {
                drop(connection);
                closed += 1;
            }
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.left = None;
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpStream};

    use pm_common::policy::WorkerId;

    use super::super::{Opened, Standing, open};
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

    /// Two workers in service, and what waits for that of slot 0.
    fn two() -> (Lanes, Vec<TcpStream>) {
        let closed = Lanes::of_workers(LOOPBACK, 99, &Warnings::default());
        let Opened::Lanes(mut lanes) = open(closed, socket::Join::Alone).expect("opened") else {
            panic!("no lanes here")
        };
        lanes.give(worker(0, 1), Standing::InService).expect("given");
        lanes.steer();
        let clients = (0..3).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        lanes.give(worker(1, 1), Standing::InService).expect("given");
        assert_eq!(lanes.waiting(worker(0, 1)), 3);
        (lanes, clients)
    }

    const NOBODY: fn(Option<u32>) -> bool = |_| false;

    #[test]
    fn who_waits_for_a_slot_that_gets_no_worker_is_let_go_in_the_end() {
        let (mut lanes, clients) = two();
        assert_eq!(lanes.lets_left_behind_go_at(NOBODY), None, "its worker lives");
        lanes.vacate(worker(0, 1));
        assert_eq!(lanes.lets_left_behind_go_at(|slot| slot == Some(0)), None, "one is on its way");
        let at = lanes.lets_left_behind_go_at(NOBODY).expect("they wait");
        assert!(at > clock::now() + Span::secs(20));
        assert_eq!(lanes.let_left_behind_go(Mono(at.0 - 1), NOBODY), 0);
        assert_eq!(lanes.let_left_behind_go(at, NOBODY), 3);
        for mut client in clients {
            assert_eq!(client.read(&mut [0]).expect("closed"), 0);
        }
        assert_eq!(lanes.lets_left_behind_go_at(NOBODY), None, "nothing is left to do");
    }

    #[test]
    fn who_waits_in_the_lane_of_one_that_drained_and_was_killed_is_let_go_soon() {
        let (mut lanes, _clients) = two();
        lanes.give(worker(0, 2), Standing::Waiting).expect("a lane of its own");
        lanes.set(worker(0, 2), Standing::InService);
        lanes.set(worker(0, 1), Standing::Draining);
        lanes.vacate(worker(0, 1));
        assert_eq!(lanes.lets_left_behind_go_at(|slot| slot.is_none()), None, "any that starts may get the lane");
        let at = lanes.lets_left_behind_go_at(NOBODY).expect("they wait");
        assert!(at < clock::now() + Span::secs(3));
        lanes.give(worker(2, 1), Standing::Waiting).expect("that lane");
        assert_eq!((lanes.waiting(worker(2, 1)), lanes.lets_left_behind_go_at(NOBODY)), (3, None));
    }

    #[test]
    fn where_nobody_serves_they_wait_on() {
        let (mut lanes, _clients) = two();
        lanes.vacate(worker(0, 1));
        lanes.vacate(worker(1, 1));
        assert_eq!(lanes.lets_left_behind_go_at(NOBODY), None);
    }
}
