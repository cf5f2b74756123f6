//! Files among those of others, in directories that others exchange.

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

/// A place that all may enter, with a directory and a file of root's and a directory of another user's.
fn shared() -> (tempfile::TempDir, [PathBuf; 3]) {
    let place = tempfile::tempdir().expect("a directory");
    let all = ["roots", "roots/file", "theirs"].map(|name| place.path().join(name));
    let [roots, file, theirs] = &all;
    std::fs::create_dir(roots).expect("made");
    std::fs::create_dir(theirs).expect("made");
    std::fs::write(file, "secret").expect("written");
    chown(theirs, Some(NOBODY), None).expect("given away");
    for (path, mode) in [(place.path(), 0o755), (roots.as_path(), 0o755), (file.as_path(), 0o600)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    }
    (place, all)
}

fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("given away");
}

const APPEND: OFlags = OFlags::WRONLY;

#[test]
fn what_a_link_of_another_user_leads_to_is_opened_with_that_users_rights() {
    if !geteuid().is_root() {
        return; // Only root can give a link away.
    }
    use std::os::unix::fs::MetadataExt as _;
    let (_place, [roots, file, theirs]) = shared();
    let link = theirs.join("log");
    symlink(&file, &link).expect("linked");
    let opened = |how: OFlags| Site::find(&link).and_then(|site| site.append(how, 0o666));
    assert!(opened(APPEND).is_ok(), "one of root's is followed");
    give(&link);
    for how in [APPEND, OFlags::RDWR] {
        let refused = opened(how).expect_err("theirs");
        let told = format!("{} is a link of user 65534, with whose rights alone it is followed: ", link.display());
        assert!(
            refused.kind() == io::ErrorKind::PermissionDenied && refused.to_string().starts_with(&told),
            "{refused}"
        );
    }
    assert!(crate::app::home::read_regular(&link, 9).is_err());
    // Through a directory, too, and one to a file that is not there.
    let [dir, none, back] = ["dir", "none", "back"].map(|name| theirs.join(name));
    symlink(&roots, &dir).expect("linked");
    symlink(roots.join("new"), &none).expect("linked");
    symlink("../theirs/deep/log", &back).expect("linked");
    [&dir, &none, &back].into_iter().for_each(|link| give(link));
    for path in [&dir.join("new"), &none] {
        assert!(Site::find(path).and_then(|site| site.append(APPEND, 0o666)).is_err(), "{}", path.display());
    }
    assert!(make_dirs(&dir.join("deep")).is_err() && names(&roots) == ["file"]);
    // What the user could do, root does for him, and it is his.
    make_dirs(&theirs.join("deep/er")).expect("made");
    let mut log = Site::find(&back).and_then(|site| site.append(APPEND, 0o666)).expect("opened");
    log.write_all(b"x").expect("written");
    for name in ["deep", "deep/er", "deep/log"] {
        assert_eq!(std::fs::metadata(theirs.join(name)).expect("there").uid(), NOBODY, "{name}");
    }
    assert_eq!(std::fs::read(&file).expect("read"), b"secret", "and root is root again");
    Site::find(&roots.join("new")).and_then(|site| site.append(APPEND, 0o666)).expect("opened");
    assert_eq!(std::fs::metadata(roots.join("new")).expect("there").uid(), 0);
}

#[test]
fn a_file_with_a_second_name_is_not_touched_where_others_could_have_given_it_that_name() {
    if !geteuid().is_root() {
        return; // Only root can give a directory away.
    }
    let (_place, [roots, file, theirs]) = shared();
    let linked = |dir: &Path| {
        std::fs::hard_link(&file, dir.join("hard")).expect("linked");
        Site::find(&dir.join("hard")).and_then(|site| site.append(APPEND, 0o666))
    };
    assert!(linked(&roots).is_ok());
    let refused = linked(&theirs).expect_err("theirs").to_string();
    assert!(refused.starts_with("this file of user 0 has 3 names (hard links)"), "{refused}");
    // A file that root has left there, and one of the user's own, have nobody in the way.
    for (name, owner) in [("roots", None), ("own", Some(NOBODY)), ("others", Some(33))] {
        let path = theirs.join(name);
        std::fs::write(&path, "").expect("written");
        chown(&path, owner, None).expect("given away");
        Site::find(&path).and_then(|site| site.append(OFlags::RDWR, 0o666)).expect("opened");
    }
    std::fs::hard_link(theirs.join("own"), theirs.join("copy")).expect("linked");
    Site::find(&theirs.join("copy")).and_then(|site| site.append(OFlags::RDWR, 0o666)).expect("opened");
}

#[test]
fn a_path_of_proc_leads_to_what_is_open() {
    let (reader, writer) = io::pipe().expect("a pipe");
    for (fd, how) in [(OwnedFd::from(reader), OFlags::RDONLY), (writer.into(), OFlags::WRONLY)] {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        let opened = Site::find(Path::new(&path)).and_then(|site| site.open(how | OFlags::NONBLOCK, 0));
        let same = |fd: &OwnedFd| rustix::fs::fstat(fd).expect("open").st_ino;
        assert_eq!(same(&opened.expect("opened").into()), same(&fd));
    }
    Site::find(Path::new("/dev/null")).and_then(|site| site.append(OFlags::WRONLY, 0)).expect("opened");
}
