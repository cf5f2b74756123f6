//! A source port for a health check.
//!
//! One for a command cannot be held for it: curl(1) binds its port without SO_REUSEADDR, and would be refused. So it is
//! one that the kernel gives to nobody who does not ask for it by number: free, and outside of the range of those. Then
//! clients on other hosts do not have it either, as a rule.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pm_common::kernel::foreign_listeners::chosen_ports;
use pm_common::sys::{random, socket};

/// Below, there are too many services.
const LEAST: u16 = 10000;
/// Fewer ports than these are no choice.
const FEW: u16 = 1000;
/// Tries before one is taken that may not be free: then the command fails, and is run again with another.
const TRIES: usize = 32;

/// A port that is free now.
pub(super) fn free() -> u16 {
    let chosen = chosen_ports();
    let (first, last) = choice((*chosen.start(), *chosen.end()));
    let random = || first + u16::try_from(random::seed() % (u64::from(last - first) + 1)).unwrap_or(0);
    let mut port = random();
    for _ in 0..TRIES {
        if is_free(port) {
            break;
        }
        port = random();
    }
    port
}

/// Below the kernel's range or above it, where there is room; else among all.
fn choice((first, last): (u16, u16)) -> (u16, u16) {
    if first >= LEAST + FEW {
        (LEAST, first - 1)
    } else if (LEAST..=u16::MAX - FEW).contains(&last) {
        (last + 1, u16::MAX)
    } else {
        (LEAST, u16::MAX)
    }
}

/// In both families: the command may use either. A connection that has ended not long ago is in the way, too.
fn is_free(port: u16) -> bool {
    let bind = |ip: IpAddr| -> io::Result<()> {
        let address = SocketAddr::new(ip, port);
        socket::bind(socket::tcp_unbound(address)?, address)
    };
    let taken = |result: io::Result<()>| result.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    !taken(bind(Ipv4Addr::UNSPECIFIED.into())) && !taken(bind(Ipv6Addr::UNSPECIFIED.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_that_is_given_to_nobody() {
        assert_eq!(choice((32768, 60999)), (10000, 32767));
        assert_eq!(choice((1024, 60999)), (61000, 65535));
        assert_eq!(choice((1024, 65535)), (10000, 65535));
        assert_eq!(choice((1024, 9000)), (10000, 65535));
    }

    #[test]
    fn one_that_is_in_use_is_not_free() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let other = std::net::TcpListener::bind(host).expect("loopback");
            assert!(!is_free(other.local_addr().expect("bound").port()));
        }
        assert!(is_free(free()));
    }
}
