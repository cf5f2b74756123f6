//! Supervisors that run without a directory, as they could write nowhere: only /proc knows of them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::{APP, DIR, Home, name};
use crate::kernel::procfs::{self, Proc};

/// An app whose state nobody could write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// Its name, as its command line gives it.
    pub name: String,
    /// Its outermost supervisor.
    pub pid: i32,
}

/// The apps of this user that would be in `home`, but whose outermost supervisor has no directory, by their pids.
#[must_use]
pub fn unseen(home: Option<&Home>) -> Vec<Unseen> {
    let mut proc = Proc::default();
    let supervisors: Vec<_> = proc.of_user(geteuid().as_raw()).into_iter().filter(procfs::is_supervisor).collect();
    let pids: HashSet<i32> = supervisors.iter().map(|stat| stat.pid).collect();
    let mut found = Vec::new();
    for stat in supervisors {
        let inner = procfs::with_ancestors(stat.ppid).any(|pid| pids.contains(&pid));
        // One that has started nothing yet is about to make its directory.
        let has_begun = stat.children_time > 0 || !proc.children(stat.pid).is_empty();
        if !inner
            && has_begun
            && let Some(name) = name_of_unseen(&mut proc, stat.pid, home)
        {
            found.push(Unseen { name, pid: stat.pid });
        }
    }
    found.sort_by_key(|app| app.pid);
    found
}

/// The app's name; `None`: it has a directory, by its lock or by what a link above told it, or would have one elsewhere.
fn name_of_unseen(proc: &mut Proc, pid: i32, home: Option<&Home>) -> Option<String> {
    let [app, dir, named, users] = proc.variables(pid, [APP, DIR, "PM_HOME", "HOME"]);
    let env = |name: &str| if name == "PM_HOME" { named.clone() } else { users.clone() }.map(OsString::from_vec);
    if Home::find(env).as_ref().map(Home::path) != home.map(Home::path) {
        return None;
    }
    if dir.as_ref().is_some_and(|dir| !dir.is_empty()) || procfs::has_open(pid, "lock") {
        return None;
    }
    let words: Vec<OsString> = proc.words(pid).into_iter().map(OsString::from_vec).collect();
    let outer = || String::from_utf8(app?).ok().filter(|name| name::check(name).is_ok());
    let told = name::explicit(None, &words).ok().flatten().or_else(outer);
    Some(told.unwrap_or_else(|| name::implied(&seen_from(pid, words))))
}

/// The words with the files among them as we come to them: they are named from where the process is.
fn seen_from(pid: i32, words: Vec<OsString>) -> Vec<OsString> {
    let cwd = format!("/proc/{pid}/cwd");
    let from = |word: OsString| {
        let path = Path::new(&cwd).join(&word);
        if path.is_file() { path.into_os_string() } else { word }
    };
    words.into_iter().map(from).collect()
}
