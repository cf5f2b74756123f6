//! Stopping: the ladder of one worker, and of all.

use super::*;

#[test]
fn term_gives_0_and_int_gives_130_whatever_the_workers_give() {
    for (event, code) in [(TERM, 0), (INT, 130)] {
        let mut bench = Bench::cluster(2, Rules::default());
        let actions = bench.on(event.clone());
        let ask = if event == TERM { Action::Drain } else { Action::DrainNow };
        assert_eq!(deeds(&actions), [ask(w(0, 1)), ask(w(1, 1)), Action::AnnounceStop(s(8))]);
        let off = actions.iter().filter(|a| matches!(a, Action::SteerOff(_))).count();
        assert_eq!((off, bench.world.sup.state().word()), (2, "stopping"));
        assert_eq!(bench.on(ended(w(0, 1), Exit::Code(1))), []);
        assert_eq!(bench.on(ended(w(1, 1), Exit::Signal(9))), [Action::Finish(code)]);
        assert_eq!((bench.due(), bench.on(Event::Tick)), (None, vec![]));
    }
}

#[test]
fn a_stop_while_every_slot_waits_ends_at_once() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(crash(w(0, 1)));
    bench.on(crash(w(1, 1)));
    assert_eq!(bench.on(TERM).last(), Some(&Action::Finish(0)));
}

#[test]
fn after_the_grace_comes_kill_once() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(TERM);
    assert_eq!(bench.due(), Some(s(8)));
    let actions = bench.tick();
    assert_eq!(deeds(&actions), [Action::Kill(w(0, 1))]);
    assert!(said(&actions).contains(&&Record::Killed { id: w(0, 1), grace: s(8) }));
    assert_eq!((bench.due(), bench.states(0)), (None, vec![(1, "killing")]));
    assert_eq!(bench.on(ended(w(0, 1), Exit::Signal(9))), [Action::Finish(0)]);
}

#[test]
fn a_worker_finishes_its_work_before_it_is_told_and_only_once_and_within_the_same_grace() {
    let mut bench = Bench::cluster(1, Rules::default());
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [], "nobody asked it to");
    assert_eq!(deeds(&bench.on(TERM)).first(), Some(&Action::Drain(w(0, 1))));
    bench.wait(s(5));
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [Action::Stop(w(0, 1))]);
    assert_eq!((bench.on(Event::Drained(w(0, 1))), bench.due()), (vec![], Some(s(3))));
    assert_eq!(deeds(&bench.tick()), [Action::Kill(w(0, 1))]);
    assert_eq!(bench.on(Event::Drained(w(0, 1))), []);
}

#[test]
fn an_app_that_listens_for_the_signal_has_the_whole_grace_from_there() {
    let mut bench = Bench::cluster(2, Rules::default());
    assert_eq!(bench.on(Event::AwaitsStop(w(0, 1))), [], "nobody asked it to");
    bench.on(FEWER);
    bench.wait(s(7));
    assert_eq!(bench.on(Event::AwaitsStop(w(1, 1))), [Action::Stop(w(1, 1))]);
    assert_eq!((bench.on(Event::AwaitsStop(w(1, 1))), bench.due()), (vec![], Some(s(8))), "once");
    bench.wait(s(2));
    bench.on(TERM);
    bench.wait(s(5));
    assert_eq!(bench.on(Event::AwaitsStop(w(0, 1))), [Action::Stop(w(0, 1)), Action::AnnounceStop(s(8))]);
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions), bench.due()), (s(1), vec![Action::Kill(w(1, 1))], Some(s(7))));
}

#[test]
fn int_lets_nobody_linger() {
    let mut bench = Bench::cluster(2, Rules::default());
    assert_eq!(deeds(&bench.on(FEWER)), [Action::Drain(w(1, 1))]);
    let actions = bench.on(INT);
    assert_eq!(deeds(&actions)[..2], [Action::DrainNow(w(0, 1)), Action::Stop(w(1, 1))]);
    assert_eq!(bench.on(Event::Drained(w(1, 1))), []);
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [Action::Stop(w(0, 1))], "it has finished its work");
}

#[test]
fn a_second_request_kills_at_once() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(TERM);
    bench.wait(s(1));
    assert_eq!(bench.on(TERM), [Action::Kill(w(0, 1)), Action::Kill(w(1, 1))]);
    assert_eq!(bench.on(TERM), [], "they are killed already");
}

/// Who asks first and who asks next, how much later, and whether the second one means now.
#[test]
fn who_asks_again_and_when_decides_whether_it_means_now() {
    use Asker::{Above, Other, Terminal};
    let (at_once, soon, late) = (Span::ZERO, Span(s(1).0 - 1), s(1));
    for kinds in [StopKind::Term, StopKind::Int].map(|first| [StopKind::Term, StopKind::Int].map(|next| (first, next)))
    {
        for (first_kind, next_kind) in kinds {
            for first in [Above, Terminal, Other] {
                for next in [Above, Terminal, Other] {
                    for after in [at_once, soon, late] {
                        let insists = match (first, next) {
                            (_, Terminal) | (Above, Above) => true,
                            (_, Above) => false,
                            (_, Other) => after == late,
                        };
                        let mut bench = Bench::cluster(1, Rules::default());
                        bench.on(Event::Stop(first_kind, first));
                        bench.wait(after);
                        let now = bench.on(Event::Stop(next_kind, next));
                        let what = format!("{first_kind:?} {first:?}, {next_kind:?} {next:?} after {after:?}");
                        assert_eq!(now, if insists { vec![Action::Kill(w(0, 1))] } else { vec![] }, "{what}");
                        let code = if insists { next_kind } else { first_kind }.code();
                        assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [Action::Finish(code)], "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_one_above_insists_when_it_asks_twice_whoever_asked_before() {
    let above = Event::Stop(StopKind::Term, Asker::Above);
    for first in [vec![], vec![TERM], vec![TERM, TERM]] {
        let mut bench = Bench::cluster(1, Rules::default());
        first.iter().for_each(|event| _ = bench.on(event.clone()));
        bench.wait(s(3));
        let passed_on = bench.on(above.clone());
        assert!(!passed_on.contains(&Action::Kill(w(0, 1))), "{passed_on:?}");
        assert_eq!(bench.on(above.clone()), [Action::Kill(w(0, 1))]);
    }
}

#[test]
fn a_second_request_tells_a_supervisor_again_and_a_third_kills_it() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(deeds(&bench.on(INT)), [Action::Stop(w(0, 1)), Action::AnnounceStop(s(12))]);
    assert_eq!(bench.on(INT), [Action::Stop(w(0, 1))]);
    assert_eq!(bench.due(), Some(s(2)));
    assert_eq!(bench.on(INT), [Action::Kill(w(0, 1))]);
    assert_eq!(bench.on(ended(w(0, 1), Exit::Signal(9))), [Action::Finish(130)]);
}

#[test]
fn a_supervisor_gets_its_grace_then_a_second_stop_then_kill() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(Event::Supervises(w(0, 1)));
    bench.on(TERM);
    assert_eq!(bench.until_next(), (s(10), vec![Action::Stop(w(0, 1))]));
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(2), vec![Action::Kill(w(0, 1))]));
}

#[test]
fn how_long_its_stop_takes_is_for_a_supervisor_to_say_and_is_passed_on() {
    let mut bench = Bench::restart(Rules::default());
    assert_eq!(bench.on(Event::Supervises(w(0, 1))), []);
    assert_eq!(bench.on(Event::StopTakes(w(0, 1), s(60))), [], "nobody asked it to stop");
    bench.on(TERM);
    assert_eq!(bench.on(Event::StopTakes(w(0, 1), s(60))), [Action::AnnounceStop(s(64))]);
    assert_eq!(bench.due(), Some(s(62)));
    assert_eq!(bench.on(Event::StopTakes(w(0, 1), s(1))), []);
    assert_eq!(bench.due(), Some(s(3)), "less is believed too");
    bench.tick();
    bench.on(Event::StopTakes(w(0, 1), s(60)));
    assert_eq!(bench.due(), Some(s(62)), "the second has ended its delay: its stop begins now");
    assert_eq!(bench.on(INT), [Action::Stop(w(0, 1))]);
    assert_eq!(bench.due(), Some(s(2)));

    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(TERM);
    bench.on(Event::StopTakes(w(0, 1), s(60)));
    assert_eq!(bench.due(), Some(s(8)), "an app has its grace");
}

#[test]
fn leftovers_get_the_rest_of_the_grace() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(TERM);
    bench.wait(s(3));
    assert_eq!(bench.on(leaves_some(w(0, 1), Exit::Code(0))), [Action::StopLeftovers(w(0, 1))]);
    assert_eq!(bench.due(), Some(s(5)));
    assert_eq!(bench.tick(), [Action::Kill(w(0, 1))]);
    assert_eq!(bench.on(Event::Gone(w(0, 1))), [Action::Finish(0)]);
}

#[test]
fn leftovers_of_a_killed_one_are_killed_at_once() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(TERM);
    bench.on(INT);
    bench.on(leaves_some(w(0, 1), Exit::Signal(9)));
    assert_eq!(bench.due(), Some(Span::ZERO));
    assert_eq!(bench.tick(), [Action::Kill(w(0, 1))]);
}

#[test]
fn a_stop_while_leftovers_live_keeps_their_grace() {
    let mut bench = Bench::restart(Rules::default());
    bench.on(leaves_some(w(0, 1), Exit::Code(1)));
    bench.wait(s(3));
    assert_eq!(bench.on(TERM), [Action::AnnounceStop(s(5))]);
    assert_eq!(bench.on(Event::Gone(w(0, 1))), [Action::Finish(0)]);
}

#[test]
fn a_first_stop_while_giving_up_hurries_nobody_and_decides_the_code() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(ended(w(0, 1), Exit::Code(127)));
    bench.wait(s(3));
    assert_eq!(bench.on(INT), [Action::AnnounceStop(s(5))]);
    assert_eq!(bench.on(ended(w(1, 1), Exit::Code(0))), [Action::Finish(130)]);
}

#[test]
fn nothing_is_started_or_measured_after_a_stop() {
    let rules = Rules { max_mem: Some(1), ..Rules::default() };
    let mut bench = Bench::cluster(2, rules);
    bench.reload();
    bench.on(TERM);
    for event in [RELOAD, MORE, FEWER, Event::Memory(w(0, 1), 99)] {
        assert_eq!(bench.on(event), []);
    }
    assert!(deeds(&bench.wait(s(7))).is_empty());
}

/// Two workers that serve, and the rules of this module's delay.
fn delayed() -> Bench {
    Bench::cluster(2, Rules { stop_delay: s(5), ..Rules::default() })
}

#[test]
fn in_the_delay_all_goes_on_but_reloads_and_scaling_and_then_the_stop_begins() {
    let mut bench = delayed();
    assert_eq!(bench.on(TERM), [Action::AnnounceStop(s(13))]);
    assert_eq!((bench.world.sup.state().word(), bench.world.sup.delays_stop()), ("stopping", true));
    for event in [RELOAD, MORE, FEWER, TERM] {
        assert_eq!(bench.on(event), []);
    }
    assert!(bench.on(crash(w(1, 1))).contains(&spawn(w(1, 2))), "a crash is followed by a start");
    assert_eq!(bench.on(notify(w(1, 2))), [Action::SteerIn(w(1, 2))]);
    let (after, actions) = bench.until_next();
    assert_eq!(after, s(5));
    assert_eq!(deeds(&actions), [Action::Drain(w(0, 1)), Action::Drain(w(1, 2)), Action::AnnounceStop(s(8))]);
    assert!(!bench.world.sup.delays_stop());
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(bench.on(ended(w(1, 2), Exit::Code(0))), [Action::Finish(0)]);
}

#[test]
fn a_reload_that_waits_for_its_turn_never_begins_in_the_delay() {
    let mut bench = delayed();
    bench.reload();
    bench.on(RELOAD);
    bench.on(TERM);
    for id in [w(0, 2), w(1, 2)] {
        bench.on(notify(id));
        bench.on(ended(w(id.slot, 1), Exit::Code(0)));
    }
    assert_eq!(numbers(&bench), (2, 2, 2, Some(false)), "it has its answer");
}

#[test]
fn a_second_request_that_counts_ends_the_delay_and_a_third_means_now() {
    for asker in [Asker::Other, Asker::Terminal] {
        let mut bench = delayed();
        bench.on(TERM);
        bench.wait(s(1));
        let again = Event::Stop(StopKind::Term, asker);
        let drains = [Action::Drain(w(0, 1)), Action::Drain(w(1, 1)), Action::AnnounceStop(s(8))];
        assert_eq!(deeds(&bench.on(again)), drains);
        // The one above passes on what its own second request was.
        assert_eq!(bench.on(Event::Stop(StopKind::Term, Asker::Above)), []);
        assert_eq!(bench.on(TERM), [], "the same request, by another process");
        bench.wait(s(1));
        assert_eq!(bench.on(TERM), [Action::Kill(w(0, 1)), Action::Kill(w(1, 1))]);
    }
}

#[test]
fn int_is_not_put_off_and_ends_a_delay() {
    assert!(deeds(&delayed().on(INT)).contains(&Action::DrainNow(w(0, 1))));
    let mut bench = delayed();
    bench.on(TERM);
    assert!(deeds(&bench.on(INT)).contains(&Action::DrainNow(w(0, 1))));
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(bench.on(ended(w(1, 1), Exit::Code(0))), [Action::Finish(130)]);
}

#[test]
fn what_ends_for_good_in_the_delay_was_stopped() {
    let rules = Rules { stop_delay: s(5), restart: crate::policy::rules::Restart::Never, ..Rules::default() };
    let mut bench = Bench::restart(rules);
    bench.on(TERM);
    assert_eq!(bench.on(crash(w(0, 1))).last(), Some(&Action::Finish(0)));
}

#[test]
fn only_who_has_the_workers_delays() {
    let rules = Rules { stop_delay: s(5), ..Rules::default() };
    let mut bench = Bench::restart(rules.clone());
    assert_eq!(bench.on(TERM), [Action::AnnounceStop(s(13))], "a plain program");
    let mut bench = Bench::restart(rules.clone());
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(deeds(&bench.on(TERM)), [Action::Stop(w(0, 1)), Action::AnnounceStop(s(12))]);
    assert_eq!(bench.on(Event::StopTakes(w(0, 1), s(13))), [Action::AnnounceStop(s(17))]);
    // The second ends its delay, and it says what its stop takes from then on.
    assert_eq!(bench.on(INT), [Action::Stop(w(0, 1))]);
    bench.on(Event::StopTakes(w(0, 1), s(8)));
    assert_eq!(bench.due(), Some(s(10)));
    let mut bench = Bench::new(1, false, rules, ReadyBy::Listen).0;
    bench.on(TERM);
    assert!(bench.on(Event::Supervises(w(0, 1))).contains(&Action::Stop(w(0, 1))), "it is handed the stop");
}
