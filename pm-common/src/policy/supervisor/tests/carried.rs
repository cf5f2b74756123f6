//! What a successor goes on from. What holds in every state is checked by `World` after each step.

use super::*;

fn successor(bench: &Bench, workers: u32) -> Machine {
    let shape = Shape { workers, ..bench.world.sup.shape.clone() };
    let mut sup = Machine::new(Rules::default(), shape, 1);
    sup.resume(&bench.world.sup.carried(), bench.world.now);
    sup.handle(bench.world.now, Event::Start, &mut Vec::new());
    sup
}

#[test]
fn scaled_and_counted_is_scaled_and_counted() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(MORE);
    bench.on(notify(w(2, 1)));
    bench.on(crash(w(0, 1)));
    bench.wait(s(1));
    let sup = successor(&bench, 2);
    let views = sup.snapshot();
    let shown: Vec<_> = views.iter().map(|v| (v.id.generation, v.restarts)).collect();
    assert_eq!(shown, [(3, 2), (2, 1), (2, 1)], "each had a worker that nobody saw the end of");
    assert!(views.iter().all(|v| v.last.is_some_and(|last| (last.exit, last.why) == (None, Why::Orphaned))));
}

/// What was put off until the end of a roll has been acknowledged, too.
#[test]
fn what_was_put_off_is_done() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.reload();
    bench.on(MORE);
    bench.on(MORE);
    assert_eq!(bench.world.sup.counts().0, 2);
    assert_eq!(successor(&bench, 2).counts().0, 4);
}

#[test]
fn who_changes_the_command_line_wants_the_new_number() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(MORE);
    assert_eq!(successor(&bench, 5).counts().0, 5);
}

/// A job that is done is not done again, and a slot that has used up its restarts gets no others.
#[test]
fn who_has_ended_for_good_is_not_started_again() {
    let mut bench = Bench::cluster(3, Rules { stop_codes: vec![0], intensity: 1, ..Rules::default() });
    bench.on(notify(w(0, 1)));
    bench.on(notify(w(2, 1)));
    bench.on(ended(w(0, 1), Exit::Code(0)));
    bench.on(crash(w(1, 1)));
    bench.wait(s(1));
    bench.on(crash(w(1, 2)));
    let shown = |sup: &Machine| sup.snapshot().iter().map(|view| view.state.word()).collect::<Vec<_>>();
    assert_eq!(shown(&bench.world.sup), ["down", "failed", "ready"]);
    let mut sup = successor(&bench, 3);
    assert_eq!(shown(&sup), ["down", "failed", "starting"]);
    let now = bench.world.now;
    let mut actions = Vec::new();
    sup.handle(now, notify(w(2, 2)), &mut actions);
    assert!(actions.contains(&Action::AnnounceReady), "nobody waits for the others: {actions:?}");
    actions.clear();
    sup.handle(now, RELOAD, &mut actions);
    sup.handle(now, Event::Tick, &mut actions);
    assert!(!actions.iter().any(|action| matches!(action, Action::Spawn { id, .. } if id.slot == 0)), "{actions:?}");
}

/// With the code that it would have ended with.
#[test]
fn a_successor_that_nobody_is_left_to_ends() {
    let mut bench = Bench::cluster(2, Rules { stop_codes: vec![3], ..Rules::default() });
    bench.on(ended(w(0, 1), Exit::Code(3)));
    let mut carried = bench.world.sup.carried();
    carried.slots[1] = carried.slots[0].clone();
    let mut sup = Machine::new(Rules::default(), bench.world.sup.shape.clone(), 1);
    sup.resume(&carried, bench.world.now);
    let mut actions = Vec::new();
    sup.handle(bench.world.now, Event::Start, &mut actions);
    assert_eq!(actions.last(), Some(&Action::Finish(3)));
}

#[test]
fn what_serves_nobody_is_known_to() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Listen);
    for id in [w(0, 1), w(1, 1)] {
        bench.on(Event::Booted(id, Loads::Nothing));
    }
    let mut sup = successor(&bench, 2);
    let quiet = |sup: &Machine| sup.slots.iter().map(|slot| slot.quiet).collect::<Vec<_>>();
    assert_eq!(quiet(&sup), [Some(Loads::Nothing); 2]);
    sup.handle(bench.world.now, MORE, &mut Vec::new());
    assert_eq!(quiet(&sup), [Some(Loads::Nothing); 3], "a new slot is like the others");
    sup.handle(bench.world.now, listen(w(1, 2), A), &mut Vec::new());
    sup.handle(bench.world.now, MORE, &mut Vec::new());
    assert_eq!(quiet(&sup)[3], None, "they differ");
}

/// A name of a slot that was scaled away is not given out again.
#[test]
fn a_slot_that_is_gone_keeps_its_count() {
    let mut bench = Bench::cluster(2, Rules::default());
    bench.on(crash(w(1, 1)));
    bench.wait(s(1));
    bench.on(FEWER);
    bench.on(ended(w(1, 2), Exit::Code(0)));
    let mut sup = successor(&bench, 2);
    assert_eq!(sup.counts().0, 1);
    let mut actions = Vec::new();
    sup.handle(bench.world.now, MORE, &mut actions);
    assert_eq!(actions, [spawn(w(1, 3))]);
}

#[test]
fn a_roll_under_way_has_failed_and_one_that_ended_has_not() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.reload();
    let roll = successor(&bench, 1).roll();
    assert_eq!((roll.requested, roll.started, roll.ended, roll.ok, roll.slot), (1, 1, 1, Some(false), Some(0)));
    assert!(roll.reason.contains("was killed"), "{}", roll.reason);
    bench.on(notify(w(0, 2)));
    let roll = successor(&bench, 1).roll();
    assert_eq!((roll.ended, roll.ok, roll.reason.as_str()), (1, Some(true), ""));
}

const A: &str = "tcp:0.0.0.0:3000";
const B: &str = "tcp:0.0.0.0:3001";
const PATH: &str = "unix:/run/app";

/// Where each slot of a successor has to listen.
fn held_to(bench: &Bench) -> Vec<Vec<String>> {
    successor(bench, 2).slots.iter().map(|slot| slot.baseline.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn what_a_slot_must_listen_on_is_known() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.on(listen(w(0, 1), A));
    bench.world.sup = successor(&bench, 1);
    bench.world.sup = successor(&bench, 1);
    let mut hear = |address| {
        let mut actions = Vec::new();
        bench.world.sup.handle(bench.world.now, listen(w(0, 3), address), &mut actions);
        actions
    };
    assert_eq!(hear(B), [], "no worker before it was ready, but one of the first supervisor");
    assert_eq!(hear(A), [Action::SteerIn(w(0, 3)), Action::AnnounceReady]);
}

#[test]
fn each_slot_is_held_to_what_it_listened_on() {
    let mut bench = Bench::cluster(2, Rules::default());
    for id in [w(0, 1), w(1, 1)] {
        bench.on(listen(id, A));
    }
    assert_eq!(bench.world.sup.carried().heard.len(), 1, "what they share is kept once");
    bench.on(listen(w(1, 1), B));
    assert_eq!(held_to(&bench), [vec![A], vec![A, B]]);
    // A path counts from the second worker on, whatever happens to supervisors in between.
    bench.on(listen(w(0, 1), PATH));
    assert_eq!(held_to(&bench)[0], [A]);
    bench.on(crash(w(0, 1)));
    bench.wait(s(1));
    bench.on(listen(w(0, 2), A));
    bench.on(listen(w(0, 2), PATH));
    assert_eq!(held_to(&bench)[0], [A, PATH]);
}

/// The release before it is what a successor starts, and that knows nothing of the other address.
#[test]
fn what_a_release_under_way_listens_on_holds_for_no_other() {
    let mut bench = Bench::cluster(2, Rules::default());
    for id in [w(0, 1), w(1, 1)] {
        bench.on(listen(id, A));
    }
    bench.reload();
    bench.on(listen(w(0, 2), A));
    bench.on(listen(w(0, 2), B));
    assert_eq!(held_to(&bench), [vec![], vec![A]]);
    bench.on(listen(w(1, 2), A));
    assert_eq!(held_to(&bench), [vec![A, B], vec![A]]);
}

/// Numbers that no supervisor of ours would write.
#[test]
fn odd_numbers_do_no_harm() {
    let bench = Bench::cluster(1, Rules::default());
    let mut odd = bench.world.sup.carried();
    odd.wanted = u32::MAX;
    odd.slots = vec![CarriedSlot { restarts: u64::MAX, occupied: true, ..CarriedSlot::default() }; 5000];
    let seen = RollView { requested: 1, started: 2, ended: 3, ..RollView::default() };
    odd.rolls = CarriedRolls { seen, current: 9, at: None };
    let mut sup = Machine::new(Rules::default(), bench.world.sup.shape.clone(), 1);
    sup.resume(&odd, bench.world.now);
    sup.handle(bench.world.now, Event::Start, &mut Vec::new());
    assert_eq!(sup.counts().0, MOST_WORKERS);
    let roll = sup.roll();
    assert_eq!((roll.requested, roll.started, roll.ended), (3, 3, 3));
}
