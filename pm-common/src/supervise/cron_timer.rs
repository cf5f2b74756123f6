//! The set times of `Rules::cron`: one timer of the wall clock, and nothing in between.

use std::io;

use super::{Adapter, Driver};
use crate::cli::cron_pattern::CronPattern;
use crate::cli::report;
use crate::policy::cron_schedule::Schedule;
use crate::policy::supervisor::Event;
use crate::sys::clock;
use crate::sys::timer::{Rang, WallTimer};

/// The timer of a policy that has set times.
#[derive(Debug)]
pub(super) struct CronTimer {
    schedule: Schedule<CronPattern>,
    timer: WallTimer,
}

impl CronTimer {
    /// The timer for these patterns, set to the first time; `None` if there are none.
    ///
    /// # Errors
    /// The kernel has no timer for us: out of descriptors.
    pub(super) fn new(patterns: &[String]) -> io::Result<Option<Self>> {
        if patterns.is_empty() {
            return Ok(None);
        }
        // Those that are none have been refused before.
        let times = patterns.iter().filter_map(|pattern| CronPattern::read(pattern).ok()).collect();
        let schedule = Schedule::new(times, clock::wall_ms(), clock::now());
        let set = Self { schedule, timer: WallTimer::new()? };
        set.set()?;
        Ok(Some(set))
    }

    /// What rings.
    pub(super) const fn timer(&self) -> &WallTimer {
        &self.timer
    }

    /// When it rings next, in milliseconds since 1970.
    pub(super) fn next(&self) -> Option<u64> {
        self.schedule.next()
    }

    /// Whether a time has come; from then on it waits for the next one, as it does where somebody has set the clock.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub(super) fn has_come(&mut self) -> io::Result<bool> {
        if self.timer.look() == Rang::No {
            return Ok(false);
        }
        let has_come = self.schedule.look(clock::wall_ms(), clock::now());
        self.set()?;
        Ok(has_come)
    }

    fn set(&self) -> io::Result<()> {
        self.next().map_or(Ok(()), |at| self.timer.set(at))
    }
}

impl<A: Adapter> Driver<A> {
    /// Tells the machine if a set time has come.
    pub(super) fn look_at_the_clock(&mut self) {
        let Some(times) = &mut self.set_times else { return };
        match times.has_come() {
            Ok(true) => self.events.push_back(Event::SetTime),
            Ok(false) => {}
            Err(error) => {
                report::warning(format_args!(
                    "no set time comes any more: cannot set the timer: {}",
                    report::reason(&error)
                ));
                self.set_times = None;
            }
        }
        // The next one is another.
        self.news = true;
    }
}
