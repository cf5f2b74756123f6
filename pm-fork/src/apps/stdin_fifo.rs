//! What a service reads: a FIFO in its directory that never ends, for programs that watch their input end with it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use pm_common::app::home::{Folder, Home, Mode, Start};
use pm_common::cli::report::{Failure, OrFail as _, reason};

use crate::apps::{holder, known_dir, not_running};

/// The name of the FIFO.
pub(crate) const INPUT: &str = "stdin";

/// Opens what a new service reads, for both ends.
///
/// # Errors
/// Not even /dev/null can be opened.
pub(crate) fn open(dir: Option<&Path>) -> io::Result<File> {
    let named = |dir: &Path| Folder::open_to_write(dir)?.make_fifo(INPUT);
    let made = dir.map_or_else(|| Err(ErrorKind::NotFound.into()), named);
    // Where there can be none with a name, one without does not end either.
    made.or_else(|_| nameless()).or_else(|_| File::open("/dev/null"))
}

fn nameless() -> io::Result<File> {
    let (reader, _writer) = io::pipe()?;
    OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", reader.as_raw_fd()))
}

/// Opens what an app reads.
///
/// # Errors
/// 1: it does not run, or reads nothing.
pub(crate) fn open_to_write(home: &Home, name: &str) -> Result<File, Failure> {
    let dir = known_dir(home, name)?;
    if holder(&dir, name)?.is_none() {
        return Err(not_running(home, &dir, name));
    }
    let refused = |why: &str| Failure::with_code(1, format!("app '{name}': {why}"));
    match Start::read(&dir).ok().flatten().map(|start| start.mode) {
        Some(Mode::Cluster) => return Err(refused("it is in cluster mode, where workers read /dev/null")),
        Some(Mode::Apart) => return Err(refused("it has several processes, and any one of them would read the line")),
        Some(Mode::Fork) | None => {}
    }
    match Folder::open(&dir).and_then(|folder| folder.fifo_to_write(INPUT)) {
        Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ENXIO) => {
            Err(refused("it has no input to write to: it was started in the foreground"))
        }
        other => other.or_fail(|| format!("app '{name}': cannot open {}", dir.join(INPUT).display())),
    }
}

/// Writes a line to what an app reads, all of it or nothing.
///
/// # Errors
/// 1: it does not run, reads nothing, or has not read what was sent before.
pub(crate) fn send(home: &Home, name: &str, line: &[u8]) -> Result<(), Failure> {
    let mut fifo = open_to_write(home, name)?;
    let refused = |why: &str| Failure::with_code(1, format!("app '{name}': {why}"));
    // A pipe takes so much as one piece, or nothing.
    if line.len() > nix::libc::PIPE_BUF {
        return Err(refused(&format!("a line has at most {} bytes", nix::libc::PIPE_BUF - 1)));
    }
    match fifo.write(line) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            Err(refused("it does not read its input: what was sent before still waits there"))
        }
        Err(e) => Err(refused(&format!("cannot write to what it reads: {}", reason(&e)))),
    }
}
