//! Sockets that a program finds from descriptor 3 on, as systemd passes them (sd_listen_fds(3)).
//!
//! LISTEN_PID must be the program's own pid, which is known only after fork: the child writes it into an environment
//! that was made before, places the descriptors, and executes the program itself.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use rustix::fs::{Mode, OFlags};

/// The first of the descriptors (SD_LISTEN_FDS_START).
pub const FIRST: RawFd = 3;

const PID: &[u8] = b"LISTEN_PID=";
/// Room for any pid, and the NUL.
const DIGITS: usize = 12;

/// Keeps the numbers that are passed free of descriptors of our own, which would be lost in the child: among them those
/// that a start makes in passing. To be called before any other is opened.
///
/// # Errors
/// Out of descriptors.
pub fn reserve(count: usize) -> io::Result<()> {
    let end = FIRST + RawFd::try_from(count).unwrap_or(RawFd::MAX - FIRST);
    loop {
        let fd = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        if fd.as_raw_fd() >= end {
            return Ok(());
        }
        // For as long as we live.
        let _ = fd.into_raw_fd();
    }
}

/// Keeps one number behind `sockets` that are passed, for a descriptor that each child finds under it. A low one: Node
/// has its own children not inherit what it was started with up to the first number above 15 where nothing is open. To
/// be called before any other is opened.
///
/// # Errors
/// Out of descriptors.
pub fn place(sockets: usize) -> io::Result<RawFd> {
    let least = FIRST + RawFd::try_from(sockets).unwrap_or(RawFd::MAX - FIRST);
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // For as long as we live.
    Ok(rustix::io::fcntl_dupfd_cloexec(null, least)?.into_raw_fd())
}

/// Has no child inherit the descriptor of this number, if it is one that we were started with.
pub fn keep_from_children(number: RawFd) {
    if number >= FIRST {
        let _ = keep(number);
    }
}

/// Names that begin so are those of descriptors kept for a successor of ours, and never of sockets to listen on.
pub const KEPT: &str = "pm-";

/// More descriptors than these are not looked at.
const MOST: usize = 1024;

/// A socket that we were started with. It stays open, under its number, for as long as we live.
#[derive(Debug, Clone)]
pub struct Passed {
    /// The socket.
    pub fd: BorrowedFd<'static>,
    /// Its name, as LISTEN_FDNAMES has it.
    pub name: String,
}

/// The sockets that we were started with to listen on (sd_listen_fds(3)); close-on-exec from now on.
///
/// LISTEN_PID may also be our parent's: a shell that the chain goes through hands on what it does not know.
#[must_use]
pub fn sockets() -> Vec<Passed> {
    sockets_for(&own_and_parent())
}

/// The sockets that we were started with, less those of our parent: it may be an app, whose sockets are not those of
/// another that it starts.
#[must_use]
pub fn own_sockets() -> Vec<Passed> {
    sockets_for(&[std::process::id()])
}

fn sockets_for(pids: &[u32]) -> Vec<Passed> {
    let all = told_of(pids).into_iter().filter(|(_, name)| !name.starts_with(KEPT));
    all.filter_map(|(fd, name)| Some(Passed { fd: keep(fd)?, name })).collect()
}

/// A shell that the chain goes through hands on what it does not know: LISTEN_PID may be that of our parent.
fn own_and_parent() -> [u32; 2] {
    [std::process::id(), std::os::unix::process::parent_id()]
}

/// The numbers and the names of what LISTEN_FDS tells of, if LISTEN_PID is one of `pids`.
fn told_of(pids: &[u32]) -> Vec<(RawFd, String)> {
    let number = |key: &str| std::env::var(key).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID").is_some_and(|pid| pids.contains(&pid));
    let count = number("LISTEN_FDS").filter(|_| ours).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(|name| if name.is_empty() { "unknown" } else { name });
    let names = names.chain(std::iter::repeat("unknown")).map(str::to_owned);
    (FIRST..).zip(names).take(count.min(MOST)).collect()
}

/// The descriptor of this number, close-on-exec; `None`: there is none.
fn keep(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_SETFD on a number touches no memory; where nothing is open it fails.
    let open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it was passed to this process as a whole, owned by nothing in it, and nothing here closes it.
    open.then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// The variables that tell a program of these sockets; LISTEN_PID is added at the start.
#[must_use]
pub fn variables(passed: &[Passed]) -> Vec<(OsString, OsString)> {
    if passed.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = passed.iter().map(|socket| socket.name.as_str()).collect();
    let count = passed.len().to_string();
    vec![("LISTEN_FDS".into(), count.into()), ("LISTEN_FDNAMES".into(), names.join(":").into())]
}

/// Has the program that this process is about to become find the sockets under the numbers that they have.
///
/// # Errors
/// One of them has been closed.
pub fn keep_over_exec(passed: &[Passed]) -> io::Result<()> {
    passed.iter().try_for_each(|socket| Ok(rustix::io::fcntl_setfd(socket.fd, rustix::io::FdFlags::empty())?))
}

/// Takes over the descriptors whose names begin with [`KEPT`] from those that we were started with; close-on-exec from
/// now on, and gone for every later call.
///
/// LISTEN_PID may also be our parent's: a shell that the chain goes through hands on what it does not know.
#[must_use]
pub fn take_kept() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let told = told_of(&own_and_parent());
    if told.is_empty() || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let kept = told.into_iter().filter(|(_, name)| name.starts_with(KEPT));
    kept.filter_map(|(fd, name)| Some((name, own_it(fd)?))).collect()
}

/// The descriptor of this number; `None`: there is none.
fn own_it(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD on a number touches no memory; where nothing is open it fails.
    let open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, was passed to this process under a name that is ours alone, and is taken once (`TAKEN`).
    open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// All that the child needs in order to execute the program: made before fork, addresses as numbers so that they can be
/// sent to it.
#[derive(Debug)]
pub(super) struct Exec {
    program: CString,
    argv: Vec<usize>,
    env: Vec<usize>,
    pid: Vec<u8>,
    from: Vec<RawFd>,
    /// What the numbers in `argv` and `env` point to.
    _texts: Vec<CString>,
}

fn text(bytes: OsString) -> io::Result<CString> {
    Ok(CString::new(bytes.into_vec())?)
}

impl Exec {
    /// Prepares the start of `program` with these sockets; LISTEN_PID is added to the environment.
    ///
    /// # Errors
    /// A NUL in a text.
    pub(super) fn new(
        program: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<Self> {
        let argv = argv.iter().cloned().map(text).collect::<io::Result<Vec<_>>>()?;
        // A later one wins, as in Command.
        let last = |at: usize, key: &OsString| env.iter().skip(at + 1).all(|(other, _)| other != key);
        let ours = env.iter().enumerate().filter(|(at, (key, _))| key != "LISTEN_PID" && last(*at, key));
        let joined = ours.map(|(_, (key, value))| {
            let mut entry = key.clone();
            entry.push("=");
            entry.push(value);
            text(entry)
        });
        let env = joined.collect::<io::Result<Vec<_>>>()?;
        let pid = [PID, &[0; DIGITS]].concat();
        let address = |text: &CString| text.as_ptr() as usize;
        let argv_table = argv.iter().map(address).chain([0]).collect();
        let env_table = env.iter().map(address).chain([pid.as_ptr() as usize, 0]).collect();
        let from = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let texts = argv.into_iter().chain(env).collect();
        let program = text(program.as_os_str().to_owned())?;
        Ok(Self { program, argv: argv_table, env: env_table, pid, from, _texts: texts })
    }

    /// In the child: places the sockets and executes; returns only why that failed. Async-signal-safe.
    pub(super) fn run(&mut self) -> io::Error {
        for (at, from) in (FIRST..).zip(&self.from) {
            // SAFETY: the numbers are reserved, so nothing of the child's own is replaced; no memory is touched. Of one
            // that is in its place already the flags change.
            let done = unsafe { if *from == at { libc::fcntl(at, libc::F_SETFD, 0) } else { libc::dup2(*from, at) } };
            if done < 0 {
                return io::Error::last_os_error();
            }
        }
        self.write_pid();
        let (argv, env) = (self.argv.as_ptr().cast::<*const c_char>(), self.env.as_ptr().cast::<*const c_char>());
        // SAFETY: both tables end in a null and point to texts that end in one, which this value owns. execvpe
        // searches PATH for a bare name, without allocating.
        unsafe { libc::execvpe(self.program.as_ptr(), argv, env) };
        io::Error::last_os_error()
    }

    fn write_pid(&mut self) {
        // SAFETY: getpid only returns a number.
        let mut pid = unsafe { libc::getpid() }.unsigned_abs();
        let mut digits = [0; DIGITS];
        let mut at = digits.len() - 1;
        while pid > 0 && at > 0 {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (pid % 10) as u8;
            }
            pid /= 10;
        }
        let digits = digits.get(at..).unwrap_or_default();
        if let Some(room) = self.pid.get_mut(PID.len()..PID.len() + digits.len()) {
            room.copy_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_written_into_the_environment() {
        let env = [("A".into(), "1".into()), ("LISTEN_PID".into(), "9".into()), ("A".into(), "2".into())];
        let mut exec = Exec::new(Path::new("x"), &["x".into()], &env, &[]).expect("no NUL");
        exec.write_pid();
        let text = String::from_utf8(exec.pid.clone()).expect("digits");
        assert_eq!(text.trim_end_matches('\0'), format!("LISTEN_PID={}", std::process::id()));
        assert!(text.ends_with('\0'));
        assert_eq!(exec.env.len(), 3, "A, LISTEN_PID, the end");
        assert_eq!(exec._texts.last().expect("A").to_str(), Ok("A=2"));
    }
}
