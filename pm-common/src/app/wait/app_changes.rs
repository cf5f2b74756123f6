//! Sees an app, and sleeps until something of it changes: its files by inotify(7), its processes by their pidfds.
//!
//! What the events say does not matter, only that there is one: everything is looked at anew. So nothing is lost with
//! an overflow of the queue. Watches come before the look at what they watch, pidfds before the last look at whether
//! the process lives; so a change between a look and the sleep after it ends that sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::app::home;
use crate::app::status::{self, Id, Status, Told};
use crate::kernel::procfs;
use crate::policy::time::Mono;
use crate::sys::clock;
use crate::sys::inotify::{add_directory, instance, take_events};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::goal_reached::Sight;

/// How often a process may end under our hands before we make do with what we have.
const TRIES: u32 = 20;

/// The place of the app's directory, and of the one that holds those of all apps, on the way up from `status.d`.
const APP: usize = 1;
const HOME: usize = 2;

/// What watches an app.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    /// The directory of the app, and of its status files.
    dir: PathBuf,
    status_dir: PathBuf,
    /// The directories watched, by inotify's numbers.
    watched: BTreeSet<i32>,
    /// The supervisors that were seen, until they end.
    living: BTreeMap<Id, OwnedFd>,
    /// Who holds the lock, where no supervisor says anything.
    holder: Option<(Id, OwnedFd)>,
}

impl Watch {
    /// Watches the app in `dir`, which need not be there.
    ///
    /// # Errors
    /// There are no more descriptors or inotify instances to be had.
    pub fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            inotify: instance()?,
            dir: dir.to_owned(),
            status_dir: dir.join(status::DIRECTORY),
            watched: BTreeSet::new(),
            living: BTreeMap::new(),
            holder: None,
        })
    }

    /// What is to be seen now; any change of it from here on ends the next `wait`.
    ///
    /// # Errors
    /// The files cannot be read or watched.
    pub fn look(&mut self) -> io::Result<Sight> {
        let mut sight = Sight::default();
        for _ in 0..TRIES {
            self.arm()?;
            let told = Told::read(&self.dir)?;
            (sight.statuses, sight.ended) = (told.living, told.ended);
            if self.follow(&sight.statuses)? && self.follow_holder(&mut sight)? {
                break;
            }
        }
        sight.living = self.living.keys().chain(self.holder.iter().map(|(id, _)| id)).copied().collect();
        let is_suspended = |id: &&Id| procfs::stat(id.pid).is_some_and(|stat| matches!(stat.state, b'T' | b't'));
        sight.suspended = sight.living.iter().filter(is_suspended).copied().collect();
        Ok(sight)
    }

    /// Sleeps until something changes, or the deadline. It may also return without either.
    ///
    /// # Errors
    /// poll(2) or the read of the events failed.
    pub fn wait(&self, deadline: Option<Mono>) -> io::Result<()> {
        wait_for_any(&[self], &[], deadline)
    }

    /// Watches the directories of the status files, of the app, of all apps, and where that is missing, the nearest one
    /// above it.
    fn arm(&mut self) -> io::Result<()> {
        let way_up: Vec<&Path> = self.status_dir.ancestors().collect();
        let (base, watch) = self.nearest(&way_up)?;
        let mut watched = BTreeSet::from([watch]);
        // A directory that we may pass through but not read hides only what is to come in it.
        let mut hidden = None;
        // Down again: one that was missing may have been made before the one above it was watched.
        for (at, path) in way_up.iter().enumerate().take(base).rev() {
            match self.add(at, path) {
                Ok(watch) => {
                    watched.insert(watch);
                    hidden = None;
                }
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => break,
                Err(e) if e.kind() == ErrorKind::PermissionDenied => hidden = Some(e),
                Err(e) => return Err(e),
            }
        }
        // One that was moved away is not the app's any more.
        self.watched.difference(&watched).for_each(|&gone| _ = inotify::remove_watch(&self.inotify, gone));
        self.watched = watched;
        hidden.map_or(Ok(()), Err)
    }

    /// Watches the directory of all apps, or the nearest one above it that is there.
    fn nearest(&self, way_up: &[&Path]) -> io::Result<(usize, i32)> {
        let mut why = ErrorKind::NotFound.into();
        for (at, path) in way_up.iter().enumerate().skip(HOME) {
            match self.add(at, path) {
                Ok(watch) => return Ok((at, watch)),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn add(&self, at: usize, path: &Path) -> io::Result<i32> {
        add_directory(&self.inotify, path, at <= APP)
    }

    /// Gets a pidfd of each supervisor, and forgets those that have ended; `false`: one that was read is gone.
    fn follow(&mut self, statuses: &[Status]) -> io::Result<bool> {
        self.living.retain(|id, _| procfs::is_alive(id.pid, id.start));
        let mut all = true;
        for id in statuses.iter().map(|s| Id::of(&s.supervisor)) {
            if !self.living.contains_key(&id) {
                let pidfd = id.pidfd()?;
                all &= pidfd.is_some();
                self.living.extend(pidfd.map(|fd| (id, fd)));
            }
        }
        Ok(all)
    }

    /// Between its start and its first word, a supervisor can be known by the lock alone. `false`: it is gone again.
    fn follow_holder(&mut self, sight: &mut Sight) -> io::Result<bool> {
        let before = self.holder.take();
        let holder = || if sight.statuses.is_empty() { home::holder(&self.dir).ok().flatten() } else { None };
        let held = holder();
        sight.locked = held.is_some();
        let Some(Some(pid)) = held else { return Ok(true) };
        let Some(id) = procfs::start_time(pid).map(|start| Id { pid, start }) else { return Ok(false) };
        self.holder = match before.filter(|(known, _)| *known == id) {
            None => id.pidfd()?.map(|fd| (id, fd)),
            known => known,
        };
        // It must have the lock still, or the number may be another process's by now.
        Ok(self.holder.is_some() && holder() == held)
    }
}

/// Sleeps until something of one of the apps changes, one of `others` is readable, or the deadline. It may also return
/// without any of it.
///
/// # Errors
/// poll(2) or the read of the events failed.
pub fn wait_for_any(apps: &[&Watch], others: &[BorrowedFd<'_>], deadline: Option<Mono>) -> io::Result<()> {
    let pidfds = apps.iter().flat_map(|app| app.living.values().chain(app.holder.iter().map(|(_, fd)| fd)));
    let fds = apps.iter().map(|app| &app.inotify).chain(pidfds).map(AsFd::as_fd).chain(others.iter().copied());
    let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    match poll(&mut fds, deadline.map(clock::until).as_ref()) {
        Ok(_) | Err(Errno::INTR) => apps.iter().try_for_each(|app| take_events(&app.inotify, |_| ())),
        Err(e) => Err(e.into()),
    }
}
