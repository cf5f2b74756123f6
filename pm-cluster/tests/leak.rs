//! Alone in its process, so that no other test opens descriptors meanwhile.

mod common;

use common::{handle, lanes, loopback, open, query, serving, worker};
use pm_common::node::query::Family;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("readable").count()
}

#[test]
fn a_thousand_crashes_closes_and_rolls_leave_no_descriptor() {
    let mut listeners = lanes();
    let (_kept, key) = serving(&mut listeners, worker(0, 1), &loopback());
    let udp = query(Family::Udp4, Some("127.0.0.1"), 0);
    let cycle = |listeners: &mut pm_cluster::sockets::Sockets, generation: u64| {
        let (crashing, next) = (worker(1, generation), worker(1, generation + 1));
        drop(serving(listeners, crashing, &loopback()));
        drop(handle(open(listeners, crashing, &udp).expect("granted")));
        listeners.closed(crashing, &key);
        drop(handle(open(listeners, crashing, &loopback()).expect("granted")));
        drop(serving(listeners, next, &loopback()));
        listeners.steer_off(crashing);
        listeners.gone(crashing);
        listeners.gone(next);
        // A port of its own for each generation, closed of its own accord.
        let once = pm_common::node::query::Query { index: generation, ..loopback() };
        let (fd, once) = serving(listeners, crashing, &once);
        drop(fd);
        listeners.closed(crashing, &once);
        listeners.gone(crashing);
    };
    cycle(&mut listeners, 1);
    cycle(&mut listeners, 3);
    let before = open_descriptors();
    (2..1000).for_each(|n| cycle(&mut listeners, 2 * n + 1));
    assert_eq!(open_descriptors(), before);
    assert_eq!(listeners.take_warnings(), Vec::<String>::new());
}
