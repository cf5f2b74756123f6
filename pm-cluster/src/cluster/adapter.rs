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
use pm_common::supervise::{Adapter, Listens, Plan, Source, Turn};
use pm_common::sys::{clock, fdpass, socket};

use super::stop::say_stop;
use super::{Cluster, LAST_READS, Worker};
use crate::care::health::Health;
use crate::care::lag::Lag;
use crate::command::listen;
use crate::sockets::LaneRef;
use pm_common::node::channel::{Channel, Received};

impl Cluster {
    fn forget_health(&mut self, id: WorkerId) {
        if let Some(health) = &mut self.health {
            health.forget(id, &mut self.listeners);
        }
    }

    /// Those that have just begun to listen are to be asked.
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
    /// A socket of ours.
    Lane(LaneRef),
}

impl Adapter for Cluster {
    type Token = Token;

    fn turn(token: Token) -> Turn {
        match token {
            Token::Channel(_) | Token::Calls(_) => Turn::Said,
            Token::Health(_) | Token::Lane(_) => Turn::Rest,
        }
    }

    fn prepare(&mut self, id: WorkerId, release: &Release, plan: &mut Plan) -> io::Result<()> {
        if let Some(with_channel) = self.binds.settle_fanout()? {
            self.drain.with_channel = with_channel;
        }
        plan.env.push(("NODE_APP_INSTANCE".into(), id.slot.to_string().into()));
        let mut worker = Worker::default();
        let mut channel = None;
        worker.start.release = release.number;
        if self.drain.with_channel {
            let (ours, theirs) = fdpass::pair()?;
            let number = self.drain.channel_number;
            plan.env.push(("NODE_CHANNEL_FD".into(), number.to_string().into()));
            plan.env.push(("NODE_CHANNEL_SERIALIZATION_MODE".into(), "json".into()));
            plan.env.push(("NODE_UNIQUE_ID".into(), self.next_id.to_string().into()));
            channel = socket::inode(&theirs).ok();
            plan.place = Some((theirs, number));
            worker.channel = Some(Channel::new(ours));
            self.next_id += 1;
            plan.argv = self.inspectors.command_line(id, &self.drain.argv, release.node_options().unwrap_or_default());
        }
        let script = self.drain.script(release, &self.trust);
        worker.start.with_script = !script.is_empty() && self.drain.is_heard;
        plan.env.extend(script);
        self.binds.prepare(id, channel, plan)?;
        if self.drain.with_channel {
            plan.env.extend(self.drain.sockets.iter().cloned());
        }
        let (sockets, addresses): (Vec<_>, Vec<_>) = self.listeners.pass(id)?.into_iter().unzip();
        if !sockets.is_empty() {
            addresses.iter().for_each(|address| self.binds.listens_at(id, address));
            // It need not say that it listens: the socket does, and who asks waits in its queue.
            let health = self.health.iter_mut();
            health.for_each(|health| addresses.iter().for_each(|address| health.listens(id, address)));
            plan.env.extend(listen::environment(&addresses));
            plan.sockets = sockets;
        }
        self.workers.insert(id, worker);
        if let Some(health) = &mut self.health {
            health.prepare(id, release);
        }
        Ok(())
    }

    fn started(&mut self, id: WorkerId, pid: i32) {
        self.binds.started(id, pid);
        self.health.iter_mut().for_each(|health| health.started(id, pid));
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.pid = pid;
        }
    }

    fn steer_in(&mut self, id: WorkerId) {
        // Other evidence may have been faster.
        self.forget_health(id);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.in_service = true;
            self.listeners.steer_in(id);
            self.listeners.note_unused();
        }
    }

    fn steer_off(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.in_service = false;
            self.listeners.steer_off(id);
        }
    }

    fn drain(&mut self, id: WorkerId, linger: bool) -> bool {
        self.forget_health(id);
        let sent = self.ask_to_leave(id, linger);
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        worker.draining = sent;
        let ports = self.binds.ports(id);
        let binds = !ports.is_empty();
        if binds {
            let linger = if linger { self.drain.linger } else { Span::ZERO };
            self.drains.begin(id, worker.pid, ports, linger, self.finished);
            if worker.start.with_script {
                self.drains.ask(id);
            }
        }
        sent || binds
    }

    fn say_stop(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        worker.said_stop = worker.said_stop || say_stop(worker);
        worker.said_stop
    }

    fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool {
        // Its last answers tell which connections it took.
        let mut late = VecDeque::new();
        for _ in 0..LAST_READS {
            if self.read(id, &mut late) == Received::Closed {
                break;
            }
        }
        self.listeners.note_unused();
        self.binds.ended(id);
        self.inspectors.gone(id);
        self.drains.forget(id);
        self.forget_health(id);
        let start = self.workers.remove(&id).map(|worker| worker.start);
        self.listeners.gone(id);
        self.handoff.gone(id);
        start.zip(exit).is_some_and(|(start, exit)| self.is_excused(id, &start, exit))
    }

    fn release_slot(&mut self, slot: u32) {
        self.listeners.release_slot(slot);
    }

    fn close_unserved(&mut self) {
        self.listeners.close_unserved();
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.take_queues();
        }
        self.lag = Lag::new(None);
        self.binds.finish();
        self.listeners.close_all();
    }

    fn sources<'a>(&'a self, out: &mut Vec<Source<'a, Token>>) {
        for (id, worker) in &self.workers {
            if let Some(channel) = &worker.channel {
                let token = Token::Channel(*id);
                let (read, write) = (channel.wants_read(), channel.wants_write());
                out.push(Source { token, fd: channel.as_fd(), read, write });
            }
        }
        out.extend(self.binds.sources().map(|source| source.named(Token::Calls)));
        out.extend(self.health.iter().flat_map(Health::sources).map(|source| source.named(Token::Health)));
    }

    fn crowd<'a>(&'a self, out: &mut Vec<Source<'a, Token>>) {
        for (lane, fd) in self.listeners.given() {
            out.push(Source { token: Token::Lane(lane), fd, read: false, write: false });
        }
        out.extend(self.lag.sources(&self.listeners).map(|source| source.named(Token::Lane)));
        // Only while somebody can take them: else they wait in the kernel's queue, and we are not woken.
        if self.accept_again.is_some() {
            return;
        }
        // Lanes of one key follow each other, and may be as many as there are workers to be asked.
        let mut last: Option<(&str, bool)> = None;
        for (lane, fd, key) in self.ours_to_accept() {
            let taken = last.filter(|(known, _)| *known == key).map_or_else(|| self.can_take(key), |(_, taken)| taken);
            last = Some((key, taken));
            if taken {
                out.push(Source::to_read(Token::Lane(lane), fd));
            }
        }
    }

    fn ready(&mut self, token: Token, events: &mut VecDeque<Event>) {
        match token {
            Token::Lane(lane) => match self.listeners.look_if_shut(lane) {
                Some((id, address)) => self.has_shut(id, address, events),
                None => self.accept(lane),
            },
            Token::Calls(id) => self.binds.answer(id, &mut self.listeners, events),
            Token::Health(id) => {
                if let Some(health) = &mut self.health {
                    health.go_on(id, &mut self.listeners, events);
                }
            }
            Token::Channel(id) => {
                if self.read(id, events) == Received::Closed
                    && let Some(worker) = self.workers.get_mut(&id)
                {
                    worker.channel = None;
                    self.handoff.gone(id);
                    // Nobody is left to say that it has been loaded (sudo closes what it does not know).
                    if !std::mem::replace(&mut worker.booted, true) {
                        events.push_back(Event::Booted(id, Loads::Unknown));
                    }
                    // What it binds itself may have work left.
                    if !self.drains.has(id) {
                        events.push_back(Event::Drained(id));
                    }
                }
            }
        }
        self.note_listening(events);
    }

    fn deadline(&self) -> Option<Mono> {
        let health = self.health.as_ref().and_then(Health::deadline);
        let of_drains = self.drains.deadline();
        let others = self
            .handoff
            .deadline()
            .into_iter()
            .chain(of_drains)
            .chain(self.binds.deadline())
            .chain(health)
            .chain(self.lag.deadline());
        self.accept_again.into_iter().chain(others).min()
    }

    fn settle(&mut self, events: &mut VecDeque<Event>) {
        self.binds.settle(clock::now());
        if let Some(health) = &mut self.health {
            health.look(&mut self.listeners, events);
        }
        for id in self.drains.look(clock::now(), &self.listeners) {
            let asked = self.workers.get(&id).is_some_and(|worker| worker.draining && worker.channel.is_some());
            if !asked {
                events.push_back(Event::Drained(id));
            }
        }
        self.look_for_lag(events);
        self.accept_again = self.accept_again.filter(|at| *at > clock::now());
        self.pass_on();
        self.let_go(events);
        self.say_warnings();
    }

    fn memory_left(&self) -> Option<u64> {
        pm_common::kernel::memory::left()
    }

    fn children(&self) -> Vec<i32> {
        self.health.iter().flat_map(Health::children).collect()
    }

    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        let mut all: BTreeMap<WorkerId, Listens> = BTreeMap::new();
        for (id, (addresses, sockets)) in self.listeners.all() {
            all.insert(id, Listens { addresses: addresses.into_iter().collect(), by: None, sockets });
        }
        for (id, worker) in &self.workers {
            let by = match (worker.open.is_empty(), self.binds.has_ports(*id)) {
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
