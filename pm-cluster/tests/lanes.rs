//! Lanes against the real kernel, on loopback.

mod common;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{
    address, connect, hand_on, handle, inode, lanes, loopback, open, query, serving, take, unattended, worker,
};
use pm_common::node::query::Family;
use pm_common::sys::socket::{self, EADDRINUSE, Join};

#[test]
fn of_two_supervisors_that_race_for_a_port_one_is_told() {
    let first = socket::tcp_bound("127.0.0.1:0".parse().expect("an address"), false, Join::Alone).expect("bound");
    let second = socket::tcp_bound(address(&first), false, Join::Alone).expect("both bind before either listens");
    socket::listen(&first, 5).expect("the first one listens");
    socket::let_others_join(&first).expect("set");
    let error = socket::listen(&second, 5).expect_err("the second one may not share");
    assert_eq!(error.raw_os_error(), Some(EADDRINUSE));
}

#[test]
fn another_supervisor_on_the_same_port_gets_eaddrinuse() {
    let (mut ours, mut theirs) = (lanes(), lanes());
    let (fd, _) = serving(&mut ours, worker(0, 1), &loopback());
    let same = query(Family::Tcp4, Some("127.0.0.1"), address(&fd).port());
    assert_eq!(open(&mut theirs, worker(0, 1), &same).expect_err("taken"), -EADDRINUSE);
    let any = query(Family::Tcp4, Some("0.0.0.0"), address(&fd).port());
    assert_eq!(open(&mut theirs, worker(0, 1), &any).expect_err("taken"), -EADDRINUSE);
}

#[test]
fn connections_go_to_the_lanes_in_service_and_nowhere_else() {
    let mut listeners = lanes();
    let workers: Vec<_> = (0..4).map(|slot| serving(&mut listeners, worker(slot, 1), &loopback()).0).collect();
    listeners.steer_off(worker(1, 1));
    let _clients = connect(address(&workers[0]), 200);
    let counts = take(&workers.iter().collect::<Vec<_>>(), 200);
    assert_eq!(counts[1], 0, "steered off: {counts:?}");
    assert!(counts.iter().filter(|&&count| count > 0).count() == 3, "spread over the others: {counts:?}");
    assert!(listeners.take_warnings().is_empty());
}

#[test]
fn ipv6_and_dual_stack_are_steered_too() {
    let Ok(_) = std::net::TcpListener::bind("[::1]:0") else { return };
    let mut listeners = lanes();
    let both = query(Family::Tcp4, None, 0);
    let workers: Vec<_> = (0..3).map(|slot| serving(&mut listeners, worker(slot, 1), &both).0).collect();
    listeners.steer_off(worker(2, 1));
    let port = address(&workers[0]).port();
    let _four = connect(([127, 0, 0, 1], port).into(), 60);
    let _six = connect(format!("[::1]:{port}").parse().expect("an address"), 60);
    let counts = take(&workers.iter().collect::<Vec<_>>(), 120);
    assert!(counts[0] > 0 && counts[1] > 0 && counts[2] == 0, "{counts:?}");
}

#[test]
fn the_length_of_a_queue_can_be_seen() {
    let (fd, _) = serving(&mut lanes(), worker(0, 1), &loopback());
    let _clients = connect(address(&fd), 7);
    let limit = Instant::now() + Duration::from_secs(20);
    while socket::accept_queue(&fd).expect("TCP") < 7 {
        assert!(Instant::now() < limit, "the last handshake never ended");
    }
    let _accepted: Vec<_> = (0..3).map(|_| socket::accept(&fd).expect("accept").expect("one waits")).collect();
    assert_eq!(socket::accept_queue(&fd).expect("TCP"), 4);
}

#[test]
fn a_lone_worker_gets_everything_though_there_are_two_lanes() {
    let mut listeners = lanes();
    let (fd, _) = serving(&mut listeners, worker(0, 1), &loopback());
    assert_eq!(unattended(&listeners).count(), 1, "the second lane is there from the start");
    let _clients = connect(address(&fd), 100);
    assert_eq!(take(&[&fd], 100), [100]);
}

#[test]
fn a_worker_gets_connections_only_when_it_is_ready_and_accepts() {
    let mut listeners = lanes();
    let (first, key) = serving(&mut listeners, worker(0, 1), &loopback());
    let (second, _) = handle(open(&mut listeners, worker(1, 1), &loopback()).expect("granted"));
    let _not_listening = connect(address(&first), 20);
    assert_eq!(take(&[&first, &second], 20), [20, 0]);
    listeners.steer_in(worker(1, 1));
    let _not_accepting = connect(address(&first), 20);
    assert_eq!(take(&[&first, &second], 20), [20, 0]);
    listeners.accepting(worker(1, 1), &key);
    listeners.steer_off(worker(0, 1));
    let _both = connect(address(&first), 20);
    assert_eq!(take(&[&first, &second], 20), [0, 20]);
}

#[test]
fn what_waits_for_a_crashed_worker_is_served_by_the_next_one_of_its_slot() {
    let mut listeners = lanes();
    let (dead, key) = serving(&mut listeners, worker(0, 1), &loopback());
    let _clients = connect(address(&dead), 20);
    let (lane, address) = (inode(&dead), address(&dead));
    drop(dead);
    listeners.gone(worker(0, 1));
    let _late = connect(address, 20);
    let (next, same_key) = handle(open(&mut listeners, worker(0, 2), &loopback()).expect("granted"));
    assert_eq!((inode(&next), same_key), (lane, key));
    assert_eq!(take(&[&next], 40), [40]);
}

#[test]
fn with_two_workers_a_crash_steers_to_the_other_and_the_queue_can_be_handed_on() {
    let mut listeners = lanes();
    let (first, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (second, _) = serving(&mut listeners, worker(1, 1), &loopback());
    listeners.steer_off(worker(1, 1));
    let _queued = connect(address(&first), 20);
    listeners.steer_in(worker(1, 1));
    drop(first);
    listeners.gone(worker(0, 1));
    let _new = connect(address(&second), 20);
    assert_eq!(hand_on(&listeners, 20), 20);
    assert_eq!(take(&[&second], 20), [20]);
    assert_eq!(listeners.all().into_keys().collect::<Vec<_>>(), [worker(1, 1)]);
    let unattended: Vec<_> = unattended(&listeners).map(|lane| lane.slot).collect();
    assert_eq!(unattended, [Some(0)], "the slot's next worker gets it");
}

#[test]
fn a_lane_that_a_worker_holds_is_not_accepted_from() {
    let mut listeners = lanes();
    let (first, _) = serving(&mut listeners, worker(0, 1), &loopback());
    listeners.gone(worker(0, 1));
    let lane = unattended(&listeners).find(|lane| lane.slot == Some(0)).expect("kept for slot 0").at;
    let (second, _) = serving(&mut listeners, worker(0, 2), &loopback());
    let _client = connect(address(&first), 1);
    assert!(listeners.accept(lane).expect("accept").is_none());
    assert_eq!(take(&[&second], 1), [1]);
}

#[test]
fn a_replacement_beside_a_living_worker_gets_a_lane_of_its_own_and_rolls_need_no_more_than_one_extra() {
    let mut listeners = lanes();
    let mut held: Vec<_> = (0..3).map(|slot| serving(&mut listeners, worker(slot, 1), &loopback()).0).collect();
    let address = address(&held[0]);
    for generation in 2..8 {
        for slot in 0..3u32 {
            let (fd, _) = serving(&mut listeners, worker(slot, generation), &loopback());
            assert!(held.iter().all(|other| inode(other) != inode(&fd)), "of its own");
            let old = worker(slot, generation - 1);
            listeners.steer_off(old);
            let key = "127.0.0.1:0:4:undefined:0";
            listeners.closed(old, key);
            listeners.gone(old);
            held[slot as usize] = fd;
            assert_eq!(unattended(&listeners).map(|lane| lane.slot).collect::<Vec<_>>(), [None]);
        }
    }
    let _clients = connect(address, 60);
    take(&held.iter().collect::<Vec<_>>(), 60);
}

#[test]
fn a_failed_replacement_leaves_the_old_worker_and_its_lane_alone() {
    let mut listeners = lanes();
    let (old, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (new, _) = handle(open(&mut listeners, worker(0, 2), &loopback()).expect("granted"));
    drop(new);
    listeners.gone(worker(0, 2));
    let _clients = connect(address(&old), 20);
    assert_eq!(take(&[&old], 20), [20]);
    let lane = inode(&old);
    drop(old);
    listeners.gone(worker(0, 1));
    let (next, _) = handle(open(&mut listeners, worker(0, 3), &loopback()).expect("granted"));
    assert_eq!(inode(&next), lane);
}

#[test]
fn when_all_have_crashed_connections_wait_where_a_successor_will_look() {
    let mut listeners = lanes();
    let held: Vec<_> = (0..2).map(|slot| serving(&mut listeners, worker(slot, 1), &loopback()).0).collect();
    let address = address(&held[0]);
    let (extra, _) = serving(&mut listeners, worker(2, 1), &loopback());
    drop((held, extra));
    (0..3).for_each(|slot| listeners.gone(worker(slot, 1)));
    listeners.release_slot(2);
    let _clients = connect(address, 60);
    let (first, _) = handle(open(&mut listeners, worker(0, 2), &loopback()).expect("granted"));
    let (second, _) = handle(open(&mut listeners, worker(1, 2), &loopback()).expect("granted"));
    assert_eq!(take(&[&first, &second], 60).iter().sum::<usize>(), 60);
}

#[test]
fn a_port_can_be_opened_again_while_an_old_connection_lives() {
    let mut listeners = lanes();
    let (fd, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let address = address(&fd);
    let client = TcpStream::connect(address).expect("connected");
    let accepted = loop {
        if let Some(accepted) = socket::accept(&fd).expect("accept") {
            break accepted;
        }
    };
    drop(fd);
    listeners.close_all();
    assert_eq!(TcpStream::connect(address).expect_err("closed").kind(), ErrorKind::ConnectionRefused);
    let again = query(Family::Tcp4, Some("127.0.0.1"), address.port());
    let (alive, _) = serving(&mut listeners, worker(0, 1), &again);
    // The server's side closes first: it is left in TIME_WAIT.
    drop((accepted, client, alive));
    listeners.close_all();
    serving(&mut listeners, worker(0, 1), &again);
    assert_eq!(unattended(&listeners).count(), 1, "with lanes, not shared: {:?}", listeners.take_warnings());
}

#[test]
fn a_foreign_listener_is_named_and_gets_nothing_wherever_it_stands_in_the_group() {
    let mut listeners = lanes();
    let (first, _) = serving(&mut listeners, worker(0, 1), &loopback());
    let (second, _) = serving(&mut listeners, worker(1, 1), &loopback());
    let foreign = socket::tcp_bound(address(&first), false, Join::Beside).expect("same user, same port");
    socket::listen(&foreign, 511).expect("joins the group");
    let (third, _) = serving(&mut listeners, worker(2, 1), &loopback());
    let warnings = listeners.take_warnings();
    assert_eq!(warnings.len(), 1, "said once: {warnings:?}");
    assert!(warnings[0].contains(&format!("(pid {})", std::process::id())), "{warnings:?}");
    let _clients = connect(address(&first), 100);
    let counts = take(&[&first, &second, &third, &foreign], 100);
    assert!(counts[..3].iter().all(|&count| count > 0) && counts[3] == 0, "{counts:?}");
    // The kernel moves the third lane into the hole.
    drop(foreign);
    listeners.steer_off(worker(1, 1));
    let _clients = connect(address(&first), 100);
    let counts = take(&[&first, &second, &third], 100);
    assert!(counts[0] > 0 && counts[1] == 0 && counts[2] > 0, "{counts:?}");
}
