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
