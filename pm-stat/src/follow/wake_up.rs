//! Sees which apps change, and sleeps until one does: their files by inotify(7), their supervisors by pidfds.
//!
//! An event says only whom to look at anew. Watches come before the look at what they watch, pidfds before the last look
//! at whether the process lives: so what changes between a look and the sleep after it ends that sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use pm_common::app::status;
use pm_common::app::status::Id;
use pm_common::kernel::procfs;
use pm_common::policy::time::Mono;
use pm_common::sys::clock;
use pm_common::sys::inotify::{add_directory, instance, take_events};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, ReadFlags};
use rustix::io::Errno;

use crate::look::app::App;

/// How often a supervisor may end under our hands before we make do with what we have: its end is an event, too.
const TRIES: u32 = 5;

/// Who has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Apps may have come or gone.
    pub(crate) list: bool,
    /// These are to be looked at anew.
    pub(crate) apps: BTreeSet<String>,
    /// Nobody reads any more what we say.
    pub(crate) reader_gone: bool,
}

/// What watches all apps.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
    home: PathBuf,
    /// The app that each watched directory belongs to, by inotify's numbers; `None`: that of all apps, or above.
    watched: BTreeMap<i32, Option<String>>,
    /// The supervisors that were seen, and whose they are.
    pidfds: BTreeMap<Id, (String, OwnedFd)>,
}

impl Watch {
    /// Watches the directory of all apps, which need not be there.
    pub(crate) fn new(home: &Path) -> io::Result<Self> {
        let inotify = instance()?;
        let mut watch = Self { inotify, home: home.to_owned(), watched: BTreeMap::new(), pidfds: BTreeMap::new() };
        watch.watch_list()?;
        Ok(watch)
    }

    /// Watches the directory of all apps, or the nearest one above it that is there; to be called before the apps are
    /// listed.
    pub(crate) fn watch_list(&mut self) -> io::Result<()> {
        let home = self.home.clone();
        for path in home.ancestors() {
            match self.add(path, None) {
                // It may have been made before the one above it was watched.
                Ok(()) if path != home && home.exists() => return self.add(&home, None),
                Err(e) if is_missing(&e) => {}
                other => return other,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What is to be seen of an app now; `None`: it is not there, or another user's whom we may not look at. Any change of it from here on is told by `wait`.
    pub(crate) fn look(&mut self, app: &str) -> io::Result<Option<App>> {
        let dir = self.home.join(app);
        for path in [&dir, &dir.join(status::DIRECTORY)] {
            match self.add(path, Some(app)) {
                Ok(()) => {}
                Err(e) if is_missing(&e) && *path != dir => break,
                Err(e) if is_missing(&e) || e.kind() == io::ErrorKind::PermissionDenied => {
                    self.forget(app);
                    return Ok(None);
                }
                Err(e) => return Err(e),
            }
        }
        let mut seen = App::look(app, &dir)?;
        for _ in 0..TRIES {
            if self.hold(&seen)? {
                break;
            }
            seen = App::look(app, &dir)?;
        }
        Ok(Some(seen))
    }

    /// An app that is gone, or not of interest, is watched no longer.
    pub(crate) fn forget(&mut self, app: &str) {
        let of_app = |whose: &Option<String>| whose.as_deref() == Some(app);
        let gone: Vec<_> = self.watched.iter().filter(|(_, whose)| of_app(whose)).map(|(watch, _)| *watch).collect();
        for watch in gone {
            self.watched.remove(&watch);
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
        self.pidfds.retain(|_, (whose, _)| whose != app);
    }

    /// Sleeps until something changes, or the deadline.
    pub(crate) fn wait(&mut self, deadline: Option<Mono>) -> io::Result<Changed> {
        let stdout = rustix::stdio::stdout();
        let mut fds = vec![PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
        fds.extend(self.pidfds.values().map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        match poll(&mut fds, deadline.map(clock::until).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut changed = Changed { reader_gone: ready.get(1).copied().unwrap_or(false), ..Changed::default() };
        let mut ended = ready.iter().skip(2);
        self.pidfds.retain(|_, (app, _)| {
            let ended = ended.next().copied().unwrap_or(false);
            if ended {
                changed.apps.insert(app.clone());
            }
            !ended
        });
        self.read_events(&mut changed)?;
        Ok(changed)
    }

    fn read_events(&mut self, changed: &mut Changed) -> io::Result<()> {
        let watched = &mut self.watched;
        take_events(&self.inotify, |event| {
            let hidden = event.file_name().is_some_and(|name| name.to_bytes().starts_with(b"."));
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                // Whatever happened: look at everything.
                changed.list = true;
                changed.apps.extend(watched.values().flatten().cloned());
            } else if let Some(whose) = watched.get(&event.wd()) {
                match whose {
                    Some(app) => _ = changed.apps.insert(app.clone()),
                    // What begins with a dot is no app; we leave samples there ourselves.
                    None => changed.list |= !hidden,
                }
            }
            if event.events().contains(ReadFlags::IGNORED) {
                watched.remove(&event.wd());
            }
        })
    }

    fn add(&mut self, path: &Path, app: Option<&str>) -> io::Result<()> {
        let watch = add_directory(&self.inotify, path, app.is_some())?;
        self.watched.insert(watch, app.map(str::to_owned));
        Ok(())
    }

    /// Gets a pidfd of each supervisor of the app, of the holder of its lock, and of what killed supervisors left; `false`: one that was read is gone.
    fn hold(&mut self, seen: &App) -> io::Result<bool> {
        let told = seen.sight.statuses.iter().map(|s| Id::of(&s.supervisor));
        let holder = seen.holder.flatten().and_then(|pid| Some(Id { pid, start: procfs::start_time(pid)? }));
        let mut all = true;
        let orphans = seen.orphans().into_iter().filter_map(|(_, w)| Some(Id { pid: w.pid?, start: w.start? }));
        for id in told.chain(holder).chain(orphans) {
            if self.pidfds.contains_key(&id) {
                continue;
            }
            let pidfd = id.pidfd()?;
            all &= pidfd.is_some();
            self.pidfds.extend(pidfd.map(|fd| (id, (seen.name.clone(), fd))));
        }
        Ok(all)
    }
}

/// Whether there is no such directory, or not yet.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
