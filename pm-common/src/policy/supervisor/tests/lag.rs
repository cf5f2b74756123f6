//! The lag limit: a worker that leaves its clients waiting gets a successor, as one over the memory limit does.

use super::*;
use crate::policy::lag::Stall;

const LIMIT: Span = s(5);

fn limited() -> Rules {
    Rules { max_lag: Some(LIMIT), ..Rules::default() }
}

fn lag(id: WorkerId) -> Event {
    Event::Lag { id, how: Stall::Queue, after: LIMIT }
}

/// A cluster whose workers have been stable.
fn stable(workers: u32) -> Bench {
    let mut bench = Bench::cluster(workers, limited());
    bench.wait(s(20));
    bench
}

#[test]
fn the_new_one_is_ready_before_the_hung_one_goes() {
    let mut bench = stable(1);
    let actions = bench.on(lag(w(0, 1)));
    assert_eq!(deeds(&actions), [spawn(w(0, 2))]);
    assert_eq!(said(&actions), [&Record::OverLag { id: w(0, 1), how: Stall::Queue, after: LIMIT, limit: LIMIT }]);
    assert_eq!(bench.on(lag(w(0, 1))), [], "said once");
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(actions[1], Action::Say(Record::Replaced { id: w(0, 2), why: Why::Lag }));
    assert_eq!(deeds(&actions), [Action::Drain(w(0, 1))]);
    let actions = bench.wait(s(8));
    assert!(actions.contains(&Action::Kill(w(0, 1))), "it hangs: {actions:?}");
    bench.on(ended(w(0, 1), Exit::Signal(9)));
    let last = bench.world.sup.snapshot().iter().find(|v| v.id.slot == 0).and_then(|v| v.last);
    assert_eq!(last.map(|last| last.why), Some(Why::Lag));
}

#[test]
fn without_a_limit_below_it_and_in_pm_restart_nothing_happens() {
    let mut bench = Bench::cluster(1, Rules::default());
    assert_eq!(bench.on(lag(w(0, 1))), []);
    let mut bench = stable(1);
    assert_eq!(bench.on(Event::Lag { id: w(0, 1), how: Stall::Loop, after: s(4) }), []);
    let mut bench = Bench::restart(limited());
    assert_eq!(bench.on(lag(w(0, 1))), []);
}

#[test]
fn one_that_starts_and_one_that_drains_are_not_judged() {
    let (mut bench, _) = Bench::new(1, true, limited(), ReadyBy::Notify);
    assert_eq!(bench.on(lag(w(0, 1))), []);
    bench.on(notify(w(0, 1)));
    bench.on(lag(w(0, 1)));
    assert_eq!(bench.on(lag(w(0, 2))), [], "its successor starts");
    bench.on(notify(w(0, 2)));
    assert_eq!(bench.on(lag(w(0, 1))), [], "it drains");
}

#[test]
fn one_that_hangs_soon_after_each_start_is_held_back_and_serves_nobody_worse() {
    let mut bench = Bench::cluster(1, limited());
    assert_eq!(deeds(&bench.on(lag(w(0, 1)))), [spawn(w(0, 2))], "the first at once");
    bench.on(notify(w(0, 2)));
    bench.on(ended(w(0, 1), Exit::Signal(9)));
    assert_eq!(deeds(&bench.on(lag(w(0, 2)))), [], "the second not before its time");
    bench.wait(s(1));
    assert_eq!(deeds(&bench.on(lag(w(0, 2)))), [spawn(w(0, 3))], "said again, it is due");
}

#[test]
fn a_replacement_that_fails_is_tried_again_later() {
    let mut bench = stable(1);
    bench.on(lag(w(0, 1)));
    assert!(matches!(next(&bench.on(crash(w(0, 2)))), Some(Next::Restart(d)) if d > Span::ZERO));
    assert_eq!(deeds(&bench.on(lag(w(0, 1)))), []);
    bench.wait(s(1));
    assert_eq!(deeds(&bench.on(lag(w(0, 1)))), [spawn(w(0, 3))]);
}

#[test]
fn over_both_limits_it_is_replaced_once_for_the_first() {
    let mut bench = Bench::cluster(1, Rules { max_mem: Some(1), ..limited() });
    bench.wait(s(20));
    bench.on(Event::Memory(w(0, 1), 2));
    assert_eq!(bench.on(lag(w(0, 1))), []);
    let actions = bench.on(notify(w(0, 2)));
    assert!(said(&actions).contains(&&Record::Replaced { id: w(0, 2), why: Why::Memory }), "{actions:?}");
}

#[test]
fn those_that_hang_do_not_wait_for_each_other() {
    let mut bench = stable(3);
    for slot in 0..3 {
        assert_eq!(deeds(&bench.on(lag(w(slot, 1)))), [spawn(w(slot, 2))]);
    }
    assert_eq!(deeds(&bench.on(notify(w(2, 2)))), [Action::Drain(w(2, 1))], "the others may never be ready");
}

#[test]
fn those_that_hang_do_not_wait_for_one_that_is_too_large_but_it_for_them() {
    let mut bench = Bench::cluster(3, Rules { max_mem: Some(1), ..limited() });
    bench.wait(s(20));
    assert_eq!(deeds(&bench.on(Event::Memory(w(0, 1), 2))), [spawn(w(0, 2))]);
    assert_eq!(deeds(&bench.on(Event::Memory(w(1, 1), 2))), [], "one at a time");
    assert_eq!(deeds(&bench.on(lag(w(2, 1)))), [spawn(w(2, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(0, 2)))), [Action::Drain(w(0, 1))]);
    assert_eq!(deeds(&bench.on(lag(w(1, 1)))), [spawn(w(1, 2))], "now it hangs as well");
}

#[test]
fn one_that_hangs_during_a_roll_is_replaced_at_once_and_rolled_after() {
    let mut bench = stable(2);
    assert_eq!(deeds(&bench.reload()), [spawn_next(w(0, 2))]);
    assert_eq!(deeds(&bench.on(lag(w(1, 1)))), [spawn(w(1, 2))], "the new release may be no good");
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Drain(w(0, 1))], "its replacement has yet to be ready");
    assert_eq!(deeds(&bench.on(notify(w(1, 2)))), [Action::Drain(w(1, 1)), spawn(w(1, 3))]);
    assert!(rolled(&bench.on(notify(w(1, 3)))));
}

#[test]
fn where_the_roll_starts_its_new_worker_that_is_the_replacement_unless_it_fails() {
    let mut bench = stable(2);
    bench.reload();
    assert_eq!(deeds(&bench.on(lag(w(0, 1)))), []);
    let actions = bench.on(crash(w(0, 2)));
    assert!(aborted(&actions), "{actions:?}");
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(0, 3))], "at once");
}

#[test]
fn a_roll_leaves_the_replacement_of_one_that_hangs_alone() {
    let mut bench = stable(1);
    bench.on(lag(w(0, 1)));
    assert_eq!(deeds(&bench.reload()), []);
    assert_eq!(progress(&bench).map(|p| p.3).as_deref(), Some("replacement of a worker that hangs"));
    let actions = bench.on(crash(w(0, 2)));
    assert_eq!(deeds(&actions), [spawn_next(w(0, 3))], "it failed: the new release may be the cure");
}
