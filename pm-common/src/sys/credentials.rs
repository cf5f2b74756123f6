//! Datagrams with their sender's pid (SCM_CREDENTIALS, unix(7)).
//!
//! By hand, as a sender outside our pid namespace has pid 0, which rustix's type cannot hold, and nix loses the
//! descriptors of a message whose control data was cut short.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;

/// Descriptors taken in with one datagram; the kernel drops what is beyond these.
const ROOM: usize = 8;

/// One datagram's size and origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes in the buffer.
    pub bytes: usize,
    /// The datagram was longer than the buffer.
    pub truncated: bool,
    /// Who sent it, if the kernel could say; a process of another pid namespace has no pid here.
    pub pid: Option<i32>,
}

/// Room for one set of credentials and `ROOM` descriptors, aligned as cmsg(3) wants it.
#[repr(C)]
union Control {
    _align: libc::cmsghdr,
    bytes: [u8; 128],
}

const _: () = {
    // SAFETY: CMSG_SPACE only computes with its argument.
    let need = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) + libc::CMSG_SPACE((ROOM * 4) as u32) };
    assert!(need as usize <= size_of::<Control>());
};

/// Takes one datagram in, and closes all descriptors that came with it (close-on-exec meanwhile).
///
/// The socket needs SO_PASSCRED, else there is no pid.
///
/// # Errors
/// Those of recvmsg(2): `WouldBlock` when none waits.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Arrived> {
    let mut control = Control { bytes: [0; 128] };
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all zeroes are a valid msghdr (null pointers, no lengths).
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to `buf` and `control`, which outlive the call, with their true lengths.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let bytes = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: recvmsg succeeded, so the header describes control messages that the kernel wrote.
    let pid = unsafe { take_control(&header) };
    Ok(Arrived { bytes, truncated: header.msg_flags & libc::MSG_TRUNC != 0, pid })
}

/// The sender's pid; descriptors are closed.
///
/// # Safety
/// `header` is as a successful recvmsg left it, its control buffer alive, and its descriptors are owned by nobody yet.
unsafe fn take_control(header: &libc::msghdr) -> Option<i32> {
    let mut pid = None;
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
                pid = (ucred.pid > 0).then_some(ucred.pid);
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for i in 0..len / size_of::<RawFd>() {
                    // SAFETY: the kernel wrote `len` bytes of descriptors, fresh ones that only we know: ours to close.
                    drop(unsafe { OwnedFd::from_raw_fd(data.cast::<RawFd>().add(i).read_unaligned()) });
                }
            }
            _ => {}
        }
        // SAFETY: `next` is a header of this buffer.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    pid
}
