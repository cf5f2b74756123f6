//! The closing of idle connections at the end of a drain, while the server still answers what comes.
//!
//! A server that the stop signal kills leaves its connections to the kernel, which closes one after the other: with some
//! thousands of them that takes a tenth of a second, in which requests come and nobody is there to answer them. What is
//! closed here was idle at that moment, and only a request that is on its way just then is lost, as with any server that
//! closes idle connections: no two ends of a connection know at the same time that it has ended.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use pm_common::kernel::procfs;
use pm_common::sys::{other_process, socket};
use rustix::event::{Timespec, poll};
use rustix::net::{Shutdown, shutdown};

/// Milliseconds without anything after which a connection is idle, and no answer that comes in parts.
const IDLE: u32 = 1000;
/// Connections that are closed in one go. There is a pause after each: clients have many at the same time, too, and those
/// that hear of it sooner than they ask lose nothing.
const GO: u32 = 50;
/// All pauses together, and the longest one.
const PAUSES: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Closes the idle connections of these processes to these ports.
pub(super) fn close(processes: &BTreeSet<i32>, ports: &BTreeSet<u16>) {
    let of_process = |pid: &i32| procfs::socket_descriptors(*pid).into_iter().map(|number| (*pid, number)).collect();
    let descriptors: Vec<(i32, i32)> = processes.iter().flat_map::<Vec<_>, _>(of_process).collect();
    let pause = pause_of(descriptors.len());
    let mut closed = 0_u32;
    for (process, number) in descriptors {
        // It may be another one by now, or none.
        let Ok(connection) = other_process::take_descriptor(process, number) else { continue };
        if close_if_idle(&connection, ports) {
            closed += 1;
            if closed.is_multiple_of(GO) {
                let _ = poll(&mut [], Some(&pause));
            }
        }
    }
}

/// The pause after each go of so many connections.
fn pause_of(count: usize) -> Timespec {
    let goes = u32::try_from(count).unwrap_or(u32::MAX) / GO;
    let pause = (PAUSES / goes.max(1)).min(LONGEST_PAUSE);
    Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() }
}

/// Ends both directions: a server that read a request after this could not answer it.
fn close_if_idle(connection: &OwnedFd, ports: &BTreeSet<u16>) -> bool {
    let ours = || socket::local_inet(connection).is_ok_and(|local| ports.contains(&local.port()));
    let idle = || socket::is_idle(connection, IDLE).unwrap_or(false);
    ours() && idle() && shutdown(connection, Shutdown::Both).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_closed_in_the_time_that_there_is() {
        assert_eq!(
            [1, 50, 4000, 10_000].map(|count| pause_of(count).tv_nsec),
            [10_000_000, 10_000_000, 6_250_000, 2_500_000]
        );
    }
}
