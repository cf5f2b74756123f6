//! The mark that says that the next reload's release may listen elsewhere: a signal carries no argument.

use std::io;
use std::path::Path;

use super::files::Folder;
use super::{AppDir, Home};

/// A file in the app's directory; what is in it does not matter.
const MOVED: &str = "moved";

/// Leaves the mark for the supervisor of an app.
///
/// # Errors
/// The app's directory is another user's, or cannot be written.
pub fn mark(home: &Home, app: &str) -> io::Result<()> {
    folder(home, app)?.replace(MOVED, b"")
}

/// Takes the mark away again: nobody has been asked to reload.
///
/// # Errors
/// It cannot be removed.
pub fn unmark(home: &Home, app: &str) -> io::Result<()> {
    folder(home, app)?.remove(MOVED)
}

fn folder(home: &Home, app: &str) -> io::Result<Folder> {
    Folder::open_to_write(&home.dir(app).ok_or(io::ErrorKind::NotFound)?)
}

impl AppDir {
    /// Takes the mark; whether it was there. One that another user left, or that is no plain file, is none.
    #[must_use]
    pub fn take_moved(&self) -> bool {
        self.dir().is_some_and(|dir| take(dir).unwrap_or_default())
    }
}

fn take(dir: &Path) -> io::Result<bool> {
    let folder = Folder::open_to_write(dir)?;
    let there = folder.open_file(MOVED).is_ok();
    folder.remove(MOVED)?;
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once_and_a_link_is_none() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().as_os_str().to_owned();
        let home = Home::find(|name| (name == "PM_HOME").then(|| path.clone())).expect("found");
        let dir = place.path().join("web");
        assert!(mark(&home, "web").is_err(), "there is no such app");
        std::fs::create_dir(&dir).expect("made");
        mark(&home, "web").expect("left");
        mark(&home, "web").expect("again");
        assert_eq!([take(&dir).expect("taken"), take(&dir).expect("looked")], [true, false]);
        mark(&home, "web").expect("left");
        unmark(&home, "web").expect("removed");
        assert!(!take(&dir).expect("looked"));
        std::fs::write(place.path().join("other"), "x").expect("written");
        std::os::unix::fs::symlink("../other", dir.join(MOVED)).expect("linked");
        assert!(!take(&dir).expect("looked"));
        assert_eq!(std::fs::read(place.path().join("other")).expect("there"), b"x");
    }
}
