//! The policy that a person gives: what to restart, how soon, how often, within how much memory.

use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::hook_event::Hook;
use super::time::Span;

words! {
    /// Which ends of a worker are followed by a new one.
    Restart {
        /// Every end.
        Always = "always",
        /// Every end but exit code 0.
        OnFailure = "on-failure",
        /// None.
        Never = "never",
    }
}

/// A pause before each restart, whatever the worker's life was like: there is no chance in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(Span, Span)")]
pub struct Pause {
    /// The first one.
    pub first: Span,
    /// The longest one; a pause that cannot grow is always the same.
    pub longest: Span,
}

impl From<Pause> for (Span, Span) {
    fn from(Pause { first, longest }: Pause) -> Self {
        (first, longest)
    }
}

/// Up this long, a worker's pause is the first again (PM2's EXP_BACKOFF_RESET_TIMER).
const CALM: Span = Span::secs(30);

impl Pause {
    /// The pause after a worker that was up so long, where the one before it was `last` (zero: there was none): half as
    /// long again, as in PM2, in whole milliseconds.
    #[must_use]
    pub fn next(self, last: Span, up: Span) -> Span {
        if last == Span::ZERO || up > CALM {
            return self.first;
        }
        let grown = Span::millis(last.as_millis().saturating_mul(3) / 2);
        grown.min(self.longest).max(self.first)
    }
}

/// The longest that idle connections linger: a client that would still use one does so within this time.
const LONGEST_LINGER: Span = Span::secs(6);

/// The policy, as `PM_POLICY` carries it down the chain; there a missing field has its default, so that an older link above
/// is understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Which ends are followed by a restart.
    pub restart: Restart,
    /// Exit codes that are never followed by one; a death by signal matches none.
    pub stop_codes: Vec<u8>,
    /// The first and the longest delay between failed starts.
    #[serde(rename = "backoff_ns")]
    pub backoff: (Span, Span),
    /// What is waited before each restart instead.
    #[serde(rename = "restart_delay_ns")]
    pub restart_delay: Option<Pause>,
    /// Up this long, a worker's earlier failures are forgotten.
    #[serde(rename = "stable_ns")]
    pub stable: Span,
    /// At most this many restarts of a slot ...
    pub intensity: u32,
    /// ... within this window.
    #[serde(rename = "window_ns")]
    pub window: Span,
    /// Only restarts of a worker that was up for less count there (PM2's `min_uptime`); `None`: each one does.
    #[serde(rename = "brief_ns")]
    pub brief: Option<Span>,
    /// From the stop signal to KILL.
    #[serde(rename = "grace_ns")]
    pub grace: Span,
    /// How long the workers go on serving once TERM asked for a stop.
    #[serde(rename = "stop_delay_ns")]
    pub stop_delay: Span,
    /// The number of the stop signal.
    pub stop_signal: u8,
    /// Node's message 'shutdown' is sent in its stead, where there is a channel.
    pub stop_message: bool,
    /// The stop signal goes to the worker's whole process group, not to its leader alone.
    pub stop_group: bool,
    /// The most memory, in bytes, of a worker's process, of all below it, and of what these left: the resident memory; where
    /// several are over the limit together, what they share counts once.
    pub max_mem: Option<u64>,
    /// How often the memory is looked at.
    #[serde(rename = "mem_interval_ns")]
    pub mem_interval: Span,
    /// The longest that a worker may leave its clients waiting without taking anything from them.
    #[serde(rename = "max_lag_ns")]
    pub max_lag: Option<Span>,
    /// At which times all workers are replaced, and those started that have ended: patterns of cron, as they were given.
    pub cron: Vec<String>,
    /// The files and directories (with all below them) whose change has the app started anew: absolute paths.
    pub watch: Vec<String>,
    /// What of them is left out, beside what always is: globs as they were given; one with a slash is absolute.
    pub ignore: Vec<String>,
    /// The app is started anew once nothing has changed for so long.
    #[serde(rename = "watch_delay_ns")]
    pub watch_delay: Span,
    /// Commands that are run when something happens.
    #[serde(rename = "on")]
    pub hooks: Vec<Hook>,
    /// A log file in the app's directory is rotated once it is larger than so many bytes; `None`: never.
    pub log_size: Option<u64>,
    /// So many rotated files are kept.
    pub log_keep: u32,
}

impl Default for Rules {
    /// Retries for ever: the backoff up to 15 s keeps a failing worker under the intensity (13 of 16 a minute).
    fn default() -> Self {
        Self {
            restart: Restart::Always,
            stop_codes: Vec::new(),
            backoff: (Span::millis(100), Span::secs(15)),
            restart_delay: None,
            stable: Span::secs(10),
            intensity: 16,
            window: Span::secs(60),
            brief: None,
            grace: Span::secs(8),
            stop_delay: Span::ZERO,
            stop_signal: 15,
            stop_message: false,
            stop_group: false,
            max_mem: None,
            mem_interval: Span::secs(1),
            max_lag: None,
            cron: Vec::new(),
            watch: Vec::new(),
            ignore: Vec::new(),
            watch_delay: Span::millis(200),
            hooks: Vec::new(),
            log_size: Some(10 << 20),
            log_keep: 10,
        }
    }
}

impl Rules {
    /// How long a drain may take, from its begin to the stop signal: the rest of the grace is for what the worker does then.
    #[must_use]
    pub fn drain_time(&self) -> Span {
        Span(self.grace.0 / 8 * 7)
    }

    /// How long idle connections linger in a drain: they must be gone before it has to end.
    #[must_use]
    pub fn linger(&self) -> Span {
        Span(self.grace.0 / 4 * 3).min(LONGEST_LINGER)
    }

    /// How long a stop may take, from TERM to KILL, of workers that are no supervisors.
    #[must_use]
    pub fn stop_time(&self) -> Span {
        self.stop_delay + self.grace
    }

    /// Whether this end of a worker is followed by a new one.
    #[must_use]
    pub fn restarts_after(&self, exit: Exit) -> bool {
        let stopped_by_code = matches!(exit, Exit::Code(code) if self.stop_codes.contains(&code));
        match self.restart {
            _ if stopped_by_code => false,
            Restart::Always => true,
            Restart::OnFailure => exit != Exit::Code(0),
            Restart::Never => false,
        }
    }

    /// The delay before the next start, after `failures` quick ends in a row (0: the last one was stable).
    ///
    /// The first quick end of a worker that had been ready is followed at once; then the delay doubles from the
    /// first to the longest, with jitter in [d/2, d] so that slots that fail together do not start together.
    #[must_use]
    pub fn delay(&self, failures: u32, was_ready: bool, random: u64) -> Span {
        let steps = if was_ready { failures.saturating_sub(1) } else { failures };
        if steps == 0 {
            return Span::ZERO;
        }
        let (first, longest) = self.backoff;
        let factor = 1_u64.checked_shl(steps - 1).unwrap_or(u64::MAX);
        let full = first.0.saturating_mul(factor).min(longest.0.max(first.0));
        let half = full / 2;
        Span(full - random % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_the_first_to_the_longest_with_bounded_jitter() {
        let rules = Rules::default();
        for random in [0, 1, 7, u64::MAX / 3, u64::MAX] {
            assert_eq!(rules.delay(0, true, random), Span::ZERO);
            assert_eq!(rules.delay(1, true, random), Span::ZERO, "at once after a first crash");
            for failures in 2..80 {
                let full = (100_u64 << (failures - 2).min(20)).min(15_000);
                let got = rules.delay(failures, true, random);
                assert!(got <= Span::millis(full) && got >= Span::millis(full / 2), "{failures}: {got:?}");
                assert_eq!(got, rules.delay(failures - 1, false, random), "a failed start is one step ahead");
            }
        }
    }

    #[test]
    fn a_pause_is_exact_and_grows_as_in_pm2() {
        let (brief, long) = (Span::millis(10), Span::secs(31));
        let fixed = Pause { first: Span::secs(5), longest: Span::secs(5) };
        assert_eq!([Span::ZERO, Span::secs(5)].map(|last| fixed.next(last, long)), [Span::secs(5); 2]);
        let growing = Pause { first: Span::millis(100), longest: Span::secs(15) };
        let mut last = Span::ZERO;
        let mut all = Vec::new();
        for _ in 0..16 {
            last = growing.next(last, brief);
            all.push(last.as_millis());
        }
        let pm2 = [100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829, 5743, 8614, 12_921, 15_000, 15_000, 15_000];
        assert_eq!(all, pm2);
        assert_eq!(growing.next(last, Span::secs(30)), Span::secs(15));
        assert_eq!(growing.next(last, long), Span::millis(100), "forgotten");
    }

    #[test]
    fn a_drain_ends_within_the_grace_and_idle_connections_before_it() {
        let with = |grace| Rules { grace, ..Rules::default() };
        for grace in [Span::ZERO, Span::millis(1), Span::millis(100), Span::secs(8), Span::secs(3600)] {
            let rules = with(grace);
            assert!(rules.linger() <= rules.drain_time() && rules.drain_time() <= grace, "{grace}");
        }
        assert_eq!((with(Span::secs(8)).drain_time(), with(Span::secs(8)).linger()), (Span::secs(7), Span::secs(6)));
        assert_eq!(with(Span::secs(4)).linger(), Span::secs(3));
        assert_eq!(Rules { stop_delay: Span::secs(5), ..Rules::default() }.stop_time(), Span::secs(13));
    }

    #[test]
    fn which_ends_restart() {
        let rules = |restart| Rules { restart, stop_codes: vec![0, 3], ..Rules::default() };
        assert!(!rules(Restart::Always).restarts_after(Exit::Code(3)));
        assert!(rules(Restart::Always).restarts_after(Exit::Signal(9)), "a death by signal is no code 0");
        assert!(rules(Restart::OnFailure).restarts_after(Exit::Code(1)));
        assert!(!Rules { restart: Restart::OnFailure, ..Rules::default() }.restarts_after(Exit::Code(0)));
        assert!(!rules(Restart::Never).restarts_after(Exit::Code(1)));
    }
}
