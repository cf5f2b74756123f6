//! A slot: the numbered place that outlives its workers.

use std::collections::BTreeSet;

use super::exit::Exit;
use super::intensity::Intensity;
use super::listening::Listening;
use super::opened::Learned;
use super::time::{Mono, Span};
use super::worker::{Loads, ReadyRule, Why, Worker};

/// Who fills the slot, or what it waits for.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(super) enum Seat {
    /// Nobody, and nobody is wanted (not started, ended for good, or stopped).
    Down { since: Mono },
    /// Nobody until then.
    Backoff { since: Mono, until: Mono },
    /// This worker.
    Taken(Worker),
    /// Nobody: the slot used up its restarts.
    Failed { since: Mono },
}

impl Seat {
    /// This worker takes the seat.
    pub(super) fn of(worker: Worker) -> Self {
        Self::Taken(Worker { seated: true, ..worker })
    }
}

/// How the slot's last worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastEnd {
    /// The end itself; `None`: nobody saw it.
    pub exit: Option<Exit>,
    /// What was behind it.
    pub why: Why,
    /// When.
    pub at: Mono,
}

#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Slot {
    pub(super) seat: Seat,
    /// A new worker that starts beside the one in the seat, to replace it.
    pub(super) successor: Option<Worker>,
    /// Workers on their way out; none of them is in the seat any more.
    pub(super) retiring: Vec<Worker>,
    /// The newest generation given out.
    pub(super) generation: u64,
    /// Quick ends in a row.
    pub(super) failures: u32,
    /// The pause before its last restart, where the policy asks for one.
    pub(super) paused: Span,
    /// A replacement before this time would come too soon after a failed one.
    pub(super) not_before: Mono,
    pub(super) intensity: Intensity,
    pub(super) restarts: u64,
    pub(super) last: Option<LastEnd>,
    /// What its newest worker that wanted to listen and could not was refused, in words; until one listens.
    pub(super) refused: Option<String>,
    /// A worker of this slot was ready once.
    pub(super) was_ready: bool,
    /// Scaled down: goes away once it is empty.
    pub(super) leaving: bool,
    /// What the slot's last worker that was ready listened on: its successor must too.
    pub(super) baseline: BTreeSet<Listening>,
    /// What is known of that worker.
    pub(super) learned: Learned,
    /// Its last worker to be ready has shown that it serves nobody, having loaded this: its successor is not asked to.
    pub(super) quiet: Option<Loads>,
}

/// What a worker is to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Seat,
    Successor,
    Retiring(usize),
}

impl Slot {
    /// A slot that wants a worker now.
    pub(super) fn new(now: Mono, baseline: BTreeSet<Listening>) -> Self {
        Self {
            seat: Seat::Backoff { since: now, until: now },
            successor: None,
            retiring: Vec::new(),
            generation: 0,
            failures: 0,
            paused: Span::ZERO,
            not_before: now,
            intensity: Intensity::default(),
            restarts: 0,
            last: None,
            refused: None,
            was_ready: false,
            leaving: false,
            baseline,
            learned: Learned::default(),
            quiet: None,
        }
    }

    pub(super) fn find(&self, generation: u64) -> Option<Role> {
        if self.incumbent().is_some_and(|w| w.generation == generation) {
            return Some(Role::Seat);
        }
        if self.successor.as_ref().is_some_and(|w| w.generation == generation) {
            return Some(Role::Successor);
        }
        self.retiring.iter().position(|w| w.generation == generation).map(Role::Retiring)
    }

    pub(super) fn incumbent(&self) -> Option<&Worker> {
        match &self.seat {
            Seat::Taken(worker) => Some(worker),
            Seat::Down { .. } | Seat::Backoff { .. } | Seat::Failed { .. } => None,
        }
    }

    pub(super) fn incumbent_mut(&mut self) -> Option<&mut Worker> {
        match &mut self.seat {
            Seat::Taken(worker) => Some(worker),
            Seat::Down { .. } | Seat::Backoff { .. } | Seat::Failed { .. } => None,
        }
    }

    pub(super) fn worker_mut(&mut self, role: Role) -> Option<&mut Worker> {
        match role {
            Role::Seat => self.incumbent_mut(),
            Role::Successor => self.successor.as_mut(),
            Role::Retiring(index) => self.retiring.get_mut(index),
        }
    }

    /// Every living worker, the one in the seat first.
    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.incumbent().into_iter().chain(&self.successor).chain(&self.retiring)
    }

    pub(super) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let incumbent = match &mut self.seat {
            Seat::Taken(worker) => Some(worker),
            Seat::Down { .. } | Seat::Backoff { .. } | Seat::Failed { .. } => None,
        };
        incumbent.into_iter().chain(&mut self.successor).chain(&mut self.retiring)
    }

    /// The worker of this generation, if it lives.
    pub(super) fn worker(&self, generation: u64) -> Option<&Worker> {
        self.workers().find(|worker| worker.generation == generation)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers().next().is_none()
    }

    /// A new worker of the next generation, from this release.
    pub(super) fn next_worker(&mut self, now: Mono, rule: ReadyRule, release: u64) -> Worker {
        self.generation += 1;
        let mut worker = Worker::new(self.generation, now, rule, !self.baseline.is_empty(), release);
        worker.idle_at = rule.idle_at(now, self.quiet.is_some());
        worker
    }

    /// Whether a worker that has loaded this is expected to serve nobody, as the one before it did.
    pub(super) fn expects_nothing_of(&self, loads: Loads) -> bool {
        self.quiet.is_some_and(|quiet| loads != Loads::Server || quiet == Loads::Server)
    }

    /// Notes that a worker with these modules serves nobody. What loads late does so in each worker.
    pub(super) fn is_quiet(&mut self, loads: Loads) {
        self.quiet = self.quiet.filter(|quiet| *quiet == Loads::Server).or(Some(loads));
    }
}
