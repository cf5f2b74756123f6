//! The app's own log files do not fill the disk: one that has grown too large is rotated, by a `pm-log --rotate` of its own, as
//! the workers hold the files open and go on writing: how no line is lost, pm-fork's `log::rotate_in_use` says.
//!
//! Nothing is in between a worker and its file. While nothing is written, nothing wakes us; what is written wakes us once,
//! and is looked at a little later, the sooner the faster a file grows.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::{Adapter, Driver};
use crate::app::log_file;
use crate::cli::report;
use crate::policy::exit::Exit;
use crate::policy::rules::Rules;
use crate::policy::supervisor::WhichRelease;
use crate::policy::time::{Mono, Span};
use crate::sys::process::{self, Child, Launch};
use crate::sys::{clock, dnotify};

/// From the first of many lines to the first look.
const FIRST: Span = Span::millis(250);
/// Between two looks at a file that grows as fast as anything can.
const SHORTEST: Span = Span::millis(100);
/// Between a line and the look: so much may be written at once before it is seen.
const LONGEST: Span = Span::secs(2);
/// A rotation that has failed is tried again.
const AGAIN: Span = Span::secs(600);
/// The exit code of one for which the disk had no room (`log::rotate_in_use` of pm-fork), and when it is tried again.
const FULL: (u8, Span) = (2, Span::secs(20));

/// The pause until the next look at a file that has grown by so much since the last, `pause` ago, and may grow by `room`.
fn next_pause(pause: Span, grown: u64, room: u64) -> Span {
    let doubled = Span(pause.0.saturating_mul(2));
    let half_full = pause.0.saturating_mul(room.max(1)).checked_div(grown).map_or(doubled, |full| Span(full / 2));
    half_full.min(doubled).min(LONGEST).max(SHORTEST)
}

/// An output of ours that is a log in the app's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Out,
    Err,
}

impl Output {
    const fn name(self) -> &'static str {
        match self {
            Self::Out => "out.log",
            Self::Err => "err.log",
        }
    }

    /// Whether it is the file of this path (still).
    fn is(self, file: &Path) -> bool {
        let output = match self {
            Self::Out => rustix::stdio::stdout(),
            Self::Err => rustix::stdio::stderr(),
        };
        let (Ok(ours), Ok(there)) = (rustix::fs::fstat(output), file.symlink_metadata()) else { return false };
        there.is_file() && (there.dev(), there.ino()) == (ours.st_dev, ours.st_ino)
    }
}

/// The files, and when they are looked at.
#[derive(Debug)]
pub(super) struct LogRotation {
    dir: OwnedFd,
    files: Vec<(Output, PathBuf)>,
    most: u64,
    keep: u32,
    look_at: Option<Mono>,
    pause: Span,
    /// The largest of them, when they were looked at last.
    size: u64,
    helper: Option<Child>,
}

impl LogRotation {
    /// For the logs in the app's directory that we were started with; `None`: there are none, or they are to be left alone.
    pub(super) fn begin(dir: Option<&Path>, rules: &Rules) -> Option<Self> {
        let (dir, most) = (dir?, rules.log_size?);
        let all = [Output::Out, Output::Err].map(|output| (output, dir.join(output.name())));
        let files: Vec<_> = all.into_iter().filter(|(output, file)| output.is(file)).collect();
        if files.is_empty() {
            return None;
        }
        let opened = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let dir = opened.map_err(|errno| no_more(&errno.into())).ok()?;
        // There may be much in them already.
        let look_at = Some(clock::now() + FIRST);
        Some(Self { dir, files, most, keep: rules.log_keep, look_at, pause: FIRST, size: 0, helper: None })
    }

    /// Wakes us at the next line in any of them.
    fn arm(&self) -> io::Result<()> {
        dnotify::once_written(self.dir.as_fd())
    }

    /// What shows that a rotation has ended.
    pub(super) fn rotated(&self) -> Option<BorrowedFd<'_>> {
        self.helper.as_ref().map(|child| child.pidfd.as_fd())
    }

    /// The child of ours that rotates.
    pub(super) fn child(&self) -> Option<i32> {
        self.helper.as_ref().map(|child| child.pid)
    }

    /// When the files are looked at.
    pub(super) const fn deadline(&self) -> Option<Mono> {
        self.look_at
    }

    /// Looks at their sizes; true: one is too large. One that is no longer what we write to is somebody else's.
    fn look(&mut self) -> bool {
        let (ours, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.files).into_iter().partition(|(output, file)| output.is(file));
        self.files = ours;
        for (_, file) in others {
            report::warning(format_args!(
                "{} was moved or removed: what the app writes goes on into the old file, and is rotated no more; \
                 pm restart begins a new one, and copytruncate (logrotate) leaves it in its place",
                file.display()
            ));
        }
        let size = self.files.iter().filter_map(|(_, file)| size(file)).max().unwrap_or(0);
        self.pause = next_pause(self.pause, size.saturating_sub(self.size), self.most.saturating_sub(size));
        self.size = size;
        size > self.most
    }

    fn command(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["pm-log".into(), "--rotate".into()];
        words.extend(["--max-size".into(), format!("{}K", self.most >> 10).into()]);
        words.extend(["--keep".into(), self.keep.to_string().into()]);
        for (option, (_, file)) in ["--out", "--err"].into_iter().zip(&self.files) {
            words.extend([option.into(), file.clone().into_os_string()]);
        }
        words
    }
}

fn no_more(error: &io::Error) {
    report::warning(format_args!("log files are not rotated: {}", report::reason(error)));
}

fn size(file: &Path) -> Option<u64> {
    file.symlink_metadata().ok().map(|found| log_file::held(&found))
}

impl<A: Adapter> Driver<A> {
    /// A line was written: it is looked at once others may have been, too.
    pub(super) fn log_was_written(&mut self) {
        let Some(logs) = &mut self.logs else { return };
        if logs.helper.is_none() && logs.look_at.is_none() {
            logs.look_at = Some(clock::now() + logs.pause);
        }
    }

    /// Looks at the logs when it is time, and has one rotated that is too large. A link above that has the same files does it
    /// for us.
    pub(super) fn look_at_logs(&mut self) {
        let own = self.lock_holder.is_none();
        let Some(logs) = &mut self.logs else { return };
        if logs.look_at.is_none_or(|at| at > clock::now()) {
            return;
        }
        logs.look_at = None;
        let done = match own {
            true if logs.look() => self.start_rotation(),
            true => logs.arm(),
            false => Ok(()),
        };
        if self.logs.as_ref().is_some_and(|logs| logs.files.is_empty()) {
            self.logs = None;
        }
        if let Err(error) = done {
            no_more(&error);
            self.logs = None;
        }
    }

    fn start_rotation(&mut self) -> io::Result<()> {
        let Some(logs) = &mut self.logs else { return Ok(()) };
        let beside = std::env::current_exe()?.with_file_name("pm-log");
        let argv = logs.command();
        let directory = &self.releases.get(WhichRelease::Current).directory;
        let output = || rustix::stdio::stderr().try_clone_to_owned();
        let bare = Launch::bare(&beside, &argv, directory.as_fd());
        let child = process::spawn(Launch { out: Some(output()?), err: Some(output()?), ..bare });
        let child =
            child.map_err(|failed| io::Error::other(format!("cannot run {}: {}", beside.display(), failed.error)))?;
        self.orphans.spare(child.pid);
        logs.helper = Some(child);
        Ok(())
    }

    /// A rotation may have ended.
    pub(super) fn log_was_rotated(&mut self) {
        let Some(logs) = &mut self.logs else { return };
        let Some(exit) = logs.child().and_then(process::peek_exit) else { return };
        if let Some(child) = logs.helper.take() {
            process::reap(child.pid);
            self.orphans.reaped(child.pid);
        }
        let wait = match exit {
            Exit::Code(0) => SHORTEST,
            Exit::Signal(_) => LONGEST,
            // What went wrong, it has said itself.
            Exit::Code(code) if code == FULL.0 => FULL.1,
            Exit::Code(_) => AGAIN,
        };
        (logs.size, logs.look_at) = (0, Some(clock::now() + wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_grows_fast_is_looked_at_soon_and_who_grows_slowly_seldom() {
        let mb = 1 << 20;
        assert_eq!(
            next_pause(Span::millis(200), 2 * mb, 8 * mb),
            Span::millis(400),
            "half of what it takes to be full"
        );
        assert_eq!(next_pause(Span::millis(200), 8 * mb, 2 * mb), SHORTEST);
        assert_eq!(next_pause(Span::millis(200), 0, 8 * mb), Span::millis(400));
        assert_eq!(next_pause(Span::secs(2), 100, 8 * mb), LONGEST);
        assert_eq!(next_pause(SHORTEST, u64::MAX, 0), SHORTEST);
    }
}
