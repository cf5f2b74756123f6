//! Files by paths that people name: logs, files of variables. Where root opens one, another user may have a say in the
//! path, and could lead root to a file of its own:
//!
//! - A link that another user has made is followed with that user's rights, and with no others from there on: the kernel
//!   refuses what the user could not open. One of root's, or of ours, is followed as ever.
//! - In a directory in which others can write, a file with several names (hard links) is not touched, unless it is the
//!   directory's owner's: it may be one of ours, linked there.
//! - What is new in another user's directory is that user's.
//!
//! Who is not root has only rights of his own, and opens what a path leads to.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::TRIES;
use crate::cli::report::reason;
use crate::sys::as_user::Rights;

/// How many links may lead to a place, as to the kernel (path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// To hold a name, whatever has it.
const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is done about a link of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    Refuse,
    /// The link is followed with that user's rights.
    Follow,
}

/// A name in a directory that is held open.
#[derive(Debug)]
pub struct Site {
    dir: OwnedFd,
    name: OsString,
    /// Another user's link that led here, and that user.
    link: Option<(PathBuf, u32)>,
    /// The name may be a link, and is followed: we have only our own rights, or it is one of /proc.
    follow: bool,
}

impl Site {
    /// Finds what a path leads to, if its last name is a link, too; it need not be there.
    ///
    /// # Errors
    /// A directory on the way is missing, or may not be entered by us, or by a user whose link leads there.
    pub fn find(path: &Path) -> io::Result<Self> {
        Self::of(path, true)
    }

    /// Finds the last name of a path, to rename or remove it: no link is followed there.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn of_name(path: &Path) -> io::Result<Self> {
        Self::of(path, false)
    }

    fn of(path: &Path, follow: bool) -> io::Result<Self> {
        if geteuid().is_root() {
            return Walk::new(Stranger::Follow)?.to(&std::path::absolute(path)?, follow);
        }
        let above = path.parent().map_or("/".as_ref(), |above| if above == "" { Path::new(".") } else { above });
        let dir = rustix::fs::open(above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = path.file_name().unwrap_or_else(|| OsStr::new(".")).to_owned();
        Ok(Self { dir, name, link: None, follow })
    }

    /// Opens it; with `CREATE` it is made where it is missing, and with `EXCL` too it must be. No terminal becomes that of
    /// our session.
    ///
    /// # Errors
    /// That of open(2); and where a file may be somebody's whom others would have us write to: why, and what to do.
    pub fn open(&self, how: OFlags, mode: u32) -> io::Result<File> {
        let _rights = self.rights()?;
        let follow = if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let open = |more: OFlags| {
            let flags = how | more | follow | OFlags::NOCTTY | OFlags::CLOEXEC;
            openat(&self.dir, &self.name, flags, Mode::from_raw_mode(mode))
        };
        for _ in 0..TRIES {
            let there = || statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
            let opened = if self.follow || !how.contains(OFlags::CREATE) || there() {
                open(OFlags::empty())
            } else {
                self.as_owner(|| open(OFlags::EXCL))
            };
            match opened {
                // Somebody else has made it meanwhile.
                Err(Errno::EXIST) if !how.contains(OFlags::EXCL) => {}
                other => return self.checked(other.map_err(|e| self.told(e))?.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens it to append to it, as [`Site::open`]; a FIFO without a reader is an error, where it would else hold us up.
    ///
    /// # Errors
    /// As there.
    pub fn append(&self, how: OFlags, mode: u32) -> io::Result<File> {
        let file = self.open(how | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK, mode)?;
        rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        Ok(file)
    }

    /// What is there, if anything is.
    #[must_use]
    pub fn metadata(&self) -> Option<Stat> {
        let flags = if self.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        self.rights().ok().and_then(|_rights| statat(&self.dir, &self.name, flags).ok())
    }

    /// Whether there is anything with this name beside it.
    #[must_use]
    pub fn has(&self, name: &OsStr) -> bool {
        self.rights().is_ok_and(|_rights| statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// Renames what is beside it, and replaces what has the new name; a link is renamed itself.
    ///
    /// # Errors
    /// That of rename(2).
    pub fn rename(&self, name: &OsStr, new: &OsStr) -> io::Result<()> {
        let _rights = self.rights()?;
        renameat(&self.dir, name, &self.dir, new).map_err(|e| self.told(e))
    }

    /// Removes what is beside it; a link is removed itself.
    ///
    /// # Errors
    /// That of unlink(2).
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        let _rights = self.rights()?;
        unlinkat(&self.dir, name, AtFlags::empty()).map_err(|e| self.told(e))
    }

    /// The rights of the user whose link led here.
    fn rights(&self) -> io::Result<Option<Rights>> {
        self.link.as_ref().map(|(_, user)| Rights::of(*user)).transpose().map_err(|e| self.why(&reason(&e)))
    }

    fn owner(&self) -> Option<Stat> {
        rustix::fs::fstat(&self.dir).ok().filter(|_| geteuid().is_root() && self.link.is_none())
    }

    /// Makes something new: as the directory's owner, if that may, else as ourselves.
    fn as_owner<T>(&self, make: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
        let owner = self.owner().map(|dir| dir.st_uid).filter(|uid| *uid != 0);
        let theirs = owner.and_then(|uid| {
            let _rights = Rights::of(uid).ok()?;
            make().ok()
        });
        theirs.map_or_else(&make, Ok)
    }

    fn checked(&self, file: File) -> io::Result<File> {
        let Some(dir) = self.owner() else { return Ok(file) };
        let found = rustix::fs::fstat(&file)?;
        let open_to_others = dir.st_uid != 0 || dir.st_mode & 0o022 != 0;
        let theirs = dir.st_uid != 0 && found.st_uid == dir.st_uid;
        if open_to_others
            && found.st_nlink > 1
            && FileType::from_raw_mode(found.st_mode) != FileType::Directory
            && !theirs
        {
            return Err(io::Error::other(format!(
                "this file of user {} has {} names (hard links), and is where others than root can write: remove it, or \
                 have it elsewhere",
                found.st_uid, found.st_nlink
            )));
        }
        Ok(file)
    }

    fn told(&self, error: Errno) -> io::Error {
        let denied = matches!(error, Errno::ACCESS | Errno::PERM);
        if denied && self.link.is_some() { self.why(&reason(&error.into())) } else { error.into() }
    }

    fn why(&self, why: &str) -> io::Error {
        self.link.as_ref().map_or_else(|| io::Error::other(why.to_owned()), |(link, user)| denied(link, *user, why))
    }
}

/// Makes a directory and those above it that are missing: in another user's as that user.
///
/// # Errors
/// That of mkdir(2), or as [`Site::find`].
pub fn make_dirs(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return std::fs::create_dir_all(path);
    }
    let site = match Site::find(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_dirs(path.parent().ok_or(e)?)?;
            Site::find(path)?
        }
        other => other?,
    };
    let _rights = site.rights()?;
    match site.as_owner(|| mkdirat(&site.dir, &site.name, Mode::from_raw_mode(0o777))) {
        Err(Errno::EXIST) => {
            let there = statat(&site.dir, &site.name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_dir = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
            if is_dir { Ok(()) } else { Err(Errno::NOTDIR.into()) }
        }
        other => other.map_err(|e| site.told(e)),
    }
}

fn denied(link: &Path, user: u32, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "{} is a link of user {user}, with whose rights alone it is followed: {why}; if it is right, have root make \
             it (chown -h root {0}), or name what it leads to",
            link.display()
        ),
    )
}

/// Opens what an absolute path leads to, a directory: no link of another user's leads us elsewhere.
pub(super) fn walk(path: &Path) -> io::Result<OwnedFd> {
    let site = Walk::new(Stranger::Refuse)?.to(path, true)?;
    Ok(openat(&site.dir, &site.name, HOLD | OFlags::DIRECTORY, Mode::empty())?)
}

/// A way along a path, one name at a time: so no link is followed unseen, even if it is exchanged for a directory, and
/// back, all the time. (openat2(2) knows whether a link is followed, not whose.)
struct Walk {
    at: OwnedFd,
    /// What is still to be gone, the next last.
    ahead: Vec<PathBuf>,
    links: u32,
    stranger: Stranger,
    /// Another user's link that was followed, and that user.
    link: Option<(PathBuf, u32)>,
    rights: Option<Rights>,
}

impl Walk {
    fn new(stranger: Stranger) -> io::Result<Self> {
        Ok(Self { at: root()?, ahead: Vec::new(), links: 0, stranger, link: None, rights: None })
    }

    fn to(mut self, path: &Path, follow_last: bool) -> io::Result<Site> {
        self.ahead.push(path.to_owned());
        while let Some(next) = self.ahead.pop() {
            let mut parts = next.components();
            let Some(part) = parts.next() else { continue };
            if parts.as_path() != "" {
                self.ahead.push(parts.as_path().to_owned());
            }
            if part == Component::RootDir {
                self.at = root()?;
                continue;
            }
            let (name, last) = (part.as_os_str(), self.ahead.is_empty());
            if last && !follow_last {
                return Ok(self.here(name, false));
            }
            let found = match openat(&self.at, name, HOLD, Mode::empty()) {
                Err(Errno::NOENT) if last => return Ok(self.here(name, false)),
                other => other.map_err(|e| self.told(e))?,
            };
            let stat = rustix::fs::fstat(&found)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                if last {
                    return Ok(self.here(name, false));
                }
                self.at = found;
                continue;
            }
            self.trust(&stat, name)?;
            // What these lead to is not what they say (proc(5), /proc/pid/fd).
            if rustix::fs::fstatfs(&found)?.f_type != rustix::fs::PROC_SUPER_MAGIC {
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
                self.ahead.push(PathBuf::from(OsString::from_vec(target.into_bytes())));
            } else if last {
                return Ok(self.here(name, true));
            } else {
                self.at = openat(&self.at, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            }
        }
        Ok(self.here(OsStr::new("."), false))
    }

    /// Follows the link of this name, or does not.
    fn trust(&mut self, stat: &Stat, name: &OsStr) -> io::Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let user = stat.st_uid;
        if user == 0 || user == geteuid().as_raw() {
            return Ok(());
        }
        match &self.link {
            _ if self.stranger == Stranger::Refuse => {
                Err(io::Error::other(format!("a link of user {user} leads there")))
            }
            Some((_, known)) if *known == user => Ok(()),
            Some((link, other)) => Err(denied(link, *other, &format!("it leads to one of user {user}"))),
            None => {
                let dir = std::fs::read_link(format!("/proc/self/fd/{}", self.at.as_raw_fd())).unwrap_or_default();
                let link = dir.join(name);
                self.rights = Some(Rights::of(user).map_err(|e| denied(&link, user, &reason(&e)))?);
                self.link = Some((link, user));
                Ok(())
            }
        }
    }

    fn told(&self, error: Errno) -> io::Error {
        match &self.link {
            Some((link, user)) if matches!(error, Errno::ACCESS | Errno::PERM) => {
                denied(link, *user, &reason(&error.into()))
            }
            _ => error.into(),
        }
    }

    fn here(self, name: &OsStr, follow: bool) -> Site {
        Site { dir: self.at, name: name.to_owned(), link: self.link, follow }
    }
}

fn root() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/", HOLD, Mode::empty())?)
}
