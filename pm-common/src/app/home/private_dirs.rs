//! The directories of apps: for their user alone, and not to be led elsewhere by others.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::OFlags;

use super::files::{Site, read_all};
use crate::cli::report::{self, Failure};

pub use super::not_owner::as_owner;

/// Why a directory cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The directory belongs to this user.
    Foreign(PathBuf, u32),
    /// The directory is not ours, and others may exchange what we make there: its mode.
    Open(PathBuf, u32),
    /// The directory, or a file in it, cannot be made, opened or locked.
    Io(PathBuf, io::Error),
    /// Nothing can be written there, and it cannot be made.
    Barred(PathBuf),
    /// Nothing says where it would be.
    Homeless,
}

impl Trouble {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Foreign(path, uid) => {
                format!("{} belongs to user {uid}, we are {}{}", path.display(), geteuid(), as_owner(*uid))
            }
            Self::Open(path, mode) => format!(
                "others may exchange what is in {} (mode {:04o}): have its owner chmod +t it, or set PM_HOME to a \
                 directory of your own, such as {}",
                path.display(),
                mode & 0o7777,
                path.join(geteuid().to_string()).display()
            ),
            Self::Io(path, e) if is_no_directory(e) => no_directory(path),
            Self::Io(path, e) => format!("cannot use {}: {}", path.display(), report::reason(e)),
            Self::Barred(path) => format!("{} cannot be written", path.display()),
            Self::Homeless => "neither PM_HOME nor HOME is set".to_owned(),
        }
    }

    pub(super) fn warn(&self) {
        report::warning(format_args!("no directory for this app, so pm-stat will not show it: {}", self.text()));
    }
}

/// Whether a file has the name of a directory (mkdir(2) says that it exists).
fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists)
}

/// The text of a path that cannot be a directory, and what to do.
fn no_directory(path: &Path) -> String {
    let is_none = |part: &&Path| part.metadata().is_ok_and(|found| !found.is_dir());
    let part = path.ancestors().find(is_none).unwrap_or(path).display();
    format!("{part} is no directory: move it out of the way, or set PM_HOME to another place")
}

/// Makes the directory of all apps, and those above it that are missing, for this user alone.
pub(super) fn make_home(home: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(home)
}

/// Makes the directory of an app, and those above it that are missing, for this user alone.
pub(super) fn make_dir(home: &Path, dir: &Path) -> Result<(), Trouble> {
    // Before anything is made behind a link of another user's, too.
    check_home(home).or_else(|trouble| if matches!(trouble, Trouble::Open(..)) { Ok(()) } else { Err(trouble) })?;
    make_home(home).map_err(|e| Trouble::Io(home.to_owned(), e))?;
    match check_home(home) {
        // A supervisor goes on: in a container nobody else may be there, and nobody who could change the mode.
        Err(trouble @ Trouble::Open(..)) => report::warning(trouble.text()),
        other => other?,
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Trouble::Io(dir.to_owned(), e)),
        _ => {}
    }
    check_dir(dir)
}

/// The failure of a directory of all apps whose names cannot be read.
pub(super) fn unreadable(home: &Path, error: &io::Error) -> Failure {
    Failure::own(match is_no_directory(error) {
        true => no_directory(home),
        false => format!("cannot read {}: {}", home.display(), report::reason(error)),
    })
}

/// Makes sure that what we make in the directory of all apps stays ours: it is ours or root's (/run/pm, with the sticky
/// bit), and no link of another user leads to it. One that is not there yet is fine.
///
/// One of ours in which others could exchange our directories gets the sticky bit.
pub(super) fn check_home(home: &Path) -> Result<(), Trouble> {
    let us = geteuid().as_raw();
    let trouble = |e: io::Error| Trouble::Io(home.to_owned(), e);
    check_links(home)?;
    let found = match std::fs::metadata(home) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(trouble)?,
    };
    if found.uid() != 0 && found.uid() != us {
        return Err(Trouble::Foreign(home.to_owned(), found.uid()));
    }
    if found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0 {
        return Ok(());
    }
    if found.uid() != us {
        return Err(Trouble::Open(home.to_owned(), found.mode()));
    }
    std::fs::set_permissions(home, PermissionsExt::from_mode(found.mode() & 0o7777 | 0o1000)).map_err(trouble)
}

/// Makes sure that the directory of all apps may be used for this user's by what root runs for good: it is that user's or
/// root's, as are the links that lead there. One that is not there yet is fine.
///
/// # Errors
/// 125: whose it is, and what to do.
pub fn check_for(home: &Path, user: u32) -> Result<(), Failure> {
    let stranger = |path: &Path, found: io::Result<std::fs::Metadata>| match found {
        Ok(found) if found.uid() != 0 && found.uid() != user => Err(Failure::own(format!(
            "{} belongs to user {}, and would be used for the apps of user {user}: name its owner with -u, or set PM_HOME to \
             a directory of user {user}",
            path.display(),
            found.uid()
        ))),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::own(Trouble::Io(path.to_owned(), e).text())),
        _ => Ok(()),
    };
    let mut links = home.ancestors().filter(|part| part.is_symlink());
    links.try_for_each(|part| stranger(part, std::fs::symlink_metadata(part)))?;
    stranger(home, std::fs::metadata(home))
}

/// Makes sure that no link of another user's leads to the place.
fn check_links(home: &Path) -> Result<(), Trouble> {
    for part in home.ancestors() {
        let link = std::fs::symlink_metadata(part).ok().filter(std::fs::Metadata::is_symlink);
        if let Some(link) = link.filter(|link| link.uid() != 0 && link.uid() != geteuid().as_raw()) {
            return Err(Trouble::Foreign(part.to_owned(), link.uid()));
        }
    }
    Ok(())
}

/// The owner of an app's directory, which is also that of the place of all apps, unless that is ours or root's.
///
/// # Errors
/// 125: a link of another user's leads here, or the directory is not of who owns the place of all apps.
pub fn owner_of(dir: &Path) -> Result<u32, Failure> {
    owner_in(dir.parent().unwrap_or(dir), dir).map_err(|trouble| Failure::own(trouble.text()))
}

fn owner_in(home: &Path, dir: &Path) -> Result<u32, Trouble> {
    check_links(home)?;
    let place = std::fs::metadata(home).map_err(|e| Trouble::Io(home.to_owned(), e))?.uid();
    let found = std::fs::symlink_metadata(dir).map_err(|e| Trouble::Io(dir.to_owned(), e))?;
    let shared = place == 0 || place == geteuid().as_raw();
    if found.is_dir() && (shared || found.uid() == place) {
        Ok(found.uid())
    } else {
        Err(Trouble::Foreign(dir.to_owned(), found.uid()))
    }
}

/// Makes sure that the directory is one, is ours, and is closed to others.
pub(super) fn check_dir(dir: &Path) -> Result<(), Trouble> {
    let trouble = |e: io::Error| Trouble::Io(dir.to_owned(), e);
    let metadata = std::fs::symlink_metadata(dir).map_err(trouble)?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(Trouble::Foreign(dir.to_owned(), metadata.uid()));
    }
    // A symbolic link is refused here too: not following it keeps others from leading us elsewhere.
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(dir).map_err(trouble)?;
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o700)).map_err(trouble)?;
    }
    Ok(())
}

/// Opens a file of the app to be written anew, mode 0600, following no link.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // What is no file (a FIFO) might hold us up for ever.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Reads a file that the user named ([`Site`]), of at most so many bytes: links are followed. What is no file (a FIFO, a device) is
/// refused, as it might hold us up for ever.
///
/// # Errors
/// It cannot be read, is no regular file, or is larger.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_regular_of(path, most).map(|(bytes, _)| bytes)
}

/// Reads a regular file as [`read_regular`] does, and says whose it is.
///
/// # Errors
/// As [`read_regular`].
pub fn read_regular_of(path: &Path, most: u64) -> io::Result<(Vec<u8>, u32)> {
    let file = Site::find(path)?.open(OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::from_raw_os_error(nix::libc::EISDIR));
    }
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok((read_all(file, most)?, found.uid()))
}
