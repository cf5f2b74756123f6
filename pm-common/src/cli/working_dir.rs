//! The working directory, by the name that the person has for it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, PathBuf};

/// The working directory: `$PWD`, if that is where we are, so that a `current` that leads to the newest release stays `current`.
///
/// # Errors
/// Those of getcwd(3): NotFound, if it was removed.
pub fn here() -> io::Result<PathBuf> {
    let physical = std::env::current_dir()?;
    let id = |path: &PathBuf| path.metadata().ok().map(|m| (m.dev(), m.ino()));
    let logical = std::env::var_os("PWD").map(PathBuf::from);
    Ok(logical.filter(|pwd| pwd.is_absolute() && id(pwd) == id(&physical)).unwrap_or(physical))
}

/// A path as it is found from any directory, without `.` and `..` in it, and without a slash at its end.
///
/// # Errors
/// As [`here`].
pub fn absolute(path: &str) -> io::Result<String> {
    let mut plain = PathBuf::new();
    for part in here()?.join(path).components() {
        // As `cd` of a shell has it: from a directory that was reached by a link, to where the link is.
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    Ok(plain.to_string_lossy().into_owned())
}
