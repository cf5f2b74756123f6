//! The memory limit, in both shapes.

use super::*;

const LIMIT: u64 = 1000;

fn limited() -> Rules {
    Rules { max_mem: Some(LIMIT), ..Rules::default() }
}

fn fat(id: WorkerId) -> Event {
    Event::Memory(id, LIMIT + 1)
}

/// A cluster whose workers have been stable.
fn stable(workers: u32) -> Bench {
    let mut bench = Bench::cluster(workers, limited());
    bench.wait(s(20));
    bench
}

#[test]
fn one_timer_measures_all_and_only_with_a_limit() {
    let mut bench = Bench::cluster(2, limited());
    assert_eq!(bench.due(), Some(s(1)));
    assert_eq!(bench.tick(), [Action::Measure(w(0, 1)), Action::Measure(w(1, 1))]);
    assert_eq!(bench.due(), Some(s(1)));
    assert_eq!(Bench::cluster(2, Rules::default()).due(), None);
}

#[test]
fn the_timer_runs_only_while_something_is_measured() {
    let mut bench = Bench::restart(limited());
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(bench.due(), None, "a supervisor watches its own");
    assert_eq!(bench.on(fat(w(0, 1))), [], "and a measure from before it said so is void");
}

#[test]
fn up_to_the_limit_is_fine() {
    let mut bench = stable(1);
    assert_eq!(bench.on(Event::Memory(w(0, 1), LIMIT)), []);
}

#[test]
fn a_cluster_starts_the_new_one_first_and_replaces_one_at_a_time() {
    let mut bench = stable(2);
    let actions = bench.on(fat(w(0, 1)));
    assert_eq!(deeds(&actions), [spawn(w(0, 2))]);
    assert_eq!(said(&actions), [&Record::OverMemory { id: w(0, 1), bytes: LIMIT + 1, limit: LIMIT }]);
    assert_eq!(deeds(&bench.on(fat(w(1, 1)))), [], "one at a time");
    assert_eq!(bench.on(fat(w(1, 1))), [], "said once");
    let actions = bench.on(notify(w(0, 2)));
    let replaced = Action::Say(Record::Replaced { id: w(0, 2), why: Why::Memory });
    let old_goes = [Action::SteerOff(w(0, 1)), Action::Drain(w(0, 1))];
    assert_eq!(actions[..2], [Action::SteerIn(w(0, 2)), replaced]);
    assert_eq!((&actions[2..4], &actions[4..]), (&old_goes[..], &[spawn(w(1, 2))][..]));
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), []);
    assert_eq!(deeds(&bench.on(notify(w(1, 2)))), [Action::Drain(w(1, 1))]);
}

#[test]
fn pm_restart_ends_it_and_starts_anew() {
    let mut bench = Bench::restart(limited());
    bench.wait(s(20));
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), [Action::Drain(w(0, 1))]);
    let actions = bench.on(ended(w(0, 1), Exit::Signal(15)));
    assert!(matches!(said(&actions)[..], [Record::Ended { why: Why::Memory, next: Next::Restart(Span::ZERO), .. }]));
    assert_eq!(deeds(&actions), [spawn(w(0, 2))]);
}

#[test]
fn within_stable_it_is_one_failed_start() {
    let mut bench = Bench::restart(limited());
    for generation in 1..=3_u32 {
        let id = w(0, u64::from(generation));
        bench.on(fat(id));
        bench.on(fat(id));
        let actions = bench.on(ended(id, Exit::Signal(15)));
        let Some(Next::Restart(delay)) = next(&actions) else { panic!("{actions:?}") };
        let full = if generation == 1 { 0 } else { 100 << (generation - 2) };
        assert!(delay >= Span::millis(full / 2) && delay <= Span::millis(full), "{generation}: {delay:?}");
        bench.wait(delay);
        bench.on(notify(w(0, u64::from(generation) + 1)));
    }
}

#[test]
fn in_a_cluster_a_second_quick_one_waits_for_its_backoff_and_serves_meanwhile() {
    let mut bench = Bench::cluster(1, limited());
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), [spawn(w(0, 2))], "the first at once");
    bench.on(notify(w(0, 2)));
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(deeds(&bench.on(fat(w(0, 2)))), [], "the second not before its time");
    assert_eq!(bench.states(0), [(2, "ready")]);
    bench.wait(s(1));
    assert_eq!(deeds(&bench.on(fat(w(0, 2)))), [spawn(w(0, 3))]);
}

#[test]
fn a_starting_worker_over_the_limit_is_ended_at_once() {
    let (mut bench, _) = Bench::new(1, true, limited(), ReadyBy::Notify);
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), [Action::Stop(w(0, 1))]);
    assert!(matches!(next(&bench.on(ended(w(0, 1), Exit::Signal(15)))), Some(Next::Restart(d)) if d > Span::ZERO));
}

#[test]
fn a_replacement_that_fails_leaves_the_fat_one_serving_and_is_tried_again_later() {
    let mut bench = stable(1);
    bench.on(fat(w(0, 1)));
    assert!(matches!(next(&bench.on(crash(w(0, 2)))), Some(Next::Restart(d)) if d > Span::ZERO));
    assert_eq!(bench.states(0), [(1, "ready")]);
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), []);
    bench.wait(s(1));
    assert_eq!(deeds(&bench.on(fat(w(0, 1)))), [spawn(w(0, 3))]);
}

#[test]
fn a_crash_of_the_old_one_gives_its_replacement_the_seat() {
    let mut bench = stable(1);
    bench.on(fat(w(0, 1)));
    let actions = bench.on(crash(w(0, 1)));
    assert_eq!((deeds(&actions), next(&actions)), (vec![], Some(Next::Replaced)));
    assert_eq!(bench.states(0), [(2, "starting")]);
    assert_eq!(bench.on(notify(w(0, 2))), [Action::SteerIn(w(0, 2))]);
}

#[test]
fn a_replacement_that_is_itself_on_its_way_out_does_not_get_the_seat() {
    let mut bench = stable(1);
    bench.on(fat(w(0, 1)));
    assert_eq!(deeds(&bench.on(fat(w(0, 2)))), [Action::Stop(w(0, 2))]);
    let actions = bench.on(crash(w(0, 1)));
    assert_eq!(next(&actions), Some(Next::Restart(Span::ZERO)));
    assert_eq!(deeds(&actions), [spawn(w(0, 3))], "at once, not after the grace of the second");
    assert_eq!(bench.states(0), [(3, "starting"), (2, "draining")]);
}
