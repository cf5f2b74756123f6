//! Listeners of other programs on a port of ours.
//!
//! A program of the same user that sets SO_REUSEPORT itself can join a group of lanes; nothing prevents it. It gets no
//! connection while the steering list names our indexes, but it changes the order of the group, so it must be counted,
//! and a person should know. Seen are sockets on exactly our address and port; one on a more specific address takes its
//! connections by the kernel's own rule and is not looked for.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::kernel::procfs::{self, Stat};
use crate::kernel::sock_diag;

/// TCP_LISTEN, as /proc/net/tcp shows it.
const LISTEN: &str = "0A";
/// TCP_CLOSE, as /proc/net/udp shows a socket that has no peer.
const UNCONNECTED: &str = "07";
/// The range of [`chosen_ports`] if the kernel does not say: its default.
const USUAL: (u16, u16) = (32768, 60999);

/// The socket numbers (inodes) of all listeners on exactly this address and port, ours included.
///
/// # Errors
/// That of reading /proc/net/tcp or tcp6, where the kernel has no socket monitor.
pub fn listeners_on(address: SocketAddr) -> io::Result<Vec<u64>> {
    // The tables hold all sockets of the machine, and writing out their lines takes the kernel milliseconds.
    sock_diag::listeners_at(address).or_else(|_| listeners_in_table(address))
}

fn listeners_in_table(address: SocketAddr) -> io::Result<Vec<u64>> {
    let table = if address.is_ipv6() { "/proc/self/net/tcp6" } else { "/proc/self/net/tcp" };
    // A small buffer: the table ends in every connection of the machine, and the listeners come first.
    listening_rows(BufReader::with_capacity(4096, File::open(table)?), address)
}

/// All UDP sockets of this network that are bound and not connected: the number of each, and its address. Empty where the
/// kernel does not tell.
pub(super) fn udp_unconnected() -> Vec<(u64, SocketAddr)> {
    let tables =
        ["/proc/self/net/udp", "/proc/self/net/udp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(Row::parse);
    rows.filter(|row| row.state == UNCONNECTED).map(|row| (row.inode, SocketAddr::from((row.ip, row.port)))).collect()
}

/// The ports that the kernel gives to those who ask for none (ip(7), ip_local_port_range).
#[must_use]
pub fn chosen_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let (first, last) = range(&text).unwrap_or(USUAL);
    first..=last
}

fn range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn listening_rows(table: impl BufRead, address: SocketAddr) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let line = line?;
        let Some(row) = Row::parse(&line) else { continue };
        if row.state != LISTEN {
            break;
        }
        if row.ip == address.ip() && row.port == address.port() {
            found.push(row.inode);
        }
    }
    Ok(found)
}

struct Row<'a> {
    ip: std::net::IpAddr,
    port: u16,
    state: &'a str,
    inode: u64,
}

impl<'a> Row<'a> {
    /// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...` (proc_pid_net(5)).
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        Some(Self {
            ip: ip_address(ip)?,
            port: u16::from_str_radix(port, 16).ok()?,
            state: fields.get(3)?,
            inode: fields.get(9)?.parse().ok()?,
        })
    }
}

/// The kernel prints an address as words in the byte order of the machine.
fn ip_address(hex: &str) -> Option<std::net::IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

/// The inode of a socket that is in the way of a bind: it listens on the address itself, or on all or the loopback
/// addresses of its port (a dual-stack bind collides with those of IPv4, too).
#[must_use]
pub fn first_listener(address: SocketAddr) -> Option<u64> {
    let port = address.port();
    let others = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST].map(|ip| SocketAddr::from((ip, port)));
    let all = [address, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))].into_iter().chain(others);
    all.into_iter().find_map(|address| listeners_on(address).ok()?.first().copied())
}

/// The process that holds the socket of that number, or why that cannot be said.
///
/// # Errors
/// It is another user's, or cannot be seen from here.
pub fn holder(inode: u64) -> Result<Stat, &'static str> {
    let (mut found, mut hidden) = (false, false);
    for pid in procfs::pids() {
        let looked = procfs::each_socket(pid, |socket| {
            found = socket == inode;
            !found
        });
        hidden |= looked.is_err();
        if found && let Some(stat) = procfs::stat(pid) {
            return Ok(stat);
        }
    }
    Err(if hidden { "another user's process" } else { "a process that cannot be seen from here" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn row(local: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0000 100 0\n"
        )
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn listeners_come_first_and_nothing_after_them_is_read() {
        let text = [
            HEADER.to_owned(),
            row("0100007F:0BB8", "0A", 11),
            row("00000000:0BB8", "0A", 12),
            "garbage\n".to_owned(),
            row("0100007F:0BB8", "0A", 13),
            row("0100007F:0BB8", "01", 14),
            row("0100007F:0BB8", "0A", 15),
        ];
        let address = "127.0.0.1:3000".parse().expect("an address");
        assert_eq!(listening_rows(text.concat().as_bytes(), address).expect("readable"), [11, 13]);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_range_is_two_numbers() {
        assert_eq!((range("32768\t60999\n"), range("x")), (Some((32768, 60999)), None));
    }

    #[test]
    fn ipv6_is_four_words() {
        let text = HEADER.to_owned() + &row("B80D0120000000000000000001000000:0050", "0A", 21);
        let address = "[2001:db8::1]:80".parse().expect("an address");
        assert_eq!(listening_rows(text.as_bytes(), address).expect("readable"), [21]);
    }

    #[test]
    fn our_own_listener_is_found_and_named() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("loopback");
            let inode = crate::sys::socket::inode(&listener).expect("fstat");
            let address = listener.local_addr().expect("bound");
            assert_eq!(listeners_on(address).expect("readable"), [inode]);
            assert_eq!(listeners_in_table(address).expect("readable"), [inode]);
            assert_eq!(holder(inode).map(|stat| stat.pid), Ok(std::process::id() as i32));
        }
    }

    #[test]
    fn a_socket_that_nobody_holds_is_not_blamed_on_a_process() {
        assert!(holder(u64::MAX).is_err());
    }
}
