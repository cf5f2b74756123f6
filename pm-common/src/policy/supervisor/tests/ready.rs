//! What counts as ready, the baseline, and the announcement.

use super::*;

const A: &str = "tcp:0.0.0.0:3000";
const B: &str = "tcp:0.0.0.0:3001";
const PATH: &str = "unix:/run/app.sock";

/// One slot, nothing ready yet.
fn starting(evidence: ReadyBy) -> Bench {
    let (bench, first) = Bench::new(1, true, Rules::default(), evidence);
    assert_eq!(first, [spawn(w(0, 1))]);
    bench
}

/// Crashes the worker after it was up long enough to be stable: its successor starts at once.
fn replaced(bench: &mut Bench, id: WorkerId) -> WorkerId {
    bench.wait(s(20));
    let successor = WorkerId { generation: id.generation + 1, ..id };
    assert_eq!(deeds(&bench.on(crash(id))), [spawn(successor)]);
    successor
}

#[test]
fn each_kind_of_evidence_alone() {
    use ReadyBy::{Alive, Listen, Message, Notify};
    let said = |by| Event::SaidReady(w(0, 1), by);
    let table = [
        (Listen, listen(w(0, 1), A), Some(Listen)),
        (Listen, Event::Listening { id: w(0, 1), address: at(A), fixed: false }, Some(Listen)),
        (Listen, said(Notify), Some(Notify)),
        (Listen, said(Message), None),
        (Message, said(Message), Some(Message)),
        (Message, said(Notify), Some(Notify)),
        (Message, listen(w(0, 1), A), None),
        (Notify, said(Notify), Some(Notify)),
        (Notify, said(Message), None),
        (Notify, listen(w(0, 1), A), None),
    ];
    for (evidence, event, expected) in table {
        let mut bench = starting(evidence);
        let shown = format!("{evidence:?} asked, {event:?}");
        let actions = bench.on(event);
        assert_eq!(bench.ready_by(w(0, 1)), expected, "{shown}");
        let steered: &[Action] =
            if expected.is_some() { &[Action::SteerIn(w(0, 1)), Action::AnnounceReady] } else { &[] };
        assert_eq!(actions, steered, "{shown}");
        assert_ne!(expected, Some(Alive));
    }
}

#[test]
fn alive_is_ready_only_where_listen_is_asked_for_and_is_promoted() {
    let mut bench = starting(ReadyBy::Listen);
    assert_eq!(bench.until_next(), (s(1), vec![Action::SteerIn(w(0, 1)), Action::AnnounceReady]));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
    assert_eq!(bench.due(), Some(s(1)), "until it has shown that it rests");
    assert_eq!(bench.on(listen(w(0, 1), A)), [Action::SteerIn(w(0, 1))]);
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Listen));
    assert_eq!(bench.due(), None, "all ready and no limit: nothing to wait for");
}

#[test]
fn one_that_has_not_listened_by_the_ready_timeout_serves_nobody_and_may_listen_later() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Booted(w(0, 1), Loads::Server));
    bench.until_next();
    assert_eq!(bench.wait(s(24)), []);
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
    assert_eq!(bench.wait(s(1)), []);
    assert_eq!((bench.ready_by(w(0, 1)), bench.due()), (Some(ReadyBy::Idle), None));
    bench.on(listen(w(0, 1), A));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Listen));
}

#[test]
fn one_that_tells_nothing_of_itself_serves_nobody_once_it_rests_and_may_listen_later() {
    let mut bench = starting(ReadyBy::Listen);
    assert_eq!(bench.until_next().0, s(1));
    bench.wait(Span::millis(1999));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
    bench.wait(Span::millis(1));
    assert_eq!((bench.ready_by(w(0, 1)), bench.due()), (Some(ReadyBy::Idle), None));
    bench.on(listen(w(0, 1), A));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Listen));

    // It rested for a moment, and computes again: few looks, and the end of the ready timeout.
    let mut bench = starting(ReadyBy::Listen);
    bench.until_next();
    let mut looks = 0;
    while bench.due().is_some() {
        assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
        let looked = bench.world.tick().expect("it ticks") == [Action::Look(w(0, 1))];
        looks += u32::from(looked && bench.on(Event::Looked { id: w(0, 1), busy: true }).is_empty());
    }
    assert_eq!(bench.world.now, Mono(s(1000).0) + s(30));
    assert!(bench.ready_by(w(0, 1)) == Some(ReadyBy::Idle) && (9..15).contains(&looks), "{looks}");

    // A port was bound: that may be to listen on.
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Binds(w(0, 1)));
    bench.wait(s(20));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
}

/// A slot whose worker has shown that it serves nobody.
fn quiet(loads: Loads) -> Bench {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Booted(w(0, 1), loads));
    bench.wait(s(30));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle), "{loads:?}");
    bench
}

#[test]
fn the_successor_of_one_that_served_nobody_is_asked_for_nothing() {
    for loads in [Loads::Nothing, Loads::Unknown, Loads::Server] {
        let mut bench = quiet(loads);
        let id = replaced(&mut bench, w(0, 1));
        bench.on(Event::Booted(id, loads));
        // However busy it is.
        while bench.due().is_some() {
            let looks = bench.world.tick().expect("it ticks");
            for id in bench.looks(&looks) {
                bench.on(Event::Looked { id, busy: true });
            }
        }
        assert!(bench.world.now <= Mono(s(1000).0) + s(51), "{loads:?}");
        assert_eq!((bench.ready_by(id), bench.due()), (Some(ReadyBy::Idle), None), "{loads:?}");
        bench.on(listen(id, A));
        assert_eq!(bench.ready_by(id), Some(ReadyBy::Listen));
    }
    // It is still loaded after a second; it could serve now; it binds a port.
    let mut bench = quiet(Loads::Nothing);
    let id = replaced(&mut bench, w(0, 1));
    bench.on(Event::Boots(id));
    bench.wait(s(5));
    assert_eq!(bench.ready_by(id), None);
    bench.on(Event::Booted(id, Loads::Nothing));
    assert_eq!(bench.ready_by(id), Some(ReadyBy::Idle));
    for asks in [Event::Booted(w(0, 2), Loads::Server), Event::Binds(w(0, 2))] {
        let mut bench = quiet(Loads::Nothing);
        let id = replaced(&mut bench, w(0, 1));
        bench.on(asks);
        bench.wait(s(6));
        assert_eq!(bench.ready_by(id), Some(ReadyBy::Alive));
    }
}

#[test]
fn what_loads_a_server_late_has_the_time_to_listen_once() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Booted(w(0, 1), Loads::Nothing));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle));
    bench.wait(s(2));
    assert_eq!(bench.on(Event::Booted(w(0, 1), Loads::Server)), []);
    assert_eq!((bench.ready_by(w(0, 1)), bench.due()), (Some(ReadyBy::Alive), Some(s(28))));
    bench.wait(s(28));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle));
    // Its successors load it late, too.
    for generation in 2..4 {
        let id = replaced(&mut bench, w(0, generation - 1));
        for loads in [Loads::Nothing, Loads::Server] {
            bench.on(Event::Booted(id, loads));
            assert_eq!((bench.ready_by(id), bench.due()), (Some(ReadyBy::Idle), None));
        }
    }
    let mut bench = quiet(Loads::Nothing);
    bench.on(Event::Booted(w(0, 1), Loads::Server));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle), "a client, most likely: it is long since up");
}

/// The one before serves nobody; the new one has loaded this, and is watched for a second.
fn reload_with_a_soak(loads: Loads) -> Bench {
    let roll = RollRule { soak: s(1), ..AT_ONCE };
    let shape = Shape { workers: 1, most: 1, overlap: true, shares: true, ready: ReadyRule::default(), roll };
    let mut bench = Bench { world: World::new(Rules::default(), shape), looked: BTreeSet::new() };
    bench.on(Event::Start);
    bench.on(Event::Booted(w(0, 1), Loads::Nothing));
    bench.reload();
    bench.on(Event::Booted(w(0, 2), loads));
    bench
}

/// It is no guess any more, and teaches the slot nothing of one that serves nobody.
#[test]
fn what_listens_in_its_soak_is_ready_by_that() {
    for loads in [Loads::Nothing, Loads::Unknown] {
        let mut bench = reload_with_a_soak(loads);
        let soaks = |bench: &Bench| {
            let known = bench.world.sup.known(w(0, 2));
            known.is_some_and(|(_, worker)| matches!(worker.life, Life::Soaking { .. }))
        };
        while !soaks(&bench) {
            let looks = bench.world.tick().expect("it ticks");
            for id in bench.looks(&looks) {
                bench.on(Event::Looked { id, busy: false });
            }
        }
        bench.wait(Span::millis(500));
        assert_eq!(deeds(&bench.on(listen(w(0, 2), A))), [], "it goes on with its soak");
        assert!(rolled(&bench.wait(Span::millis(500))));
        assert_eq!(bench.ready_by(w(0, 2)), Some(ReadyBy::Listen), "{loads:?}");
    }
}

/// Or it would replace one that served nobody by one that is about to.
#[test]
fn a_server_loaded_while_the_new_worker_soaks_is_waited_for() {
    let mut bench = reload_with_a_soak(Loads::Nothing);
    bench.wait(Span::millis(500));
    bench.on(Event::Booted(w(0, 2), Loads::Server));
    assert_eq!(deeds(&bench.wait(s(4))), []);
    bench.on(listen(w(0, 2), A));
    assert!(rolled(&bench.wait(s(1))));
    assert_eq!(bench.ready_by(w(0, 2)), Some(ReadyBy::Listen));
}

/// Neither has listened yet: the new one is no worse.
#[test]
fn a_reload_waits_for_one_that_computes_no_longer_than_a_start_does() {
    let mut bench = starting(ReadyBy::Listen);
    bench.reload();
    let from = bench.world.now;
    while bench.ready_by(w(0, 2)).is_none() {
        let looks = bench.world.tick().expect("it ticks");
        for id in bench.looks(&looks) {
            bench.on(Event::Looked { id, busy: true });
        }
    }
    let took = bench.world.now.since(from);
    assert!(took >= ReadyRule::default().start_waits() && took < s(7), "{took}");
    assert_eq!(bench.ready_by(w(0, 2)), Some(ReadyBy::Alive));
    assert_eq!(bench.ready_by(w(0, 1)), None);
}

#[test]
fn one_at_work_is_waited_for_until_it_is_quiet_or_the_ready_timeout_is_over() {
    let busy = |bench: &mut Bench, from: Mono| {
        while bench.world.now < from + s(9) {
            let actions = bench.world.tick().expect("it ticks");
            assert_eq!(actions, [Action::Look(w(0, 1))]);
            assert_eq!(bench.on(Event::Looked { id: w(0, 1), busy: true }), []);
        }
    };
    let mut bench = starting(ReadyBy::Listen);
    let from = bench.world.now;
    busy(&mut bench, from);
    let quiet = bench.on(Event::Looked { id: w(0, 1), busy: false });
    assert_eq!(quiet, [Action::SteerIn(w(0, 1)), Action::AnnounceReady]);
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));

    let mut bench = starting(ReadyBy::Listen);
    busy(&mut bench, from);
    while bench.world.tick().expect("it ticks") == [Action::Look(w(0, 1))] {}
    assert_eq!((bench.world.now.since(from), bench.ready_by(w(0, 1))), (s(30), Some(ReadyBy::Idle)));
}

#[test]
fn one_that_has_loaded_nothing_to_serve_with_is_ready_at_once() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Boots(w(0, 1)));
    let actions = bench.on(Event::Booted(w(0, 1), Loads::Nothing));
    assert_eq!(actions, [Action::SteerIn(w(0, 1)), Action::AnnounceReady]);
    assert_eq!((bench.ready_by(w(0, 1)), bench.due()), (Some(ReadyBy::Idle), None));

    let mut bench = starting(ReadyBy::Listen);
    bench.until_next();
    assert_eq!(bench.on(Event::Booted(w(0, 1), Loads::Nothing)), []);
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle), "it took longer than most");

    // Another sign was asked for, or the one before it listened: that it has not yet is no news.
    for evidence in [ReadyBy::Message, ReadyBy::Notify, ReadyBy::Health] {
        let mut bench = starting(evidence);
        assert_eq!(bench.on(Event::Booted(w(0, 1), Loads::Nothing)), []);
        assert_eq!(bench.ready_by(w(0, 1)), None);
    }
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    let id = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.on(Event::Booted(id, Loads::Nothing)), []);
}

#[test]
fn where_only_listening_counts_neither_time_nor_idleness_helps() {
    let ready = ReadyRule { alive_after: None, ..ReadyRule::default() };
    let shape = Shape { workers: 1, most: 1, overlap: true, shares: true, ready, roll: AT_ONCE };
    let mut bench = Bench { world: World::new(Rules::default(), shape), looked: BTreeSet::new() };
    bench.on(Event::Start);
    for event in [Event::Boots(w(0, 1)), Event::Booted(w(0, 1), Loads::Nothing), Event::Binds(w(0, 1))] {
        assert_eq!(bench.on(event), []);
    }
    assert_eq!(bench.due(), Some(s(30)));
    assert_eq!(deeds(&bench.tick()), [Action::Stop(w(0, 1))]);
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), []);
    bench.tick();
    assert_eq!(bench.on(listen(w(0, 2), A)), [Action::SteerIn(w(0, 2)), Action::AnnounceReady]);
}

/// Today's answer was to put one that refuses in the place of one that serves.
#[test]
fn a_successor_is_held_to_what_its_worker_begins_to_listen_on_while_it_starts() {
    for soak in [Span::ZERO, s(1)] {
        let roll = RollRule { soak, ..AT_ONCE };
        let shape = Shape { workers: 1, most: 1, overlap: true, shares: true, ready: ReadyRule::default(), roll };
        let mut bench = Bench { world: World::new(Rules::default(), shape), looked: BTreeSet::new() };
        bench.on(Event::Start);
        bench.until_next();
        assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
        if soak > Span::ZERO {
            bench.wait(Span::millis(1500));
        }
        bench.on(listen(w(0, 1), A));
        assert_eq!(deeds(&bench.wait(s(20))), [], "alive is no evidence any more");
        let actions = bench.on(listen(w(0, 2), A));
        assert_eq!(actions.contains(&Action::Drain(w(0, 1))), soak == Span::ZERO, "{actions:?}");
        assert!(rolled(&actions) || rolled(&bench.wait(soak)));
    }
}

#[test]
fn the_time_to_load_is_not_the_time_alive() {
    let mut bench = starting(ReadyBy::Listen);
    assert_eq!(bench.on(Event::Boots(w(0, 1))), []);
    assert_eq!(bench.due(), Some(s(30)));
    bench.wait(s(4));
    assert_eq!(bench.on(Event::Booted(w(0, 1), Loads::Server)), []);
    assert_eq!(bench.until_next().0, s(5));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));

    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Boots(w(0, 1)));
    bench.tick();
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Idle), "it computes, and says nothing");

    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Boots(w(0, 1)));
    bench.on(Event::Booted(w(0, 1), Loads::Unknown));
    assert_eq!(bench.until_next().0, s(1), "it has taken the channel away");

    for evidence in [ReadyBy::Message, ReadyBy::Health] {
        let mut bench = starting(evidence);
        bench.on(Event::Boots(w(0, 1)));
        bench.wait(s(4));
        bench.on(Event::Booted(w(0, 1), Loads::Server));
        assert_eq!(bench.due(), Some(s(26)), "being alive was never asked for");
    }
}

#[test]
fn one_whose_bind_was_answered_has_time_to_listen() {
    let mut bench = starting(ReadyBy::Listen);
    bench.wait(Span::millis(900));
    assert_eq!(bench.on(Event::Binds(w(0, 1))), []);
    assert_eq!(bench.due(), Some(s(1)), "the wait for the answer is not its own");
    bench.on(listen(w(0, 1), A));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Listen));

    let mut bench = starting(ReadyBy::Listen);
    while bench.world.now < Mono::default() + s(29) && bench.ready_by(w(0, 1)).is_none() {
        bench.world.now = bench.world.now + Span::millis(900);
        bench.on(Event::Binds(w(0, 1)));
    }
    assert!(bench.due() <= Some(s(1)), "one that binds for ever is not waited for any longer than others");
    bench.wait(s(2));
    assert_eq!(bench.ready_by(w(0, 1)), Some(ReadyBy::Alive));
}

#[test]
fn of_many_the_last_ones_time_begins_when_they_are_started() {
    let (mut bench, first) = Bench::new(40, true, Rules::default(), ReadyBy::Listen);
    assert_eq!(first.len(), 16, "what these say must not wait for the start of all");
    assert_eq!(bench.due(), Some(Span::ZERO));
    assert_eq!(bench.on(notify(w(0, 1))), [Action::SteerIn(w(0, 1))], "it is heard, and starts no others");
    // Each start takes its time.
    bench.world.now = bench.world.now + Span::millis(600);
    assert_eq!(bench.tick().len(), 16);
    bench.world.now = bench.world.now + Span::millis(600);
    let last = bench.tick();
    assert_eq!(last.iter().filter(|action| matches!(action, Action::Spawn { .. })).count(), 8);
    assert_eq!((bench.ready_by(w(1, 1)), bench.ready_by(w(39, 1))), (Some(ReadyBy::Alive), None));
    bench.wait(Span::millis(999));
    assert_eq!(bench.ready_by(w(39, 1)), None);
    bench.wait(Span::millis(1));
    assert_eq!(bench.ready_by(w(39, 1)), Some(ReadyBy::Alive));
}

#[test]
fn a_message_that_does_not_come_in_time_is_a_failed_start() {
    for evidence in [ReadyBy::Message, ReadyBy::Notify] {
        let mut bench = starting(evidence);
        assert_eq!(bench.due(), Some(s(30)));
        let actions = bench.tick();
        assert_eq!(deeds(&actions), [Action::Stop(w(0, 1))]);
        assert!(matches!(said(&actions)[..], [Record::NotReady { missing, .. }] if missing.is_empty()));
        let ended = bench.on(ended(w(0, 1), Exit::Code(0)));
        assert!(matches!(next(&ended), Some(Next::Restart(delay)) if delay > Span::ZERO), "{ended:?}");
    }
}

#[test]
fn a_successor_must_listen_on_every_address_of_the_baseline_and_no_timer_helps() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    // After it became ready: the baseline is what it listened on at its end.
    bench.on(listen(w(0, 1), B));
    let id = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.due(), Some(s(30)), "alive is no evidence here");
    assert_eq!(bench.on(listen(id, A)), []);
    assert_eq!(bench.on(Event::Closed { id, address: at(A) }), []);
    assert_eq!(bench.on(listen(id, B)), [], "it closed the first again");
    assert_eq!(bench.on(listen(id, A)), [Action::SteerIn(id)]);
}

#[test]
fn one_that_was_refused_and_listens_on_nothing_is_not_ready_because_it_lives() {
    let refused = |id| Event::Refused { id, what: "x is taken".to_string() };
    let mut bench = starting(ReadyBy::Listen);
    assert_eq!(bench.on(refused(w(0, 1))), []);
    let (after, actions) = bench.until_next();
    assert_eq!(after, s(1), "it may yet find another");
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 1))]);
    let [late] = said(&actions)[..] else { panic!("{actions:?}") };
    let late_line = "worker not ready in time slot=0 generation=1 after=1000ms; it listens on nothing: x is taken";
    assert_eq!(late.to_string(), late_line);
    let ended = bench.on(ended(w(0, 1), Exit::Code(0)));
    assert!(matches!(next(&ended), Some(Next::Restart(delay)) if delay > Span::ZERO), "{ended:?}");
    assert!(bench.wait(s(2)).contains(&Action::AnnounceReady), "its successor was refused nothing");

    let mut bench = starting(ReadyBy::Listen);
    bench.on(refused(w(0, 1)));
    assert_eq!(bench.on(listen(w(0, 1), B)), [Action::SteerIn(w(0, 1)), Action::AnnounceReady], "it found another");

    let mut bench = starting(ReadyBy::Health);
    bench.on(refused(w(0, 1)));
    assert_eq!(bench.due(), Some(s(30)), "the next check may be better");
    let actions = bench.tick();
    let line = "worker not ready in time slot=0 generation=1 after=30000ms; x is taken";
    assert!(said(&actions).iter().any(|late| late.to_string() == line), "{actions:?}");

    for evidence in [ReadyBy::Message, ReadyBy::Notify] {
        let mut bench = starting(evidence);
        bench.on(refused(w(0, 1)));
        assert_eq!(bench.due(), Some(s(30)));
        bench.on(Event::SaidReady(w(0, 1), evidence));
        assert_eq!(bench.ready_by(w(0, 1)), Some(evidence), "it knows what it can do without");
    }
}

/// As PM2 has it: the program has heard of the error, and may try again, or has other things to do.
#[test]
fn in_fork_mode_one_that_could_not_listen_and_lives_is_left_alone_unless_it_must_listen() {
    let refused = |id| Event::Refused { id, what: "x is taken".to_string() };
    for workers in [1, 2] {
        let (mut bench, _) = Bench::new(workers, false, Rules::default(), ReadyBy::Listen);
        for slot in 0..workers {
            bench.on(refused(w(slot, 1)));
        }
        let late = bench.wait(s(60));
        assert!(deeds(&late).is_empty(), "nobody is ended: {late:?}");
        let line = "worker not ready in time slot=0 generation=1 after=1000ms; it listens on nothing: x is taken; it goes on, as it lives";
        assert_eq!(said(&late).first().map(|record| record.to_string()).as_deref(), Some(line));
        assert_eq!((bench.states(0), bench.due()), (vec![(1, "starting")], None));
        assert!(bench.on(listen(w(0, 1), A)).contains(&Action::SteerIn(w(0, 1))), "it got it later");
    }
    let ready = ReadyRule { alive_after: None, ..ReadyRule::default() };
    let shape = Shape { workers: 1, most: 1, overlap: false, shares: false, ready, roll: AT_ONCE };
    let mut bench = Bench { world: World::new(Rules::default(), shape), looked: BTreeSet::new() };
    bench.on(Event::Start);
    bench.on(refused(w(0, 1)));
    let (after, actions) = bench.until_next();
    assert_eq!((after, deeds(&actions)), (s(30), vec![Action::Stop(w(0, 1))]));
    // The release before it may have had another port.
    let mut bench = Bench::restart(Rules::default());
    bench.reload();
    bench.on(ended(w(0, 1), Exit::Code(0)));
    bench.on(refused(w(0, 2)));
    let (_, actions) = bench.until_next();
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
}

/// Another program has its port for a moment: left alone, it would be deaf for good.
#[test]
fn in_fork_mode_one_whose_slot_has_served_is_tried_again_where_it_cannot_listen() {
    for workers in [1, 2] {
        let (mut bench, _) = Bench::new(workers, false, Rules::default(), ReadyBy::Listen);
        (0..workers).for_each(|slot| _ = bench.on(listen(w(slot, 1), A)));
        assert!(bench.on(crash(w(0, 1))).contains(&spawn(w(0, 2))));
        for generation in [2, 3] {
            bench.on(Event::Refused { id: w(0, generation), what: "x is taken".to_string() });
            let (_, late) = bench.until_next();
            assert_eq!(deeds(&late), [Action::Stop(w(0, generation))], "{late:?}");
            bench.on(ended(w(0, generation), Exit::Code(0)));
            assert!(bench.until_next().1.contains(&spawn(w(0, generation + 1))), "it keeps being tried");
        }
        assert!(bench.on(listen(w(0, 4), A)).contains(&Action::SteerIn(w(0, 4))), "it got it");
    }
}

#[test]
fn a_new_release_that_is_refused_what_it_wants_aborts_the_reload() {
    let mut bench = Bench::cluster(1, Rules::default());
    bench.reload();
    bench.on(Event::Refused { id: w(0, 2), what: "cannot listen".to_string() });
    let (_, actions) = bench.until_next();
    assert_eq!(deeds(&actions), [Action::Stop(w(0, 2)), Action::DropRelease]);
    assert_eq!(reason(&actions), "not ready after 1000ms; it listens on nothing: cannot listen");
}

#[test]
fn a_missing_address_is_named() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(0, 1), B));
    let id = replaced(&mut bench, w(0, 1));
    let actions = bench.tick();
    assert!(
        matches!(said(&actions)[..], [Record::NotReady { id: late, missing, .. }] if *late == id && missing == &[at(A), at(B)]),
        "{actions:?}"
    );
}

#[test]
fn where_nobody_else_has_the_seat_one_that_serves_in_part_is_better_than_none() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(0, 1), B));
    let id = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.on(listen(id, B)), []);
    let without = Action::Say(Record::ReadyWithout { id, missing: vec![at(A)] });
    assert_eq!(bench.tick(), [without, Action::SteerIn(id)]);
    let next = replaced(&mut bench, id);
    assert_eq!(bench.on(listen(next, B)), [Action::SteerIn(next)], "held to what that one served");
}

#[test]
fn a_port_opened_on_demand_long_after_the_start_is_asked_of_no_successor() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    bench.wait(s(11));
    bench.on(listen(w(0, 1), B));
    let id = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.on(listen(id, A)), [Action::SteerIn(id)]);
}

#[test]
fn what_is_left_of_a_supervisor_is_a_plain_child_again() {
    let mut bench = Bench::restart(Rules { max_mem: Some(1 << 20), ..Rules::default() });
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(bench.due(), None, "it watches its own memory");
    bench.on(Event::SupervisesNoMore(w(0, 1)));
    assert!(bench.due().is_some(), "measured again");
}

#[test]
fn an_address_closed_in_service_leaves_the_baseline_but_one_closed_on_the_way_out_stays() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), A));
    bench.on(listen(w(0, 1), B));
    bench.on(Event::Closed { id: w(0, 1), address: at(B) });
    let id = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.on(listen(id, A)), [Action::SteerIn(id)]);

    let mut bench = Bench::restart(Rules::default());
    bench.on(listen(w(0, 1), A));
    assert_eq!(deeds(&bench.reload()), [Action::Drain(w(0, 1))], "on its way out");
    bench.on(Event::Closed { id: w(0, 1), address: at(A) });
    assert_eq!(bench.on(ended(w(0, 1), Exit::Code(0))), [spawn_next(w(0, 2))]);
    assert_eq!(bench.due(), Some(s(30)), "it must listen again");
}

#[test]
fn a_worker_that_was_never_ready_teaches_nothing() {
    let mut bench = starting(ReadyBy::Message);
    bench.on(listen(w(0, 1), A));
    bench.on(crash(w(0, 1)));
    assert!(bench.world.sup.slots.iter().all(|slot| slot.baseline.is_empty()));
}

#[test]
fn a_port_that_the_kernel_chose_is_no_part_of_the_baseline() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(Event::Listening { id: w(0, 1), address: at("tcp:0.0.0.0:40001"), fixed: false });
    let id = replaced(&mut bench, w(0, 1));
    bench.on(Event::Listening { id, address: at("tcp:0.0.0.0:40002"), fixed: false });
    assert_eq!(bench.ready_by(id), Some(ReadyBy::Listen));
}

#[test]
fn a_unix_path_counts_when_two_workers_had_it() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), PATH));
    let second = replaced(&mut bench, w(0, 1));
    assert_eq!(bench.due(), Some(Span::millis(500)), "seen once");
    bench.on(listen(second, PATH));
    let third = replaced(&mut bench, second);
    assert_eq!(bench.due(), Some(s(30)), "seen twice");
    assert_eq!(bench.on(listen(third, PATH)), [Action::SteerIn(third)]);
}

#[test]
fn a_unix_path_of_one_worker_counts_once_however_often_that_one_is_learned_from() {
    let mut bench = starting(ReadyBy::Listen);
    bench.on(listen(w(0, 1), "unix:/tmp/app.1234.sock"));
    assert_eq!(bench.reload(), [spawn_next(w(0, 2))]);
    assert!(aborted(&bench.on(crash(w(0, 2)))));
    bench.wait(s(20));
    let id = w(0, 3);
    assert_eq!(deeds(&bench.on(crash(w(0, 1)))), [spawn(id)]);
    assert_eq!(bench.on(listen(id, "unix:/tmp/app.5678.sock")), [Action::SteerIn(id)]);
}

#[test]
fn a_supervising_child_is_ready_when_it_says_so_and_never_late() {
    let (mut bench, _) = Bench::new(1, false, Rules::default(), ReadyBy::Listen);
    bench.on(Event::Supervises(w(0, 1)));
    assert_eq!(bench.due(), None, "neither alive nor late by a timer");
    assert_eq!(bench.on(notify(w(0, 1))), [Action::SteerIn(w(0, 1)), Action::AnnounceReady]);
}

#[test]
fn ready_is_announced_once_when_all_were_ready() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    assert_eq!(bench.on(notify(w(0, 1))), [Action::SteerIn(w(0, 1))]);
    assert_eq!(bench.world.sup.counts(), (2, 1));
    bench.on(crash(w(0, 1)));
    assert_eq!(bench.world.sup.state().word(), "starting");
    assert_eq!(
        bench.on(notify(w(1, 1))),
        [Action::SteerIn(w(1, 1)), Action::AnnounceReady],
        "each was ready at some time"
    );
    assert_eq!(bench.world.sup.state().word(), "ready");
    assert_eq!(bench.on(notify(w(0, 2))), [Action::SteerIn(w(0, 2))], "not announced again");
}

#[test]
fn at_the_timeout_one_ready_worker_is_enough() {
    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    bench.on(notify(w(0, 1)));
    let actions = bench.wait(s(30));
    assert_eq!(deeds(&actions), [Action::Stop(w(1, 1)), Action::AnnounceReady]);

    let (mut bench, _) = Bench::new(2, true, Rules::default(), ReadyBy::Notify);
    let actions = bench.wait(s(30));
    assert!(!actions.contains(&Action::AnnounceReady), "none is not: {actions:?}");
    bench.on(crash(w(0, 1)));
    bench.on(crash(w(1, 1)));
    bench.wait(s(1));
    assert!(bench.on(notify(w(0, 2))).contains(&Action::AnnounceReady), "the first after the timeout is");
}
