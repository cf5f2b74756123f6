//! Ports that nothing else on the machine takes while a test runs.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the kernel gives to clients (from 32768), so that no connection of another test takes one.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A port that is free for TCP and UDP, and promised to no other test of this machine until this process ends.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seed = std::process::id().wrapping_mul(2_654_435_761);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + seed.wrapping_add(step) % COUNT).expect("below 65536");
        // Claimed first: to try a port that is another test's would be in the way of what that test starts just then.
        if claim(port) && TcpListener::bind(("::", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// An abstract socket is the claim: it ends with the process, whatever happens to it.
fn claim(port: u16) -> bool {
    let name = format!("pm-tests-port-{port}");
    let address = SocketAddr::from_abstract_name(name).expect("a short name");
    UnixListener::bind_addr(&address).map(std::mem::forget).is_ok()
}
