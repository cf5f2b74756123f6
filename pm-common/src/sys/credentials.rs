//! Datagrams with their sender and their descriptors (SCM_CREDENTIALS, SCM_PIDFD, SCM_RIGHTS: unix(7)).
//!
//! By hand, as a sender outside our pid namespace has pid 0, which rustix's type cannot hold, and nix loses the
//! descriptors of a message whose control data was cut short.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;

/// The most descriptors that come with one datagram (SCM_MAX_FD, include/net/scm.h): all fit, so that the pidfd behind
/// them is never cut off.
const ROOM: usize = 253;

/// SO_PASSPIDFD (Linux 6.5, asm-generic/socket.h): a pidfd of the sender comes with each datagram.
const SO_PASSPIDFD: libc::c_int = 76;
/// SCM_PIDFD (linux/socket.h): the message that holds it.
const SCM_PIDFD: libc::c_int = 4;

/// One datagram: its size, its sender by the kernel's word, and the descriptors that came with it.
#[derive(Debug)]
pub struct Arrived {
    /// Bytes in the buffer.
    pub bytes: usize,
    /// The datagram was longer than the buffer.
    pub truncated: bool,
    /// The sender.
    pub sender: Sender,
    /// The descriptors that were sent along, at most `ROOM`; close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// The sender of a datagram, as the kernel vouches for it: root may name others, anybody else only itself.
#[derive(Debug, Default)]
pub struct Sender {
    /// Its pid; `None`: it has none in our pid namespace, or the socket lacks SO_PASSCRED.
    pub pid: Option<i32>,
    /// Its real uid; the overflow uid if that has none in our user namespace.
    pub uid: Option<u32>,
    /// The process itself, so that its pid cannot be another's; `None` before Linux 6.5, and once it has been reaped.
    pub pidfd: Option<OwnedFd>,
}

/// Has a pidfd of the sender come with each datagram; false: the kernel is older than 6.5.
pub fn pin_senders(socket: BorrowedFd<'_>) -> bool {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option reads one int, which outlives the call.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSPIDFD, (&raw const on).cast(), size) };
    done == 0
}

/// Room for one set of credentials, a pidfd and `ROOM` descriptors, aligned as cmsg(3) wants it.
#[repr(C)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; 1152],
}

/// Room for one set of credentials alone, which come first (`scm_recv`, net/core/scm.h).
// SAFETY: CMSG_LEN only computes with its argument.
const ONLY_SENDER: usize = unsafe { libc::CMSG_LEN(size_of::<libc::ucred>() as u32) } as usize;

const _: () = {
    let ucred = size_of::<libc::ucred>() as u32;
    // SAFETY: CMSG_SPACE only computes with its argument.
    let need = unsafe { libc::CMSG_SPACE(ucred) + libc::CMSG_SPACE(4) + libc::CMSG_SPACE((ROOM * 4) as u32) };
    assert!(need as usize <= size_of::<Control>());
};

/// Takes one datagram in.
///
/// The socket needs SO_PASSCRED, else nothing is known of the sender.
///
/// # Errors
/// Those of recvmsg(2): `WouldBlock` when none waits.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Arrived> {
    receive_with(fd, buf, size_of::<Control>(), 0)
}

/// Who sent the next datagram, which stays: its descriptors do not come to us.
///
/// # Errors
/// As [`receive`].
pub fn peek(fd: BorrowedFd<'_>) -> io::Result<Sender> {
    Ok(receive_with(fd, &mut [], ONLY_SENDER, libc::MSG_PEEK)?.sender)
}

/// Throws the next datagram away. Its descriptors do not come to us: to close one may take as long as its file system
/// likes (FUSE), to lose one that never was ours does not.
///
/// # Errors
/// As [`receive`].
pub fn discard(fd: BorrowedFd<'_>) -> io::Result<()> {
    receive_with(fd, &mut [], ONLY_SENDER, 0).map(drop)
}

fn receive_with(fd: BorrowedFd<'_>, buf: &mut [u8], room: usize, flags: libc::c_int) -> io::Result<Arrived> {
    let mut control = Control { bytes: [0; 1152] };
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all zeroes are a valid msghdr (null pointers, no lengths).
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = room.min(size_of::<Control>()) as _;
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to `buf` and `control`, which outlive the call, with their true lengths.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let bytes = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let truncated = header.msg_flags & libc::MSG_TRUNC != 0;
    let mut arrived = Arrived { bytes, truncated, sender: Sender::default(), fds: Vec::new() };
    // SAFETY: recvmsg succeeded, so the header describes control messages that the kernel wrote.
    unsafe { take_control(&header, &mut arrived) };
    Ok(arrived)
}

/// Takes the sender and the descriptors out of the control messages.
///
/// # Safety
/// `header` is as a successful recvmsg left it, its control buffer alive, and its descriptors are owned by nobody yet.
unsafe fn take_control(header: &libc::msghdr, arrived: &mut Arrived) {
    // SAFETY: the caller promises a valid header.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: FIRSTHDR and NXTHDR give null or a whole header within the control buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        // SAFETY: as `next` is a whole header, its data begins right behind it.
        let data = unsafe { libc::CMSG_DATA(next) };
        #[allow(clippy::unnecessary_cast, reason = "musl has 32 bits there")]
        // SAFETY: CMSG_LEN only computes.
        let len = (message.cmsg_len as usize).saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
        match (message.cmsg_level, message.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                // SAFETY: the kernel wrote a whole ucred there; three integers, valid whatever their bits.
                let ucred = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                arrived.sender.pid = (ucred.pid > 0).then_some(ucred.pid);
                arrived.sender.uid = Some(ucred.uid);
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                let each = (0..len / size_of::<RawFd>()).map(|i| {
                    // SAFETY: the kernel wrote `len` bytes of descriptors, fresh ones that only we know: ours to close.
                    unsafe { OwnedFd::from_raw_fd(data.cast::<RawFd>().add(i).read_unaligned()) }
                });
                arrived.fds.extend(each);
            }
            (libc::SOL_SOCKET, SCM_PIDFD) if len >= size_of::<RawFd>() => {
                // SAFETY: the kernel wrote a number there.
                let number = unsafe { data.cast::<RawFd>().read_unaligned() };
                // An error number stands in its place when the sender is gone.
                // SAFETY: if it is a descriptor, a fresh one that only we know.
                arrived.sender.pidfd = (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) });
            }
            _ => {}
        }
        // SAFETY: `next` is a header of this buffer.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
}
