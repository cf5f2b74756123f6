//! Which ends are followed by what, how soon, and with which exit code we end.

use super::*;
use crate::policy::rules::{Pause, Restart};

/// Two to three failures and the slot has failed; a backoff of exactly one second.
fn strict() -> Rules {
    let one = Span(1);
    Rules { intensity: 2, window: s(60), backoff: (one, one), ..Rules::default() }
}

fn policy(restart: Restart) -> Rules {
    Rules { restart, stop_codes: vec![3], ..Rules::default() }
}

#[test]
fn a_crash_is_followed_at_once_then_with_backoff_which_a_stable_worker_resets() {
    let mut bench = Bench::cluster(1, Rules::default());
    let mut delays = Vec::new();
    for generation in 1..=4 {
        let actions = bench.on(crash(w(0, generation)));
        let Some(Next::Restart(delay)) = next(&actions) else { panic!("{actions:?}") };
        delays.push(delay);
        bench.wait(delay);
        bench.on(notify(w(0, generation + 1)));
    }
    let within = |delay: Span, full: u64| delay >= Span::millis(full / 2) && delay <= Span::millis(full);
    assert_eq!(delays.first(), Some(&Span::ZERO));
    assert!(within(delays[1], 100) && within(delays[2], 200) && within(delays[3], 400), "{delays:?}");
    bench.wait(s(10));
    assert_eq!(next(&bench.on(crash(w(0, 5)))), Some(Next::Restart(Span::ZERO)), "it was stable");
    bench.tick();
    bench.on(notify(w(0, 6)));
    assert_eq!(next(&bench.on(crash(w(0, 6)))), Some(Next::Restart(Span::ZERO)), "a first quick one again");
}

#[test]
fn an_asked_for_delay_is_waited_after_every_end_but_our_own() {
    let pause = |first, longest| Rules { restart_delay: Some(Pause { first, longest }), ..Rules::default() };
    let mut bench = Bench::cluster(1, pause(s(5), s(5)));
    for generation in 1..=4 {
        // Also after ten seconds of life, and more.
        bench.wait(s(11 * (generation - 1)));
        let end = if generation == 2 { Exit::Code(0) } else { Exit::Signal(6) };
        assert_eq!(next(&bench.on(ended(w(0, generation), end))), Some(Next::Restart(s(5))));
        bench.wait(s(5));
        bench.on(notify(w(0, generation + 1)));
    }
    let mut bench = Bench::cluster(1, pause(Span::millis(100), s(15)));
    let mut delays = Vec::new();
    for generation in 1..=4 {
        let actions = bench.on(crash(w(0, generation)));
        let Some(Next::Restart(delay)) = next(&actions) else { panic!("{actions:?}") };
        delays.push(delay.as_millis());
        bench.wait(delay);
        bench.on(notify(w(0, generation + 1)));
    }
    assert_eq!(delays, [100, 150, 225, 337]);

    let mut bench = Bench::restart(pause(s(5), s(5)));
    bench.reload();
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn_next(w(0, 2))], "a reload is no restart of this kind");
}

/// As in PM2: a start that lasted is no failed one, however often.
#[test]
fn only_brief_lives_count_where_that_is_asked_for() {
    let delay = Pause { first: Span::millis(500), longest: Span::millis(500) };
    let given =
        Rules { intensity: 5, window: s(60), brief: Some(s(1)), restart_delay: Some(delay), ..Rules::default() };
    let lives = |rules: Rules, life: Span, ends: u64| {
        let mut bench = Bench::restart(rules);
        (1..=ends).find(|generation| {
            bench.wait(life);
            let failed = next(&bench.on(crash(w(0, *generation)))) == Some(Next::Failed);
            bench.wait(Span::millis(500));
            if !failed {
                bench.on(notify(w(0, generation + 1)));
            }
            failed
        })
    };
    assert_eq!(lives(given.clone(), Span::millis(1500), 100), None, "for ever");
    assert_eq!(lives(given.clone(), Span::millis(900), 100), Some(6));
    assert_eq!(lives(Rules { brief: None, ..given }, Span::millis(1500), 100), Some(6), "each one counts");
}

#[test]
fn a_kill_by_the_kernel_is_called_that_but_not_an_end_of_ours() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(Event::OutOfMemory(w(0, 1)));
    let actions = bench.on(ended(w(0, 1), Exit::Signal(9)));
    let text = said(&actions).first().map(ToString::to_string).unwrap_or_default();
    assert!(
        text.starts_with("worker ended slot=0 generation=1 signal=KILL why=oom restart=now; the kernel's"),
        "{text}"
    );
    bench.tick();
    let actions = bench.on(ended(w(0, 2), Exit::Signal(9)));
    assert!(matches!(said(&actions)[..], [Record::Ended { why: Why::Crash, .. }]), "the next one is judged anew");
    bench.wait(s(60));
    bench.on(Event::Stop(StopKind::Term, Asker::Other));
    bench.on(Event::OutOfMemory(w(0, 3)));
    let actions = bench.on(ended(w(0, 3), Exit::Signal(9)));
    assert!(said(&actions).is_empty(), "it was to end: {actions:?}");
}

#[test]
fn a_start_that_fails_is_one_step_ahead() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Notify);
    let actions = bench.on(crash(w(0, 1)));
    assert!(matches!(next(&actions), Some(Next::Restart(d)) if d >= Span::millis(50)), "{actions:?}");
    assert_eq!(bench.states(0), [(1, "backoff")]);
}

#[test]
fn a_worker_that_could_not_be_started_is_tried_again() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Notify);
    let actions = bench.on(Event::SpawnFailed(w(0, 1), 125));
    assert!(matches!(said(&actions)[..], [Record::Ended { why: Why::Spawn, next: Next::Restart(_), .. }]));
    assert_eq!(bench.tick(), [spawn(w(0, 2))]);
}

#[test]
fn a_program_that_cannot_run_at_the_first_start_ends_us() {
    let table = [
        (Event::SpawnFailed(w(0, 1), 126), 126),
        (Event::SpawnFailed(w(0, 1), 127), 127),
        (ended(w(0, 1), Exit::Code(125)), 125),
        (ended(w(0, 1), Exit::Code(126)), 126),
        (ended(w(0, 1), Exit::Code(127)), 127),
    ];
    for (event, code) in table {
        let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
        let actions = bench.on(event);
        assert_eq!(deeds(&actions), [Action::Stop(w(1, 1))]);
        assert_eq!(next(&actions), Some(Next::Nothing));
        assert_eq!(bench.world.sup.state().word(), "gave up");
        let last = bench.on(ended(w(1, 1), Exit::Signal(15)));
        assert_eq!(deeds(&last), [Action::AnnounceGaveUp, Action::Finish(code)]);
    }
}

#[test]
fn once_a_worker_was_ready_the_same_codes_are_retried() {
    for code in [125, 126, 127] {
        let mut bench = Bench::cluster(1, Rules::default());
        assert_eq!(next(&bench.on(ended(w(0, 1), Exit::Code(code)))), Some(Next::Restart(Span::ZERO)), "{code}");
    }
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(notify(w(0, 1)));
    let actions = bench.on(ended(w(1, 1), Exit::Code(127)));
    assert!(matches!(next(&actions), Some(Next::Restart(_))), "the program can run: {actions:?}");
}

#[test]
fn our_own_stop_of_a_slow_starter_is_not_taken_for_a_program_that_cannot_run() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Notify);
    bench.tick();
    let actions = bench.on(ended(w(0, 1), Exit::Code(127)));
    assert!(matches!(next(&actions), Some(Next::Restart(_))), "{actions:?}");
}

#[test]
fn policies_and_our_exit_code() {
    let always = || policy(Restart::Always);
    let on_failure = || policy(Restart::OnFailure);
    let never = || policy(Restart::Never);
    let table = [
        (always(), Exit::Code(0), None),
        (always(), Exit::Code(3), Some(3)),
        (on_failure(), Exit::Code(0), Some(0)),
        (on_failure(), Exit::Code(1), None),
        (on_failure(), Exit::Signal(15), None),
        (never(), Exit::Code(1), Some(1)),
        (never(), Exit::Signal(9), Some(137)),
        (never(), Exit::Signal(11), Some(139)),
    ];
    for (rules, exit, code) in table {
        for mut bench in [Bench::cluster(1, rules.clone()), Bench::restart(rules.clone())] {
            let actions = bench.on(ended(w(0, 1), exit));
            let finish = actions.iter().find_map(|a| if let Action::Finish(n) = a { Some(*n) } else { None });
            assert_eq!(finish, code, "{:?} {exit}", rules.restart);
            assert_eq!(next(&actions) == Some(Next::Nothing), code.is_some());
            assert!(!actions.contains(&Action::AnnounceGaveUp), "an end that the policy accepts");
        }
    }
}

#[test]
fn one_that_ended_for_good_does_not_end_the_others() {
    let mut bench = Bench::cluster(2, policy(Restart::Never));
    assert_eq!(deeds(&bench.on(ended(w(0, 1), Exit::Code(7)))), []);
    assert_eq!(bench.states(0), [(1, "down")]);
    assert_eq!(bench.due(), None);
    assert_eq!(deeds(&bench.on(ended(w(1, 1), Exit::Code(0)))), [Action::Finish(7)], "the failure decides");
}

/// Crashes the slot's worker until the slot has failed.
fn fail(bench: &mut Bench, slot: u32, exit: Exit) -> Vec<Action> {
    for generation in 1..=2 {
        assert!(matches!(next(&bench.on(ended(w(slot, generation), exit))), Some(Next::Restart(_))));
        bench.wait(s(1));
    }
    bench.on(ended(w(slot, 3), exit))
}

#[test]
fn a_slot_over_the_intensity_fails_while_others_serve_and_when_all_have_we_give_up() {
    let mut bench = Bench::cluster(2, strict());
    let actions = fail(&mut bench, 1, Exit::Code(9));
    assert_eq!((next(&actions), deeds(&actions)), (Some(Next::Failed), vec![]));
    assert_eq!((bench.states(0), bench.states(1)), (vec![(1, "ready")], vec![(3, "failed")]));
    assert_eq!(bench.due(), None, "the slot stays failed");
    let actions = fail(&mut bench, 0, Exit::Signal(11));
    assert_eq!(deeds(&actions), [Action::AnnounceGaveUp, Action::Finish(139)]);
    assert!(said(&actions).contains(&&Record::GaveUp { exit: Exit::Signal(11) }), "{actions:?}");
}

#[test]
fn intensity_counts_only_the_window() {
    let mut bench = Bench::cluster(1, strict());
    for generation in 1..=9 {
        assert!(matches!(next(&bench.on(crash(w(0, generation)))), Some(Next::Restart(_))), "{generation}");
        bench.wait(s(30));
    }
}

#[test]
fn a_child_that_gave_up_is_not_started_again() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(bench.on(Event::GaveUp(w(0, 1))), []);
    let actions = bench.on(ended(w(0, 1), Exit::Code(42)));
    assert_eq!(deeds(&actions), [Action::AnnounceGaveUp, Action::Finish(42)]);
}

#[test]
fn late_events_of_an_ended_worker_change_nothing() {
    let mut bench = Bench::cluster(1, Rules { max_mem: Some(1), ..Rules::default() });
    bench.on(crash(w(0, 1)));
    for id in [w(0, 1), w(0, 0), w(0, 3), w(7, 1), w(u32::MAX, u64::MAX)] {
        for event in [
            crash(id),
            leaves_some(id, Exit::Signal(9)),
            Event::SpawnFailed(id, 127),
            notify(id),
            listen(id, "tcp:[::]:1"),
            Event::Memory(id, 99),
            Event::Supervises(id),
            Event::GaveUp(id),
            Event::Drained(id),
            Event::AwaitsStop(id),
            Event::StopTakes(id, s(1)),
            Event::Gone(id),
        ] {
            let shown = format!("{event:?}");
            assert_eq!(bench.on(event), [], "{shown}");
        }
    }
    assert_eq!(bench.states(0), [(2, "starting")]);
}

#[test]
fn a_leftover_of_a_crash_does_not_hold_up_a_cluster_but_holds_up_pm_restart() {
    let mut bench = Bench::cluster(1, Rules::default());
    let actions = bench.on(leaves_some(w(0, 1), Exit::Code(1)));
    assert_eq!(deeds(&actions), [Action::StopLeftovers(w(0, 1)), spawn(w(0, 2))]);
    bench.on(notify(w(0, 2)));
    assert_eq!(bench.due(), Some(s(8)), "they have a grace of their own");
    assert_eq!(bench.tick(), [Action::Kill(w(0, 1))]);
    assert_eq!(bench.on(Event::Gone(w(0, 1))), []);

    let mut bench = Bench::restart(Rules::default());
    bench.on(leaves_some(w(0, 1), Exit::Code(1)));
    assert_eq!(bench.due(), Some(s(8)), "not the successor: the leftovers come first");
    assert_eq!(bench.tick(), [Action::Kill(w(0, 1))]);
    assert_eq!(bench.due(), None);
    assert_eq!(bench.on(Event::Gone(w(0, 1))), [spawn(w(0, 2))]);
}

#[test]
fn a_worker_is_gone_only_after_its_leader_ended() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.reload();
    bench.on(notify(w(0, 2)));
    let mut sup = bench.world.sup.clone();
    sup.handle(bench.world.now, Event::Gone(w(0, 1)), &mut Vec::new());
    assert_eq!(sup.snapshot().iter().filter(|v| v.id.slot == 0).count(), 2);
}

/// A start that failed over something of ours is made again at once, and counts for nothing; once.
#[test]
fn an_end_that_is_excused_costs_nothing_and_the_next_one_counts() {
    let (mut bench, _) = Bench::new(1, true, Rules { intensity: 1, ..Rules::default() }, ReadyBy::Listen);
    bench.on(Event::Excused(w(0, 1)));
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(9))), [spawn(w(0, 2))]);
    bench.on(Event::Excused(w(0, 2)));
    let actions = bench.on(ended(w(0, 2), Exit::Code(9)));
    assert!(matches!(next(&actions), Some(Next::Restart(_))), "the first that counts: {actions:?}");
}

/// On a slow machine it is alive for long enough before it comes to load anything.
#[test]
fn one_that_is_ready_only_because_it_lives_is_excused() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Listen);
    bench.until_next();
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
    bench.on(Event::Excused(w(0, 1)));
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), [spawn(w(0, 2))]);
}

/// One that goes elsewhere as it was misled ends, and another starts in its place; once.
#[test]
fn one_that_is_misled_is_asked_to_end_and_excused() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Notify);
    assert_eq!(deeds(&bench.on(Event::Misled(w(0, 1)))), [Action::Stop(w(0, 1))]);
    assert_eq!(bench.on(Event::Misled(w(0, 1))), [], "it was asked");
    assert_eq!(bench.on(crash(w(0, 1))), [spawn(w(0, 2))]);
    assert_eq!(bench.on(Event::Misled(w(0, 2))), [], "it stands in for one that was");
    bench.on(notify(w(0, 2)));
    assert_eq!(bench.on(Event::Misled(w(0, 2))), [], "it serves");
    bench.reload();
    assert_eq!(deeds(&bench.on(Event::Misled(w(0, 3)))), [Action::Stop(w(0, 3))]);
    let again = Action::Spawn { id: w(0, 4), release: WhichRelease::Next };
    assert_eq!(deeds(&bench.on(crash(w(0, 3)))), [again], "the roll goes on");
    assert_eq!(bench.on(Event::Misled(w(0, 3))), [], "it has ended");
}

#[test]
fn a_worker_that_was_ready_or_is_on_its_way_out_is_not_excused() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(Event::Excused(w(0, 1)));
    assert!(next(&bench.on(crash(w(0, 1)))).is_some());
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Listen);
    bench.on(Event::Excused(w(0, 1)));
    bench.on(TERM);
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), [Action::Finish(0)]);
}

/// PM2 lets a job run on that never sends the sign it was asked for, and so do we: no other takes its place.
#[test]
fn what_is_to_run_once_is_left_running_where_its_sign_does_not_come() {
    for evidence in [ReadyBy::Message, ReadyBy::Notify, ReadyBy::Listen, ReadyBy::Health] {
        for workers in [1, 2] {
            let (mut bench, _) = Bench::new(workers, workers > 1, policy(Restart::Never), evidence);
            let refused = Event::Refused { id: w(0, 1), what: "port 80 is taken".to_owned() };
            bench.on(refused);
            let late = bench.wait(s(60));
            let announced = |action: &Action| *action == Action::AnnounceReady;
            assert!(deeds(&late).iter().all(announced), "{evidence:?}: nobody is ended: {late:?}");
            let once = |slot| bench.states(slot) == [(1, "starting")];
            assert!(once(0) || evidence == ReadyBy::Listen && bench.states(0) == [(1, "ready")], "{evidence:?}");
            let line = said(&late).first().map(|record| record.to_string()).unwrap_or_default();
            assert!(line.contains("not ready in time") && line.contains("it goes on"), "{evidence:?}: {line}");
            for slot in 0..workers {
                assert!(!deeds(&bench.on(ended(w(slot, 1), Exit::Code(0)))).contains(&spawn(w(slot, 2))));
            }
        }
    }
}

/// A reload starts a job once: not again from the release before it.
#[test]
fn a_reload_of_what_runs_once_runs_it_once() {
    let mut bench = Bench::restart(policy(Restart::Never));
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    let actions = bench.on(crash(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::DropRelease, Action::Finish(1)]);
    assert!(said(&actions).iter().any(|line| line.to_string().contains("is not started again")), "{actions:?}");

    let mut bench = Bench::restart(policy(Restart::OnFailure));
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(deeds(&bench.on(ended(w(0, 2), Exit::Code(0)))), [Action::DropRelease, Action::Finish(0)]);

    // What could not be started has not run.
    let mut bench = Bench::restart(policy(Restart::Never));
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(deeds(&bench.on(Event::SpawnFailed(w(0, 2), 127))), [Action::DropRelease, spawn(w(0, 3))]);

    // Late with its sign, it goes on, and the reload has failed.
    let (mut bench, _) = Bench::new(1, false, policy(Restart::Never), ReadyBy::Message);
    bench.on(notify(w(0, 1)));
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    let (_, actions) = bench.until_next();
    assert_eq!(deeds(&actions), [Action::DropRelease]);
    assert_eq!((bench.states(0), bench.due()), (vec![(2, "starting")], None));
    assert_eq!(deeds(&bench.on(ended(w(0, 2), Exit::Code(0)))), [Action::Finish(0)]);
}
