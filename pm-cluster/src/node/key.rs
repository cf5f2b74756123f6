//! From a worker's query to what is to be bound: keys, addresses and options as Node's own primary has them.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use pm_common::node::query::{Family, Query};
use pm_common::sys::socket::{self, EINVAL, UdpOptions, UnixName};

use crate::sockets::unix::Access;
use crate::sockets::wanted::{Request, Wanted};

/// libuv's UV_TCP_IPV6ONLY and UV_UDP_IPV6ONLY.
const ONLY_V6: u32 = 1;
/// libuv's UV_UDP_REUSEADDR.
const REUSE_ADDRESS: u32 = 4;
/// libuv's UV_UDP_REUSEPORT.
const REUSE_PORT: u32 = 8;

/// The name of a listener in the protocol, spelled as Node spells it: two workers that ask for the same get the same.
#[must_use]
pub(super) fn key(query: &Query) -> String {
    let address = query.address.as_deref().unwrap_or("null");
    let (port, family) = match query.family {
        Family::Tcp4 => (Some(query.port), "4"),
        Family::Tcp6 => (Some(query.port), "6"),
        Family::Udp4 => (Some(query.port), "udp4"),
        Family::Udp6 => (Some(query.port), "udp6"),
        Family::Pipe => (None, "-1"),
        Family::Fd => (None, "null"),
    };
    let unnumbered = if query.family == Family::Fd { "null" } else { "-1" };
    let shown = port.map_or_else(|| unnumbered.to_owned(), |port| port.to_string());
    let fd = query.fd.map_or_else(|| "undefined".to_owned(), |fd| fd.to_string());
    match port {
        Some(0) => format!("{address}:{shown}:{family}:{fd}:{}", query.index),
        _ => format!("{address}:{shown}:{family}:{fd}"),
    }
}

impl Request {
    /// What a worker's query asks for.
    ///
    /// # Errors
    /// `-EINVAL` for one that makes no sense (an address that is none, a path that is missing).
    pub fn of(query: &Query) -> Result<Self, i32> {
        let access = Access { readable_all: query.readable_all, writable_all: query.writable_all };
        let (wanted, any_port) = (wanted(query)?, any_port(query));
        Ok(Self { key: key(query), wanted, any_port, backlog: query.backlog, access })
    }
}

/// Whether the query leaves the choice of the port to the kernel.
fn any_port(query: &Query) -> bool {
    query.port == 0 && query.fd.is_none() && !matches!(query.family, Family::Pipe | Family::Fd)
}

fn wanted(query: &Query) -> Result<Wanted, i32> {
    let datagram = matches!(query.family, Family::Udp4 | Family::Udp6);
    if let Some(number) = query.fd.filter(|&number| number >= 0) {
        return Ok(Wanted::Inherited { number, datagram });
    }
    let address = query.address.as_deref();
    match query.family {
        Family::Fd => Err(-EINVAL),
        Family::Pipe => unix_name(address.unwrap_or_default()).map(Wanted::Unix),
        Family::Tcp4 | Family::Tcp6 => tcp(query),
        Family::Udp4 | Family::Udp6 => Ok(Wanted::Udp(udp_address(query)?, udp_options(query.flags))),
    }
}

fn tcp(query: &Query) -> Result<Wanted, i32> {
    let only_v6 = query.flags & ONLY_V6 != 0;
    let any4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), query.port);
    let any6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), query.port);
    Ok(match query.address.as_deref() {
        // IPv4 is no substitute for one who wants IPv6 only.
        None | Some("") => Wanted::Tcp { address: any6, otherwise: (!only_v6).then_some(any4), only_v6 },
        Some(text) => Wanted::Tcp { address: literal(text, query)?, otherwise: None, only_v6 },
    })
}

fn udp_address(query: &Query) -> Result<SocketAddr, i32> {
    match (query.address.as_deref(), query.family) {
        (None | Some(""), Family::Udp6) => Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), query.port)),
        (None | Some(""), _) => Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), query.port)),
        (Some(text), _) => literal(text, query),
    }
}

fn udp_options(flags: u32) -> UdpOptions {
    UdpOptions {
        only_v6: flags & ONLY_V6 != 0,
        reuse_address: flags & REUSE_ADDRESS != 0,
        reuse_port: flags & REUSE_PORT != 0,
    }
}

/// A literal address of the family that the query names, with its zone (`fe80::1%eth0`).
fn literal(text: &str, query: &Query) -> Result<SocketAddr, i32> {
    let (host, zone) = text.split_once('%').map_or((text, None), |(host, zone)| (host, Some(zone)));
    let ip: IpAddr = host.parse().map_err(|_| -EINVAL)?;
    match (ip, query.family) {
        (IpAddr::V4(_), Family::Tcp4 | Family::Udp4) => Ok(SocketAddr::new(ip, query.port)),
        (IpAddr::V6(ip), Family::Tcp6 | Family::Udp6) => {
            Ok(SocketAddrV6::new(ip, query.port, 0, zone.map_or(0, zone_index)).into())
        }
        _ => Err(-EINVAL),
    }
}

/// An unknown zone counts as none; the kernel then refuses a link-local address, as it does in Node.
fn zone_index(zone: &str) -> u32 {
    zone.parse().or_else(|_| socket::interface_index(zone)).unwrap_or(0)
}

/// A path, or an abstract name. Node resolves what it takes for a relative path: the NUL that starts an abstract name
/// arrives behind the worker's directory.
fn unix_name(text: &str) -> Result<UnixName, i32> {
    match text.split_once('\0') {
        Some((_, "")) => Err(-EINVAL),
        Some((_, name)) => Ok(UnixName::Abstract(name.as_bytes().to_vec())),
        None if text.is_empty() => Err(-EINVAL),
        None => Ok(UnixName::Path(PathBuf::from(OsString::from_vec(text.as_bytes().to_vec())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn query(family: Family, address: Option<&str>, port: u16) -> Query {
        Query {
            address: address.map(str::to_owned),
            port,
            family,
            fd: None,
            flags: 0,
            backlog: 511,
            index: 3,
            data: Value::Null,
            readable_all: false,
            writable_all: false,
        }
    }

    #[test]
    fn keys_are_spelled_as_node_spells_them() {
        assert_eq!(key(&query(Family::Tcp4, None, 3000)), "null:3000:4:undefined");
        assert_eq!(key(&query(Family::Tcp6, Some("::1"), 0)), "::1:0:6:undefined:3");
        assert_eq!(key(&query(Family::Udp4, Some("0.0.0.0"), 53)), "0.0.0.0:53:udp4:undefined");
        assert_eq!(key(&query(Family::Pipe, Some("/tmp/s"), 0)), "/tmp/s:-1:-1:undefined");
        assert_eq!(key(&Query { fd: Some(7), ..query(Family::Fd, None, 0) }), "null:null:null:7");
    }

    #[test]
    fn no_address_means_dual_stack_with_a_fall_back() {
        let any4 = "0.0.0.0:80".parse().expect("an address");
        let any6 = "[::]:80".parse().expect("an address");
        let expected = Wanted::Tcp { address: any6, otherwise: Some(any4), only_v6: false };
        assert_eq!(wanted(&query(Family::Tcp4, None, 80)), Ok(expected));
        let expected = Wanted::Tcp { address: any6, otherwise: None, only_v6: true };
        assert_eq!(wanted(&Query { flags: 1, ..query(Family::Tcp4, None, 80) }), Ok(expected));
    }

    #[test]
    fn a_zone_is_a_number_or_an_interface() {
        for text in ["fe80::1%1", "fe80::1%lo"] {
            let Ok(Wanted::Tcp { address: SocketAddr::V6(address), .. }) = wanted(&query(Family::Tcp6, Some(text), 1))
            else {
                panic!("{text} is an address");
            };
            assert_eq!(address.scope_id(), 1);
        }
    }

    #[test]
    fn an_abstract_name_loses_the_directory_that_node_put_before_it() {
        let name = UnixName::Abstract(b"app".to_vec());
        assert_eq!(wanted(&query(Family::Pipe, Some("/home/me/\0app"), 0)), Ok(Wanted::Unix(name)));
    }

    #[test]
    fn udp_flags_are_libuvs() {
        let options = UdpOptions { only_v6: true, reuse_address: true, reuse_port: true };
        let address = "[::]:5".parse().expect("an address");
        assert_eq!(wanted(&Query { flags: 13, ..query(Family::Udp6, None, 5) }), Ok(Wanted::Udp(address, options)));
    }

    #[test]
    fn garbage_is_invalid() {
        let garbage = [
            query(Family::Pipe, None, 0),
            query(Family::Pipe, Some("/x/\0"), 0),
            query(Family::Fd, None, 0),
            Query { fd: Some(-1), ..query(Family::Fd, None, 0) },
            query(Family::Tcp4, Some("example.org"), 80),
            query(Family::Tcp4, Some("::1"), 80),
            query(Family::Tcp6, Some("127.0.0.1"), 80),
            query(Family::Udp6, Some("nonsense"), 80),
        ];
        for query in garbage {
            assert_eq!(wanted(&query), Err(-EINVAL), "{query:?}");
        }
    }
}
