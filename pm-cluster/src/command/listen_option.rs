//! Addresses that are opened beforehand (`--listen`), and how a program is told of them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use nix::unistd::{Group, User};
use pm_common::policy::listening::Listening;
use pm_common::sys::listen_fds::FIRST;

use crate::sockets::wanted::Declared;

/// What a value shall look like.
const FORM: &str = "expected [HOST]:PORT or unix:PATH[,mode=660][,owner=USER[:GROUP]]";

impl Declared {
    /// Reads the value of the option.
    ///
    /// # Errors
    /// In words: it is none, or nobody is called so.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest);
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text);
        let any = |port: &str| Some(SocketAddr::from((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.parse().ok()?)));
        let address = text.strip_prefix(':').map_or_else(|| text.parse().ok(), any);
        address.filter(|address| address.port() > 0).map(Self::Tcp).ok_or_else(|| FORM.to_owned())
    }
}

fn unix(text: &str) -> Result<Declared, String> {
    let mut parts = text.split(',');
    let path = parts.next().filter(|path| !path.is_empty()).ok_or(FORM)?;
    let (mut mode, mut owner) = (None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("mode", value)) => {
                let bits = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o777);
                mode = Some(bits.ok_or("mode is octal, such as 660")?);
            }
            Some(("owner", value)) => owner = Some(owner_of(value)?),
            _ => return Err(FORM.to_owned()),
        }
    }
    Ok(Declared::Unix { path: PathBuf::from(path), mode, owner })
}

/// `USER[:GROUP]`, each by name or by number; as for chown(1), a name goes before a number.
fn owner_of(text: &str) -> Result<(u32, Option<u32>), String> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let named = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
    let uid = named.or_else(|| user.parse().ok()).ok_or_else(|| format!("there is no user '{user}'"))?;
    let group = group.map(|group| {
        let named = Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw());
        named.or_else(|| group.parse().ok()).ok_or_else(|| format!("there is no group '{group}'"))
    });
    Ok((uid, group.transpose()?))
}

/// The variables that tell a program of its sockets, which begin at descriptor 3: systemd's, Einhorn's and those of
/// Server::Starter. LISTEN_PID is added at the start.
#[must_use]
pub fn environment(addresses: &[Listening]) -> Vec<(OsString, OsString)> {
    let count = addresses.len().to_string();
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let names: Vec<String> = words.iter().map(|address| address.replace(':', "_")).collect();
    let mut starter = String::new();
    let mut all: Vec<(OsString, OsString)> = vec![
        ("LISTEN_FDS".into(), count.clone().into()),
        ("LISTEN_FDNAMES".into(), names.join(":").into()),
        ("EINHORN_FD_COUNT".into(), count.into()),
    ];
    for (number, address) in words.iter().enumerate() {
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
        let tcp = |text: &str| Ok(Declared::Tcp(text.parse().expect("an address")));
        assert_eq!(Declared::parse(":80"), tcp("[::]:80"));
        assert_eq!(Declared::parse("127.0.0.1:80"), tcp("127.0.0.1:80"));
        assert_eq!(Declared::parse("tcp:[::1]:80"), tcp("[::1]:80"));
        let unix = |mode, owner| Ok(Declared::Unix { path: "/run/x".into(), mode, owner });
        assert_eq!(Declared::parse("unix:/run/x"), unix(None, None));
        assert_eq!(Declared::parse("unix:/run/x,mode=660,owner=33"), unix(Some(0o660), Some((33, None))));
        assert_eq!(Declared::parse("unix:/run/x,owner=0:33"), unix(None, Some((0, Some(33)))));
        for wrong in ["80", ":0", "host:80", "unix:", "unix:/x,what", "unix:/x,who=me", ""] {
            assert_eq!(Declared::parse(wrong), Err(FORM.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn an_owner_has_a_name_or_a_number() {
        let owner = |text: &str| match Declared::parse(&format!("unix:/run/x,owner={text}"))? {
            Declared::Unix { owner, .. } => Ok(owner),
            Declared::Tcp(_) => Err("a path".to_owned()),
        };
        assert_eq!(owner("root"), Ok(Some((0, None))));
        assert_eq!(owner("root:root"), Ok(Some((0, Some(0)))));
        assert_eq!(owner("7:root"), Ok(Some((7, Some(0)))));
        assert_eq!(owner("nobody-of-that-name"), Err("there is no user 'nobody-of-that-name'".to_owned()));
        assert_eq!(owner("root:no-such-group"), Err("there is no group 'no-such-group'".to_owned()));
        assert_eq!(owner("root:"), Err("there is no group ''".to_owned()));
        assert_eq!(owner(""), Err("there is no user ''".to_owned()));
        assert_eq!(Declared::parse("unix:/x,mode=9"), Err("mode is octal, such as 660".to_owned()));
    }

    #[test]
    fn a_program_is_told_in_three_ways() {
        let all =
            environment(&["tcp:127.0.0.1:80", "unix:/run/x"].map(|words| Listening::parse(words).expect("an address")));
        let get = |key: &str| all.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.to_str()).unwrap_or_default();
        assert_eq!((get("LISTEN_FDS"), get("EINHORN_FD_COUNT"), get("EINHORN_FD_1")), ("2", "2", "4"));
        assert_eq!(get("SERVER_STARTER_PORT"), "127.0.0.1:80=3;/run/x=4");
        assert_eq!(get("LISTEN_FDNAMES"), "tcp_127.0.0.1_80:unix_/run/x");
    }
}
