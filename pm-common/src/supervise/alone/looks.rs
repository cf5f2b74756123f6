//! Where a child listens, whatever language or launcher it is in: seen from outside, while it starts.
//!
//! The looks come the later the older the child is, and end once it was seen listening (what more it opens then is seen
//! for a moment), or with the ready timeout. From then on it is looked at when it says that its servers have changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::kernel::{procfs, procfs::Proc, serving};
use crate::node::inspector;
use crate::policy::WorkerId;
use crate::policy::listening::{Listening, UnixName};
use crate::policy::supervisor::Event;
use crate::policy::time::{Mono, Span};
use crate::supervise::Listens;
use crate::sys::clock;

/// The first look, and the shortest time between two.
const FIRST: Span = Span::millis(30);
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
    left: u32,
    /// By the numbers of their sockets.
    found: BTreeMap<u64, Listening>,
}

impl LookedAt {
    /// Tells what it has opened and closed since the last look.
    fn now_has(&mut self, id: WorkerId, found: BTreeMap<u64, Listening>, events: &mut VecDeque<Event>) {
        let before: BTreeSet<Listening> = std::mem::replace(&mut self.found, found).into_values().collect();
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
        self.children.insert(id, LookedAt { pid, started, next, left: MORE, found: BTreeMap::new() });
    }

    pub(super) fn ended(&mut self, id: WorkerId) {
        self.children.remove(&id);
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.children.values().filter_map(|child| child.next).min()
    }

    /// Looks at the children whose time has come.
    pub(super) fn look(&mut self, now: Mono, events: &mut VecDeque<Event>) {
        let due = self.children.iter().filter(|(_, child)| child.next.is_some_and(|at| at <= now));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.look_at(id, now, events);
        }
    }

    /// Looks at one that has just said something, before that is heard; `changed`: that its servers have changed.
    pub(super) fn look_soon(&mut self, id: WorkerId, changed: bool, events: &mut VecDeque<Event>) {
        if self.children.get(&id).is_some_and(|child| changed || child.next.is_some()) {
            let said = std::mem::take(events);
            self.look_at(id, clock::now(), events);
            events.extend(said);
        }
    }

    fn look_at(&mut self, id: WorkerId, now: Mono, events: &mut VecDeque<Event>) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let tree = self.proc.tree_of_app(child.pid, &self.own, |stat| !procfs::is_supervisor(stat));
        // Its workers are those of the supervisor below, which tells of them.
        let plain = !tree.iter().any(procfs::is_supervisor);
        let pids = tree.iter().map(|stat| stat.pid);
        if let Some(found) = listeners_of(pids).filter(|_| plain) {
            child.now_has(id, found, events);
        }
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
    matches!(address, Listening::Unix(UnixName::Abstract(_))) && address.to_string().contains(&pid.to_string())
}

/// The listeners that these processes hold, but the ports of Node's debuggers; `None`: the kernel does not tell.
fn listeners_of(pids: impl Iterator<Item = i32>) -> Option<BTreeMap<u64, Listening>> {
    let mut held: BTreeMap<u64, i32> = BTreeMap::new();
    for pid in pids {
        // One of another user's is not to be seen.
        let _ = procfs::each_socket(pid, |inode| {
            held.entry(inode).or_insert(pid);
            true
        });
    }
    if held.is_empty() {
        return Some(BTreeMap::new());
    }
    let all = serving::listeners().ok()?;
    let is_service = |(socket, address): &(u64, Listening)| {
        held.get(socket).is_some_and(|pid| !inspector::is_of(*pid, address) && !is_own(*pid, address))
    };
    Some(all.into_iter().filter(is_service).collect())
}
