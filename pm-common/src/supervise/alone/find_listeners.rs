//! Where a child listens, whatever language or launcher it is in: seen from outside, while it starts.
//!
//! The looks come the later the older the child is, and end once it was seen listening (what more it opens then is seen
//! for a moment), or with the ready timeout. From then on it is looked at when it says that its servers have changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::channels::Channels;
use crate::kernel::{all_listeners, procfs, procfs::Proc};
use crate::node::inspector::{Debugger, Whose};
use crate::policy::WorkerId;
use crate::policy::listening::{Listening, UnixName};
use crate::policy::supervisor::Event;
use crate::policy::time::{Mono, Span};
use crate::supervise::Listens;
use crate::sys::clock;

/// The first look, and the shortest time between two.
const FIRST: Span = Span::millis(30);
/// The shortest time between two for servers that have changed: one that opens a server for each transfer says so hundreds
/// of times a second.
const PACE: Span = Span::millis(200);
/// A child is looked at again after this part of its age.
const PART_OF_AGE: u64 = 6;
/// Looks at one that listens: servers open what they have within a moment.
const MORE: u32 = 3;

/// Looks at children.
#[derive(Debug)]
pub(super) struct Looks {
    proc: Proc,
    /// The app's own directory: what has another is no part of it.
    pub(super) own: Vec<u8>,
    /// So old, a child is not looked at any more.
    longest: Span,
    children: BTreeMap<WorkerId, LookedAt>,
}

#[derive(Debug)]
struct LookedAt {
    pid: i32,
    started: Mono,
    /// `None`: no more.
    next: Option<Mono>,
    /// When it was looked at last because its servers had changed.
    changed: Option<Mono>,
    left: u32,
    /// By the numbers of their sockets.
    found: BTreeMap<u64, Listening>,
}

impl LookedAt {
    /// Tells what it has opened and closed since the last look. Where not all could be seen, nothing is known to be closed.
    fn now_has(&mut self, id: WorkerId, Found { mut sockets, all_seen }: Found, events: &mut VecDeque<Event>) {
        if !all_seen {
            sockets.extend(self.found.clone());
        }
        let before: BTreeSet<Listening> = std::mem::replace(&mut self.found, sockets).into_values().collect();
        let now: BTreeSet<Listening> = self.found.values().cloned().collect();
        let opened = now.difference(&before).cloned();
        events.extend(opened.map(|address| Event::Listening { id, address, fixed: false }));
        let closed = before.difference(&now).cloned();
        events.extend(closed.map(|address| Event::Closed { id, address }));
    }
}

impl Looks {
    pub(super) fn new(longest: Span) -> Self {
        Self { proc: Proc::default(), own: Vec::new(), longest, children: BTreeMap::new() }
    }

    pub(super) fn started(&mut self, id: WorkerId, pid: i32) {
        let started = clock::now();
        let next = Some(started + FIRST);
        self.children.insert(id, LookedAt { pid, started, next, changed: None, left: MORE, found: BTreeMap::new() });
    }

    pub(super) fn ended(&mut self, id: WorkerId) {
        self.children.remove(&id);
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.children.values().filter_map(|child| child.next).min()
    }

    /// Looks at the children whose time has come.
    pub(super) fn look(&mut self, now: Mono, channels: &mut Channels, events: &mut VecDeque<Event>) {
        let due = self.children.iter().filter(|(_, child)| child.next.is_some_and(|at| at <= now));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.look_at(id, now, channels, events);
        }
    }

    /// Looks at one that has just said something, before that is heard; `changed`: that its servers have changed.
    pub(super) fn look_soon(
        &mut self,
        id: WorkerId,
        changed: bool,
        channels: &mut Channels,
        events: &mut VecDeque<Event>,
    ) {
        let (now, Some(child)) = (clock::now(), self.children.get_mut(&id)) else { return };
        let later = child.changed.map(|at| at + PACE).filter(|at| changed && now < *at);
        if let Some(later) = later {
            child.next = Some(child.next.map_or(later, |next| next.min(later)));
        } else if changed || child.next.is_some() {
            child.changed = if changed { Some(now) } else { child.changed };
            let said = std::mem::take(events);
            self.look_at(id, now, channels, events);
            events.extend(said);
        }
    }

    fn look_at(&mut self, id: WorkerId, now: Mono, channels: &mut Channels, events: &mut VecDeque<Event>) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let tree = self.proc.tree_of_app(child.pid, &self.own, |stat| !procfs::is_supervisor(stat));
        // Its workers are those of the supervisor below, which tells of them.
        let plain = !tree.iter().any(procfs::is_supervisor);
        let pids = tree.iter().map(|stat| stat.pid);
        if let Some(found) = listeners_of(pids, channels.debugger(id), now).filter(|_| plain) {
            child.now_has(id, found, events);
        }
        channels.ask(id);
        child.left -= u32::from(!child.found.is_empty()).min(child.left);
        let age = now.since(child.started);
        let goes_on = plain && child.left > 0 && age < self.longest;
        child.next = goes_on.then(|| now + Span(age.0 / PART_OF_AGE).max(FIRST));
    }

    pub(super) fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        let listens = |child: &LookedAt| {
            let addresses: BTreeSet<String> = child.found.values().map(ToString::to_string).collect();
            Listens {
                addresses: addresses.into_iter().collect(),
                by: None,
                sockets: child.found.keys().copied().collect(),
            }
        };
        let found = self.children.iter().filter(|(_, child)| !child.found.is_empty());
        found.map(|(id, child)| (*id, listens(child))).collect()
    }
}

/// Whether nobody else can know this address of a process: its number is in the abstract name, as in those of Python's
/// `multiprocessing`.
fn is_own(pid: i32, address: &Listening) -> bool {
    let (name, pid) = (address.to_string(), pid.to_string());
    let mut numbers = name.split(|c: char| !c.is_ascii_digit());
    matches!(address, Listening::Unix(UnixName::Abstract(_))) && numbers.any(|number| number == pid)
}

/// The listeners of some processes.
#[derive(Debug, Default)]
struct Found {
    sockets: BTreeMap<u64, Listening>,
    /// None of the processes is another user's, whose sockets we may not see.
    all_seen: bool,
}

/// The listeners that these processes hold, but the ports of Node's debuggers, and but those that may turn out to be one;
/// `None`: the kernel does not tell.
fn listeners_of(pids: impl Iterator<Item = i32>, debugger: Option<&mut Debugger>, now: Mono) -> Option<Found> {
    let mut nobody = Debugger::default();
    let debugger = debugger.unwrap_or(&mut nobody);
    let (mut held, mut all_seen) = (BTreeMap::<u64, i32>::new(), true);
    for pid in pids {
        let looked = procfs::each_socket(pid, |inode| {
            held.entry(inode).or_insert(pid);
            true
        });
        all_seen &= looked.is_ok();
    }
    if held.is_empty() {
        return Some(Found { all_seen, ..Found::default() });
    }
    let all = all_listeners::listeners().ok()?;
    let is_service = |(socket, address): &(u64, Listening)| {
        held.get(socket).is_some_and(|pid| {
            let whose = debugger.whose(*pid, *socket, address, now);
            matches!(whose, Whose::Main | Whose::Other) && !is_own(*pid, address)
        })
    };
    Some(Found { sockets: all.into_iter().filter(is_service).collect(), all_seen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_the_processs_number_is_its_own_and_one_with_these_digits_is_not() {
        let name = |text: &str| Listening::Unix(UnixName::Abstract(text.as_bytes().to_vec()));
        for (text, own) in [("listener-7-0", true), ("p7", true), ("api-v17", false), ("api", false), ("71", false)] {
            assert_eq!(is_own(7, &name(text)), own, "{text}");
        }
    }

    #[test]
    fn what_may_not_be_seen_any_more_is_not_closed() {
        let tcp = |port: u16| Listening::Tcp(([127, 0, 0, 1], port).into());
        let id = WorkerId { slot: 0, generation: 1 };
        let found = BTreeMap::from([(1, tcp(80))]);
        let mut child = LookedAt { pid: 7, started: Mono(0), next: None, changed: None, left: 0, found };
        let mut told = |sockets: &[(u64, Listening)], all_seen| {
            let mut events = VecDeque::new();
            child.now_has(id, Found { sockets: sockets.iter().cloned().collect(), all_seen }, &mut events);
            events
        };
        assert_eq!(told(&[], false), []);
        assert_eq!(told(&[(2, tcp(81))], false), [Event::Listening { id, address: tcp(81), fixed: false }]);
        assert_eq!(told(&[(2, tcp(81))], true), [Event::Closed { id, address: tcp(80) }]);
    }
}
