//! The state machine of a supervisor: slots, their workers, and what to do next.
//!
//! `handle(now, event, actions)` takes what happened and gives what to do; `deadline()` says when to call it with
//! `Event::Tick`; `snapshot()` is what pm-stat shows. It knows no pid, no descriptor and no clock, so that every rule
//! can be tested without a process. The tools perform the actions and feed the results back.
//!
//! A rule a file: when a worker is ready (`ready`, `listens`, `quiet_worker`), what follows its end (`worker_end`, with the delays
//! of `policy::rules` and the count of `policy::intensity`), when it is killed (`kill_deadline`) or over a limit (`over_limit`); how one is
//! replaced (`replace_queue`) and all are (`roll`; when not: `roll::abort`; at set times: `cron`; as files change: `file_changes`); how many there are
//! (`slot_count`); how everything stops (`stopping`, `stop_delay`) or is given up (`supervisor_end`); what is due (`tick`), what hooks are run
//! for (`hook_occurrences`), and what a successor of ours takes over (`carry_over`). What goes in and out is `interface`.

mod carry_over;
mod file_changes;
mod hook_occurrences;
mod interface;
mod kill_deadline;
mod listens;
mod on_set_time;
mod over_limit;
mod quiet_worker;
mod ready;
mod replace_queue;
mod roll;
mod slot_count;
mod stop_delay;
mod stopping;
mod supervisor_end;
#[cfg(test)]
mod tests;
mod tick;
mod worker_end;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::WorkerId;
use super::exit::Exit;
use super::listening::Listening;
use super::record::Record;
use super::rules::Rules;
use super::slot::{LastEnd, Role, Seat, Slot};
use super::states::{SupervisorState, WorkerState};
use super::time::{Mono, Span};
use super::worker::{Due, Excuse, Life, Proof, ReadyBy, StopSent, Why, Worker};

use file_changes::Changes;
use hook_occurrences::HooksSaw;
use roll::Rolls;
use stop_delay::DelayedStop;
use stopping::Stopping;

pub use super::opened::Heard;
pub use carry_over::{Carried, CarriedRolls, CarriedSlot, Over};
pub use interface::{
    Action, Asker, Awaiting, Event, Request, RollRule, RollView, Running, Shape, StopKind, View, WhichRelease,
};

/// The most workers of one supervisor: more is a typing error.
pub const MOST_WORKERS: u32 = 1024;

/// What the supervisor is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Run,
    Stop(Stopping),
    GiveUp(Exit),
    Finished,
}

/// A replacement to be made, of a worker over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Replacement {
    slot: u32,
    /// A worker newer than this generation began after the request, and stays.
    upto: u64,
    /// The worker hangs and serves nobody: nothing is gained by waiting for others.
    hangs: bool,
}

/// The state machine.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Machine {
    rules: Rules,
    shape: Shape,
    slots: Vec<Slot>,
    /// The newest generation of each slot that was scaled away: a worker's name is never given out twice.
    gone_generations: Vec<u64>,
    /// What the slots take over from a supervisor that was killed; empty once they have.
    inherited: Vec<(CarriedSlot, Option<Heard<Listening>>)>,
    wanted: u32,
    goal: Aim,
    /// A stop that was asked for and has not begun: the goal is still to run.
    delayed_stop: Option<DelayedStop>,
    /// Replacements still to be made.
    queue: VecDeque<Replacement>,
    /// The slots of the replacements under way, and whether their old worker hangs.
    replacing: BTreeMap<u32, bool>,
    rolls: Rolls,
    memory_at: Option<Mono>,
    changes: Changes,
    told: HooksSaw,
    /// More workers are due to be started than are at a time: the next tick goes on.
    starts_put_off: bool,
    announced: bool,
    announce_by: Mono,
    /// Some worker was ready: the program can run.
    ever_ready: bool,
    /// Addresses that workers do without: no successor is held to them.
    waived: BTreeSet<Listening>,
    /// The time of the last event.
    now: Mono,
    /// The end that decides our exit code if all workers end for good.
    verdict: Exit,
    random: u64,
}

impl Machine {
    /// A machine that has not begun; `seed` feeds the jitter of the backoff.
    #[must_use]
    pub fn new(rules: Rules, shape: Shape, seed: u64) -> Self {
        Self {
            wanted: shape.workers.clamp(1, MOST_WORKERS),
            rules,
            shape,
            slots: Vec::new(),
            gone_generations: Vec::new(),
            inherited: Vec::new(),
            goal: Aim::Run,
            delayed_stop: None,
            queue: VecDeque::new(),
            replacing: BTreeMap::new(),
            rolls: Rolls::default(),
            memory_at: None,
            changes: Changes::default(),
            told: HooksSaw::default(),
            starts_put_off: false,
            announced: false,
            announce_by: Mono::default(),
            ever_ready: false,
            waived: BTreeSet::new(),
            now: Mono::default(),
            verdict: Exit::Code(0),
            random: seed | 1,
        }
    }

    /// Takes what happened at `now`, appends what to do.
    pub fn handle(&mut self, now: Mono, event: Event, out: &mut Vec<Action>) {
        if self.goal == Aim::Finished {
            return;
        }
        self.now = now;
        let from = out.len();
        if event == Event::Tick {
            self.starts_put_off = false;
        }
        match event {
            Event::Start => self.on_start(now),
            Event::SpawnFailed(id, code) => self.on_ended(now, id, Exit::Code(code), false, true, out),
            Event::Ended { id, exit, leftovers } => self.on_ended(now, id, exit, leftovers, false, out),
            Event::Boots(id) => self.on_boots(now, id),
            Event::Booted(id, loads) => self.on_booted(now, id, loads, out),
            Event::Looked { id, busy } => self.on_looked(now, id, busy, out),
            Event::Binds(id) => self.on_binds(now, id),
            Event::Excused(id) => self.on_excused(id),
            Event::Misled(id) => self.on_misled(now, id, out),
            Event::OutOfMemory(id) => self.on_out_of_memory(id),
            Event::Gone(id) => self.on_gone(id),
            Event::Listening { id, address, fixed } => self.on_listening(now, id, address, fixed, out),
            Event::Refused { id, what } => self.on_refused(id, what),
            Event::Closed { id, address } => self.on_closed(now, id, &address, out),
            Event::SaidReady(id, by) => self.on_said_ready(now, id, by, out),
            Event::Memory(id, bytes) => self.on_memory(now, id, bytes, out),
            Event::Lag { id, how, after } => self.on_lag(now, id, how, after, out),
            Event::Outmoded(id) => self.on_outmoded(id),
            Event::Room { left, needs } => self.on_room(left, needs),
            Event::Supervises(id) => self.on_supervises(now, id, out),
            Event::SupervisesNoMore(id) => self.on_supervises_no_more(now, id),
            Event::StopTakes(id, span) => self.on_stop_takes(now, id, span, out),
            Event::GaveUp(id) => self.on_gave_up(id),
            Event::Drained(id) => self.on_drained(id, out),
            Event::AwaitsStop(id) => self.on_awaits_stop(now, id, out),
            Event::ResolveFailed(reason) => self.on_resolve_failed(reason, out),
            Event::Stop(kind, asker) => self.on_stop(now, kind, asker, out),
            Event::Moves => self.on_moves(),
            Event::SetTime => self.on_set_time(now),
            Event::FileChanged { file, gone } => self.on_file_changed(now, file, gone),
            Event::Asked(request) => self.on_asked(now, request, out),
            Event::Tick => self.on_tick(now, out),
        }
        self.reconcile(now, out);
        self.tell_hooks(from, out);
    }

    /// What each slot and worker is at, for people.
    #[must_use]
    pub fn snapshot(&self) -> Vec<View> {
        let numbered = (0..).zip(&self.slots);
        numbered.flat_map(|(number, slot)| views(number, slot)).collect()
    }

    /// How many workers are wanted, and how many slots are ready now.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        let ready = self.slots.iter().filter(|s| s.incumbent().is_some_and(Worker::is_ready)).count();
        (self.wanted, u32::try_from(ready).unwrap_or(u32::MAX))
    }

    /// What it is doing: starting, ready, stopping, or it gave up.
    #[must_use]
    pub const fn state(&self) -> SupervisorState {
        match self.goal {
            Aim::Run if self.delays_stop() => SupervisorState::Stopping,
            Aim::Run if self.announced => SupervisorState::Ready,
            Aim::Run => SupervisorState::Starting,
            Aim::Stop(_) | Aim::Finished => SupervisorState::Stopping,
            Aim::GiveUp(_) => SupervisorState::GaveUp,
        }
    }

    /// By what a stop was asked for, if one was.
    #[must_use]
    pub const fn stop_kind(&self) -> Option<StopKind> {
        if let Aim::Stop(stopping) = self.goal { Some(stopping.kind) } else { None }
    }

    /// The policy in force.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How its workers start, and how a reload goes.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    fn on_start(&mut self, now: Mono) {
        self.slots = (0..self.wanted).map(|_| Slot::new(now, BTreeSet::new())).collect();
        self.inherit_slots(now);
        self.announce_by = now + self.shape.ready.timeout;
        self.memory_at = self.rules.max_mem.map(|_| now + self.rules.mem_interval);
    }

    /// The slot of a worker that lives, and its role there; late events of others end here.
    fn find(&mut self, id: WorkerId) -> Option<(&mut Slot, Role)> {
        let slot = self.slot_mut(id.slot)?;
        let role = slot.find(id.generation)?;
        Some((slot, role))
    }

    /// A worker that lives, and its slot.
    fn known(&self, id: WorkerId) -> Option<(&Slot, &Worker)> {
        let slot = self.slot(id.slot)?;
        Some((slot, slot.worker(id.generation)?))
    }

    fn worker(&mut self, id: WorkerId) -> Option<&mut Worker> {
        let (slot, role) = self.find(id)?;
        slot.worker_mut(role)
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(number).ok()?)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(number).ok()?)
    }

    fn on_asked(&mut self, now: Mono, request: Request, out: &mut Vec<Action>) {
        if self.goal != Aim::Run || self.delays_stop() {
            return;
        }
        let below = self.slots.first().and_then(Slot::incumbent).filter(|w| w.supervises && w.is_wanted());
        if let Some(worker) = below {
            out.push(Action::Forward(WorkerId { slot: 0, generation: worker.generation }, request));
            return;
        }
        match request {
            // It starts in `roll_on`, at once or after the one under way.
            Request::Reload => self.rolls.requested += 1,
            Request::More | Request::Fewer if self.shape.most == 1 => {
                out.push(Action::Say(Record::ScaleLimit { workers: self.wanted }));
            }
            // A roll counts its slots: they stay as they are until its end.
            Request::More if self.rolls.now.is_some() => self.put_off_scale(1),
            Request::Fewer if self.rolls.now.is_some() => self.put_off_scale(-1),
            Request::More => self.scale_up(now, out),
            Request::Fewer => self.scale_down(now, out),
        }
    }

    /// Makes what is wanted so: the only place that starts workers or ends the supervisor.
    fn reconcile(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.roll_on(now, out);
        self.spawn_due(now, out);
        self.next_replacement(now, out);
        self.drop_empty_slots(out);
        self.announce(now, out);
        self.finish_if_done(out);
    }

    fn announce(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.announced || self.delays_stop() || self.goal != Aim::Run || self.slots.is_empty() {
            return;
        }
        let every = self.slots.iter().all(|slot| slot.was_ready || slot.leaving);
        if every || (self.ever_ready && now >= self.announce_by) {
            self.announced = true;
            out.push(Action::AnnounceReady);
        }
    }

    /// The next number of a xorshift generator (Marsaglia 2003): good enough to spread restarts.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn as_slot(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn views(number: u32, slot: &Slot) -> Vec<View> {
    let view = |generation, state, since| View {
        id: WorkerId { slot: number, generation },
        state,
        since,
        started: None,
        ready_by: None,
        until: None,
        restarts: slot.restarts,
        last: slot.last,
        refused: slot.refused.clone(),
        supervises: false,
    };
    let vacant = match slot.seat {
        Seat::Taken(_) => None,
        Seat::Down { since } => Some(view(slot.generation, WorkerState::Down, since)),
        Seat::Failed { since } => Some(view(slot.generation, WorkerState::Failed, since)),
        Seat::Backoff { since, until } => {
            Some(View { until: Some(until), ..view(slot.generation, WorkerState::Backoff, since) })
        }
    };
    let living = slot.workers().map(|worker| {
        let (state, since, ready_by) = worker.state();
        let supervises = worker.supervises;
        View { started: Some(worker.started), ready_by, supervises, ..view(worker.generation, state, since) }
    });
    vacant.into_iter().chain(living).collect()
}
