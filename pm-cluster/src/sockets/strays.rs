//! Workers that serve on a port of their own, and not where the others do: none of the others' clients come to them.

use std::net::IpAddr;

use pm_common::policy::WorkerId;

use super::Sockets;
use super::address::Address;
use super::lanes::Standing;

impl Sockets {
    /// Says of each worker in service that listens on a port of the kernel's choice, and not where others do at the same IP
    /// address, on a port that was asked for.
    pub fn note_strays(&mut self) {
        for address in self.addresses.values().filter(|address| address.any_port) {
            let Some(at) = address.at.tcp() else { continue };
            for who in self.serving(address) {
                let mut fixed = self.fixed(at.ip()).peekable();
                let Some(others) = fixed.peek().map(|first| &first.at) else { break };
                if !fixed.any(|one| one.is_open_in(who)) {
                    let slot = who.slot;
                    self.manner.warnings.push(format!(
                        "a worker listens on a port of its own, and gets none of the clients of the others slot={slot} \
                         listen=tcp:{at} others={others}; if it connects to its port to see whether that is free, turn \
                         that off in it, or run it with the preloaded script"
                    ));
                }
            }
        }
    }

    /// The addresses at this IP address, on a port that was asked for, where somebody serves.
    fn fixed(&self, ip: IpAddr) -> impl Iterator<Item = &Address> {
        let here = move |address: &&Address| !address.any_port && address.at.tcp().is_some_and(|at| at.ip() == ip);
        self.addresses.values().filter(here).filter(|address| self.serving(address).next().is_some())
    }

    fn serving<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = WorkerId> + 'a {
        address.accepting_workers().filter(|who| self.standing(*who) == Standing::InService)
    }
}
