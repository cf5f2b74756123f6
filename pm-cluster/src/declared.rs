//! Addresses that are opened beforehand (`--listen`), and how a program is told of them.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use pm_common::sys::passed::FIRST;

/// An address to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// `[HOST]:PORT`
    Tcp(SocketAddr),
    /// `unix:PATH[,mode=OCTAL][,owner=UID[:GID]]`
    Unix {
        /// Where.
        path: PathBuf,
        /// Its permissions, if not what the umask leaves.
        mode: Option<u32>,
        /// Whose it is, if not ours.
        owner: Option<(u32, Option<u32>)>,
    },
}

impl Declared {
    /// Reads the value of the option; `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest);
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text);
        let any = |port: &str| Some(SocketAddr::from((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.parse().ok()?)));
        let address = text.strip_prefix(':').map_or_else(|| text.parse().ok(), any)?;
        (address.port() > 0).then_some(Self::Tcp(address))
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

fn unix(text: &str) -> Option<Declared> {
    let mut parts = text.split(',');
    let path = PathBuf::from(parts.next().filter(|path| !path.is_empty())?);
    let (mut mode, mut owner) = (None, None);
    for part in parts {
        match part.split_once('=')? {
            ("mode", value) => mode = Some(u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o777)?),
            ("owner", value) => {
                let (user, group) = value.split_once(':').map_or((value, None), |(u, g)| (u, Some(g)));
                let group = group.map(|group| group.parse().ok()).map_or(Some(None), |g: Option<u32>| g.map(Some))?;
                owner = Some((user.parse().ok()?, group));
            }
            _ => return None,
        }
    }
    Some(Declared::Unix { path, mode, owner })
}

/// The variables that tell a program of its sockets, which begin at descriptor 3: systemd's, Einhorn's and those of
/// Server::Starter. LISTEN_PID is added at the start.
#[must_use]
pub fn environment(addresses: &[String]) -> Vec<(OsString, OsString)> {
    let count = addresses.len().to_string();
    let names: Vec<String> = addresses.iter().map(|address| address.replace(':', "_")).collect();
    let mut starter = String::new();
    let mut all: Vec<(OsString, OsString)> = vec![
        ("LISTEN_FDS".into(), count.clone().into()),
        ("LISTEN_FDNAMES".into(), names.join(":").into()),
        ("EINHORN_FD_COUNT".into(), count.into()),
    ];
    for (number, address) in addresses.iter().enumerate() {
        let fd = FIRST as usize + number;
        all.push((format!("EINHORN_FD_{number}").into(), fd.to_string().into()));
        let plain = address.split_once(':').map_or(address.as_str(), |(_, plain)| plain);
        let _ = write!(starter, "{}{plain}={fd}", if number > 0 { ";" } else { "" });
    }
    all.push(("SERVER_STARTER_PORT".into(), starter.into()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_open() {
        let tcp = |text: &str| Some(Declared::Tcp(text.parse().expect("an address")));
        assert_eq!(Declared::parse(":80"), tcp("[::]:80"));
        assert_eq!(Declared::parse("127.0.0.1:80"), tcp("127.0.0.1:80"));
        assert_eq!(Declared::parse("tcp:[::1]:80"), tcp("[::1]:80"));
        let unix = |mode, owner| Some(Declared::Unix { path: "/run/x".into(), mode, owner });
        assert_eq!(Declared::parse("unix:/run/x"), unix(None, None));
        assert_eq!(Declared::parse("unix:/run/x,mode=660,owner=33"), unix(Some(0o660), Some((33, None))));
        assert_eq!(Declared::parse("unix:/run/x,owner=0:33"), unix(None, Some((0, Some(33)))));
        for wrong in ["80", ":0", "host:80", "unix:", "unix:/x,mode=9", "unix:/x,owner=me", "unix:/x,what", ""] {
            assert_eq!(Declared::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_program_is_told_in_three_ways() {
        let all = environment(&["tcp:127.0.0.1:80".to_owned(), "unix:/run/x".to_owned()]);
        let get = |key: &str| all.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.to_str()).unwrap_or_default();
        assert_eq!((get("LISTEN_FDS"), get("EINHORN_FD_COUNT"), get("EINHORN_FD_1")), ("2", "2", "4"));
        assert_eq!(get("SERVER_STARTER_PORT"), "127.0.0.1:80=3;/run/x=4");
        assert_eq!(get("LISTEN_FDNAMES"), "tcp_127.0.0.1_80:unix_/run/x");
    }
}
