//! The addresses by what they are asked for: there may be thousands, and each call of a worker asks several times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::bound::Spot;
use crate::sockets::address::Entry;

/// All addresses, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Entries {
    all: BTreeMap<u64, Entry>,
    keys: BTreeMap<String, u64>,
    /// Ports, and the numbers of the addresses there.
    ports: BTreeSet<(u16, u64)>,
    /// The numbers of our sockets, and of their addresses.
    sockets: BTreeMap<u64, u64>,
}

impl Deref for Entries {
    type Target = BTreeMap<u64, Entry>;

    fn deref(&self) -> &BTreeMap<u64, Entry> {
        &self.all
    }
}

impl Entries {
    /// Adds an address under a number that none has.
    pub(super) fn insert(&mut self, id: u64, entry: Entry) {
        self.keys.insert(entry.key.clone(), id);
        self.ports.extend(entry.port().map(|port| (port, id)));
        self.all.insert(id, entry);
        self.note_sockets(id);
    }

    /// Takes note of the sockets of an address that may have got one more.
    pub(super) fn note_sockets(&mut self, id: u64) {
        let sockets = self.all.get(&id).into_iter().flat_map(Entry::inodes);
        self.sockets.extend(sockets.map(|socket| (socket, id)));
    }

    /// The address is found by this key from now on.
    pub(super) fn rename(&mut self, id: u64, key: &str) {
        if let Some(entry) = self.all.get_mut(&id) {
            self.keys.remove(&std::mem::replace(&mut entry.key, key.to_owned()));
            self.keys.insert(key.to_owned(), id);
        }
    }

    /// What holds of one must not change its key, nor its sockets.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        self.all.get_mut(&id)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.all.values_mut()
    }

    /// Keeps those of which this is true; the others are closed.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        // Most often none is to go.
        let gone: BTreeSet<u64> = self.all.iter().filter(|(_, entry)| !keep(entry)).map(|(id, _)| *id).collect();
        if gone.is_empty() {
            return;
        }
        self.all.retain(|id, _| !gone.contains(id));
        self.keys.retain(|_, id| !gone.contains(id));
        self.ports.retain(|(_, id)| !gone.contains(id));
        self.sockets.retain(|_, id| !gone.contains(id));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The one with this key.
    pub(super) fn with_key(&self, key: &str) -> Option<u64> {
        self.keys.get(key).copied()
    }

    /// The one that is bound like this.
    pub(super) fn at(&self, spot: Spot) -> Option<u64> {
        let port = spot.address.port();
        let ids = self.ports.range((port, 0)..=(port, u64::MAX)).map(|(_, id)| *id);
        ids.into_iter().find(|id| self.all.get(id).is_some_and(|entry| entry.is_at(spot)))
    }

    /// The one that has a socket of this number.
    pub(super) fn of_socket(&self, socket: u64) -> Option<u64> {
        self.sockets.get(&socket).copied()
    }

    /// How many sockets they have.
    pub(super) fn sockets(&self) -> usize {
        self.sockets.len()
    }
}
