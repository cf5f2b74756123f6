//! What a supervisor's successor must know of it: all that it acknowledged, and nothing that ended with it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::listening::Listening;
use super::super::opened::{Heard, Learned};
use super::super::record::Then;
use super::super::slot::LastEnd;
use super::super::worker::Loads;
use super::roll::{AbortReason, Outcome};
use super::{Aim, Exit, MOST_WORKERS, Machine, Mono, RollView, Seat, Slot, Why};

/// More addresses than this are not carried over: they would take the journal's room from what counts more.
const MOST_ADDRESSES: usize = 50_000;

/// What is carried over from a supervisor that was killed to the one that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// The workers that the command line asked for: who changes that wants another number than the one kept here.
    pub asked: u32,
    /// The workers that were wanted last.
    pub wanted: u32,
    /// By number, those that were scaled away included.
    pub slots: Vec<CarriedSlot>,
    /// Where the workers of the slots listened: what many have in common stands here once.
    pub heard: Vec<Heard<Listening>>,
    /// What no worker is held to any more.
    pub waived: BTreeSet<Listening>,
    /// What was promised to those who wait for a roll.
    pub rolls: CarriedRolls,
}

/// What is carried over of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CarriedSlot {
    /// The newest generation given out.
    pub generation: u64,
    /// Restarts so far.
    pub restarts: u64,
    /// How its last worker ended.
    pub last: Option<LastEnd>,
    /// The slot had a worker, whose end nobody has counted yet.
    pub occupied: bool,
    /// Nobody follows its last worker.
    pub over: Option<Over>,
    /// Where its workers listened: which of `Carried::heard`.
    pub heard: Option<usize>,
    /// Its last worker to be ready has shown that it serves nobody, having loaded this.
    pub quiet: Option<Loads>,
}

words! {
    /// Why nobody is wanted in a slot.
    Over {
        /// Its last worker has ended in a way that the policy starts none after.
        Done = "done",
        /// The slot has used up its restarts.
        Failed = "failed",
    }
}

/// What is carried over of the rolls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CarriedRolls {
    /// What was shown of them, but of the one under way.
    pub seen: RollView,
    /// The roll that the release came with which is current if the one under way fails.
    pub current: u64,
    /// The slot that the roll under way is at.
    pub at: Option<u32>,
}

impl Machine {
    /// What a successor of this supervisor would have to know if it ended now.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let gone = self.gone_generations.iter().skip(self.slots.len());
        let gone = gone.map(|generation| CarriedSlot { generation: *generation, ..CarriedSlot::default() });
        let (heard, which) = self.carried_heard();
        let (kept, runs) = (self.kept_release(), self.goal == Aim::Run);
        let carried = |slot, heard| {
            let one = carried_slot(slot, kept);
            CarriedSlot { heard, over: one.over.filter(|_| runs), ..one }
        };
        let slots = self.slots.iter().zip(which).map(|(slot, heard)| carried(slot, heard));
        let slots = slots.chain(gone).collect();
        let most = i64::from(MOST_WORKERS);
        let wanted = (i64::from(self.wanted) + i64::from(self.rolls.scale)).clamp(1, most);
        Carried {
            asked: self.shape.workers,
            wanted: u32::try_from(wanted).unwrap_or(self.wanted),
            slots,
            heard,
            waived: self.waived.clone(),
            rolls: CarriedRolls {
                seen: RollView { running: None, ..self.roll() },
                current: self.kept_release(),
                at: self.running_slot(),
            },
        }
    }

    /// The roll that the release came with which a successor starts.
    fn kept_release(&self) -> u64 {
        self.rolls.now.as_ref().map_or(self.rolls.current, |roll| roll.before)
    }

    /// What the slots' workers listened on, each once, and which of it each slot has. Workers of another release than a
    /// successor starts are left out: it may know nothing of their addresses.
    fn carried_heard(&self) -> (Vec<Heard<Listening>>, Vec<Option<usize>>) {
        let (kept, rolling) = (self.kept_release(), self.is_rolling());
        let others = self.others();
        let (mut places, mut heard, mut room) = (BTreeMap::new(), Vec::new(), MOST_ADDRESSES);
        let mut which = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let known = match slot.incumbent() {
                Some(worker) if worker.release != kept => None,
                Some(worker) if worker.was_ready() => Some(slot.heard(worker, &others)),
                None if rolling => None,
                Some(_) | None => Some(slot.known()),
            };
            let Some(known) = known.filter(|known| !known.is_empty()) else {
                which.push(None);
                continue;
            };
            let size = known.baseline.len() + known.others.len();
            let place = places.get(&known).copied().or_else(|| {
                room = room.checked_sub(size)?;
                heard.push(known.to_owned());
                places.insert(known, heard.len() - 1);
                Some(heard.len() - 1)
            });
            which.push(place);
        }
        (heard, which)
    }

    /// Whether a roll is under way.
    #[must_use]
    pub const fn is_rolling(&self) -> bool {
        self.rolls.now.is_some()
    }

    /// Takes over from a supervisor that was killed; before `Event::Start`.
    ///
    /// A roll that it had begun, or had been asked for, has failed: nobody else can give its answer. The workers of the
    /// release on trial are gone, and the one before it is current.
    pub fn resume(&mut self, carried: &Carried, now: Mono) {
        // Somebody has asked for another number since then.
        if carried.asked == self.shape.workers {
            self.wanted = carried.wanted.clamp(1, MOST_WORKERS);
        }
        let most = usize::try_from(MOST_WORKERS).unwrap_or(usize::MAX);
        self.gone_generations = carried.slots.iter().take(most).map(|slot| slot.generation).collect();
        let heard = |slot: &CarriedSlot| slot.heard.and_then(|place| carried.heard.get(place)).cloned();
        self.inherited = carried.slots.iter().take(most).map(|slot| (orphaned(slot, now), heard(slot))).collect();
        self.waived.clone_from(&carried.waived);
        let CarriedRolls { seen: said, current, at } = &carried.rolls;
        let (requested, ended) = (said.requested.max(said.started).max(said.ended), said.ended);
        let rolls = &mut self.rolls;
        (rolls.requested, rolls.started, rolls.ended) = (requested, requested, requested);
        rolls.current = (*current).min(requested);
        rolls.last = if requested > ended {
            let (reason, then) = (AbortReason::SupervisorKilled.to_string(), Some(Then::AllStartedAgain));
            Some(Outcome { ok: false, reason, slot: *at, then })
        } else {
            said.ok.map(|ok| Outcome { ok, reason: said.reason.clone(), slot: said.slot, then: said.then })
        };
    }

    /// The slots of the start get what is known of their predecessors.
    pub(super) fn inherit_slots(&mut self, now: Mono) {
        for (slot, (before, heard)) in self.slots.iter_mut().zip(std::mem::take(&mut self.inherited)) {
            slot.generation = before.generation;
            slot.restarts = before.restarts;
            slot.last = before.last;
            slot.quiet = before.quiet;
            if let Some(over) = before.over {
                // It has had its time, and nobody waits for it.
                slot.was_ready = true;
                slot.seat = over.seat(now);
                let failed = |exit: &Exit| over == Over::Failed || *exit != Exit::Code(0);
                self.verdict = before.last.and_then(|last| last.exit).filter(failed).unwrap_or(self.verdict);
            }
            if let Some(heard) = heard {
                slot.learned = Learned::carried(before.generation, &heard);
                slot.baseline = heard.baseline;
            }
        }
    }
}

impl Over {
    const fn of(seat: &Seat) -> Option<Self> {
        match seat {
            Seat::Down { .. } => Some(Self::Done),
            Seat::Failed { .. } => Some(Self::Failed),
            Seat::Taken(_) | Seat::Backoff { .. } => None,
        }
    }

    const fn seat(self, since: Mono) -> Seat {
        match self {
            Self::Done => Seat::Down { since },
            Self::Failed => Seat::Failed { since },
        }
    }
}

/// What is carried over of a slot; `kept`: where the release came from that a successor starts.
fn carried_slot(slot: &Slot, kept: u64) -> CarriedSlot {
    let occupied = matches!(slot.seat, Seat::Taken(_));
    let of_another = slot.incumbent().is_some_and(|worker| worker.release != kept);
    CarriedSlot {
        generation: slot.generation,
        restarts: slot.restarts,
        last: slot.last,
        occupied,
        over: Over::of(&slot.seat).filter(|_| !slot.leaving),
        heard: None,
        quiet: slot.quiet.filter(|_| !of_another),
    }
}

/// A slot whose worker ended with its supervisor, in a way that nobody saw; the next one is a restart.
fn orphaned(slot: &CarriedSlot, now: Mono) -> CarriedSlot {
    let mut slot = slot.clone();
    if std::mem::take(&mut slot.occupied) {
        slot.restarts = slot.restarts.saturating_add(1);
        slot.last = Some(LastEnd { exit: None, why: Why::Orphaned, at: now });
    }
    slot
}
