//! The mark that says that the next reload's release may listen elsewhere: a signal carries no argument.

use std::io;
use std::path::Path;

use super::files::Folder;
use super::{AppDir, Home};

/// A file in the app's directory: how many reloads had been asked for when it was left. Of an older version it says nothing.
const MOVED: &str = "moved";
/// What is read of it: the digits of any number.
const MOST: u64 = 20;

/// Leaves the mark for the supervisor of an app, of which `requested` reloads have been asked for: it holds for the next.
/// One that holds for a reload which has yet to begin stays as it is.
///
/// # Errors
/// The app's directory is another user's, or cannot be written.
pub fn mark(home: &Home, app: &str, requested: u64) -> io::Result<()> {
    let folder = folder(home, app)?;
    if marked(&folder).is_some_and(|before| before < requested) {
        return Ok(());
    }
    folder.replace(MOVED, requested.to_string().as_bytes())
}

/// Takes the mark away again if nobody has asked for the reload that it was left for: `requested` is how many have been
/// asked for by now.
///
/// # Errors
/// It cannot be removed.
pub fn unmark(home: &Home, app: &str, requested: u64) -> io::Result<()> {
    let folder = folder(home, app)?;
    if marked(&folder).is_some_and(|before| before >= requested) { folder.remove(MOVED) } else { Ok(()) }
}

/// What the mark says; `None`: there is none. One that another user left, or that is no plain file, is none.
fn marked(folder: &Folder) -> Option<u64> {
    let told = folder.read(MOVED, MOST).ok()?;
    Some(std::str::from_utf8(&told).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

fn folder(home: &Home, app: &str) -> io::Result<Folder> {
    Folder::open_to_write(&home.dir(app).ok_or(io::ErrorKind::NotFound)?)
}

impl AppDir {
    /// Takes the mark, if it holds for the reload of this number, which begins; whether it does.
    #[must_use]
    pub fn take_moved(&self, number: u64) -> bool {
        self.dir().is_some_and(|dir| take(dir, number).unwrap_or_default())
    }

    /// Takes away what was left for a supervisor that is no more.
    pub fn forget_moved(&self) {
        _ = self.dir().map(|dir| super::remove_file(dir, MOVED));
    }
}

fn take(dir: &Path, number: u64) -> io::Result<bool> {
    let folder = Folder::open_to_write(dir)?;
    let holds = marked(&folder).is_some_and(|before| before < number);
    if holds {
        folder.remove(MOVED)?;
    }
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once_by_the_reload_that_it_was_left_for_and_a_link_is_none() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().as_os_str().to_owned();
        let home = Home::find(|name| (name == "PM_HOME").then(|| path.clone())).expect("found");
        let dir = place.path().join("web");
        let taken = |number| take(&dir, number).expect("looked");
        assert!(mark(&home, "web", 0).is_err(), "there is no such app");
        std::fs::create_dir(&dir).expect("made");
        mark(&home, "web", 0).expect("left");
        mark(&home, "web", 0).expect("again");
        assert_eq!([taken(1), taken(2)], [true, false]);
        // Whoever left it was killed before he could ask, and somebody else asks.
        mark(&home, "web", 2).expect("left");
        unmark(&home, "web", 2).expect("removed");
        assert!(!taken(3));
        // It was asked for while another reload was under way, and others ask before it begins.
        mark(&home, "web", 3).expect("left");
        unmark(&home, "web", 4).expect("looked");
        mark(&home, "web", 5).expect("left");
        assert_eq!([taken(3), taken(5), taken(6)], [false, true, false]);
        // An older version says no number.
        std::fs::write(dir.join(MOVED), "").expect("written");
        assert!(taken(1));
        std::fs::write(place.path().join("other"), "x").expect("written");
        std::os::unix::fs::symlink("../other", dir.join(MOVED)).expect("linked");
        assert!(!taken(9));
        assert_eq!(std::fs::read(place.path().join("other")).expect("there"), b"x");
    }
}
