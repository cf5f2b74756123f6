//! What of all that happens hooks are run for (`Rules::hooks`): found in what was decided, so that no decision depends on it.

use super::super::hook_event::{HookEvent, Occurrence};
use super::super::record::Next;
use super::{Action, Aim, Exit, Machine, Record, Seat, StopKind, Why, WorkerId};

/// What hooks have to know of what was before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HooksSaw {
    /// All workers were ready.
    up: bool,
    /// The child was, or had below it, a supervisor with the same hooks: what becomes of the app is told there.
    below: bool,
}

impl Machine {
    /// Notes that the child is a supervisor itself.
    pub(super) fn hooks_are_below(&mut self) {
        self.told.below = true;
    }

    /// Adds to what an event has led to (in `out` from `from` on) what hooks are to be run for.
    pub(super) fn tell_hooks(&mut self, from: usize, out: &mut Vec<Action>) {
        if self.rules.hooks.is_empty() {
            return;
        }
        let news = out.get(from..).unwrap_or_default();
        let mut found: Vec<Occurrence> = news.iter().filter_map(|action| self.occurrence(action)).flatten().collect();
        let starts = news.iter().any(|action| matches!(action, Action::Spawn { .. }));
        let (wanted, ready) = self.counts();
        let up = self.goal == Aim::Run && wanted > 0 && ready >= wanted;
        if up && !self.told.up && !self.told.below {
            let reason = format!("all workers are ready workers={ready}/{wanted}");
            found.push(Occurrence { event: HookEvent::Ready, slot: None, generation: None, exit: None, reason });
        }
        self.told = HooksSaw { up, below: self.told.below && !starts };
        found.retain(|one| self.rules.hooks.iter().any(|hook| hook.event == one.event));
        // The end comes last.
        let ends: Vec<Action> = out.extract_if(from.., |action| matches!(action, Action::RunHooks(_))).collect();
        let finish = out.pop_if(|action| matches!(action, Action::Finish(_)));
        out.extend(found.into_iter().map(Action::RunHooks).chain(ends).chain(finish));
    }

    fn occurrence(&self, action: &Action) -> Option<Vec<Occurrence>> {
        let of = |event, id: Option<WorkerId>, exit, record: &Record| {
            let (slot, generation) = (id.map(|id| id.slot), id.map(|id| id.generation));
            Occurrence { event, slot, generation, exit, reason: record.to_string() }
        };
        let Action::Say(record) = action else { return None };
        match record {
            Record::Ended { id, exit, why, next } => {
                let ends = matches!(self.goal, Aim::GiveUp(_) | Aim::Finished);
                let fails = matches!(why, Why::Crash | Why::Oom | Why::Spawn | Why::NotReady);
                let crash = fails && !(self.told.below && ends);
                // Where all have failed, that is told once, of all.
                let alone = *next == Next::Failed && self.slots.iter().any(|s| !matches!(s.seat, Seat::Failed { .. }));
                let event = |event, is: bool| is.then(|| of(event, Some(*id), Some(*exit), record));
                let both = [event(HookEvent::Crash, crash), event(HookEvent::GaveUp, alone)];
                Some(both.into_iter().flatten().collect())
            }
            Record::GaveUp { exit } => Some(vec![of(HookEvent::GaveUp, None, Some(*exit), record)]),
            Record::OverMemory { id, .. } => Some(vec![of(HookEvent::Memory, Some(*id), None, record)]),
            Record::OverLag { id, .. } => Some(vec![of(HookEvent::Lag, Some(*id), None, record)]),
            Record::RollAborted { slot, .. } => {
                Some(vec![Occurrence { slot: Some(*slot), ..of(HookEvent::Aborted, None, None, record) }])
            }
            Record::RollRefused { .. } => Some(vec![of(HookEvent::Aborted, None, None, record)]),
            Record::NotReady { .. }
            | Record::Replaced { .. }
            | Record::ReadyWithout { .. }
            | Record::Killed { .. }
            | Record::FileChanged { .. }
            | Record::ChangesAgain { .. }
            | Record::Rolled { .. }
            | Record::ScaleLimit { .. } => None,
        }
    }

    /// Adds that all ends, as it was asked to (`by`), or by itself.
    pub(super) fn tell_stopped(&self, by: Option<StopKind>, out: &mut Vec<Action>) {
        let (exit, reason) = match by {
            Some(StopKind::Term) => (None, "a stop was asked for signal=TERM".to_owned()),
            Some(StopKind::Int) => (None, "a stop was asked for signal=INT".to_owned()),
            None => (Some(self.verdict), format!("all workers have ended for good {}", self.verdict)),
        };
        self.tell_end(HookEvent::Stopped, exit, reason, out);
    }

    /// Adds that all ends, as the program cannot be run.
    pub(super) fn tell_hopeless(&self, exit: Exit, out: &mut Vec<Action>) {
        self.tell_end(HookEvent::GaveUp, Some(exit), format!("giving up: the program cannot be run {exit}"), out);
    }

    fn tell_end(&self, event: HookEvent, exit: Option<Exit>, reason: String, out: &mut Vec<Action>) {
        if !self.told.below && self.rules.hooks.iter().any(|hook| hook.event == event) {
            out.push(Action::RunHooks(Occurrence { event, slot: None, generation: None, exit, reason }));
        }
    }
}
