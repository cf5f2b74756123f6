//! Reloads, in both shapes.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";

#[test]
fn slot_by_slot_each_new_one_ready_before_its_old_one_goes() {
    let mut bench = Bench::cluster(2, Rules::default());
    assert_eq!(bench.on(RELOAD), [Action::Spawn(w(0, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 1)), Action::Spawn(w(1, 2))]);
    assert!(!rolled(&actions));
    let actions = bench.on(notify(w(1, 2)));
    assert_eq!(deeds(&actions), [Action::Stop(w(1, 1))]);
    assert_eq!(said(&actions), [&Record::Rolled { workers: 2 }]);
    bench.on(ended(w(0, 1), Exit::Code(0)));
    bench.on(ended(w(1, 1), Exit::Code(0)));
    assert_eq!(bench.due(), None);
}

#[test]
fn pm_restart_stops_and_starts_without_a_word_or_a_delay() {
    let mut bench = Bench::restart(Rules { intensity: 1, ..Rules::default() });
    for generation in 1..9 {
        assert_eq!(deeds(&bench.on(RELOAD)), [Action::Stop(w(0, generation))]);
        assert_eq!(bench.on(ended(w(0, generation), Exit::Code(0))), [Action::Spawn(w(0, generation + 1))]);
    }
}

#[test]
fn a_failed_replacement_keeps_the_old_workers_and_costs_them_nothing() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(RELOAD);
    let actions = bench.on(crash(w(0, 2)));
    assert!(aborted(&actions) && deeds(&actions).is_empty() && !rolled(&actions));
    assert_eq!((bench.states(0), bench.states(1)), (vec![(1, "ready")], vec![(1, "ready")]));
    assert_eq!(bench.due(), None);
    assert_eq!(next(&bench.on(crash(w(0, 1)))), Some(Next::Restart(Span::ZERO)), "the budget of the old is whole");
}

#[test]
fn a_replacement_that_is_not_ready_in_time_is_ended_and_aborts() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(listen(w(0, 1), A));
    bench.on(RELOAD);
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(30), vec![Action::Stop(w(0, 2))]));
    assert!(matches!(said(&actions)[..], [Record::NotReady { missing, .. }] if missing == &[A]));
    assert!(aborted(&bench.on(ended(w(0, 2), Exit::Signal(15)))));
    assert_eq!(bench.states(0), [(1, "ready")]);
}

#[test]
fn a_worker_that_was_still_starting_is_replaced_once_it_is_ready() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(notify(w(1, 1)));
    assert_eq!(bench.on(RELOAD), [Action::Spawn(w(1, 2))], "the other slot need not wait");
    assert!(!rolled(&bench.on(notify(w(1, 2)))));
    assert_eq!(deeds(&bench.on(notify(w(0, 1)))), [Action::Spawn(w(0, 2)), Action::AnnounceReady]);
    assert!(rolled(&bench.on(notify(w(0, 2)))));
}

#[test]
fn a_slot_that_starts_anew_meanwhile_counts_once_its_worker_is_ready() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(RELOAD);
    assert_eq!(deeds(&bench.on(crash(w(1, 1)))), [Action::Spawn(w(1, 2))]);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!((deeds(&actions), rolled(&actions)), (vec![Action::Stop(w(0, 1))], false));
    let actions = bench.on(notify(w(1, 2)));
    assert_eq!((deeds(&actions), rolled(&actions)), (vec![], true));
}

#[test]
fn the_reload_is_not_done_before_a_successor_that_got_the_seat_early_is_ready() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(RELOAD);
    let actions = bench.on(crash(w(0, 1)));
    assert_eq!((next(&actions), rolled(&actions)), (Some(Next::Replaced), false));
    assert!(rolled(&bench.on(notify(w(0, 2)))));

    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(RELOAD);
    bench.on(crash(w(0, 1)));
    let actions = bench.on(crash(w(0, 2)));
    assert!(aborted(&actions) && !rolled(&actions));
    assert!(matches!(next(&actions), Some(Next::Restart(_))));
}

#[test]
fn a_successor_that_got_the_seat_early_is_held_to_what_the_old_one_listened_on() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(RELOAD);
    assert_eq!(bench.due(), Some(s(1)), "no baseline yet");
    bench.on(listen(w(0, 1), A));
    bench.on(crash(w(0, 1)));
    assert_eq!(bench.due(), Some(s(30)));
    assert_eq!(bench.on(listen(w(0, 2), A)).first(), Some(&Action::SteerIn(w(0, 2))));

    // The other way round: it listens on all that is left to listen on.
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(0, 1), "tcp:[::]:2"));
    bench.on(RELOAD);
    assert_eq!(bench.on(listen(w(0, 2), A)), []);
    bench.on(Event::Closed { id: w(0, 1), address: "tcp:[::]:2".to_string() });
    assert!(bench.on(crash(w(0, 1))).contains(&Action::SteerIn(w(0, 2))));
}

#[test]
fn a_reload_during_a_reload_replaces_what_began_before_it() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(RELOAD);
    assert_eq!(bench.on(RELOAD), []);
    assert_eq!(deeds(&bench.on(notify(w(0, 2)))), [Action::Stop(w(0, 1)), Action::Spawn(w(1, 2))]);
    let actions = bench.on(notify(w(1, 2)));
    assert_eq!(deeds(&actions), [Action::Stop(w(1, 1)), Action::Spawn(w(0, 3))]);
    assert!(!rolled(&actions));
    assert!(rolled(&bench.on(notify(w(0, 3)))));
}

#[test]
fn a_reload_wakes_what_waits_and_what_has_failed() {
    let rules = Rules { intensity: 1, ..Rules::default() };
    let mut bench = Bench::cluster(2, rules);
    bench.on(crash(w(1, 1)));
    bench.wait(s(1));
    bench.on(crash(w(1, 2)));
    assert_eq!(bench.states(1), [(2, "failed")]);
    let actions = bench.on(RELOAD);
    assert_eq!(deeds(&actions), [Action::Spawn(w(1, 3)), Action::Spawn(w(0, 2))]);
    assert!(!rolled(&bench.on(notify(w(0, 2)))));
    assert!(rolled(&bench.on(notify(w(1, 3)))));
    assert_eq!(next(&bench.on(crash(w(1, 3)))), Some(Next::Restart(Span::ZERO)), "its restarts are forgotten");
}

#[test]
fn requests_go_to_a_supervisor_below() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    for request in [Request::Reload, Request::More, Request::Fewer] {
        assert_eq!(bench.on(Event::Asked(request)), [Action::Forward(w(0, 1), request)]);
    }
}
