//! A simulated world for the tests: which processes live, what was asked of them, and what must hold after every step.

use super::super::*;
use super::rolls_seen::RollsSeen;

/// How much longer the parent of a supervisor waits, said here again so that a change of it is noticed.
const LONGER: Span = Span::secs(2);

/// A process of the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Proc {
    /// Its leader lives; if not, only others of its group do.
    pub(super) leader: bool,
    /// Once it was asked to end: KILL may come from then on.
    pub(super) kill_from: Option<Mono>,
    pub(super) killed: bool,
    /// Connections go to it.
    pub(super) steered: bool,
    /// It was told to drain and has not answered.
    pub(super) draining: bool,
}

/// The machine, its clock, and the processes that it made.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) sup: Machine,
    pub(super) now: Mono,
    pub(super) living: BTreeMap<WorkerId, Proc>,
    /// The last process that ended.
    pub(super) dead: Option<WorkerId>,
    newest: BTreeMap<u32, u64>,
    /// Workers that were found to hang.
    hung: BTreeSet<WorkerId>,
    /// Requests to stop, without those that mean the stop under way.
    pub(super) stops: u32,
    stopped_at: Option<Mono>,
    stopped_by_above: bool,
    /// Until then the stop is put off.
    delayed_until: Option<Mono>,
    pub(super) gave_up: bool,
    pub(super) finished: Option<u8>,
    pub(super) rolls: RollsSeen,
}

impl World {
    pub(super) fn new(rules: Rules, shape: Shape) -> Self {
        Self {
            sup: Machine::new(rules, shape, 1),
            now: Mono(Span::secs(1000).0),
            living: BTreeMap::new(),
            dead: None,
            newest: BTreeMap::new(),
            hung: BTreeSet::new(),
            stops: 0,
            stopped_at: None,
            stopped_by_above: false,
            delayed_until: None,
            gave_up: false,
            finished: None,
            rolls: RollsSeen::default(),
        }
    }

    /// Feeds one event, performs the actions, and checks what must always hold; `Err` says what does not.
    pub(super) fn feed(&mut self, event: Event) -> Result<Vec<Action>, String> {
        let was_ready: Vec<WorkerId> = self.known().filter(|(_, w)| w.is_ready()).map(|(id, _)| id).collect();
        let before = self.before(&event);
        self.happens(&event);
        let mut actions = Vec::new();
        self.sup.handle(self.now, event.clone(), &mut actions);
        self.gave_up |= matches!(self.sup.goal, Aim::GiveUp(_));
        for (index, action) in actions.iter().enumerate() {
            self.perform(action)?;
            if let Action::Stop(id) | Action::Drain(id) | Action::DrainNow(id) = action {
                self.check_replaced_only(*id, &event, was_ready.contains(id), actions.get(..index).unwrap_or(&[]))?;
            }
        }
        self.check_state()?;
        self.check_hung(&event)?;
        self.check_rolls(&before, &event, &actions)?;
        Ok(actions)
    }

    /// Steps to the deadline (or stays, if it has passed) and ticks: then it must lie ahead.
    pub(super) fn tick(&mut self) -> Result<Vec<Action>, String> {
        let Some(at) = self.sup.deadline() else { return Err("no deadline to step to".to_string()) };
        self.now = self.now.max(at);
        let actions = self.feed(Event::Tick)?;
        // A roll that begins asks for one more tick at once.
        let begun = actions.contains(&Action::ResolveRelease);
        // Many are started some at a time.
        let begun = begun || actions.iter().filter(|action| matches!(action, Action::Spawn { .. })).count() > 1;
        match self.sup.deadline() {
            _ if begun => Ok(actions),
            Some(next) if next <= self.now => Err(format!("the deadline spins: {next:?} at {:?}", self.now)),
            _ => Ok(actions),
        }
    }

    /// What the machine knows.
    pub(super) fn known(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let slots = (0..).zip(&self.sup.slots);
        slots.flat_map(|(slot, s)| s.workers().map(move |w| (WorkerId { slot, generation: w.generation }, w)))
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Ended { id, leftovers: true, .. } => {
                if let Some(proc) = self.living.get_mut(id) {
                    *proc = Proc { leader: false, steered: false, ..*proc };
                }
            }
            Event::Ended { id, .. } | Event::Gone(id) | Event::SpawnFailed(id, _) => {
                self.dead = self.living.remove(id).map(|_| *id).or(self.dead);
            }
            Event::StopTakes(id, span) => {
                let from = self.now + *span + LONGER;
                if let Some(Proc { leader: true, kill_from: Some(at), .. }) = self.living.get_mut(id) {
                    *at = from.min(*at);
                }
            }
            Event::Drained(id) => {
                if let Some(proc) = self.living.get_mut(id) {
                    proc.draining = false;
                }
            }
            Event::AwaitsStop(id) => {
                let from = self.now + self.sup.rules.grace;
                if let Some(proc) = self.living.get_mut(id)
                    && std::mem::take(&mut proc.draining)
                {
                    proc.kill_from = Some(from);
                }
            }
            Event::Stop(kind, asker) => self.is_asked_to_stop(*kind, *asker),
            Event::Supervises(id)
                if !self.sup.shape.shares && self.living.get(id).is_some_and(|p| p.kill_from.is_none()) =>
            {
                self.delayed_until = None;
            }
            Event::Lag { id, .. } => {
                self.hung.insert(*id);
            }
            _ => {}
        }
    }

    fn is_asked_to_stop(&mut self, kind: StopKind, asker: Asker) {
        let below = !self.sup.shape.shares && self.known().any(|(_, w)| w.supervises && w.is_wanted());
        let delay = self.sup.rules.stop_delay;
        let counts = match (self.stopped_at, asker) {
            (None, _) | (_, Asker::Terminal) => true,
            (Some(_), Asker::Above) => self.stopped_by_above,
            (Some(at), Asker::Other) => self.now.since(at) >= Span::secs(1),
        };
        if self.stops == 0 && kind == StopKind::Term && delay > Span::ZERO && !below && !self.gave_up {
            self.delayed_until = Some(self.now + delay);
        } else if counts && self.delayed_until.is_some_and(|until| self.now < until) {
            // It ends the delay, and the stop begins as if it were the first request.
            (self.stops, self.stopped_at, self.stopped_by_above, self.delayed_until) = (0, None, false, None);
        }
        self.stops += u32::from(counts);
        self.stopped_at.get_or_insert(self.now);
        self.stopped_by_above |= asker == Asker::Above;
    }

    fn perform(&mut self, action: &Action) -> Result<(), String> {
        if self.finished.is_some() {
            return Err(format!("{action:?} after Finish"));
        }
        match action {
            Action::Spawn { id, .. } => return self.spawn(*id),
            Action::SteerIn(id) => self.proc(*id, action)?.steered = true,
            Action::SteerOff(id) => self.proc(*id, action)?.steered = false,
            Action::Drain(id) | Action::DrainNow(id) => {
                self.asked_to_end(*id, action)?;
                self.proc(*id, action)?.draining = true;
            }
            Action::Stop(id) | Action::StopLeftovers(id) => return self.asked_to_end(*id, action),
            Action::Kill(id) => return self.kill(*id, action),
            Action::Look(id) | Action::Measure(id) | Action::Forward(id, _) => {
                self.proc(*id, action)?;
            }
            Action::Finish(code) => {
                self.finished = Some(*code);
                if !self.living.is_empty() {
                    return Err(format!("finished while {:?} live", self.living));
                }
            }
            Action::ReleaseSlot(slot) if self.living.keys().any(|id| id.slot == *slot) => {
                return Err(format!("slot {slot} released with a living worker"));
            }
            Action::ResolveRelease if self.stops > 0 => return Err("a reload begins after a stop".to_string()),
            Action::ReleaseSlot(_)
            | Action::ResolveRelease
            | Action::CommitRelease
            | Action::DropRelease
            | Action::LookForRoom
            | Action::AnnounceReady
            | Action::AnnounceStop(_)
            | Action::AnnounceGaveUp
            | Action::CloseUnserved
            | Action::RunHooks(_)
            | Action::Say(_) => {}
        }
        Ok(())
    }

    fn proc(&mut self, id: WorkerId, action: &Action) -> Result<&mut Proc, String> {
        self.living.get_mut(&id).ok_or_else(|| format!("{action:?} to a worker that does not live"))
    }

    fn spawn(&mut self, id: WorkerId) -> Result<(), String> {
        let newest = self.newest.entry(id.slot).or_default();
        if id.generation <= *newest {
            return Err(format!("{id:?} is not fresh, {newest} was given out"));
        }
        let delayed = self.delayed_until.is_some_and(|until| self.now <= until);
        if (self.stops > 0 && !delayed) || self.gave_up {
            return Err(format!("{id:?} started after a stop"));
        }
        *newest = id.generation;
        self.living.insert(id, Proc { leader: true, kill_from: None, killed: false, steered: false, draining: false });
        Ok(())
    }

    fn asked_to_end(&mut self, id: WorkerId, action: &Action) -> Result<(), String> {
        let kill_from = self.now + self.sup.rules.grace;
        let to_leader = matches!(action, Action::Stop(_) | Action::Drain(_) | Action::DrainNow(_));
        let proc = self.proc(id, action)?;
        if proc.leader != to_leader {
            return Err(format!("{action:?} but its leader lives: {}", proc.leader));
        }
        proc.kill_from.get_or_insert(kill_from);
        Ok(())
    }

    fn kill(&mut self, id: WorkerId, action: &Action) -> Result<(), String> {
        let (now, stops) = (self.now, self.stops);
        let proc = self.proc(id, action)?;
        if !proc.killed && stops < 2 && proc.kill_from.is_none_or(|from| now < from) {
            return Err(format!("{action:?} before its grace had passed: {proc:?} at {now:?}"));
        }
        proc.killed = true;
        Ok(())
    }

    /// Where replacements overlap, a ready worker is asked to end only after its successor got its connections.
    fn check_replaced_only(
        &self,
        id: WorkerId,
        event: &Event,
        was_ready: bool,
        before: &[Action],
    ) -> Result<(), String> {
        let leaves =
            |id: &WorkerId| usize::try_from(id.slot).is_ok_and(|n| self.sup.slots.get(n).is_none_or(|s| s.leaving));
        let leaving = leaves(&id);
        let asked =
            matches!(self.sup.goal, Aim::Stop(_)) || self.gave_up || leaving || matches!(event, Event::Stop(..));
        let other = |a: &Action| matches!(a, Action::SteerIn(new) if new.slot == id.slot && *new != id);
        if self.sup.shape.overlap && was_ready && !asked && !before.iter().any(other) {
            return Err(format!("{id:?} was ready and is ended before a successor was"));
        }
        let others =
            before.iter().filter(|a| matches!(a, Action::Drain(other) if *other != id && !leaves(other))).count();
        let parallel = usize::try_from(self.sup.shape.roll.parallel).unwrap_or(usize::MAX);
        let ends_first = self.sup.shape.shares && !self.sup.shape.overlap;
        if ends_first && was_ready && !asked && !self.hung.contains(&id) && others >= parallel {
            return Err(format!("{id:?} was ready and is ended in one step with {others} others"));
        }
        Ok(())
    }

    fn check_state(&self) -> Result<(), String> {
        if self.finished.is_some() {
            return Ok(());
        }
        let same = |(id, w): (WorkerId, &Worker)| self.living.get(&id).is_some_and(|p| p.leader == w.exit.is_none());
        if self.known().count() != self.living.len() || !self.known().all(same) {
            let known: Vec<_> = self.known().collect();
            return Err(format!("the machine knows {known:?}, there are {:?}", self.living));
        }
        let pending = self.living.values().any(|p| p.kill_from.is_some() && !p.killed);
        if pending && self.sup.deadline().is_none() {
            return Err("a worker was asked to end and nothing will ever kill it".to_string());
        }
        for (number, slot) in (0..).zip(&self.sup.slots) {
            self.check_slot(number, slot)?;
        }
        let successors = self.sup.slots.iter().filter(|slot| slot.successor.is_some()).count();
        let most = self.most_at_a_time() + self.replaced_as_they_hang();
        if successors > most && self.sup.goal == Aim::Run {
            return Err(format!("{successors} replacements at a time"));
        }
        let unasked = self.living.values().filter(|p| p.leader && p.kill_from.is_none()).count();
        if unasked > self.sup.slots.len() + most {
            return Err(format!("{unasked} workers that nobody asked to end"));
        }
        Ok(())
    }

    /// Slots whose worker hangs and has a successor that no roll waits for: they need not wait for each other.
    fn replaced_as_they_hang(&self) -> usize {
        let hangs = |(number, slot): &(u32, &Slot)| {
            let old = slot.incumbent().map(|w| WorkerId { slot: *number, generation: w.generation });
            slot.successor.as_ref().is_some_and(|w| !w.on_trial()) && old.is_some_and(|id| self.hung.contains(&id))
        };
        (0..).zip(&self.sup.slots).filter(hangs).count()
    }

    /// A worker that hangs has a successor at once, whatever else goes on, unless one came too soon before.
    fn check_hung(&self, event: &Event) -> Result<(), String> {
        let Event::Lag { id, after, .. } = event else { return Ok(()) };
        let slot = usize::try_from(id.slot).ok().and_then(|n| self.sup.slots.get(n));
        let hangs = |slot: &&Slot| slot.incumbent().is_some_and(|w| w.generation == id.generation && w.is_ready());
        let Some(slot) = slot.filter(hangs) else { return Ok(()) };
        let judged = self.sup.shape.shares
            && self.sup.rules.max_lag.is_some_and(|limit| *after >= limit)
            && self.sup.goal == Aim::Run;
        match judged && slot.not_before <= self.now && slot.successor.is_none() {
            true => Err(format!("{id:?} hangs and gets no successor")),
            false => Ok(()),
        }
    }

    fn check_slot(&self, number: u32, slot: &Slot) -> Result<(), String> {
        let living = self.living.keys().filter(|id| id.slot == number).count();
        if !self.sup.shape.overlap && living > 1 {
            return Err(format!("two of slot {number} at a time: {:?}", self.living));
        }
        let steered = self.living.iter().filter(|(id, p)| id.slot == number && p.steered).count();
        if steered > 1 {
            return Err(format!("{steered} workers of slot {number} get connections"));
        }
        let successor = slot.successor.as_ref().map(|w| WorkerId { slot: number, generation: w.generation });
        if successor.is_some_and(|id| self.living.get(&id).is_none_or(|p| p.steered)) {
            return Err(format!("a successor gets connections in slot {number}"));
        }
        if let Some(wanted) = slot.retiring.iter().find(|w| w.is_wanted()) {
            return Err(format!("a wanted worker among those on their way out: {wanted:?}"));
        }
        for worker in slot.workers() {
            let id = WorkerId { slot: number, generation: worker.generation };
            let proc = self.living.get(&id).ok_or("unknown worker")?;
            if worker.is_wanted() == proc.kill_from.is_some() {
                return Err(format!("{id:?} is {:?}, but the world says {proc:?}", worker.life));
            }
        }
        Ok(())
    }
}
