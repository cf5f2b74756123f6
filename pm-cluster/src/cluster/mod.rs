//! What pm-cluster adds to a supervisor: it owns the sockets, Node's primary, the watched binds and the judges of workers,
//! and passes on what happens.

use std::collections::{BTreeSet, VecDeque};

use pm_common::cli::report;
use pm_common::node::message::Outgoing;
use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;

use crate::bind::Binds;
use crate::care::drain::Drains;
use crate::care::health::Health;
use crate::care::lag_watch::Lag;
use crate::node::{Heard, Primary};
use crate::sockets::Sockets;
use child_servers::Below;
use drain_settings::Settings;
use pm_common::node::inspector;
use pm_common::node::preload::blame::{Cause, Progress};

mod child_servers;
pub(crate) mod drain_settings;
mod hooks;

/// Reads from the channel of a worker that has ended: what it said last matters, but is not endless.
const LAST_READS: usize = 64;

/// The parts of pm-cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    sockets: Sockets,
    primary: Primary,
    binds: Binds,
    /// Servers that nobody sees binding.
    below: Below,
    /// The drains of workers that bind by themselves.
    drains: Drains,
    health: Option<Health>,
    /// Whether workers take what comes.
    lag: Lag,
    /// Of workers that are Node itself.
    inspectors: inspector::Ports,
    settings: Settings,
    /// What was said once already.
    said: BTreeSet<String>,
}

impl Cluster {
    pub(crate) fn new(
        sockets: Sockets,
        binds: Binds,
        primary: Primary,
        settings: Settings,
        max_lag: Option<Span>,
    ) -> Self {
        Self {
            sockets,
            primary,
            below: Below::new(settings.learns),
            binds,
            drains: Drains::new(
                settings.rules.drain_time(),
                settings.tells_clients,
                (!settings.rules.stop_message).then_some(settings.rules.stop_signal),
            ),
            health: settings.health.clone().map(Health::new),
            lag: Lag::new(max_lag),
            inspectors: inspector::Ports::default(),
            settings,
            said: BTreeSet::new(),
        }
    }

    /// Reads what a worker says.
    fn read(&mut self, id: WorkerId, events: &mut VecDeque<Event>) -> Heard {
        let heard = self.primary.read(id, &mut self.sockets, events);
        if heard.pong {
            self.lag.answered(id, clock::now(), &mut self.sockets);
        }
        if heard.inspects.is_some() || heard.closed {
            self.below.inspects(id, heard.inspects);
        }
        heard
    }

    /// A worker has shut a listener down: as it stops, which is its own business, or it goes on without.
    fn has_shut(&mut self, id: WorkerId, address: Listening, events: &mut VecDeque<Event>) {
        let Some(worker) = self.primary.workers().get(&id).filter(|worker| worker.in_service) else { return };
        self.lag.has_shut(id, worker.pid, &address, &self.sockets);
        events.push_back(Event::Closed { id, address });
    }

    /// Whether the worker ended over the drain script rather than over itself.
    fn is_excused(&mut self, id: WorkerId, progress: &Progress, exit: Exit) -> bool {
        let cause = self.primary.blame.ended(progress, exit);
        if cause == Cause::First {
            let (slot, generation) = (id.slot, id.generation);
            report::warning(format_args!(
                "worker ended and had not loaded the drain script, started again without it slot={slot} \
                 generation={generation} {exit}; keep-alive clients may notice its end (--no-preload: never try)"
            ));
        }
        cause != Cause::Own
    }

    /// Looks whether workers take what comes to them, and asks those that answer.
    fn look_for_lag(&mut self, events: &mut VecDeque<Event>) {
        let now = clock::now();
        if self.lag.deadline().is_none_or(|at| at > now) && !self.lag.asks() {
            return;
        }
        let workers = self.primary.workers();
        let pid_of = |id: WorkerId| workers.get(&id).map(|worker| worker.pid);
        self.lag.look(now, &mut self.sockets, pid_of, events);
        let asked = workers.iter().filter(|(_, worker)| worker.can_be_asked());
        let can_be_asked = asked.map(|(id, worker)| (*id, worker.pid));
        let asked = self.lag.ask(now, can_be_asked, &mut self.sockets, events);
        asked.into_iter().for_each(|id| self.primary.send(id, &Outgoing::Ping));
    }

    /// The slots whose workers start, and may come to serve any address.
    fn starting(&self) -> BTreeSet<u32> {
        let starting = self.primary.workers().keys().filter(|id| self.sockets.may_come(**id));
        starting.map(|id| id.slot).collect()
    }

    /// When addresses refuse that nobody serves, and clients are let go that wait for nobody.
    fn refuses_at(&self) -> Option<Mono> {
        let starting = self.starting();
        let all = self.sockets.refuses_at().filter(|_| starting.is_empty());
        all.into_iter().chain(self.sockets.lets_left_behind_go_at(&starting)).min()
    }

    fn refuse_unserved(&mut self) {
        let now = clock::now();
        if self.refuses_at().is_none_or(|at| at > now) {
            return;
        }
        let starting = self.starting();
        for (address, count) in self.sockets.let_left_behind_go(now, &starting) {
            report::warning(format_args!(
                "connections waited for a worker that has ended, none that starts takes them: closed, so that their clients \
                 come again to those that serve address={address} connections={count}"
            ));
        }
        if !starting.is_empty() {
            return;
        }
        for address in self.sockets.refuse_unserved(now) {
            report::warning(format_args!(
                "no worker has come to serve an address for 30s, it refuses connections until one does address={address}"
            ));
        }
    }

    fn say_warnings(&mut self) {
        let (ours, others) = (self.drains.take_warnings(), self.binds.take_warnings());
        for warning in [self.primary.take_warnings(), self.sockets.take_warnings(), others, ours].concat() {
            if !self.said.contains(&warning) {
                report::warning(&warning);
                self.said.insert(warning);
            }
        }
    }
}
