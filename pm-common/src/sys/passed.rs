//! Sockets that a program finds from descriptor 3 on, as systemd passes them (sd_listen_fds(3)).
//!
//! LISTEN_PID must be the program's own pid, which is known only after fork: the child writes it into an environment
//! that was made before, places the descriptors, and executes the program itself.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

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
            // SAFETY: the numbers are reserved, so nothing of the child's own is replaced; no memory is touched.
            if unsafe { libc::dup2(*from, at) } < 0 {
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
