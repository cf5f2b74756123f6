//! The text of files in /proc, as proc(5) describes it.

/// What /proc/PID/stat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: i32,
    /// Its name.
    pub comm: Comm,
    /// A letter: R running, S sleeping, D waiting for a disk, T stopped, Z zombie ...
    pub state: u8,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// Clock ticks of CPU time in user mode.
    pub utime: u64,
    /// Clock ticks of CPU time in the kernel.
    pub stime: u64,
    /// Clock ticks of CPU time, of both kinds, of its children that have ended and been waited for, and theirs.
    pub children_time: u64,
    /// Its threads.
    pub threads: i64,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Its resident memory in pages.
    pub rss_pages: u64,
}

impl Stat {
    /// Whether somebody has suspended it (SIGSTOP).
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        self.state == b'T'
    }

    /// Runs, or waits for a CPU or a disk.
    #[must_use]
    pub const fn runs(&self) -> bool {
        matches!(self.state, b'R' | b'D')
    }

    /// Ended, but not yet waited for.
    #[must_use]
    pub const fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        self.rss_pages.saturating_mul(rustix::param::page_size() as u64)
    }

    /// Clock ticks of CPU time that it and its ended children have used.
    #[must_use]
    pub const fn cpu_ticks(&self) -> u64 {
        self.utime.saturating_add(self.stime).saturating_add(self.children_time)
    }
}

/// The name of a process: at most 15 bytes, any but NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Comm {
    bytes: [u8; 15],
    length: u8,
}

impl Comm {
    /// The name; a longer one (of a kernel thread) is cut.
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 15];
        bytes.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        Self { bytes, length: name.len().min(15) as u8 }
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Parses /proc/PID/stat. The name may hold spaces, parentheses and newlines: it ends at the last `)`.
pub(super) fn stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&b| b == b'(')?;
    let close = text.iter().rposition(|&b| b == b')')?;
    let mut fields = [0_i64; 24];
    let mut rest = text.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let state = *rest.next()?.first()?;
    // fields[n] is the field that proc(5) numbers n + 1; the fourth comes next.
    for field in fields.iter_mut().skip(3) {
        *field = std::str::from_utf8(rest.next()?).ok()?.parse().ok()?;
    }
    let count = |n: usize| fields.get(n - 1).copied().map_or(0, |v| u64::try_from(v).unwrap_or(0));
    let number = |n: usize| fields.get(n - 1).copied().and_then(|v| i32::try_from(v).ok());
    Some(Stat {
        pid: number_of(text.get(..open)?)?,
        comm: Comm::new(text.get(open + 1..close)?),
        state,
        ppid: number(4)?,
        pgrp: number(5)?,
        session: number(6)?,
        utime: count(14),
        stime: count(15),
        children_time: count(16).saturating_add(count(17)),
        threads: i64::try_from(count(20)).unwrap_or(1),
        start_time: count(22),
        rss_pages: count(24),
    })
}

fn number_of(text: &[u8]) -> Option<i32> {
    number(text.trim_ascii())
}

/// A decimal number without sign, as the names of processes and threads in /proc are.
pub(super) fn number(text: &[u8]) -> Option<i32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The numbers of a `children` file.
pub(super) fn numbers(text: &[u8]) -> impl Iterator<Item = i32> {
    text.split(u8::is_ascii_whitespace).filter_map(number)
}

/// What stands behind `NAME:` in a file of such lines (proc_pid_status(5)).
pub(super) fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    let line = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(line).ok().map(str::trim)
}

/// The `Pss` of /proc/PID/smaps_rollup in bytes.
pub(super) fn pss(text: &[u8]) -> Option<u64> {
    field(text, "Pss:")?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
