//! Any order of events: a connection is never refused while a slot wants the address, and goes to a worker in service if
//! there is one.

mod common;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use common::{address, handle, inode, lanes, loopback, open, unattended, worker};
use pm_cluster::sockets::Sockets;
use pm_common::policy::WorkerId;
use pm_common::sys::socket;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Listen,
    Ready,
    Drain,
    Close,
    Die,
    Release,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u32, bool)>> {
    use Step::*;
    let step = prop_oneof![
        4 => Just(Start), 3 => Just(Listen), 3 => Just(Ready), 1 => Just(Drain), 1 => Just(Close), 2 => Just(Die),
        1 => Just(Release)
    ];
    prop::collection::vec((step, 0..3u32, any::<bool>()), 1..40)
}

#[derive(Default)]
struct Worker {
    lane: Option<OwnedFd>,
    accepts: bool,
    ready: bool,
    drains: bool,
}

impl Worker {
    fn serves(&self) -> bool {
        self.lane.is_some() && self.accepts && self.ready && !self.drains
    }
}

/// What the workers believe, beside the sockets under test. Slot 9 never dies: it keeps the address in service.
struct Model {
    sockets: Sockets,
    address: SocketAddr,
    key: String,
    workers: BTreeMap<WorkerId, Worker>,
    generations: u64,
}

impl Model {
    fn new() -> Self {
        let mut sockets = lanes();
        let (fd, key) = handle(open(&mut sockets, worker(9, 1), &loopback()).expect("granted"));
        let (address, lane) = (address(&fd), Some(fd));
        let workers = BTreeMap::from([(worker(9, 1), Worker { lane, ..Worker::default() })]);
        Self { sockets, address, key, workers, generations: 1 }
    }

    fn apply(&mut self, (step, slot, newest): (Step, u32, bool)) {
        if let Step::Start = step {
            return self.start(slot);
        }
        if let Step::Release = step {
            return self.sockets.release_slot(slot);
        }
        let mut living = self.workers.keys().filter(|who| who.slot == slot).copied();
        let Some(who) = (if newest { living.last() } else { living.next() }) else { return };
        let Some(one) = self.workers.get_mut(&who) else { return };
        match step {
            Step::Listen => {
                one.accepts = one.lane.is_some();
                self.sockets.accepting(who, &self.key);
            }
            Step::Ready => {
                (one.ready, one.drains) = (true, false);
                self.sockets.steer_in(who);
            }
            Step::Drain => {
                one.drains = true;
                self.sockets.steer_off(who);
            }
            Step::Close => {
                one.lane = None;
                self.sockets.closed(who, &self.key);
            }
            Step::Die | Step::Start | Step::Release => {
                self.workers.remove(&who);
                self.sockets.gone(who);
            }
        }
    }

    fn start(&mut self, slot: u32) {
        // Two workers of a slot at most: the old one and its replacement.
        if self.workers.keys().filter(|who| who.slot == slot).count() >= 2 {
            return;
        }
        self.generations += 1;
        let who = worker(slot, self.generations);
        let (fd, _) = handle(open(&mut self.sockets, who, &loopback()).expect("granted"));
        let lane = inode(&fd);
        assert!(self.workers.values().all(|other| other.lane.as_ref().is_none_or(|fd| inode(fd) != lane)), "its own");
        self.workers.insert(who, Worker { lane: Some(fd), ..Worker::default() });
    }

    /// One client connects; says whether it came out where it should.
    fn connect(&self) -> bool {
        let _client = TcpStream::connect(self.address).expect("never refused");
        let served = self.workers.values().any(Worker::serves);
        let limit = Instant::now() + Duration::from_secs(5);
        while Instant::now() < limit {
            for one in self.workers.values().filter(|one| one.serves() || !served) {
                if one.lane.as_ref().is_some_and(|lane| socket::accept(lane).expect("accept").is_some()) {
                    return true;
                }
            }
            let mut free = unattended(&self.sockets);
            if free.any(|lane| self.sockets.accept(lane.at).expect("accept").is_some()) {
                return !served;
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_connection_always_finds_the_right_lane(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            prop_assert!(model.connect(), "lost or misled after {step:?}");
        }
        prop_assert_eq!(model.sockets.take_warnings(), Vec::<String>::new());
        prop_assert!(unattended(&model.sockets).count() <= 5, "lanes grow without end");
    }
}
