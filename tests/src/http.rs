//! A strict HTTP client: it retries nothing and counts everything that a real client would suffer from.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// After this long without an answer a request hangs. Far above what a loaded machine needs.
const HUNG: Duration = Duration::from_secs(30);

/// A request that was not answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// Nobody listens.
    Refused,
    /// Reset: on connect, or while waiting for the answer.
    Reset,
    /// The connection ended before the answer was whole.
    Cut,
    /// No answer within a long time.
    Hung,
    /// Another status than 200.
    Status(u16),
    /// Anything else.
    Other(String),
}

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Cut,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Hung,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A connection that is kept until the server says `Connection: close`.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    /// The server has announced the end: the next request needs a new connection.
    pub closing: bool,
}

impl Connection<TcpStream> {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// Refused, reset, hung.
    pub fn open(port: u16) -> Result<Self, Miss> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HUNG)?;
        stream.set_read_timeout(Some(HUNG))?;
        stream.set_write_timeout(Some(HUNG))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, closing: false })
    }
}

impl Connection<UnixStream> {
    /// Connects to a unix socket.
    ///
    /// # Errors
    /// Refused, not there.
    pub fn open_unix(path: &std::path::Path) -> Result<Self, Miss> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(HUNG))?;
        Ok(Self { stream, closing: false })
    }
}

impl<S: Read + Write> Connection<S> {
    /// Asks for a path and returns the body.
    ///
    /// # Errors
    /// Whatever is not a whole answer with 200.
    pub fn get(&mut self, path: &str) -> Result<String, Miss> {
        self.request(path, "keep-alive")
    }

    /// Asks with a `Connection` header of one's own.
    ///
    /// # Errors
    /// Whatever is not a whole answer with 200.
    pub fn request(&mut self, path: &str, keep: &str) -> Result<String, Miss> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {keep}\r\n\r\n");
        self.stream.write_all(head.as_bytes())?;
        let mut bytes = Vec::new();
        let body_at = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut bytes)?;
        };
        let head = String::from_utf8_lossy(&bytes[..body_at]).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        self.closing = field("connection:") == Some("close");
        let Some(length) = field("content-length:").and_then(|l| l.parse::<usize>().ok()) else {
            return Err(Miss::Other(format!("no content-length in {head}")));
        };
        while bytes.len() < body_at + length {
            self.more(&mut bytes)?;
        }
        let body = String::from_utf8_lossy(&bytes[body_at..]).into_owned();
        if status == 200 { Ok(body) } else { Err(Miss::Status(status)) }
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> Result<(), Miss> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk)? {
            0 => Err(Miss::Cut),
            n => {
                bytes.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// Whatever is not a whole answer with 200.
pub fn get(port: u16, path: &str) -> Result<String, Miss> {
    Connection::open(port)?.request(path, "close")
}

/// The pids that answer on `count` connections open at the same time; those that do not answer are left out.
#[must_use]
pub fn pids(port: u16, count: usize) -> Vec<u32> {
    let open: Vec<_> = (0..count).map_while(|_| Connection::open(port).ok()).collect();
    open.into_iter().filter_map(|mut c| c.request("/", "close").ok()?.trim().parse().ok()).collect()
}
