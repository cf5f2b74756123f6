//! Where a worker listens: an address as a value, and its words in the status, the journal and the messages.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listening {
    /// A TCP listener.
    Tcp(SocketAddr),
    /// A UDP socket.
    Udp(SocketAddr),
    /// A unix socket.
    Unix(UnixName),
    /// A socket that has no name, or does not tell it.
    Unknown,
}

/// The name of a unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixName {
    /// A file.
    Path(PathBuf),
    /// A name in the network namespace, without the leading NUL.
    Abstract(Vec<u8>),
}

impl Listening {
    /// The address with these words; `None`: they are of no address.
    #[must_use]
    pub fn parse(words: &str) -> Option<Self> {
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        Some(match words.split_once(':') {
            Some(("tcp", at)) => Self::Tcp(at.parse().ok()?),
            Some(("udp", at)) => Self::Udp(at.parse().ok()?),
            Some(("unix", name)) => Self::Unix(match name.as_bytes() {
                [b'@', name @ ..] => UnixName::Abstract(name.to_vec()),
                name => UnixName::Path(path(name)),
            }),
            None if words == "unknown" => Self::Unknown,
            Some(_) | None => return None,
        })
    }

    /// Whether its words say all of it: a path may hold bytes that are no text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        Self::parse(&self.to_string()).as_ref() == Some(self)
    }

    /// The address, if it is one of TCP.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        if let Self::Tcp(address) = self { Some(*address) } else { None }
    }

    /// Whether it is a name of the file system, or looks like one: it may be another at each start.
    pub(super) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Listening {
    /// `tcp:127.0.0.1:3000`, `udp:[::]:53`, `unix:/path`, `unix:@abstract`, `unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Unix(UnixName::Path(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(UnixName::Abstract(name)) => {
                // NULs that some fill it up with are for no one to read.
                let length = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                write!(f, "unix:@{}", String::from_utf8_lossy(name.get(..length).unwrap_or_default()))
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_read_as_what_they_were_written_from() {
        let all = ["tcp:127.0.0.1:3000", "tcp:[::]:80", "udp:[::1]:53", "unix:/run/a:b", "unix:@name", "unknown"];
        for words in all {
            let one = Listening::parse(words).expect(words);
            assert!(one.is_text() && one.to_string() == words, "{one:?}");
        }
        for wrong in ["", "tcp:", "tcp:80", "tcp:host:80", "sctp:[::]:80", "unknown:"] {
            assert_eq!(Listening::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_has_words_and_is_not_read_from_them() {
        let path = Listening::Unix(UnixName::Path(PathBuf::from(OsStr::from_bytes(b"/run/\xff"))));
        let at = Listening::Unix(UnixName::Path("@a".into()));
        let name = Listening::Unix(UnixName::Abstract(b"\xff".to_vec()));
        assert_eq!([&path, &at, &name].map(ToString::to_string), ["unix:/run/\u{fffd}", "unix:@a", "unix:@\u{fffd}"]);
        let padded = Listening::Unix(UnixName::Abstract(b"ab\0c\0\0".to_vec()));
        assert_eq!(padded.to_string(), "unix:@ab\0c");
        assert!([path, at, name, padded].iter().all(|one| !one.is_text()));
    }
}
