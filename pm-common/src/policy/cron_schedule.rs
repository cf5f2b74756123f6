//! When set times come: what a clock that is set, or a machine that slept, does to them, as cron(8) has it.
//!
//! A jump of up to three hours: what would have run in the time that was skipped runs once, soon after it, and what falls into
//! a repeated time is not run again, each if its pattern names an hour and a minute; patterns with wildcards there go by the
//! new time at once. A longer jump is a correction of the clock, and the new time counts for all. Patterns, and what summer time
//! does to them, are `cli::cron_pattern`'s.

use crate::policy::time::{Mono, Span};

/// A longer jump is a correction (Vixie cron's limit).
const CORRECTION: Span = Span::secs(3 * 60 * 60);

/// A jump so short is none: all that was skipped is run.
const LATE: Span = Span::secs(5 * 60);

/// Milliseconds since 1970.
type Wall = u64;

/// A time that comes again and again.
pub trait Recurring {
    /// Whether hour and minute are named, and not by a wildcard.
    fn is_fixed(&self) -> bool;
    /// The first time after `now`, both in milliseconds since 1970; `None`: there is none.
    fn after(&self, now: u64) -> Option<u64>;
}

/// The set times of an app.
#[derive(Debug)]
pub struct Schedule<T> {
    times: Vec<(T, Option<Wall>)>,
    /// The clocks as they were looked at last.
    seen: (Wall, Mono),
    /// What names hour and minute has run up to here, as the clock has shown it before.
    done: Wall,
}

impl<T: Recurring> Schedule<T> {
    /// A schedule that begins now.
    #[must_use]
    pub fn new(times: Vec<T>, now: Wall, mono: Mono) -> Self {
        let times = times.into_iter().map(|time| (time, None)).collect();
        let mut schedule = Self { times, seen: (now, mono), done: 0 };
        schedule.look_for_next(now);
        schedule
    }

    /// When the next time comes; `None`: there is none.
    #[must_use]
    pub fn next(&self) -> Option<Wall> {
        self.times.iter().filter_map(|(_, due)| *due).min()
    }

    /// Looks at the clocks: whether a time has come. `mono` stands still while the machine sleeps.
    pub fn look(&mut self, now: Wall, mono: Mono) -> bool {
        let awake = mono.since(self.seen.1).0 / 1_000_000;
        // What the clock would show had nobody set it and the machine not slept.
        let expected = self.seen.0.saturating_add(awake);
        self.seen = (now, mono);
        let (forward, back) = (now.saturating_sub(expected), expected.saturating_sub(now));
        if back > 0 {
            self.done = if millis(CORRECTION) < back { 0 } else { self.done.max(expected) };
        }
        let comes = |(time, due): &(T, Option<Wall>)| {
            let reach = if time.is_fixed() { CORRECTION } else { LATE };
            due.is_some_and(|at| at <= now) && forward <= millis(reach)
        };
        let has_come = self.times.iter().any(comes);
        self.look_for_next(now);
        has_come
    }

    fn look_for_next(&mut self, now: Wall) {
        for (time, due) in &mut self.times {
            *due = time.after(if time.is_fixed() { now.max(self.done) } else { now });
        }
    }
}

fn millis(span: Span) -> u64 {
    span.0 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    /// A midnight.
    const DAY: Wall = 20_000 * 24 * HOUR;

    /// Times at minutes of each day, or each so many minutes.
    enum Fake {
        Daily(Vec<u64>),
        Every(u64),
    }

    impl Recurring for Fake {
        fn is_fixed(&self) -> bool {
            matches!(self, Self::Daily(_))
        }
        fn after(&self, now: u64) -> Option<u64> {
            let next = |step: u64, offset: u64| (now + step - offset) / step * step + offset;
            match self {
                Self::Daily(minutes) => minutes.iter().map(|minute| next(24 * HOUR, minute * MINUTE)).min(),
                Self::Every(minutes) => Some(next(minutes * MINUTE, 0)),
            }
        }
    }

    /// A machine with its clocks, and the times of day at which it ran, in minutes.
    struct Machine {
        schedule: Schedule<Fake>,
        wall: Wall,
        mono: u64,
        ran: Vec<u64>,
    }

    impl Machine {
        fn at(time: Fake, minute: u64) -> Self {
            let wall = DAY + minute * MINUTE;
            Self { schedule: Schedule::new(vec![time], wall, Mono(0)), wall, mono: 0, ran: Vec::new() }
        }

        /// Lets time go by, awake; the timer rings in between.
        fn wait(&mut self, mut ms: u64) {
            while let Some(at) = self.schedule.next().filter(|at| *at <= self.wall + ms) {
                let step = at.saturating_sub(self.wall);
                self.pass(step);
                ms -= step;
                self.look();
            }
            self.pass(ms);
        }

        fn pass(&mut self, ms: u64) {
            self.wall += ms;
            self.mono += ms * 1_000_000;
        }

        fn look(&mut self) {
            if self.schedule.look(self.wall, Mono(self.mono)) {
                self.ran.push((self.wall - DAY) / MINUTE);
            }
        }

        /// Sets the clock, or sleeps: the timer tells of both.
        fn jump(&mut self, minutes: i64) {
            self.wall = self.wall.saturating_add_signed(minutes * MINUTE as i64);
            self.look();
        }
    }

    #[test]
    fn times_come_once_each() {
        let mut daily = Machine::at(Fake::Daily(vec![180]), 0);
        daily.wait(49 * HOUR);
        assert_eq!(daily.ran, [180, 180 + 1440]);
        let mut often = Machine::at(Fake::Every(20), 0);
        often.wait(HOUR);
        assert_eq!(often.ran, [20, 40, 60]);
    }

    #[test]
    fn what_a_jump_of_up_to_three_hours_skips_runs_soon_after_it() {
        for (jump, ran) in [(61, vec![181]), (180, vec![300]), (181, Vec::new()), (600, Vec::new())] {
            let mut machine = Machine::at(Fake::Daily(vec![180]), 120);
            machine.jump(jump);
            assert_eq!(machine.ran, ran, "{jump} minutes");
            machine.wait(MINUTE);
            assert_eq!(machine.ran, ran, "{jump} minutes");
            machine.wait(27 * HOUR);
            assert_eq!(machine.ran.last(), Some(&(180 + 1440)), "the next day");
        }
    }

    #[test]
    fn what_falls_into_a_repeated_time_is_not_run_again() {
        for (waited, back, again) in [(1, 60, false), (90, 120, false), (1, 181, true), (150, 240, true)] {
            let mut machine = Machine::at(Fake::Daily(vec![180]), 120);
            machine.wait(HOUR + waited * MINUTE);
            machine.jump(-back);
            machine.wait(5 * HOUR);
            let expected: &[u64] = if again { &[180, 180] } else { &[180] };
            assert_eq!(machine.ran, expected, "{waited} minutes later set back by {back}");
            machine.wait(24 * HOUR);
            assert_eq!(machine.ran.last(), Some(&(180 + 1440)));
        }
    }

    #[test]
    fn what_has_not_run_yet_comes_at_the_new_time() {
        let mut machine = Machine::at(Fake::Daily(vec![210]), 180);
        machine.wait(10 * MINUTE);
        machine.jump(-60);
        machine.wait(2 * HOUR);
        assert_eq!(machine.ran, [210]);
    }

    #[test]
    fn patterns_with_wildcards_go_by_the_new_time() {
        let mut machine = Machine::at(Fake::Every(30), 1);
        machine.wait(60 * MINUTE);
        machine.jump(-60);
        machine.wait(30 * MINUTE);
        assert_eq!(machine.ran, [30, 60, 30], "a repeated time is run again");
        machine.jump(100);
        machine.wait(20 * MINUTE);
        assert_eq!(machine.ran[3..], [150], "and a skipped one is not");
        machine.jump(12);
        machine.wait(15 * MINUTE);
        assert_eq!(machine.ran[4..], [0; 0], "no time has come");
        machine.jump(4);
        assert_eq!(machine.ran[4..], [182], "a few minutes are no jump");
    }

    #[test]
    fn a_machine_that_slept_runs_what_it_missed_once() {
        // A sleep is a jump of the wall clock, seen from one that stands still meanwhile.
        let mut machine = Machine::at(Fake::Daily(vec![180, 200, 220]), 170);
        machine.jump(60);
        assert_eq!(machine.ran, [230]);
        machine.wait(HOUR);
        assert_eq!(machine.ran, [230]);
    }

    #[test]
    fn a_supervisor_that_was_suspended_runs_late() {
        let mut machine = Machine::at(Fake::Every(30), 0);
        machine.pass(4 * HOUR);
        machine.look();
        assert_eq!(machine.ran, [240]);
    }
}
