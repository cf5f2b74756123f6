//! Watches whether workers take what comes to their lanes, with no timer at rest.
//!
//! The lanes of workers in service are polled for a connection that waits. The first one that is seen ends that for all
//! lanes, since it says nothing but that somebody uses them; a second later the queues are looked at once, and polled
//! again. So a busy cluster costs two wake-ups a second and an idle one none. Only a queue that has not got any shorter
//! in between is watched closer ([`Watched`]): now it is seen who waits and what the worker holds (`evidence`), in a few
//! looks, until it moves or is known to stand still. Then it is steered away from, if there are others to go to, and
//! looked at now and then until it moves.
//!
//! With a limit a worker that stands still for longer is given up, and said to lag: it gets a successor, which is given
//! its lanes with all that waits in them. Node workers are then also asked over their channel.
//!
//! Where nothing can be done (no limit, and no other worker to steer to) nobody looks.

mod evidence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::lag::{Beat, Pulse, Stall, Verdict, Watched};
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::supervise::Source;
use pm_common::sys::{clock, socket};

use crate::sockets::{LaneRef, LaneView, Sockets};
use evidence::{Evidence, Looks, Reads};

/// From the first connection that waits until the queues are looked at: what takes less is no news, and a busy server
/// must not keep us busy.
const REST: Span = Span::secs(1);

/// The lanes and workers that are watched.
#[derive(Debug)]
pub(crate) struct Lag {
    limit: Option<Span>,
    /// When the queues are looked at; `None`: they are polled.
    next_look: Option<Mono>,
    /// The queues that were not empty when that began.
    queues: BTreeMap<LaneRef, u32>,
    suspects: BTreeMap<LaneRef, Suspect>,
    asked: BTreeMap<WorkerId, Heartbeat>,
    /// Workers that have shut a listener down, and when they are given up over it.
    shut: BTreeMap<WorkerId, Mono>,
    looks: Looks,
}

/// A worker that is asked.
#[derive(Debug)]
struct Heartbeat {
    pulse: Pulse,
    /// What it had read of each connection when it was last looked at.
    read: Option<Reads>,
}

/// A lane that is watched closer.
#[derive(Debug)]
struct Suspect {
    who: WorkerId,
    pid: i32,
    address: Listening,
    watched: Watched,
    /// The connections that waited at the beginning.
    waited: BTreeSet<u64>,
    /// What the worker held at the last look, and had read of it.
    held: Option<Reads>,
    /// What it was last said to do.
    stall: Option<Stall>,
}

impl Lag {
    /// A watch that has seen nothing yet; `limit`: a worker that stands still for so long is to be replaced.
    pub(crate) fn new(limit: Option<Span>) -> Self {
        let (queues, suspects, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { limit, next_look: None, queues, suspects, asked, shut: BTreeMap::new(), looks: Looks::default() }
    }

    /// The lanes that are to be polled, with their workers.
    fn polled<'a>(&self, sockets: &'a Sockets) -> impl Iterator<Item = (LaneView<'a>, WorkerId)> {
        let worth = |lane: &LaneView<'_>| self.limit.is_some() || lane.has_others;
        let serving = sockets.lanes().filter_map(|lane| Some((lane, lane.server()?)));
        serving.filter(move |(lane, _)| worth(lane) && !self.suspects.contains_key(&lane.at))
    }

    /// What to wait for.
    pub(crate) fn sources<'a>(&'a self, sockets: &'a Sockets) -> impl Iterator<Item = Source<'a, LaneRef>> {
        let polled = self.next_look.is_none().then(|| self.polled(sockets));
        polled.into_iter().flatten().map(|(lane, _)| Source::to_read(lane.at, lane.fd))
    }

    /// When to look next.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        let suspects = self.suspects.values().map(|suspect| suspect.watched.next());
        let asked = self.asked.values().map(|asked| asked.pulse.next());
        self.next_look.into_iter().chain(suspects).chain(asked).chain(self.shut.values().copied()).min()
    }

    /// Notes that a worker in service has shut a listener down: nobody waits there, so that no queue tells of it.
    pub(crate) fn has_shut(&mut self, who: WorkerId, pid: i32, address: &Listening, sockets: &Sockets) {
        let others = sockets.lanes().any(|lane| lane.server().is_some() && lane.address == address);
        let so = if others { "new connections go to others" } else { "new connections are refused" };
        let WorkerId { slot, generation } = who;
        report::warning(format_args!(
            "a worker has shut its listener down, {so} slot={slot} generation={generation} pid={pid} address={address}"
        ));
        if let Some(limit) = self.limit {
            self.shut.entry(who).or_insert(clock::now() + limit);
        }
    }

    /// Gives up the workers that have shut a listener down and have not listened again.
    fn look_at_shut(&mut self, now: Mono, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some(limit) = self.limit else { return };
        let due: Vec<WorkerId> = self.shut.iter().filter(|(_, at)| **at <= now).map(|(who, _)| *who).collect();
        for who in due {
            self.shut.remove(&who);
            if sockets.has_shut(who) {
                lags(who, Stall::Closed, limit, sockets, events);
            }
        }
    }

    /// Notes that a connection waits in one of the lanes.
    pub(crate) fn somebody_waits(&mut self, now: Mono, sockets: &Sockets) {
        if self.next_look.is_none() {
            let waiting = self.polled(sockets).map(|(lane, _)| (lane.at, queue(&lane)));
            self.queues = waiting.filter(|(_, n)| *n > 0).collect();
            self.next_look = Some(now + REST);
        }
    }

    /// Looks where it is due; `pid_of`: the first process of a worker.
    pub(crate) fn look(
        &mut self,
        now: Mono,
        sockets: &mut Sockets,
        pid_of: impl Fn(WorkerId) -> Option<i32>,
        events: &mut VecDeque<Event>,
    ) {
        self.looks.begin();
        self.look_at_shut(now, sockets, events);
        if self.suspects.values().any(|suspect| suspect.watched.next() <= now) {
            let due: Vec<LaneRef> =
                self.suspects.iter().filter(|(_, c)| c.watched.next() <= now).map(|(lane, _)| *lane).collect();
            due.into_iter().for_each(|lane| self.look_closer(lane, now, sockets, events));
        }
        if self.next_look.is_some_and(|at| at <= now) {
            self.next_look = None;
            self.find_suspects(now, sockets, pid_of);
        }
    }

    /// Begins to watch the lanes closer whose queue has not got any shorter.
    fn find_suspects(&mut self, now: Mono, sockets: &Sockets, pid_of: impl Fn(WorkerId) -> Option<i32>) {
        let queues = std::mem::take(&mut self.queues);
        let not_shorter = |(lane, _): &(LaneView<'_>, _)| queues.get(&lane.at).is_some_and(|then| queue(lane) >= *then);
        let found: Vec<(LaneView<'_>, WorkerId)> = self.polled(sockets).filter(not_shorter).collect();
        for (lane, who) in found {
            let Some(pid) = pid_of(who) else { continue };
            let (queue, queued) = (queue(&lane), sockets.queued(lane.port));
            // Where the connections cannot be seen nothing can be known.
            let Some(seen) = self.looks.at(&lane, pid, queued) else { continue };
            let Evidence { waiting: waited, held, .. } = seen;
            let (address, watched) = (lane.address.clone(), Watched::begin(now, queue));
            self.suspects.insert(lane.at, Suspect { who, pid, address, watched, waited, held, stall: None });
        }
    }

    fn look_closer(&mut self, at: LaneRef, now: Mono, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some(mut suspect) = self.suspects.remove(&at) else { return };
        let is_its = |lane: &LaneView<'_>| lane.at == at && lane.server() == Some(suspect.who);
        // The worker has left the service, or the lane is another's: there is nothing to be said.
        let Some(lane) = sockets.lanes().find(is_its) else { return };
        let (length, queued) = (queue(&lane), sockets.queued(lane.port));
        let evidence = self.looks.at(&lane, suspect.pid, queued);
        let verdict = suspect.look(now, length, evidence, self.limit);
        match verdict {
            Verdict::Moves => return suspect.moves(at, sockets),
            Verdict::Waits | Verdict::Anew => {}
            Verdict::Stuck(stall) => {
                suspect.is_stuck(at, stall, length, sockets);
                let after = suspect.watched.still(now);
                if self.limit.is_some_and(|limit| after >= limit) {
                    lags(suspect.who, stall, after, sockets, events);
                }
            }
        }
        self.suspects.insert(at, suspect);
    }

    /// Looks what is due with the workers that can be asked, and gives those that are to be asked now; each comes with its
    /// first process.
    pub(crate) fn ask(
        &mut self,
        now: Mono,
        workers: impl Iterator<Item = (WorkerId, i32)>,
        sockets: &mut Sockets,
        events: &mut VecDeque<Event>,
    ) -> Vec<WorkerId> {
        let Some(limit) = self.limit else { return Vec::new() };
        let mut before = std::mem::take(&mut self.asked);
        let mut due = Vec::new();
        for (who, pid) in workers {
            let fresh = || Heartbeat { pulse: Pulse::begin(now, limit), read: None };
            let mut asked = before.remove(&who).unwrap_or_else(fresh);
            match asked.pulse.due(now) {
                Beat::Nothing => {}
                Beat::Ask => due.push(who),
                Beat::Doubt => asked.read = self.looks.reads(&sockets.ports(who), pid),
                Beat::Late(after) => {
                    let read = self.looks.reads(&sockets.ports(who), pid);
                    if evidence::moves(asked.read.as_ref(), read.as_ref()) {
                        asked.pulse.moves(now);
                    } else {
                        lags(who, Stall::Loop, after, sockets, events);
                    }
                    asked.read = read;
                }
            }
            self.asked.insert(who, asked);
        }
        self.looks.begin();
        due
    }

    /// Whether workers are asked at all.
    pub(crate) const fn asks(&self) -> bool {
        self.limit.is_some()
    }

    /// Notes that a worker has answered.
    pub(crate) fn answered(&mut self, who: WorkerId, now: Mono, sockets: &mut Sockets) {
        if let Some(asked) = self.asked.get_mut(&who) {
            asked.pulse.answered(now);
            asked.read = None;
            sockets.set_hung(who, false);
        }
    }
}

/// Says that a worker lags; its lanes are for its successor from now on.
fn lags(id: WorkerId, how: Stall, after: Span, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
    sockets.set_hung(id, true);
    events.push_back(Event::Lag { id, how, after });
}

fn queue(lane: &LaneView<'_>) -> u32 {
    socket::accept_queue(lane.fd).unwrap_or(0)
}

impl Suspect {
    fn look(&mut self, now: Mono, queue: u32, evidence: Option<Evidence>, limit: Option<Span>) -> Verdict {
        let Some(evidence) = evidence else { return Verdict::Moves };
        let seen = evidence.since(&self.waited, self.held.as_ref(), queue);
        let verdict = self.watched.look(now, seen, limit);
        if verdict == Verdict::Anew {
            self.waited = evidence.waiting;
        }
        self.held = evidence.held;
        verdict
    }

    /// Says what is the matter once, and again only if it is another matter.
    fn is_stuck(&mut self, lane: LaneRef, stall: Stall, queue: u32, sockets: &mut Sockets) {
        if self.stall == Some(stall) {
            return;
        }
        let away = sockets.set_stuck(lane, true);
        let so = if away { "new connections go to others" } else { "there is no other for new connections" };
        report::warning(format_args!("a worker {stall}, {so} {self} queue={queue}"));
        self.stall = Some(stall);
    }

    fn moves(&self, lane: LaneRef, sockets: &mut Sockets) {
        if self.stall.is_some() {
            sockets.set_stuck(lane, false);
            sockets.set_hung(self.who, false);
            report::info(format_args!("a worker accepts again, new connections go to it {self}"));
        }
    }
}

impl std::fmt::Display for Suspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (WorkerId { slot, generation }, pid, address) = (self.who, self.pid, &self.address);
        write!(f, "slot={slot} generation={generation} pid={pid} address={address}")
    }
}
