//! Binds that are not looked after, of which a person should know.

use pm_common::sys::other_process;

use super::{Asked, Binds, LONGEST_ADDRESS, decide};

/// Names of unix sockets that are kept in mind.
const MOST_NAMES: usize = 64;

impl Binds {
    /// Says so when workers of two slots bind the same unix socket: whether the second removes the path or is refused,
    /// it is not what several workers are for.
    pub(super) fn note_unix(&mut self, asked: &Asked, bytes: &[u8]) {
        let Some(name) = decide::unix_name(bytes) else { return };
        let slot = asked.who.slot;
        let known = self.unix.get(name).copied();
        if known.is_none() && self.unix.len() < MOST_NAMES {
            self.unix.insert(name.to_vec(), slot);
        }
        if known.is_some_and(|other| other != slot) && self.waits(asked) {
            let name = shown(name);
            let remedy = format!("a server that takes LISTEN_FDS can share it: --listen unix:{name}");
            self.warnings.push(format!(
                "workers bind the same unix socket, which is not shared: one of them is reached address=unix:{name}; \
                 {remedy}"
            ));
        }
    }

    /// What a worker left behind as it ended binds a port: it has made itself a daemon, most likely.
    pub(super) fn note_left_behind(&mut self, (thread, at, length): (i32, usize, usize)) {
        let bytes = other_process::read_memory(thread, at, length.min(LONGEST_ADDRESS)).unwrap_or_default();
        if let Some(address) = decide::socket_address(&bytes).filter(|address| address.port() != 0) {
            self.warnings.push(format!(
                "a worker has ended and left a process that binds a port, nobody looks after it address={address}; run \
                 the program in the foreground, not as a daemon"
            ));
        }
    }
}

/// A path, or `@name`.
fn shown(name: &[u8]) -> String {
    match name.strip_prefix(&[0]) {
        Some(name) => format!("@{}", String::from_utf8_lossy(name)),
        None => String::from_utf8_lossy(name).into_owned(),
    }
}
