//! One worker more, one fewer.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";
const B: &str = "tcp:0.0.0.0:3001";

#[test]
fn more_adds_a_slot_that_must_listen_where_all_do() {
    let mut bench = Bench::cluster(2, Rules::default());
    for (slot, address) in [(0, A), (1, A), (1, B), (0, "unix:/run/a"), (1, "unix:/run/a")] {
        bench.on(listen(w(slot, 1), address));
    }
    assert_eq!(bench.on(MORE), [spawn(w(2, 1))]);
    assert_eq!(bench.due(), Some(s(30)));
    assert_eq!(bench.on(listen(w(2, 1), A)), [Action::SteerIn(w(2, 1))]);
    assert_eq!(bench.world.sup.counts(), (3, 3));
}

#[test]
fn fewer_drains_the_last_slot_and_releases_it_when_it_is_empty() {
    let mut bench = Bench::cluster(2, Rules::default());
    assert_eq!(deeds(&bench.on(FEWER)), [Action::Drain(w(1, 1))]);
    assert_eq!(bench.world.sup.counts().0, 1);
    assert_eq!(deeds(&bench.on(ended(w(1, 1), Exit::Code(0)))), [Action::ReleaseSlot(1)]);
    assert_eq!(bench.due(), None);
}

#[test]
fn the_limits_are_said() {
    let mut bench = Bench::cluster(1, Rules::default());
    assert_eq!(bench.on(FEWER), [Action::Say(Record::ScaleLimit { workers: 1 })]);
    let (mut bench, _) = Bench::new(MOST_WORKERS, true, Rules::default(), ReadyBy::Listen);
    assert_eq!(bench.on(MORE), [Action::Say(Record::ScaleLimit { workers: MOST_WORKERS })]);
    let mut bench = Bench::restart(Rules::default());
    for event in [MORE, FEWER] {
        assert_eq!(bench.on(event), [Action::Say(Record::ScaleLimit { workers: 1 })], "pm-restart has one child");
    }
}

#[test]
fn a_leaving_slot_can_be_asked_for_again() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(listen(w(1, 1), A));
    bench.on(FEWER);
    assert_eq!(bench.on(MORE), [spawn(w(1, 2))]);
    assert_eq!(bench.states(1), [(2, "starting"), (1, "draining")]);
    assert_eq!(bench.on(ended(w(1, 1), Exit::Code(0))), [], "the slot stays");
    assert_eq!(bench.due(), Some(s(30)), "it must listen where the one before did");
    assert_eq!(bench.on(listen(w(1, 2), A)), [Action::SteerIn(w(1, 2))]);
}

#[test]
fn a_slot_that_comes_back_gives_no_name_out_twice() {
    let mut bench = Bench::cluster(2, Rules::default());
    for generation in 1..=3 {
        bench.on(FEWER);
        bench.on(ended(w(1, generation), Exit::Code(0)));
        assert_eq!(bench.on(MORE), [spawn(w(1, generation + 1))]);
    }
}

#[test]
fn the_successor_of_a_slot_that_leaves_is_taken_for_no_other() {
    let mut bench = Bench::cluster(2, Rules { max_mem: Some(9), mem_interval: s(99), ..Rules::default() });
    bench.wait(s(20));
    bench.on(Event::Memory(w(1, 1), 10));
    assert_eq!(bench.states(1), [(1, "ready"), (2, "starting")]);
    let actions = bench.on(FEWER);
    assert_eq!(deeds(&actions), [Action::Drain(w(1, 1)), Action::Stop(w(1, 2))]);
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    assert_eq!(bench.on(crash(w(1, 2))), [], "not the end of the replacement in slot 0");
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(said(&actions), [&Record::Rolled { workers: 1, number: 1 }], "a slot that leaves is not rolled");
    bench.on(MORE);
    assert_eq!(bench.states(1), [(3, "starting"), (1, "draining")]);
}

#[test]
fn a_leaving_slot_holds_up_no_announcement() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(notify(w(0, 1)));
    assert_eq!(deeds(&bench.on(FEWER)), [Action::Stop(w(1, 1)), Action::AnnounceReady]);
}
