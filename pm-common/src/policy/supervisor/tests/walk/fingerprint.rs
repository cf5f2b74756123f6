//! When two states of a world are one: the walk goes on from only the first.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::super::super::worker::Loads;
use super::super::super::*;
use super::super::world::World;

/// Everything that can decide what the machine does next, with times relative to now and counters capped where more
/// makes no difference. What only people are shown (since when, ready by what, how the last one ended) is left out, and
/// so is what only the next start would ask for, once nothing starts any more.
pub(super) fn fingerprint(world: &World) -> u64 {
    let (sup, now) = (&world.sup, world.now);
    let mut h = DefaultHasher::new();
    std::mem::discriminant(&sup.goal).hash(&mut h);
    let by_above = matches!(sup.goal, Aim::Stop(stopping) if stopping.by_above);
    (world.stops.min(2), by_above, sup.wanted, sup.slots.len()).hash(&mut h);
    if sup.goal == Aim::Run {
        (sup.announced, sup.ever_ready, sup.memory_at.map(|at| at.since(now))).hash(&mut h);
        (!sup.announced).then_some(sup.announce_by.since(now)).hash(&mut h);
    }
    sup.delayed_stop.map(|delay| (delay.until.since(now), delay.stopping.by_above)).hash(&mut h);
    hash_rolls(world, &mut h);
    let changes = &sup.changes;
    (changes.early.min(7), changes.not_before.since(now), sup.changes_deadline().map(|at| at.since(now))).hash(&mut h);
    changes.pending.as_ref().map(|pending| pending.early).hash(&mut h);
    let mut slots: Vec<u64> = (0..).zip(&sup.slots).map(|(number, slot)| hash_slot(world, number, slot)).collect();
    if sup.slots.iter().all(|slot| !slot.leaving) {
        // Nothing but the order of actions depends on a slot's number, until one is scaled away.
        slots.sort_unstable();
    }
    slots.hash(&mut h);
    h.finish()
}

fn hash_rolls(world: &World, h: &mut DefaultHasher) {
    let rolls = &world.sup.rolls;
    // One more roll answers all further requests.
    (rolls.requested > rolls.started, rolls.scale).hash(h);
    rolls.now.as_ref().map(|roll| (roll.stage, roll.rest.len(), roll.under_way.len(), roll.room, roll.moved)).hash(h);
    world.sup.waived.hash(h);
}

fn hash_slot(world: &World, number: u32, slot: &Slot) -> u64 {
    let (sup, now) = (&world.sup, world.now);
    let mut h = DefaultHasher::new();
    std::mem::discriminant(&slot.seat).hash(&mut h);
    if sup.goal == Aim::Run {
        hash_prospects(world, number, slot, &mut h);
    }
    if let Seat::Backoff { until, .. } = slot.seat {
        until.since(now).hash(&mut h);
    }
    let one = |worker: &Worker| hash_worker(world, number, worker, sup.goal == Aim::Run);
    (slot.leaving, slot.incumbent().map(one), slot.successor.as_ref().map(one)).hash(&mut h);
    let mut retiring: Vec<u64> = slot.retiring.iter().map(|w| hash_worker(world, number, w, false)).collect();
    retiring.sort_unstable();
    retiring.hash(&mut h);
    h.finish()
}

fn hash_prospects(world: &World, number: u32, slot: &Slot, h: &mut DefaultHasher) {
    let (sup, now) = (&world.sup, world.now);
    let queued = sup.queue.iter().enumerate().find(|(_, r)| r.slot == number);
    let old = |upto| slot.incumbent().is_some_and(|w| w.generation <= upto);
    queued.map(|(place, r)| (place, old(r.upto), r.hangs)).hash(h);
    sup.replacing.get(&number).hash(h);
    let roll = sup.rolls.now.as_ref();
    roll.map(|roll| (roll.rest.iter().position(|n| *n == number), roll.under_way.contains(&number))).hash(h);
    (!sup.announced && slot.was_ready).hash(h);
    (!sup.ever_ready && slot.generation == 1).hash(h);
    // Two failures in a row or more: the longest backoff is the shortest here.
    (
        (slot.failures.min(2), slot.quiet.map(|loads| loads == Loads::Server)),
        slot.paused,
        slot.not_before.since(now),
        slot.intensity.ages(now, &sup.rules),
        (&slot.baseline, &slot.learned.seen),
    )
        .hash(h);
}

/// `matters`: something follows from how it ends.
fn hash_worker(world: &World, slot: u32, worker: &Worker, matters: bool) -> u64 {
    let now = world.now;
    let mut h = DefaultHasher::new();
    std::mem::discriminant(&worker.life).hash(&mut h);
    match &worker.life {
        Life::Starting(due) => {
            (std::mem::discriminant(due), worker.idle_at.since(now)).hash(&mut h);
        }
        Life::Soaking { by, .. } => (by.serves_nobody(), worker.idle_at.since(now)).hash(&mut h),
        Life::Ready { .. } => {}
        Life::Draining { why, told, .. } => (matters.then_some(why), told).hash(&mut h),
        Life::Killing { why, .. } => matters.then_some(why).hash(&mut h),
    }
    worker.deadline().map(|at| at.since(now)).hash(&mut h);
    (worker.exit.is_some(), worker.supervises).hash(&mut h);
    if matters {
        now.since(worker.started).min(world.sup.rules.stable).hash(&mut h);
        let rolls = &world.sup.rolls;
        (worker.on_trial(), rolls.now.is_some() && worker.release == rolls.started).hash(&mut h);
        worker.excuse.hash(&mut h);
        (worker.gave_up, worker.unfit, worker.was_ready(), worker.is_refused()).hash(&mut h);
        worker.listening.iter().for_each(|(address, opened)| (address, opened.late, opened.counts).hash(&mut h));
        // What it has loaded is asked for until it is known what it serves.
        let is_open =
            matches!(worker.life, Life::Starting(_) | Life::Soaking { .. } | Life::Ready { by: ReadyBy::Alive, .. });
        (worker.accepted, worker.boots, is_open.then_some(worker.loads)).hash(&mut h);
    }
    let id = WorkerId { slot, generation: worker.generation };
    let proc = world.living.get(&id);
    proc.map(|p| (p.leader, p.killed, p.steered, p.kill_from.map(|at| at.since(now)))).hash(&mut h);
    h.finish()
}
