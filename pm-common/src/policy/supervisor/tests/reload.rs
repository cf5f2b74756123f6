//! Reloads, in both shapes.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";
const B: &str = "tcp:[::]:2";

/// A cluster with this rule for rolls and every worker ready.
fn cluster(workers: u32, roll: RollRule) -> Bench {
    let mut bench = Bench::cluster(workers, Rules::default());
    bench.world.sup.shape.roll = roll;
    bench
}

/// One at a time with a soak of a second.
const SOAK: RollRule = RollRule { soak: s(1), ..AT_ONCE };

#[test]
fn slot_by_slot_each_new_one_ready_before_its_old_one_goes() {
    let mut bench = Bench::cluster(2, Rules::default());
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(
        actions,
        [
            Action::CommitRelease,
            Action::SteerIn(w(0, 2)),
            Action::SteerOff(w(0, 1)),
            Action::Drain(w(0, 1)),
            spawn(w(1, 2))
        ]
    );
    let actions = bench.on(notify(w(1, 2)));
    let last = bench.world.sup.snapshot().into_iter().find_map(|view| view.last).expect("of the one before");
    assert_eq!((last.exit, last.why), (None, Why::Reload), "known before the old one has ended");
    assert_eq!(deeds(&actions), [Action::Drain(w(1, 1))]);
    assert_eq!(said(&actions), [&Record::Rolled { workers: 2, number: 1 }]);
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [Action::Stop(w(0, 1))]);
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [], "told once");
    bench.on(ended(w(0, 1), Exit::Code(0)));
    bench.on(ended(w(1, 1), Exit::Code(0)));
    assert_eq!((bench.due(), numbers(&bench)), (None, (1, 1, 1, Some(true))));
}

#[test]
fn the_first_new_worker_gets_no_traffic_before_it_has_soaked() {
    let mut bench = cluster(2, SOAK);
    bench.reload();
    assert_eq!(progress(&bench), Some((0, 2, 0, "ready".to_string())));
    assert_eq!(bench.on(notify(w(0, 2))), []);
    assert_eq!((bench.due(), bench.states(0)), (Some(s(1)), vec![(1, "ready"), (2, "starting")]));
    assert_eq!(progress(&bench), Some((0, 2, 0, "soak".to_string())));
    assert_eq!(bench.on(listen(w(0, 2), A)), [], "a further address changes nothing");
    let actions = bench.tick();
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Drain(w(0, 1)), spawn(w(1, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(1, 2)))), [Action::Drain(w(1, 1))], "only the first soaks");
}

#[test]
fn one_that_stops_listening_within_the_soak_is_not_ready() {
    let mut bench = cluster(1, SOAK);
    bench.on(listen(w(0, 1), A));
    bench.reload();
    bench.on(listen(w(0, 2), A));
    bench.on(Event::Closed { id: w(0, 2), address: at(A) });
    let actions = bench.tick();
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
    assert!(
        reason(&actions).starts_with("the new worker did not stay ready within the soak; it does not listen on 0.0")
    );
}

#[test]
fn a_failure_keeps_the_old_workers_costs_them_nothing_and_is_named() {
    let table = [
        (false, crash(w(0, 2)), "the new worker ended before it was ready code=1"),
        (false, ended(w(0, 2), Exit::Code(0)), "the new worker ended before it was ready code=0"),
        (false, Event::SpawnFailed(w(0, 2), 126), "the new worker could not be started code=126"),
        (true, ended(w(0, 2), Exit::Signal(11)), "the new worker ended within the soak signal=SEGV"),
    ];
    for (ready, event, why) in table {
        let mut bench = cluster(2, SOAK);
        bench.reload();
        if ready {
            bench.on(notify(w(0, 2)));
        }
        let actions = bench.on(event);
        assert_eq!(actions.len(), 2, "{actions:?}");
        assert_eq!((deeds(&actions), reason(&actions)), (vec![Action::DropRelease], why));
        assert_eq!((bench.states(0), bench.states(1)), (vec![(1, "ready")], vec![(1, "ready")]));
        assert_eq!((bench.due(), numbers(&bench)), (None, (1, 1, 1, Some(false))));
        assert_eq!((bench.world.sup.roll().reason.as_str(), bench.world.sup.roll().slot), (why, Some(0)));
        assert_eq!(next(&bench.on(crash(w(0, 1)))), Some(Next::Restart(Span::ZERO)), "the budget of the old is whole");
    }
}

#[test]
fn the_end_of_one_that_never_had_the_seat_is_none_of_the_slots() {
    let record = |bench: &Bench| {
        let view =
            bench.world.sup.snapshot().into_iter().find(|view| view.id == w(0, 1)).expect("the old worker lives");
        (view.restarts, view.last)
    };
    let mut bench = cluster(1, SOAK);
    bench.reload();
    bench.on(crash(w(0, 2)));
    assert_eq!(record(&bench), (0, None), "it ended by itself");

    let mut bench = cluster(1, SOAK);
    bench.on(listen(w(0, 1), A));
    bench.reload();
    bench.until_next();
    bench.on(ended(w(0, 2), Exit::Signal(15)));
    assert_eq!(record(&bench), (0, None), "it was late and told to end");

    let mut bench = cluster(1, SOAK);
    bench.reload();
    bench.on(Event::Excused(w(0, 2)));
    bench.on(crash(w(0, 2)));
    bench.on(crash(w(0, 3)));
    assert_eq!(record(&bench), (0, None), "nor that of the one in its place");

    let mut bench = cluster(1, SOAK);
    bench.reload();
    bench.on(notify(w(0, 2)));
    bench.wait(s(1));
    bench.on(ended(w(0, 1), Exit::Code(0)));
    let view = bench.world.sup.snapshot().into_iter().find(|view| view.id == w(0, 2)).expect("it has the seat");
    assert_eq!((view.restarts, view.last.map(|last| last.why)), (1, Some(Why::Reload)));
}

#[test]
fn a_release_that_cannot_be_resolved_starts_nothing() {
    for mut bench in [Bench::cluster(1, Rules::default()), Bench::restart(Rules::default())] {
        assert_eq!(bench.on(RELOAD), [Action::ResolveRelease]);
        let actions = bench.on(Event::ResolveFailed("no such directory".to_string()));
        assert_eq!((deeds(&actions), reason(&actions)), (vec![Action::DropRelease], "no such directory"));
        assert_eq!((bench.due(), bench.states(0)), (None, vec![(1, "ready")]));
        assert_eq!((numbers(&bench), bench.world.sup.roll().slot), ((1, 1, 1, Some(false)), None));
        assert_eq!(bench.on(Event::ResolveFailed("late".to_string())), []);
    }
}

#[test]
fn one_that_is_not_ready_in_time_is_ended_and_aborts() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(listen(w(0, 1), A));
    bench.reload();
    assert_eq!(progress(&bench), Some((0, 1, 0, format!("ready: to listen on {A}"))));
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(30), vec![Action::Stop(w(0, 2)), Action::DropRelease]));
    let lacks = "it does not listen on 0.0.0.0:3000 as the one before it (if that is meant: pm reload APP --moved)";
    assert_eq!(reason(&actions), format!("not ready after 30000ms; {lacks}"));
    assert_eq!(bench.states(0), [(1, "ready"), (2, "draining")]);
    assert_eq!(bench.on(ended(w(0, 2), Exit::Signal(15))), []);
}

#[test]
fn several_at_a_time_once_the_first_is_good_and_all_of_them_go_when_one_fails() {
    let mut bench = cluster(4, RollRule { parallel: 2, ..AT_ONCE });
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))], "one until it has shown that the release is good");
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Drain(w(0, 1)), spawn(w(1, 2)), spawn(w(2, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(2, 2)))), [Action::Drain(w(2, 1)), spawn(w(3, 2))]);
    assert_eq!(progress(&bench), Some((2, 4, 1, "ready".to_string())));
    let actions = bench.on(crash(w(3, 2)));
    assert_eq!(deeds(&actions), [Action::Stop(w(1, 2)), Action::DropRelease]);
    assert!(matches!(said(&actions)[..], [Record::RollAborted { slot: 3, .. }]));
    assert_eq!(bench.states(1), [(1, "ready"), (2, "draining")]);
    assert_eq!(bench.on(crash(w(1, 2))), [], "it succeeds nobody any more");
}

#[test]
fn one_of_a_failed_roll_that_has_a_seat_already_proves_nothing_to_the_next_roll() {
    let under_way = |bench: &mut Bench| {
        bench.reload();
        bench.on(notify(w(0, 2)));
        bench.on(crash(w(1, 1)));
        assert_eq!(bench.states(1), [(2, "starting")], "in the seat");
        bench.on(RELOAD);
        let actions = bench.on(crash(w(2, 2)));
        assert_eq!(deeds(&actions), [Action::DropRelease, Action::ResolveRelease]);
        assert_eq!(deeds(&bench.tick()), [spawn_next(w(0, 3))]);
    };
    let two = RollRule { parallel: 2, ..AT_ONCE };
    let mut bench = cluster(3, two);
    under_way(&mut bench);
    assert_eq!(bench.on(notify(w(1, 2))), [Action::SteerIn(w(1, 2))]);
    assert_eq!(numbers(&bench), (2, 2, 1, Some(false)));

    let mut bench = cluster(3, two);
    under_way(&mut bench);
    let actions = bench.on(crash(w(1, 2)));
    assert_eq!((deeds(&actions), aborted(&actions)), (vec![spawn(w(1, 3))], false));

    let mut bench = cluster(3, two);
    under_way(&mut bench);
    bench.on(crash(w(0, 3)));
    bench.on(FEWER);
    bench.on(FEWER);
    bench.on(ended(w(2, 1), Exit::Code(0)));
    assert_eq!(deeds(&bench.on(crash(w(1, 2)))), [Action::ReleaseSlot(1)]);
}

#[test]
fn no_new_one_starts_while_too_many_old_ones_drain() {
    for overlap in [0, 1] {
        let mut bench = cluster(2, RollRule { overlap, ..AT_ONCE });
        bench.reload();
        assert_eq!(deeds(&bench.on(notify(w(0, 2)))), [Action::CommitRelease, Action::Drain(w(0, 1))]);
        assert_eq!(progress(&bench), Some((1, 2, 1, "drain of an older worker".to_string())));
        assert_eq!(bench.on(Event::Drained(w(0, 1))), [Action::Stop(w(0, 1))]);
        assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn(w(1, 2))]);
    }
}

#[test]
fn requests_during_a_roll_become_one_more() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.reload();
    for _ in 0..3 {
        assert_eq!(bench.on(RELOAD), []);
    }
    assert_eq!(numbers(&bench), (4, 1, 0, None));
    bench.on(notify(w(0, 2)));
    let actions = bench.on(notify(w(1, 2)));
    assert!(rolled(&actions));
    assert_eq!((actions.last(), numbers(&bench)), (Some(&Action::ResolveRelease), (4, 4, 1, Some(true))));
    assert_eq!(bench.tick(), [spawn_next(w(0, 3))]);
    let actions = bench.on(crash(w(0, 3)));
    assert!(aborted(&actions));
    assert_eq!(numbers(&bench), (4, 4, 4, Some(false)));
}

#[test]
fn a_crash_during_the_trial_starts_the_current_release_beside_the_new_one() {
    let mut bench = cluster(1, SOAK);
    bench.reload();
    let actions = bench.on(crash(w(0, 1)));
    assert_eq!((next(&actions), deeds(&actions)), (Some(Next::Restart(Span::ZERO)), vec![spawn(w(0, 3))]));
    bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&bench.on(notify(w(0, 3)))), []);
    let actions = bench.tick();
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Drain(w(0, 3))]);
    assert!(rolled(&actions));
}

#[test]
fn a_crash_after_the_trial_gives_the_new_one_the_seat_and_its_failure_costs_nothing() {
    let mut bench = Bench::cluster(2, Rules { intensity: 0, ..Rules::default() });
    bench.reload();
    bench.on(notify(w(0, 2)));
    let actions = bench.on(crash(w(1, 1)));
    assert_eq!((next(&actions), deeds(&actions)), (Some(Next::Replaced), vec![]));
    assert_eq!(bench.states(1), [(2, "starting")]);
    let mut other = Bench { world: bench.world.clone(), looked: bench.looked.clone() };
    assert!(rolled(&other.on(notify(w(1, 2)))));
    let actions = bench.on(crash(w(1, 2)));
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(1, 3))], "from the old release again");
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);
}

#[test]
fn a_slot_that_started_anew_after_the_trial_is_waited_for() {
    let mut bench = cluster(3, AT_ONCE);
    bench.reload();
    bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&bench.on(crash(w(2, 1)))), [spawn(w(2, 2))], "its turn has not come: the slot's own rules");
    let actions = bench.on(notify(w(1, 2)));
    assert_eq!((deeds(&actions), rolled(&actions)), (vec![Action::Drain(w(1, 1))], false));
    let mut other = Bench { world: bench.world.clone(), looked: bench.looked.clone() };
    assert!(rolled(&other.on(notify(w(2, 2)))));
    let actions = bench.on(crash(w(2, 2)));
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(2, 3))]);
}

#[test]
fn a_worker_that_still_starts_is_replaced_as_well() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Stop(w(0, 1)), spawn(w(1, 2))], "nothing to drain");
}

#[test]
fn a_new_worker_is_held_to_what_the_old_one_listened_on_last() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.reload();
    assert_eq!(bench.due(), Some(Span::millis(500)), "no baseline yet");
    bench.on(listen(w(0, 1), A));
    bench.on(crash(w(0, 1)));
    bench.on(notify(w(0, 3)));
    assert_eq!(bench.due(), Some(s(30)));
    assert!(rolled(&bench.on(listen(w(0, 2), A))));

    // The other way round: it listens on all that is left to listen on.
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(0, 1), B));
    bench.reload();
    assert_eq!(bench.on(listen(w(0, 2), A)), []);
    bench.on(Event::Closed { id: w(0, 1), address: at(B) });
    assert!(bench.on(crash(w(0, 1))).contains(&Action::SteerIn(w(0, 2))));
}

#[test]
fn a_reload_heals_what_waits_and_what_has_failed() {
    let rules = Rules { intensity: 1, ..Rules::default() };
    let mut bench = Bench::cluster(2, rules);
    bench.on(crash(w(1, 1)));
    bench.wait(s(1));
    bench.on(crash(w(1, 2)));
    assert_eq!(bench.states(1), [(2, "failed")]);
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::Drain(w(0, 1)), spawn(w(1, 3))]);
    assert_eq!(bench.states(1), [(3, "starting")], "in the empty seat");
    assert!(rolled(&bench.on(notify(w(1, 3)))));
    assert_eq!(next(&bench.on(crash(w(1, 3)))), Some(Next::Restart(Span::ZERO)), "its restarts are forgotten");
}

#[test]
fn a_reload_is_tried_even_if_everything_has_failed_meanwhile() {
    let mut bench = Bench::cluster(1, Rules { intensity: 0, ..Rules::default() });
    assert_eq!(bench.on(RELOAD), [Action::ResolveRelease]);
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), [], "we do not give up yet");
    assert_eq!((bench.states(0), bench.tick()), (vec![(1, "failed")], vec![spawn_next(w(0, 2))]));
    let mut other = Bench { world: bench.world.clone(), looked: bench.looked.clone() };
    assert!(rolled(&other.on(notify(w(0, 2)))));
    assert_eq!(other.states(0), [(2, "ready")]);
    let actions = bench.on(crash(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::DropRelease, Action::AnnounceGaveUp, Action::Finish(1)]);
}

#[test]
fn where_all_wait_for_their_next_try_the_new_release_is_tried_beside() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(crash(w(0, 1)));
    bench.on(crash(w(1, 1)));
    assert_eq!((bench.states(0), bench.states(1)), (vec![(1, "backoff")], vec![(1, "backoff")]));
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, spawn(w(1, 2))]);
    assert_eq!((bench.states(0), bench.states(1)), (vec![(2, "ready")], vec![(2, "starting")]));
    assert!(rolled(&bench.on(notify(w(1, 2)))));
}

#[test]
fn scaling_and_memory_wait_for_the_end() {
    let mut bench = Bench::cluster(2, Rules { max_mem: Some(9), mem_interval: s(99), ..Rules::default() });
    bench.wait(s(20));
    assert_eq!(deeds(&bench.on(Event::Memory(w(1, 1), 10))), [spawn(w(1, 2))]);
    bench.on(RELOAD);
    assert_eq!(bench.states(1), [(1, "ready"), (2, "draining")], "the roll replaces that one too");
    bench.tick();
    assert_eq!(bench.on(MORE), []);
    assert_eq!(bench.on(MORE), []);
    assert_eq!(bench.on(FEWER), []);
    assert_eq!(deeds(&bench.on(Event::Memory(w(0, 1), 10))), [], "the roll replaces it, and that is all");
    bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&bench.on(Event::Memory(w(0, 2), 10))), []);
    let actions = bench.on(notify(w(1, 3)));
    assert!(rolled(&actions));
    assert_eq!(deeds(&actions), [Action::Drain(w(1, 1)), spawn(w(2, 1)), spawn(w(0, 3))]);
}

#[test]
fn a_new_worker_over_the_memory_limit_is_a_failure() {
    let mut bench = cluster(1, SOAK);
    bench.world.sup.rules.max_mem = Some(9);
    bench.reload();
    bench.on(notify(w(0, 2)));
    let actions = bench.on(Event::Memory(w(0, 2), 10));
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
    assert_eq!(reason(&actions), "the new worker is over the memory limit bytes=10 limit=9");
}

#[test]
fn a_stop_ends_the_roll_and_answers_every_request() {
    let mut bench = cluster(2, SOAK);
    bench.reload();
    bench.on(RELOAD);
    bench.on(MORE);
    let actions = bench.on(TERM);
    let kinds = [
        Action::DropRelease,
        Action::Drain(w(0, 1)),
        Action::Stop(w(0, 2)),
        Action::Drain(w(1, 1)),
        Action::AnnounceStop(s(8)),
    ];
    assert_eq!(deeds(&actions), kinds);
    let view = bench.world.sup.roll();
    assert_eq!((numbers(&bench), view.slot, view.running), ((2, 2, 2, Some(false)), Some(0), None));
    assert_eq!(view.reason, "the supervisor was stopped");
}

#[test]
fn requests_go_to_a_supervisor_below() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    for request in [Request::Reload, Request::More, Request::Fewer] {
        assert_eq!(bench.on(Event::Asked(request)), [Action::Forward(w(0, 1), request)]);
    }
}

#[test]
fn a_new_worker_that_is_excused_is_started_again_from_the_new_release() {
    let mut bench = cluster(2, SOAK);
    bench.reload();
    bench.on(Event::Excused(w(0, 2)));
    assert_eq!(bench.on(crash(w(0, 2))), [spawn_next(w(0, 3))]);
    assert_eq!(progress(&bench), Some((0, 2, 0, "ready".to_string())));
    bench.on(notify(w(0, 3)));
    assert_eq!(deeds(&bench.tick()), [Action::CommitRelease, Action::Drain(w(0, 1)), spawn(w(1, 2))]);
    bench.on(Event::Excused(w(1, 2)));
    assert_eq!(bench.on(crash(w(1, 2))), [spawn(w(1, 3))], "committed by now");
    assert_eq!(said(&bench.on(notify(w(1, 3)))), [&Record::Rolled { workers: 2, number: 1 }]);
}

#[test]
fn the_second_failure_of_a_new_worker_aborts() {
    let mut bench = cluster(2, SOAK);
    bench.reload();
    bench.on(Event::Excused(w(0, 2)));
    bench.on(crash(w(0, 2)));
    bench.on(Event::Excused(w(0, 3)));
    let actions = bench.on(crash(w(0, 3)));
    assert_eq!(deeds(&actions), [Action::DropRelease]);
    assert_eq!(reason(&actions), "the new worker ended before it was ready code=1");
}
