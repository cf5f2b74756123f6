//! What workers opened, and what is remembered of it: values that `baseline` decides by.

use std::collections::{BTreeMap, BTreeSet};

use super::listening::Listening;
use super::time::Span;

/// The least time that a worker that is up has for the rest of what it must listen on.
pub(super) const SETTLE: Span = Span::secs(2);

/// An address that a worker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenedAddress {
    /// How long after its first one.
    pub(super) after: Span,
    /// The worker had served for a while by then.
    pub(super) late: bool,
    /// Its successors may be held to it: no port that the kernel chose, and none opened long after the start.
    pub(super) counts: bool,
}

/// What a worker opened, by address.
pub(super) type Opens = BTreeMap<Listening, OpenedAddress>;

/// What a slot has learned from the last worker that was ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Learned {
    /// Its generation.
    pub(super) from: u64,
    /// All that may count.
    pub(super) seen: BTreeSet<Listening>,
    /// What the one before it listened on, if that may count.
    pub(super) before: BTreeSet<Listening>,
    /// What of the baseline it opened when it had served for a while.
    pub(super) late: BTreeSet<Listening>,
    /// How long it took from its first address to the last of the baseline.
    pub(super) took: Span,
}

/// What a worker's addresses are compared with.
#[derive(Debug)]
pub(super) struct Others<'a> {
    /// What all have that have served for long enough; `None`: nobody has.
    pub(super) shared: Option<BTreeSet<&'a Listening>>,
    /// What does not count any more.
    pub(super) waived: &'a BTreeSet<Listening>,
}

/// Where the workers of a slot listened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard<T: Ord> {
    /// What the next one must listen on.
    pub baseline: BTreeSet<T>,
    /// What else the last one listened on.
    pub others: BTreeSet<T>,
}

impl Heard<&Listening> {
    /// A copy that owns its addresses.
    pub(super) fn to_owned(&self) -> Heard<Listening> {
        let own = |set: &BTreeSet<&Listening>| set.iter().map(|&address| address.clone()).collect();
        Heard { baseline: own(&self.baseline), others: own(&self.others) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.baseline.is_empty() && self.others.is_empty()
    }
}

impl Learned {
    /// What a supervisor knew that was killed.
    pub(super) fn carried(from: u64, heard: &Heard<Listening>) -> Self {
        Self { from, seen: &heard.baseline | &heard.others, ..Self::default() }
    }
}

/// Those of a worker's addresses that may count.
pub(super) fn counting(opens: &Opens) -> impl Iterator<Item = &Listening> {
    opens.iter().filter(|(_, opened)| opened.counts).map(|(address, _)| address)
}
