//! What the loop of the supervisor asks of pm-cluster.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd;

use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::policy::worker::Loads;
use pm_common::supervise::release::Release;
use pm_common::supervise::{Adapter, Listens, Source, Turn, WorkerSetup};
use pm_common::sys::clock;

use super::{Cluster, LAST_READS};
use crate::care::health::Health;
use crate::care::lag_watch::Lag;
use crate::command::listen_option;
use crate::node::Worker;
use crate::sockets::LaneRef;
use pm_common::node::inspector::Debugger;
use pm_common::node::preload::SIGNAL;

impl Cluster {
    fn forget_health(&mut self, id: WorkerId) {
        if let Some(health) = &mut self.health {
            health.forget(id, &mut self.sockets);
        }
    }

    /// Whether a worker is Node without the script that tells clients to move on, so that somebody else is to tell them.
    fn is_told_by_helper(&self, id: WorkerId) -> bool {
        let worker = self.primary.workers().get(&id);
        self.settings.tells_clients
            && worker.is_some_and(|worker| worker.channel.is_some() && !worker.progress.with_script)
    }

    /// Asks a worker to leave whose clients have gone; false: it was asked before, or cannot be.
    fn asks_last(&mut self, id: WorkerId) -> bool {
        let last = self.primary.worker_mut(id).is_some_and(|worker| std::mem::take(&mut worker.leaves_last));
        let asked = last && self.primary.ask_to_leave(id, true);
        if let Some(worker) = self.primary.worker_mut(id) {
            worker.draining |= asked;
        }
        asked
    }

    /// Has the workers asked that have just begun to listen.
    fn note_listening(&mut self, events: &VecDeque<Event>) {
        let Some(health) = &mut self.health else { return };
        for event in events {
            if let Event::Listening { id, address, .. } = event {
                health.listens(*id, address);
            }
        }
    }
}

/// Names what we wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    /// A worker's channel.
    Channel(WorkerId),
    /// A call of a worker's tree that waits for our answer; it may come from what a worker left behind.
    Calls(WorkerId),
    /// A question to a worker.
    Health(WorkerId),
    /// The path of a unix socket, by the number of its address.
    Path(u64),
    /// A socket of ours.
    Lane(LaneRef),
}

impl Adapter for Cluster {
    type Token = Token;

    fn turn(token: Token) -> Turn {
        match token {
            Token::Channel(_) | Token::Calls(_) | Token::Path(_) => Turn::Said,
            Token::Health(_) | Token::Lane(_) => Turn::Rest,
        }
    }

    fn prepare(&mut self, id: WorkerId, release: &Release, setup: &mut WorkerSetup) -> io::Result<()> {
        if let Some(with_channel) = self.binds.settle_fanout()? {
            self.settings.with_channel = with_channel;
        }
        setup.env.push(("NODE_APP_INSTANCE".into(), id.slot.to_string().into()));
        let mut worker = Worker::default();
        let mut channel = None;
        worker.progress.release = release.number;
        if self.settings.with_channel {
            let (ours, inode) = self.primary.connect(self.settings.channel_number, setup)?;
            (worker.channel, channel) = (Some(ours), inode);
            setup.argv =
                self.inspectors.command_line(id, &self.settings.argv, release.node_options().unwrap_or_default());
        }
        let script = self.settings.script(release, &self.primary.blame, self.binds.watches());
        worker.progress.with_script = !script.is_empty() && self.settings.is_heard;
        setup.env.extend(script);
        self.binds.prepare(id, release.number, channel, setup)?;
        self.below.prepare(id, Debugger::new(channel, worker.progress.with_script));
        // Whoever may look at its calls may trace it in a drain.
        setup.traceable = self.settings.tells_clients && (setup.watch.is_some() || !worker.progress.with_script);
        if self.settings.with_channel {
            setup.env.extend(self.settings.sockets.iter().cloned());
        }
        let (sockets, addresses): (Vec<_>, Vec<_>) = self.sockets.pass(id)?.into_iter().unzip();
        if !sockets.is_empty() {
            addresses.iter().for_each(|address| self.binds.listens_at(id, address));
            // The worker need not say that it listens: the socket does, and who asks waits in its queue.
            let health = self.health.iter_mut();
            health.for_each(|health| addresses.iter().for_each(|address| health.listens(id, address)));
            setup.env.extend(listen_option::environment(&addresses));
            setup.sockets = sockets;
        }
        self.primary.insert(id, worker);
        if let Some(health) = &mut self.health {
            health.prepare(id, release);
        }
        Ok(())
    }

    fn started(&mut self, id: WorkerId, pid: i32) {
        self.binds.started(id, pid);
        self.below.started(id, pid);
        self.health.iter_mut().for_each(|health| health.started(id, pid));
        if let Some(worker) = self.primary.worker_mut(id) {
            worker.pid = pid;
        }
    }

    fn steer_in(&mut self, id: WorkerId) {
        // Other evidence may have been faster.
        self.forget_health(id);
        self.below.serves(id);
        if let Some(worker) = self.primary.worker_mut(id) {
            worker.in_service = true;
            self.sockets.steer_in(id);
            self.binds.serves(id, &self.sockets);
            self.sockets.note_unused();
            self.sockets.note_strays();
        }
    }

    fn steer_off(&mut self, id: WorkerId) {
        if let Some(worker) = self.primary.worker_mut(id) {
            worker.in_service = false;
            self.sockets.steer_off(id);
        }
    }

    fn drain(&mut self, id: WorkerId, linger: bool) -> bool {
        self.forget_health(id);
        self.below.leaves(id);
        let stopping = self.primary.is_finished();
        let mut ports = self.binds.ports(id);
        if linger && !stopping && self.is_told_by_helper(id) {
            ports.extend(self.sockets.ports(id));
        }
        let Some(worker) = self.primary.worker_mut(id) else { return false };
        let binds = !ports.is_empty();
        // As it leaves, Node cuts connections that are idle just then: its busy clients go first.
        worker.leaves_last =
            binds && linger && !stopping && self.settings.tells_clients && !worker.progress.with_script;
        let (pid, leaves_last, with_script) = (worker.pid, worker.leaves_last, worker.progress.with_script);
        let sent = !leaves_last && self.primary.ask_to_leave(id, linger);
        if let Some(worker) = self.primary.worker_mut(id) {
            worker.draining = sent;
        }
        if binds {
            let linger = if linger { self.settings.linger } else { Span::ZERO };
            self.drains.begin(id, pid, ports, linger, stopping);
            if with_script {
                self.drains.ask(id, SIGNAL);
            }
        }
        sent || binds
    }

    fn say_stop(&mut self, id: WorkerId) -> bool {
        self.primary.say_stop(id)
    }

    fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool {
        // Its last answers tell which connections it took.
        let mut late = VecDeque::new();
        let _ = (0..LAST_READS).find(|_| self.read(id, &mut late).closed);
        self.say_warnings();
        self.sockets.note_unused();
        let follows = exit.filter(|exit| self.settings.rules.restarts_after(*exit));
        let probed = follows.is_some_and(|exit| self.binds.has_perhaps_probed(id, exit, &self.sockets));
        self.binds.ended(id);
        self.inspectors.gone(id);
        self.drains.forget(id);
        self.forget_health(id);
        self.sockets.gone(id);
        let progress = self.primary.gone(id, &self.sockets);
        let unwatched = self.learns_from_end(id);
        let excused = progress.zip(exit).is_some_and(|(progress, exit)| self.is_excused(id, &progress, exit));
        excused || probed || unwatched
    }

    fn has_channels(&self) -> bool {
        self.settings.with_channel
    }

    fn keep_messages(&mut self, keep: bool) {
        self.primary.messages.keep = keep;
    }

    fn take_messages(&mut self) -> Vec<(WorkerId, String)> {
        self.primary.messages.take()
    }

    fn send_message(&mut self, slot: Option<u32>, message: &str) -> usize {
        self.primary.send_message(slot, message)
    }

    fn release_slot(&mut self, slot: u32) {
        self.sockets.release_slot(slot);
    }

    fn close_unserved(&mut self) {
        self.sockets.close_unserved();
    }

    fn finish(&mut self) {
        self.primary.finish(&self.sockets);
        self.lag = Lag::new(None);
        self.binds.finish();
        self.sockets.close_all();
    }

    fn sources<'a>(&'a self, out: &mut Vec<Source<'a, Token>>) {
        for (id, worker) in self.primary.workers() {
            if let Some(channel) = &worker.channel {
                let token = Token::Channel(*id);
                let (read, write) = (channel.wants_read(), channel.wants_write());
                out.push(Source { token, fd: channel.as_fd(), read, write });
            }
        }
        out.extend(self.binds.sources().map(|source| source.named(Token::Calls)));
        out.extend(self.health.iter().flat_map(Health::sources).map(|source| source.named(Token::Health)));
    }

    fn many_sources<'a>(&'a self, out: &mut Vec<Source<'a, Token>>) {
        out.extend(self.sockets.paths().map(|(id, fd)| Source::to_read(Token::Path(id), fd)));
        // The lanes of workers for nothing but their end.
        let given = self.sockets.lanes().filter(|lane| lane.holder.is_some());
        out.extend(given.map(|lane| Source { token: Token::Lane(lane.at), fd: lane.fd, read: false, write: false }));
        out.extend(self.lag.sources(&self.sockets).map(|source| source.named(Token::Lane)));
        out.extend(self.primary.polled(&self.sockets).map(|lane| Source::to_read(Token::Lane(lane.at), lane.fd)));
    }

    fn ready(&mut self, token: Token, events: &mut VecDeque<Event>) {
        match token {
            Token::Lane(lane) => match self.sockets.look_if_shut(lane) {
                Some((id, address)) => self.has_shut(id, address, events),
                None => {
                    if !self.primary.accept(lane, &self.sockets) {
                        self.lag.somebody_waits(clock::now(), &self.sockets);
                    }
                }
            },
            Token::Path(id) => self.sockets.look_at_path(id),
            Token::Calls(id) => self.binds.answer(id, &mut self.sockets, events),
            Token::Health(id) => {
                if let Some(health) = &mut self.health {
                    health.go_on(id, &mut self.sockets, events);
                }
            }
            Token::Channel(id) => {
                let heard = self.read(id, events);
                // What it binds itself may have work left.
                events.extend((heard.drained && !self.drains.has(id)).then_some(Event::AwaitsStop(id)));
                if heard.closed
                    && let Some(first) = self.primary.disconnected(id)
                {
                    // Nobody is left to say that it has been loaded (sudo closes what it does not know).
                    events.extend(first.then_some(Event::Booted(id, Loads::Unknown)));
                    events.extend((!self.drains.has(id)).then_some(Event::Drained(id)));
                }
            }
        }
        self.say_warnings();
        self.note_listening(events);
    }

    fn deadline(&self) -> Option<Mono> {
        let health = self.health.as_ref().and_then(Health::deadline);
        let others = [self.drains.deadline(), self.binds.deadline(), self.lag.deadline(), self.primary.deadline()];
        let late = [self.sockets.patience_ends(), self.refuses_at(), self.below.deadline()];
        others.into_iter().chain(late).chain([health]).flatten().min()
    }

    fn settle(&mut self, events: &mut VecDeque<Event>) {
        self.binds.settle(clock::now());
        if let Some(health) = &mut self.health {
            health.look(&mut self.sockets, events);
        }
        for id in self.drains.look(clock::now(), &self.sockets) {
            if self.asks_last(id) {
                continue;
            }
            let worker = self.primary.workers().get(&id);
            let asked = worker.is_some_and(|worker| worker.draining && worker.channel.is_some());
            let awaits = worker.is_some_and(|worker| worker.drained);
            let drained = if awaits { Event::AwaitsStop(id) } else { Event::Drained(id) };
            events.extend((awaits || !asked).then_some(drained));
        }
        self.look_below();
        events.append(&mut self.below.take_events());
        self.look_for_lag(events);
        self.sockets.lose_patience(clock::now());
        self.refuse_unserved();
        self.primary.settle(clock::now());
        let gone = self.primary.let_go().into_iter().filter(|id| !self.drains.has(*id));
        events.extend(gone.map(Event::Drained));
        self.say_warnings();
    }

    fn memory_left(&self) -> Option<u64> {
        pm_common::kernel::memory_left::left()
    }

    fn children(&self) -> Vec<i32> {
        self.health.iter().flat_map(Health::children).chain(self.drains.children()).collect()
    }

    fn is_sticky(&self) -> bool {
        self.sockets.sticks()
    }

    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        let mut all: BTreeMap<WorkerId, Listens> = BTreeMap::new();
        for (id, (addresses, sockets)) in self.sockets.all() {
            all.insert(id, Listens { addresses: addresses.into_iter().collect(), by: None, sockets });
        }
        for (id, worker) in self.primary.workers() {
            let by = match (worker.open.is_empty(), !self.binds.ports(*id).is_empty()) {
                (false, false) => "node",
                (false, true) => "node+bind",
                (true, true) => "bind",
                (true, false) => continue,
            };
            all.entry(*id).or_default().by = Some(by);
        }
        all
    }
}
