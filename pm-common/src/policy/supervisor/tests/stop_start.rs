//! Workers that share an address and of which no two may live in one slot (`pm-cluster --reload stop-start`).

use super::*;
use crate::policy::lag::Stall;

const A: &str = "tcp:0.0.0.0:3000";
const LIMIT: u64 = 1000;

/// Such ones, each ready and past its stable time.
fn cluster(workers: u32, soak: Span) -> Bench {
    let rules = Rules { max_mem: Some(LIMIT), mem_interval: s(999), max_lag: Some(s(5)), ..Rules::default() };
    let roll = RollRule { soak, ..AT_ONCE };
    let shape = Shape { workers, most: MOST_WORKERS, overlap: false, shares: true, ready: ReadyRule::default(), roll };
    let mut bench = Bench { world: World::new(rules, shape), looked: BTreeSet::new() };
    bench.on(Event::Start);
    for slot in 0..workers {
        bench.on(listen(w(slot, 1), A));
    }
    bench.wait(s(20));
    bench
}

fn fat(id: WorkerId) -> Event {
    Event::Memory(id, LIMIT + 1)
}

fn hangs(id: WorkerId) -> Event {
    Event::Lag { id, how: Stall::Loop, after: s(9) }
}

/// The worker drains, is stopped, and ends; what follows.
fn ends(bench: &mut Bench, id: WorkerId) -> Vec<Action> {
    assert_eq!(bench.on(Event::Drained(id)), [Action::Stop(id)]);
    bench.on(ended(id, Exit::Code(0)))
}

#[test]
fn a_reload_goes_slot_by_slot_and_the_first_new_one_soaks_beside_the_others() {
    let mut bench = cluster(2, s(1));
    assert_eq!(deeds(&bench.reload()), [Action::Drain(w(0, 1))]);
    assert_eq!(ends(&mut bench, w(0, 1)), [spawn_next(w(0, 2))]);
    assert_eq!(bench.on(listen(w(0, 2), A)), [], "it soaks");
    assert_eq!(progress(&bench), Some((0, 2, 0, "soak".to_string())));
    assert_eq!(deeds(&bench.tick()), [Action::CommitRelease, Action::Drain(w(1, 1))]);
    assert_eq!(ends(&mut bench, w(1, 1)), [spawn(w(1, 2))]);
    assert!(rolled(&bench.on(listen(w(1, 2), A))));
}

#[test]
fn a_single_one_serves_at_once_as_nobody_else_does() {
    let mut bench = cluster(1, s(1));
    bench.reload();
    assert_eq!(ends(&mut bench, w(0, 1)), [spawn_next(w(0, 2))]);
    let actions = bench.on(listen(w(0, 2), A));
    assert!(actions.contains(&Action::SteerIn(w(0, 2))) && rolled(&actions), "{actions:?}");
}

#[test]
fn a_new_one_that_fails_is_followed_by_the_release_before_it_and_the_others_are_left_alone() {
    for (workers, fails) in [(1, crash(w(0, 2))), (2, crash(w(0, 2))), (2, fat(w(0, 2)))] {
        let mut bench = cluster(workers, s(1));
        bench.reload();
        ends(&mut bench, w(0, 1));
        bench.on(Event::Boots(w(0, 2)));
        let actions = bench.on(fails);
        assert_eq!(said(&actions).iter().filter(|r| matches!(r, Record::RollAborted { .. })).count(), 1);
        bench.on(crash(w(0, 2)));
        assert_eq!(bench.states(0), [(3, "starting")]);
        assert!((1..workers).all(|slot| bench.states(slot) == [(1, "ready")]));
        bench.on(listen(w(0, 3), A));
        assert_eq!(numbers(&bench), (1, 1, 1, Some(false)));
    }
}

#[test]
fn one_that_fails_in_its_soak_is_ended_and_followed_by_the_release_before_it() {
    let soaking = |bench: &mut Bench| {
        bench.reload();
        ends(bench, w(0, 1));
        assert_eq!(bench.on(listen(w(0, 2), A)), []);
    };
    let mut bench = cluster(2, s(1));
    soaking(&mut bench);
    let actions = bench.on(crash(w(0, 2)));
    assert_eq!(reason(&actions), "the new worker ended within the soak code=1");
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(0, 3))]);

    let mut bench = cluster(2, s(1));
    soaking(&mut bench);
    bench.on(Event::Closed { id: w(0, 2), address: at(A) });
    let actions = bench.tick();
    assert!(reason(&actions).starts_with("the new worker did not stay ready within the soak"));
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
    assert_eq!(deeds(&bench.on(ended(w(0, 2), Exit::Code(0)))), [spawn(w(0, 3))]);
}

#[test]
fn one_that_is_not_ready_in_time_is_ended_and_followed_by_the_release_before_it() {
    let mut bench = cluster(1, s(1));
    bench.reload();
    ends(&mut bench, w(0, 1));
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(30), vec![Action::Stop(w(0, 2)), Action::DropRelease]));
    assert_eq!(deeds(&bench.on(ended(w(0, 2), Exit::Code(0)))), [spawn(w(0, 3))]);
}

#[test]
fn those_over_the_memory_limit_go_one_at_a_time_and_not_before_the_others_serve() {
    let mut bench = cluster(3, s(1));
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), [Action::Drain(w(0, 1))]);
    assert_eq!(deeds(&bench.on(fat(w(1, 1)))), []);
    assert_eq!(deeds(&ends(&mut bench, w(0, 1))), [spawn(w(0, 2))]);
    assert_eq!(deeds(&bench.on(listen(w(0, 2), A))), [Action::Drain(w(1, 1))]);
    bench.on(crash(w(1, 1)));
    assert_eq!(deeds(&bench.on(fat(w(2, 1)))), [], "slot 1 is not back yet");
    assert_eq!(deeds(&bench.on(listen(w(1, 2), A))), [Action::Drain(w(2, 1))]);
}

#[test]
fn one_that_hangs_is_ended_at_once() {
    let mut bench = cluster(2, s(1));
    assert_eq!(deeds(&bench.on(hangs(w(0, 1)))), [Action::Drain(w(0, 1))]);
    assert_eq!(deeds(&bench.on(hangs(w(1, 1)))), [Action::Drain(w(1, 1))], "it serves nobody");
    assert!(bench.wait(s(8)).contains(&Action::Kill(w(0, 1))));
    let actions = bench.on(ended(w(0, 1), Exit::Signal(9)));
    assert!(matches!(said(&actions)[..], [Record::Ended { why: Why::Lag, .. }]), "{actions:?}");
    assert_eq!(deeds(&actions), [spawn(w(0, 2))]);
}

#[test]
fn a_reload_begins_with_those_that_serve_nobody() {
    let mut bench = cluster(2, s(1));
    bench.on(fat(w(1, 1)));
    bench.reload();
    assert_eq!(bench.states(0), [(1, "ready")], "slot 1 is down already");
    assert_eq!(deeds(&ends(&mut bench, w(1, 1))), [spawn_next(w(1, 2))]);
    bench.on(listen(w(1, 2), A));
    assert_eq!(deeds(&bench.tick()), [Action::CommitRelease, Action::Drain(w(0, 1))]);
}

#[test]
fn what_happens_in_the_gap_starts_nothing_twice() {
    let gap = || {
        let mut bench = cluster(2, s(1));
        bench.reload();
        bench
    };
    // Two more reloads are one more; scaling waits for the end.
    let mut bench = gap();
    for event in [RELOAD, RELOAD, MORE] {
        assert_eq!(bench.on(event), []);
    }
    assert_eq!(ends(&mut bench, w(0, 1)), [spawn_next(w(0, 2))]);
    bench.on(listen(w(0, 2), A));
    bench.tick();
    ends(&mut bench, w(1, 1));
    let actions = bench.on(listen(w(1, 2), A));
    assert_eq!(deeds(&actions), [Action::ResolveRelease, spawn(w(2, 1))]);

    // The old one crashes as it drains; so does the other.
    let mut bench = gap();
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), [spawn_next(w(0, 2))]);
    assert_eq!(deeds(&bench.on(crash(w(1, 1)))), [spawn(w(1, 2))]);
    let actions = bench.on(listen(w(0, 2), A));
    assert!(actions.contains(&Action::SteerIn(w(0, 2))), "nobody else serves: {actions:?}");

    // A stop.
    let mut bench = gap();
    let actions = bench.on(TERM);
    assert_eq!(deeds(&actions)[..2], [Action::DropRelease, Action::Drain(w(1, 1))]);
    assert_eq!(deeds(&bench.on(ended(w(0, 1), Exit::Code(0)))), []);
    assert_eq!(deeds(&bench.on(ended(w(1, 1), Exit::Code(0)))), [Action::Finish(0)]);
}

#[test]
fn a_new_slot_is_held_to_what_the_others_listen_on() {
    let mut bench = cluster(2, s(1));
    assert_eq!(bench.on(MORE), [spawn(w(2, 1))]);
    assert_eq!(bench.due(), Some(s(30)));
    assert_eq!(bench.on(listen(w(2, 1), A)), [Action::SteerIn(w(2, 1))]);
}
