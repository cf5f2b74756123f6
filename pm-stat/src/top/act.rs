//! What is done to an app: by pm-fork, as a child, while the screen goes on.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use pm_common::cli::report::reason;
use pm_common::sys::pidfd;
use rustix::pipe::{PipeFlags, pipe_with};

use super::on_key::Act;
use crate::look::app::App;

/// The most that is kept of what a child says, in bytes.
const LARGEST: usize = 4096;

/// The commands that do it, one after the other, as long as each ends well.
pub(super) fn commands(act: Act, app: &App) -> Vec<Vec<OsString>> {
    let line = |words: &[&str]| words.iter().copied().chain(["--", &app.name]).map(OsString::from).collect();
    match act {
        Act::Stop => vec![line(&["pm-fork", "--stop"])],
        Act::Restart => vec![line(&["pm-fork", "--again", "--restart"])],
        Act::Reload if !app.runs() => vec![line(&["pm-fork", "--again"])],
        Act::Reload => {
            // The one that counts is one asked for after the last that is known now.
            let last = app.acting().and_then(|told| Some(told.roll.as_ref()?.requested)).unwrap_or(0);
            vec![
                line(&["pm-fork", "--signal", "HUP"]),
                line(&["pm-stat", "--wait", "rolled", &format!("--since={last}")]),
            ]
        }
    }
}

/// What is being done, or has been.
#[derive(Debug)]
pub(super) struct Doing {
    title: String,
    /// What is still to be run.
    rest: Vec<Vec<OsString>>,
    running: Option<Running>,
    output: Vec<u8>,
    end: Option<String>,
}

/// A child and the ends of what it says.
#[derive(Debug)]
struct Running {
    child: Child,
    pidfd: OwnedFd,
    /// `None`: nobody can say anything any more.
    output: Option<File>,
}

impl Doing {
    /// Begins with the first of the commands.
    pub(super) fn begin(act: Act, app: &App) -> Self {
        let title = format!("{} {}", act.word(), app.called());
        let mut doing = Self { title, rest: commands(act, app), running: None, output: Vec::new(), end: None };
        doing.next();
        doing
    }

    /// Runs the next command; that it cannot be is what is said.
    fn next(&mut self) {
        if self.rest.is_empty() {
            self.end = Some("done".to_owned());
            return;
        }
        match run(&self.rest.remove(0)) {
            Ok(running) => self.running = Some(running),
            Err(e) => self.end = Some(format!("cannot be run: {}", reason(&e))),
        }
    }

    /// Readable: the end of the child, and what it says.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let ends = self.running.iter().map(|running| running.pidfd.as_fd());
        ends.chain(self.running.iter().filter_map(|running| Some(running.output.as_ref()?.as_fd())))
    }

    /// Takes what the child has said, and its end; nothing here waits.
    pub(super) fn look(&mut self) {
        let Some(running) = &mut self.running else { return };
        let ended = running.child.try_wait();
        let mut room = [0; LARGEST];
        while let Some(Ok(length)) = running.output.as_mut().map(|output| output.read(&mut room)) {
            self.output.extend(room.iter().take(length));
            if length == 0 {
                running.output = None;
            }
        }
        let excess = self.output.len().saturating_sub(LARGEST);
        self.output.drain(..excess);
        match ended {
            Ok(None) => return,
            Ok(Some(status)) if status.success() => {
                self.running = None;
                self.next();
                return;
            }
            // The child has said why.
            Ok(Some(status)) => self.end = Some(format!("failed ({status})")),
            Err(e) => self.end = Some(format!("its end is not known: {}", reason(&e))),
        }
        self.running = None;
        self.rest.clear();
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// What is done and how it ended; above it, what was said.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.output);
        let mut lines: Vec<_> = text.lines().map(super::tail::plain).filter(|line| !line.is_empty()).collect();
        lines.push(format!("{}: {}", self.title, self.end.as_deref().unwrap_or("under way ...")));
        lines
    }
}

/// Starts a command of ours: that beside this program, else the one of the PATH.
fn run(command: &[OsString]) -> io::Result<Running> {
    let (program, words) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(program)));
    let program = beside.filter(|path| path.is_file()).map_or_else(|| program.clone(), Into::into);
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write);
    // The keys of the terminal are for the screen: Ctrl-C ends that, not what it has begun.
    let child = command.process_group(0).spawn()?;
    let pidfd = pidfd::open(i32::try_from(child.id()).unwrap_or(0))?;
    Ok(Running { child, pidfd, output: Some(File::from(read)) })
}
