//! How many old workers drain beside the next start, where memory is limited.

use super::*;

const FREE: Event = Event::Room { left: None, needs: 0 };
const ENOUGH: Event = Event::Room { left: Some(10), needs: 10 };
const LACKING: Event = Event::Room { left: Some(9), needs: 10 };

/// A reload of a cluster that heeds memory, with the first slot done and its old worker draining.
fn begun(workers: u32, roll: RollRule) -> Bench {
    let mut bench = Bench::cluster(workers, Rules::default());
    bench.world.sup.shape.roll = RollRule { heeds_memory: true, ..roll };
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))], "nothing drains: nobody looks");
    let actions = deeds(&bench.on(notify(w(0, 2))));
    assert_eq!(actions, [Action::CommitRelease, Action::Drain(w(0, 1)), Action::LookForRoom]);
    bench
}

#[test]
fn with_room_or_without_a_limit_the_roll_goes_on_beside_one_that_drains() {
    for answer in [FREE, ENOUGH] {
        let mut bench = begun(3, AT_ONCE);
        assert_eq!(bench.on(answer.clone()), [spawn(w(1, 2))]);
        let actions = deeds(&bench.on(notify(w(1, 2))));
        assert_eq!(actions, [Action::Drain(w(1, 1)), Action::LookForRoom], "it looks each time");
        assert_eq!(bench.on(answer), [spawn(w(2, 2))]);
    }
}

#[test]
fn without_room_it_waits_until_one_that_drains_has_ended_and_looks_again() {
    let mut bench = begun(3, AT_ONCE);
    bench.on(LACKING);
    assert_eq!(progress(&bench).map(|p| p.3).as_deref(), Some("memory: drain of an older worker"));
    assert_eq!(bench.on(ENOUGH), [], "nobody asked");
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn(w(1, 2))], "nothing drains: one at a time always goes");
    let actions = deeds(&bench.on(notify(w(1, 2))));
    assert_eq!(actions, [Action::Drain(w(1, 1)), Action::LookForRoom]);
    bench.on(LACKING);
    assert_eq!(bench.on(ended(w(1, 1), Exit::Code(0))), [spawn(w(2, 2))]);
    assert!(rolled(&bench.on(notify(w(2, 2)))));
}

#[test]
fn with_two_that_drain_the_end_of_one_is_a_reason_to_look_again() {
    let mut bench = begun(3, AT_ONCE);
    bench.on(ENOUGH);
    bench.on(notify(w(1, 2)));
    bench.on(LACKING);
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [Action::LookForRoom]);
    assert_eq!(bench.on(ENOUGH), [spawn(w(2, 2))]);
}

/// Nobody ends by himself: the grace does it.
#[test]
fn a_lack_of_memory_blocks_no_roll_for_ever() {
    let mut bench = begun(2, AT_ONCE);
    bench.on(LACKING);
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(8), vec![Action::Kill(w(0, 1))]));
    assert_eq!(bench.on(ended(w(0, 1), Exit::Signal(9))), [spawn(w(1, 2))]);
}

#[test]
fn those_that_start_at_the_same_time_need_room_together() {
    let mut bench = begun(4, RollRule { parallel: 2, ..AT_ONCE });
    let double = Event::Room { left: Some(19), needs: 10 };
    assert_eq!(bench.on(double.clone()), [spawn(w(1, 2)), Action::LookForRoom]);
    assert_eq!(bench.on(double), []);
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn(w(2, 2))]);
}

#[test]
fn an_answer_after_the_roll_changes_nothing() {
    let mut bench = begun(2, AT_ONCE);
    bench.on(TERM);
    assert_eq!(bench.on(LACKING), []);
}
