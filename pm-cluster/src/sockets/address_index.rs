//! The addresses by what they are asked for: there may be thousands, and each call of a worker asks several times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::address::Address;
use super::lanes::Lanes;
use super::wanted::BindAddress;

/// All addresses, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    all: BTreeMap<u64, Address>,
    keys: BTreeMap<String, u64>,
    /// Ports, and the numbers of the addresses there.
    ports: BTreeSet<(u16, u64)>,
    /// The numbers of our sockets, and of their addresses.
    sockets: BTreeMap<u64, u64>,
}

impl Deref for Addresses {
    type Target = BTreeMap<u64, Address>;

    fn deref(&self) -> &BTreeMap<u64, Address> {
        &self.all
    }
}

impl Addresses {
    /// Adds an address under a number that none has.
    pub(super) fn insert(&mut self, id: u64, address: Address) {
        self.keys.extend(address.key.iter().map(|key| (key.clone(), id)));
        self.ports.extend(address.port().map(|port| (port, id)));
        self.all.insert(id, address);
        self.note_sockets(id);
    }

    /// Takes note of the sockets of an address that may have got one more.
    pub(super) fn note_sockets(&mut self, id: u64) {
        let sockets = self.all.get(&id).into_iter().flat_map(Address::inodes);
        self.sockets.extend(sockets.map(|socket| (socket, id)));
    }

    /// The address, which has no key yet, is found by this one from now on.
    pub(super) fn name(&mut self, id: u64, key: &str) {
        if let Some(address) = self.all.get_mut(&id) {
            address.key = Some(key.to_owned());
            self.keys.insert(key.to_owned(), id);
        }
    }

    /// What holds of one must not change its key, nor its sockets.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Address> {
        self.all.get_mut(&id)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Address> {
        self.all.values_mut()
    }

    /// All that are lanes.
    pub(super) fn all_lanes(&mut self) -> impl Iterator<Item = &mut Lanes> {
        self.all.values_mut().filter_map(|address| address.source.lanes_mut())
    }

    /// Closes those of which this is true, and their lanes with them; says whether there was one.
    pub(super) fn drop_where(&mut self, goes: impl Fn(&Address) -> bool) -> bool {
        // Most often none is to go.
        let gone: BTreeSet<u64> = self.all.iter().filter(|(_, address)| goes(address)).map(|(id, _)| *id).collect();
        if !gone.is_empty() {
            self.all.retain(|id, _| !gone.contains(id));
            self.keys.retain(|_, id| !gone.contains(id));
            self.ports.retain(|(_, id)| !gone.contains(id));
            self.sockets.retain(|_, id| !gone.contains(id));
        }
        !gone.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The one with this key.
    pub(super) fn with_key(&self, key: &str) -> Option<u64> {
        self.keys.get(key).copied()
    }

    /// The one that is bound like this.
    pub(super) fn at(&self, at: BindAddress) -> Option<u64> {
        self.ids_on(at.address.port()).find(|id| self.all.get(id).is_some_and(|address| address.is_at(at)))
    }

    /// Those on this port.
    pub(super) fn on_port(&self, port: u16) -> impl Iterator<Item = &Address> {
        self.ids_on(port).filter_map(|id| self.all.get(&id))
    }

    /// Those on this port, with their numbers, to be changed.
    pub(super) fn on_port_mut(&mut self, port: u16) -> impl Iterator<Item = (u64, &mut Address)> {
        self.all.iter_mut().map(|(id, address)| (*id, address)).filter(move |(_, address)| address.port() == Some(port))
    }

    fn ids_on(&self, port: u16) -> impl Iterator<Item = u64> {
        self.ports.range((port, 0)..=(port, u64::MAX)).map(|(_, id)| *id)
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
