//! The directories of apps: for their user alone, and not to be led elsewhere by others.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::report;

/// Why a directory cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It belongs to this user.
    Foreign(PathBuf, u32),
    /// It cannot be made, opened or locked.
    Io(PathBuf, io::Error),
    /// Nothing says where it would be.
    Homeless,
}

impl Trouble {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Foreign(path, uid) => {
                format!("{} belongs to user {uid}, we are {}", path.display(), nix::unistd::geteuid())
            }
            Self::Io(path, e) => format!("cannot use {}: {}", path.display(), report::reason(e)),
            Self::Homeless => "neither PM_HOME nor HOME is set".to_owned(),
        }
    }

    pub(super) fn warn(&self) {
        report::warning(format_args!("no directory for this app, so pm-stat will not show it: {}", self.text()));
    }
}

/// Makes the directory of an app, and those above it that are missing, for this user alone.
pub(super) fn make_dir(home: &Path, dir: &Path) -> Result<(), Trouble> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(home).map_err(|e| Trouble::Io(home.to_owned(), e))?;
    // Root may have made the place (/run/pm, with the sticky bit); anybody else could exchange what we make there.
    let owner = std::fs::metadata(home).map_err(|e| Trouble::Io(home.to_owned(), e))?.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(Trouble::Foreign(home.to_owned(), owner));
    }
    builder.create(dir).map_err(|e| Trouble::Io(dir.to_owned(), e))?;
    check_dir(dir)
}

/// Makes sure that the directory is one, is ours, and is closed to others.
pub(super) fn check_dir(dir: &Path) -> Result<(), Trouble> {
    let trouble = |e: io::Error| Trouble::Io(dir.to_owned(), e);
    let metadata = std::fs::symlink_metadata(dir).map_err(trouble)?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
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
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options.open(path)
}

/// Reads a file of at most so many bytes. What is no file (a FIFO, a device) is refused: it might hold us up for ever.
///
/// # Errors
/// It cannot be read, is no regular file, or is larger.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::from_raw_os_error(nix::libc::EISDIR));
    }
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len().min(most)).unwrap_or(0));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(io::Error::other(format!("larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// Replaces a file in an app's directory, mode 0600: a reader sees the old one or the new one.
///
/// # Errors
/// It cannot be written; the old one is as it was.
pub fn replace_file(dir: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    let new = dir.join(format!(".{name}.new"));
    let written = create_file(&new).and_then(|mut file| file.write_all(contents));
    written.and_then(|()| std::fs::rename(&new, dir.join(name))).inspect_err(|_| {
        // On a full disk, half a file would be in the way of what comes next.
        let _ = std::fs::remove_file(&new);
    })
}
