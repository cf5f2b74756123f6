//! Tracing another process (ptrace(2)): its threads stop at each system call, and go on when we say so.
//!
//! PTRACE_SEIZE only, and never PTRACE_O_EXITKILL: when the tracer ends, however it does, the kernel lets all go on.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

/// Stops at system calls can be told from a signal; new threads and processes are traced from their first instruction.
const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC;
/// Linux 5.3 (linux/ptrace.h; not in every C library).
const GET_SYSCALL_INFO: i32 = 0x420e;
/// The stops of PTRACE_SEIZE (linux/ptrace.h).
const EVENT_STOP: i32 = 128;
/// Bytes of `struct ptrace_syscall_info`.
const INFO_LENGTH: usize = 88;

/// Why a thread has stopped, or that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A system call begins or ends: [`call`] says which.
    Call,
    /// A signal is about to be delivered.
    Signal(i32),
    /// A stop signal has stopped its process: it is to stay so.
    Group,
    /// Interrupted, or new.
    Here,
    /// Just after it has made a thread or a process, which is traced already.
    Bore,
    /// Another program is executed.
    Executed,
    /// No stop: the thread has ended.
    Gone,
    /// None of these.
    Odd,
}

/// A system call that a thread enters or has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracedCall {
    /// The call is about to begin.
    Enters {
        /// The architecture (linux/audit.h).
        arch: u32,
        /// The number.
        number: u64,
        /// The arguments.
        args: [u64; 6],
    },
    /// The call has this result, or is to begin again.
    Leaves {
        /// What it returns; below 0: minus the error.
        value: i64,
    },
}

/// Traces a thread from now on; it is not stopped.
///
/// # Errors
/// EPERM: not allowed, or another tracer has it; ESRCH.
pub fn seize(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE as i32, thread, 0, OPTIONS as usize)
}

/// Stops a thread that is traced.
///
/// # Errors
/// ESRCH: it is gone.
pub fn interrupt(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT as i32, thread, 0, 0)
}

/// Has a stopped thread go on to its next system call; `signal` is delivered to it, unless 0.
///
/// # Errors
/// ESRCH: it is gone, or not stopped.
pub fn go_on(thread: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL as i32, thread, 0, signal as usize)
}

/// Leaves a thread in the stop of its process, to be told of its end.
///
/// # Errors
/// ESRCH: it is gone, or not stopped.
pub fn stay(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN as i32, thread, 0, 0)
}

/// Lets a stopped thread go on untraced.
///
/// # Errors
/// ESRCH: it is gone, or not stopped.
pub fn let_go(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH as i32, thread, 0, 0)
}

/// The call at which a thread has stopped; `None`: at none, or in a way that is not known.
///
/// # Errors
/// EIO before Linux 5.3; ESRCH: it is gone.
pub fn call(thread: i32) -> io::Result<Option<TracedCall>> {
    let mut bytes = [0_u8; INFO_LENGTH];
    request(GET_SYSCALL_INFO, thread, INFO_LENGTH, bytes.as_mut_ptr() as usize)?;
    Ok(parse(&bytes))
}

/// Holds SIGCHLD back, which tells of stops: for [`stops`] alone to hear.
pub fn hold_back_stops() {
    let _ = of_stops().thread_block();
}

fn of_stops() -> SigSet {
    SigSet::from_iter([Signal::SIGCHLD])
}

/// All that have stopped or ended by now of the threads that are traced, in no order that means anything; if none has, it
/// is waited for one at most so long, and there may still be none. [`hold_back_stops`] comes first.
///
/// All, as the kernel tells of the newest first: who serves one at a time lets the oldest wait for ever.
///
/// # Errors
/// ECHILD: none is traced.
pub fn stops(at_most: Duration) -> io::Result<Vec<(i32, Stop)>> {
    let all = stopped()?;
    if !all.is_empty() {
        return Ok(all);
    }
    let set = of_stops();
    let limit = libc::timespec {
        tv_sec: at_most.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    // SAFETY: the set and the time live through the call, and nothing is written where there is no siginfo_t.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const limit) };
    stopped()
}

fn stopped() -> io::Result<Vec<(i32, Stop)>> {
    let mut all = Vec::new();
    loop {
        match wait(libc::WNOHANG) {
            Ok(Some(one)) => all.push(one),
            // What ended last is told of before there is none.
            Err(error) if all.is_empty() => return Err(error),
            Ok(None) | Err(_) => return Ok(all),
        }
    }
}

/// Waits until a thread that is traced, or a child, stops or ends.
///
/// # Errors
/// ECHILD: there is none.
pub fn next() -> io::Result<(i32, Stop)> {
    wait(0)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

fn wait(flags: i32) -> io::Result<Option<(i32, Stop)>> {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one integer, which lives through the call.
        let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | flags) };
        if thread >= 0 {
            return Ok((thread > 0).then(|| (thread, stop_of(status))));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Allows the parent, and what it starts, to trace the calling process where Yama would not; for use between fork and exec.
/// Where there is no Yama, that is refused and nothing happens.
pub fn let_parent_trace() {
    // SAFETY: getppid only returns a number, and the prctl notes it; no memory is touched.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::getppid() as libc::c_ulong, 0, 0, 0) };
}

/// Names the calling process, ends it when its parent ends, and after so many seconds in any case.
pub fn live_no_longer(name: &std::ffi::CStr, seconds: u32) {
    // SAFETY: the name is a string that lives through the call, of which the kernel copies 15 bytes; the rest are numbers.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0);
        libc::alarm(seconds);
    }
}

fn request(what: i32, thread: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: of the requests made here only GET_SYSCALL_INFO has the kernel write, at most `address` bytes at `data`:
    // the length of a buffer that lives through the call. What changes in the other process is the caller's business.
    let done = unsafe { libc::syscall(libc::SYS_ptrace, i64::from(what), i64::from(thread), address, data) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The status of waitpid(2), of a thread that was seized.
fn stop_of(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) { Stop::Gone } else { Stop::Odd };
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Stop::Call,
        0 => Stop::Signal(signal),
        EVENT_STOP if signal == libc::SIGTRAP => Stop::Here,
        EVENT_STOP => Stop::Group,
        libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => Stop::Bore,
        libc::PTRACE_EVENT_EXEC => Stop::Executed,
        _ => Stop::Odd,
    }
}

/// `struct ptrace_syscall_info`: the kind, the architecture, and from byte 24 on what belongs to the kind.
fn parse(bytes: &[u8; INFO_LENGTH]) -> Option<TracedCall> {
    let word = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes);
    match bytes.first()? {
        1 => {
            let arch = u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?);
            let mut args = [0; 6];
            for (n, arg) in args.iter_mut().enumerate() {
                *arg = word(32 + 8 * n)?;
            }
            Some(TracedCall::Enters { arch, number: word(24)?, args })
        }
        2 => Some(TracedCall::Leaves { value: word(24)?.cast_signed() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stop_is_told_from_the_others() {
        let stopped = |event: i32, signal: i32| event << 16 | signal << 8 | 0x7f;
        for (status, stop) in [
            (stopped(0, libc::SIGTRAP | 0x80), Stop::Call),
            (stopped(0, libc::SIGTRAP), Stop::Signal(libc::SIGTRAP)),
            (stopped(0, libc::SIGTERM), Stop::Signal(libc::SIGTERM)),
            (stopped(0, libc::SIGSTOP), Stop::Signal(libc::SIGSTOP)),
            (stopped(0, 64), Stop::Signal(64)),
            (stopped(EVENT_STOP, libc::SIGSTOP), Stop::Group),
            (stopped(EVENT_STOP, libc::SIGTTOU), Stop::Group),
            (stopped(EVENT_STOP, libc::SIGTRAP), Stop::Here),
            (stopped(libc::PTRACE_EVENT_FORK, libc::SIGTRAP), Stop::Bore),
            (stopped(libc::PTRACE_EVENT_CLONE, libc::SIGTRAP), Stop::Bore),
            (stopped(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP), Stop::Executed),
            (stopped(libc::PTRACE_EVENT_SECCOMP, libc::SIGTRAP), Stop::Odd),
            (7 << 8, Stop::Gone),
            (libc::SIGKILL, Stop::Gone),
            (0xffff, Stop::Odd),
        ] {
            assert_eq!(stop_of(status), stop, "{status:#x}");
        }
    }

    #[test]
    fn a_call_is_read_from_what_the_kernel_gives() {
        let mut bytes = [0; INFO_LENGTH];
        assert_eq!(parse(&bytes), None);
        bytes[0] = 2;
        bytes[24..32].copy_from_slice(&(-11_i64).to_ne_bytes());
        assert_eq!(parse(&bytes), Some(TracedCall::Leaves { value: -11 }));
        bytes[0] = 1;
        bytes[4..8].copy_from_slice(&0xc000_003e_u32.to_ne_bytes());
        bytes[24..32].copy_from_slice(&44_u64.to_ne_bytes());
        (0..6).for_each(|n| bytes[32 + 8 * n] = n as u8 + 1);
        let args = [1, 2, 3, 4, 5, 6];
        assert_eq!(parse(&bytes), Some(TracedCall::Enters { arch: 0xc000_003e, number: 44, args }));
        bytes[0] = 3;
        assert_eq!(parse(&bytes), None, "a stop of seccomp");
    }
}
