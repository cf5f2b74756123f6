//! From every state there is a way to the end: of a roll, and of everything.

use std::collections::HashSet;

use super::super::super::*;
use super::super::world::World;
use super::fingerprint::fingerprint;
use super::{ADDRESS, LIMIT};
use crate::policy::lag::Stall;
use crate::policy::worker::Loads;

/// States from which a way was seen to lead to the end. A way that meets one of them is not followed further: most ways soon
/// run together, and to follow each to its end is nearly all that a walk costs.
#[derive(Debug, Default)]
pub(super) struct Ways(HashSet<(Way, u64)>);

/// What a way is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// A roll ends, whatever the workers do.
    Roll(Workers),
    /// A stop ends, with workers that end when they are asked to.
    Asked,
    /// A stop ends, with workers that end only by KILL.
    Killed,
}

impl Ways {
    /// From every state: a late event (in turn one of each kind) does nothing, and there are ways to the end.
    pub(super) fn check(&mut self, world: &World, turn: usize) -> Result<(), (&'static str, String)> {
        late_event(world, turn).map_err(|why| ("a late event", why))?;
        for workers in [Workers::Fine, Workers::Crashing, Workers::Silent] {
            self.rolls_end(world.clone(), workers).map_err(|why| ("a reload, and time to end it", why))?;
        }
        self.ends_when_asked(world.clone()).map_err(|why| ("stop, and all end", why))?;
        self.ends_when_killed(world.clone()).map_err(|why| ("stop, and nobody ends before KILL", why))
    }

    /// Whether a way was here before and came to the end; else this one is expected to.
    fn leads_to_the_end(&self, way: Way, world: &World, passed: &mut Vec<(Way, u64)>) -> bool {
        let here = (way, fingerprint(world));
        passed.push(here);
        self.0.contains(&here)
    }

    fn ends_when_asked(&mut self, mut world: World) -> Result<(), String> {
        let mut passed = Vec::new();
        world.feed(Event::Stop(StopKind::Term, Asker::Terminal))?;
        if world.sup.delays_stop() {
            world.feed(Event::Stop(StopKind::Term, Asker::Terminal))?;
        }
        if self.leads_to_the_end(Way::Asked, &world, &mut passed) {
            return Ok(());
        }
        let ids: Vec<WorkerId> = world.living.keys().copied().collect();
        for id in ids {
            let leader = world.living.get(&id).is_some_and(|p| p.leader);
            let end = Event::Ended { id, exit: Exit::Signal(15), leftovers: false };
            world.feed(if leader { end } else { Event::Gone(id) })?;
        }
        finished_with(&world, 0)?;
        self.0.extend(passed);
        Ok(())
    }

    fn ends_when_killed(&mut self, mut world: World) -> Result<(), String> {
        let mut passed = Vec::new();
        world.feed(Event::Stop(StopKind::Int, Asker::Terminal))?;
        for _ in 0..16 {
            if world.finished.is_none() && self.leads_to_the_end(Way::Killed, &world, &mut passed) {
                self.0.extend(passed);
                return Ok(());
            }
            let killed = world.living.iter().find(|(_, p)| p.killed).map(|(id, p)| (*id, p.leader));
            match killed {
                Some((id, true)) => world.feed(Event::Ended { id, exit: Exit::Signal(9), leftovers: false })?,
                Some((id, false)) => world.feed(Event::Gone(id))?,
                None if world.finished.is_some() => break,
                None => world.tick()?,
            };
        }
        finished_with(&world, 130)?;
        self.0.extend(passed);
        Ok(())
    }

    /// A reload that is asked for now ends, with the one under way, whatever the workers do.
    fn rolls_end(&mut self, mut world: World, workers: Workers) -> Result<(), String> {
        // A supervisor below is waited for as long as it takes.
        if workers == Workers::Silent && world.known().any(|(_, w)| w.supervises) {
            return Ok(());
        }
        let mut passed = Vec::new();
        world.feed(Event::Asked(Request::Reload))?;
        for _ in 0..32 {
            let view = world.sup.roll();
            let ended = world.finished.is_some() || view.ended == view.requested;
            if ended || self.leads_to_the_end(Way::Roll(workers), &world, &mut passed) {
                self.0.extend(passed);
                return Ok(());
            }
            go_on(&mut world, workers)?;
        }
        Err(format!("{workers:?}: {:?}", world.sup.roll()))
    }
}

/// One step of each worker, an answer about the memory, and time passes.
fn go_on(world: &mut World, workers: Workers) -> Result<(), String> {
    let known: Vec<(WorkerId, Worker)> = world.known().map(|(id, w)| (id, w.clone())).collect();
    for (id, worker) in known {
        let lives = world.living.contains_key(&id);
        if let Some(event) = behaves(id, &worker, workers).filter(|_| lives) {
            world.feed(event)?;
        }
    }
    if world.asks_for_room() {
        world.feed(Event::Room { left: Some(0), needs: 1 })?;
    }
    if world.sup.deadline().is_some() {
        world.tick()?;
    }
    Ok(())
}

fn late_event(world: &World, turn: usize) -> Result<(), String> {
    let Some(id) = world.dead else { return Ok(()) };
    let event = match turn % 16 {
        0 => Event::Ended { id, exit: Exit::Code(1), leftovers: false },
        1 => Event::SpawnFailed(id, 127),
        2 => Event::Listening { id, address: super::super::at(ADDRESS), fixed: true },
        3 => Event::SaidReady(id, ReadyBy::Notify),
        4 => Event::Memory(id, LIMIT + 1),
        5 => Event::Supervises(id),
        6 => Event::GaveUp(id),
        7 => Event::StopTakes(id, Span(9)),
        8 => Event::Drained(id),
        9 => Event::Excused(id),
        13 => Event::Boots(id),
        14 => Event::Booted(id, Loads::Nothing),
        15 => Event::Looked { id, busy: false },
        12 => Event::Lag { id, how: Stall::Loop, after: Span(9) },
        10 if !world.asks_for_room() => Event::Room { left: Some(0), needs: 1 },
        _ => Event::Gone(id),
    };
    let mut same = world.clone();
    let actions = same.feed(event)?;
    match fingerprint(&same) == fingerprint(world) {
        true if actions.is_empty() => Ok(()),
        changed_nothing => Err(format!("state kept: {changed_nothing}, actions: {actions:?}")),
    }
}

fn finished_with(world: &World, code: u8) -> Result<(), String> {
    if world.finished == Some(code) { Ok(()) } else { Err(format!("{:?}, not Finish({code})", world.finished)) }
}

/// How the workers behave until a roll has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Workers {
    /// They become ready, and end when they are asked to.
    Fine,
    /// They end before they are ready.
    Crashing,
    /// They say nothing and end only by KILL.
    Silent,
}

fn behaves(id: WorkerId, worker: &Worker, workers: Workers) -> Option<Event> {
    let end = |exit| Event::Ended { id, exit, leftovers: false };
    let silent = workers == Workers::Silent;
    match &worker.life {
        Life::Killing { .. } if worker.exit.is_some() => Some(Event::Gone(id)),
        Life::Killing { .. } => Some(end(Exit::Signal(9))),
        _ if silent => None,
        Life::Draining { .. } if worker.exit.is_some() => Some(Event::Gone(id)),
        Life::Draining { told: StopSent::Never, .. } => Some(Event::Drained(id)),
        Life::Draining { .. } => Some(end(Exit::Code(0))),
        Life::Starting(_) if workers == Workers::Fine => Some(Event::SaidReady(id, ReadyBy::Notify)),
        Life::Starting(_) => Some(end(Exit::Code(1))),
        Life::Soaking { .. } | Life::Ready { .. } => None,
    }
}
