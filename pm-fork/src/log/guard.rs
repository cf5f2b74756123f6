//! The processes behind a chain: the writer, and its guard.
//!
//! The guard is forked twice, so that it is nobody's child by the time the chain runs: pm-restart ends what it finds
//! below itself, and the writer has to outlive the chain's last word. It holds the pipes and sleeps until the writer
//! ends. Without it a writer that is killed would leave the app with pipes that nobody reads, and each worker would die
//! of its next line. So each watches the other: where the guard is killed, the writer becomes one, and has a child go on
//! with the writing.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use pm_common::app::home;
use pm_common::cli::report::{self, Failure};
use pm_common::sys::daemon::{self, Fork};
use pm_common::sys::{pidfd, process};

use super::options::Settings;
use super::sink::Stream;
use super::writer::{self, Input, Stop, Writer, now};

/// The file in the app's directory with the number of the writer's process.
const PID_FILE: &str = "log.pid";
/// A writer that dies sooner than this is not replaced: its successor would fare no better.
const TOO_SOON_MS: u64 = 1000;
/// The size of the pipes in bytes. Node writes to a pipe as much as it takes and keeps the rest in its own memory, where a
/// crash loses it: four times the usual size. (More would use up what a user may have in pipes: pipe(7).)
const PIPE_SIZE: usize = 256 << 10;

/// Who we are after the forks.
pub(super) enum Role {
    /// A process that has done its part.
    Done,
    /// The one that becomes the chain.
    Chain(Ends),
}

/// The chain's ends of the pipes.
pub(super) struct Ends {
    pub(super) out: PipeWriter,
    pub(super) err: PipeWriter,
    /// Ends when the writer has.
    pub(super) alive: PipeReader,
}

/// The other ends.
struct Source {
    out: PipeReader,
    err: PipeReader,
    lives: PipeWriter,
}

/// Makes the pipes and the processes behind them.
pub(super) fn start(settings: &Settings) -> io::Result<Role> {
    let ((from_out, out), (from_err, err)) = (pipe()?, pipe()?);
    let (mut alive, lives) = io::pipe()?;
    match daemon::fork()? {
        Fork::Child => {
            drop((out, err, alive));
            // The next process is no leader of a session, and so gets no terminal; without it this one has failed.
            if rustix::process::setsid().is_ok() && matches!(daemon::fork(), Ok(Fork::Child)) {
                leave(settings);
                guard(settings, Source { out: from_out, err: from_err, lives }, None);
            }
            Ok(Role::Done)
        }
        Fork::Parent(child) => {
            drop((from_out, from_err, lives));
            // Where children are reaped for us (SIGCHLD ignored) this fails: the word of the writer counts.
            let _ = waitpid(child, None);
            let mut word = [0];
            alive.read_exact(&mut word).map_err(|_| io::Error::other("it ended at once"))?;
            Ok(Role::Chain(Ends { out, err, alive }))
        }
    }
}

fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let pipe = io::pipe()?;
    // Refused where the user has many pipes: then it has the usual size.
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe.1, PIPE_SIZE);
    Ok(pipe)
}

/// The guard's life, with a `writer` that lives already or one of its own: until a writer has come to the end.
fn guard(settings: &Settings, source: Source, mut writer: Option<Pid>) {
    // What was still to come to a writer that has become a guard is not to end it; and whoever started us may have SIGCHLD
    // ignored: then we would not learn of an end.
    process::default_signals_but(&writer::IGNORED);
    let mut news = None;
    loop {
        let (begun, own, taken_over) = (now(), nix::unistd::getpid(), writer.is_some());
        let writer = match writer.take().map_or_else(daemon::fork, |writer| Ok(Fork::Parent(writer))) {
            Ok(Fork::Child) => return write_until_the_end(settings, source, news.as_deref(), own),
            Ok(Fork::Parent(writer)) => writer,
            Err(error) => return report::warning(format_args!("cannot start a writer: {}", report::reason(&error))),
        };
        let ended = waitpid(writer, None);
        if matches!(ended, Ok(WaitStatus::Exited(_, 0))) {
            return;
        }
        let end = ended.map_or_else(|e| e.to_string(), said);
        // One that was taken over had been at work for longer.
        if !taken_over && now().0.saturating_sub(begun.0) < TOO_SOON_MS {
            report::warning(format_args!("the writer has ended at once, {end}; what the app says is lost"));
            return PidFile::of(writer).iter().for_each(PidFile::remove);
        }
        news = Some(format!("the writer has ended, {end}; this one goes on, and what that had read may be missing"));
    }
}

fn said(status: WaitStatus) -> String {
    match status {
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        WaitStatus::Exited(_, code) => format!("code={code}"),
        other => format!("{other:?}"),
    }
}

/// The writer's life; it may end as that of a guard.
fn write_until_the_end(settings: &Settings, source: Source, news: Option<&str>, guard: Pid) {
    if let Err(failure) = write(settings, source, news, guard) {
        report::warning(failure);
        std::process::exit(1);
    }
}

fn write(settings: &Settings, source: Source, news: Option<&str>, mut guarded_by: Pid) -> Result<(), Failure> {
    let Source { out, err, mut lives } = source;
    let mut sinks = settings.open(now())?;
    if let (Some(news), Some(sink)) = (news, sinks.all.get_mut(sinks.err)) {
        sink.say(news, now());
    }
    let input = |fd, stream| Input::new(fd, stream, sinks.of(stream));
    let inputs = [input(out.into(), Stream::Out), input(err.into(), Stream::Err)];
    let mut writer = Writer::begin(inputs.into(), sinks.all, false)?;
    let mut mark = PidFile::new();
    let _ = lives.write_all(b"w");
    loop {
        let guarded = pidfd::open(guarded_by.as_raw()).ok();
        let is_gone = nix::unistd::getppid() != guarded_by;
        if !is_gone && writer.run(guarded.as_ref())? == Stop::Ended {
            break;
        }
        let own = nix::unistd::getpid();
        match daemon::fork() {
            Ok(Fork::Parent(next)) => {
                let Some((out, err)) = writer.into_inputs() else { return Ok(()) };
                guard(settings, Source { out: out.into(), err: err.into(), lives }, Some(next));
                return Ok(());
            }
            Ok(Fork::Child) => {
                (guarded_by, mark) = (own, PidFile::new());
                writer.say(sinks.err, "the guard of the writer was killed; there is another");
            }
            Err(error) => {
                let why = report::reason(&error);
                writer.say(sinks.err, &format!("the guard of the writer was killed, and there can be no other: {why}"));
                writer.run(None)?;
                break;
            }
        }
    }
    mark.iter().for_each(PidFile::remove);
    Ok(())
}

/// Lets go of the caller's directory, descriptors and outputs. Its stderr is kept for our own words, unless that is a
/// log file: it would be the old one after a rotation.
fn leave(settings: &Settings) {
    let _ = std::env::set_current_dir("/");
    daemon::close_inherited();
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let Ok(sinks) = settings.open(now()) else { return };
    let (out_is_a_file, err_is_a_file) = settings.have_files();
    if out_is_a_file {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
    if err_is_a_file && sinks.all.iter().any(|sink| sink.is(rustix::stdio::stderr())) {
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// `log.pid` in the app's directory: there as long as the writer is, and so as long as something may still be written.
struct PidFile {
    path: PathBuf,
    pid: i32,
}

impl PidFile {
    /// Written by the writer, before the chain can run.
    fn new() -> Option<Self> {
        let own = Self::of(nix::unistd::getpid())?;
        // A new file in place of a predecessor's, who may still live.
        let _ = std::fs::remove_file(&own.path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own.path).ok()?;
        file.write_all(format!("{}\n", own.pid).as_bytes()).ok()?;
        Some(own)
    }

    fn of(pid: Pid) -> Option<Self> {
        let dir = std::env::var_os(home::DIR).map(PathBuf::from).filter(|dir| dir.is_absolute())?;
        Some(Self { path: dir.join(PID_FILE), pid: pid.as_raw() })
    }

    /// Removed, unless it is another writer's by now.
    fn remove(&self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == self.pid.to_string()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
