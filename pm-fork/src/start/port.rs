//! A port that a program did not get, by what it wrote as it failed: who has it.

use std::net::{Ipv6Addr, SocketAddr};

use pm_common::app::status;
use pm_common::kernel::listeners;

/// What Node, Python, Go, Java and others say of a port that is taken, in small letters.
const TAKEN: [&str; 2] = ["eaddrinuse", "already in use"];

/// The end of a message about an app that failed with these lines: who has the port; empty: they tell of none, or it is
/// its own by now.
pub(crate) fn taken(app: &str, lines: &[String]) -> String {
    let own = format!("app '{app}' ");
    let held = ports(lines).into_iter().find_map(|port| {
        let inode = listeners::first_listener(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
        Some((port, status::socket_holder(inode))).filter(|(_, holder)| !holder.starts_with(&own))
    });
    held.map_or_else(String::new, |(port, holder)| format!("; port {port} is taken by {holder}"))
}

/// The numbers of such lines that can be ports, the last of a line first: it is behind the address.
fn ports(lines: &[String]) -> Vec<u16> {
    let taken = |line: &&String| TAKEN.iter().any(|words| line.to_lowercase().contains(words));
    let numbers = |line: &String| {
        let words = line.rsplit(|c: char| !c.is_ascii_digit()).filter(|word| word.len() > 1);
        words.filter_map(|word| word.parse().ok()).filter(|port| *port > 0).collect::<Vec<_>>()
    };
    lines.iter().filter(taken).flat_map(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_in_the_line_that_says_it_is_taken() {
        for (line, wanted) in [
            ("Error: listen EADDRINUSE: address already in use :::18431", vec![18431]),
            ("listen tcp 127.0.0.1:8080: bind: address already in use", vec![8080, 127]),
            ("Web server failed to start. Port 8080 was already in use.", vec![8080]),
            ("OSError: [Errno 98] Address already in use", vec![98]),
            ("listening on 3000", vec![]),
            ("EADDRINUSE 99999999", vec![]),
        ] {
            assert_eq!(ports(&[line.to_owned()]), wanted, "{line}");
        }
    }

    #[test]
    fn who_has_it_is_told() {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        let lines = [format!("address already in use 127.0.0.1:{port}")];
        assert!(taken("web", &lines).starts_with(&format!("; port {port} is taken by ")));
        drop(socket);
        assert_eq!(taken("web", &lines), "");
    }
}
