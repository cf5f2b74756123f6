//! `$PM_HOME/<app>/`: the directory of a running app, its name, and the lock that says whether it runs.
//!
//! The outermost supervisor enters the directory and takes the lock; a link below it finds `PM_APP` and `PM_DIR` in its
//! environment and the lock with an ancestor, and uses the directory as it is. Where there is no directory to be had,
//! a supervisor does its work without one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::report::{self, Failure};
use crate::kernel::procfs;

mod disk_space;
mod files;
mod ids;
mod lock;
mod lock_restore;
pub mod moved_mark;
mod name;
mod not_owner;
mod pm_home;
mod private_dirs;
pub mod start_brief;
mod start_json;
mod turn_lock;
mod without_dir;

pub use disk_space::try_room;
pub use files::{Folder, Site, make_dirs, read_file, remove_file, replace_file};
pub use ids::with_id;
pub use lock::{Claim, Lock, holder};
pub use name::{check as check_name, implied as implied_name, of_directory as directory_name, script as script_of};
use pm_home::HomeOrigin;
pub(crate) use private_dirs::create_file;
use private_dirs::{Trouble, check_dir, check_home, make_dir};
pub use private_dirs::{as_owner, check_for, owner_of, read_regular, read_regular_of};
pub use start_brief::Brief;
pub use start_json::{DEFAULT_NAMESPACE, LARGEST as LARGEST_START, Mode, START, Start, WORKERS};
pub use turn_lock::Turns;
pub use without_dir::{Unseen, unseen};

/// How many implied names (`app`, `app-2` ...) are tried before the last failure stands.
const MOST_NAMESAKES: u32 = 1000;

/// The environment variable with the app's name.
pub const APP: &str = "PM_APP";
/// The environment variable with the app's directory; empty: there is none, and that has been said.
pub const DIR: &str = "PM_DIR";

/// Where the directories of the apps are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
    origin: HomeOrigin,
}

impl Home {
    /// The directory that holds those of the apps.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that we may write here: that nobody else can lead us elsewhere. One that is not there yet is fine.
    ///
    /// # Errors
    /// 125: it is another user's, or others may exchange what is in it; with the remedy.
    pub fn check_ours(&self) -> Result<(), Failure> {
        check_home(&self.path).map_err(|trouble| Failure::own(trouble.text()))
    }

    /// Makes the directory of all apps, for this user alone, if it is not there, to keep something in it.
    ///
    /// # Errors
    /// That of mkdir(2); or a reboot would empty it.
    pub fn make(&self) -> io::Result<()> {
        self.lasts().map_err(|trouble| io::Error::other(trouble.text()))?;
        private_dirs::make_home(&self.path)
    }

    /// Who answers for an app here, as its directory says: what another user's files name is theirs alone, never ours.
    ///
    /// # Errors
    /// As [`owner_of`].
    pub fn owner_of(&self, app: &str) -> Result<u32, Failure> {
        owner_of(&self.dir(app).unwrap_or_default())
    }

    /// The directory of an app, there or not; `None` if no app can have this name.
    #[must_use]
    pub fn dir(&self, app: &str) -> Option<PathBuf> {
        check_name(app).ok().map(|()| self.path.join(app))
    }

    /// The names of all apps that have a directory, sorted.
    ///
    /// # Errors
    /// The directory cannot be read; that it is not there yet is no error.
    pub fn apps(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let directories = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        let mut names: Vec<_> = directories.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.retain(|n| check_name(n).is_ok());
        names.sort_unstable();
        Ok(names)
    }

    /// The names of all apps, for who can do nothing without them.
    ///
    /// # Errors
    /// 125: the directory cannot be read.
    pub fn apps_or_fail(&self) -> Result<Vec<String>, Failure> {
        self.apps().map_err(|error| private_dirs::unreadable(&self.path, &error))
    }
}

/// An app that this process is a link of: its name, and its directory where there is one.
#[derive(Debug)]
pub struct AppDir {
    name: String,
    dir: Option<PathBuf>,
    lock: Option<Lock>,
    /// The ancestor that holds the lock.
    lock_holder: Option<i32>,
    namesake: Option<Namesake>,
}

/// A running app that has the name which another one would have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namesake {
    /// The name.
    pub name: String,
    /// The outermost process of the app, unless it is in another pid namespace.
    pub pid: Option<i32>,
}

/// The name that an app shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// This one, or none.
    Exactly(String),
    /// This one, or with a number behind it.
    Like(String),
}

/// How one try for a name ended.
enum Tried {
    Entered(AppDir),
    /// Another program holds the lock: its pid, if it is to be seen from here.
    Taken(Option<i32>),
}

impl AppDir {
    /// Enters the app's directory as a supervisor: with the lock, or under an ancestor that has it.
    ///
    /// The name is `explicit` (`--name`), else that of a pm tool in `chain`, else PM_APP, else derived from `chain`,
    /// which is what the supervisor runs. Without a directory (read-only, full, no HOME) it warns and goes on.
    ///
    /// # Errors
    /// 125: a bad name, an explicit name that is running, another user's directory below an explicit PM_HOME.
    pub fn enter(
        explicit: Option<&str>,
        chain: &[OsString],
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let named = name::explicit(explicit, chain)?;
        let outer = env(APP).and_then(|v| v.into_string().ok()).filter(|n| check_name(n).is_ok());
        if let (Some(name), Some(dir)) = (&outer, env(DIR))
            && named.as_ref().is_none_or(|n| n == name)
            && let Some(inner) = Self::handed_down(name, Path::new(&dir))
        {
            return Ok(inner);
        }
        let wish = named.map_or_else(|| Wish::Like(outer.unwrap_or_else(|| implied_name(chain))), Wish::Exactly);
        Self::outermost(&wish, Home::find(env), true, false)
    }

    /// Enters the directory of an app of its own, whatever app this process is part of, and always with the lock.
    ///
    /// Without a directory it warns and goes on, unless that is `required`.
    ///
    /// # Errors
    /// As `enter`; and 125 where a required directory cannot be had.
    pub fn found(
        explicit: Option<&str>,
        chain: &[OsString],
        env: impl Fn(&str) -> Option<OsString>,
        required: bool,
    ) -> Result<Self, Failure> {
        let wish = name::explicit(explicit, chain)?.map_or_else(|| Wish::Like(implied_name(chain)), Wish::Exactly);
        Self::outermost(&wish, Home::find(env), false, required)
    }

    /// The app's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The app's directory, mode 0700, if it has one.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The running app whose name this one would have had, and was given another one for.
    #[must_use]
    pub const fn namesake(&self) -> Option<&Namesake> {
        self.namesake.as_ref()
    }

    /// Whether this process holds the app's lock, as the outermost supervisor.
    #[must_use]
    pub const fn holds_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// The ancestor of this process that holds the lock for it, if there is one with a pid here.
    #[must_use]
    pub const fn lock_holder(&self) -> Option<i32> {
        self.lock_holder
    }

    /// The ancestor that held the lock is dead: takes the lock and writes `pid`, as the outermost link from now on.
    /// False: somebody else has the name by now, or the directory is gone.
    pub fn take_over(&mut self) -> bool {
        self.lock_holder = None;
        let Some(dir) = self.dir.as_deref() else { return false };
        let Ok(Claim::Ours(lock)) = Lock::claim(dir) else { return false };
        *self = Self::entered(&self.name, dir, Some(lock));
        true
    }

    /// What the links below need to know: PM_APP and PM_DIR.
    #[must_use]
    pub fn env_for_children(&self) -> Vec<(&'static str, OsString)> {
        let dir = self.dir.as_ref().map_or_else(OsString::new, |d| d.clone().into_os_string());
        vec![(APP, OsString::from(&self.name)), (DIR, dir)]
    }

    /// Lets the lock go over to the program that this process execs into next (same pid).
    ///
    /// # Errors
    /// The descriptor's flag cannot be set.
    pub fn keep_across_exec(&self) -> io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::keep_across_exec)
    }

    fn without(name: &str) -> Self {
        Self { name: name.to_owned(), dir: None, lock: None, lock_holder: None, namesake: None }
    }

    /// The directory that the link above named, if it is to be used: by one that holds its lock, or has an ancestor
    /// that does, or finds it free. `None`: it is somebody else's by now.
    fn handed_down(name: &str, dir: &Path) -> Option<Self> {
        if dir.as_os_str().is_empty() {
            return Some(Self::without(name));
        }
        // The environment may say anything: only what a link above has made is taken, never a directory to be changed.
        let locked = std::fs::symlink_metadata(dir.join("lock"))
            .map_or_else(|e| e.kind() != io::ErrorKind::NotFound, |found| found.is_file());
        let is_an_apps = dir.file_name().is_some_and(|last| last == name) && locked;
        if !dir.is_absolute() || !is_an_apps {
            return None;
        }
        let claim = check_dir(dir).and_then(|()| Lock::claim(dir).map_err(|e| Trouble::Io(dir.to_owned(), e)));
        let (lock, lock_holder) = match claim {
            Ok(Claim::Ours(lock)) => (Some(lock), None),
            // A holder in an outer pid namespace has no pid here.
            Ok(Claim::Theirs(holder)) if holder.is_none_or(procfs::is_ancestor) => (None, holder),
            Ok(Claim::Theirs(_)) => return None,
            Err(Trouble::Io(_, e)) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(trouble) => {
                trouble.warn();
                return Some(Self::without(name));
            }
        };
        let mut entered = Self::entered(name, dir, lock);
        entered.lock_holder = lock_holder;
        Some(entered)
    }

    fn entered(name: &str, dir: &Path, lock: Option<Lock>) -> Self {
        if lock.is_some()
            && let Err(e) = write_pid(dir)
        {
            report::warning(format_args!("cannot write {}: {}", dir.join("pid").display(), report::reason(&e)));
        }
        Self { name: name.to_owned(), dir: Some(dir.to_owned()), lock, lock_holder: None, namesake: None }
    }

    fn outermost(wish: &Wish, home: Option<Home>, join_ancestor: bool, required: bool) -> Result<Self, Failure> {
        let (Wish::Exactly(name) | Wish::Like(name)) = wish;
        let entered = match &home {
            // A log must outlive a reboot, and may grow.
            Some(home) if required => home.lasts().and_then(|()| Self::search(wish, home, join_ancestor)),
            Some(home) => Self::search(wish, home, join_ancestor),
            None => Err(Trouble::Homeless),
        };
        match entered {
            Ok(entered) => entered.inspect(|app| pm_home::tell(home.as_ref(), app)),
            Err(trouble) if required => Err(Failure::own(format!(
                "no directory for the app '{name}' and its logs: {}; set PM_HOME to a directory that you can write",
                trouble.text()
            ))),
            Err(trouble @ Trouble::Foreign(..)) if home.is_some_and(|home| home.origin == HomeOrigin::Named) => {
                Err(Failure::own(trouble.text()))
            }
            Err(trouble) => {
                trouble.warn();
                Ok(Self::without(name))
            }
        }
    }

    /// Tries the name, and where that may be, the names that follow it.
    fn search(wish: &Wish, home: &Home, join_ancestor: bool) -> Result<Result<Self, Failure>, Trouble> {
        let (Wish::Exactly(name) | Wish::Like(name)) = wish;
        let first = match Self::try_name(name, home, join_ancestor)? {
            Tried::Entered(app) => return Ok(Ok(app)),
            Tried::Taken(holder) => holder,
        };
        let mut holder = first;
        let more = if matches!(wish, Wish::Like(_)) { MOST_NAMESAKES } else { 0 };
        for n in 2..=more {
            match Self::try_name(&format!("{name}-{n}"), home, join_ancestor)? {
                Tried::Entered(mut app) => {
                    app.namesake = Some(Namesake { name: name.clone(), pid: first });
                    return Ok(Ok(app));
                }
                Tried::Taken(next) => holder = next,
            }
        }
        Ok(Err(running(name, holder)))
    }

    fn try_name(name: &str, home: &Home, join_ancestor: bool) -> Result<Tried, Trouble> {
        let dir = home.path.join(name);
        make_dir(&home.path, &dir)?;
        Ok(match Lock::claim(&dir).map_err(|e| Trouble::Io(dir.clone(), e))? {
            Claim::Ours(lock) => Tried::Entered(Self::entered(name, &dir, Some(lock))),
            Claim::Theirs(Some(holder)) if join_ancestor && procfs::is_ancestor(holder) => {
                let mut entered = Self::entered(name, &dir, None);
                entered.lock_holder = Some(holder);
                Tried::Entered(entered)
            }
            Claim::Theirs(holder) => Tried::Taken(holder),
        })
    }
}

impl Drop for AppDir {
    /// A clean end of the lock's holder: what follows in `pid` would name nobody.
    fn drop(&mut self) {
        if let (Some(_), Some(dir)) = (&self.lock, &self.dir) {
            let _ = std::fs::remove_file(dir.join("pid"));
        }
    }
}

/// Makes the directory of an app, for this user alone, if it is not there.
///
/// # Errors
/// 125: a name that no app can have, another user's directory, no right to make it.
pub fn make(home: &Home, app: &str) -> Result<PathBuf, Failure> {
    let dir = home.dir(app).ok_or_else(|| Failure::own(format!("no app can be called '{app}'")))?;
    make_dir(&home.path, &dir).map_err(|trouble| Failure::own(trouble.text()))?;
    Ok(dir)
}

fn running(name: &str, holder: Option<i32>) -> Failure {
    let pid = holder.map_or_else(|| "in another pid namespace".to_owned(), |pid| format!("pid={pid}"));
    Failure::own(format!("the app '{name}' is already running: {pid}; stop it, or choose another --name"))
}

fn write_pid(dir: &Path) -> io::Result<()> {
    replace_file(dir, "pid", format!("{}\n", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests;
