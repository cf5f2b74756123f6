//! What /proc says about processes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// All processes whose first environment holds `entry` (`NAME=value`); a zombie has none.
#[must_use]
pub fn with_environment(entry: &str) -> Vec<u32> {
    let holds = |pid: u32| {
        let environ = fs::read(file(pid, "environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|e| e == entry.as_bytes())
    };
    all().filter(|pid| holds(*pid)).collect()
}

fn all() -> impl Iterator<Item = u32> {
    let dir = fs::read_dir("/proc").expect("/proc is mounted");
    dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// The fields of /proc/PID/stat after the name: `[0]` is the state, `[1]` the parent (proc(5)).
#[must_use]
pub fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(file(pid, "stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Whether the process runs: it exists and is no zombie.
#[must_use]
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

/// Whether the process was told to end with KILL and only wants a processor for that, or is ending (`PF_EXITING`).
#[must_use]
pub fn is_ending(pid: u32) -> bool {
    const EXITING: u32 = 4;
    let killed =
        |set: String| u64::from_str_radix(&set, 16).is_ok_and(|set| set & 1 << (Signal::SIGKILL as i32 - 1) != 0);
    let pending = ["SigPnd", "ShdPnd"].into_iter().any(|field| status(pid, field).is_some_and(killed));
    pending || stat(pid).and_then(|fields| fields[6].parse::<u32>().ok()).is_none_or(|flags| flags & EXITING != 0)
}

/// The process's state letter, `None` when it is gone.
#[must_use]
pub fn state(pid: u32) -> Option<char> {
    stat(pid)?[0].chars().next()
}

/// The parent.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    stat(pid)?[1].parse().ok()
}

/// The children, zombies with them.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    all().filter(|child| parent(*child) == Some(pid)).collect()
}

/// The process's name (15 bytes).
#[must_use]
pub fn name(pid: u32) -> String {
    fs::read_to_string(file(pid, "comm")).unwrap_or_default().trim_end().to_owned()
}

/// A field of /proc/PID/status, as text.
#[must_use]
pub fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(file(pid, "status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// A set of signals of /proc/PID/status (`SigBlk`, `SigIgn`, ...) as a mask.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn signals(pid: u32, field: &str) -> u64 {
    let text = status(pid, field).expect("the process lives");
    // 32 and 33 belong to glibc, whose posix_spawn leaves them ignored and whose signal() refuses to touch them.
    u64::from_str_radix(&text, 16).expect("a mask in hexadecimal") & !(3 << 31)
}

/// Whether the process has a handler for a signal.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn catches(pid: u32, signal: Signal) -> bool {
    signals(pid, "SigCgt") & 1 << (signal as i32 - 1) != 0
}

/// How often the process has slept and woken: the proof that it polls nothing.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn wakeups(pid: u32) -> u64 {
    let text = status(pid, "voluntary_ctxt_switches").expect("the process lives");
    text.parse().expect("a number")
}

/// The time that the process has had on a processor.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn ran(pid: u32) -> Duration {
    let text = fs::read_to_string(file(pid, "schedstat")).expect("the process lives");
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

/// Resident memory in bytes.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn rss(pid: u32) -> u64 {
    let text = status(pid, "VmRSS").expect("the process lives");
    text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number of kB") * 1024
}

/// The open file descriptors.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(file(pid, "fd")).expect("the process lives").count()
}

/// Sends a signal; one that is gone already is no error.
pub fn send(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal);
}
