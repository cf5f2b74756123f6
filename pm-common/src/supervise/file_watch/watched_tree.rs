//! Directories that are watched with all below them, by inotify(7).
//!
//! A directory is watched before it is read, so that what comes into it meanwhile is seen at least once. A change is a file
//! that was written and closed, that came, went, or was renamed; a link that was made. None is a directory as such, a socket
//! or a FIFO, and a file that was opened for writing and closed as it was (databases do that).
//!
//! Where it is not known any more what is where (the queue ran over, a path that was named came or went), all begins anew:
//! that is a change, too, so that what was missed meanwhile is older than the start that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, ReadFlags};

use crate::cli::globs::LeftOut;
use crate::sys::clock;
use crate::sys::inotify::{add_tree, instance, take_events};

/// A file that has changed.
#[derive(Debug)]
pub(super) struct FileChange {
    /// From the working directory, if it is in there.
    pub(super) file: PathBuf,
    pub(super) gone: bool,
}

/// What is watched, and what is not.
#[derive(Debug)]
pub(super) struct Setting {
    /// Absolute paths.
    pub(super) roots: Vec<PathBuf>,
    pub(super) left_out: LeftOut,
    /// The working directory, which people need not be told.
    pub(super) here: PathBuf,
}

impl Setting {
    fn for_people(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.here).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(path).to_owned()
    }
}

/// A directory that is watched.
#[derive(Debug, Default)]
struct WatchedDir {
    path: PathBuf,
    /// All that is in it counts.
    whole: bool,
    /// These count in any case: they are named, or on the way to what is.
    leads_to: BTreeSet<OsString>,
}

/// All that is watched.
#[derive(Debug)]
pub(super) struct WatchedTree {
    setting: Setting,
    instance: OwnedFd,
    /// By inotify's numbers.
    dirs: BTreeMap<i32, WatchedDir>,
    /// Paths that were named and are there, with what they lead to (st_dev, st_ino).
    there: BTreeMap<PathBuf, Option<(u64, u64)>>,
    /// When it began; files that were changed before are as the workers know them.
    begun: (i64, i64),
    /// When files that were closed since then had been changed.
    changed: BTreeMap<PathBuf, (i64, i64)>,
    /// Sockets, FIFOs and devices, and what was gone before it was looked at: that they go is no change.
    fleeting: BTreeSet<PathBuf>,
    /// Where something could not be watched, the first time, and why.
    trouble: Option<(PathBuf, io::Error)>,
    /// Trouble was told before.
    told: bool,
}

/// An event, taken out of the queue.
struct FileEvent {
    wd: i32,
    what: ReadFlags,
    name: Option<OsString>,
}

impl WatchedTree {
    /// Watches all that is to be; what cannot be is told by [`Self::take_trouble`].
    ///
    /// # Errors
    /// There is no inotify instance to be had.
    pub(super) fn new(setting: Setting) -> io::Result<Self> {
        let mut tree = Self {
            setting,
            instance: instance()?,
            dirs: BTreeMap::new(),
            there: BTreeMap::new(),
            begun: clock::stamp(),
            changed: BTreeMap::new(),
            fleeting: BTreeSet::new(),
            trouble: None,
            told: false,
        };
        for root in tree.setting.roots.clone() {
            tree.watch_root(&root);
        }
        Ok(tree)
    }

    pub(super) const fn instance(&self) -> &OwnedFd {
        &self.instance
    }

    /// What could not be watched, once.
    pub(super) fn take_trouble(&mut self) -> Option<(PathBuf, io::Error)> {
        let trouble = self.trouble.take().filter(|_| !self.told);
        self.told |= trouble.is_some();
        trouble
    }

    /// What has changed since the last look.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub(super) fn changes(&mut self) -> io::Result<Vec<FileChange>> {
        let mut heard = Vec::new();
        take_events(&self.instance, |event| {
            let name = event.file_name().map(|name| OsString::from_vec(name.to_bytes().to_vec()));
            heard.push(FileEvent { wd: event.wd(), what: event.events(), name });
        })?;
        let (mut found, mut lost) = (Vec::new(), false);
        for event in heard {
            lost |= self.hear(event, &mut found);
        }
        if lost {
            let came = self.begin_anew();
            found.extend(came.iter().map(|file| FileChange { file: self.setting.for_people(file), gone: false }));
        }
        Ok(found)
    }

    /// Watches all anew if a path that was named leads to another place by now: a link in its middle was exchanged, which no
    /// event tells.
    pub(super) fn follow_roots(&mut self) {
        if self.there.iter().any(|(root, known)| leads_to(root) != *known) {
            self.begin_anew();
        }
    }

    /// Watches all anew; gives a file of each path that was named and was not there before.
    fn begin_anew(&mut self) -> Vec<PathBuf> {
        for (wd, _) in std::mem::take(&mut self.dirs) {
            let _ = inotify::remove_watch(&self.instance, wd);
        }
        self.fleeting.clear();
        let before = std::mem::take(&mut self.there);
        let mut came = Vec::new();
        for root in self.setting.roots.clone() {
            came.extend(self.watch_root(&root).filter(|_| !before.contains_key(&root)));
        }
        came
    }

    /// Watches a path that was named: a directory with all in it, a file by its name; what is a link by its name, too, and
    /// what is missing by the nearest directory above it that is there. Gives the first file that is there.
    fn watch_root(&mut self, root: &Path) -> Option<PathBuf> {
        let meta = loop {
            if let Ok(meta) = root.symlink_metadata() {
                break meta;
            }
            let nearest = root.ancestors().find(|path| path.parent().is_some_and(Path::is_dir))?;
            self.watch_name(nearest);
            // Or it came before it was watched.
            nearest.symlink_metadata().ok()?;
        };
        self.there.insert(root.to_owned(), leads_to(root));
        if meta.is_dir() {
            return self.watch_below(root.to_owned());
        }
        self.watch_name(root);
        let below = (meta.is_symlink() && root.is_dir()).then(|| self.watch_below(root.to_owned()));
        below.flatten().or_else(|| Some(root.to_owned()))
    }

    fn watch_name(&mut self, path: &Path) {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
        match add_tree(&self.instance, dir) {
            Ok(wd) => {
                let watched = self.dirs.entry(wd).or_default();
                watched.path = dir.to_owned();
                watched.leads_to.insert(name.to_owned());
            }
            Err(error) => self.has_trouble(dir, error),
        }
    }

    /// Watches a directory and all below it; gives the first file that is in there.
    fn watch_below(&mut self, top: PathBuf) -> Option<PathBuf> {
        let (mut first, mut left) = (None, vec![top]);
        while let Some(dir) = left.pop() {
            let watched = match add_tree(&self.instance, &dir) {
                Ok(wd) => self.dirs.entry(wd).or_default(),
                Err(error) => {
                    self.has_trouble(&dir, error);
                    continue;
                }
            };
            (watched.path, watched.whole) = (dir.clone(), true);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) => {
                    self.has_trouble(&dir, error);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if self.setting.left_out.has(&entry.file_name(), &path) {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => left.push(path),
                    Ok(kind) if kind.is_file() || kind.is_symlink() => first = first.or(Some(path)),
                    Ok(_) => _ = self.fleeting.insert(path),
                    Err(_) => {}
                }
            }
        }
        first
    }

    fn has_trouble(&mut self, dir: &Path, error: io::Error) {
        // What has gone meanwhile tells of itself by the directory above.
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) && self.trouble.is_none() {
            self.trouble = Some((dir.to_owned(), error));
        }
    }

    /// Takes an event; gives whether it is not known any more what is where.
    fn hear(&mut self, event: FileEvent, found: &mut Vec<FileChange>) -> bool {
        let FileEvent { wd, what, name } = event;
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            let root = self.setting.roots.first().cloned().unwrap_or_default();
            found.push(FileChange { file: self.setting.for_people(&root), gone: false });
            return true;
        }
        let Some(dir) = self.dirs.get(&wd) else { return false };
        let Some(name) = name else {
            if what.contains(ReadFlags::IGNORED) {
                self.dirs.remove(&wd);
                return false;
            }
            let named = self.setting.roots.contains(&dir.path) || !dir.leads_to.is_empty();
            let gone = named && what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF);
            found.extend(gone.then(|| FileChange { file: self.setting.for_people(&dir.path), gone: true }));
            return gone;
        };
        let path = dir.path.join(&name);
        let (named, whole) = (dir.leads_to.contains(&name), dir.whole);
        if !named && (!whole || self.setting.left_out.has(&name, &path)) {
            return false;
        }
        let change = if what.contains(ReadFlags::ISDIR) {
            self.directory_changed(&path, what)
        } else {
            self.file_changed(&path, what)
        };
        found.extend(change.map(|(path, gone)| FileChange { file: self.setting.for_people(&path), gone }));
        named && !what.contains(ReadFlags::CLOSE_WRITE)
    }

    fn directory_changed(&mut self, path: &Path, what: ReadFlags) -> Option<(PathBuf, bool)> {
        if what.contains(ReadFlags::MOVED_FROM) {
            let below: Vec<i32> =
                self.dirs.iter().filter(|(_, dir)| dir.path.starts_with(path)).map(|(wd, _)| *wd).collect();
            for wd in below {
                self.dirs.remove(&wd);
                let _ = inotify::remove_watch(&self.instance, wd);
            }
            return Some((path.to_owned(), true));
        }
        let came = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        came.then(|| self.watch_below(path.to_owned())).flatten().map(|file| (file, false))
    }

    fn file_changed(&mut self, path: &Path, what: ReadFlags) -> Option<(PathBuf, bool)> {
        if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.changed.remove(path);
            return (!self.fleeting.remove(path)).then(|| (path.to_owned(), true));
        }
        let Ok(meta) = path.symlink_metadata() else {
            if what.contains(ReadFlags::CREATE) {
                self.fleeting.insert(path.to_owned());
            }
            return None;
        };
        let kind = meta.file_type();
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            self.fleeting.insert(path.to_owned());
            return None;
        }
        // A new file that is being written is closed at the end. A name of another file, and a link, are there at once.
        let complete = what.intersects(ReadFlags::MOVED_TO) || kind.is_symlink() || meta.nlink() > 1;
        let written = what.contains(ReadFlags::CLOSE_WRITE) && self.is_written(path, &meta);
        if what.contains(ReadFlags::MOVED_TO) {
            self.changed.insert(path.to_owned(), (meta.ctime(), meta.ctime_nsec()));
        }
        (written || (complete && !what.contains(ReadFlags::CLOSE_WRITE))).then(|| (path.to_owned(), false))
    }

    /// Whether a file that somebody has closed was changed: its time of change is another one. What we or the workers write
    /// to as their output does not count.
    fn is_written(&mut self, path: &Path, meta: &Metadata) -> bool {
        let at = (meta.ctime(), meta.ctime_nsec());
        let before = self.changed.insert(path.to_owned(), at);
        let since_begun = at >= self.begun || clock::stamp() < self.begun;
        before.map_or(since_begun, |before| before != at) && !is_our_output(meta)
    }
}

/// What a path leads to.
fn leads_to(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether our stdout or stderr goes to this file.
fn is_our_output(meta: &Metadata) -> bool {
    let same =
        |fd: &dyn AsFd| rustix::fs::fstat(fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (meta.dev(), meta.ino()));
    same(&io::stdout()) || same(&io::stderr())
}
