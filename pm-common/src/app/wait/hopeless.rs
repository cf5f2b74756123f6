//! When a wait has no sense any more. Pure: no clock, no process.
//!
//! A supervisor that acts by its own rules says something new within the longest time that these allow for one step: a
//! start, a drain, the delay before the next try. Who has been silent for longer, or is suspended, will not reach what
//! is waited for without help.

use std::fmt;

use super::goal_reached::{Goal, Sight};
use crate::app::status::{Status, SupervisorLine, SupervisorState};
use crate::cli::policy_options;
use crate::policy::rules::Rules;
use crate::policy::time::{Mono, Span};

/// What a machine under load may take beyond the rules.
const SLACK: Span = Span::secs(15);
/// The default of `--ready-timeout`, where the status does not say.
const READY_TIMEOUT: Span = Span::secs(30);
/// How long one that is suspended is given to go on.
const SUSPENDED: Span = Span::secs(10);
/// How long an app that does not run yet is waited for.
const ABSENT: Span = Span::secs(60);
/// Who starts again and again is given so many times as long as for one step.
const STEPS: u64 = 4;

/// Why there is no sense in waiting on, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Senseless {
    /// The supervisor cannot go on, or cannot be heard, without help: that explains all.
    Stands(String),
    /// What was waited for does not come: what of it is missing tells more.
    Overdue(String),
}

impl fmt::Display for Senseless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Stands(why) | Self::Overdue(why)) = self;
        f.write_str(why)
    }
}

/// What has been seen of a wait so far.
#[derive(Debug)]
pub struct Patience {
    goal: Goal,
    begun: Mono,
    /// When something new was seen for the last time, and what.
    changed: Mono,
    statuses: Vec<Status>,
    /// Whether something was seen that was not there at the first sight.
    heard: bool,
    /// Since when a supervisor has been suspended.
    suspended: Option<Mono>,
    /// Since when nothing has been running.
    absent: Option<Mono>,
}

impl Patience {
    /// The wait begins.
    #[must_use]
    pub const fn new(goal: Goal, now: Mono) -> Self {
        Self { goal, begun: now, changed: now, statuses: Vec::new(), heard: false, suspended: None, absent: None }
    }

    /// Takes in the next sight, which is not what was waited for. Why there is no sense in waiting on; `None`: there is.
    pub fn look(&mut self, now: Mono, sight: &Sight) -> Option<Senseless> {
        if sight.statuses != self.statuses {
            self.heard |= !self.statuses.is_empty();
            (self.statuses, self.changed) = (sight.statuses.clone(), now);
        }
        self.suspended = (!sight.suspended.is_empty()).then(|| self.suspended.unwrap_or(now));
        self.absent = (!sight.runs()).then(|| self.absent.unwrap_or(now));
        if self.suspended.is_some_and(|since| now.since(since) >= SUSPENDED) {
            return suspended(sight).map(Senseless::Stands);
        }
        if self.absent.is_some_and(|since| now.since(since) >= ABSENT) {
            return Some(Senseless::Overdue(format!("it has not been running for {}s", ABSENT.as_millis() / 1000)));
        }
        let step = step(&sight.statuses);
        let silent = now.since(self.changed);
        if self.is_under_way(sight) && silent >= step {
            let (silent, step) = (silent.as_millis() / 1000, step.as_millis() / 1000);
            return Some(Senseless::Overdue(format!(
                "its supervisor has said nothing new for {silent}s, and its rules allow {step}s for a step"
            )));
        }
        let repeats = matches!(self.goal, Goal::Ready | Goal::Workers(_)) && sight.runs();
        let took = now.since(self.begun);
        (repeats && took >= Span(step.0.saturating_mul(STEPS))).then(|| {
            Senseless::Overdue(format!("after {}s it is not, however often it is tried", took.as_millis() / 1000))
        })
    }

    /// Whether the supervisors have said something since the wait began.
    #[must_use]
    pub const fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether what is waited for has begun, so that it has to go on; a stop or a reload that nobody has asked for yet
    /// may be waited for at leisure.
    fn is_under_way(&self, sight: &Sight) -> bool {
        let Some(line) = sight.acting() else { return sight.runs() && self.goal != Goal::Stopped };
        match self.goal {
            Goal::Stopped => sight.statuses.iter().any(|status| status.supervisor.state == SupervisorState::Stopping),
            // Who has read a number asks for a reload next.
            Goal::Rolled { since } => since.is_some() || rolls(line),
            Goal::Ready | Goal::Workers(_) => true,
        }
    }
}

fn rolls(line: &SupervisorLine) -> bool {
    line.roll.as_ref().is_some_and(|roll| roll.requested > roll.ended)
}

/// Says that a supervisor is suspended, and what to do; `None`: none is.
#[must_use]
pub fn suspended(sight: &Sight) -> Option<String> {
    let id = sight.suspended.first()?;
    let told = sight.statuses.iter().map(|status| &status.supervisor).find(|told| told.pid == id.pid);
    let (tool, pid) = (told.map_or("its supervisor", |told| told.tool.as_str()), id.pid);
    Some(format!("{tool} is suspended: pid={pid}; to let it go on: kill -CONT {pid}"))
}

/// The longest that the rules allow between two things that a supervisor has to say.
fn step(statuses: &[Status]) -> Span {
    let rules = statuses.iter().map(|status| policy_options::from_json(&status.supervisor.policy).unwrap_or_default());
    let of_rules = |rules: Rules| rules.stop_time().max(rules.backoff.1);
    let told = |key: &str, status: &Status| status.supervisor.policy.get(key).and_then(serde_json::Value::as_u64);
    let of_ready = |status: &Status| {
        Span(told("ready_timeout_ns", status).unwrap_or(READY_TIMEOUT.0)) + Span(told("soak_ns", status).unwrap_or(0))
    };
    let ready = statuses.iter().map(of_ready).max().unwrap_or(READY_TIMEOUT);
    rules.map(of_rules).chain([ready]).max().unwrap_or(ready) + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::status::Id;

    fn sight(state: SupervisorState, suspended: bool) -> Sight {
        let id = Id { pid: 7, start: 70 };
        let line = serde_json::json!({"kind": "supervisor", "schema": 1, "app": "web", "tool": "pm-cluster", "pid": 7,
            "start": 70, "state": state.word(), "policy": {"grace_ns": 60_000_000_000_u64, "ready_timeout_ns": 5},
            "roll": {"requested": 2, "started": 2, "ended": 1}});
        let status = Status { supervisor: SupervisorLine::from_json(line).expect("a line"), workers: Vec::new() };
        let suspended = if suspended { vec![id] } else { Vec::new() };
        Sight { statuses: vec![status], living: vec![id], suspended, ..Sight::default() }
    }

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn one_that_is_suspended_is_given_a_while_and_one_that_goes_on_a_new_one() {
        let mut patience = Patience::new(Goal::Rolled { since: Some(1) }, at(0));
        let (stands, goes) = (sight(SupervisorState::Ready, true), sight(SupervisorState::Ready, false));
        assert_eq!(patience.look(at(1), &stands), None);
        assert_eq!(patience.look(at(10), &stands), None);
        assert_eq!(patience.look(at(11), &goes), None);
        assert_eq!(patience.look(at(12), &stands), None);
        let Some(Senseless::Stands(why)) = patience.look(at(22), &stands) else { panic!("long enough") };
        assert!(why.contains("pm-cluster") && why.contains("kill -CONT 7"), "{why}");
    }

    #[test]
    fn silence_that_no_rule_allows_is_the_end_and_anything_new_a_new_beginning() {
        let mut patience = Patience::new(Goal::Rolled { since: None }, at(0));
        let (before, after) = (sight(SupervisorState::Starting, false), sight(SupervisorState::Ready, false));
        assert_eq!(patience.look(at(0), &before), None);
        assert_eq!(patience.look(at(74), &before), None, "the grace and the slack");
        assert_eq!(patience.look(at(74), &after), None);
        assert_eq!(patience.look(at(148), &after), None);
        assert!(patience.look(at(149), &after).is_some_and(|why| why.to_string().contains("75s")));
    }

    #[test]
    fn what_nobody_has_asked_for_may_be_waited_for_as_long_as_one_likes() {
        let mut serves = sight(SupervisorState::Ready, false);
        serves.statuses[0].supervisor.roll = None;
        for goal in [Goal::Stopped, Goal::Rolled { since: None }] {
            let mut patience = Patience::new(goal, at(0));
            assert_eq!((patience.look(at(0), &serves), patience.look(at(1_000_000), &serves)), (None, None), "{goal}");
        }
        let mut patience = Patience::new(Goal::Stopped, at(0));
        let stops = sight(SupervisorState::Stopping, false);
        assert_eq!(patience.look(at(0), &stops), None);
        assert!(patience.look(at(100), &stops).is_some(), "but one that has begun has to end");
    }

    #[test]
    fn an_app_that_is_not_there_or_never_serves_is_waited_for_for_a_while() {
        let mut patience = Patience::new(Goal::Ready, at(0));
        assert_eq!(patience.look(at(0), &Sight::default()), None);
        assert!(patience.look(at(60), &Sight::default()).is_some());
        let mut patience = Patience::new(Goal::Ready, at(0));
        let mut starts = sight(SupervisorState::Starting, false);
        for second in 0..300 {
            starts.statuses[0].supervisor.since_ms = second;
            assert_eq!(patience.look(at(second), &starts), None, "{second}");
        }
        assert!(patience.look(at(300), &starts).is_some());
    }
}
