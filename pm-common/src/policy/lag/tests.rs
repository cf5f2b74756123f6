//! Every single sign that a lane moves, and simulated queues.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const START: Mono = Mono(Span::secs(100).0);

/// A look at a lane where nothing happens.
fn still(queue: u32) -> Seen {
    Seen { queue, waited: Some(queue), took: Some(false), read: Some(false), open: Some(true) }
}

/// Looks on time until something is decided; the verdict and how long that took.
fn until_decided(watched: &mut Watched, limit: Option<Span>, mut seen: impl FnMut(u32) -> Seen) -> (Verdict, Span) {
    for look in 0..50 {
        let now = watched.next();
        match watched.look(now, seen(look), limit) {
            Verdict::Waits => {}
            other => return (other, now.since(START)),
        }
    }
    panic!("nothing is ever decided: {watched:?}")
}

#[test]
fn one_that_takes_nothing_through_the_window_stands_still() {
    let mut watched = Watched::begin(START, 3);
    assert_eq!(until_decided(&mut watched, None, |_| still(3)), (Verdict::Stuck(Stall::Queue), WINDOW));
    let mut growing = Watched::begin(START, 1);
    let grows = |look| Seen { waited: Some(1), ..still(1 + look) };
    assert_eq!(until_decided(&mut growing, None, grows), (Verdict::Stuck(Stall::Queue), WINDOW));
    let mut strict = Watched::begin(START, 1);
    let (verdict, after) = until_decided(&mut strict, Some(Span::secs(1)), |_| still(1));
    assert_eq!((verdict, after), (Verdict::Stuck(Stall::Queue), Span::secs(1)));
}

/// All that a look can find, at each look of the window: a single sign is enough.
#[test]
fn any_single_sign_of_movement_acquits() {
    for at in 0..5 {
        for sign in [
            Seen { queue: 0, ..still(3) },
            Seen { queue: 2, ..still(3) },
            Seen { waited: Some(2), ..still(3) },
            Seen { waited: None, ..still(3) },
            Seen { took: Some(true), ..still(3) },
            Seen { took: Some(true), open: Some(false), ..still(9) },
        ] {
            let mut watched = Watched::begin(START, 3);
            for _ in 0..at {
                let now = watched.next();
                assert_ne!(watched.look(now, still(3), None), Verdict::Moves);
            }
            let now = watched.next();
            assert_eq!(watched.look(now, sign, None), Verdict::Moves, "{sign:?} at look {at}");
        }
    }
}

#[test]
fn every_combination_of_what_one_look_can_find() {
    let switches = [None, Some(false), Some(true)];
    for queue in 0..5 {
        for waited in [None, Some(0), Some(2), Some(3), Some(7)] {
            let pairs = switches.into_iter().flat_map(|took| switches.map(|open| (took, open)));
            for ((took, open), read) in pairs.flat_map(|pair| switches.map(|read| (pair, read))) {
                let seen = Seen { queue, waited, took, read, open };
                let mut watched = Watched::begin(START, 3);
                let now = watched.next();
                let still = queue >= 3 && waited >= Some(3) && took != Some(true);
                let wanted = if still { Verdict::Waits } else { Verdict::Moves };
                assert_eq!(watched.look(now, seen, None), wanted, "{seen:?}");
                // The second such look decides only where nobody has it open.
                let now = watched.next();
                let second = watched.look(now, seen, None);
                let closed = still && open == Some(false);
                assert_eq!(second == Verdict::Stuck(Stall::Closed), closed, "{seen:?}");
            }
        }
    }
}

#[test]
fn one_that_reads_from_the_clients_it_has_is_given_more_time_but_not_for_ever() {
    let reads = |look| Seen { read: Some(look < 3), ..still(3) };
    let mut watched = Watched::begin(START, 3);
    let (verdict, after) = until_decided(&mut watched, None, reads);
    assert_eq!((verdict, after), (Verdict::Stuck(Stall::Queue), Span::millis(3750)), "two seconds after it last read");
    let mut deaf = Watched::begin(START, 3);
    let always = |_| Seen { read: Some(true), ..still(3) };
    for limit in [None, Some(Span::secs(1)), Some(Span::secs(30))] {
        assert_eq!(until_decided(&mut deaf.clone(), limit, always), (Verdict::Stuck(Stall::Queue), BUSY_WINDOW));
    }
    let (_, after) = until_decided(&mut deaf, None, always);
    assert_eq!(deaf.still(START + after), BUSY_WINDOW, "it takes nothing since the beginning");
}

#[test]
fn a_listener_that_is_between_two_processes_at_one_look_is_not_closed() {
    let mut watched = Watched::begin(START, 1);
    let seen = |look| Seen { open: Some(look % 2 == 1), ..still(1) };
    assert_eq!(until_decided(&mut watched, None, seen), (Verdict::Stuck(Stall::Queue), WINDOW));
}

#[test]
fn a_late_look_begins_a_new_window_and_frees_nobody() {
    let mut watched = Watched::begin(START, 2);
    let late = watched.next() + Span::millis(501);
    assert_eq!(watched.look(late, still(5), None), Verdict::Anew);
    assert_eq!((watched.still(late), watched.next()), (Span::ZERO, late + FIRST_PAUSE));
    let now = watched.next();
    assert_eq!(watched.look(now, still(4), None), Verdict::Moves, "five wait since then");
    let mut stuck = Watched::begin(START, 1);
    until_decided(&mut stuck, None, |_| still(1));
    let late = stuck.next() + Span::secs(9);
    assert_eq!(stuck.look(late, still(1), None), Verdict::Anew);
    let now = stuck.next();
    assert_eq!(stuck.look(now, still(1), None), Verdict::Stuck(Stall::Queue), "it still does");
    assert!(stuck.still(now) < WINDOW, "but for how long is counted anew");
}

#[test]
fn looks_get_rarer_and_none_misses_an_age_that_decides() {
    let mut watched = Watched::begin(START, 1);
    let limit = Span::secs(30);
    let mut ages = Vec::new();
    while watched.still(watched.next()) <= Span::secs(40) {
        let now = watched.next();
        ages.push(watched.still(now).as_millis());
        watched.look(now, still(1), Some(limit));
    }
    assert_eq!(ages, [250, 750, 1750, 2000, 6000, 10000, 14000, 15000, 19000, 23000, 27000, 30000, 34000, 38000]);
}

#[test]
fn a_worker_is_asked_twice_in_the_time_it_has() {
    let limit = Span::secs(10);
    let mut pulse = Pulse::begin(START, limit);
    assert_eq!(pulse.due(START), Beat::Ask);
    pulse.answered(START + Span::millis(3));
    assert_eq!(pulse.next(), START + Span::secs(5));
    assert_eq!(pulse.due(START + Span::secs(4)), Beat::Nothing);
    assert_eq!(pulse.due(START + Span::secs(5)), Beat::Ask);
    assert_eq!(pulse.next(), START + Span::millis(6250));
    assert_eq!((pulse.due(pulse.next()), pulse.next()), (Beat::Doubt, START + Span::millis(16_250)));
    assert_eq!(pulse.due(pulse.next()), Beat::Late(Span::millis(11_250)));
    assert_eq!(pulse.due(pulse.next()), Beat::Late(Span::millis(15_250)), "said again while it lasts");
    pulse.answered(START + Span::secs(21));
    assert_eq!(pulse.due(START + Span::secs(21)), Beat::Ask);
}

#[test]
fn where_we_got_no_time_either_it_gets_some_more() {
    let mut pulse = Pulse::begin(START, Span::secs(1));
    assert_eq!(pulse.due(START), Beat::Ask);
    assert_eq!(pulse.due(pulse.next()), Beat::Doubt);
    let late = pulse.next() + Span::millis(501);
    assert_eq!((pulse.due(late), pulse.next()), (Beat::Doubt, late + Span::secs(1)));
    assert_eq!(pulse.due(pulse.next()), Beat::Late(Span::secs(1)));
}

#[test]
fn one_that_reads_has_the_whole_time_again() {
    let mut pulse = Pulse::begin(START, Span::secs(1));
    assert_eq!((pulse.due(START), pulse.due(pulse.next())), (Beat::Ask, Beat::Doubt));
    for _ in 0..5 {
        let now = pulse.next();
        assert!(matches!(pulse.due(now), Beat::Late(_)));
        pulse.moves(now);
        assert_eq!(pulse.next(), now + Span::secs(1));
    }
    let now = pulse.next();
    assert_eq!(pulse.due(now), Beat::Late(Span::secs(1)));
    pulse.answered(now);
    assert_eq!(pulse.due(pulse.next()), Beat::Ask);
}

#[test]
fn an_answer_that_was_not_asked_for_changes_nothing() {
    let mut pulse = Pulse::begin(START, Span::secs(1));
    let same = pulse.clone();
    pulse.answered(START + Span::secs(9));
    assert_eq!(pulse, same);
}

/// What happens between two looks: connections come, some are accepted, and all but so many are done by the look.
#[derive(Debug, Clone, Copy)]
struct Turn {
    come: u32,
    accept: u32,
    keep: usize,
    /// Clients that reset theirs while they wait: they keep their place in the queue.
    reset: usize,
    /// Whether the worker's own connections can be seen.
    seen: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (0..4_u32, 0..3_u32, 0..3_usize, 0..2_usize, any::<bool>()).prop_map(|(come, accept, keep, reset, seen)| Turn {
        come,
        accept,
        keep,
        reset,
        seen,
    })
}

/// A queue as the kernel keeps it, and one connection each that waits in the lanes of others.
#[derive(Debug, Default)]
struct Queue {
    /// Number, and whether it was reset.
    waiting: VecDeque<(u64, bool)>,
    held: Vec<u64>,
    next: u64,
}

impl Queue {
    fn come(&mut self, count: u32) {
        for _ in 0..count {
            self.waiting.push_back((self.next, false));
            self.next += 1;
        }
    }

    /// The numbers of those that the kernel shows as waiting.
    fn shown(&self) -> Vec<u64> {
        self.waiting.iter().filter(|(_, reset)| !reset).map(|(number, _)| *number).collect()
    }

    fn length(&self) -> u32 {
        u32::try_from(self.waiting.len()).expect("short")
    }

    /// One turn, then a look that compares with what was shown at the beginning and held at the look before.
    fn turn(&mut self, turn: Turn, first: &[u64]) -> (Seen, bool) {
        self.come(turn.come);
        self.waiting.iter_mut().take(turn.reset).for_each(|one| one.1 = true);
        let before = self.held.clone();
        let accepted: Vec<u64> =
            (0..turn.accept).filter_map(|_| self.waiting.pop_front()).map(|(number, _)| number).collect();
        self.held.extend(&accepted);
        self.held = self.held.split_off(self.held.len().saturating_sub(turn.keep));
        let shown = self.shown();
        let survivors = shown.iter().filter(|number| first.contains(number)).count();
        let dead = self.waiting.len() - shown.len();
        let took = turn.seen.then(|| self.held.iter().any(|number| !before.contains(number)));
        let waited = u32::try_from(survivors + dead).ok();
        (Seen { queue: self.length(), waited, took, read: Some(false), open: Some(true) }, !accepted.is_empty())
    }
}

proptest! {
    /// Whoever has accepted since the beginning, however full the queue is, is never held to stand still: not even
    /// where its own connections cannot be seen. (The exception: as many were reset as were taken.)
    #[test]
    fn a_worker_that_accepts_is_never_accused(begin in 1..9_u32, turns in prop::collection::vec(turn(), 1..12)) {
        let mut queue = Queue::default();
        queue.come(begin);
        let (first, mut watched, mut accepted) = (queue.shown(), Watched::begin(START, begin), false);
        for one in turns {
            let (seen, accepts) = queue.turn(Turn { reset: 0, ..one }, &first);
            accepted |= accepts;
            let now = watched.next();
            match watched.look(now, seen, None) {
                Verdict::Stuck(_) => prop_assert!(!accepted, "{seen:?}"),
                Verdict::Moves => break,
                Verdict::Waits | Verdict::Anew => {}
            }
        }
    }

    /// The same beside a lane that stands still with any number in its queue: who has a connection in hand at each look
    /// that it had not at the look before is busy.
    #[test]
    fn a_busy_worker_beside_one_that_hangs_is_never_accused(
        begin in 1..9_u32, others in 0..99_u32, turns in prop::collection::vec(turn(), 1..12),
    ) {
        let mut queue = Queue::default();
        queue.come(begin);
        let (first, mut watched) = (queue.shown(), Watched::begin(START, begin));
        for one in turns {
            let (seen, _) = queue.turn(Turn { accept: one.accept.max(1), keep: 1, seen: true, ..one }, &first);
            let seen = Seen { waited: seen.waited.map(|waited| waited + others), ..seen };
            let now = watched.next();
            let verdict = watched.look(now, seen, None);
            prop_assert!(!matches!(verdict, Verdict::Stuck(_)), "{verdict:?} {seen:?}");
            if verdict == Verdict::Moves {
                break;
            }
        }
    }

    /// One that accepts nothing is found at the end of the window, whatever its clients do, and as long as it lasts.
    #[test]
    fn a_worker_that_accepts_nothing_is_found(begin in 1..9_u32, turns in prop::collection::vec(turn(), 12)) {
        let mut queue = Queue::default();
        queue.come(begin);
        let (first, mut watched) = (queue.shown(), Watched::begin(START, begin));
        for one in turns {
            let (seen, _) = queue.turn(Turn { accept: 0, ..one }, &first);
            let now = watched.next();
            let stands_still = now.since(START) >= WINDOW;
            let wanted = if stands_still { Verdict::Stuck(Stall::Queue) } else { Verdict::Waits };
            prop_assert_eq!(watched.look(now, seen, None), wanted, "{:?}", seen);
        }
    }
}
