//! The closing of idle connections at the end of a drain, while the server still answers what comes.
//!
//! A server that the stop signal kills leaves its connections to the kernel, which closes one after the other: with some
//! thousands of them that takes a tenth of a second, in which requests come and nobody is there to answer them. What is
//! closed here was idle at that moment, and only a request that is on its way just then is lost, as with any server that
//! closes idle connections: no two ends of a connection know at the same time that it has ended.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use pm_common::kernel::procfs;
use pm_common::sys::{other_process, socket};
use rustix::event::{Timespec, poll};
use rustix::net::{Shutdown, shutdown};

/// Milliseconds without anything after which a connection is idle, and no answer that comes in parts.
const IDLE: u32 = 1000;
/// Connections that are closed in one go, and the pause after them: clients have many at the same time, too, and those
/// that hear it sooner than they ask lose nothing.
const GO: usize = 50;
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Closes the idle connections of these processes to these ports.
pub(super) fn close(processes: &BTreeSet<i32>, ports: &BTreeSet<u16>) {
    let descriptors = processes.iter().flat_map(|pid| {
        let all = procfs::socket_descriptors(*pid);
        all.into_iter().map(|number| (*pid, number))
    });
    let mut closed = 0;
    for (process, number) in descriptors {
        // It may be another one by now, or none.
        let Ok(connection) = other_process::take_descriptor(process, number) else { continue };
        if close_if_idle(&connection, ports) {
            closed += 1;
            if closed % GO == 0 {
                let _ = poll(&mut [], Some(&PAUSE));
            }
        }
    }
}

/// Ends both directions: a server that read a request after this could not answer it.
fn close_if_idle(connection: &OwnedFd, ports: &BTreeSet<u16>) -> bool {
    let ours = || socket::local_inet(connection).is_ok_and(|local| ports.contains(&local.port()));
    let idle = || socket::is_idle(connection, IDLE).unwrap_or(false);
    ours() && idle() && shutdown(connection, Shutdown::Both).is_ok()
}
