//! Starting, watching, signalling and reaping processes.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::pidfd;
use crate::policy::exit::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN, Exit};

/// What to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file to execute; searched in the PATH of `env` if it is a bare name.
    pub program: &'a Path,
    /// The program's name for itself, and its arguments.
    pub argv: &'a [OsString],
    /// The working directory.
    pub directory: BorrowedFd<'a>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The child reads what we read; else /dev/null.
    pub input: bool,
    /// Its standard output and standard error; `None`: ours.
    pub out: Option<OwnedFd>,
    /// See `out`.
    pub err: Option<OwnedFd>,
    /// Descriptors that the program keeps, under their own numbers.
    pub keep: Vec<BorrowedFd<'a>>,
    /// One that it finds under this number ([`super::listen_fds::place`]).
    pub place: Option<(BorrowedFd<'a>, RawFd)>,
    /// Have these of its calls told over this socket, if that is possible ([`super::seccomp::receive`]).
    pub watch: Option<(BorrowedFd<'a>, super::seccomp::ToldCalls)>,
    /// We, and what we start, may trace it ([`super::ptrace`]).
    pub traceable: bool,
    /// Sockets that it finds from descriptor 3 on ([`super::listen_fds`]).
    pub sockets: Vec<BorrowedFd<'a>>,
    /// The child gets no other descriptor, not even one that we were started with ourselves.
    pub alone: bool,
}

impl<'a> Launch<'a> {
    /// Starts a program that gets nothing but its arguments: no environment, no input, none of our descriptors but outputs.
    #[must_use]
    pub fn bare(program: &'a Path, argv: &'a [OsString], directory: BorrowedFd<'a>) -> Self {
        Self {
            program,
            argv,
            directory,
            env: Vec::new(),
            input: false,
            out: None,
            err: None,
            keep: Vec::new(),
            place: None,
            watch: None,
            traceable: false,
            sockets: Vec::new(),
            alone: true,
        }
    }
}

/// A process that we started and have not reaped: its pid cannot be another's.
#[derive(Debug)]
pub struct Child {
    /// The pid; the process group has the same number.
    pub pid: i32,
    /// Readable once the process has ended.
    pub pidfd: OwnedFd,
}

/// Why a process could not be started.
#[derive(Debug)]
pub struct SpawnError {
    /// 126 not executable, 127 not found, 125 a lack of resources, which may pass.
    pub code: u8,
    /// The system's reason.
    pub error: io::Error,
}

/// Starts a process in a process group of its own, with all signals at their defaults.
///
/// # Errors
/// What fork(2) or execve(2) said, with the exit code that it means.
pub fn spawn(launch: Launch<'_>) -> Result<Child, SpawnError> {
    let mut command = Command::new(launch.program);
    if let Some(name) = launch.argv.first() {
        command.arg0(name);
    }
    command.args(launch.argv.iter().skip(1)).env_clear().envs(launch.env.iter().map(|(k, v)| (k, v)));
    command.stdin(if launch.input { Stdio::inherit() } else { Stdio::null() }).process_group(0);
    launch.out.into_iter().for_each(|fd| _ = command.stdout(fd));
    launch.err.into_iter().for_each(|fd| _ = command.stderr(fd));
    let directory = launch.directory.as_raw_fd();
    let keep: Vec<RawFd> = launch.keep.iter().map(AsRawFd::as_raw_fd).collect();
    let watch = launch.watch.map(|(to, told)| (to.as_raw_fd(), told));
    let place = launch.place.map(|(fd, number)| (fd.as_raw_fd(), number));
    let passed = if launch.sockets.is_empty() {
        Ok(None)
    } else {
        super::listen_fds::Exec::new(launch.program, launch.argv, &launch.env, &launch.sockets).map(Some)
    };
    let (alone, traceable) = (launch.alone, launch.traceable);
    let mut passed = passed.map_err(|error| SpawnError { code: EXIT_OWN, error })?;
    // SAFETY: the closure runs between fork and exec in the child of a single-threaded process, and calls only
    // async-signal-safe functions (sigaction, sigprocmask, getrlimit, setrlimit, fchdir, fcntl, close_range, seccomp,
    // prctl, sendmsg, close, dup2, execve) on data made before the fork. Those on numbers of descriptors touch no memory;
    // the caller's borrows keep them open, and the number of `place` is reserved: nothing of the child's own is replaced.
    unsafe {
        command.pre_exec(move || {
            default_signals();
            checked(libc::fchdir(directory))?;
            if alone {
                // Before Linux 5.11 what we were started with ourselves goes on to the child: all of ours is marked already.
                libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            }
            keep.iter().try_for_each(|fd| checked(libc::fcntl(*fd, libc::F_SETFD, 0)))?;
            watch.into_iter().for_each(|(to, told)| super::seccomp::install(to, told));
            if traceable {
                super::ptrace::let_parent_trace();
            }
            if let Some((fd, number)) = place {
                checked(libc::dup2(fd, number))?;
            }
            // Only now: up to its exec the child has all that we have open, and the listener above is one more.
            super::fd_limit::restore_descriptors();
            passed.as_mut().map_or(Ok(()), |exec| Err(exec.run()))
        });
    }
    let mut child = command.spawn().map_err(spawn_error)?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    match pidfd::open(pid) {
        Ok(pidfd) => Ok(Child { pid, pidfd }),
        Err(error) => {
            // Out of descriptors just now: without a pidfd we could not watch it, so it must not live.
            let _ = child.kill();
            let _ = child.wait();
            Err(SpawnError { code: EXIT_OWN, error })
        }
    }
}

/// Has the kernel kill the child that this starts as soon as we end, whoever ends us (PR_SET_PDEATHSIG, prctl(2)).
pub fn ends_with_us(command: &mut Command) {
    let own = std::process::id().cast_signed();
    // SAFETY: the closure runs between fork and exec, and calls prctl and getppid alone, which are async-signal-safe and
    // touch no memory.
    unsafe {
        command.pre_exec(move || {
            checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            // We have ended meanwhile: nobody will send it.
            if libc::getppid() == own { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
    }
}

fn spawn_error(error: io::Error) -> SpawnError {
    let code = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => EXIT_NOT_FOUND,
        _ if super::fd_limit::is_want(&error) => EXIT_OWN,
        _ => EXIT_NOT_EXECUTABLE,
    };
    SpawnError { code, error }
}

/// All signals to their default action and none blocked: exec(3) would hand on what nohup(1) or a careless parent left
/// ignored or blocked.
pub fn default_signals() {
    default_signals_but(&[]);
}

/// As [`default_signals`], but these are ignored, and what of them was still to come is gone.
pub fn default_signals_but(ignored: &[i32]) {
    for number in 1..=libc::SIGRTMAX() {
        if number != libc::SIGKILL && number != libc::SIGSTOP {
            let action = if ignored.contains(&number) { libc::SIG_IGN } else { libc::SIG_DFL };
            // SAFETY: neither ignoring a signal nor its default action runs code of ours; a number that may not be
            // changed is refused with EINVAL and nothing happens.
            unsafe { libc::signal(number, action) };
        }
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Ignores a signal from now on.
///
/// # Errors
/// The number is no signal.
pub fn ignore(number: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler, so there is nothing that must be async-signal-safe.
    let before = unsafe { libc::signal(number, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn checked(done: libc::c_int) -> io::Result<()> {
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How a child ended, if it has; it stays a zombie, so that its pid and group number stay its own.
#[must_use]
pub fn peek_exit(pid: i32) -> Option<Exit> {
    wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

/// Reaps a child that has ended.
pub fn reap(pid: i32) -> Option<Exit> {
    wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Reaps any child that has ended, also one that was left to us; `None`: there is none.
pub fn reap_any() -> Option<(i32, Exit)> {
    match waitpid(None, Some(WaitPidFlag::WNOHANG)).ok()? {
        WaitStatus::Exited(pid, code) => Some((pid.as_raw(), Exit::Code(code.to_le_bytes()[0]))),
        WaitStatus::Signaled(pid, signal, _) => Some((pid.as_raw(), Exit::Signal(signal as u8))),
        _ => None,
    }
}

/// Whether we have any child, ended or not.
#[must_use]
pub fn has_children() -> bool {
    waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT).is_ok()
}

/// Waits until a child has ended, and reaps it; `None`: it is none of ours.
pub fn wait_for(pid: i32) -> Option<Exit> {
    let child = rustix::process::Pid::from_raw(pid)?;
    let ended = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(child), WaitIdOptions::EXITED));
    ended.ok().flatten().and_then(|status| exit_of(&status))
}

/// Has a child that is a copy of us, without exec, end as its parent does, however that ends; INT is the parent's alone.
pub fn ends_with_its_parent() {
    let parent = rustix::process::getppid();
    let _ = SigSet::from(Signal::SIGINT).thread_block();
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // It ended before it was asked for.
    if rustix::process::getppid() != parent {
        std::process::exit(1);
    }
}

fn wait(pid: i32, options: WaitIdOptions) -> Option<Exit> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    waitid(WaitId::Pid(pid), options).ok().flatten().and_then(|status| exit_of(&status))
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    let low = |n: i32| u8::try_from(n & 0xff).unwrap_or(u8::MAX);
    status
        .exit_status()
        .map(|n| Exit::Code(low(n)))
        .or_else(|| status.terminating_signal().map(|n| Exit::Signal(low(n))))
}

/// Sends a signal to the process behind a pidfd; one that has ended is no error.
///
/// # Errors
/// EPERM: it runs as another user.
pub fn signal(pidfd: BorrowedFd<'_>, number: u8) -> io::Result<()> {
    let Some(signal) = rustix::process::Signal::from_named_raw(i32::from(number)) else { return Ok(()) };
    unless_gone(rustix::process::pidfd_send_signal(pidfd, signal).map_err(io::Error::from))
}

/// Whether the process behind a pidfd has not been reaped yet.
#[must_use]
pub fn exists(pidfd: BorrowedFd<'_>) -> bool {
    let (number, none) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: signal 0 is only checked, never sent; a null siginfo is allowed, and no memory is touched.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, 0, none, 0) };
    done == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Sends a signal to a process group whose leader we have not reaped, so that the number is still its own.
///
/// # Errors
/// EPERM: none of the group may be signalled, all run as another user.
pub fn signal_group(leader: i32, signal: Signal) -> io::Result<()> {
    unless_gone(nix::sys::signal::killpg(Pid::from_raw(leader), signal).map_err(io::Error::from))
}

/// Sends a signal to a process by number: only to one that we have just found to be a descendant of ours.
///
/// # Errors
/// EPERM: it runs as another user.
pub fn signal_pid(pid: i32, signal: Signal) -> io::Result<()> {
    unless_gone(nix::sys::signal::kill(Pid::from_raw(pid), signal).map_err(io::Error::from))
}

fn unless_gone(sent: io::Result<()>) -> io::Result<()> {
    sent.or_else(|error| if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) })
}

/// Orphans of our tree come to us, not to init (PR_SET_CHILD_SUBREAPER, prctl(2)).
///
/// # Errors
/// Linux before 3.4.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}
