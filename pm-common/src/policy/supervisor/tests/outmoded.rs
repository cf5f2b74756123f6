//! Workers whose successors are started in another way: replaced in their turn, at no cost.

use super::*;

#[test]
fn one_after_the_other_is_replaced_and_none_counts_as_failed() {
    let mut bench = Bench::cluster(2, Rules::default());
    let actions = bench.on(Event::Outmoded(w(0, 1)));
    assert_eq!((deeds(&actions), said(&actions).len()), (vec![spawn(w(0, 2))], 0));
    assert_eq!(deeds(&bench.on(Event::Outmoded(w(1, 1)))), [], "it waits for its turn");
    let actions = bench.on(notify(w(0, 2)));
    assert_eq!(actions[1], Action::Say(Record::Replaced { id: w(0, 2), why: Why::Unshared }));
    assert_eq!(deeds(&actions), [Action::Drain(w(0, 1)), spawn(w(1, 2))]);
    assert_eq!(deeds(&bench.on(notify(w(1, 2)))), [Action::Drain(w(1, 1))]);
}

#[test]
fn one_that_starts_is_replaced_once_it_is_ready_and_one_that_has_ended_is_not() {
    let (mut bench, _) = Bench::new(1, true, Rules::default(), ReadyBy::Notify);
    assert_eq!(deeds(&bench.on(Event::Outmoded(w(0, 1)))), []);
    assert!(deeds(&bench.on(notify(w(0, 1)))).contains(&spawn(w(0, 2))));
    bench.on(notify(w(0, 2)));
    assert_eq!(deeds(&bench.on(Event::Outmoded(w(0, 1)))), [], "it drains");
}
