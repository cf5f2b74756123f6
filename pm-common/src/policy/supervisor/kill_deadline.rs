//! When a worker is killed: at the end of its grace, or at once where somebody insists. When its grace begins, `stopping` tells;
//! how long it is, `policy::rules` (`grace`, and `drain_time` of it for a drain, whose end pm-cluster's `care::drain` sees); which processes KILL goes to, `supervise::processes::kill_scope`.
//!
//! Where no supervisor is left to do it, pm-fork's `apps::stop` does, and `app::orphans` before a start.

use super::{Action, Life, Machine, Mono, Record, Span, StopSent, Why, Worker, WorkerId, as_slot};

/// A supervisor below us knows best how long its stop takes; the parent waits this much longer.
pub(super) const PARENT_WAITS_LONGER: Span = Span::secs(2);

impl Machine {
    /// Takes the next step with each worker of slot `number` whose grace is over.
    pub(super) fn kills_due(&mut self, now: Mono, number: usize, out: &mut Vec<Action>) {
        let grace = self.rules.grace;
        let Some(slot) = self.slots.get_mut(number) else { return };
        for worker in slot.workers_mut() {
            if matches!(worker.life, Life::Draining { kill_at, .. } if kill_at <= now) {
                let id = WorkerId { slot: as_slot(number), generation: worker.generation };
                if escalate(id.slot, worker, now, out) && worker.exit.is_none() {
                    out.push(Action::Say(Record::Killed { id, grace }));
                }
            }
        }
    }
}

/// Takes the next step: a second stop signal to a supervisor (it means now), KILL to anything else. True if it was KILL.
pub(super) fn escalate(number: u32, worker: &mut Worker, now: Mono, out: &mut Vec<Action>) -> bool {
    let id = WorkerId { slot: number, generation: worker.generation };
    let why = match worker.life {
        Life::Draining { why, .. } => why,
        Life::Killing { .. } => return false,
        Life::Starting(_) | Life::Soaking { .. } | Life::Ready { .. } => Why::Stop,
    };
    let told_twice = matches!(worker.life, Life::Draining { told: StopSent::Twice, .. });
    if worker.supervises && worker.exit.is_none() && !told_twice {
        worker.life = Life::Draining { since: now, kill_at: now + PARENT_WAITS_LONGER, why, told: StopSent::Twice };
        out.push(Action::Stop(id));
        return false;
    }
    worker.life = Life::Killing { since: now, why };
    out.push(Action::Kill(id));
    true
}
