//! Several programs of which no two may live in one slot (`pm-cluster --apart`).

use super::*;

/// Such ones, each ready.
fn apart(workers: u32, evidence: ReadyBy) -> Bench {
    let (mut bench, _) = Bench::new(workers, false, Rules::default(), evidence);
    for slot in 0..workers {
        bench.on(notify(w(slot, 1)));
    }
    bench
}

#[test]
fn a_reload_ends_and_starts_one_after_the_other() {
    let mut bench = apart(2, ReadyBy::Listen);
    assert_eq!(deeds(&bench.reload()), [Action::Drain(w(0, 1))]);
    assert_eq!(bench.on(Event::Drained(w(0, 1))), [Action::Stop(w(0, 1))]);
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn_next(w(0, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(0, 2)))), [Action::CommitRelease, Action::Drain(w(1, 1))]);
    assert_eq!(bench.on(ended(w(1, 1), Exit::Code(0))), [spawn(w(1, 2))]);
    assert_eq!(said(&bench.on(notify(w(1, 2)))), [&Record::Rolled { workers: 2, number: 1 }]);
}

#[test]
fn one_that_crashes_before_its_turn_starts_from_the_release_that_has_shown_itself() {
    let mut bench = apart(3, ReadyBy::Notify);
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    bench.wait(s(20));
    assert_eq!(deeds(&bench.on(crash(w(2, 1)))), [spawn(w(2, 2))], "the old one: the new one is on trial in slot 0");
    bench.on(notify(w(0, 2)));
    bench.on(notify(w(2, 2)));
    bench.wait(s(15));
    bench.on(ended(w(1, 1), Exit::Code(0)));
    // The last in line has crashed again, and is a new one by now.
    assert_eq!(deeds(&bench.on(crash(w(2, 2)))), [spawn(w(2, 3))]);
    assert_eq!(deeds(&bench.on(notify(w(1, 2)))), [], "it need not be started once more");
    assert_eq!(said(&bench.on(notify(w(2, 3)))), [&Record::Rolled { workers: 3, number: 1 }]);
}

#[test]
fn one_that_fails_ends_the_reload_and_the_others_go_on() {
    let mut bench = apart(2, ReadyBy::Listen);
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    let actions = bench.on(crash(w(0, 2)));
    assert_eq!(deeds(&actions), [Action::DropRelease, spawn(w(0, 3))]);
    let line = said(&actions)[0].to_string();
    assert!(
        line.starts_with("reload aborted, the program is started again from what it ran from before slot=0"),
        "{line}"
    );
    assert_eq!(bench.states(1), [(1, "ready")]);
}

#[test]
fn a_slot_that_comes_back_waits_for_the_one_that_leaves_it() {
    let mut bench = apart(2, ReadyBy::Listen);
    bench.on(listen(w(0, 1), "tcp:0.0.0.0:3000"));
    assert_eq!(bench.on(MORE), [spawn(w(2, 1))]);
    assert_eq!(deeds(&bench.on(notify(w(2, 1)))), []);
    assert_eq!(deeds(&bench.on(FEWER)), [Action::Drain(w(2, 1))]);
    assert_eq!(bench.on(MORE), []);
    assert_eq!(bench.on(ended(w(2, 1), Exit::Code(0))), [spawn(w(2, 2))]);
    // Each has addresses of its own.
    assert_eq!(bench.on(listen(w(2, 2), "tcp:0.0.0.0:3002")), [Action::SteerIn(w(2, 2))]);
}
