//! The filter that has calls told: what it looks at, and how a child puts it on itself.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;

use super::super::fdpass;

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
/// The length of an internet address, from which on a connect is told.
const INET_LENGTH: u32 = 16;
/// The length that connects to a unix socket mostly have (sizeof struct sockaddr_un): none of them is to be answered.
const UNIX_LENGTH: u32 = 110;

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

const STEPS: usize = 19;
type Filter = [libc::sock_filter; STEPS];

/// bind (but of netlink sockets), listen, and the question whether a socket listens (SO_ACCEPTCONN: who finds that it
/// does leaves out the call) are told, and the call of number `connect`, all else goes on.
const fn filter_with(connect: u32) -> Filter {
    let architecture = match ARCHITECTURE {
        Some(number) => number,
        None => 0,
    };
    [
        step(LOAD, ARCH, 0, 0),
        step(IF_EQUAL, architecture, 0, 15),
        step(LOAD, NUMBER, 0, 0),
        step(IF_AT_LEAST, X32, 13, 0),
        step(IF_EQUAL, libc::SYS_listen as u32, 13, 0),
        step(IF_EQUAL, libc::SYS_bind as u32, 5, 0),
        step(IF_EQUAL, connect, 1, 0),
        step(IF_EQUAL, libc::SYS_getsockopt as u32, 5, 9),
        step(LOAD, THIRD_ARGUMENT, 0, 0),
        step(IF_EQUAL, UNIX_LENGTH, 7, 0),
        step(IF_AT_LEAST, INET_LENGTH, 7, 6),
        step(LOAD, THIRD_ARGUMENT, 0, 0),
        step(IF_EQUAL, NETLINK_LENGTH, 4, 5),
        step(LOAD, SECOND_ARGUMENT, 0, 0),
        step(IF_EQUAL, libc::SOL_SOCKET as u32, 0, 2),
        step(LOAD, THIRD_ARGUMENT, 0, 0),
        step(IF_EQUAL, libc::SO_ACCEPTCONN as u32, 1, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
    ]
}

// Constants: nothing is made after fork.
static FILTER: Filter = filter_with(NO_CALL);
static FILTER_WITH_CONNECT: Filter = filter_with(libc::SYS_connect as u32);
/// The number of no call: what is from [`X32`] on has been let go before it is compared.
const NO_CALL: u32 = u32::MAX;

/// Which calls of a program are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToldCalls {
    /// bind, listen, and the question whether a socket listens.
    #[default]
    Binds,
    /// These, and connect to an internet address: each costs a turn of ours for as long as the program lives.
    Connects,
}

impl ToldCalls {
    fn filter(self) -> &'static Filter {
        match self {
            Self::Binds => &FILTER,
            Self::Connects => &FILTER_WITH_CONNECT,
        }
    }
}

/// In a child before exec: has its calls told, and sends the descriptor that tells them (or why there is none) over
/// `to`. Async-signal-safe; never fails, the child goes on in any case.
pub fn install(to: RawFd, told: ToldCalls) {
    let (errno, descriptor) = match new_listener(told.filter()) {
        Ok(descriptor) => (0, Some(descriptor)),
        Err(errno) => (errno, None),
    };
    // SAFETY: the caller keeps it open; fdpass::send neither allocates nor takes a lock.
    let to = unsafe { BorrowedFd::borrow_raw(to) };
    let _ = fdpass::send(to, &errno.to_ne_bytes(), descriptor.as_ref().map(AsFd::as_fd));
}

fn new_listener(steps: &'static Filter) -> Result<OwnedFd, i32> {
    if ARCHITECTURE.is_none() {
        return Err(libc::ENOSYS);
    }
    let plain = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // Without it a signal that comes while we answer has the call begin again; Linux 5.19.
    let killable = plain | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match filter(steps, killable) {
        Err(libc::EINVAL) => with_privilege(steps, plain),
        Err(libc::EACCES) => with_privilege(steps, killable),
        result => result,
    }
}

/// Who has no CAP_SYS_ADMIN must give up setuid programs first (seccomp(2)).
fn with_privilege(steps: &'static Filter, flags: libc::c_ulong) -> Result<OwnedFd, i32> {
    match filter(steps, flags) {
        Err(libc::EACCES) => {
            // SAFETY: sets a flag of this process and touches no memory.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            match filter(steps, flags) {
                Err(libc::EINVAL) => filter(steps, flags & !libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
                result => result,
            }
        }
        result => result,
    }
}

fn filter(steps: &'static Filter, flags: libc::c_ulong) -> Result<OwnedFd, i32> {
    let program = libc::sock_fprog { len: STEPS as u16, filter: steps.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, a constant of the length said; the result is a number.
    let made = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let number = RawFd::try_from(made).ok().filter(|fd| *fd >= 0).ok_or_else(nix::errno::Errno::last_raw)?;
    // SAFETY: the number is the one that the kernel has just given us, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with the filter.
    fn verdict(arch: u32, number: u32, third: u32) -> u32 {
        verdict_on(arch, number, 0, third)
    }

    fn verdict_on(arch: u32, number: u32, second: u32, third: u32) -> u32 {
        verdict_of(&FILTER, arch, number, second, third)
    }

    fn verdict_of(filter: &Filter, arch: u32, number: u32, second: u32, third: u32) -> u32 {
        let (mut a, mut at) = (0, 0);
        loop {
            let one = filter[at];
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
    fn connects_are_told_where_that_is_asked_for() {
        let Some(arch) = ARCHITECTURE else { return };
        let (bind, listen, connect) = (libc::SYS_bind as u32, libc::SYS_listen as u32, libc::SYS_connect as u32);
        let verdict = |number, third| verdict_of(&FILTER_WITH_CONNECT, arch, number, 0, third);
        for length in [16, 28, 128] {
            assert_eq!(verdict(connect, length), libc::SECCOMP_RET_USER_NOTIF, "{length}");
        }
        for length in [0, NETLINK_LENGTH, UNIX_LENGTH] {
            assert_eq!(verdict(connect, length), libc::SECCOMP_RET_ALLOW, "{length}");
        }
        assert_eq!(verdict_of(&FILTER_WITH_CONNECT, arch, X32 + connect, 0, 16), libc::SECCOMP_RET_ALLOW, "x32");
        assert_eq!(verdict(bind, 16), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(verdict(bind, NETLINK_LENGTH), libc::SECCOMP_RET_ALLOW, "a name lookup");
        assert_eq!(verdict(listen, 0), libc::SECCOMP_RET_USER_NOTIF);
        for number in (0..600).filter(|n| ![bind, listen, connect].contains(n)) {
            assert_eq!(verdict(number, 16), libc::SECCOMP_RET_ALLOW, "{number}");
        }
    }
}
