//! The health check: a request to a worker that has just begun to listen, before it counts as ready.
//!
//! All workers have one port, so the request is steered: the lanes' program sends what comes from its source port to the
//! lane of the worker in question. It is made again until it is answered well, or until the worker has failed to start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use pm_common::policy::WorkerId;
use pm_common::policy::time::{Mono, Span};
use pm_common::supervise::{AdapterToken, Source};
use pm_common::sys::{clock, socket};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::listeners::Listeners;

/// An answer that takes longer is none; the worker is asked again.
const PATIENCE: Span = Span::secs(5);
/// The pause after an answer that was no good.
const PAUSE: Span = Span::millis(250);
/// All that is read of an answer: its first line says enough.
const ENOUGH: usize = 64;

/// What is asked for: `http://[HOST]:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// Reads one; `None`: it is none, or not of plain HTTP.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let clean = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let path = if path.is_empty() { "/" } else { path };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (clean(host) && clean(path)).then(|| Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    fn request(&self) -> String {
        let host = if self.host.is_empty() { "localhost" } else { &self.host };
        let mut text = String::new();
        let _ = write!(text, "GET {} HTTP/1.1\r\nHost: {host}:{}\r\n", self.path, self.port);
        text + "User-Agent: pm-cluster\r\nConnection: close\r\n\r\n"
    }
}

/// Whether an answer that begins like this is good: 2xx or 3xx. `None`: more is needed to tell.
fn verdict(answer: &[u8]) -> Option<bool> {
    let line = answer.get(..12)?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    Some(status.is_some_and(|status| matches!(status, [b'2' | b'3', _, _])))
}

/// The checks under way.
#[derive(Debug)]
pub struct Health {
    url: Url,
    checks: BTreeMap<WorkerId, Check>,
}

#[derive(Debug)]
struct Check {
    listening: SocketAddr,
    asking: Option<Asking>,
    /// When to ask, or to give up what is being asked.
    at: Mono,
}

#[derive(Debug)]
struct Asking {
    socket: OwnedFd,
    sent: bool,
    answer: Vec<u8>,
}

impl Health {
    /// None yet.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, checks: BTreeMap::new() }
    }

    /// The worker listens here; it is asked if that is where.
    pub fn listens(&mut self, who: WorkerId, listening: SocketAddr) {
        if listening.port() == self.url.port {
            self.checks.entry(who).or_insert(Check { listening, asking: None, at: clock::now() });
        }
    }

    /// The worker is gone, or drains.
    pub fn forget(&mut self, who: WorkerId, listeners: &mut Listeners) {
        if self.checks.remove(&who).is_some() {
            listeners.steer_source(who, None);
        }
    }

    /// What to wait for.
    pub fn sources<'a>(&'a self, out: &mut Vec<Source<'a>>) {
        for (who, check) in &self.checks {
            if let Some(asking) = &check.asking {
                let (read, write) = (asking.sent, !asking.sent);
                out.push(Source { token: AdapterToken::Health(*who), fd: asking.socket.as_fd(), read, write });
            }
        }
    }

    /// When `look` is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.checks.values().map(|check| check.at).min()
    }

    /// Asks, or asks again, where it is due.
    pub fn look(&mut self, listeners: &mut Listeners) {
        let now = clock::now();
        for (who, check) in self.checks.iter_mut().filter(|(_, check)| check.at <= now) {
            if check.asking.take().is_none() {
                check.asking = ask(*who, check.listening, &self.url, listeners);
            }
            check.at = now + if check.asking.is_some() { PATIENCE } else { PAUSE };
        }
    }

    /// Goes on with a check; true: the worker is well, and the check is over.
    pub fn go_on(&mut self, who: WorkerId, listeners: &mut Listeners) -> bool {
        let Some(check) = self.checks.get_mut(&who) else { return false };
        let Some(asking) = check.asking.as_mut() else { return false };
        match asking.go_on(&self.url) {
            None => return false,
            Some(true) => {
                self.forget(who, listeners);
                return true;
            }
            Some(false) => {}
        }
        check.asking = None;
        check.at = clock::now() + PAUSE;
        false
    }
}

/// Begins to connect; `None`: not possible now.
fn ask(who: WorkerId, listening: SocketAddr, url: &Url, listeners: &mut Listeners) -> Option<Asking> {
    let to = SocketAddr::new(url.host.parse().unwrap_or_else(|_| reachable(listening.ip())), url.port);
    let socket = socket::tcp_unbound(to).ok()?;
    let any = if to.is_ipv6() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    socket::bind(&socket, SocketAddr::new(any, 0)).ok()?;
    let source = socket::local_inet(&socket).ok()?.port();
    listeners.steer_source(who, Some(source));
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(Asking { socket, sent: false, answer: Vec::new() }),
        Err(_) => None,
    }
}

/// An address at which a listener of this machine is reached.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

impl Asking {
    /// Sends or reads what is possible now; `None`: not known yet.
    fn go_on(&mut self, url: &Url) -> Option<bool> {
        if !self.sent {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            // Into an empty buffer: it goes as a whole, or the connection has failed.
            self.sent = rustix::net::send(&self.socket, url.request().as_bytes(), flags).is_ok();
            return if self.sent { None } else { Some(false) };
        }
        let mut room = [0; ENOUGH];
        match rustix::net::recv(&self.socket, &mut room[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Some(false),
            Ok((got, _)) => {
                self.answer.extend(room.get(..got).unwrap_or_default());
                verdict(&self.answer)
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_) => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_port_and_perhaps_a_host() {
        let url = |host: &str, port, path: &str| Some(Url { host: host.to_owned(), port, path: path.to_owned() });
        assert_eq!(Url::parse("http://:3000/ready?x=1"), url("", 3000, "/ready?x=1"));
        assert_eq!(Url::parse("http://127.0.0.1:80"), url("127.0.0.1", 80, "/"));
        assert_eq!(Url::parse("http://example.org/up"), url("example.org", 80, "/up"));
        for wrong in ["https://:3000/", ":3000/", "http://:0/", "http://:x/", "http://:3000/a b", "http://:80/\r\nX: y"]
        {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_line_decides() {
        assert_eq!(verdict(b"HTTP/1.1 20"), None);
        assert_eq!(verdict(b"HTTP/1.1 200 OK\r\n"), Some(true));
        assert_eq!(verdict(b"HTTP/1.0 302 Found"), Some(true));
        for bad in [&b"HTTP/1.1 503 Unavailable"[..], b"HTTP/1.1 404 Not", b"SSH-2.0-OpenSSH_9"] {
            assert_eq!(verdict(bad), Some(false));
        }
    }
}
