//! A release: what workers are started from, as the last reload found it: the working directory (held open), the environment
//! and the program.
//!
//! Only a roll resolves a new one, from the logical directory (so that a `current` symlink that moved is followed), the
//! `--env-file` and the PATH as they are then. Every other start uses the release that is current: a crash never
//! deploys half-copied code. Files that are overwritten in place cannot be held.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cli::report::Failure;
use crate::policy::supervisor::WhichRelease;

mod at_reload;
pub mod env_file;

pub use at_reload::Origin;

/// A resolved release.
#[derive(Debug, Clone)]
pub struct Release {
    /// Counts up at each one that is resolved; names it.
    pub number: u64,
    /// The working directory of the workers: O_PATH, so that it stays this one whatever its name comes to mean.
    pub directory: Rc<OwnedFd>,
    /// The environment of the workers.
    pub env: Vec<(OsString, OsString)>,
    /// The file to execute; relative to `directory` if it is a relative path.
    pub program: PathBuf,
}

impl Release {
    /// NODE_OPTIONS of its workers.
    #[must_use]
    pub fn node_options(&self) -> Option<&OsStr> {
        self.env.iter().rev().find(|(key, _)| key == "NODE_OPTIONS").map(|(_, value)| value.as_os_str())
    }
}

/// The releases that workers are started from.
#[derive(Debug)]
pub struct Releases {
    origin: Origin,
    current: Release,
    /// Of the roll under way, until it is committed.
    next: Option<Release>,
    /// What was current before the roll under way was committed.
    before: Option<Release>,
    /// Releases resolved so far.
    resolved: u64,
}

impl Releases {
    /// Resolves the first release where so many were resolved before: a number names one release for ever.
    ///
    /// # Errors
    /// As `Origin::resolve`.
    pub fn begin(origin: Origin, resolved: u64) -> Result<Self, Failure> {
        let current = origin.resolve(resolved)?;
        Ok(Self { origin, current, next: None, before: None, resolved: resolved + 1 })
    }

    /// Goes on with this release, from which the supervisor before this one started its workers; new ones come from
    /// `logical`.
    #[must_use]
    pub fn resume(origin: Origin, logical: PathBuf, current: Release, resolved: u64) -> Self {
        let resolved = resolved.max(current.number + 1);
        Self { origin: Origin { logical, ..origin }, current, next: None, before: None, resolved }
    }

    /// Where new releases come from, for people and for a successor.
    #[must_use]
    pub fn logical(&self) -> &Path {
        &self.origin.logical
    }

    /// How many were resolved so far.
    #[must_use]
    pub const fn resolved(&self) -> u64 {
        self.resolved
    }

    /// The release that is current if the roll under way fails, or, with none under way, that is current.
    #[must_use]
    pub fn settled(&self, rolling: bool) -> &Release {
        self.before.as_ref().filter(|_| rolling).unwrap_or(&self.current)
    }

    /// A roll begins: resolves the release that it brings.
    ///
    /// # Errors
    /// As `Origin::resolve`; nothing has changed then.
    pub fn resolve_next(&mut self) -> Result<(), Failure> {
        self.before = None;
        self.next = Some(self.origin.resolve(self.resolved)?);
        self.resolved += 1;
        Ok(())
    }

    /// The roll's release is good: every start uses it from now on.
    pub fn commit(&mut self) {
        if let Some(next) = self.next.take() {
            self.before = Some(std::mem::replace(&mut self.current, next));
        }
    }

    /// The roll was aborted: every start uses what was current before it.
    pub fn drop_next(&mut self) {
        self.next = None;
        if let Some(before) = self.before.take() {
            self.current = before;
        }
    }

    /// The release to start a worker from.
    #[must_use]
    pub fn get(&self, which: WhichRelease) -> &Release {
        match which {
            WhichRelease::Current => &self.current,
            WhichRelease::Next => self.next.as_ref().unwrap_or(&self.current),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::at_reload::locate;
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn executable(path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, "#!/bin/sh\n").expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }

    fn origin(dir: &Path, env_file: Option<&str>) -> Origin {
        let base_env = vec![("A".into(), "base".into()), ("PATH".into(), "/bin:/usr/bin".into())];
        Origin { logical: dir.to_owned(), env_file: env_file.map(|f| dir.join(f)), base_env, program: "sh".into() }
    }

    fn value<'a>(release: &'a Release, key: &str) -> Option<&'a OsStr> {
        release.env.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_os_str())
    }

    #[test]
    fn a_symlink_that_moved_is_followed_by_the_next_release_and_not_by_the_last() {
        let home = tempfile::tempdir().expect("a directory");
        for name in ["one", "two"] {
            std::fs::create_dir(home.path().join(name)).expect("made");
            std::fs::write(home.path().join(name).join("which"), name).expect("written");
        }
        let current = home.path().join("current");
        symlink("one", &current).expect("linked");
        let origin = origin(&current, None);
        let read = |release: &Release| {
            let fd = rustix::fs::openat(&release.directory, "which", OFlags::RDONLY, Mode::empty()).expect("opened");
            std::io::read_to_string(std::fs::File::from(fd)).expect("read")
        };
        let first = origin.resolve(0).expect("resolved");
        std::fs::remove_file(&current).expect("unlinked");
        symlink("two", &current).expect("linked");
        let second = origin.resolve(0).expect("resolved");
        assert_eq!((read(&first).as_str(), read(&second).as_str()), ("one", "two"));
        assert_eq!(value(&second, "PWD"), Some(current.as_os_str()), "PWD stays what the person knows");
    }

    #[test]
    fn the_env_file_is_read_at_each_resolve_and_wins_over_what_was_inherited() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("env"), "A=one\nB=b\n").expect("written");
        let origin = origin(home.path(), Some("env"));
        assert_eq!(value(&origin.resolve(0).expect("resolved"), "A"), Some(OsStr::new("one")));
        std::fs::write(home.path().join("env"), "A=two\n").expect("written");
        let second = origin.resolve(0).expect("resolved");
        assert_eq!((value(&second, "A"), value(&second, "B")), (Some(OsStr::new("two")), None), "B was removed");
        std::fs::write(home.path().join("env"), "A\n").expect("written");
        let failure = origin.resolve(0).expect_err("malformed");
        assert!(failure.message.contains("line 1"), "{failure}");
        std::fs::remove_file(home.path().join("env")).expect("removed");
        assert_eq!(origin.resolve(0).expect_err("missing").code, 125);
    }

    #[test]
    fn a_program_of_the_path_is_held_by_its_directory_and_keeps_its_own_name() {
        let home = tempfile::tempdir().expect("a directory");
        let real = home.path().canonicalize().expect("there");
        executable(&real.join("v1/bin/tool"));
        symlink("tool", real.join("v1/bin/alias")).expect("linked");
        symlink("v1", real.join("current")).expect("linked");
        let path = real.join("current/bin").into_os_string();
        assert_eq!(locate(OsStr::new("alias"), &real, Some(&path)), real.join("v1/bin/alias"));
        assert_eq!(locate(real.join("current/bin/tool").as_os_str(), &real, None), real.join("v1/bin/tool"));
        assert_eq!(locate(OsStr::new("./tool"), &real, Some(&path)), Path::new("./tool"), "relative: to the directory");
        assert_eq!(locate(OsStr::new("nosuch"), &real, Some(&path)), Path::new("nosuch"));
    }
}
