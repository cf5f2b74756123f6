//! The baseline of a slot: what its next worker must listen on, learned from the workers before it.
//!
//! A port counts once a worker has it within the settling time, later ones too, but not those that others like it, as
//! long in service, do without; a unix path (it may hold a pid) counts once two workers of the slot in a row had it.
//! What a worker did without that took over, the one before it had opened on demand: that counts no more, until one
//! has it before it serves.

use std::collections::BTreeSet;

use super::listening::Listening;
use super::opened::{Heard, Learned, Others, SETTLE, counting};
use super::slot::Slot;
use super::time::Mono;
use super::worker::Worker;

impl Slot {
    /// What this worker teaches, as it leaves the seat or is to be replaced; `None`: it was never ready.
    pub(super) fn lesson(&self, worker: &Worker, others: &Others<'_>) -> Option<(BTreeSet<Listening>, Learned)> {
        let Heard { baseline, others } = worker.was_ready().then(|| self.heard(worker, others).to_owned())?;
        let opened = |address: &Listening| worker.listening.get(address);
        let late = baseline.iter().filter(|address| opened(address).is_some_and(|o| o.late)).cloned().collect();
        let took = baseline.iter().filter_map(opened).map(|opened| opened.after).max().unwrap_or_default();
        let before = self.before(worker).clone();
        let learned = Learned { from: worker.generation, seen: &baseline | &others, before, late, took };
        Some((baseline, learned))
    }

    /// Holds its next workers to what the last one taught, if anything.
    pub(super) fn learn(&mut self, lesson: Option<(BTreeSet<Listening>, Learned)>) {
        if let Some((baseline, learned)) = lesson {
            (self.baseline, self.learned) = (baseline, learned);
        }
    }

    /// What the worker before this one listened on; it may be asked several times.
    fn before(&self, worker: &Worker) -> &BTreeSet<Listening> {
        let known = &self.learned;
        if known.from == worker.generation { &known.before } else { &known.seen }
    }

    /// What is to be learned from this worker of the slot; it may be asked several times.
    pub(super) fn heard<'a>(&self, worker: &'a Worker, others: &Others<'_>) -> Heard<&'a Listening> {
        let before = self.before(worker);
        let seen: BTreeSet<&Listening> = counting(&worker.listening).collect();
        let wanted = |address: &&Listening| !others.waived.contains(*address);
        let shared = |address: &Listening| others.shared.as_ref().is_none_or(|shared| shared.contains(address));
        let held = |address: &&Listening| before.contains(*address) || !address.is_unix() && shared(address);
        let mut baseline: BTreeSet<&Listening> = seen.iter().copied().filter(wanted).filter(held).collect();
        if baseline.is_empty() {
            // Each has addresses of its own.
            baseline = seen.iter().copied().filter(wanted).filter(|address| !address.is_unix()).collect();
        }
        Heard { others: &seen - &baseline, baseline }
    }

    /// What has been learned.
    pub(super) fn known(&self) -> Heard<&Listening> {
        let baseline: BTreeSet<&Listening> = self.baseline.iter().collect();
        let others = self.learned.seen.iter().filter(|address| !baseline.contains(address));
        Heard { others: others.collect(), baseline }
    }

    /// What this worker does not listen on and must.
    fn lacking(&self, worker: &Worker) -> impl Iterator<Item = &Listening> {
        let must = self.baseline.iter().filter(|_| !worker.accepted);
        must.filter(|address| !worker.listening.contains_key(*address))
    }

    /// What this worker does not listen on and must.
    pub(super) fn missing(&self, worker: &Worker) -> Vec<Listening> {
        self.lacking(worker).cloned().collect()
    }

    /// Whether this worker listens wherever it must: asked at each address, so that fewer than it must have end it.
    pub(super) fn lacks_nothing(&self, worker: &Worker) -> bool {
        worker.accepted || worker.listening.len() >= self.baseline.len() && self.lacking(worker).next().is_none()
    }

    /// Whether the one before was without what this one lacks, too, when it had served for a while.
    pub(super) fn opened_late(&self, worker: &Worker) -> bool {
        self.lacking(worker).all(|address| self.learned.late.contains(address))
    }

    /// Until when this worker has time for the rest; `None`: it is not up.
    pub(super) fn settled_at(&self, worker: &Worker) -> Option<Mono> {
        let up = worker.up.filter(|_| !worker.boots)?;
        // One that still opens addresses, one after the other, is not done.
        let newest = worker.listening.values().map(|opened| opened.after).max().unwrap_or_default();
        // Where loading takes long, the rest does too.
        Some(up + newest + SETTLE.max(self.learned.took.doubled()).max(up.since(worker.started)))
    }

    /// What its workers have listened on last, without those paths that are new each time.
    pub(super) fn had(&self) -> impl Iterator<Item = &Listening> {
        self.baseline.iter().chain(self.learned.seen.iter().filter(|address| !address.is_unix()))
    }
}
