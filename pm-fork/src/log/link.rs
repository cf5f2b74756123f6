//! The two ways to run: as a filter between a pipe and a file, and as a link of a chain.
//!
//! The link starts the writer (`guard`) and becomes the chain.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use pm_common::cli::chain;
use pm_common::cli::report::{self, Failure, OrFail as _, reason};

use super::guard::{self, Role};
use super::options::{Settings, Sinks};
use super::output_file::duplicate;
use super::sink::Stream;
use super::writer::{Input, Writer, now};

/// Reads stdin until its end.
pub(super) fn filter(settings: &Settings) -> Result<u8, Failure> {
    let Sinks { mut all, .. } = settings.open(now())?;
    all.truncate(1);
    let stdin = duplicate(&rustix::stdio::stdin()).or_fail(|| "cannot read stdin".to_owned())?;
    Writer::begin(vec![Input::new(stdin, Stream::Out, vec![0])], all, true)?.run(None)?;
    Ok(0)
}

/// Starts the writer, and becomes the chain.
pub(super) fn chain(settings: &Settings, chain: &[OsString]) -> Result<u8, Failure> {
    // What cannot be opened is said before anything runs.
    drop(settings.open(now())?);
    match guard::start(settings) {
        Ok(Role::Done) => Ok(0),
        Ok(Role::Chain(ends)) => Err(exec(chain, ends.out.into(), ends.err.into(), Some(ends.alive))),
        Err(error) => {
            let why = reason(&error);
            report::warning(format_args!("cannot start the writer: {why}; output goes to the files as it is"));
            let Sinks { all, out, err, .. } = settings.open(now())?;
            let file = |n: usize| all.get(n).map_or_else(|| Err(io::ErrorKind::NotFound.into()), duplicate);
            let doing = || "cannot use the files".to_owned();
            Err(exec(chain, file(out).or_fail(doing)?, file(err).or_fail(doing)?, None))
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
    Err(chain::cannot_run(program, &error))
}
