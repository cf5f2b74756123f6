use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use pm_common::sys::socket;

use super::super::{Opened, open};
use super::*;
use crate::sockets::wanted::BindAddress;
use crate::sockets::warnings::Warnings;

const LOOPBACK: BindAddress =
    BindAddress { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), only_v6: false };

fn worker(slot: u32, generation: u64) -> WorkerId {
    WorkerId { slot, generation }
}

/// Three workers in service, in lanes 0 to 2.
fn three() -> Lanes {
    let closed = Lanes::of_workers(LOOPBACK, 500, &Warnings::default()).sticking(true);
    let Ok(Opened::Lanes(mut lanes)) = open(closed, socket::Join::Alone) else { panic!("no lanes here") };
    for slot in 0..3 {
        lanes.give(worker(slot, 1), Standing::InService).expect("given");
    }
    lanes
}

/// The slot of our own address, among these.
fn home(slots: &[u32]) -> u32 {
    steering::rendezvous::slot_of(Ipv4Addr::LOCALHOST.into(), slots.iter().copied()).expect("a slot")
}

#[test]
fn all_connections_of_one_client_go_to_the_lane_of_its_slot() {
    let mut lanes = three();
    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(lanes.address()).expect("connects")).collect();
    let at = home(&[0, 1, 2]);
    let waiting = |lanes: &Lanes| (0..3).map(|slot| lanes.waiting(worker(slot, 1))).collect::<Vec<_>>();
    let wanted = |at| (0..3).map(|slot| if slot == at { 20 } else { 0 }).collect::<Vec<u32>>();
    assert_eq!(waiting(&lanes), wanted(at));
    let other = (at + 1) % 3;
    lanes.set(worker(other, 1), Standing::Draining);
    clients.extend((0..5).map(|_| TcpStream::connect(lanes.address()).expect("connects")));
    assert_eq!(lanes.waiting(worker(at, 1)), 25, "another slot's end moves nobody");
    lanes.set(worker(at, 1), Standing::Draining);
    clients.push(TcpStream::connect(lanes.address()).expect("connects"));
    assert_eq!((lanes.waiting(worker(at, 1)), lanes.waiting(worker(3 - at - other, 1))), (25, 1));
}

#[test]
fn in_a_roll_the_successor_takes_the_slots_place() {
    let mut lanes = three();
    lanes.give(worker(1, 2), Standing::Waiting).expect("a lane of its own");
    assert_eq!(lanes.steered_to(), [0, 1, 2]);
    lanes.set(worker(1, 2), Standing::InService);
    assert_eq!(lanes.steered_to(), [0, 2, 3], "one lane for each slot, at once");
    lanes.set(worker(1, 1), Standing::Draining);
    lanes.vacate(worker(1, 1));
    assert_eq!((lanes.steered_to(), lanes.patience_ends()), (vec![0, 2, 3], None));
}

#[test]
fn after_a_crash_clients_wait_for_the_successor_with_or_without_a_lane() {
    let mut lanes = three();
    lanes.vacate(worker(1, 1));
    assert!(lanes.keeps(1) && lanes.patience_ends().is_some());
    assert_eq!(lanes.steered_to(), [0, 1, 2]);
    lanes.give_free(worker(1, 2), Standing::Waiting).expect("its slot's");
    assert_eq!((lanes.steered_to(), lanes.patience_ends()), (vec![0, 1, 2], None), "it is on its way");
    lanes.set(worker(1, 2), Standing::InService);
    assert!(!lanes.keeps(1));
    // The next one dies in a roll: the successor has begun to start.
    lanes.give(worker(1, 3), Standing::Waiting).expect("given");
    lanes.vacate(worker(1, 2));
    assert_eq!(lanes.steered_to(), [0, 2, 3]);
}

#[test]
fn they_do_not_wait_for_one_that_fails_nor_for_one_that_does_not_come() {
    let mut lanes = three();
    lanes.vacate(worker(1, 1));
    lanes.give_free(worker(1, 2), Standing::Waiting).expect("its slot's");
    lanes.vacate(worker(1, 2));
    assert_eq!((lanes.steered_to(), lanes.keeps(1)), (vec![0, 2], false));
    lanes.give_free(worker(1, 3), Standing::Waiting).expect("its slot's");
    assert_eq!(lanes.steered_to(), [0, 2], "until it serves");
    lanes.vacate(worker(2, 1));
    let until = lanes.patience_ends().expect("no worker yet");
    lanes.lose_patience(Mono(until.0 - 1));
    assert_eq!(lanes.steered_to(), [0, 2]);
    lanes.lose_patience(until);
    assert_eq!((lanes.steered_to(), lanes.patience_ends()), (vec![0], None));
    lanes.vacate(worker(0, 1));
    lanes.release_slot(0);
    assert!(!lanes.keeps(0));
}

#[test]
fn a_worker_that_takes_nothing_and_one_that_leaves_keep_nobody_waiting() {
    let mut lanes = three();
    assert!(lanes.set_stuck(1, true));
    lanes.vacate(worker(1, 1));
    lanes.set(worker(2, 1), Standing::Draining);
    lanes.vacate(worker(2, 1));
    assert_eq!((lanes.steered_to(), lanes.patience_ends()), (vec![0], None));
}

#[test]
fn before_anybody_serves_there_is_a_queue() {
    let closed = Lanes::of_workers(LOOPBACK, 5, &Warnings::default()).sticking(true);
    let Ok(Opened::Lanes(mut lanes)) = open(closed, socket::Join::Alone) else { panic!("no lanes here") };
    let _client = TcpStream::connect(lanes.address()).expect("connects");
    assert_eq!(lanes.steered_to(), [0, 1]);
    let first = lanes.give(worker(0, 1), Standing::Waiting).expect("given");
    assert_eq!(lanes.steered_to(), [0]);
    lanes.set(worker(0, 1), Standing::InService);
    let _client = TcpStream::connect(lanes.address()).expect("connects");
    assert!(socket::accept(&first).expect("accepts").is_some());
}
