//! Being asked before a program binds or listens: seccomp user notification (seccomp_unotify(2)).
//!
//! [`install`] runs in a child between fork and exec and passes what tells of its calls to the supervisor, which answers
//! each: let it go on, or done. Everything fails open: a child that cannot be watched runs as if nobody had tried.
//! While the supervisor lives, no call of bind or listen goes on before it has answered; once it is dead they fail with
//! ENOSYS, so that nothing hangs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::fdpass;

/// The architecture whose system calls are looked at (linux/audit.h); what runs as another goes on unseen.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(target_arch = "riscv64")]
pub const ARCHITECTURE: Option<u32> = Some(0xc000_00f3);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub const ARCHITECTURE: Option<u32> = None;

/// From this number on, calls are those of x32, which share the architecture of x86_64.
pub const X32: u32 = 0x4000_0000;
/// The length of a netlink address: the C library binds one at each name lookup, and nothing is to be said of that.
const NETLINK_LENGTH: u32 = 12;

// struct seccomp_data, little endian: the number, the architecture, and the low halves of two arguments.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const SECOND_ARGUMENT: u32 = 24;
const THIRD_ARGUMENT: u32 = 32;

// linux/bpf_common.h
const LOAD: u16 = 0x20; // LD | W | ABS
const IF_EQUAL: u16 = 0x15; // JMP | JEQ | K
const IF_AT_LEAST: u16 = 0x35; // JMP | JGE | K
const RETURN: u16 = 0x06; // RET | K

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// bind (but of netlink sockets), listen, and the question whether a socket listens (SO_ACCEPTCONN: who finds that it
/// does leaves out the call) are told, all else goes on. A constant: nothing is made after fork.
static FILTER: [libc::sock_filter; 15] = [
    step(LOAD, ARCH, 0, 0),
    step(
        IF_EQUAL,
        match ARCHITECTURE {
            Some(number) => number,
            None => 0,
        },
        0,
        11,
    ),
    step(LOAD, NUMBER, 0, 0),
    step(IF_AT_LEAST, X32, 9, 0),
    step(IF_EQUAL, libc::SYS_listen as u32, 9, 0),
    step(IF_EQUAL, libc::SYS_bind as u32, 1, 0),
    step(IF_EQUAL, libc::SYS_getsockopt as u32, 2, 6),
    step(LOAD, THIRD_ARGUMENT, 0, 0),
    step(IF_EQUAL, NETLINK_LENGTH, 4, 5),
    step(LOAD, SECOND_ARGUMENT, 0, 0),
    step(IF_EQUAL, libc::SOL_SOCKET as u32, 0, 2),
    step(LOAD, THIRD_ARGUMENT, 0, 0),
    step(IF_EQUAL, libc::SO_ACCEPTCONN as u32, 1, 0),
    step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
];

/// In a child before exec: has its calls told, and sends the descriptor that tells them (or why there is none) over
/// `to`. Async-signal-safe; never fails, the child goes on in any case.
pub fn install(to: RawFd) {
    let (errno, descriptor) = match new_listener() {
        Ok(descriptor) => (0, Some(descriptor)),
        Err(errno) => (errno, None),
    };
    // SAFETY: the caller keeps it open; fdpass::send neither allocates nor takes a lock.
    let to = unsafe { BorrowedFd::borrow_raw(to) };
    let _ = fdpass::send(to, &errno.to_ne_bytes(), descriptor.as_ref().map(AsFd::as_fd));
}

fn new_listener() -> Result<OwnedFd, i32> {
    if ARCHITECTURE.is_none() {
        return Err(libc::ENOSYS);
    }
    let plain = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // Without it a signal that comes while we answer has the call begin again; Linux 5.19.
    let killable = plain | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match filter(killable) {
        Err(libc::EINVAL) => with_privilege(plain),
        Err(libc::EACCES) => with_privilege(killable),
        result => result,
    }
}

/// Who has no CAP_SYS_ADMIN must give up setuid programs first (seccomp(2)).
fn with_privilege(flags: libc::c_ulong) -> Result<OwnedFd, i32> {
    match filter(flags) {
        Err(libc::EACCES) => {
            // SAFETY: sets a flag of this process and touches no memory.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            match filter(flags) {
                Err(libc::EINVAL) => filter(flags & !libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
                result => result,
            }
        }
        result => result,
    }
}

fn filter(flags: libc::c_ulong) -> Result<OwnedFd, i32> {
    let program = libc::sock_fprog { len: FILTER.len() as u16, filter: FILTER.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, a constant of the length said; the result is a number.
    let made = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let number = RawFd::try_from(made).ok().filter(|fd| *fd >= 0).ok_or_else(nix::errno::Errno::last_raw)?;
    // SAFETY: the number is the one that the kernel has just given us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes what a child sent with [`install`], once its exec has succeeded.
///
/// # Errors
/// Why the child cannot be watched: EBUSY (somebody above watches it already), EINVAL or ENOSYS (no such thing here),
/// EPERM or EACCES (forbidden).
pub fn receive(from: BorrowedFd<'_>) -> io::Result<Listener> {
    let (mut text, mut descriptors) = ([0; 4], Vec::new());
    if fdpass::receive(from, &mut text, &mut descriptors)? == 0 {
        return Err(io::Error::other("the process ended before it could be watched"));
    }
    let none = || io::Error::from_raw_os_error(i32::from_ne_bytes(text));
    descriptors.pop().map(Listener).ok_or_else(none)
}

/// A call that waits for our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Names it in answers.
    pub id: u64,
    /// The thread that called; `thread_group` tells its process.
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
pub struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// More than `struct seccomp_notif` takes on any kernel so far (80 bytes).
#[repr(C, align(8))]
struct NoticeRoom([u8; 512]);

impl Listener {
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
            _ => Call::Bind { fd: number(first), address: second as usize, length: third as u32 as usize },
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

    /// What the kernel does with the filter.
    fn verdict(arch: u32, number: u32, third: u32) -> u32 {
        verdict_on(arch, number, 0, third)
    }

    fn verdict_on(arch: u32, number: u32, second: u32, third: u32) -> u32 {
        let (mut a, mut at) = (0, 0);
        loop {
            let one = FILTER[at];
            at += 1;
            match one.code {
                LOAD => {
                    a = [(NUMBER, number), (ARCH, arch), (SECOND_ARGUMENT, second), (THIRD_ARGUMENT, third)]
                        .iter()
                        .find(|f| f.0 == one.k)
                        .expect("a field")
                        .1
                }
                IF_EQUAL => at += usize::from(if a == one.k { one.jt } else { one.jf }),
                IF_AT_LEAST => at += usize::from(if a >= one.k { one.jt } else { one.jf }),
                RETURN => return one.k,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn bind_and_listen_are_told_and_nothing_else() {
        let Some(arch) = ARCHITECTURE else { return };
        let (bind, listen) = (libc::SYS_bind as u32, libc::SYS_listen as u32);
        assert_eq!(verdict(arch, bind, 16), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(verdict(arch, bind, 28), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(verdict(arch, listen, 5), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(verdict(arch, bind, NETLINK_LENGTH), libc::SECCOMP_RET_ALLOW, "a name lookup");
        assert_eq!(verdict(arch, listen, NETLINK_LENGTH), libc::SECCOMP_RET_USER_NOTIF);
        for number in (0..600).filter(|n| *n != bind && *n != listen) {
            assert_eq!(verdict(arch, number, 16), libc::SECCOMP_RET_ALLOW, "{number}");
        }
        let (asks, option) = (libc::SYS_getsockopt as u32, libc::SO_ACCEPTCONN as u32);
        assert_eq!(verdict_on(arch, asks, 1, option), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(verdict_on(arch, asks, 6, option), libc::SECCOMP_RET_ALLOW, "TCP_INFO and the like");
        assert_eq!(verdict_on(arch, asks, 1, 4), libc::SECCOMP_RET_ALLOW, "SO_ERROR");
        assert_eq!(verdict(arch, X32 + bind, 16), libc::SECCOMP_RET_ALLOW, "x32");
        assert_eq!(verdict(0x4000_0003, bind, 16), libc::SECCOMP_RET_ALLOW, "i386 has other numbers");
    }

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
