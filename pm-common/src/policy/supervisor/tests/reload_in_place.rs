//! Reloads where the old worker ends before the new one starts.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";

#[test]
fn pm_restart_ends_the_old_one_first_and_goes_back_if_the_new_one_fails() {
    let mut bench = Bench::restart(Rules { intensity: 0, ..Rules::default() });
    for generation in 1..9 {
        assert_eq!(deeds(&bench.reload()), [Action::Drain(w(0, generation))]);
        assert_eq!(bench.on(Event::Drained(w(0, generation))), [Action::Stop(w(0, generation))]);
        assert_eq!(progress(&bench), Some((0, 1, 0, "end of the old worker".to_string())));
        assert_eq!(bench.on(ended(w(0, generation), Exit::Code(0))), [spawn_next(w(0, generation + 1))]);
        let actions = bench.on(notify(w(0, generation + 1)));
        assert_eq!(deeds(&actions), [Action::CommitRelease]);
        assert!(rolled(&actions));
    }
    bench.reload();
    bench.on(ended(w(0, 9), Exit::Code(0)));
    let actions = bench.on(crash(w(0, 10)));
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(0, 11))]);
    assert_eq!(reason(&actions), "the new worker ended before it was ready code=1");
    let line = said(&actions)[0].to_string();
    assert!(line.starts_with("reload aborted, the program is started again") && !line.contains("go on"), "{line}");
}

/// As a start watches it.
#[test]
fn in_the_place_of_the_old_one_only_what_serves_nobody_is_watched_until_it_has_lived_for_the_soak() {
    let ready = ReadyRule::default();
    let shape =
        Shape { workers: 1, most: 1, overlap: false, shares: false, ready, roll: RollRule { soak: s(1), ..AT_ONCE } };
    let mut bench = Bench { world: World::new(Rules::default(), shape), looked: BTreeSet::new() };
    bench.on(Event::Start);
    let reload = |bench: &mut Bench, generation| {
        bench.reload();
        bench.on(ended(w(0, generation), Exit::Code(0)));
        bench.world.now = bench.world.now + Span::millis(300);
        w(0, generation + 1)
    };
    bench.on(Event::Booted(w(0, 1), Loads::Nothing));
    let id = reload(&mut bench, 1);
    assert_eq!(bench.on(Event::Booted(id, Loads::Nothing)), []);
    assert_eq!(bench.due(), Some(Span::millis(700)));
    assert!(rolled(&bench.wait(Span::millis(700))));
    let id = reload(&mut bench, 2);
    bench.on(Event::Booted(id, Loads::Nothing));
    assert_eq!(reason(&bench.on(crash(id))), "the new worker ended within the soak code=1");
    let id = w(0, 4);
    assert!(bench.states(0).contains(&(4, "starting")), "{:?}", bench.states(0));
    bench.on(Event::Booted(id, Loads::Nothing));
    let id = reload(&mut bench, 4);
    assert!(rolled(&bench.on(listen(id, A))), "it serves");
}

#[test]
fn pm_restart_goes_back_from_a_new_one_that_is_not_ready_in_time() {
    let mut bench = Bench::restart(Rules { intensity: 0, ..Rules::default() });
    bench.on(listen(w(0, 1), A));
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    let (_, actions) = bench.until_next();
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
    assert_eq!(bench.on(ended(w(0, 2), Exit::Signal(15))), [spawn(w(0, 3))]);
}

#[test]
fn whatever_the_old_one_was_up_to_the_new_one_starts_at_once() {
    // Over its memory limit and on its way out.
    let mut bench = Bench::restart(Rules { max_mem: Some(9), intensity: 0, mem_interval: s(99), ..Rules::default() });
    assert_eq!(deeds(&bench.on(Event::Memory(w(0, 1), 10))), [Action::Drain(w(0, 1))]);
    assert_eq!(bench.reload(), []);
    assert_eq!(deeds(&bench.on(ended(w(0, 1), Exit::Signal(15)))), [spawn_next(w(0, 2))]);

    // In its backoff.
    let (mut bench, _) = Bench::new(1, false, Rules::default(), ReadyBy::Notify);
    bench.on(crash(w(0, 1)));
    assert_eq!(bench.states(0), [(1, "backoff")]);
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);

    // Ended, with something left of it.
    let mut bench = Bench::restart(Rules::default());
    bench.on(leaves_some(w(0, 1), Exit::Code(1)));
    assert_eq!(bench.reload(), []);
    assert_eq!(bench.on(Event::Gone(w(0, 1))), [spawn_next(w(0, 2))]);
}

#[test]
fn a_second_request_while_the_new_one_starts_is_one_more_roll() {
    let mut bench = Bench::restart(Rules::default());
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(bench.on(RELOAD), []);
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::CommitRelease, Action::ResolveRelease]);
    assert_eq!((numbers(&bench), deeds(&bench.tick())), ((2, 2, 1, Some(true)), vec![Action::Drain(w(0, 2))]));
}

#[test]
fn a_child_that_supervises_stops_in_its_own_way() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(deeds(&bench.on(TERM)).first(), Some(&Action::Stop(w(0, 1))));
}
