//! Succession: what a supervisor puts into the store of the one above it, and what it finds there if it follows one that
//! was killed.
//!
//! The one above keeps descriptors (FDSTORE in our environment says so: a pm-restart, or systemd with
//! FileDescriptorStoreMax=). In it are the journal and the directory of the release that a start uses. Where nobody keeps
//! anything, nothing of this happens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::Publisher;
use super::journal::{Journal, KeptRelease, State};
use crate::app::status::Id;
use crate::cli::report::{self, Failure};
use crate::policy::supervisor::{Carried, Machine};
use crate::supervise::notify::Assignment;
use crate::supervise::notify_send::Upward;
use crate::supervise::release::{Origin, Release, Releases};
use crate::sys::{clock, listen_fds};

/// The journal's name in the store.
const STATE: &str = "pm-state";
/// What the names of releases' directories begin with there; their number follows.
pub(super) const RELEASE: &str = "pm-release.";

/// Both ends of it.
#[derive(Debug, Default)]
pub struct Succession {
    /// The way to the one that keeps what we store; `None`: nobody does.
    keeper: Option<Upward>,
    journal: Option<Journal>,
    /// The journal is in the store.
    stored: bool,
    /// The directories in the store, by name.
    releases: BTreeMap<String, Rc<OwnedFd>>,
    /// What the one before us left, until it is taken over.
    before: Option<State>,
    /// What was written last: the machine's part, and the number of the release.
    written: Option<(Carried, u64)>,
    /// A person was told that nothing can be kept.
    refused: bool,
}

impl Succession {
    /// From our environment, for a supervisor of this program. Enters the directory of the release that it goes on
    /// with: the one that we were started in may be gone.
    #[must_use]
    pub fn from_env(argv: &[OsString]) -> Self {
        let room = std::env::var("FDSTORE").ok().and_then(|most| most.parse::<u64>().ok()).unwrap_or(0);
        let keeper = if room > 0 { Upward::from_env().ok().flatten() } else { None };
        let mut all = Self { keeper, ..Self::default() };
        for (name, fd) in listen_fds::take_kept() {
            if name == STATE {
                all.open(fd);
            } else if name.starts_with(RELEASE) {
                all.releases.insert(name, Rc::new(fd));
            }
        }
        all.enter(argv);
        all
    }

    fn open(&mut self, memory: OwnedFd) {
        let (journal, before) = Journal::open(memory);
        if before.is_none() {
            report::warning("what the supervisor before this one has left cannot be read, starting anew");
        }
        (self.journal, self.before, self.stored) = (Some(journal), before, true);
    }

    fn enter(&mut self, argv: &[OsString]) {
        if let Some(state) = &self.before
            && state.argv == argv
            && let Some(directory) = self.releases.get(&state.release.descriptor)
            && exists(directory.as_fd())
            && rustix::process::fchdir(directory).is_ok()
        {
            return;
        }
        // Another program, or nothing is left of that release.
        self.releases.clear();
        if std::env::current_dir().is_err()
            && let Some(named) = std::env::var_os("PWD")
            && std::env::set_current_dir(&named).is_ok()
        {
            let named = named.display();
            report::warning(format_args!(
                "the working directory was removed, starting in what has its name now: {named}"
            ));
        }
    }

    /// Has the machine and the publisher go on from what was left, and gives the releases to go on with.
    ///
    /// # Errors
    /// As `Origin::resolve`.
    pub(super) fn take_over(
        &mut self,
        machine: &mut Machine,
        publisher: &mut Publisher,
        origin: Origin,
    ) -> Result<Releases, Failure> {
        let Some(State { first, machine: mut carried, release, resolved, .. }) = self.before.take() else {
            return Releases::begin(origin, 0);
        };
        first.into_iter().for_each(|first| publisher.succeed(first));
        let KeptRelease { number, logical, program, env, descriptor } = release;
        let directory = self.releases.get(&descriptor).cloned();
        if directory.is_none() {
            // Another program, or another version of it, may listen elsewhere.
            carried.heard.clear();
        }
        machine.resume(&carried, clock::now());
        let found = if directory.is_some() { "kept" } else { "looked up anew" };
        report::warning(format_args!(
            "the supervisor before this one was killed, going on from what it had reached workers={} release={found}",
            machine.counts().0
        ));
        match directory {
            Some(directory) => {
                let release = Release { number, directory, env, program };
                Ok(Releases::resume(origin, logical, release, resolved))
            }
            None => Releases::begin(origin, resolved),
        }
    }

    /// Writes down what a successor of ours would have to know, if that has changed. Before anybody is told of it.
    pub(super) fn remember(&mut self, argv: &[OsString], first: Id, machine: &Machine, releases: &Releases) {
        if self.keeper.is_none() {
            return;
        }
        let carried = machine.carried();
        let release = releases.settled(machine.is_rolling());
        let unchanged =
            self.written.as_ref().is_some_and(|(last, number)| *last == carried && *number == release.number);
        if unchanged && self.stored && self.releases.len() == 1 {
            return;
        }
        let name = format!("{RELEASE}{}", release.number);
        self.store_release(&name, &release.directory);
        let state = State {
            argv: argv.to_vec(),
            first: Some(first),
            machine: carried,
            release: KeptRelease {
                number: release.number,
                logical: releases.logical().to_owned(),
                program: release.program.clone(),
                env: release.env.clone(),
                descriptor: name.clone(),
            },
            resolved: releases.resolved(),
        };
        let number = release.number;
        if self.write(&state) {
            self.written = Some((state.machine, number));
            self.drop_all_but(&name);
        }
    }

    fn store_release(&mut self, name: &str, directory: &Rc<OwnedFd>) {
        if !self.releases.contains_key(name) && self.store(name, directory.as_fd()) {
            self.releases.insert(name.to_owned(), Rc::clone(directory));
        }
    }

    fn write(&mut self, state: &State) -> bool {
        match self.try_write(state) {
            Ok(()) => true,
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    let reason = report::reason(&error);
                    report::warning(format_args!(
                        "cannot write down the state for a successor, one would begin anew: {reason}"
                    ));
                }
                false
            }
        }
    }

    fn try_write(&mut self, state: &State) -> std::io::Result<()> {
        let mut journal = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::new(STATE)?,
        };
        let written = journal.write(state);
        self.stored = self.stored || self.store(STATE, journal.memory());
        self.journal = Some(journal);
        written
    }

    /// False: nobody took it now; it is tried again at the next turn.
    fn store(&self, name: &str, fd: BorrowedFd<'_>) -> bool {
        let lines = [Assignment::FdStore, Assignment::FdName(name.to_owned()), Assignment::FdPoll];
        self.keeper.as_ref().is_some_and(|keeper| keeper.send_with(&lines, fd))
    }

    fn remove(&self, name: &str) -> bool {
        let lines = [Assignment::FdStoreRemove, Assignment::FdName(name.to_owned())];
        self.keeper.as_ref().is_some_and(|keeper| keeper.send(&lines))
    }

    fn drop_all_but(&mut self, name: &str) {
        let others: Vec<String> = self.releases.keys().filter(|other| *other != name).cloned().collect();
        for other in others {
            if self.remove(&other) {
                self.releases.remove(&other);
            }
        }
    }

    /// We end on purpose: who comes next begins anew.
    pub(super) fn end(&mut self) {
        self.drop_all_but("");
        if std::mem::take(&mut self.stored) {
            self.remove(STATE);
        }
        self.keeper = None;
    }
}

/// Whether the directory has a name still.
fn exists(directory: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| stat.st_nlink > 0)
}
