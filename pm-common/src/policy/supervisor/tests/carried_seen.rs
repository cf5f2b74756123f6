//! What must hold, after every step of a scenario, for a supervisor that takes over from one that is killed there.

use super::super::*;
use super::world::World;

impl World {
    pub(super) fn check_successor(&self) -> Result<(), String> {
        let (before, left) = (&self.sup, self.sup.carried());
        let mut after = Machine::new(before.rules.clone(), before.shape.clone(), 1);
        after.resume(&left, self.now);
        after.handle(self.now, Event::Start, &mut Vec::new());
        let wrong = |what: &str| Err(format!("the successor {what}: {:?} after {left:?}", after.carried()));
        if after.wanted != left.wanted || after.slots.len() != usize::try_from(left.wanted).unwrap_or_default() {
            return wrong("starts another number of workers");
        }
        let (was, is) = (before.roll(), after.roll());
        if (is.requested, is.started, is.ended) != (was.requested, was.requested, was.requested) {
            return wrong("leaves a request without an answer");
        }
        let open = was.requested > was.ended;
        if open && is.ok != Some(false)
            || !open && (is.ok, &is.reason, is.slot, is.then) != (was.ok, &was.reason, was.slot, was.then)
        {
            return wrong("gives a roll another end");
        }
        if after.rolls.current != before.rolls.now.as_ref().map_or(before.rolls.current, |roll| roll.before) {
            return wrong("has another release");
        }
        for (old, new) in before.slots.iter().zip(&after.slots) {
            let restarts = old.restarts + u64::from(matches!(old.seat, Seat::Taken(_)));
            // Of many, the last ones are started at the next tick.
            let next = u64::from(matches!(new.seat, Seat::Taken(_)));
            if new.generation < old.generation + next || new.restarts != restarts {
                return wrong("counts otherwise");
            }
            let is_over = |seat: &Seat| matches!(seat, Seat::Down { .. } | Seat::Failed { .. });
            if is_over(&new.seat) && !is_over(&old.seat)
                || before.goal == Aim::Run && is_over(&old.seat) && !is_over(&new.seat) && !old.leaving
            {
                return wrong("starts who has ended for good, or does not start who has not");
            }
        }
        self.check_killed_again(&after)
    }

    /// One that is killed at once leaves the same, but for the workers that it has just started.
    fn check_killed_again(&self, after: &Machine) -> Result<(), String> {
        let left = after.carried();
        let mut third = Machine::new(after.rules.clone(), after.shape.clone(), 1);
        third.resume(&left, self.now);
        third.handle(self.now, Event::Start, &mut Vec::new());
        let (a, b) = (left.rolls, third.carried().rolls);
        if (third.wanted, &a) == (after.wanted, &b) { Ok(()) } else { Err(format!("{b:?} after {a:?}")) }
    }
}
