//! Whose the socket is that a unix socket is connected to, as the kernel's socket monitor says it (sock_diag(7)): of
//! datagrams SO_PEERCRED tells nothing.

use std::io;
use std::os::fd::BorrowedFd;

use super::sock_diag::{HEADER, SOCK_DIAG_BY_FAMILY, each, half, header, word};
use crate::sys::socket;

// linux/unix_diag.h
const SHOW_PEER: u32 = 1 << 2;
const SHOW_UID: u32 = 1 << 6;
const PEER: u16 = 2;
const UID: u16 = 7;
/// NLM_F_REQUEST | NLM_F_ACK: of one socket, and the end is said.
const OF_ONE: u16 = 0x5;
/// Bytes of `struct unix_diag_msg`.
const MESSAGE: usize = 16;

/// The uid of the socket at the other end, in our user namespace (the overflow uid if it has none there); `None`: not
/// connected, or the kernel does not say (before Linux 5.3).
///
/// # Errors
/// The kernel has no such monitor, or forbids it; there is no such socket any more.
pub fn owner(fd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    // The kernel numbers sockets with 32 bits.
    let own = socket::inode(fd)? as u32;
    match ask(own, SHOW_PEER, PEER)? {
        Some(other) => ask(other, SHOW_UID, UID),
        None => Ok(None),
    }
}

/// One attribute of the unix socket of this number.
fn ask(inode: u32, show: u32, attribute: u16) -> io::Result<Option<u32>> {
    let mut found = None;
    each(&request_of(inode, show), |body| found = found.or_else(|| number(body, inode, attribute)))?;
    Ok(found)
}

/// `struct unix_diag_req`, of one socket and without its cookie.
fn request_of(inode: u32, show: u32) -> Vec<u8> {
    let mut bytes = header(HEADER as u32 + 24, SOCK_DIAG_BY_FAMILY, OF_ONE);
    bytes.extend([nix::libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes.extend(show.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

/// The number that an attribute behind a `struct unix_diag_msg` holds.
fn number(body: &[u8], inode: u32, attribute: u16) -> Option<u32> {
    let mut attributes = body.get(MESSAGE..).filter(|_| word(body, 4) == Some(inode))?;
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
        if kind == attribute {
            return word(attributes, 4);
        }
        let length = usize::from(length).max(4);
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn the_owner_of_the_other_end_is_known_and_of_none_nothing_is() {
        let (one, _other) = UnixDatagram::pair().expect("sockets");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(owner(one.as_fd()).expect("a monitor"), Some(uid));
        let alone = UnixDatagram::unbound().expect("a socket");
        assert_eq!(owner(alone.as_fd()).expect("a monitor"), None);
        let gone = tempfile::tempdir().expect("a directory");
        let (there, client) = (UnixDatagram::bind(gone.path().join("x")).expect("bound"), alone);
        client.connect(gone.path().join("x")).expect("connected");
        assert_eq!(owner(client.as_fd()).expect("a monitor"), Some(uid));
        drop(there);
        assert!(!matches!(owner(client.as_fd()), Ok(Some(_))), "it is gone");
    }

    #[test]
    fn garbage_says_nothing() {
        assert_eq!((number(&[0; 15], 0, UID), number(&[0; 40], 1, UID), number(&[0; 40], 0, UID)), (None, None, None));
    }
}
