//! Lanes whose listener a worker has shut down, as WEBrick and .NET do when they stop: shutdown(2) on a listening socket
//! ends it for all who have it, us included.
//!
//! Such a socket leaves the group, and the last one moves into its place. It stays bound, so it can listen again: once no
//! worker has it any more, because a program may wait for the shutdown to wake its own accept(2).
//!
//! When we close lanes ourselves: the headers of `lanes` and `sockets`. When we refuse clients: `sockets::unserved`.

use std::io;

use pm_common::policy::WorkerId;
use pm_common::sys::socket;

use super::{Lane, Lanes, Member};

impl Lanes {
    /// The lanes that listen, which are those of the group.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.group.iter().filter_map(|member| match member {
            Member::Lane(index) => Some((*index, self.lanes.get(*index)?)),
            Member::Foreign(_) => None,
        })
    }

    /// Whether this lane is one of them.
    pub(super) fn listens(&self, index: usize) -> bool {
        self.lanes.get(index).is_some_and(|lane| lane.place.is_some())
    }

    /// Checks whether lane `index` was shut down; if so, removes it from the group and steers again.
    pub(crate) fn look_if_shut(&mut self, index: usize) -> bool {
        let left = self.leave_if_shut(index);
        if left {
            self.steer();
        }
        left || self.lanes.get_mut(index).is_some_and(|lane| std::mem::take(&mut lane.untold))
    }

    /// Takes all that were shut down from the group: whoever joins it stands behind those that are left. They are told of
    /// at the next look at them.
    pub(super) fn leave_all_shut(&mut self) {
        for index in 0..self.lanes.len() {
            if self.leave_if_shut(index)
                && let Some(lane) = self.lanes.get_mut(index)
            {
                lane.untold = lane.holder.is_some();
            }
        }
    }

    /// The lanes that were shut down and that nobody was told of yet.
    pub(crate) fn untold(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.lanes.iter().enumerate().filter(|(_, lane)| lane.untold)
    }

    /// Prepares for draining workers that shut their lanes down, as a worker of this address has done: the last of the group
    /// takes the place of such a lane before we can steer anew. So the last ones are lanes that nobody serves, one for each
    /// that drains.
    pub(super) fn keep_end_idle(&mut self) {
        if !self.shuts {
            return;
        }
        let drains = self.listening().filter(|(_, lane)| lane.drains()).count();
        // Without a descriptor for one more it goes on as it is, and so it does with enough of them elsewhere.
        let held = self.lanes.iter().filter(|lane| lane.holder.is_some()).count();
        while self.idle_at_end() < drains && self.lanes.len() < 2 * held && self.add().is_ok() {}
    }

    /// How many of the group's last lanes are nobody's, or of workers that drain.
    fn idle_at_end(&self) -> usize {
        let idle = |member: &&Member| match member {
            Member::Lane(index) => self.lanes.get(*index).is_some_and(|lane| lane.holder.is_none() || lane.drains()),
            Member::Foreign(_) => false,
        };
        self.group.iter().rev().take_while(idle).count()
    }

    fn leave_if_shut(&mut self, index: usize) -> bool {
        let Some(lane) = self.lanes.get(index) else { return false };
        let Some(place) = lane.place.filter(|_| !socket::is_listening(&lane.fd).unwrap_or(true)) else { return false };
        self.shuts = true;
        self.leave_group(place);
        true
    }

    /// Has those of the lanes listen again that were shut down and that no worker has. One that cannot is not used any
    /// more.
    pub(super) fn revive(&mut self, let_go: &[usize]) {
        for &index in let_go {
            self.leave_if_shut(index);
            if !self.listens(index) && self.holder(index).is_none() {
                let _ = self.join_again(index);
            }
        }
    }

    /// Has a lane listen again whose worker has shut it down and listens anew.
    ///
    /// # Errors
    /// That of listen(2).
    pub(crate) fn listen_again(&mut self, inode: u64) -> io::Result<()> {
        let Some(&index) = self.ours.get(&inode) else { return Ok(()) };
        self.leave_if_shut(index);
        if !self.listens(index) {
            self.join_again(index)?;
            self.steer();
        }
        Ok(())
    }

    /// Shuts all of them down: nobody has them, and nobody comes.
    pub(crate) fn shut_all(&mut self) {
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get(index).filter(|lane| lane.holder.is_none() && lane.place.is_some()) {
                let _ = rustix::net::shutdown(&lane.fd, rustix::net::Shutdown::Both);
                self.leave_if_shut(index);
            }
        }
        self.steer();
    }

    /// Has all listen again that were shut down and that no worker has.
    pub(crate) fn revive_all(&mut self) {
        let all: Vec<usize> = (0..self.lanes.len()).collect();
        self.revive(&all);
        self.steer();
    }

    fn join_again(&mut self, index: usize) -> io::Result<()> {
        // Its place is behind all that are there, foreign ones included.
        self.leave_all_shut();
        self.look_for_foreign();
        // The last may have been moved into a hole, and new connections be led to where it stood, which is this one's place.
        self.steer();
        let lane = self.lanes.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        lane.untold = false;
        // A port that the kernel had chosen was given back; any other is bound still (EINVAL).
        let _ = socket::bind(&lane.fd, self.at.address);
        socket::listen(&lane.fd, self.backlog)?;
        self.join_group(index);
        Ok(())
    }

    /// Whether this worker has a lane that it has shut down.
    #[must_use]
    pub(crate) fn has_shut(&self, who: WorkerId) -> bool {
        self.lanes.iter().enumerate().any(|(index, lane)| lane.holder == Some(who) && !self.listens(index))
    }

    /// Who has this lane.
    #[must_use]
    pub(crate) fn holder(&self, index: usize) -> Option<WorkerId> {
        self.lanes.get(index)?.holder
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sockets::lanes::{Opened, Standing, open};
    use crate::sockets::wanted::BindAddress;
    use crate::sockets::warnings::Warnings;

    const LOOPBACK: BindAddress = BindAddress {
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
        only_v6: false,
    };

    fn worker(slot: u32) -> WorkerId {
        WorkerId { slot, generation: 1 }
    }

    /// Three lanes in service, and what their workers have.
    fn three() -> (Lanes, Vec<OwnedFd>) {
        let closed = Lanes::of_workers(LOOPBACK, 500, &Warnings::default());
        let Ok(Opened::Lanes(mut lanes)) = open(closed, socket::Join::Alone) else { panic!("no lanes here") };
        let give = |slot| lanes.give(worker(slot), Standing::InService).expect("given");
        let all = (0..3).map(give).collect();
        (lanes, all)
    }

    fn shut_down(fd: &OwnedFd) {
        rustix::net::shutdown(fd, rustix::net::Shutdown::Both).expect("it listened");
    }

    fn queues(lanes: &Lanes) -> Vec<u32> {
        (0..3).map(|slot| lanes.waiting(worker(slot))).collect()
    }

    #[test]
    fn a_lane_that_was_shut_down_is_steered_around() {
        let (mut lanes, fds) = three();
        lanes.set(worker(2), Standing::Draining);
        shut_down(&fds[0]);
        assert!(lanes.look_if_shut(0) && !lanes.look_if_shut(1));
        assert_eq!(lanes.listening().count(), 2, "it is not watched any more");
        let clients: Vec<_> = (0..40).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        assert_eq!(queues(&lanes), [0, 40, 0], "the one that drains gets none");
        drop(clients);
    }

    #[test]
    fn it_listens_again_for_the_next_worker() {
        let (mut lanes, fds) = three();
        shut_down(&fds[0]);
        shut_down(&fds[1]);
        lanes.vacate(worker(0));
        assert!(lanes.look_if_shut(1), "a poll tells of it");
        assert_eq!(lanes.steered_to(), [2]);
        lanes.vacate(worker(1));
        let next = WorkerId { slot: 0, generation: 2 };
        let given = lanes.give_free(next, Standing::InService).expect("its slot's");
        assert_eq!(lanes.lanes.len(), 3);
        lanes.set(worker(2), Standing::Draining);
        let _client = TcpStream::connect(lanes.address()).expect("connects");
        assert!(socket::accept(&given).expect("listens").is_some());
    }

    /// A worker shuts its lane down while another one joins, or is revived: the kernel has moved the last into the hole.
    #[test]
    fn one_that_was_shut_down_unseen_is_no_part_of_the_group_that_the_next_one_joins() {
        let (mut lanes, fds) = three();
        shut_down(&fds[0]);
        let next = lanes.give(worker(3), Standing::InService).expect("given");
        lanes.set(worker(1), Standing::Draining);
        lanes.set(worker(2), Standing::Draining);
        let mut clients: Vec<_> = (0..40).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        assert_eq!((lanes.waiting(worker(3)), queues(&lanes)), (40, vec![0, 0, 0]));
        assert_eq!(lanes.untold().count(), 1, "it is still looked at");
        assert!(lanes.look_if_shut(0) && lanes.untold().next().is_none() && !lanes.look_if_shut(0));
        drop(next);
        lanes.set(worker(1), Standing::InService);
        lanes.set(worker(3), Standing::Draining);
        shut_down(&fds[2]);
        lanes.vacate(worker(0));
        clients.extend((0..40).map(|_| TcpStream::connect(lanes.address()).expect("connects")));
        assert_eq!((lanes.waiting(worker(1)), lanes.waiting(worker(3))), (40, 40));
    }

    /// The kernel moves the last of the group into the hole before anybody can look.
    #[test]
    fn once_one_was_shut_down_no_connection_strays_as_others_are() {
        let (mut lanes, mut fds) = three();
        fds.push(lanes.give(worker(3), Standing::InService).expect("given"));
        shut_down(&fds[3]);
        assert!(lanes.look_if_shut(3));
        lanes.vacate(worker(3));
        fds[3] = lanes.give(worker(3), Standing::InService).expect("given");
        lanes.set(worker(0), Standing::Draining);
        lanes.set(worker(1), Standing::Draining);
        shut_down(&fds[0]);
        shut_down(&fds[1]);
        let _clients: Vec<_> = (0..40).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
        assert_eq!(lanes.waiting(worker(2)) + lanes.waiting(worker(3)), 40);
        for generation in 2..9 {
            let ids = [0, 1].map(|slot| WorkerId { slot, generation });
            lanes.vacate(WorkerId { generation: generation - 1, ..ids[0] });
            lanes.vacate(WorkerId { generation: generation - 1, ..ids[1] });
            let fds = ids.map(|who| lanes.give(who, Standing::InService).expect("given"));
            ids.iter().for_each(|who| assert!(lanes.set(*who, Standing::Draining)));
            fds.iter().for_each(shut_down);
        }
        assert_eq!(lanes.lanes.len(), 8, "twice as many as workers have");
    }

    /// A lane that listens again comes to stand at the end, where another one stood before the kernel moved that into the
    /// hole: nobody may be led there by what was true then.
    #[test]
    fn one_that_listens_again_gets_nobody_while_it_joins() {
        // Later ones are prepared for.
        let first_that_is_shut_down = || {
            let closed = Lanes::of_workers(LOOPBACK, 500, &Warnings::default());
            let Ok(Opened::Lanes(mut lanes)) = open(closed, socket::Join::Alone) else { panic!("no lanes here") };
            let [old, next] = [1, 2].map(|generation| WorkerId { slot: 0, generation });
            let given = lanes.give(old, Standing::InService).expect("given");
            let _serving = lanes.give(next, Standing::InService).expect("given");
            let (address, ended) = (lanes.address(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        drop(TcpStream::connect(address));
                    }
                });
                while lanes.waiting(next) == 0 {
                    std::thread::yield_now();
                }
                assert!(lanes.set(old, Standing::Draining));
                shut_down(&given);
                lanes.vacate(old);
                ended.store(true, Ordering::Relaxed);
            });
            let idle = lanes.listening().filter(|(_, lane)| lane.holder.is_none());
            idle.map(|(_, lane)| socket::accept_queue(&lane.fd).unwrap_or(0)).sum::<u32>()
        };
        assert!((0..200).all(|_| first_that_is_shut_down() == 0), "a connection waits where nobody comes");
    }

    #[test]
    fn where_one_ends_before_the_next_starts_what_comes_waits_for_the_next() {
        let (mut lanes, _) = three();
        lanes = lanes.ending_first(true);
        for slot in [1, 2] {
            lanes.vacate(worker(slot));
            lanes.release_slot(slot);
        }
        for generation in 1..5 {
            let who = WorkerId { slot: 0, generation };
            lanes.set(who, Standing::Draining);
            let clients: Vec<_> = (0..9).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
            assert_eq!(lanes.waiting(who), 0);
            lanes.vacate(who);
            let next = WorkerId { slot: 0, generation: generation + 1 };
            let given = lanes.give_free(next, Standing::InService).expect("its slot's");
            assert_eq!(lanes.waiting(next), 9);
            while socket::accept(&given).expect("listens").is_some() {}
            drop(clients);
        }
    }

    #[test]
    fn what_waits_where_nobody_comes_is_reset_and_the_next_worker_is_reached() {
        let (mut lanes, fds) = three();
        drop(fds);
        (0..3).for_each(|slot| lanes.vacate(worker(slot)));
        let mut waits = TcpStream::connect(lanes.address()).expect("connects");
        lanes.shut_all();
        let error = waits.read(&mut [0]).expect_err("nobody comes");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(TcpStream::connect(lanes.address()).is_err());
        lanes.revive_all();
        let next = WorkerId { slot: 0, generation: 2 };
        let given = lanes.give_free(next, Standing::InService).expect("its slot's");
        let _client = TcpStream::connect(lanes.address()).expect("connects");
        assert!(socket::accept(&given).expect("listens").is_some());
        assert_eq!(lanes.lanes.len(), 3, "none was made");
    }

    #[test]
    fn all_may_be_shut_down() {
        let (mut lanes, fds) = three();
        fds.iter().for_each(shut_down);
        assert!((0..3).all(|index| lanes.look_if_shut(index)));
        assert!(TcpStream::connect(lanes.address()).is_err());
        (0..3).for_each(|slot| lanes.vacate(worker(slot)));
        TcpStream::connect(lanes.address()).expect("connects");
    }
}
