//! What hooks are run for, and what not.

use super::*;
use crate::policy::hook_event::{Hook, HookEvent};
use crate::policy::rules::Restart;

/// A hook for each event.
fn all() -> Rules {
    let hook = |event: &HookEvent| Hook { event: *event, command: "true".to_owned() };
    Rules { hooks: HookEvent::ALL.iter().map(hook).collect(), ..Rules::default() }
}

fn told(actions: &[Action]) -> Vec<(&'static str, Option<u32>)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::RunHooks(what) => Some((what.event.word(), what.slot)),
        _ => None,
    });
    told.collect()
}

fn of(bench: &mut Bench, event: Event) -> Vec<(&'static str, Option<u32>)> {
    told(&bench.on(event))
}

#[test]
fn a_crash_is_told_with_its_worker_and_that_all_are_ready_again() {
    let (mut bench, _) = Bench::new(2, true, all(), ReadyBy::Listen);
    assert_eq!(of(&mut bench, notify(w(0, 1))), []);
    assert_eq!(of(&mut bench, notify(w(1, 1))), [("ready", None)]);
    let actions = bench.on(ended(w(1, 1), Exit::Signal(11)));
    let Some(Action::RunHooks(what)) = actions.iter().find(|action| matches!(action, Action::RunHooks(_))) else {
        panic!("{actions:?}");
    };
    assert_eq!((what.slot, what.generation, what.exit), (Some(1), Some(1), Some(Exit::Signal(11))));
    assert!(what.reason.starts_with("worker ended slot=1 generation=1 signal=SEGV why=crash"), "{what:?}");
    assert_eq!(of(&mut bench, notify(w(1, 2))), [("ready", None)]);
    assert_eq!(of(&mut bench, ended(w(1, 2), Exit::Code(0))), [], "as it wanted");
}

#[test]
fn only_what_is_asked_for() {
    let hooks = vec![Hook { event: HookEvent::Stopped, command: "true".to_owned() }];
    let mut bench = Bench::restart(Rules { hooks, ..Rules::default() });
    assert_eq!(of(&mut bench, crash(w(0, 1))), []);
    assert_eq!(of(&mut bench, notify(w(0, 2))), []);
    bench.on(TERM);
    assert_eq!(of(&mut bench, ended(w(0, 2), Exit::Signal(15))), [("stopped", None)]);
}

#[test]
fn who_gives_up_says_so_once() {
    let mut bench = Bench::restart(Rules { intensity: 0, ..all() });
    assert_eq!(of(&mut bench, crash(w(0, 1))), [("crash", Some(0)), ("gave-up", None)]);
    let mut bench = Bench::cluster(2, Rules { intensity: 0, ..all() });
    assert_eq!(of(&mut bench, crash(w(0, 1))), [("crash", Some(0)), ("gave-up", Some(0))]);
    assert_eq!(of(&mut bench, crash(w(1, 1))), [("crash", Some(1)), ("gave-up", None)]);
    let (mut bench, _) = Bench::new(1, false, all(), ReadyBy::Listen);
    assert_eq!(of(&mut bench, Event::SpawnFailed(w(0, 1), 127)), [("crash", Some(0)), ("gave-up", None)]);
}

#[test]
fn a_job_that_has_ended_is_stopped() {
    let mut bench = Bench::restart(Rules { restart: Restart::Never, ..all() });
    assert_eq!(of(&mut bench, ended(w(0, 1), Exit::Code(0))), [("stopped", None)]);
}

#[test]
fn a_roll_that_fails_is_told_and_one_that_succeeds_is_not() {
    let mut bench = Bench::cluster(1, all());
    bench.on(RELOAD);
    bench.on(Event::Tick);
    assert_eq!(of(&mut bench, crash(w(0, 2))), [("aborted", Some(0))]);
    bench.on(RELOAD);
    bench.on(Event::Tick);
    assert_eq!(of(&mut bench, notify(w(0, 3))), []);
}

#[test]
fn limits_are_told_once_for_a_worker() {
    let mut bench = Bench::cluster(2, Rules { max_mem: Some(1 << 20), max_lag: Some(s(1)), ..all() });
    assert_eq!(of(&mut bench, Event::Memory(w(0, 1), 2 << 20)), [("memory", Some(0))]);
    assert_eq!(of(&mut bench, Event::Memory(w(0, 1), 2 << 20)), []);
    let lag = Event::Lag { id: w(1, 1), how: crate::policy::lag::Stall::Loop, after: s(2) };
    assert_eq!(of(&mut bench, lag), [("lag", Some(1))]);
}

#[test]
fn what_a_supervisor_below_tells_is_not_told_again() {
    let (mut bench, _) = Bench::new(1, false, all(), ReadyBy::Listen);
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(of(&mut bench, notify(w(0, 1))), []);
    assert_eq!(of(&mut bench, ended(w(0, 1), Exit::Signal(9))), [("crash", Some(0))], "it can say nothing any more");
    bench.on(Event::Supervises(w(0, 2)));
    bench.on(notify(w(0, 2)));
    bench.on(Event::GaveUp(w(0, 2)));
    assert_eq!(of(&mut bench, crash(w(0, 2))), []);
    let (mut bench, _) = Bench::new(1, false, all(), ReadyBy::Listen);
    bench.on(Event::Supervises(w(0, 1)));
    bench.on(TERM);
    assert_eq!(of(&mut bench, ended(w(0, 1), Exit::Code(0))), []);
}
