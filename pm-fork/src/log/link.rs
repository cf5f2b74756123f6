//! The two ways to run: as a filter between a pipe and a file, and as a link of a chain.
//!
//! The link starts the writer and becomes the chain. The writer is forked twice, so that it is nobody's child by the
//! time the chain runs: pm-restart ends what it finds below itself, and the writer has to outlive the chain's last word.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pm_common::home;
use pm_common::report::{self, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Failure, OrFail as _, reason};
use pm_common::sys::daemon::{self, Fork};

use super::file::duplicate;
use super::settings::{Settings, Sinks};
use super::sink::Stream;
use super::writer::{Input, Writer, now};

/// The file in the app's directory with the number of the writer's process.
const PID_FILE: &str = "log.pid";

/// Reads stdin until its end.
pub(super) fn filter(settings: &Settings) -> Result<u8, Failure> {
    let Sinks { mut all, .. } = settings.open(now())?;
    all.truncate(1);
    let stdin = duplicate(&rustix::stdio::stdin()).or_fail(|| "cannot read stdin".to_owned())?;
    Writer::begin(vec![Input::new(stdin, Stream::Out, 0)], all, true)?.run()?;
    Ok(0)
}

/// Starts the writer, and becomes the chain.
pub(super) fn chain(settings: &Settings, chain: &[OsString]) -> Result<u8, Failure> {
    match start(settings.open(now())?) {
        Ok(Role::Writer) => Ok(0),
        Ok(Role::Chain(ends)) => Err(exec(chain, ends.out.into(), ends.err.into(), Some(ends.alive))),
        Err(error) => {
            let why = reason(&error);
            report::warning(format_args!("cannot start the writer: {why}; output goes to the files as it is"));
            // Opened again: a writer that had copies would keep rotated files from being freed.
            let Sinks { all, out, err } = settings.open(now())?;
            let file = |n: usize| all.get(n).map_or_else(|| Err(io::ErrorKind::NotFound.into()), duplicate);
            let doing = || "cannot use the files".to_owned();
            Err(exec(chain, file(out).or_fail(doing)?, file(err).or_fail(doing)?, None))
        }
    }
}

/// Who we are after the forks.
enum Role {
    /// A process that has done its part.
    Writer,
    /// The one that becomes the chain.
    Chain(Ends),
}

/// The chain's ends of the pipes.
struct Ends {
    out: PipeWriter,
    err: PipeWriter,
    /// Ends when the writer has.
    alive: PipeReader,
}

fn start(sinks: Sinks) -> io::Result<Role> {
    let ((from_out, out), (from_err, err)) = (io::pipe()?, io::pipe()?);
    let (mut alive, lives) = io::pipe()?;
    match daemon::fork()? {
        Fork::Child => {
            drop((out, err, alive));
            let inputs = vec![
                Input::new(from_out.into(), Stream::Out, sinks.out),
                Input::new(from_err.into(), Stream::Err, sinks.err),
            ];
            // The next process is no leader of a session, and so gets no terminal; without it this one has failed.
            if rustix::process::setsid().is_ok() && matches!(daemon::fork(), Ok(Fork::Child)) {
                write_until_the_end(inputs, sinks, lives);
            }
            Ok(Role::Writer)
        }
        Fork::Parent(child) => {
            drop((from_out, from_err, lives));
            // Where children are reaped for us (SIGCHLD ignored) this fails: the word of the writer counts.
            let _ = nix::sys::wait::waitpid(child, None);
            let mut word = [0];
            alive.read_exact(&mut word).map_err(|_| io::Error::other("it ended at once"))?;
            Ok(Role::Chain(Ends { out, err, alive }))
        }
    }
}

/// The writer's life. What it cannot do is said, and no reason to take the lines' way from them.
fn write_until_the_end(inputs: Vec<Input>, sinks: Sinks, mut lives: PipeWriter) {
    let stderr_is_ours = sinks.all.iter().any(|sink| sink.is(rustix::stdio::stderr()));
    leave(stderr_is_ours);
    let mark = PidFile::new();
    match Writer::begin(inputs, sinks.all, false) {
        Ok(writer) => {
            let _ = lives.write_all(b"w");
            if let Err(failure) = writer.run() {
                report::warning(failure);
            }
        }
        Err(failure) => report::warning(failure),
    }
    drop(mark);
}

/// Lets go of the caller's directory, descriptors and outputs. Its stderr is kept for our own words, unless that is a log file: it
/// would be the old one after a rotation.
fn leave(stderr_is_ours: bool) {
    let _ = std::env::set_current_dir("/");
    daemon::close_inherited();
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    if stderr_is_ours {
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// `log.pid` in the app's directory: there as long as the writer is, and so as long as something may still be written.
struct PidFile(PathBuf);

impl PidFile {
    fn new() -> Option<Self> {
        let dir = std::env::var_os(home::DIR).map(PathBuf::from).filter(|dir| dir.is_absolute())?;
        let path = dir.join(PID_FILE);
        // A new file in place of a predecessor's, who may still live.
        let _ = std::fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).ok()?;
        Some(Self(path))
    }

    fn is_ours(path: &Path) -> bool {
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == std::process::id().to_string())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if Self::is_ours(&self.0) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Becomes the chain; coming back, it has failed, and the writer has ended.
fn exec(chain: &[OsString], out: OwnedFd, err: OwnedFd, alive: Option<PipeReader>) -> Failure {
    match try_exec(chain, out, err) {
        Ok(never) => match never {},
        Err(failure) => {
            if let Some(mut alive) = alive {
                let _ = alive.read_to_end(&mut Vec::new());
            }
            failure
        }
    }
}

fn try_exec(chain: &[OsString], out: OwnedFd, err: OwnedFd) -> Result<Infallible, Failure> {
    let Some((program, args)) = chain.split_first() else { return Err(Failure::own("nothing to run")) };
    let (stdout, stderr) = (duplicate(&rustix::stdio::stdout()), duplicate(&rustix::stdio::stderr()));
    let mut command = Command::new(program);
    let error = command.args(args).stdout(Stdio::from(out)).stderr(Stdio::from(err)).exec();
    // The pipes have taken the place of both by now; as long as we hold them, the writer waits.
    let _ = stdout.map(|fd| rustix::stdio::dup2_stdout(fd.as_fd()));
    let _ = stderr.map(|fd| rustix::stdio::dup2_stderr(fd.as_fd()));
    let code = if error.kind() == io::ErrorKind::NotFound { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
    Err(Failure::with_code(code, format!("cannot run {}: {}", program.to_string_lossy(), reason(&error))))
}
