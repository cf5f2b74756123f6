//! Being asked before a program binds, listens or connects: seccomp user notification (seccomp_unotify(2)).
//!
//! [`install`] runs in a child between fork and exec and passes what tells of its calls to the supervisor, which answers
//! each: let it go on, or done. Everything fails open: a child that cannot be watched runs as if nobody had tried.
//! While the supervisor lives, no call that is told goes on before it has answered; once it is dead they fail with
//! ENOSYS, so that nothing hangs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::fdpass;
pub use filter::{ARCHITECTURE, ToldCalls, X32, install};

mod filter;

/// Takes what a child sent with [`install`], once its exec has succeeded.
///
/// # Errors
/// Why the child cannot be watched: EBUSY (somebody above watches it already), EINVAL or ENOSYS (no such thing here),
/// EPERM or EACCES (forbidden).
pub fn receive(from: BorrowedFd<'_>) -> io::Result<NotifyFd> {
    let (mut text, mut descriptors) = ([0; 4], Vec::new());
    if fdpass::receive(from, &mut text, &mut descriptors)? == 0 {
        return Err(io::Error::other("the process ended before it could be watched"));
    }
    let none = || io::Error::from_raw_os_error(i32::from_ne_bytes(text));
    descriptors.pop().map(NotifyFd).ok_or_else(none)
}

/// A call that waits for our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Names it in answers.
    pub id: u64,
    /// The thread that called; `kernel::procfs::process_of` tells its process.
    pub thread: i32,
    /// What it called.
    pub call: Call,
}

/// A call with its arguments, as the program gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `bind(fd, address, length)`; the address is one in the program's memory.
    Bind {
        /// The descriptor, in the program's table.
        fd: i32,
        /// Where the socket address is.
        address: usize,
        /// How long it is.
        length: usize,
    },
    /// `connect(fd, address, length)`, as for `Bind`.
    Connect {
        /// The descriptor, in the program's table.
        fd: i32,
        /// Where the socket address is.
        address: usize,
        /// How long it is.
        length: usize,
    },
    /// `listen(fd, backlog)`.
    Listen {
        /// The descriptor, in the program's table.
        fd: i32,
        /// The length of the queue.
        backlog: i32,
    },
    /// `getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ...)`: whether it listens already.
    Listens {
        /// The descriptor, in the program's table.
        fd: i32,
    },
}

/// What a look at a listener found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A call that waits.
    Notice(Notice),
    /// None waits now.
    Nothing,
    /// Everything that was watched has ended.
    Gone,
}

/// Tells of the calls of a child and of all that comes from it.
#[derive(Debug)]
pub struct NotifyFd(OwnedFd);

impl AsFd for NotifyFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// More than `struct seccomp_notif` takes on any kernel so far (80 bytes).
#[repr(C, align(8))]
struct NoticeRoom([u8; 512]);

impl NotifyFd {
    /// The next call that waits. Never blocks.
    #[must_use]
    pub fn next(&self) -> Arrival {
        // The ioctl itself would wait; where poll(2) says that there is one, it does not.
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&at_once)).is_err() {
            return Arrival::Nothing;
        }
        let seen = fds[0].revents();
        if !seen.contains(PollFlags::IN) {
            let gone = seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            return if gone { Arrival::Gone } else { Arrival::Nothing };
        }
        self.receive().map_or(Arrival::Nothing, Arrival::Notice)
    }

    fn receive(&self) -> Option<Notice> {
        // The kernel insists on zeroes.
        let mut room = NoticeRoom([0; 512]);
        let into = (&raw mut room).cast::<libc::seccomp_notif>();
        // SAFETY: the kernel writes one struct seccomp_notif, which the room holds with much to spare.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, into) };
        if done != 0 {
            // The caller was killed, or interrupted, meanwhile.
            return None;
        }
        // SAFETY: plain integers, valid whatever their bits; the room is aligned for them.
        let got = unsafe { into.read() };
        let [first, second, third, ..] = got.data.args;
        let number = |argument: u64| argument as u32 as i32;
        let call = match i64::from(got.data.nr) {
            nr if nr == i64::from(libc::SYS_listen as i32) => {
                Call::Listen { fd: number(first), backlog: number(second) }
            }
            nr if nr == i64::from(libc::SYS_getsockopt as i32) => Call::Listens { fd: number(first) },
            nr => {
                let (fd, address, length) = (number(first), second as usize, third as u32 as usize);
                let connects = nr == i64::from(libc::SYS_connect as i32);
                if connects { Call::Connect { fd, address, length } } else { Call::Bind { fd, address, length } }
            }
        };
        Some(Notice { id: got.id, thread: got.pid as i32, call })
    }

    /// Lets the call go on as if nobody had looked.
    pub fn proceed(&self, id: u64) {
        self.respond(id, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    /// Answers in the kernel's place: 0, or this errno.
    pub fn answer(&self, id: u64, result: Result<(), i32>) {
        self.respond(id, result.err().unwrap_or(0), 0);
    }

    /// A caller that is gone by now needs no answer.
    fn respond(&self, id: u64, errno: i32, flags: u32) {
        let answer = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags };
        // SAFETY: the kernel only reads the struct.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }

    /// Whether the caller still waits: only then what was read of it by number was read of itself.
    #[must_use]
    pub fn waits(&self, id: u64) -> bool {
        // SAFETY: the kernel only reads the number.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    /// Puts a duplicate of `socket` in the place of the caller's descriptor `number`.
    ///
    /// # Errors
    /// EINVAL before Linux 5.9; ENOENT: the caller is gone; EBADF, EMFILE.
    pub fn put(&self, id: u64, socket: BorrowedFd<'_>, number: i32, close_on_exec: bool) -> io::Result<()> {
        let order = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: socket.as_raw_fd() as u32,
            newfd: number as u32,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the kernel only reads the struct; the borrow keeps `socket` open.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const order) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_installed_says_why() {
        let (ours, theirs) = fdpass::pair().expect("a pair");
        fdpass::send(theirs.as_fd(), &libc::EBUSY.to_ne_bytes(), None).expect("sent");
        assert_eq!(receive(ours.as_fd()).expect_err("no descriptor").raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn the_descriptor_arrives() {
        let (ours, theirs) = fdpass::pair().expect("a pair");
        fdpass::send(theirs.as_fd(), &[0; 4], Some(theirs.as_fd())).expect("sent");
        let listener = receive(ours.as_fd()).expect("a descriptor");
        assert_eq!(
            super::super::socket::inode(&listener).expect("open"),
            super::super::socket::inode(&theirs).expect("open")
        );
    }
}
