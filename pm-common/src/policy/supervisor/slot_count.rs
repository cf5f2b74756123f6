//! More slots, and fewer.

use super::stopping::drain_slot;
use super::{Action, BTreeSet, MOST_WORKERS, Machine, Mono, Record, Seat, Slot, Why, as_slot};

impl Machine {
    pub(super) fn put_off_scale(&mut self, by: i32) {
        let most = i32::try_from(MOST_WORKERS).unwrap_or(i32::MAX);
        self.rolls.scale = (self.rolls.scale + by).clamp(-most, most);
    }

    /// Does what was asked for during a roll, up to the limits.
    pub(super) fn scale_put_off(&mut self, now: Mono, out: &mut Vec<Action>) {
        let scale = std::mem::take(&mut self.rolls.scale);
        for _ in 0..scale.unsigned_abs() {
            let before = self.wanted;
            match scale > 0 {
                true => self.scale_up(now, out),
                false => self.scale_down(now, out),
            }
            if self.wanted == before {
                return;
            }
        }
    }

    pub(super) fn scale_up(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.wanted >= self.shape.most {
            out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            return;
        }
        let shared = if self.shape.shares { self.shared_baseline() } else { BTreeSet::new() };
        let index = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        self.wanted += 1;
        self.learn(self.wanted - 1);
        match self.slots.get_mut(index) {
            Some(slot) => {
                slot.leaving = false;
                // Its last worker may still be draining out of the seat: that one retires.
                let old = std::mem::replace(&mut slot.seat, Seat::Backoff { since: now, until: now });
                if let Seat::Taken(worker) = old {
                    slot.retiring.push(worker);
                }
            }
            None => {
                let generation = self.gone_generations.get(index).copied().unwrap_or_default();
                let quiet = self.shared_quiet();
                self.slots.push(Slot { generation, quiet, ..Slot::new(now, shared) });
            }
        }
    }

    pub(super) fn scale_down(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.wanted <= 1 {
            out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            return;
        }
        self.wanted -= 1;
        let (number, end) = (self.wanted, self.ending(now, Why::Scale));
        self.queue.retain(|r| r.slot != number);
        self.replacing.remove(&number);
        if let Some(slot) = self.slot_mut(number) {
            slot.leaving = true;
            drain_slot(number, slot, end, out);
            // It succeeds nobody any more: its end must not be taken for that of a replacement.
            slot.retiring.extend(slot.successor.take());
        }
    }

    pub(super) fn drop_empty_slots(&mut self, out: &mut Vec<Action>) {
        while self.slots.last().is_some_and(|slot| slot.leaving && slot.is_empty()) {
            let Some(slot) = self.slots.pop() else { return };
            let number = self.slots.len();
            self.gone_generations.resize(self.gone_generations.len().max(number + 1), 0);
            if let Some(newest) = self.gone_generations.get_mut(number) {
                *newest = slot.generation;
            }
            out.push(Action::ReleaseSlot(as_slot(number)));
        }
    }
}
