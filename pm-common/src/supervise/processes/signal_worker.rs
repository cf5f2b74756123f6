//! Signals to a worker, its group, and what was found below it.

use std::io;
use std::os::fd::AsFd as _;

use nix::sys::signal::Signal;

use super::Process;
use crate::cli::report;
use crate::kernel::procfs::{self, Stat};
use crate::sys::process;

impl Process {
    /// Sends the leader a signal, wherever it went: it may have left its process group.
    pub(in crate::supervise) fn signal_leader(&mut self, number: u8) {
        let sent = process::signal(self.child.pidfd.as_fd(), number);
        self.heed(self.child.pid, sent);
    }

    /// Sends the stop signal to its whole group, and to the leader if that one has left it.
    pub(in crate::supervise) fn stop_group(&mut self, number: u8) {
        let leader = procfs::stat(self.child.pid);
        if leader.is_some_and(|stat| stat.pgrp != self.child.pid) {
            self.signal_leader(number);
        }
        let Ok(signal) = Signal::try_from(i32::from(number)) else { return self.signal_leader(number) };
        self.group_told = true;
        self.signal_group(signal);
    }

    /// Signals its whole group; what is suspended acts on that only once it goes on.
    pub(super) fn signal_group(&mut self, signal: Signal) {
        let mut sent = process::signal_group(self.child.pid, signal);
        if signal != Signal::SIGKILL && signal != Signal::SIGCONT {
            sent = sent.and_then(|()| process::signal_group(self.child.pid, Signal::SIGCONT));
        }
        self.heed(self.child.pid, sent);
    }

    /// Signals one that was found below it; what is suspended acts on that only once it goes on.
    pub(in crate::supervise) fn signal_pid(&mut self, pid: i32, signal: Signal) {
        let mut sent = process::signal_pid(pid, signal);
        if signal != Signal::SIGKILL && is_suspended(pid) {
            sent = sent.and_then(|()| process::signal_pid(pid, Signal::SIGCONT));
        }
        self.heed(pid, sent);
    }

    /// Has the leader go on, and its group, as one that waits for a child of its own would finish nothing; false: it was not
    /// suspended.
    pub(in crate::supervise) fn go_on(&mut self) -> bool {
        let leader = procfs::stat(self.child.pid).filter(is_suspended_in);
        let Some(leader) = leader else { return false };
        if leader.pgrp != self.child.pid {
            self.signal_leader(Signal::SIGCONT as u8);
        }
        self.signal_group(Signal::SIGCONT);
        true
    }

    /// Says once what keeps us from ending a worker: the stop waits for it, and only a person can help.
    fn heed(&mut self, pid: i32, sent: io::Result<()>) {
        if let Err(error) = sent
            && !std::mem::replace(&mut self.refused, true)
        {
            let reason = report::reason(&error);
            report::warning(format_args!(
                "cannot signal pid={pid}: {reason}; it runs as another user, end it as that user"
            ));
        }
    }
}

/// Whether it was suspended by SIGSTOP, or for its terminal. One that a debugger holds (state t) is left to that.
fn is_suspended(pid: i32) -> bool {
    procfs::stat(pid).is_some_and(|stat| is_suspended_in(&stat))
}

const fn is_suspended_in(stat: &Stat) -> bool {
    stat.state == b'T'
}
