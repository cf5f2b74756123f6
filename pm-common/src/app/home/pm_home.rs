//! Which directory holds those of the apps: PM_HOME, else the user's own; where that cannot be written, as in a container
//! with a read-only root, one on a tmpfs.
//!
//! Nothing has to be made to know it, so who writes and who reads (a second shell in the container) come to the same place.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use super::files::read_file;
use super::private_dirs::Trouble;
use super::{AppDir, Home};
use crate::cli::report;
use crate::kernel::procfs;

/// Where a stand-in may be: a tmpfs in containers, and on most machines.
const TMPFS: [&str; 2] = ["/run", "/dev/shm"];

/// Why the directories of the apps are where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HomeOrigin {
    /// Named by PM_HOME, so that what is wrong with it is the user's to know.
    Named,
    /// `~/.pm`.
    Usual,
    /// A tmpfs, as this place cannot be written, or none is known.
    InsteadOf(Option<PathBuf>),
}

impl Home {
    /// `$PM_HOME`, else `~/.pm`, else, where nothing can be written there, `/run/pm-UID` or `/dev/shm/pm-UID`; `None`: there
    /// is none of them.
    pub fn find(env: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let given = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(path) = given("PM_HOME") {
            return std::path::absolute(path).ok().map(|path| Self { path, origin: HomeOrigin::Named });
        }
        let home = given("HOME").filter(|p| p.is_absolute()).or_else(home_of_passwd);
        choose(home.map(|home| home.join(".pm")), geteuid().as_raw(), is_barred, can_stand_in)
    }

    /// Makes sure that what is written here outlives a reboot, and may grow without filling the memory.
    pub(super) fn lasts(&self) -> Result<(), Trouble> {
        match &self.origin {
            HomeOrigin::Named | HomeOrigin::Usual => Ok(()),
            HomeOrigin::InsteadOf(usual) => Err(usual.clone().map_or(Trouble::Homeless, Trouble::Barred)),
        }
    }
}

/// Tells where the state of an app is that is not where one looks for it first.
pub(super) fn tell(home: Option<&Home>, app: &AppDir) {
    let barred = home.and_then(|home| home.lasts().err());
    if let (Some(barred), Some(dir), true) = (barred, app.dir(), app.holds_lock()) {
        report::info(format_args!("the state of this app is in {}: {}", dir.display(), barred.text()));
    }
}

/// The rule: the usual place, unless that is barred to us and there is a stand-in.
fn choose(
    usual: Option<PathBuf>,
    uid: u32,
    is_barred: impl Fn(&Path) -> bool,
    can_stand_in: impl Fn(&Path) -> bool,
) -> Option<Home> {
    if usual.as_deref().is_none_or(is_barred) {
        let mut places = TMPFS.iter().map(|dir| Path::new(dir).join(format!("pm-{uid}")));
        if let Some(path) = places.find(|path| can_stand_in(path)) {
            return Some(Home { path, origin: HomeOrigin::InsteadOf(usual) });
        }
    }
    usual.map(|path| Home { path, origin: HomeOrigin::Usual })
}

pub(super) fn home_of_passwd() -> Option<PathBuf> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.dir).filter(|d| d.is_absolute())
}

/// Whether nothing can be written there: it is missing and cannot be made, or is ours and not writable, and no app runs in
/// it. (On a disk that became read-only under apps, what they said is still to be read.)
fn is_barred(usual: &Path) -> bool {
    match std::fs::metadata(usual) {
        Ok(found) => is_ours(&found) && found.is_dir() && !can_write(usual) && !holds_running(usual),
        Err(e) if e.kind() == io::ErrorKind::NotFound => !can_make(usual),
        Err(_) => true,
    }
}

/// Whether a directory can be made below the nearest one that is there.
fn can_make(dir: &Path) -> bool {
    for above in dir.ancestors().skip(1) {
        match std::fs::metadata(above) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            found => return found.is_ok_and(|found| found.is_dir()) && can_write(above),
        }
    }
    false
}

/// Whether it is a directory of ours alone, or can become one that nobody else can exchange.
fn can_stand_in(dir: &Path) -> bool {
    match std::fs::symlink_metadata(dir) {
        Ok(found) => found.is_dir() && is_ours(&found) && found.mode() & 0o022 == 0 && can_write(dir),
        Err(e) if e.kind() == io::ErrorKind::NotFound => dir.parent().is_some_and(|above| {
            let keeps = |found: Metadata| {
                let trusted = found.uid() == 0 || is_ours(&found);
                found.is_dir() && trusted && (found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0)
            };
            std::fs::symlink_metadata(above).is_ok_and(keeps) && can_write(above)
        }),
        Err(_) => false,
    }
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == geteuid().as_raw()
}

/// access(2) knows of read-only mounts too, which the mode does not tell.
fn can_write(dir: &Path) -> bool {
    accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// By the `pid` files: to open a `lock` could cost us our own.
fn holds_running(home: &Path) -> bool {
    let alive = |dir: PathBuf| {
        let pid = String::from_utf8(read_file(&dir, "pid", 32).ok()?).ok()?.trim().parse().ok()?;
        procfs::stat(pid).filter(|stat| !stat.is_zombie())
    };
    std::fs::read_dir(home).is_ok_and(|entries| entries.flatten().any(|entry| alive(entry.path()).is_some()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_usual_place_is_left_only_where_it_is_barred_and_another_is_to_be_had() {
        let chosen = |usual: Option<&str>, barred: bool, usable: &[&str]| {
            let can = |path: &Path| usable.iter().any(|one| path == Path::new(one));
            choose(usual.map(PathBuf::from), 7, |_| barred, can).map(|home| (home.path, home.origin))
        };
        let both = ["/run/pm-7", "/dev/shm/pm-7"];
        let instead = |usual: Option<&str>| HomeOrigin::InsteadOf(usual.map(PathBuf::from));
        let usual = Some("/h/.pm");
        for (case, wanted) in [
            (chosen(usual, false, &both), Some(("/h/.pm", HomeOrigin::Usual))),
            (chosen(usual, true, &both), Some(("/run/pm-7", instead(usual)))),
            (chosen(usual, true, &both[1..]), Some(("/dev/shm/pm-7", instead(usual)))),
            (chosen(usual, true, &["/run/pm-8"]), Some(("/h/.pm", HomeOrigin::Usual))),
            (chosen(None, false, &both), Some(("/run/pm-7", instead(None)))),
            (chosen(None, false, &[]), None),
        ] {
            assert_eq!(case, wanted.map(|(path, origin)| (PathBuf::from(path), origin)));
        }
    }

    #[test]
    fn what_is_missing_and_can_be_made_is_not_barred_and_what_cannot_is() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("file"), "").expect("written");
        assert!(!is_barred(dir.path()) && !is_barred(&dir.path().join("a/b/.pm")));
        assert!(is_barred(&dir.path().join("file/.pm")), "below a file");
        let shut = dir.path().join("shut");
        std::fs::create_dir(&shut).expect("made");
        std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o500)).expect("set");
        // Modes do not keep root out.
        let root = geteuid().is_root();
        assert_eq!((is_barred(&shut), is_barred(&shut.join(".pm"))), (!root, !root));
        if !root {
            std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o700)).expect("set");
            std::fs::create_dir(shut.join("web")).expect("made");
            std::fs::write(shut.join("web/pid"), format!("{}\n", std::process::id())).expect("written");
            std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o500)).expect("set");
            assert!(!is_barred(&shut), "an app runs there");
        }
        std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o700)).expect("set");
    }

    #[test]
    fn only_a_directory_of_ours_alone_stands_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let [place, open, link] = ["pm-1", "open", "link"].map(|name| dir.path().join(name));
        assert!(can_stand_in(&place), "it can be made");
        for made in [&place, &open] {
            std::fs::create_dir(made).expect("made");
        }
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("set");
        symlink(&place, &link).expect("linked");
        assert!(can_stand_in(&place));
        assert!(!can_stand_in(&open) && !can_stand_in(&open.join("pm-1")), "others can exchange what is in it");
        assert!(!can_stand_in(&link), "a link");
        if geteuid().is_root() {
            std::os::unix::fs::chown(&place, Some(65534), None).expect("given away");
            assert!(!can_stand_in(&place), "another user's");
        }
    }
}
