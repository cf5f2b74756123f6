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

/// A connection that is kept until the server says `Connection: close`, or answers by HTTP/1.0.
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
        Self::over(TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HUNG)?)
    }

    /// Speaks over this connection.
    ///
    /// # Errors
    /// It is gone.
    pub fn over(stream: TcpStream) -> Result<Self, Miss> {
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
        self.send(path, keep)?;
        self.answer()
    }

    /// Sends a request and leaves its answer for later.
    ///
    /// # Errors
    /// Reset, cut.
    pub fn send(&mut self, path: &str, keep: &str) -> Result<(), Miss> {
        self.write(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {keep}\r\n\r\n"))
    }

    /// Sends a piece of a request.
    ///
    /// # Errors
    /// Reset, cut.
    pub fn write(&mut self, text: &str) -> Result<(), Miss> {
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    /// Reads the answer to a request that was sent, and returns its body.
    ///
    /// # Errors
    /// Whatever is not a whole answer with 200.
    pub fn answer(&mut self) -> Result<String, Miss> {
        let mut bytes = Vec::new();
        let head = self.head(&mut bytes)?;
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let connection = field("connection:");
        self.closing =
            connection == Some("close") || (head.starts_with("http/1.0 ") && connection != Some("keep-alive"));
        let body = match field("content-length:").and_then(|l| l.parse::<usize>().ok()) {
            Some(length) => self.read(&mut bytes, length)?,
            None if field("transfer-encoding:") == Some("chunked") => self.chunks(&mut bytes)?,
            None => return Err(Miss::Other(format!("neither length nor chunks in {head}"))),
        };
        if status == 200 { Ok(body) } else { Err(Miss::Status(status)) }
    }

    /// Reads a head, in small letters, and leaves what came after it in `bytes`.
    ///
    /// # Errors
    /// Whatever is not a whole head.
    pub fn head(&mut self, bytes: &mut Vec<u8>) -> Result<String, Miss> {
        let end = self.find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        bytes.drain(..end);
        Ok(head)
    }

    /// Reads so many bytes, beginning with those in `bytes`.
    ///
    /// # Errors
    /// Reset, cut, hung.
    pub fn read(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<String, Miss> {
        while bytes.len() < count {
            self.more(bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes.drain(..count).collect::<Vec<_>>()).into_owned())
    }

    /// How the connection ends: `Ok` with what still came before a clean end.
    ///
    /// # Errors
    /// Reset, hung.
    pub fn end(&mut self) -> Result<String, Miss> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }

    /// As `end`, behind what was read of it together with the head.
    ///
    /// # Errors
    /// Reset, hung.
    pub fn rest(&mut self, begun: &[u8]) -> Result<String, Miss> {
        Ok(String::from_utf8_lossy(begun).into_owned() + &self.end()?)
    }

    fn chunks(&mut self, bytes: &mut Vec<u8>) -> Result<String, Miss> {
        let mut body = String::new();
        loop {
            let end = self.find(bytes, b"\r\n")?;
            let size = String::from_utf8_lossy(&bytes[..end - 2]).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| Miss::Other(format!("a chunk of size {size}")))?;
            bytes.drain(..end);
            let chunk = self.read(bytes, size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.push_str(&chunk[..size]);
        }
    }

    /// Where the first `mark` ends.
    fn find(&mut self, bytes: &mut Vec<u8>, mark: &[u8]) -> Result<usize, Miss> {
        loop {
            if let Some(at) = bytes.windows(mark.len()).position(|w| w == mark) {
                return Ok(at + mark.len());
            }
            self.more(bytes)?;
        }
    }

    fn more(&mut self, bytes: &mut Vec<u8>) -> Result<(), Miss> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Miss::Cut),
            Ok(n) => {
                bytes.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            // A read with a time limit says so where the test was suspended (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
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
