//! Scenarios with a fake clock. Every step also passes the checks of `World`.

mod apart;
mod baseline;
mod carried;
mod carried_seen;
mod file_changes;
mod heed_memory;
mod hook_occurrences;
mod lag;
mod memory;
mod outmoded;
mod ready;
mod reload;
mod reload_in_place;
mod restart;
mod rolls_seen;
mod scale;
mod set_time;
mod stop;
mod stop_start;
mod walk;
mod world;

use super::*;
use crate::policy::record::Next;
use crate::policy::worker::{Loads, ReadyRule};
use world::World;

/// Seconds.
const fn s(n: u64) -> Span {
    Span::secs(n)
}

/// The worker of this slot and generation.
fn w(slot: u32, generation: u64) -> WorkerId {
    WorkerId { slot, generation }
}

/// The address with these words.
fn at(words: &str) -> Listening {
    Listening::parse(words).expect(words)
}

fn listen(id: WorkerId, address: &str) -> Event {
    Event::Listening { id, address: at(address), fixed: true }
}

fn notify(id: WorkerId) -> Event {
    Event::SaidReady(id, ReadyBy::Notify)
}

fn ended(id: WorkerId, exit: Exit) -> Event {
    Event::Ended { id, exit, leftovers: false }
}

fn crash(id: WorkerId) -> Event {
    ended(id, Exit::Code(1))
}

fn leaves_some(id: WorkerId, exit: Exit) -> Event {
    Event::Ended { id, exit, leftovers: true }
}

/// One at a time, no soak.
const AT_ONCE: RollRule = RollRule { parallel: 1, soak: Span::ZERO, overlap: 9, heeds_memory: false };

/// A start from the release in service.
fn spawn(id: WorkerId) -> Action {
    Action::Spawn { id, release: WhichRelease::Current }
}

/// A start from the new release of a roll.
fn spawn_next(id: WorkerId) -> Action {
    Action::Spawn { id, release: WhichRelease::Next }
}

const RELOAD: Event = Event::Asked(Request::Reload);
const MORE: Event = Event::Asked(Request::More);
const FEWER: Event = Event::Asked(Request::Fewer);
const TERM: Event = Event::Stop(StopKind::Term, Asker::Other);
const INT: Event = Event::Stop(StopKind::Int, Asker::Terminal);

/// A world that panics with what went wrong.
struct Bench {
    world: World,
    /// Who was looked at before: of the others it cannot be said that they are quiet.
    looked: BTreeSet<WorkerId>,
}

impl Bench {
    fn new(workers: u32, overlap: bool, rules: Rules, evidence: ReadyBy) -> (Self, Vec<Action>) {
        let ready = ReadyRule { evidence, ..ReadyRule::default() };
        let most = if overlap || workers > 1 { MOST_WORKERS } else { 1 };
        let shape = Shape { workers, most, overlap, shares: overlap, ready, roll: AT_ONCE };
        let mut bench = Self { world: World::new(rules, shape), looked: BTreeSet::new() };
        let first = bench.on(Event::Start);
        (bench, first)
    }

    /// pm-cluster's shape with every worker ready.
    fn cluster(workers: u32, rules: Rules) -> Self {
        let (mut bench, _) = Self::new(workers, true, rules, ReadyBy::Listen);
        for slot in 0..workers {
            bench.on(notify(w(slot, 1)));
        }
        bench
    }

    /// pm-restart's shape with its child ready.
    fn restart(rules: Rules) -> Self {
        let (mut bench, _) = Self::new(1, false, rules, ReadyBy::Listen);
        bench.on(notify(w(0, 1)));
        bench
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let shown = format!("{event:?}");
        let done = self.world.feed(event).and_then(|actions| self.world.check_successor().map(|()| actions));
        done.unwrap_or_else(|why| panic!("{shown}: {why}"))
    }

    /// Asks for a reload whose release resolves.
    fn reload(&mut self) -> Vec<Action> {
        assert_eq!(self.on(RELOAD), [Action::ResolveRelease]);
        assert_eq!(self.due(), Some(Span::ZERO));
        self.tick()
    }

    /// Steps to the next deadline and ticks. Who is looked at is quiet.
    fn tick(&mut self) -> Vec<Action> {
        let done = self.world.tick().and_then(|actions| self.world.check_successor().map(|()| actions));
        let mut actions = done.unwrap_or_else(|why| panic!("tick: {why}"));
        for id in self.looks(&actions) {
            let busy = self.looked.insert(id);
            actions.extend(self.on(Event::Looked { id, busy }));
        }
        actions.retain(|action| !matches!(action, Action::Look(_)));
        actions
    }

    /// Who is to be looked at.
    fn looks(&self, actions: &[Action]) -> Vec<WorkerId> {
        actions.iter().filter_map(|a| if let Action::Look(id) = a { Some(*id) } else { None }).collect()
    }

    /// Lets this time pass, with every deadline in it.
    fn wait(&mut self, span: Span) -> Vec<Action> {
        let until = self.world.now + span;
        let mut all = Vec::new();
        while self.world.sup.deadline().is_some_and(|at| at <= until) {
            all.extend(self.tick());
        }
        self.world.now = until;
        all
    }

    /// Ticks until something is to be done, and says how long that took.
    fn until_next(&mut self) -> (Span, Vec<Action>) {
        let from = self.world.now;
        for _ in 0..9 {
            let actions = self.tick();
            if !actions.is_empty() {
                return (self.world.now.since(from), actions);
            }
        }
        panic!("nothing to be done comes");
    }

    /// Time to the next deadline.
    fn due(&self) -> Option<Span> {
        self.world.sup.deadline().map(|at| at.since(self.world.now))
    }

    /// Generation and state of each line of the snapshot of a slot.
    fn states(&self, slot: u32) -> Vec<(u64, &'static str)> {
        let views = self.world.sup.snapshot();
        views.iter().filter(|v| v.id.slot == slot).map(|v| (v.id.generation, v.state.word())).collect()
    }

    fn ready_by(&self, id: WorkerId) -> Option<ReadyBy> {
        self.world.sup.snapshot().iter().find(|v| v.id == id).and_then(|v| v.ready_by)
    }
}

/// The actions without what is said and steered, which only some tests are about.
fn deeds(actions: &[Action]) -> Vec<Action> {
    let told = |a: &&Action| !matches!(a, Action::Say(_) | Action::SteerIn(_) | Action::SteerOff(_));
    actions.iter().filter(told).cloned().collect()
}

fn said(actions: &[Action]) -> Vec<&Record> {
    actions.iter().filter_map(|a| if let Action::Say(record) = a { Some(record) } else { None }).collect()
}

/// What followed an end, as it was said.
fn next(actions: &[Action]) -> Option<Next> {
    said(actions).iter().find_map(|r| if let Record::Ended { next, .. } = r { Some(*next) } else { None })
}

fn aborted(actions: &[Action]) -> bool {
    said(actions).iter().any(|r| matches!(r, Record::RollAborted { .. } | Record::RollRefused { .. }))
}

fn rolled(actions: &[Action]) -> bool {
    said(actions).iter().any(|r| matches!(r, Record::Rolled { .. }))
}

fn reason(actions: &[Action]) -> &str {
    let found = said(actions).into_iter().find_map(|r| match r {
        Record::RollAborted { reason, .. } | Record::RollRefused { reason } => Some(reason.as_str()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no roll was given up: {actions:?}"))
}

/// Requested, started, ended, and how the last one ended.
fn numbers(bench: &Bench) -> (u64, u64, u64, Option<bool>) {
    let view = bench.world.sup.roll();
    (view.requested, view.started, view.ended, view.ok)
}

/// Done, of how many, slot, what is awaited.
fn progress(bench: &Bench) -> Option<(u32, u32, u32, String)> {
    bench.world.sup.roll().running.map(|r| (r.done, r.of, r.slot, r.awaiting.into()))
}
