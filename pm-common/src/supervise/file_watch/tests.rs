//! What counts as a change, with real files.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::watched_tree::{Setting, WatchedTree};
use super::*;
use crate::sys::clock;

/// A directory with a file and a directory with another file in it.
fn dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("watch").tempdir().expect("a directory");
    fs::create_dir(dir.path().join("src")).expect("made");
    write(&dir.path().join("app.js"));
    write(&dir.path().join("src/a.js"));
    dir
}

fn write(path: &Path) {
    fs::write(path, "x").expect("written");
}

fn tree(dir: &TempDir, roots: &[&str], ignore: &[&str]) -> WatchedTree {
    let roots =
        roots.iter().map(|root| if *root == "." { dir.path().to_owned() } else { dir.path().join(root) }).collect();
    let ignore: Vec<String> = ignore.iter().map(|&pattern| pattern.to_owned()).collect();
    WatchedTree::new(Setting { roots, left_out: LeftOut::new(&ignore), here: dir.path().to_owned() })
        .expect("an instance")
}

/// What has changed, without what is said twice in a row.
fn seen(tree: &mut WatchedTree) -> Vec<String> {
    let found = tree.changes().expect("read").into_iter();
    let mut all: Vec<String> =
        found.map(|f| format!("{}{}", if f.gone { "-" } else { "" }, f.file.display())).collect();
    all.dedup();
    assert!(tree.take_trouble().is_none());
    all
}

#[test]
fn files_that_are_written_made_renamed_or_removed() {
    let dir = dir();
    let at = |path: &str| dir.path().join(path);
    let mut tree = tree(&dir, &["."], &[]);
    write(&at("app.js"));
    assert_eq!(seen(&mut tree), ["app.js"]);
    write(&at("src/new.js"));
    assert_eq!(seen(&mut tree), ["src/new.js"]);
    // As editors do.
    write(&at("src/a.js.tmp"));
    fs::rename(at("src/a.js.tmp"), at("src/a.js")).expect("renamed");
    assert_eq!(seen(&mut tree), ["src/a.js"]);
    fs::remove_file(at("src/new.js")).expect("removed");
    assert_eq!(seen(&mut tree), ["-src/new.js"]);
    symlink("app.js", at("link.js")).expect("linked");
    fs::hard_link(at("app.js"), at("hard.js")).expect("linked");
    assert_eq!(seen(&mut tree), ["link.js", "hard.js"]);
}

#[test]
fn what_is_no_change() {
    let dir = dir();
    let at = |path: &str| dir.path().join(path);
    let before = UnixListener::bind(at("before.sock")).expect("bound");
    let made = fs::metadata(at("app.js")).expect("there");
    while clock::stamp() <= (made.ctime(), made.ctime_nsec()) {
        std::thread::yield_now();
    }
    let mut tree = tree(&dir, &["."], &["*.tmp"]);
    drop(OpenOptions::new().append(true).open(at("app.js")).expect("opened"));
    drop(File::open(at("app.js")).expect("opened"));
    fs::create_dir(at("uploads")).expect("made");
    let socket = UnixListener::bind(at("app.sock")).expect("bound");
    fs::remove_file(at("app.sock")).expect("removed");
    fs::remove_file(at("before.sock")).expect("removed");
    drop((socket, before));
    for name in ["err.log", ".env", "x.tmp", "data.sqlite3", "app.js~"] {
        write(&at(name));
        fs::remove_file(at(name)).expect("removed");
    }
    fs::create_dir_all(at("node_modules/express")).expect("made");
    write(&at("node_modules/express/index.js"));
    // Held open, as a program does with a log of its own name.
    let held = File::create(at("access.txt")).expect("made");
    assert_eq!(seen(&mut tree), Vec::<String>::new());
    drop(held);
    assert_eq!(seen(&mut tree), ["access.txt"]);
    write(&at("uploads/picture"));
    assert_eq!(seen(&mut tree), ["uploads/picture"], "a new directory is watched");
    drop(OpenOptions::new().write(true).open(at("uploads/picture")).expect("opened"));
    assert_eq!(seen(&mut tree), Vec::<String>::new(), "nothing was written");
}

#[test]
fn directories_come_go_and_move() {
    let (dir, elsewhere) = (dir(), dir());
    let at = |path: &str| dir.path().join(path);
    let mut tree = tree(&dir, &["."], &[]);
    fs::create_dir_all(at("a/b/c")).expect("made");
    write(&at("a/b/c/deep.js"));
    assert_eq!(seen(&mut tree), ["a/b/c/deep.js"]);
    fs::rename(at("a"), at("z")).expect("moved");
    assert_eq!(seen(&mut tree), ["-a", "z/b/c/deep.js"]);
    write(&at("z/b/c/deep.js"));
    assert_eq!(seen(&mut tree), ["z/b/c/deep.js"], "by its new name");
    fs::rename(at("z"), elsewhere.path().join("z")).expect("moved");
    assert_eq!(seen(&mut tree), ["-z"]);
    write(&elsewhere.path().join("z/b/c/deep.js"));
    assert_eq!(seen(&mut tree), Vec::<String>::new(), "outside");
    fs::rename(elsewhere.path().join("z"), at("back")).expect("moved");
    assert_eq!(seen(&mut tree), ["back/b/c/deep.js"]);
    fs::remove_dir_all(at("back")).expect("removed");
    assert_eq!(seen(&mut tree), ["-back/b/c/deep.js"]);
}

#[test]
fn a_path_that_is_named_is_watched_whatever_its_name_and_may_be_missing() {
    let dir = dir();
    let at = |path: &str| dir.path().join(path);
    let mut tree = tree(&dir, &[".env", "node_modules", "made/dist"], &[]);
    write(&at("app.js"));
    assert_eq!(seen(&mut tree), Vec::<String>::new(), "not named");
    write(&at(".env"));
    assert_eq!(seen(&mut tree), [".env"]);
    write(&at(".env.tmp"));
    fs::rename(at(".env.tmp"), at(".env")).expect("renamed");
    assert_eq!(seen(&mut tree), [".env"]);
    fs::create_dir(at("node_modules")).expect("made");
    seen(&mut tree);
    write(&at("node_modules/x.js"));
    assert_eq!(seen(&mut tree), ["node_modules/x.js"]);
    for round in ["first", "again"] {
        fs::create_dir_all(at("made/dist/js")).expect("made");
        seen(&mut tree);
        write(&at("made/dist/js/app.js"));
        assert_eq!(seen(&mut tree), ["made/dist/js/app.js"], "{round}");
        fs::remove_dir_all(at("made")).expect("removed");
        assert!(!seen(&mut tree).is_empty(), "{round}");
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let dir = dir();
    let at = |path: &str| dir.path().join(path);
    for release in ["1", "2"] {
        fs::create_dir(at(release)).expect("made");
        write(&at(release).join("app.js"));
    }
    symlink("1", at("current")).expect("linked");
    let mut tree = tree(&dir, &["current"], &[]);
    write(&at("1/app.js"));
    assert_eq!(seen(&mut tree), ["current/app.js"]);
    symlink("2", at("next")).expect("linked");
    fs::rename(at("next"), at("current")).expect("renamed");
    assert_eq!(seen(&mut tree), ["current"]);
    write(&at("1/app.js"));
    assert_eq!(seen(&mut tree), Vec::<String>::new(), "it was left");
    write(&at("2/app.js"));
    assert_eq!(seen(&mut tree), ["current/app.js"]);
}

#[test]
fn a_queue_that_runs_over_is_a_change_and_all_is_watched_on() {
    let dir = dir();
    let at = |path: &str| dir.path().join(path);
    let mut tree = tree(&dir, &["."], &[]);
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("read");
    let most: usize = most.trim().parse().expect("a number");
    // Each is two events: made, and closed.
    for file in 0..most.min(200_000) / 2 + 100 {
        write(&at(&format!("src/{file}.js")));
    }
    fs::create_dir(at("late")).expect("made");
    assert!(!seen(&mut tree).is_empty());
    write(&at("late/x.js"));
    assert_eq!(seen(&mut tree), ["late/x.js"], "it was made when nobody could hear of it");
}
