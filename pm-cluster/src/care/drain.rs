//! The drain of a worker that knows nothing of it: steered away, it is watched until its connections are done.
//!
//! Clients that keep their connections busy after `QUIET` are told to move on by `connection_close`: in a drain (not in a stop of the
//! whole cluster) where connections may linger, unless that is turned off. There, too, those that are idle at the end are
//! closed before the stop signal, where that kills the server.
//!
//! No event tells of that, so for the time of a drain it is looked at now and then. How long a drain may take, and idle
//! connections linger, is `policy::rules` (`drain_time`, `linger`).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use pm_common::kernel::procfs::{self, Proc};
use pm_common::kernel::sock_diag::{self, Connection, SeenPorts};
use pm_common::policy::WorkerId;
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, pidfd, process};
use rustix::process::Signal;

use crate::connection_close::{Ended, Helper, Task};
use crate::sockets::Sockets;

/// A client whose handshake was under way when its lane was steered off may take this long to appear in its queue.
const SETTLE: Span = Span::secs(1);
/// The pauses between looks: at first as short as a request, doubled up to the longest.
const FIRST_PAUSE: Span = Span::millis(10);
const LONGEST_PAUSE: Span = Span::millis(200);
/// Clients that have a connection of their own for each request, or close it after one, are gone by then.
const QUIET: Span = Span::millis(200);
/// What [`QUIET`] is where the server tells its clients itself (Node, by the drain script).
const TOLD: Span = Span::millis(1500);
/// Milliseconds without an answer after which it is a slow one.
const SLOW: u32 = 200;
/// Milliseconds between two parts of an answer that is being streamed, at most.
const STREAM_PAUSE: u32 = 1000;

/// The drains under way.
#[derive(Debug)]
pub struct Drains {
    /// How long a drain may take; the rest of the grace is the program's own, after the stop signal.
    limit: Span,
    under_way: BTreeMap<WorkerId, Drain>,
    proc: Proc,
    /// Clients are told to move on.
    tells_clients: bool,
    /// The number of the signal that follows a drain; `None`: something else does.
    stop_signal: Option<u8>,
    /// What a person should be told.
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Drain {
    pid: i32,
    ports: BTreeSet<u16>,
    since: Mono,
    /// How long connections may be idle.
    linger: Span,
    next: Mono,
    pause: Span,
    /// The whole cluster stops, so its lanes are not steered away: only the connections of the first look count, in hand
    /// or in the queue, by what the kernel names them by.
    only: Option<BTreeSet<u64>>,
    stopping: bool,
    /// Clients that still keep connections busy after this time are told to move on; `None`: nobody tells them, or
    /// somebody does already.
    tell_after: Option<Span>,
    helper: Option<Helper>,
    /// A helper saw nobody who can be told: the next one is for clients that wait for an answer.
    was_over: bool,
    closing: Closing,
}

/// How far it is with the connections that are idle as a drain ends.
#[derive(Debug)]
enum Closing {
    /// The end of the drain is still to come.
    ToCome,
    UnderWay(Helper),
    /// All is done, or the worker closes them itself.
    Over,
}

/// The sockets of each port: the numbers of their sockets, and how many connections wait.
type Queues = BTreeMap<u16, Vec<(u64, u32)>>;

/// How long a drain lasts already, in milliseconds, and how long connections may be idle.
#[derive(Debug, Clone, Copy)]
struct Age {
    age: u64,
    linger: u64,
}

/// When idle connections begin to be closed: thousands of them take a part of a second.
fn last_part(linger: Span) -> Span {
    Span(linger.0 / 12 * 11)
}

fn is_unanswered(one: &Connection) -> bool {
    one.received > 0 && one.received_ago < one.sent_ago
}

/// Whether a connection is worth waiting for: an answer is owed or on its way, or, as long as idle ones linger, it was
/// used within that time.
fn holds_up(one: &Connection, at: Age) -> bool {
    let streams = one.sent_ago < STREAM_PAUSE && one.received_ago.saturating_sub(one.sent_ago) > STREAM_PAUSE;
    let idle = u64::from(one.sent_ago.min(one.received_ago));
    let in_use = one.unread > 0 || one.unsent > 0 || is_unanswered(one) || streams;
    in_use || (at.age < at.linger && idle < at.linger)
}

impl Drains {
    /// Drains of which none is under way yet; `limit`: how long one may take; `stop_signal`: the number of the signal that
    /// follows it.
    #[must_use]
    pub fn new(limit: Span, tells_clients: bool, stop_signal: Option<u8>) -> Self {
        let (under_way, proc) = (BTreeMap::new(), Proc::default());
        Self { limit, under_way, proc, tells_clients, stop_signal, warnings: Vec::new() }
    }

    /// Begins the drain of a worker; `ports` is where it listens by itself, `linger` how long connections may be idle.
    pub fn begin(&mut self, who: WorkerId, pid: i32, ports: Vec<u16>, linger: Span, stopping: bool) {
        let now = clock::now();
        let ports = ports.into_iter().collect();
        // At a stop there is nobody to move on to.
        let leads_on = self.tells_clients && !stopping && linger > Span::ZERO;
        let tell_after = leads_on.then_some(QUIET);
        let closing = if leads_on { Closing::ToCome } else { Closing::Over };
        self.under_way.insert(
            who,
            Drain {
                pid,
                ports,
                since: now,
                linger,
                next: now,
                pause: FIRST_PAUSE,
                only: None,
                stopping,
                tell_after,
                helper: None,
                was_over: false,
                closing,
            },
        );
    }

    /// Asks Node servers in the worker's tree to send their clients off, so that those which keep their connections
    /// busy lose nothing.
    pub fn ask(&mut self, who: WorkerId, signal: Signal) {
        let Some(drain) = self.under_way.get_mut(&who) else { return };
        let tree: Vec<i32> = self.proc.tree(drain.pid, |_| true).iter().map(|stat| stat.pid).collect();
        let number = signal.as_raw() as u8;
        for pid in tree {
            // First the descriptor, so that what is looked at is what is signalled.
            let Ok(process) = pidfd::open(pid) else { continue };
            let is_node = procfs::is_node(pid);
            if is_node && self.proc.catches(pid, number) && process::signal(process.as_fd(), number).is_ok() {
                drain.tell_after = drain.tell_after.map(|_| TOLD);
            }
        }
    }

    /// Whether the drain of a worker is under way.
    #[must_use]
    pub fn has(&self, who: WorkerId) -> bool {
        self.under_way.contains_key(&who)
    }

    /// Forgets a worker that is gone.
    pub fn forget(&mut self, who: WorkerId) {
        self.under_way.remove(&who);
    }

    /// When to look next.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.under_way.values().map(|drain| drain.next).min()
    }

    /// Looks where it is due; gives those that are done.
    pub fn look(&mut self, now: Mono, sockets: &Sockets) -> Vec<WorkerId> {
        let due: Vec<WorkerId> =
            self.under_way.iter().filter(|(_, drain)| drain.next <= now).map(|(who, _)| *who).collect();
        // At a stop all are due at the same time.
        let mut seen = (SeenPorts::default(), Queues::new());
        let done = due.into_iter().filter(|who| self.is_done(*who, now, sockets, &mut seen)).collect::<Vec<_>>();
        done.iter().for_each(|who| self.forget(*who));
        done
    }

    fn is_done(&mut self, who: WorkerId, now: Mono, sockets: &Sockets, seen: &mut (SeenPorts, Queues)) -> bool {
        let limit = self.limit;
        let Some(drain) = self.under_way.get_mut(&who) else { return false };
        let linger = drain.linger;
        drain.next = now + drain.pause;
        drain.pause = drain.pause.doubled().min(LONGEST_PAUSE);
        let age = now.since(drain.since);
        if age >= limit {
            return true;
        }
        if drain.is_closing() {
            return false;
        }
        let settles = !drain.stopping && (age < SETTLE.min(linger) || sockets.waiting(who) > 0);
        let tells = drain.helper.is_some() || drain.tell_after.is_some_and(|after| age >= after);
        if let Some(after) = drain.tell_after.filter(|_| !tells) {
            drain.next = drain.next.min(drain.since + after);
        }
        if matches!(drain.closing, Closing::ToCome) && age < last_part(linger) {
            drain.next = drain.next.min(drain.since + last_part(linger));
        }
        if settles && !tells {
            return false;
        }
        let millis = |span: Span| span.0 / 1_000_000;
        let at = Age { age: millis(age), linger: millis(linger) };
        // Without a look at them, idle is all that they can be.
        let Some(all) = drain.connections(&mut self.proc, seen) else { return !settles && age >= linger };
        let done = !all.iter().any(|one| holds_up(one, at));
        let left = Span(limit.0.saturating_sub(age.0));
        let ends = age >= last_part(linger);
        if !settles && (done || ends) && drain.close_idle(&mut self.proc, &all, left, self.stop_signal) {
            return false;
        }
        // Those whose servers have no thread for them wait in the queue until busy ones are told to move on.
        if !done && let Err(why) = drain.tell_clients(&mut self.proc, &all, left) {
            self.warnings.push(format!(
                "cannot tell the clients of a draining worker to move on, so that those which keep their connections busy \
                 may lose a request: {why} (pm-cluster --probe says what is allowed)"
            ));
        }
        done && !settles
    }

    /// What a person should be told since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The processes of ours that tell clients.
    pub fn children(&self) -> impl Iterator<Item = i32> {
        let closing =
            |drain: &Drain| if let Closing::UnderWay(helper) = &drain.closing { Some(helper.pid()) } else { None };
        self.under_way
            .values()
            .flat_map(move |drain| [drain.helper.as_ref().map(Helper::pid), closing(drain)])
            .flatten()
    }
}

impl Drain {
    /// Has the clients told to move on, when it is time for that; an error: they are not, and why.
    fn tell_clients(&mut self, proc: &mut Proc, all: &[Connection], left: Span) -> Result<(), String> {
        if let Some(helper) = &self.helper {
            let ended = helper.ended();
            let reason = helper.reason();
            if let Some(ended) = ended {
                self.was_over = ended == Ended::Over && reason.is_none();
                self.tell_after = self.was_over.then_some(Span::ZERO);
                self.helper = None;
            }
            return reason.map_or(Ok(()), Err);
        }
        if self.tell_after.is_none_or(|after| clock::now().since(self.since) < after) {
            return Ok(());
        }
        if self.was_over && !all.iter().any(|one| is_unanswered(one) && one.received_ago >= SLOW) {
            return Ok(());
        }
        // Others of its processes are not slowed down.
        let holders = self.holders(proc, all);
        if holders.is_empty() {
            return Ok(());
        }
        self.tell_after = None;
        self.helper = Some(Helper::start(Task::Tell, &holders, &self.ports, left)?);
        Ok(())
    }

    /// Whether idle connections are being closed.
    fn is_closing(&mut self) -> bool {
        if let Closing::UnderWay(helper) = &self.closing
            && helper.ended().is_some()
        {
            self.closing = Closing::Over;
        }
        matches!(self.closing, Closing::UnderWay(_))
    }

    /// Has the idle connections closed, once, if `signal` kills all that may have something to say on them (a goodbye of
    /// WebSockets); whether that is under way now.
    fn close_idle(&mut self, proc: &mut Proc, all: &[Connection], left: Span, signal: Option<u8>) -> bool {
        if !matches!(self.closing, Closing::ToCome) || all.is_empty() {
            return false;
        }
        self.closing = Closing::Over;
        let tree: Vec<i32> = proc.tree(self.pid, |_| true).iter().map(|stat| stat.pid).collect();
        let dies = |signal| tree.iter().all(|pid| !proc.catches(*pid, signal) && !proc.ignores(*pid, signal));
        if !signal.is_some_and(dies) {
            return false;
        }
        let holders = self.holders(proc, all);
        // Where it cannot be started, the kernel closes them.
        let Some(helper) = Helper::start(Task::CloseIdle, &holders, &self.ports, left).ok() else { return false };
        self.closing = Closing::UnderWay(helper);
        // A server that takes note of thousands of closed connections is not to be slowed down.
        if self.helper.take().is_some() {
            self.tell_after = Some(Span::ZERO);
        }
        self.pause = FIRST_PAUSE;
        self.next = clock::now() + self.pause;
        true
    }

    /// Those of the worker's processes that have one of these connections.
    fn holders(&self, proc: &mut Proc, all: &[Connection]) -> BTreeSet<i32> {
        let tree = proc.tree(self.pid, |_| true).iter().map(|stat| stat.pid);
        let holds = |held: BTreeSet<u64>| all.iter().any(|one| held.contains(&one.inode));
        tree.filter(|pid| holds(procfs::sockets_of([*pid].into_iter()))).collect()
    }

    /// The connections that the worker has accepted, at a stop those too that it has yet to accept; `None` where the
    /// kernel does not show them.
    fn connections(&mut self, proc: &mut Proc, (seen, queues): &mut (SeenPorts, Queues)) -> Option<Vec<Connection>> {
        let mut all = seen.at(&self.ports)?;
        if all.is_empty() {
            return Some(all);
        }
        let tree: Vec<i32> = proc.tree(self.pid, |_| true).iter().map(|stat| stat.pid).collect();
        let held = procfs::sockets_of(tree.into_iter());
        // Which of its port's queues one waits in is not shown: with none in the worker's, it is another's.
        let waits = self.stopping && all.iter().any(|one| one.inode == 0) && {
            let mut of_port = self.ports.iter().flat_map(|port| {
                queues.entry(*port).or_insert_with(|| sock_diag::queues(*port).unwrap_or_default()).clone()
            });
            of_port.any(|(socket, length)| length > 0 && held.contains(&socket))
        };
        all.retain(|one| held.contains(&one.inode) || (one.inode == 0 && waits));
        if self.stopping {
            let only = self.only.get_or_insert_with(|| all.iter().map(|one| one.cookie).collect());
            all.retain(|one| only.contains(&one.cookie));
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: Connection =
        Connection { inode: 1, unread: 0, unsent: 0, sent_ago: 50, received_ago: 60, received: 100, cookie: 1 };

    fn at(age: u64) -> Age {
        Age { age, linger: 6000 }
    }

    #[test]
    fn an_owed_answer_is_waited_for_however_long() {
        let owed = Connection { sent_ago: 5000, received_ago: 4000, ..ANSWERED };
        assert!(holds_up(&owed, at(0)) && holds_up(&owed, at(100_000)));
        assert!(holds_up(&Connection { unread: 1, ..ANSWERED }, at(100_000)));
        assert!(holds_up(&Connection { unsent: 1, ..ANSWERED }, at(100_000)));
    }

    #[test]
    fn an_idle_one_lingers() {
        assert!(holds_up(&ANSWERED, at(5999)) && !holds_up(&ANSWERED, at(6000)));
        let long = Connection { sent_ago: 7000, received_ago: 7010, ..ANSWERED };
        assert!(!holds_up(&long, at(0)), "idle for as long already");
    }

    #[test]
    fn one_that_was_never_used_lingers_too() {
        let fresh = Connection { received: 0, sent_ago: 300, received_ago: 200, ..ANSWERED };
        assert!(holds_up(&fresh, at(0)) && !holds_up(&fresh, at(6000)));
    }

    #[test]
    fn a_stream_goes_on() {
        let stream = Connection { sent_ago: 400, received_ago: 90_000, ..ANSWERED };
        assert!(holds_up(&stream, at(6000)));
        let ended = Connection { sent_ago: 1400, ..stream };
        assert!(!holds_up(&ended, at(6000)));
    }
}
