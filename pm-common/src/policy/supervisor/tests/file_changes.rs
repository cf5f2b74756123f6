//! Changed files: one roll once all is quiet, one more for what changes meanwhile, and no loop.

use super::*;
use crate::policy::rules::Restart;

/// A policy that watches; what is young, and what is late, is so by `DELAY`.
fn watching(restart: Restart) -> Rules {
    Rules { restart, watch: vec!["/srv".to_owned()], watch_delay: DELAY, ..Rules::default() }
}

const DELAY: Span = Span::millis(200);

fn written(file: &str) -> Event {
    Event::FileChanged { file: file.to_owned(), gone: false }
}

fn gone(file: &str) -> Event {
    Event::FileChanged { file: file.to_owned(), gone: true }
}

/// What is said to have changed, and how many changes there were.
fn told(actions: &[Action]) -> Vec<(&str, u64)> {
    let one = |action| match action {
        &Action::Say(Record::FileChanged { ref file, count }) => Some((file.as_str(), count)),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

/// A cluster of two that has been up for a minute.
fn cluster() -> Bench {
    let mut bench = Bench::cluster(2, watching(Restart::Always));
    bench.wait(s(60));
    bench
}

/// Has the roll under way end well; gives what it did.
fn rolls(bench: &mut Bench, generation: u64) -> Vec<Action> {
    let mut all = bench.until_next().1;
    for slot in 0..2 {
        all.extend(bench.on(notify(w(slot, generation))));
    }
    for slot in 0..2 {
        all.extend(bench.on(Event::Drained(w(slot, generation - 1))));
        all.extend(bench.on(ended(w(slot, generation - 1), Exit::Code(0))));
    }
    all
}

#[test]
fn a_cluster_is_rolled_once_however_many_files_change() {
    let mut bench = cluster();
    for file in 0..1000 {
        assert_eq!(bench.on(written(&format!("{file}.js"))), []);
        assert_eq!(bench.wait(Span::millis(1)), []);
    }
    assert_eq!(bench.due(), Some(Span::millis(199)), "so long it is quiet first");
    let actions = bench.tick();
    assert_eq!(told(&actions), [("0.js", 1000)]);
    assert_eq!(actions.last(), Some(&Action::ResolveRelease));
    rolls(&mut bench, 2);
    assert_eq!((bench.world.sup.roll().requested, bench.world.sup.roll().ok), (1, Some(true)));
    assert_eq!(bench.wait(s(60)).len(), 0, "no deadline is left");
}

#[test]
fn where_it_is_never_quiet_a_roll_begins_all_the_same() {
    let mut bench = cluster();
    let mut waited = 0;
    bench.on(written("log"));
    while bench.world.sup.roll().started == 0 {
        bench.wait(Span::millis(100));
        bench.on(written("log"));
        waited += 1;
        assert!(waited < 100, "never");
    }
    assert_eq!(waited, 50, "5 s");
}

#[test]
fn what_changes_during_a_roll_leads_to_one_more_at_its_end() {
    let mut bench = cluster();
    bench.on(written("app.js"));
    assert_eq!(told(&bench.tick()), [("app.js", 1)]);
    bench.until_next();
    for file in ["a.js", "b.js", "c.js"] {
        bench.on(written(file));
        assert_eq!(told(&bench.wait(Span::millis(250))), [], "not before the end of this one");
    }
    bench.on(notify(w(0, 2)));
    assert_eq!(told(&bench.on(notify(w(1, 2)))), [("a.js", 3)]);
    assert_eq!(bench.world.sup.roll().requested, 2);
}

#[test]
fn the_file_that_is_named_is_the_one_that_was_meant() {
    for (events, meant) in [
        (vec![written("a"), written("b")], "a"),
        (vec![gone("a"), written("b"), gone("c")], "b"),
        (vec![written("tmp"), gone("tmp"), written("app.js"), written("other")], "app.js"),
        (vec![gone("a"), gone("b")], "b"),
    ] {
        let mut bench = cluster();
        let count = events.len() as u64;
        events.into_iter().for_each(|event| _ = bench.on(event));
        assert_eq!(told(&bench.tick()), [(meant, count)]);
    }
}

#[test]
fn broken_code_keeps_the_old_and_what_mends_it_is_rolled_at_once() {
    let mut bench = cluster();
    bench.on(written("app.js"));
    bench.tick();
    assert_eq!(deeds(&bench.until_next().1), [spawn_next(w(0, 2))]);
    let actions = bench.on(crash(w(0, 2)));
    assert!(actions.iter().any(|action| matches!(action, Action::Say(Record::RollAborted { .. }))), "{actions:?}");
    assert_eq!(bench.states(0), [(1, "ready")]);
    bench.on(written("app.js"));
    assert_eq!(told(&bench.tick()), [("app.js", 1)]);
    assert_eq!(deeds(&bench.until_next().1), [spawn_next(w(0, 3))]);
    bench.on(notify(w(0, 3)));
    bench.on(notify(w(1, 2)));
    assert_eq!(bench.world.sup.roll().ok, Some(true));
}

#[test]
fn an_app_that_writes_what_is_watched_is_not_started_for_ever() {
    let mut bench = cluster();
    bench.on(written("app.js"));
    let (mut rests, mut warned) = (Vec::new(), 0);
    for generation in 2..12 {
        let before = bench.world.now;
        let actions = bench.tick();
        warned += actions.iter().filter(|a| matches!(a, Action::Say(Record::ChangesAgain { .. }))).count();
        rests.push(bench.world.now.since(before));
        rolls(&mut bench, generation);
        bench.on(written("state.json"));
    }
    let soon = DELAY;
    assert_eq!(rests[..4], [soon; 4]);
    assert_eq!(rests[4..], [s(1), s(2), s(4), s(8), s(8), s(8)]);
    assert_eq!(warned, 1);
    // Somebody who saves a file now waits no more once it has been quiet for a while.
    bench.wait(s(20));
    bench.on(written("app.js"));
    assert_eq!(bench.due(), Some(DELAY));
}

#[test]
fn what_has_ended_or_failed_is_started_by_a_change() {
    for (rules, exit) in [
        (watching(Restart::Never), Exit::Code(3)),
        (watching(Restart::OnFailure), Exit::Code(0)),
        (Rules { intensity: 0, ..watching(Restart::Always) }, Exit::Code(1)),
    ] {
        let mut bench = Bench::restart(rules);
        for generation in 1..4 {
            let actions = bench.on(ended(w(0, generation), exit));
            assert_eq!(deeds(&actions), [], "it neither starts nor ends");
            bench.on(written("app.js"));
            let mut actions = bench.tick();
            actions.extend(bench.until_next().1);
            let started = |action: &Action| matches!(action, Action::Spawn { id, .. } if *id == w(0, generation + 1));
            assert!(actions.iter().any(started), "{actions:?}");
            bench.on(notify(w(0, generation + 1)));
        }
        assert!(deeds(&bench.on(TERM)).contains(&Action::Drain(w(0, 4))));
    }
}

#[test]
fn who_is_stopped_or_supervised_below_watches_nothing() {
    let mut bench = Bench::restart(watching(Restart::Always));
    assert!(bench.world.sup.watches());
    bench.on(written("app.js"));
    bench.on(Event::Supervises(w(0, 1)));
    assert!(!bench.world.sup.watches(), "the one below has the same policy");
    assert_eq!(told(&bench.wait(s(60))), []);
    let mut bench = cluster();
    bench.on(written("app.js"));
    bench.on(TERM);
    assert_eq!(told(&bench.wait(s(1))), []);
    assert!(!Bench::cluster(2, Rules::default()).world.sup.watches());
}
