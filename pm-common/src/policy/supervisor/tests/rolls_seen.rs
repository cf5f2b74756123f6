//! What the simulated world has seen of the rolls, and what must hold for them after every step.

use super::super::roll::{Room, Stage};
use super::super::*;
use super::world::World;

/// The release that a roll has asked for, as a driver sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Asked {
    #[default]
    Nothing,
    Resolved,
    Committed,
}

/// The rolls as their actions show them.
#[derive(Debug, Clone, Default)]
pub(super) struct RollsSeen {
    asked: Asked,
    numbers: (u64, u64, u64),
    /// Since when workers soak.
    soaking: BTreeMap<WorkerId, Mono>,
}

/// What a step is compared with.
pub(super) struct Before {
    serving: usize,
    /// Workers that may stop serving in this step without one that takes over.
    may_lose: usize,
    /// Those in the seats that no roll waits for.
    settled: Vec<WorkerId>,
}

impl World {
    fn serving(&self) -> usize {
        self.living.values().filter(|p| p.steered).count()
    }

    pub(super) fn before(&self, event: &Event) -> Before {
        let crash = matches!(event, Event::Ended { id, .. } if self.living.get(id).is_some_and(|p| p.steered));
        let fewer = usize::from(*event == Event::Asked(Request::Fewer));
        let put_off = usize::try_from(-self.sup.rolls.scale).unwrap_or_default();
        let seats = (0..).zip(&self.sup.slots).filter_map(|(slot, s)| {
            let worker = s.incumbent().filter(|w| !w.on_trial() && w.is_wanted())?;
            Some(WorkerId { slot, generation: worker.generation })
        });
        Before { serving: self.serving(), may_lose: usize::from(crash) + fewer + put_off, settled: seats.collect() }
    }

    /// It waits to be told how much memory is left.
    pub(super) fn asks_for_room(&self) -> bool {
        self.sup.rolls.now.as_ref().is_some_and(|roll| roll.room == Room::Asked)
    }

    /// How many replacements may start beside their workers.
    pub(super) fn most_at_a_time(&self) -> usize {
        match &self.sup.rolls.now {
            Some(roll) if roll.stage == Stage::Committed => {
                usize::try_from(self.sup.shape.roll.parallel).unwrap_or(usize::MAX)
            }
            _ => 1,
        }
    }

    pub(super) fn check_rolls(&mut self, before: &Before, event: &Event, actions: &[Action]) -> Result<(), String> {
        for action in actions {
            self.see(action)?;
        }
        self.check_numbers()?;
        if (self.stops > 0 && !self.sup.delays_stop()) || self.gave_up || self.finished.is_some() {
            return Ok(());
        }
        let serving = self.serving();
        if self.sup.shape.overlap && serving + before.may_lose < before.serving {
            return Err(format!("{serving} workers serve, {} did before", before.serving));
        }
        self.check_abort(before, actions)?;
        self.check_room(event, actions)?;
        self.rolls.soaking.retain(|id, _| self.living.contains_key(id));
        for (id, worker) in self.known().map(|(id, w)| (id, w.clone())).collect::<Vec<_>>() {
            if let Life::Soaking { .. } = worker.life {
                let now = self.now;
                self.rolls.soaking.entry(id).or_insert(now);
            }
        }
        Ok(())
    }

    /// One release per roll: asked for, then committed or dropped (or committed, then dropped).
    fn see(&mut self, action: &Action) -> Result<(), String> {
        let next = match (self.rolls.asked, action) {
            (Asked::Nothing, Action::ResolveRelease) => Asked::Resolved,
            (Asked::Resolved, Action::CommitRelease) => Asked::Committed,
            (Asked::Resolved | Asked::Committed, Action::DropRelease)
            | (Asked::Committed, Action::Say(Record::Rolled { .. })) => Asked::Nothing,
            (asked @ Asked::Resolved, Action::Spawn { release: WhichRelease::Next, .. }) => asked,
            (_, Action::Spawn { release: WhichRelease::Next, .. })
            | (_, Action::ResolveRelease | Action::CommitRelease | Action::DropRelease)
            | (_, Action::Say(Record::Rolled { .. })) => return Err(format!("{action:?} in {:?}", self.rolls.asked)),
            (asked, _) => asked,
        };
        let soak = self.sup.shape.roll.soak;
        let soaked = self.rolls.soaking.values().any(|from| *from + soak <= self.now);
        if *action == Action::CommitRelease && self.sup.shape.overlap && soak > Span::ZERO && !soaked {
            return Err("a release is committed that has not soaked".to_string());
        }
        if let Action::SteerIn(id) = action
            && self.sup.shape.overlap
            && self.rolls.soaking.get(id).is_some_and(|from| self.now < *from + soak)
        {
            return Err(format!("{action:?} before it had soaked"));
        }
        self.rolls.asked = next;
        Ok(())
    }

    fn check_numbers(&mut self) -> Result<(), String> {
        let view = self.sup.roll();
        let numbers = (view.requested, view.started, view.ended);
        let (requested, started, ended) = self.rolls.numbers;
        let falls = numbers.0 < requested || numbers.1 < started || numbers.2 < ended;
        if falls || numbers.2 > numbers.1 || numbers.1 > numbers.0 {
            return Err(format!("roll numbers {numbers:?} after {:?}", self.rolls.numbers));
        }
        self.rolls.numbers = numbers;
        let idle = view.running.is_none();
        if idle != (self.rolls.asked == Asked::Nothing) {
            return Err(format!("{view:?}, but its release is {:?}", self.rolls.asked));
        }
        if idle && view.ended != view.requested {
            return Err(format!("a request without an answer: {view:?}"));
        }
        if self.finished.is_some() && !idle {
            return Err(format!("finished during a roll: {view:?}"));
        }
        Ok(())
    }

    /// A roll that fails touches no worker that served, or started, before it.
    fn check_abort(&self, before: &Before, actions: &[Action]) -> Result<(), String> {
        if !actions.contains(&Action::DropRelease) {
            return Ok(());
        }
        let excused = |id: &WorkerId| {
            let leaving = usize::try_from(id.slot).is_ok_and(|n| self.sup.slots.get(n).is_none_or(|s| s.leaving));
            let said = |a: &Action| match a {
                Action::Say(Record::NotReady { id: late, .. }) => late == id,
                // One that hung has its successor in the same step.
                Action::Say(Record::Replaced { id: new, .. }) => new.slot == id.slot,
                _ => false,
            };
            // One that is over a limit has its turn as the roll ends.
            let unfit = self.known().any(|(known, worker)| known == *id && worker.unfit.is_some());
            leaving || unfit && !self.sup.shape.overlap || actions.iter().any(said)
        };
        for action in actions {
            if let Action::Stop(id) | Action::Drain(id) | Action::DrainNow(id) | Action::Kill(id) = action
                && before.settled.contains(id)
                && !excused(id)
            {
                return Err(format!("{action:?} as the roll failed"));
            }
        }
        Ok(())
    }

    /// No new worker of a roll starts while as many as may still drain, but in the place of one that was excused.
    fn check_room(&self, event: &Event, actions: &[Action]) -> Result<(), String> {
        let draining = self.sup.slots.iter().flat_map(|s| &s.retiring).filter(|w| w.exit.is_none()).count();
        let most = usize::try_from(self.sup.shape.roll.overlap.max(1)).unwrap_or(usize::MAX);
        let trial = |id: &WorkerId| {
            self.known().any(|(known, w)| known == *id && w.on_trial() && w.excuse != Excuse::Substitute)
        };
        let begun = actions.iter().any(|a| matches!(a, Action::Spawn { id, .. } if trial(id)));
        let lacking = matches!(event, Event::Room { left: Some(left), needs } if left < needs);
        if begun && lacking {
            return Err("a new worker starts where there is no memory for it".to_string());
        }
        let heeds = self.sup.shape.roll.heeds_memory && !matches!(event, Event::Room { .. });
        let ended = matches!(event, Event::Ended { .. } | Event::SpawnFailed(..));
        if begun && heeds && draining > 0 && !ended {
            return Err(format!("a new worker starts beside {draining} that drain, and nobody looked for memory"));
        }
        match begun && self.sup.shape.overlap && draining >= most {
            true => Err(format!("a new worker starts while {draining} old ones drain")),
            false => Ok(()),
        }
    }
}
