//! Whether the memory of all has room for a new worker beside those that still drain.

use super::super::{Action, Machine};

/// Whether the memory has room for one more worker beside those that drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Room {
    Unknown,
    Asked,
    Enough,
    /// Not before one that drains has ended.
    Lacking,
}

impl Machine {
    /// Whether there is memory for one more: asked before each start beside those that drain. Where none drains the
    /// roll goes on in any case.
    pub(super) fn has_memory(&mut self, out: &mut Vec<Action>) -> bool {
        let asks = self.shape.overlap && self.shape.roll.heeds_memory && self.draining() > 0;
        let Some(roll) = &mut self.rolls.now else { return true };
        if !asks {
            roll.room = Room::Unknown;
            return true;
        }
        if roll.room == Room::Unknown {
            roll.room = Room::Asked;
            out.push(Action::LookForRoom);
        }
        let enough = roll.room == Room::Enough;
        if enough {
            roll.room = Room::Unknown;
        }
        enough
    }

    /// Notes whether the memory that is left is enough: the workers that start have not taken all of theirs yet.
    pub(in super::super) fn on_room(&mut self, left: Option<u64>, needs: u64) {
        if let Some(roll) = self.rolls.now.as_mut().filter(|roll| roll.room == Room::Asked) {
            let more = u64::try_from(roll.under_way.len()).unwrap_or(u64::MAX).saturating_add(1);
            let enough = left.is_none_or(|left| left >= needs.saturating_mul(more));
            roll.room = if enough { Room::Enough } else { Room::Lacking };
        }
    }

    /// Has the memory looked at again: a worker that drained has ended.
    pub(in super::super) fn look_again_for_room(&mut self) {
        if let Some(roll) = self.rolls.now.as_mut().filter(|roll| roll.room == Room::Lacking) {
            roll.room = Room::Unknown;
        }
    }
}
