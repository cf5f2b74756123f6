//! The logs of apps: where they are, and `--flush`, which empties them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use pm_common::app::home::{Folder, Home, Site, Start};
use pm_common::cli::chain;
use pm_common::cli::options::Tool;
use pm_common::cli::report::{self, Failure, OrFail as _, reason};
use pm_common::cli::tables::{PM_CLUSTER, PM_LOG};
use rustix::fs::OFlags;

use crate::apps::{known_dir, named, unreadable};

/// A log of an app.
#[derive(Debug)]
pub(crate) struct Log {
    /// `out` or `err`.
    pub(crate) stream: &'static str,
    /// The slot that alone writes it.
    pub(crate) slot: Option<String>,
    pub(crate) path: PathBuf,
    /// Its name in the app's own directory; `None`: the user has named the file.
    own: Option<String>,
}

/// The logs of the app in `dir`: those in its directory, or those that its description or its chain names.
fn logs(dir: &Path, start: &Start) -> Vec<Log> {
    let mut all = Vec::new();
    let streams = [("out", &start.out, "out.log"), ("err", &start.err, "err.log")];
    for (stream, given, own) in streams {
        let path = given.clone().unwrap_or_else(|| dir.join(own));
        all.push(Log { stream, slot: None, path, own: given.is_none().then(|| own.to_owned()) });
        for (slot, path) in slot_files(dir, start, stream) {
            let in_dir = path.parent() == Some(dir);
            let own = path.file_name().and_then(OsStr::to_str).filter(|_| in_dir).map(str::to_owned);
            all.push(Log { stream, slot: Some(slot), path, own });
        }
    }
    all
}

/// What a tool of the app's chain was given for an option.
fn option(start: &Start, tool: &Tool, option: &str) -> Option<OsString> {
    let links = chain::links(&start.argv).0;
    links.iter().filter(|link| link.tool.name == tool.name).find_map(|link| link.value(option).map(OsStr::to_owned))
}

/// The file that the pm-log of the chain writes both streams to, beside those of each.
pub(crate) fn of_both(start: &Start) -> Option<PathBuf> {
    option(start, &PM_LOG, "both").map(|path| start.cwd.join(path))
}

/// Empties the logs of an app.
///
/// # Errors
/// 1: there is no such app; 125: a log cannot be emptied.
pub(crate) fn flush(home: &Home, name: &str) -> Result<(), Failure> {
    let dir = known_dir(home, name)?;
    let folder = Folder::open_to_write(&dir).or_fail(|| format!("cannot use {}", dir.display()))?;
    let mut failed = false;
    let start = start(&dir, name)?.unwrap_or_default();
    let both = of_both(&start).map(|path| Log { stream: "both", slot: None, path, own: None });
    for log in logs(&dir, &start).into_iter().chain(both) {
        let emptied = log.own.as_ref().map_or_else(|| empty(&log.path), |own| folder.truncate(own).map(drop));
        if let Err(e) = emptied {
            failed = true;
            report::fatal(format_args!("app '{name}': cannot empty {}: {}", log.path.display(), reason(&e)), &[]);
        }
    }
    if failed { Err(Failure::own(format!("app '{name}': not all logs were emptied"))) } else { Ok(()) }
}

/// The logs of an app, and how to show them.
#[derive(Debug, Default)]
pub(crate) struct AppLogs {
    pub(crate) id: Option<u64>,
    /// The name that the app was given.
    pub(crate) called: String,
    /// pm-log writes them, as objects.
    pub(crate) json: bool,
    /// Another user, whose files alone they may be: they could name any of ours.
    pub(crate) only_of: Option<u32>,
    pub(crate) files: Vec<Log>,
    /// A supervisor was started by hand, and not by pm-fork.
    by_hand: bool,
}

impl AppLogs {
    /// Whether what the app writes goes to where it was started, and to no file.
    pub(crate) fn none_written(&self) -> bool {
        self.by_hand && !self.files.iter().any(|log| log.path.exists())
    }
}

/// The logs of an app.
///
/// # Errors
/// 1: there is no such app; 125: how it was started cannot be read.
pub(crate) fn of(home: &Home, name: &str) -> Result<AppLogs, Failure> {
    let dir = known_dir(home, name)?;
    let owner = home.owner_of(name)?;
    let start = start(&dir, name)?;
    let by_hand = start.is_none();
    let start = named(start.unwrap_or_default(), name);
    Ok(AppLogs {
        id: start.id,
        called: start.called().to_owned(),
        json: option(&start, &PM_LOG, "json").is_some(),
        only_of: Some(owner).filter(|owner| *owner != geteuid().as_raw()),
        files: logs(&dir, &start),
        by_hand,
    })
}

/// How the app was started; `None`: by hand, so that nothing is known of it.
fn start(dir: &Path, name: &str) -> Result<Option<Start>, Failure> {
    Start::read(dir).map_err(|error| unreadable(dir, name, &error))
}

/// Empties a file that the user named; what is no file (a terminal, a FIFO) has nothing in it.
fn empty(path: &Path) -> io::Result<()> {
    let opened = Site::find(path).and_then(|site| site.open(OFlags::WRONLY | OFlags::NONBLOCK, 0));
    let file = match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ENXIO) => return Ok(()),
        other => other?,
    };
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// The files of slots, where the `--out` or `--err` of the chain's pm-cluster has `%s` in its name, by slot.
///
/// A relative name is one in the app's directory.
fn slot_files(app: &Path, start: &Start, stream: &str) -> Vec<(String, PathBuf)> {
    let Some(path) = option(start, &PM_CLUSTER, stream).map(|path| app.join(path)) else { return Vec::new() };
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else { return Vec::new() };
    let Some((before, behind)) = name.split_once("%s") else { return Vec::new() };
    let slot = |name: &str| {
        let slot = name.strip_prefix(before)?.strip_suffix(behind)?;
        slot.parse::<u32>().is_ok().then(|| slot.to_owned())
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.filter_map(|e| Some((slot(e.file_name().to_str()?)?, e.path()))).collect();
    files.sort_by_key(|(slot, _)| slot.parse::<u32>().unwrap_or(0));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_both_streams_is_that_of_pm_log_alone() {
        let of = |line: &str| {
            let argv = line.split(' ').map(OsString::from).collect();
            of_both(&Start { argv, cwd: "/srv".into(), ..Start::default() })
        };
        assert_eq!(of("/x/pm-log --time --both /b --out /o pm-restart node --both c"), Some("/b".into()));
        assert_eq!(of("pm-log --out --both --both=b pm-restart node"), Some("/srv/b".into()));
        for line in ["pm-restart node --both c", "pm-log --time pm-restart node --both c", "pm-log --both"] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn each_slot_has_a_file_where_the_chain_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["a-0.log", "a-11.log", "a-2.log", "a-x.log", "a-.log", "b-1.log"] {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let argv = ["pm-cluster", "--out=a-%s.log", "--err", "b.log", "x", "--err", "a-%s.log"];
        let argv = argv.map(OsString::from).to_vec();
        let start = Start { argv, out: Some("/o".into()), ..Start::default() };
        let found = logs(dir.path(), &start);
        let told: Vec<_> =
            found.iter().map(|l| (l.stream, l.slot.as_deref().unwrap_or("-"), l.own.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("out", "-", None),
                ("out", "0", Some("a-0.log")),
                ("out", "2", Some("a-2.log")),
                ("out", "11", Some("a-11.log")),
                ("err", "-", Some("err.log"))
            ]
        );
        assert_eq!(found.last().map(|log| log.path.as_path()), Some(dir.path().join("err.log").as_path()));
    }
}
