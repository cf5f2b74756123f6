//! What the next worker of a slot is held to, and what becomes of one that lacks some of it.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";
const B: &str = "tcp:0.0.0.0:3001";
const PATH: &str = "unix:/run/app";
const SOAK: RollRule = RollRule { soak: Span::secs(1), ..AT_ONCE };

/// Workers that listen on A, and have for a while.
fn cluster(workers: u32) -> Bench {
    let (mut bench, _) = Bench::new(workers, true, Rules::default(), ReadyBy::Listen);
    bench.world.sup.shape.roll = SOAK;
    for slot in 0..workers {
        bench.on(listen(w(slot, 1), A));
    }
    bench.wait(s(5));
    bench
}

/// What the next worker of a slot would be held to.
fn held(bench: &mut Bench, slot: u32) -> Vec<String> {
    bench.world.sup.now = bench.world.now;
    bench.world.sup.learn_all();
    bench.world.sup.slots[slot as usize].baseline.iter().map(ToString::to_string).collect()
}

/// Ticks until a roll is given up, and says how long that took.
fn until_aborted(bench: &mut Bench) -> (Span, String) {
    let (after, actions) = bench.until_next();
    (after, reason(&actions).to_owned())
}

#[test]
fn a_new_release_that_listens_elsewhere_is_turned_away_at_once_and_the_message_says_what_to_do() {
    let mut bench = cluster(1);
    bench.reload();
    bench.wait(Span::millis(500));
    bench.on(listen(w(0, 2), B));
    let said = "the new worker listens on 0.0.0.0:3001, not on 0.0.0.0:3000 as the one before it \
                (if that is meant: pm reload APP --moved)";
    assert_eq!(until_aborted(&mut bench), (s(2), said.to_owned()));
    assert_eq!(bench.states(0), [(1, "ready"), (2, "draining")]);
}

#[test]
fn one_that_takes_its_time_before_it_listens_at_all_has_the_whole_timeout() {
    let mut bench = cluster(1);
    bench.reload();
    bench.wait(s(29));
    assert!(!aborted(&bench.on(listen(w(0, 2), A))));
    bench.tick();
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);

    // It looks for a free port, and listens when it has its data.
    let mut bench = cluster(1);
    bench.reload();
    bench.on(listen(w(0, 2), B));
    bench.on(Event::Closed { id: w(0, 2), address: at(B) });
    assert_eq!(bench.due(), Some(s(30)));
}

#[test]
fn one_that_loads_is_not_up() {
    let mut bench = cluster(1);
    bench.reload();
    bench.on(Event::Boots(w(0, 2)));
    bench.on(listen(w(0, 2), B));
    assert_eq!(bench.due(), Some(s(30)));
    bench.wait(s(4));
    bench.on(Event::Booted(w(0, 2), Loads::Server));
    assert_eq!(bench.due(), Some(s(4)), "where loading takes long, the rest does too");
}

#[test]
fn one_that_still_opens_addresses_is_not_turned_away() {
    let mut bench = cluster(1);
    bench.reload();
    for port in 4000..4010 {
        bench.on(listen(w(0, 2), &format!("tcp:0.0.0.0:{port}")));
        assert_eq!(bench.due(), Some(s(2)));
        bench.wait(s(1));
    }
    bench.on(listen(w(0, 2), A));
    bench.tick();
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);
}

#[test]
fn a_second_port_that_comes_late_in_every_generation_is_waited_for() {
    let mut bench = cluster(2);
    for slot in 0..2 {
        bench.on(listen(w(slot, 1), B));
    }
    bench.wait(s(30));
    bench.reload();
    bench.on(listen(w(0, 2), A));
    assert_eq!(bench.due(), Some(s(10)), "the one before took half of that");
    bench.wait(s(9));
    bench.on(listen(w(0, 2), B));
    bench.tick();
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);
    assert_eq!(held(&mut bench, 0), [A, B]);
}

#[test]
fn what_others_do_without_is_asked_of_nobody() {
    let mut bench = cluster(3);
    bench.on(listen(w(1, 1), B));
    bench.wait(s(11));
    assert_eq!(held(&mut bench, 1), [A]);
    bench.reload();
    for slot in 0..3 {
        bench.on(listen(w(slot, 2), A));
        if slot == 0 {
            bench.tick();
        }
    }
    assert_eq!(numbers(&bench), (1, 1, 1, Some(true)));
    // The next one opens it on demand again: twice the same is no habit of the code.
    bench.wait(s(2));
    bench.on(listen(w(1, 2), B));
    bench.wait(s(11));
    assert_eq!(held(&mut bench, 1), [A]);
}

#[test]
fn workers_with_ports_of_their_own_are_held_to_those() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(1, 1), B));
    bench.wait(s(30));
    assert_eq!((held(&mut bench, 0), held(&mut bench, 1)), (vec![A.to_owned()], vec![B.to_owned()]));
}

#[test]
fn a_lone_worker_that_comes_up_without_an_address_shows_that_it_was_opened_on_demand() {
    let mut bench = cluster(1);
    bench.on(listen(w(0, 1), B));
    assert_eq!(held(&mut bench, 0), [A, B], "nobody knows any better");
    bench.wait(s(20));
    bench.on(crash(w(0, 1)));
    bench.on(listen(w(0, 2), A));
    let without = Action::Say(Record::ReadyWithout { id: w(0, 2), missing: vec![at(B)] });
    let (after, actions) = bench.until_next();
    assert_eq!((after, actions), (s(10), vec![without, Action::SteerIn(w(0, 2))]));
    // From now on it is no matter that it is opened again.
    bench.wait(s(5));
    bench.on(listen(w(0, 2), B));
    bench.wait(s(20));
    assert_eq!(held(&mut bench, 0), [A]);
    bench.reload();
    bench.on(listen(w(0, 3), A));
    bench.tick();
    assert_eq!(numbers(&bench), (1, 1, 1, Some(true)));
    // One that has it before it serves means it.
    bench.reload();
    bench.on(listen(w(0, 4), A));
    bench.on(listen(w(0, 4), B));
    bench.tick();
    assert_eq!(held(&mut bench, 0), [A, B]);
}

#[test]
fn where_what_was_there_from_the_start_is_missing_the_seat_waits_for_it() {
    let mut bench = cluster(1);
    bench.wait(s(20));
    bench.on(crash(w(0, 1)));
    bench.on(listen(w(0, 2), B));
    assert_eq!(bench.due(), Some(s(30)), "its database may be away");
    assert_eq!(deeds(&bench.tick()), []);
    assert_eq!(bench.states(0), [(2, "ready")], "better than none");
}

#[test]
fn one_that_replaces_a_worker_over_its_limit_may_lack_what_was_opened_on_demand_and_no_more() {
    for (first, second, taken) in [(A, B, true), (B, A, false)] {
        let (mut bench, _) = Bench::new(1, true, Rules { max_mem: Some(9), ..Rules::default() }, ReadyBy::Listen);
        bench.on(listen(w(0, 1), first));
        bench.wait(s(5));
        bench.on(listen(w(0, 1), second));
        bench.wait(s(20));
        bench.on(Event::Memory(w(0, 1), 10));
        bench.on(listen(w(0, 2), A));
        bench.wait(s(11));
        assert_eq!(bench.states(0).contains(&(2, "ready")), taken, "{first}");
    }
}

#[test]
fn what_is_meant_to_move_moves() {
    let mut bench = cluster(2);
    assert_eq!(bench.on(RELOAD), [Action::ResolveRelease]);
    bench.on(Event::Moves);
    assert_eq!(bench.tick(), [spawn_next(w(0, 2))]);
    bench.on(listen(w(0, 2), B));
    let (after, actions) = bench.until_next();
    let without = Action::Say(Record::ReadyWithout { id: w(0, 2), missing: vec![at(A)] });
    assert_eq!((after, actions), (s(2), vec![without]), "what it has of the old ones is waited for");
    assert!(!aborted(&bench.tick()));
    assert_eq!(bench.states(0), [(2, "ready"), (1, "draining")]);
    // The second slot knows.
    let actions = bench.on(listen(w(1, 2), B));
    assert!(actions.contains(&Action::CloseUnserved) && rolled(&actions), "{actions:?}");
    bench.wait(s(20));
    assert_eq!(held(&mut bench, 0), [B]);
    bench.reload();
    bench.on(listen(w(0, 3), A));
    let back = "the new worker listens on 0.0.0.0:3000, not on 0.0.0.0:3001";
    assert!(until_aborted(&mut bench).1.starts_with(back), "it holds for one reload");
}

#[test]
fn whoever_moves_must_listen_somewhere_and_a_move_that_fails_changes_nothing() {
    for how in ["nowhere", "not for long"] {
        let mut bench = cluster(1);
        bench.on(RELOAD);
        bench.on(Event::Moves);
        bench.tick();
        if how == "not for long" {
            bench.on(listen(w(0, 2), B));
            bench.until_next();
            bench.on(Event::Closed { id: w(0, 2), address: at(B) });
        }
        let (_, actions) = bench.until_next();
        assert!(aborted(&actions), "{how}");
        assert_eq!(held(&mut bench, 0), [A], "{how}");
    }
}

#[test]
fn what_was_opened_on_demand_is_known_to_a_successor() {
    let mut bench = cluster(1);
    bench.on(listen(w(0, 1), PATH));
    bench.on(listen(w(0, 1), B));
    bench.wait(s(20));
    bench.on(crash(w(0, 1)));
    bench.on(listen(w(0, 2), A));
    bench.until_next();
    let carried = bench.world.sup.carried();
    assert_eq!(carried.waived, [at(B)].into());
    let mut sup = Machine::new(Rules::default(), bench.world.sup.shape.clone(), 1);
    sup.resume(&carried, bench.world.now);
    assert_eq!(sup.carried().waived, carried.waived);
}
