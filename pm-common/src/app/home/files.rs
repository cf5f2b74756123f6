//! Files in the directories of apps, below a directory that is held open: whoever can write there, no link, FIFO, huge
//! file or exchanged directory leads a reader or a writer elsewhere (openat(2), "Rationale for openat()").

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, mknodat, openat, renameat, unlinkat};
use rustix::process::geteuid;

use crate::sys::random;

/// How often a random name may be taken before we believe that it is not chance.
const TRIES: u32 = 16;
/// How many links may lead to a place, as to the kernel (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// A directory, held open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    owner: u32,
}

impl Folder {
    /// Opens a directory to read in it, whoever owns it. A symbolic link is refused.
    ///
    /// # Errors
    /// It is none, or may not be opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        Ok(Self { fd, owner })
    }

    /// Opens a directory to write in it: our own, or root's where users share it.
    ///
    /// # Errors
    /// It is another user's, none, or may not be opened.
    pub fn open_to_write(dir: &Path) -> io::Result<Self> {
        let (above, name) = (dir.parent().unwrap_or(dir), dir.file_name().unwrap_or_default());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::to_write(openat(
            walk(above)?,
            if name.is_empty() { OsStr::new(".") } else { name },
            flags,
            Mode::empty(),
        )?)
    }

    /// The same for the directory of all apps, which may be a link: as with those that lead there, one of ours or root's.
    ///
    /// # Errors
    /// As [`Folder::open_to_write`].
    pub fn open_place(place: &Path) -> io::Result<Self> {
        Self::to_write(walk(place)?)
    }

    fn to_write(fd: OwnedFd) -> io::Result<Self> {
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        let folder = Self { fd, owner };
        if owner == 0 { Ok(folder) } else { folder.only_ours() }
    }

    /// This one, if it is our own.
    pub(super) fn only_ours(self) -> io::Result<Self> {
        let (owner, us) = (self.owner, geteuid().as_raw());
        if owner != us {
            return Err(io::Error::other(format!("it belongs to user {owner}, we are {us}")));
        }
        Ok(self)
    }

    /// Reads a file of at most so many bytes.
    ///
    /// # Errors
    /// It cannot be read, is larger, no regular file, or a file of somebody who has no business here.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        read_all(self.open_file(name)?, most)
    }

    /// Opens a file to read it: a regular one, of the directory's owner, of root or of ours.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        self.check(&file)?;
        Ok(file)
    }

    /// Opens a file whose locks are of interest, and makes it, mode 0600, if it is not there. Where another user has it, who
    /// could keep its locks for ever, one of our own.
    ///
    /// # Errors
    /// It cannot be made or written, is no regular file, or a file of somebody who has no business here.
    pub(super) fn open_lock(&self, name: &str) -> io::Result<File> {
        self.open_lock_called(name).or_else(|_| self.open_lock_called(&format!("{name}.{}", geteuid().as_raw())))
    }

    fn open_lock_called(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(openat(&self.fd, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?);
        self.check(&file)?;
        Ok(file)
    }

    /// Replaces a file, mode 0600: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// It cannot be written; the old one is as it was.
    pub fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let (new, mut file) = self.create_new(name)?;
        let written = file.write_all(contents).and_then(|()| Ok(renameat(&self.fd, &new, &self.fd, name)?));
        // On a full disk, half a file would be in the way of what comes next.
        written.inspect_err(|_| _ = self.remove(&new))
    }

    /// The same, and waits until the disk has it.
    ///
    /// # Errors
    /// As [`Folder::replace`].
    pub fn replace_for_good(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let (new, mut file) = self.create_new(name)?;
        let written = file.write_all(contents).and_then(|()| file.sync_all());
        let written = written.and_then(|()| Ok(renameat(&self.fd, &new, &self.fd, name)?));
        written.inspect_err(|_| _ = self.remove(&new))
    }

    /// Empties a file of ours. False: there is none.
    ///
    /// # Errors
    /// It is another user's, no regular file, or cannot be written.
    pub fn truncate(&self, name: &str) -> io::Result<bool> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            other => File::from(other?),
        };
        self.check(&file)?;
        file.set_len(0).map(|()| true)
    }

    /// Makes a FIFO in the place of whatever has the name, mode 0600, and opens both its ends as one: it never ends.
    ///
    /// # Errors
    /// It cannot be made: the filesystem may know none.
    pub fn make_fifo(&self, name: &str) -> io::Result<File> {
        for _ in 0..TRIES {
            let new = hidden(name);
            match mknodat(&self.fd, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
                Err(rustix::io::Errno::EXIST) => continue,
                other => other?,
            }
            let made = self.open_fifo(&new, OFlags::RDWR).and_then(|fifo| {
                renameat(&self.fd, &new, &self.fd, name)?;
                Ok(fifo)
            });
            return made.inspect_err(|_| _ = self.remove(&new));
        }
        Err(io::Error::from_raw_os_error(nix::libc::EEXIST))
    }

    /// Opens a FIFO to write to it without waiting (O_NONBLOCK): one of the directory's owner, of root or of ours.
    ///
    /// # Errors
    /// ENXIO: nobody has it open to read; it is none, or one of somebody who has no business here.
    pub fn fifo_to_write(&self, name: &str) -> io::Result<File> {
        self.open_fifo(name, OFlags::WRONLY | OFlags::NONBLOCK)
    }

    fn open_fifo(&self, name: &str, how: OFlags) -> io::Result<File> {
        let flags = how | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fifo = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        self.check_kind(&fifo, FileType::Fifo)?;
        Ok(fifo)
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// That of unlinkat(2).
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Gives a file or a directory another name here.
    ///
    /// # Errors
    /// That of renameat(2).
    pub fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &self.fd, new)?)
    }

    /// Removes a file, or a directory with all that is in it; links are removed, and not followed.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR) => {}
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => return Ok(other?),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = Self { fd: openat(&self.fd, name, flags, Mode::empty())?, owner: self.owner };
        let entries = rustix::fs::Dir::read_from(&below.fd)?.collect::<Result<Vec<_>, _>>()?;
        for entry in &entries {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                below.remove_tree(name)?;
            }
        }
        Ok(unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    fn create_new(&self, name: &str) -> io::Result<(String, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let new = hidden(name);
            match openat(&self.fd, &new, flags, Mode::RUSR | Mode::WUSR) {
                Err(rustix::io::Errno::EXIST) => {}
                other => return Ok((new, File::from(other?))),
            }
        }
        Err(io::Error::from_raw_os_error(nix::libc::EEXIST))
    }

    fn check(&self, file: &File) -> io::Result<()> {
        self.check_kind(file, FileType::RegularFile)
    }

    fn check_kind(&self, file: &File, kind: FileType) -> io::Result<()> {
        let found = rustix::fs::fstat(file)?;
        if FileType::from_raw_mode(found.st_mode) != kind {
            return Err(io::Error::other(if kind == FileType::Fifo { "not a FIFO" } else { "not a regular file" }));
        }
        // Where hard links to others' files may be made (fs.protected_hardlinks=0), a second name may be such a link.
        let trusted = found.st_nlink == 1 && (found.st_uid == 0 || found.st_uid == geteuid().as_raw());
        if found.st_uid != self.owner && !trusted {
            return Err(io::Error::other(format!("it is a file of user {}", found.st_uid)));
        }
        Ok(())
    }
}

/// Opens what an absolute path leads to, one name at a time: no link of another user's leads us elsewhere, even if it is
/// exchanged for a directory, and back, all the time. (openat2(2) knows whether a link is followed, not whose.)
fn walk(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::open("/", flags, Mode::empty());
    let mut at = root()?;
    let mut names: Vec<PathBuf> = vec![path.to_owned()];
    let mut links = 0;
    while let Some(next) = names.pop() {
        let mut parts = next.components();
        let Some(part) = parts.next() else { continue };
        names.push(parts.as_path().to_owned());
        if part == Component::RootDir {
            at = root()?;
            continue;
        }
        let found = openat(&at, part.as_os_str(), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            at = found;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
        }
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            return Err(io::Error::other(format!("a link of user {} leads there", stat.st_uid)));
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
        names.push(PathBuf::from(OsString::from_vec(target.into_bytes())));
    }
    Ok(at)
}

/// A name in passing, which nobody can know beforehand.
fn hidden(name: &str) -> String {
    format!(".{name}.{:016x}", random::seed())
}

/// Reads a file in the directory `dir` ([`Folder::read`]).
///
/// # Errors
/// As there.
pub fn read_file(dir: &Path, name: &str, most: u64) -> io::Result<Vec<u8>> {
    Folder::open(dir)?.read(name, most)
}

/// Replaces a file in a directory of ours, mode 0600: a reader sees the old one or the new one.
///
/// # Errors
/// It cannot be written; the old one is as it was.
pub fn replace_file(dir: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    Folder::open_to_write(dir)?.replace(name, contents)
}

/// Removes a file in a directory of ours; that there is none is no error.
///
/// # Errors
/// It cannot be removed.
pub fn remove_file(dir: &Path, name: &str) -> io::Result<()> {
    Folder::open_to_write(dir)?.remove(name)
}

/// Reads all of an open file, which may be at most so large.
pub(super) fn read_all(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    // With a little more room than it needs, the end is found without another allocation.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or(0).saturating_add(64));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(io::Error::other(format!("larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::path::PathBuf;

    use super::*;

    const NOBODY: u32 = 65534;

    /// A directory with `secret` in it, and `app` beside it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("secret"), "secret").expect("written");
        let app = place.path().join("app");
        std::fs::create_dir(&app).expect("made");
        (place, app)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("read").flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read_private_and_alone() {
        let (_place, app) = place();
        replace_file(&app, "x", b"one").expect("written");
        replace_file(&app, "x", b"two").expect("written again");
        assert_eq!(read_file(&app, "x", 3).expect("read"), b"two");
        let larger = read_file(&app, "x", 2).expect_err("larger");
        assert!(larger.to_string().contains("larger than"), "{larger}");
        let mode = std::fs::metadata(app.join("x")).expect("there").permissions().mode();
        assert_eq!((mode & 0o7777, names(&app)), (0o600, vec!["x".to_owned()]));
        let folder = Folder::open_to_write(&app).expect("ours");
        assert_eq!((folder.truncate("x").expect("emptied"), folder.truncate("y").expect("nothing")), (true, false));
        assert_eq!(read_file(&app, "x", 3).expect("read"), b"");
        remove_file(&app, "x").expect("removed");
        remove_file(&app, "x").expect("nothing to do");
        assert_eq!(read_file(&app, "x", 3).expect_err("gone").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_link_leads_elsewhere_and_no_fifo_holds_anybody_up() {
        let (place, app) = place();
        let secret = place.path().join("secret");
        symlink(&secret, app.join("link")).expect("linked");
        nix::unistd::mkfifo(&app.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        std::fs::create_dir(app.join("dir")).expect("made");
        let folder = Folder::open_to_write(&app).expect("ours");
        for name in ["link", "fifo", "dir"] {
            assert!(folder.read(name, 9).is_err() && folder.truncate(name).is_err(), "{name}");
        }
        replace_file(&app, "link", b"new").expect("the link itself is replaced");
        assert_eq!(std::fs::read(&secret).expect("read"), b"secret");
        symlink(&app, place.path().join("other")).expect("linked");
        assert!(read_file(&place.path().join("other"), "link", 9).is_err(), "nor a link to the directory");
    }

    #[test]
    fn a_tree_is_removed_and_nothing_that_a_link_in_it_leads_to() {
        let (place, app) = place();
        std::fs::create_dir_all(app.join("a/b/c")).expect("made");
        std::fs::write(app.join("a/b/x"), "x").expect("written");
        symlink(place.path(), app.join("a/link")).expect("linked");
        let above = Folder::open_place(place.path()).expect("ours");
        above.rename("app", "old").expect("renamed");
        above.remove_tree(OsStr::new("old")).expect("removed");
        above.remove_tree(OsStr::new("old")).expect("nothing to do");
        assert_eq!(names(place.path()), ["secret"]);
    }

    #[test]
    fn links_of_ours_lead_to_a_place_and_those_of_others_do_not() {
        let (place, app) = place();
        let [one, two, round] = ["one", "two", "round"].map(|name| place.path().join(name));
        symlink("../../../../../../..", &two).expect("linked");
        symlink(two.join(app.strip_prefix("/").expect("absolute")), &one).expect("linked");
        symlink("round", &round).expect("linked");
        Folder::open_place(&one).expect("ours").replace("x", b"new").expect("written");
        assert_eq!(read_file(&app, "x", 9).expect("read"), b"new");
        assert!(Folder::open_to_write(&one).is_err(), "of an app it is none");
        assert!(Folder::open_place(&round).is_err() && Folder::open_place(&place.path().join("none")).is_err());
        if geteuid().is_root() {
            std::os::unix::fs::lchown(&two, Some(NOBODY), None).expect("given away");
            let refused = Folder::open_place(&one).expect_err("another user's").to_string();
            assert_eq!(refused, "a link of user 65534 leads there");
            assert!(Folder::open_to_write(&one.join("app")).is_err());
        }
    }

    /// Whoever owns what is above our directory may exchange it at any moment.
    #[test]
    fn a_directory_that_is_exchanged_for_a_link_all_the_time_leads_nobody_elsewhere() {
        if !geteuid().is_root() {
            return; // Only root can give a link away.
        }
        let (place, _) = place();
        let [theirs, link, aim] = ["theirs", "link", "aim"].map(|name| place.path().join(name));
        for dir in [&theirs, &aim] {
            std::fs::create_dir_all(dir.join("web")).expect("made");
        }
        symlink(&aim, &link).expect("linked");
        std::os::unix::fs::lchown(&link, Some(NOBODY), None).expect("given away");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    rustix::fs::renameat_with(cwd, &theirs, cwd, &link, flags).expect("exchanged");
                }
            });
            let written = (0..20_000).filter(|_| replace_file(&theirs.join("web"), "x", b"x").is_ok()).count();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(written > 0);
        });
        assert_eq!(names(&aim.join("web")), [""; 0]);
    }

    #[test]
    fn a_fifo_is_made_anew_and_never_ends() {
        let (place, app) = place();
        symlink(place.path().join("secret"), app.join("stdin")).expect("linked");
        let folder = Folder::open_to_write(&app).expect("ours");
        assert!(folder.fifo_to_write("stdin").is_err(), "no link is followed");
        let mut both = folder.make_fifo("stdin").expect("made");
        let mode = std::fs::symlink_metadata(app.join("stdin")).expect("there").permissions().mode();
        assert_eq!((mode & 0o7777, names(&app)), (0o600, vec!["stdin".to_owned()]));
        folder.fifo_to_write("stdin").expect("opened").write_all(b"x\n").expect("written");
        let mut read = [0; 2];
        both.read_exact(&mut read).expect("read");
        assert_eq!((&read, std::fs::read(place.path().join("secret")).expect("read")), (b"x\n", b"secret".to_vec()));
        drop(both);
        let nobody = folder.fifo_to_write("stdin").expect_err("nobody reads");
        assert_eq!(nobody.raw_os_error(), Some(nix::libc::ENXIO));
        std::fs::write(app.join("plain"), "").expect("written");
        assert_eq!(folder.fifo_to_write("plain").expect_err("no FIFO").to_string(), "not a FIFO");
    }

    #[test]
    fn another_users_directory_is_read_and_never_written_and_what_is_not_theirs_is_not_read_there() {
        if !geteuid().is_root() {
            return; // Only root can give a directory away.
        }
        let (place, app) = place();
        std::fs::write(app.join("theirs"), "x").expect("written");
        std::fs::write(app.join("others"), "x").expect("written");
        std::fs::hard_link(place.path().join("secret"), app.join("hard")).expect("linked");
        for (path, uid) in [(&app, NOBODY), (&app.join("theirs"), NOBODY), (&app.join("others"), 33)] {
            chown(path, Some(uid), None).expect("given away");
        }
        assert_eq!(read_file(&app, "theirs", 9).expect("read"), b"x");
        let refused = ["hard", "others"].map(|name| read_file(&app, name, 9).expect_err("refused").to_string());
        assert_eq!(refused, ["it is a file of user 0", "it is a file of user 33"]);
        for failed in [replace_file(&app, "new", b""), remove_file(&app, "theirs")] {
            assert!(failed.expect_err("refused").to_string().contains("belongs to user 65534"));
        }
        assert_eq!(names(&app).len(), 3);
    }
}
