//! What of this machine listens, and where: the kernel's socket monitors, asked for all listeners.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use super::sock_diag::{HEADER, LISTEN, SOCK_DIAG_BY_FAMILY, each, each_tcp, half, header, word};
use crate::policy::listening::{Listening, UnixName};

/// All listeners of this network, TCP of both families and the streams of unix with a path: the number of each socket,
/// and its address.
///
/// # Errors
/// The kernel has no such monitor, or forbids it.
pub fn listeners() -> io::Result<Vec<(u64, Listening)>> {
    let mut found = Vec::new();
    each_tcp(1..=u16::MAX, 0, LISTEN, |at, inode, _| found.push((inode, Listening::Tcp(at))))?;
    each(&request_of_unix(), |body| found.extend(unix_listener(body)))?;
    Ok(found)
}

/// `struct unix_diag_msg` and its attributes, of which the name alone was asked for.
fn unix_listener(body: &[u8]) -> Option<(u64, Listening)> {
    let attributes = body.get(16..)?;
    let name = attributes.get(4..usize::from(half(attributes, 0)?))?;
    let path = name.split(|byte| *byte == 0).next().filter(|path| !path.is_empty())?;
    Some((word(body, 4)?.into(), Listening::Unix(UnixName::Path(OsStr::from_bytes(path).into()))))
}

/// `struct unix_diag_req` (linux/unix_diag.h).
fn request_of_unix() -> Vec<u8> {
    let mut bytes = header(HEADER as u32 + 24, SOCK_DIAG_BY_FAMILY);
    bytes.extend([nix::libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend(LISTEN.to_ne_bytes());
    // Any socket; its name.
    bytes.extend([0; 4]);
    bytes.extend(1_u32.to_ne_bytes());
    bytes.resize(HEADER + 24, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn all_that_listens_is_seen_with_its_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let tcp = ["127.0.0.1:0", "[::1]:0"].map(|host| TcpListener::bind(host).expect("loopback"));
        let all = listeners().expect("a monitor");
        let inode = |fd: &dyn std::os::fd::AsFd| crate::sys::socket::inode(fd.as_fd()).expect("open");
        let seen = |inode| all.iter().find(|(seen, _)| *seen == inode).map(|(_, address)| address.clone());
        for one in &tcp {
            assert_eq!(seen(inode(one)), Some(Listening::Tcp(one.local_addr().expect("bound"))));
        }
        assert_eq!(seen(inode(&unix)), Some(Listening::Unix(UnixName::Path(path))));
        assert_eq!(unix_listener(&[0; 20]), None);
    }
}
