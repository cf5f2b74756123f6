//! Gives Node workers the drain script (`drain.cjs`): where it is, and the environment that loads it.
//!
//! Node ends at once when it cannot read a script of NODE_OPTIONS, and a worker may have any uid (`su`, `setpriv` or
//! `process.setuid` in the chain). So the file must be readable by all, and every directory above it passable.

pub mod blame;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::report;
use crate::kernel::procfs;
use crate::policy::time::Span;
use crate::sys::random;
use rustix::process::Signal;

/// The script itself.
pub const SCRIPT: &str = include_str!("drain.cjs");
/// How the name of a copy's directory begins; who made it, and a random number follow.
const PREFIX: &str = "pm-drain-";
/// The name of its file.
const FILE: &str = "drain.cjs";
/// Where an installation keeps it, as seen from the directory of the binary.
const INSTALLED: [&str; 2] = ["../share/pm", "../lib/pm"];
/// Where a copy may be, after `$TMPDIR`.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// A module has no `require` of its own.
const MODULE_HEAD: &str = "import{createRequire}from'node:module';const require=createRequire('file:///');";
/// Under this option (Node 20 to 22) the script's file would have to be among those that the app may read: 20 ends at
/// once. (`--permission` of 22.13 and later lets NODE_OPTIONS read what it names.)
const RESTRICTED: &str = "--experimental-permission";

/// What asks a server that has no channel to send its clients off. It means nothing to who does not wait for it, and
/// runtimes that use it (Go) must expect it at any time (signal(7); Go's `runtime/signal_unix.go`).
pub const SIGNAL: Signal = Signal::URG;
/// Its name in Node.
const SIGNAL_NAME: &str = "SIGURG";

/// The script, placed where workers can read it. A copy is removed with this value.
#[derive(Debug)]
pub struct Preload {
    place: Place,
    /// Where a copy may be.
    parents: Vec<PathBuf>,
}

#[derive(Debug)]
enum Place {
    /// No script: Node's own way of leaving.
    Off,
    /// An installed file.
    Installed(PathBuf),
    /// A copy of ours.
    Copied(Copy),
    /// No file at all: the script is in the environment, as a `data:` module.
    Inline,
}

/// A temporary directory with the script in it.
#[derive(Debug)]
struct Copy {
    dir: PathBuf,
}

impl Preload {
    /// No script (`--no-preload`).
    #[must_use]
    pub const fn off() -> Self {
        Self { place: Place::Off, parents: Vec::new() }
    }

    /// Finds the installed script, or makes a copy of it, or keeps it without a file. The last is said in a warning:
    /// Node before 18.18 refuses to start with it (exit code 9), and others take some milliseconds longer.
    #[must_use]
    pub fn place() -> Self {
        let exe = std::env::current_exe().ok();
        let installed = exe.as_deref().and_then(Path::parent).and_then(installed_beside);
        let parents = temporary_directories();
        let place = installed.map_or_else(|| copied_or_inline(&parents), Place::Installed);
        Self { place, parents }
    }

    /// What a worker's environment needs to load the script: NODE_OPTIONS with the script behind what it `inherited`,
    /// PM_PRELOAD (the text that was added) and PM_LINGER_MS. Nothing where the script is off. Without a `linger` the
    /// script only says when the app has been loaded.
    ///
    /// `below`: the server may be a process below the worker, without a channel ([`SIGNAL`]).
    ///
    /// `argv` is the worker's command line, whose options count like those of NODE_OPTIONS. Not for Deno, which does
    /// not listen with any script in NODE_OPTIONS; Bun ignores all this.
    pub fn env(
        &mut self,
        inherited: Option<&OsStr>,
        argv: &[OsString],
        linger: Option<Span>,
        below: bool,
    ) -> Vec<(OsString, OsString)> {
        let inherited = inherited.filter(|options| !options.is_empty());
        let restricted = inherited.into_iter().chain(argv.iter().map(OsString::as_os_str)).any(is_restricted);
        let Some(option) = self.option(restricted) else { return Vec::new() };
        let mut options = inherited.map(OsStr::to_owned).unwrap_or_default();
        let added = if options.is_empty() { option } else { format!(" {option}") };
        options.push(&added);
        let linger = linger.map(|span| ("PM_LINGER_MS".into(), span.as_millis().to_string().into()));
        let signal = below.then(|| ("PM_DRAIN_SIGNAL".into(), SIGNAL_NAME.into()));
        let all = [("NODE_OPTIONS".into(), options), ("PM_PRELOAD".into(), added.into())];
        all.into_iter().chain(linger).chain(signal).collect()
    }

    /// The option of Node that loads the script.
    fn option(&mut self, restricted: bool) -> Option<String> {
        self.restore();
        match &self.place {
            Place::Off => None,
            _ if restricted => Some(import()),
            Place::Installed(file) => Some(require(file)),
            Place::Copied(copy) => Some(require(&copy.file())),
            Place::Inline => Some(import()),
        }
    }

    /// Temporary directories are swept after some days; a file that is gone would keep the next worker from starting.
    fn restore(&mut self) {
        let there = match &self.place {
            Place::Installed(file) => file.exists(),
            Place::Copied(copy) => copy.file().exists(),
            Place::Off => true,
            // What was lacking (descriptors, room on the disk) may be there by now.
            Place::Inline => {
                self.place = copied(&self.parents).map_or(Place::Inline, Place::Copied);
                true
            }
        };
        if !there {
            self.place = copied_or_inline(&self.parents);
        }
    }
}

fn is_restricted(word: &OsStr) -> bool {
    word.as_bytes().windows(RESTRICTED.len()).any(|part| part == RESTRICTED.as_bytes())
}

/// Node takes a backslash before `"` and `\` inside quotes, and nothing else, as an escape.
fn require(file: &Path) -> String {
    let path = file.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("--require \"{path}\"")
}

/// The comments stay out: a process keeps its environment for as long as it lives.
fn import() -> String {
    let code = SCRIPT.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let module: Vec<&str> = std::iter::once(MODULE_HEAD).chain(code).collect();
    format!("--import data:text/javascript,{}", percent_encoded(&module.join("\n")))
}

/// `?` and `#` would end the text.
fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'();,/:@&=+$".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

/// The script of an installation whose binaries are in `bin`: the very one of this program, or none.
fn installed_beside(bin: &Path) -> Option<PathBuf> {
    let candidates = INSTALLED.iter().filter_map(|dir| bin.join(dir).join(FILE).canonicalize().ok());
    candidates.filter(|file| is_ours(file) && is_open_to_all(file)).find(|file| holds_script(file))
}

fn holds_script(file: &Path) -> bool {
    file.to_str().is_some() && fs::read(file).is_ok_and(|content| content == SCRIPT.as_bytes())
}

/// Nobody but root or us can change it: what is in it runs in every worker.
fn is_ours(file: &Path) -> bool {
    let us = our_uid();
    fs::metadata(file).is_ok_and(|found| (found.uid() == 0 || found.uid() == us) && found.mode() & 0o022 == 0)
}

fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn is_open_to_all(file: &Path) -> bool {
    let mode = |path: &Path| fs::metadata(path).map_or(0, |found| found.mode());
    mode(file) & 0o004 != 0 && file.ancestors().skip(1).all(|dir| mode(dir) & 0o001 != 0)
}

fn temporary_directories() -> Vec<PathBuf> {
    let named = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    named.into_iter().chain(TEMPORARY.iter().map(PathBuf::from)).collect()
}

fn copied(parents: &[PathBuf]) -> Option<Copy> {
    parents.iter().find_map(|parent| Copy::make(parent).ok())
}

fn copied_or_inline(parents: &[PathBuf]) -> Place {
    match copied(parents) {
        Some(copy) => Place::Copied(copy),
        None => {
            report::warning(
                "no directory for the drain script that every user can read: workers get it in their environment, which \
                 Node before 18.18 refuses; install the script, set TMPDIR, or use --no-preload",
            );
            Place::Inline
        }
    }
}

impl Copy {
    /// A new directory in `parent`, with the script.
    fn make(parent: &Path) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        if !is_safe(&parent)? || parent.to_str().is_none() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        remove_left(&parent);
        let dir = parent.join(format!("{PREFIX}{}-{:016x}", Maker::us(), random::seed()));
        DirBuilder::new().mode(0o755).create(&dir)?;
        let copy = Self { dir };
        copy.fill()?;
        Ok(copy)
    }

    /// Modes are set again, since the umask has cut what was asked for at the creation.
    fn fill(&self) -> io::Result<()> {
        fs::set_permissions(&self.dir, Permissions::from_mode(0o755))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(self.file())?;
        file.write_all(SCRIPT.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o444))?;
        if is_open_to_all(&self.file()) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }
}

/// Who made a copy, as its name tells.
#[derive(Debug, PartialEq, Eq)]
struct Maker {
    /// The inode of its pid namespace: in another one, its pid would be somebody else's.
    namespace: u64,
    pid: i32,
    /// When that process started, in clock ticks since boot.
    start: u64,
}

impl Maker {
    fn us() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { namespace: our_namespace(), pid, start: procfs::start_time(pid).unwrap_or(0) }
    }

    fn of(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.strip_prefix(PREFIX)?.split('-');
        let maker = Self {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
        };
        (parts.next()?.len() == 16 && parts.next().is_none()).then_some(maker)
    }

    /// Whether it is known to be no more.
    fn is_dead(&self) -> bool {
        self.namespace == our_namespace() && !procfs::is_alive(self.pid, self.start)
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.namespace, self.pid, self.start)
    }
}

fn our_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// Removes the copies that supervisors of this user left as they were killed. Nobody else can put something into such a
/// directory, or (`is_safe`) another in its place; a symbolic link is none.
fn remove_left(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| Maker::of(&entry.file_name()).is_some_and(|maker| maker.is_dead())) {
        if entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == our_uid()) {
            drop(Copy { dir: entry.path() });
        }
    }
}

/// In a directory that others may write to, only the sticky bit keeps them from putting theirs in the place of ours.
fn is_safe(parent: &Path) -> io::Result<bool> {
    let found = fs::metadata(parent)?;
    let (shared, sticky) = (found.mode() & 0o022 != 0, found.mode() & 0o1000 != 0);
    Ok((found.uid() == 0 || found.uid() == our_uid()) && (!shared || sticky))
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file());
        let _ = fs::remove_dir(&self.dir);
    }
}

#[cfg(test)]
mod tests;
