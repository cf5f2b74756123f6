//! Which of our addresses a connection comes to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;

use super::Sockets;
use super::address::Address;
use super::wanted::BindAddress;

impl Sockets {
    /// Whether a connection to this address comes to one of ours.
    fn answers_at(&self, to: SocketAddr) -> bool {
        let ip = destination(to);
        // Looked at only where the port is ours.
        let ours = || ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok();
        self.addresses.on_port(to.port()).any(|address| takes(address, ip)) && ours()
    }

    /// Whether a connection to this address comes to one of ours, on a port where this worker does not listen.
    #[must_use]
    pub fn is_anothers(&self, who: WorkerId, to: SocketAddr) -> bool {
        self.answers_at(to) && !self.ports(who).contains(&to.port())
    }

    /// Whether this worker is missing where others of ours listen, at this IP address.
    #[must_use]
    pub fn lacks(&self, who: WorkerId, ip: IpAddr) -> bool {
        let fixed = |address: &&Address| !address.any_port && address.at.tcp().is_some_and(|at| at.ip() == ip);
        self.addresses.values().filter(fixed).any(|address| !address.is_open_in(who))
    }

    /// Whether we have an address that this worker does not listen on.
    #[must_use]
    pub fn answers_for(&self, who: WorkerId) -> bool {
        let tcp = |address: &&Address| matches!(address.at, Listening::Tcp(_));
        self.addresses.values().filter(tcp).any(|address| !address.is_accepted_by(who))
    }
}

fn takes(address: &Address, to: IpAddr) -> bool {
    let Listening::Tcp(at) = address.at else { return false };
    let only_v6 = address.source.lanes().is_some_and(|lanes| lanes.bound().only_v6);
    reaches(BindAddress { address: at, only_v6 }, to)
}

/// Where a connection goes: what is addressed to no address in particular comes to this machine (connect(2) on Linux),
/// and an IPv4 address may be written as one of IPv6.
fn destination(to: SocketAddr) -> IpAddr {
    match to.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Whether what is bound like this takes what is sent to an address of this machine.
fn reaches(bound: BindAddress, to: IpAddr) -> bool {
    match bound.address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => to.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => to.is_ipv6() || !bound.only_v6,
        ip => ip == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes(bound: &str, only_v6: bool, to: &str) -> bool {
        let address = bound.parse().expect("an address");
        reaches(BindAddress { address, only_v6 }, destination(to.parse().expect("an address")))
    }

    #[test]
    fn a_connection_comes_where_the_kernel_would_bring_it() {
        for to in ["127.0.0.1:80", "0.0.0.0:80", "[::ffff:127.0.0.1]:80", "[::ffff:0.0.0.0]:80"] {
            assert!(comes("127.0.0.1:80", false, to) && comes("0.0.0.0:80", false, to), "{to}");
            assert!(
                comes("[::]:80", false, to) && !comes("[::]:80", true, to) && !comes("[::1]:80", false, to),
                "{to}"
            );
        }
        for to in ["[::1]:80", "[::]:80"] {
            assert!(comes("[::]:80", true, to) && comes("[::1]:80", true, to), "{to}");
            assert!(!comes("0.0.0.0:80", false, to) && !comes("127.0.0.1:80", false, to), "{to}");
        }
        assert!(comes("0.0.0.0:80", false, "10.0.0.1:80") && !comes("127.0.0.1:80", false, "10.0.0.1:80"));
    }

    #[test]
    fn only_addresses_of_this_machine_are_ours() {
        let sockets = Sockets::default();
        assert!(!sockets.answers_at(([127, 0, 0, 1], 80).into()), "none is open");
    }
}
