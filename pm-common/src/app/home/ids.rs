//! The ids of apps: a number for each that has a `start.json`, its own for life.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};

use super::Home;
use super::files::Folder;
use super::start_json::id_of;

/// The file whose lock is held while an id is chosen and written down.
const LOCK: &str = ".ids";

/// Calls `write` with the id of the app: the one that its `start.json` has, else the next above all in use.
///
/// No other process chooses an id meanwhile, so `write` has to put it into the `start.json`, and be quick.
///
/// # Errors
/// The files of the apps cannot be read or locked, or what `write` says.
pub fn with_id<T>(home: &Home, app: &str, write: impl FnOnce(u64) -> io::Result<T>) -> io::Result<T> {
    if let Some(id) = home.dir(app).and_then(|dir| id_of(&dir)) {
        return write(id);
    }
    let _lock = lock(home.path())?;
    let used = home.apps()?.into_iter().filter_map(|app| id_of(&home.dir(&app)?));
    write(used.max().map_or(0, |last| last.saturating_add(1)))
}

fn lock(home: &Path) -> io::Result<File> {
    let file = Folder::open_place(home)?.open_lock(LOCK)?;
    fcntl_lock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::Start;
    use super::*;

    fn start(home: &Home, app: &str) -> u64 {
        let dir = home.dir(app).expect("a good name");
        std::fs::create_dir_all(&dir).expect("made");
        let write = |id| Start { id: Some(id), name: app.to_owned(), ..Start::default() }.write(&dir).map(|()| id);
        with_id(home, app, write).expect("an id")
    }

    #[test]
    fn an_id_is_kept_for_life_and_the_next_is_above_all_in_use() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().as_os_str().to_owned();
        let home = Home::find(|name| (name == "PM_HOME").then(|| path.clone())).expect("found");
        assert_eq!(["a", "b", "c", "b"].map(|app| start(&home, app)), [0, 1, 2, 1]);
        std::fs::remove_dir_all(place.path().join("b")).expect("removed");
        assert_eq!(start(&home, "d"), 3, "no id is another app's while a higher one is in use");
        for app in ["a", "c", "d"] {
            std::fs::remove_dir_all(place.path().join(app)).expect("removed");
        }
        assert_eq!(start(&home, "e"), 0);
    }
}
