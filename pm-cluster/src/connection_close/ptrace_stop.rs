//! What to do at each stop of a thread that is traced: pure.

use nix::libc;
use pm_common::sys::ptrace::{Stop, TracedCall};
use pm_common::sys::seccomp::{ARCHITECTURE, X32};
use pm_common::sys::socket::Traffic;

/// What to do with the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Todo {
    /// Let the thread go on, with this signal (0: none).
    GoOn(i32),
    /// Look at what is being written, then let it go on.
    Look(Written),
    /// A call is done, or begins again: what was written over comes back where it may, then it goes on.
    PutBack(i64),
    /// Leave the thread stopped, as a stop signal wants it.
    Stay,
    /// Trace the thread no longer: another program runs in it.
    LetGo,
    /// Forget the thread, which is gone.
    Forget,
    /// All are let go at once: here is something that we do not know.
    LetAllGo(&'static str),
}

/// A call that sends bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) fd: i32,
    pub(super) place: Place,
}

/// Where the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Bytes {
        address: u64,
        length: u64,
    },
    /// An array of `struct iovec`.
    Pieces {
        address: u64,
        count: u64,
    },
    /// A `struct msghdr`.
    Message {
        address: u64,
    },
}

/// What to do at a stop; `call`: where the stop is one at a system call, that call, as far as the kernel tells.
pub(super) fn decide(stop: Stop, call: Option<TracedCall>) -> Todo {
    match stop {
        Stop::Signal(signal) => Todo::GoOn(signal),
        Stop::Here | Stop::Bore => Todo::GoOn(0),
        Stop::Group => Todo::Stay,
        Stop::Executed => Todo::LetGo,
        Stop::Gone => Todo::Forget,
        Stop::Odd => Todo::LetAllGo("a stop that is not known"),
        Stop::Call => match call {
            Some(TracedCall::Leaves { value }) => Todo::PutBack(value),
            Some(TracedCall::Enters { arch, number, args }) => enters(arch, number, args),
            None => Todo::LetAllGo("a system call that cannot be read"),
        },
    }
}

fn enters(arch: u32, number: u64, [fd, address, third, fourth, ..]: [u64; 6]) -> Todo {
    if ARCHITECTURE != Some(arch) || (cfg!(target_arch = "x86_64") && number >= u64::from(X32)) {
        return Todo::LetAllGo("a system call of another architecture");
    }
    let fd = fd as i32;
    let look = |place| Todo::Look(Written { fd, place });
    // The kernel reads what it sends later on: it must not change.
    let later = |flags: u64| flags & libc::MSG_ZEROCOPY as u64 != 0;
    match i64::try_from(number).unwrap_or(-1) {
        libc::SYS_write => look(Place::Bytes { address, length: third }),
        libc::SYS_sendto if !later(fourth) => look(Place::Bytes { address, length: third }),
        libc::SYS_writev => look(Place::Pieces { address, count: third }),
        libc::SYS_sendmsg if !later(third) => look(Place::Message { address }),
        libc::SYS_io_uring_enter => Todo::LetAllGo("io_uring, whose writes are no calls"),
        _ => Todo::GoOn(0),
    }
}

/// Whether the client of a connection waits for an answer, so that what is written and looks like a head is one, and no part
/// of a body. `begun`: the bytes that had come when something of that kind was written on it before.
///
/// What came last must come from the client. But the kernel's clock for that is coarse, and the head and its body may be
/// written in one tick with the request: more must have come since, or the first time the tick must be another one.
pub(super) fn is_owed(at: Traffic, begun: Option<u64>) -> bool {
    match begun {
        Some(begun) => at.received > begun && at.received_ago <= at.sent_ago,
        None => at.received > 0 && at.received_ago < at.sent_ago,
    }
}

/// Whether the client of a connection has waited so many milliseconds for an answer of which nothing has come.
pub(super) fn is_slow(at: Traffic, millis: u32) -> bool {
    at.received > 0 && at.received_ago < at.sent_ago && at.received_ago >= millis
}

/// Whether bytes that were written over in a call may be put back: nothing of them was sent, or all. `end`: up to which
/// byte of the call they go.
pub(super) fn may_put_back(value: i64, end: usize) -> bool {
    value <= 0 || usize::try_from(value).is_ok_and(|sent| sent >= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i64, args: [u64; 6]) -> Todo {
        let arch = ARCHITECTURE.expect("one of ours");
        decide(Stop::Call, Some(TracedCall::Enters { arch, number: number as u64, args }))
    }

    #[test]
    fn signals_and_stops_are_passed_on() {
        for signal in 1..=64 {
            assert_eq!(decide(Stop::Signal(signal), None), Todo::GoOn(signal));
        }
        assert_eq!(decide(Stop::Group, None), Todo::Stay);
    }

    #[test]
    fn threads_and_processes_are_followed_and_programs_are_not() {
        assert_eq!(decide(Stop::Here, None), Todo::GoOn(0));
        assert_eq!(decide(Stop::Bore, None), Todo::GoOn(0));
        assert_eq!(decide(Stop::Executed, None), Todo::LetGo);
        assert_eq!(decide(Stop::Gone, None), Todo::Forget);
    }

    #[test]
    fn what_sends_is_looked_at() {
        let place = Place::Bytes { address: 4096, length: 7 };
        assert_eq!(at(libc::SYS_write, [5, 4096, 7, 0, 0, 0]), Todo::Look(Written { fd: 5, place }));
        assert_eq!(at(libc::SYS_sendto, [5, 4096, 7, 0x4000, 0, 0]), Todo::Look(Written { fd: 5, place }));
        let place = Place::Pieces { address: 4096, count: 2 };
        assert_eq!(at(libc::SYS_writev, [6, 4096, 2, 0, 0, 0]), Todo::Look(Written { fd: 6, place }));
        let place = Place::Message { address: 4096 };
        assert_eq!(at(libc::SYS_sendmsg, [7, 4096, 0, 0, 0, 0]), Todo::Look(Written { fd: 7, place }));
    }

    #[test]
    fn all_else_goes_on() {
        let zerocopy = libc::MSG_ZEROCOPY as u64;
        assert_eq!(at(libc::SYS_sendto, [5, 4096, 7, zerocopy, 0, 0]), Todo::GoOn(0));
        assert_eq!(at(libc::SYS_sendmsg, [5, 4096, zerocopy, 0, 0, 0]), Todo::GoOn(0));
        for number in [libc::SYS_read, libc::SYS_sendfile, libc::SYS_close, libc::SYS_futex, libc::SYS_exit_group] {
            assert_eq!(at(number, [1; 6]), Todo::GoOn(0));
        }
        assert_eq!(decide(Stop::Call, Some(TracedCall::Leaves { value: -11 })), Todo::PutBack(-11));
    }

    #[test]
    fn what_we_do_not_know_is_let_go() {
        let gives_up = |todo| matches!(todo, Todo::LetAllGo(_));
        assert!(gives_up(decide(Stop::Odd, None)) && gives_up(decide(Stop::Call, None)));
        // i386.
        let other = TracedCall::Enters { arch: 0x4000_0003, number: 4, args: [0; 6] };
        assert!(gives_up(decide(Stop::Call, Some(other))));
        assert!(gives_up(at(libc::SYS_io_uring_enter, [0; 6])));
        #[cfg(target_arch = "x86_64")]
        assert!(gives_up(at(i64::from(X32) + libc::SYS_write, [0; 6])));
    }

    #[test]
    fn what_is_written_without_a_new_request_is_no_head() {
        let at = |received_ago, sent_ago, received| Traffic { established: true, sent_ago, received_ago, received };
        assert!(is_owed(at(0, 4, 100), None), "a first one");
        assert!(!is_owed(at(4, 4, 100), None) && !is_owed(at(8, 4, 100), None), "it may be a body");
        assert!(!is_owed(at(0, 9, 0), None), "nobody has asked");
        assert!(is_owed(at(4, 4, 101), Some(100)), "a request has come since");
        assert!(!is_owed(at(4, 4, 100), Some(100)) && !is_owed(at(0, 4, 100), Some(100)), "none has come");
        assert!(!is_owed(at(8, 4, 101), Some(100)), "something was sent since");
    }

    #[test]
    fn a_slow_answer_is_one_that_has_not_begun() {
        let at = |received_ago, sent_ago, received| Traffic { established: true, sent_ago, received_ago, received };
        assert!(is_slow(at(200, 5000, 100), 200) && !is_slow(at(199, 5000, 100), 200));
        assert!(!is_slow(at(5000, 300, 100), 200), "it has begun");
        assert!(!is_slow(at(5000, 6000, 0), 200), "nobody has asked");
    }

    #[test]
    fn what_is_half_sent_stays_as_it_is() {
        assert!(may_put_back(-11, 60) && may_put_back(0, 60) && may_put_back(-512, 60));
        assert!(may_put_back(60, 60) && may_put_back(100, 60));
        assert!(!may_put_back(1, 60) && !may_put_back(59, 60));
    }
}
