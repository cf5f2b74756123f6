//! Descriptors over unix stream sockets (SCM_RIGHTS, unix(7)). Nothing here blocks, and no descriptor is ever lost.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Descriptors taken in with one read, at least; the kernel itself drops what a peer sent beyond these (MSG_CTRUNC).
const ROOM: usize = 8;

/// Two connected stream sockets, both close-on-exec; the first, our own, does not block.
///
/// # Errors
/// Those of socketpair(2): the descriptor table is full.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, theirs))
}

/// Sends some of `bytes`, and with the first of them a duplicate of `pass`; returns how many went.
///
/// When fewer than all went, the descriptor has gone nevertheless: send the rest without it.
///
/// # Errors
/// Those of sendmsg(2): `WouldBlock` when the peer does not read; never a SIGPIPE.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8], pass: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let passed = pass.map(|one| [one]);
    if let Some(passed) = &passed
        && !control.push(SendAncillaryMessage::ScmRights(passed))
    {
        return Err(io::Error::from(Errno::NOBUFS));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(fd, &[IoSlice::new(bytes)], &mut control, flags)?)
}

/// Reads once into `buf` and appends what descriptors came along, close-on-exec, to `fds`; 0 is the end of the stream.
///
/// # Errors
/// Those of recvmsg(2): `WouldBlock` when nothing waits.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ROOM))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = recvmsg(fd, &mut [IoSliceMut::new(buf)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    Ok(got.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    /// What `recvmsg` gives: the bytes as text, and the descriptors.
    fn take(fd: &OwnedFd) -> io::Result<(String, Vec<OwnedFd>)> {
        let (mut buf, mut fds) = ([0; 100], Vec::new());
        let n = receive(fd.as_fd(), &mut buf, &mut fds)?;
        Ok((String::from_utf8_lossy(&buf[..n]).into_owned(), fds))
    }

    #[test]
    fn a_descriptor_travels_with_its_bytes_and_is_close_on_exec() {
        let (a, b) = pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        assert_eq!(send(a.as_fd(), b"one", None).expect("sent"), 3);
        assert_eq!(send(a.as_fd(), b"two", Some(writer.as_fd())).expect("sent"), 3);
        assert_eq!(send(a.as_fd(), b"three", None).expect("sent"), 5);
        drop(writer);
        let (text, fds) = take(&b).expect("received");
        assert_eq!((text.as_str(), fds.len()), ("onetwo", 1), "a read ends behind the descriptor");
        assert!(rustix::io::fcntl_getfd(&fds[0]).expect("flags").contains(rustix::io::FdFlags::CLOEXEC));
        let mut sink = std::fs::File::from(fds.into_iter().next().expect("one descriptor"));
        io::Write::write_all(&mut sink, b"through").expect("written");
        drop(sink);
        let mut all = String::new();
        reader.read_to_string(&mut all).expect("read to the end: no copy of the writer is left");
        assert_eq!(all, "through");
        assert_eq!(take(&b).expect("received").0, "three");
    }

    #[test]
    fn nothing_blocks_and_the_end_is_zero() {
        let (a, b) = pair().expect("a pair");
        assert_eq!(take(&a).expect_err("nothing waits").kind(), io::ErrorKind::WouldBlock);
        let block = [b'x'; 65536];
        let full = loop {
            if let Err(error) = send(a.as_fd(), &block, None) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(b);
        assert_eq!(send(a.as_fd(), b"x", None).expect_err("nobody").raw_os_error(), Some(nix::libc::EPIPE));
        let (a, b) = pair().expect("a pair");
        drop(b);
        assert_eq!(take(&a).expect("the end").0, "");
        assert!(rustix::io::fcntl_getfd(&a).expect("flags").contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_is_beyond_the_room_is_closed() {
        let (a, b) = pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let many = [writer.as_fd(); 3 * ROOM];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3 * ROOM))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).expect("sent");
        drop(writer);
        let (_, fds) = take(&b).expect("received");
        assert!((ROOM..ROOM + 4).contains(&fds.len()), "alignment may leave room for a few more: {}", fds.len());
        drop(fds);
        assert_eq!(reader.read(&mut [0; 1]).expect("the end: no copy of the writer is left"), 0);
    }
}
