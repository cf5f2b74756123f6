//! Set times: a cluster is rolled, a job that has ended is started.

use super::*;
use crate::policy::rules::Restart;

fn daily(restart: Restart) -> Rules {
    Rules { restart, cron: vec!["@daily".to_owned()], ..Rules::default() }
}

#[test]
fn a_cluster_is_rolled_as_by_a_reload() {
    let mut bench = Bench::cluster(2, daily(Restart::Always));
    assert_eq!(bench.on(Event::SetTime), [Action::ResolveRelease]);
    assert_eq!(deeds(&bench.until_next().1), [spawn_next(w(0, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(0, 2))))[0], Action::CommitRelease);
    // One that comes meanwhile is the next.
    assert_eq!(bench.on(Event::SetTime), []);
    assert_eq!(bench.world.sup.roll().requested, 2);
}

#[test]
fn a_job_that_has_ended_is_started_and_its_supervisor_waits_for_that() {
    for (restart, exit) in [(Restart::Never, Exit::Code(3)), (Restart::OnFailure, Exit::Code(0))] {
        let mut bench = Bench::restart(daily(restart));
        for generation in 1..4 {
            let actions = bench.on(ended(w(0, generation), exit));
            assert_eq!(deeds(&actions), [], "it neither starts nor ends");
            assert_eq!(bench.states(0), [(generation, "down")]);
            assert_eq!(bench.on(Event::SetTime), [spawn(w(0, generation + 1))]);
            bench.on(notify(w(0, generation + 1)));
        }
        bench.on(ended(w(0, 4), exit));
        assert_eq!(bench.on(TERM).last(), Some(&Action::Finish(0)), "a stop ends it");
    }
}

#[test]
fn a_job_that_runs_is_replaced_by_the_clock_alone() {
    let mut bench = Bench::restart(daily(Restart::Never));
    assert_eq!(bench.on(Event::SetTime), [Action::ResolveRelease]);
    assert_eq!(deeds(&bench.until_next().1), [Action::Drain(w(0, 1))]);
    bench.on(Event::Drained(w(0, 1)));
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn_next(w(0, 2))]);
}

#[test]
fn who_is_stopped_or_supervised_below_is_left_alone() {
    let mut bench = Bench::restart(daily(Restart::Always));
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(bench.on(Event::SetTime), [], "the one below has the same policy");
    let mut bench = Bench::cluster(2, daily(Restart::Always));
    bench.on(TERM);
    assert_eq!(bench.on(Event::SetTime), []);
}

#[test]
fn some_that_have_ended_are_started_and_the_others_rolled() {
    let mut bench = Bench::cluster(2, daily(Restart::OnFailure));
    bench.on(ended(w(0, 1), Exit::Code(0)));
    assert_eq!(bench.states(0), [(1, "down")]);
    let actions = bench.on(Event::SetTime);
    assert_eq!(deeds(&actions), [Action::ResolveRelease, spawn(w(0, 2))]);
}
