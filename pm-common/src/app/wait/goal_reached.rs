//! Whether what is seen of an app is what was waited for. Pure: no clock, no file, no process.

use std::collections::BTreeMap;
use std::fmt;

use crate::app::status::{
    Ended, Id, RollReport, RollRunning, Status, SupervisorLine, SupervisorState, WorkerLine, WorkerState,
};
use crate::cli::shell;
use crate::policy::record::Then;
use crate::policy::supervisor::Awaiting;
use crate::policy::time::Span;
use crate::policy::worker::Why;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The end of a roll: of the first with a higher number than `since`; without that, of the last one asked for if
    /// that has not ended, else of the next one.
    Rolled {
        /// The number of the last roll that is not meant.
        since: Option<u64>,
    },
    /// The app serves.
    Ready,
    /// Nothing supervises the app.
    Stopped,
    /// So many workers are wanted, and ready.
    Workers(u32),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolled { .. } => f.write_str("rolled"),
            Self::Ready => f.write_str("ready"),
            Self::Stopped => f.write_str("stopped"),
            Self::Workers(n) => write!(f, "workers={n}"),
        }
    }
}

/// What is seen of an app at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// What its supervisors say.
    pub statuses: Vec<Status>,
    /// What those said last that have ended by themselves, or given up.
    pub ended: Vec<Status>,
    /// The supervisors that live, those among them that were seen earlier and say nothing now (their file has been
    /// removed), and the one that holds the lock and says nothing yet.
    pub living: Vec<Id>,
    /// Those of the living that are suspended (SIGSTOP): they say and do nothing.
    pub suspended: Vec<Id>,
    /// Somebody holds the lock whom we do not see.
    pub locked: bool,
}

impl Sight {
    /// Whether a supervisor lives, or somebody holds the lock.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.locked || !self.living.is_empty()
    }

    /// The supervisor that has the workers: pm-cluster where there is one. `None`: it has not said anything yet.
    #[must_use]
    pub fn acting(&self) -> Option<&SupervisorLine> {
        self.acting_status().map(|status| &status.supervisor)
    }

    fn acting_status(&self) -> Option<&Status> {
        // One whose worker is a supervisor leaves all to that one, whose file may come a little later.
        let own_workers = self.statuses.iter().filter(|s| !s.workers.iter().any(|w| w.supervises));
        own_workers.max_by_key(|s| (s.supervisor.tool == "pm-cluster", s.supervisor.start, s.supervisor.pid))
    }
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitEnd {
    /// The app is what was waited for.
    Reached,
    /// The app is not what was waited for, and will not be.
    Failed {
        /// Why, in a line.
        message: String,
        /// What more to show below it.
        quoted: Vec<String>,
    },
}

impl WaitEnd {
    const fn failed(message: String) -> Self {
        Self::Failed { message, quoted: Vec::new() }
    }
}

/// The roll that is waited for, and whose: the numbers of another supervisor are other rolls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    id: Id,
    tool: String,
    number: u64,
}

/// Turns sights into a verdict.
#[derive(Debug)]
pub struct Decision {
    app: String,
    goal: Goal,
    seen_running: bool,
    target: Option<Target>,
    /// Of each slot that was seen, how often its worker had ended by then.
    ends: BTreeMap<u32, u64>,
}

/// So many workers of a slot that ended before one was ready are reason enough to wait for no more.
const TRIES: u64 = 2;

impl Decision {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(app: &str, goal: Goal) -> Self {
        Self { app: app.to_owned(), goal, seen_running: false, target: None, ends: BTreeMap::new() }
    }

    /// Takes in the next sight. `None`: wait for another.
    pub fn look(&mut self, sight: &Sight) -> Option<WaitEnd> {
        let runs = sight.runs();
        self.seen_running |= runs;
        match self.goal {
            Goal::Stopped => (!runs).then_some(WaitEnd::Reached),
            Goal::Rolled { since } => self.gone(sight).or_else(|| self.rolled(since, sight.acting_status()?)),
            Goal::Ready | Goal::Workers(_) if runs => {
                let status = sight.acting_status()?;
                self.state(&status.supervisor).or_else(|| self.fails(status))
            }
            Goal::Ready | Goal::Workers(_) if self.seen_running => {
                Some(WaitEnd::failed(format!("{} ended before it was {}", self.app, self.goal)))
            }
            // Whoever starts an app in the background may be slower than we are.
            Goal::Ready | Goal::Workers(_) => None,
        }
    }

    /// What a wait for a roll waits for is gone.
    fn gone(&self, sight: &Sight) -> Option<WaitEnd> {
        let app = &self.app;
        match &self.target {
            Some(Target { id, tool, number }) if !sight.living.contains(id) => {
                let told = |status: &&Status| Id::of(&status.supervisor) == *id;
                if let Some(end) = sight.ended.iter().find(told).and_then(|words| self.end_of(*number, words)) {
                    return Some(end);
                }
                let pid = id.pid;
                Some(WaitEnd::failed(format!("{tool} of {app} ended before the reload did: pid={pid} roll={number}")))
            }
            None if !sight.runs() => Some(WaitEnd::failed(format!("{app} is not running"))),
            Some(_) | None => None,
        }
    }

    fn rolled(&mut self, since: Option<u64>, status: &Status) -> Option<WaitEnd> {
        let line = &status.supervisor;
        let id = Id::of(line);
        let none = RollReport::default();
        let roll = line.roll.as_ref().unwrap_or(&none);
        // At first a pm-restart may have been all there was to see; the rolls are those of the pm-cluster below it.
        let target = self.target.take_if(|t| t.id == id).unwrap_or_else(|| Target {
            id,
            tool: line.tool.clone(),
            number: first_after(roll, since),
        });
        let number = target.number;
        self.target = Some(target);
        if let Some(since) = since.filter(|&n| n > roll.requested) {
            // Numbers grow only: this one was read from another supervisor, and would be waited for in vain.
            let (tool, pid, last) = (&line.tool, line.pid, roll.requested);
            let message = format!("{} knows no roll {since}, so it was started anew since then", self.app);
            return Some(WaitEnd::failed(format!("{message}: {tool} pid={pid} requested={last}")));
        }
        self.end_of(number, status).or_else(|| (line.state == SupervisorState::GaveUp).then(|| self.gave_up(line)))
    }

    /// How the roll of this number ended; `None`: it has not.
    fn end_of(&self, number: u64, status: &Status) -> Option<WaitEnd> {
        let roll = status.supervisor.roll.as_ref().filter(|roll| roll.ended >= number)?;
        Some(if roll.ok == Some(true) { WaitEnd::Reached } else { self.aborted(roll, status) })
    }

    fn aborted(&self, roll: &RollReport, status: &Status) -> WaitEnd {
        let (app, line) = (&self.app, &status.supervisor);
        let (tool, then) = (&line.tool, roll.then);
        let ends = then == Some(Then::Nothing) && line.ready == 0;
        let alone = tool == "pm-restart";
        let message = if line.state == SupervisorState::Stopping && !ends {
            format!("the reload of {app} was cut short: {tool} was stopped, and its workers with it")
        } else {
            let what = if alone { format!("restart of {app} failed") } else { format!("reload of {app} was aborted") };
            let slot = roll.slot.filter(|_| !alone).map_or_else(String::new, |slot| format!("slot {slot}: "));
            let reason = if roll.reason.is_empty() { "no reason is known" } else { &roll.reason };
            let follows = self.follows(then, status, alone);
            format!("the {what}: {slot}{reason}; {follows}")
        };
        WaitEnd::Failed { message, quoted: roll.stderr.clone() }
    }

    /// What follows a roll that was given up: as its supervisor said, and by what its workers are at. `alone`: it is one
    /// process, with nobody beside it, and was stopped first.
    fn follows(&self, then: Option<Then>, status: &Status, alone: bool) -> String {
        if status.gave_up() {
            return format!("{} gave up", status.supervisor.tool);
        }
        let serves = status.supervisor.ready > 0;
        let waits = |worker: &WorkerLine| !matches!(worker.state, WorkerState::Down | WorkerState::Failed);
        let is_tried =
            matches!(then, Some(Then::StartedAgain | Then::AllStartedAgain)) || status.workers.iter().any(waits);
        match then {
            Some(Then::NewGoesOn) => "the new one goes on, as none is started after it (--restart never)".to_owned(),
            Some(Then::AllStartedAgain) if serves => {
                "every worker was started again from the release before it".to_owned()
            }
            Some(Then::Nothing) if serves => {
                "its policy (--restart, --stop-codes) leaves it down, the others go on".to_owned()
            }
            Some(Then::Nothing) => "its policy (--restart, --stop-codes) leaves it down".to_owned(),
            _ if alone && is_tried && !serves => "it is down, and tried again".to_owned(),
            Some(Then::StartedAgain) if alone && serves => "it runs again, from the release before".to_owned(),
            _ if alone && serves => "it goes on as it was".to_owned(),
            // Its own old worker had to end first.
            Some(Then::StartedAgain) if serves => "it is tried again, the others go on".to_owned(),
            Some(Then::OthersGoOn | Then::StartedAgain) | None if serves => "the old workers go on".to_owned(),
            Some(Then::OthersGoOn | Then::StartedAgain | Then::AllStartedAgain) | None => {
                let tried = if is_tried { ", and they are tried again" } else { "" };
                format!("none of its workers serves{tried}: pm logs {}", shell::quoted(&self.app))
            }
        }
    }

    /// For `Ready` and `Workers`.
    fn state(&self, line: &SupervisorLine) -> Option<WaitEnd> {
        let reached = match self.goal {
            Goal::Workers(n) => (line.workers, line.ready) == (n, n),
            // A supervisor stays "ready" while its workers are started anew: that none serves must not be hidden.
            _ => line.state == SupervisorState::Ready && line.ready >= line.workers.min(1),
        };
        match line.state {
            SupervisorState::GaveUp => Some(self.gave_up(line)),
            SupervisorState::Stopping | SupervisorState::Ended => None,
            SupervisorState::Starting | SupervisorState::Ready => reached.then_some(WaitEnd::Reached),
        }
    }

    /// Of a number of workers: one that is started again and again will not be ready by that.
    fn fails(&mut self, status: &Status) -> Option<WaitEnd> {
        let Goal::Workers(wanted) = self.goal else { return None };
        for worker in &status.workers {
            self.ends.entry(worker.slot).or_insert(worker.restarts);
        }
        let in_vain = |worker: &&WorkerLine| {
            let seen = worker.restarts.saturating_sub(self.ends.get(&worker.slot).copied().unwrap_or(0));
            worker.state != WorkerState::Ready && seen >= if was_late(worker) { 1 } else { TRIES }
        };
        let worker = status.workers.iter().find(in_vain).filter(|_| status.supervisor.workers == wanted)?;
        let (app, slot) = (&self.app, worker.slot);
        let how = match worker.last.as_ref().and_then(|last| last.ended.as_ref()) {
            _ if was_late(worker) => ": it was not ready in time".to_owned(),
            Some(Ended::Code(code)) => format!(": code={code}"),
            Some(Ended::Signal(name)) => format!(": signal={}", name.strip_prefix("SIG").unwrap_or(name)),
            None => String::new(),
        };
        Some(WaitEnd::failed(format!(
            "{app} is not {}: the worker of slot {slot} does not start, and is tried again{how}",
            self.goal
        )))
    }

    fn gave_up(&self, line: &SupervisorLine) -> WaitEnd {
        WaitEnd::failed(format!("{} of {} gave up: pid={}", line.tool, self.app, line.pid))
    }

    /// What is missing, for people whose time is up.
    #[must_use]
    pub fn awaited(&self, sight: &Sight) -> String {
        if !sight.runs() {
            return "it is not running".to_owned();
        }
        if self.goal == Goal::Stopped {
            let pids: Vec<_> = sight.living.iter().map(|id| id.pid.to_string()).collect();
            let who = if pids.is_empty() { "its lock is held".to_owned() } else { format!("pid={}", pids.join(",")) };
            return format!("it runs: {who}");
        }
        let Some(line) = sight.acting() else { return "its supervisor has said nothing yet".to_owned() };
        match &self.target {
            Some(target) => awaited_of_roll(target.number, line),
            None => format!("{} of {} workers ready, {} is {}", line.ready, line.workers, line.tool, line.state.word()),
        }
    }
}

/// Whether the slot's last worker was ended because it was not ready in time.
fn was_late(worker: &WorkerLine) -> bool {
    worker.last.as_ref().is_some_and(|last| last.why == Why::NotReady.word())
}

/// The number of the roll that is waited for, as things are when the wait begins.
fn first_after(roll: &RollReport, since: Option<u64>) -> u64 {
    // Without a number to go by, the one asked for last is meant if it has not ended, else the next.
    since.map_or_else(|| roll.requested.max(roll.ended.saturating_add(1)), |n| n.saturating_add(1))
}

fn awaited_of_roll(number: u64, line: &SupervisorLine) -> String {
    match line.roll.as_ref().map(|roll| (roll, &roll.running)) {
        Some((_, Some(run))) => format!("{} of {} workers are new; {}", run.done, run.of, awaited_in_words(run, line)),
        Some((roll, None)) if roll.requested >= number => "it was asked for and has not begun".to_owned(),
        Some(_) | None => "nobody has asked for it".to_owned(),
    }
}

/// What a roll is at; what is not known (of another version) as it is.
fn awaited_in_words(run: &RollRunning, line: &SupervisorLine) -> String {
    let slot = run.slot;
    match &run.awaiting {
        Awaiting::Soak => {
            let soak = line.policy.get("soak_ns").and_then(serde_json::Value::as_u64).map_or(Span::ZERO, Span);
            format!("the first new one is watched for {soak}")
        }
        Awaiting::Ready => format!("the new one of slot {slot} is not ready yet"),
        Awaiting::ReadyTo(what) => format!("the new one of slot {slot} has yet to {what}"),
        Awaiting::Other(what) => format!("slot {slot} waits for: {what}"),
    }
}
