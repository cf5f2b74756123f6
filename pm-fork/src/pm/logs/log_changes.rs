//! Which logs were written, and whether one came, went or was exchanged: inotify(7) on the files themselves, and on the
//! directories for the names that matter.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use pm_common::sys::inotify::{DIRECTORY, add, instance, take_events};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};

/// The names in a directory that matter.
#[derive(Debug, Default)]
struct Interest {
    names: BTreeSet<OsString>,
    /// All but hidden ones.
    all: bool,
}

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// These watches are of files that were written.
    pub(super) files: BTreeSet<i32>,
    /// Files, or apps, may have come or gone.
    pub(super) list: bool,
}

/// The watches.
#[derive(Debug)]
pub(super) struct Watch {
    /// `None`: nothing is watched.
    inotify: Option<OwnedFd>,
    /// By inotify's numbers; a file has no names.
    kept: BTreeMap<i32, Interest>,
    /// Those of the look that goes on.
    fresh: BTreeMap<i32, Interest>,
}

impl Watch {
    /// Watches what it is told to, or nothing.
    pub(super) fn new(follow: bool) -> io::Result<Self> {
        let inotify = if follow { Some(instance()?) } else { None };
        Ok(Self { inotify, kept: BTreeMap::new(), fresh: BTreeMap::new() })
    }

    /// What poll(2) can wait for.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(OwnedFd::as_fd)
    }

    /// Watches an open file, under whatever name; says which watch that is.
    pub(super) fn file(&mut self, file: &File) -> io::Result<Option<i32>> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(self.add(Path::new(&path), WatchFlags::MODIFY)?.map(|(number, _)| number))
    }

    /// Watches for a file of this name (`None`: for any) in a directory; where that is missing, for it to come.
    pub(super) fn directory(&mut self, dir: &Path, name: Option<&OsStr>) -> io::Result<()> {
        let interest = match self.add(dir, DIRECTORY) {
            Ok(None) => return Ok(()),
            Ok(Some((_, interest))) => interest,
            // Who may not look into it does without: the files themselves are watched.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                let Some(above) = dir.parent() else { return Ok(()) };
                self.directory(above, dir.file_name())?;
                // It may have been made before the one above it was watched.
                return if dir.is_dir() { self.directory(dir, name) } else { Ok(()) };
            }
            Err(e) => return Err(e),
        };
        interest.all |= name.is_none();
        interest.names.extend(name.map(OsStr::to_owned));
        Ok(())
    }

    fn add(&mut self, path: &Path, flags: WatchFlags) -> io::Result<Option<(i32, &mut Interest)>> {
        let Some(inotify) = &self.inotify else { return Ok(None) };
        let number = add(inotify, path, flags)?;
        Ok(Some((number, self.fresh.entry(number).or_default())))
    }

    /// Ends a look: what was not watched anew is watched no longer.
    pub(super) fn looked(&mut self) {
        let before = std::mem::replace(&mut self.kept, std::mem::take(&mut self.fresh));
        let Some(inotify) = &self.inotify else { return };
        for gone in before.into_keys().filter(|number| !self.kept.contains_key(number)) {
            let _ = inotify::remove_watch(inotify, gone);
        }
    }

    /// What has happened since the last call.
    pub(super) fn changed(&self) -> io::Result<Changed> {
        let mut changed = Changed::default();
        let Some(inotify) = &self.inotify else { return Ok(changed) };
        take_events(inotify, |event| {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changed.list = true;
                changed.files.extend(self.kept.keys());
            } else if event.events().contains(ReadFlags::MODIFY) {
                changed.files.insert(event.wd());
            } else {
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                changed.list |= self.kept.get(&event.wd()).is_some_and(|interest| interest.is(name));
            }
        })?;
        Ok(changed)
    }
}

impl Interest {
    /// Whether what happened to this name matters; `None`: to the directory itself.
    fn is(&self, name: Option<&OsStr>) -> bool {
        name.is_none_or(|name| self.names.contains(name) || self.all && !name.as_bytes().starts_with(b"."))
    }
}
