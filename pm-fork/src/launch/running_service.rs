//! A service that runs, as the process that started it knows it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use pm_common::cli::report;
use pm_common::supervise::err_log::ErrLog;

use crate::launch::service::{FIELDS, Service};
use crate::launch::wrote::Wrote;

/// A service that runs.
pub(super) struct Started {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    places: String,
    pub(super) wrote: Wrote,
    /// Our child's, so that it is its own until we reap it.
    pub(super) pid: i32,
    pub(super) supervised: bool,
    restarted: bool,
}

impl Started {
    /// By what its process said of it before it became the chain.
    pub(super) fn new(
        [name, dir, places, err, err_size, out, out_size]: [&[u8]; FIELDS],
        service: &Service,
        pid: i32,
    ) -> Self {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let log = |at, size| ErrLog::at(path(at), String::from_utf8_lossy(size).parse().unwrap_or(0));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            name: text(name),
            dir: path(dir),
            places: text(places),
            wrote: Wrote { err: log(err, err_size), out: (out != err).then(|| log(out, out_size)) },
            pid,
            supervised: is_supervised(&service.start.argv),
            restarted: service.restarted,
        }
    }

    /// Says that it was started, how that is known, and what to say of it besides.
    pub(super) fn say(&self, how: &str, more: &str) {
        let (name, pid, places) = (&self.name, self.pid, &self.places);
        let done = if self.restarted { "restarted" } else { "started" };
        report::info(format_args!("{done} app '{name}' pid={pid}{how}{places}{more}"));
    }
}

/// Whether the chain has a supervisor in it, which says how the app is.
pub(super) fn is_supervised(argv: &[OsString]) -> bool {
    let tool = |word: &OsString| Path::new(word).file_name().is_some_and(|b| b == "pm-restart" || b == "pm-cluster");
    argv.iter().any(tool)
}
