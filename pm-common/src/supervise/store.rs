//! The store: descriptors that a supervisor below us lets us keep (FDSTORE=1, sd_pid_notify_with_fds(3)), so that its
//! successor has them if it is killed.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use super::WorkerSetup;
use super::succession::RELEASE;
use crate::cli::report;
use crate::supervise::notify::Assignment;

/// The most descriptors that are kept. Their numbers are reserved (`sys::listen_fds::reserve`).
pub const MOST_KEPT: usize = 8;

/// The name of descriptors that were given none, as systemd has it.
const NAMELESS: &str = "stored";

/// What is kept for the next child.
#[derive(Debug, Default)]
pub(super) struct Store {
    held: Vec<(String, OwnedFd)>,
    /// A person was told that there were too many.
    full: bool,
}

impl Store {
    /// Does what a datagram of the supervisor below asks for.
    pub(super) fn heed(&mut self, said: &[Assignment], fds: Vec<OwnedFd>) {
        let named = said.iter().find_map(|one| if let Assignment::FdName(name) = one { Some(name) } else { None });
        let name = named.map_or(NAMELESS, String::as_str);
        if said.contains(&Assignment::FdStoreRemove) {
            self.held.retain(|(held, _)| held != name);
        } else if said.contains(&Assignment::FdStore) {
            fds.into_iter().for_each(|fd| self.keep(name, fd));
        }
    }

    fn keep(&mut self, name: &str, fd: OwnedFd) {
        if self.held.len() < MOST_KEPT {
            self.held.push((name.to_owned(), fd));
        } else if !std::mem::replace(&mut self.full, true) {
            report::warning(format_args!(
                "a descriptor is not kept for a successor, there are {MOST_KEPT} already name={name}"
            ));
        }
    }

    /// Hands all to the next child, behind the sockets that it gets anyway, and tells it that more may be stored.
    pub(super) fn pass(&self, setup: &mut WorkerSetup) {
        setup.env.push(("FDSTORE".into(), MOST_KEPT.to_string().into()));
        if self.held.is_empty() {
            return;
        }
        let before =
            setup.env.iter().position(|(key, _)| key == "LISTEN_FDNAMES").map(|at| setup.env.swap_remove(at).1);
        let mut names = before.unwrap_or_default();
        for (name, fd) in &self.held {
            // Out of descriptors: the child begins without it, as if it had never been stored.
            let Ok(fd) = fd.try_clone() else { continue };
            setup.sockets.push(fd);
            names.push(if names.is_empty() { "" } else { ":" });
            names.push(name);
        }
        setup.env.retain(|(key, _)| key != "LISTEN_FDS");
        setup.env.push(("LISTEN_FDS".into(), OsString::from(setup.sockets.len().to_string())));
        setup.env.push(("LISTEN_FDNAMES".into(), names));
    }

    /// The child ended on purpose: its next one begins anew.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// The next child is to look its release up anew; what else it knows stays.
    pub(super) fn forget_releases(&mut self) {
        self.held.retain(|(name, _)| !name.starts_with(RELEASE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fd() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("it is there").into()
    }

    fn store(names: &[&str]) -> Store {
        let mut store = Store::default();
        for name in names {
            store.heed(&[Assignment::FdStore, Assignment::FdName((*name).to_owned()), Assignment::FdPoll], vec![fd()]);
        }
        store
    }

    fn passed(store: &Store, mut setup: WorkerSetup) -> (String, String) {
        store.pass(&mut setup);
        let of = |key: &str| {
            let value = setup.env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
            value.unwrap_or_default().into_string().expect("UTF-8")
        };
        assert_eq!(
            of("LISTEN_FDS"),
            if setup.sockets.is_empty() { String::new() } else { setup.sockets.len().to_string() }
        );
        (of("FDSTORE"), of("LISTEN_FDNAMES"))
    }

    #[test]
    fn what_is_stored_is_given_back_under_its_name_behind_what_comes_from_outside() {
        assert_eq!(passed(&store(&[]), WorkerSetup::default()), (MOST_KEPT.to_string(), String::new()));
        let names = "pm-state:pm-release.0";
        assert_eq!(passed(&store(&["pm-state", "pm-release.0"]), WorkerSetup::default()).1, names);
        let mut setup = WorkerSetup::default();
        setup.env.push(("LISTEN_FDS".into(), "1".into()));
        setup.env.push(("LISTEN_FDNAMES".into(), "http".into()));
        setup.sockets.push(fd());
        assert_eq!(passed(&store(&["pm-state", "pm-release.0"]), setup).1, format!("http:{names}"));
    }

    #[test]
    fn what_is_removed_is_gone() {
        let mut all = store(&["pm-state", "pm-release.0", "pm-release.1"]);
        all.heed(&[Assignment::FdStoreRemove, Assignment::FdName("pm-release.0".to_owned())], Vec::new());
        assert_eq!(passed(&all, WorkerSetup::default()).1, "pm-state:pm-release.1");
        all.forget_releases();
        assert_eq!(passed(&all, WorkerSetup::default()).1, "pm-state");
        all.clear();
        assert_eq!(passed(&all, WorkerSetup::default()).1, "");
    }

    #[test]
    fn no_more_than_the_most_are_kept_and_none_that_was_not_asked_for() {
        let mut all = store(&["x"; MOST_KEPT + 3]);
        assert_eq!(all.held.len(), MOST_KEPT);
        all.clear();
        all.heed(&[Assignment::Ready], vec![fd()]);
        assert!(all.held.is_empty());
    }
}
