//! What a plan has to know of the machine: files, the PATH, users.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use pm_common::app::home;
use pm_common::cli::report::reason;

/// What can be seen of a regular file without much reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Whether somebody may execute it.
    pub executable: bool,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// Its name.
    pub name: String,
    /// Its directory.
    pub home: String,
}

/// What a plan asks.
pub trait Machine {
    /// A regular file; `None`: there is none.
    fn file(&self, path: &Path) -> Option<Head>;
    /// What a regular file holds, or why that cannot be read.
    ///
    /// # Errors
    /// The reason.
    fn text(&self, path: &Path) -> Result<String, String>;
    /// Whether it is a directory.
    fn dir(&self, path: &Path) -> bool;
    /// The names of what is in a directory.
    fn names(&self, dir: &Path) -> Vec<String>;
    /// The version of this Node, if it says that it reads no TypeScript.
    fn reads_no_types(&self, node: &str) -> Option<String>;
    /// Where a command is, by the PATH.
    fn which(&self, command: &str) -> Option<PathBuf>;
    /// One of our tools, as a chain names it.
    fn tool(&self, name: &str) -> OsString;
    /// A user, by name or number.
    fn account(&self, name: &str) -> Option<Account>;
    /// A group's number, by name or number.
    fn group(&self, name: &str) -> Option<u32>;
    /// Our own user.
    fn uid(&self) -> u32;
    /// The CPUs that we can use.
    fn cpus(&self) -> u32;
}

/// How much of a file is looked at: the line that names an interpreter, or what shows that it is no text.
const HEAD: u64 = 512;

/// The largest file of variables, in bytes: all of them go to the program's environment, which the kernel limits.
const LARGEST_TEXT: u64 = 8 << 20;

/// The machine that we run on.
#[derive(Debug)]
pub struct RealMachine {
    path: OsString,
}

impl RealMachine {
    /// With the PATH of the caller.
    #[must_use]
    pub fn new(path: Option<OsString>) -> Self {
        Self { path: path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()) }
    }

    fn in_path(&self, command: &OsStr) -> Option<PathBuf> {
        let candidates = std::env::split_paths(&self.path).map(|dir| dir.join(command));
        candidates.filter(|path| path.is_absolute()).find(|path| self.file(path).is_some_and(|file| file.executable))
    }
}

impl Machine for RealMachine {
    fn file(&self, path: &Path) -> Option<Head> {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        // One that we may not read may be executed still.
        if let Ok(file) = file {
            let _ = file.take(HEAD).read_to_end(&mut bytes);
        }
        Some(Head { executable, bytes })
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        let bytes = home::read_regular(path, LARGEST_TEXT).map_err(|e| reason(&e))?;
        String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())
    }

    fn dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn names(&self, dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn reads_no_types(&self, node: &str) -> Option<String> {
        // false or undefined: it is no more than an option, or is not known at all.
        const ASK: &str = "process.features.typescript ? '' : process.version";
        let said = Command::new(node).args(["-p", ASK]).env("PATH", &self.path).output().ok()?;
        let version = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        version.starts_with('v').then_some(version)
    }

    fn which(&self, command: &str) -> Option<PathBuf> {
        if command.contains('/') || command.is_empty() { None } else { self.in_path(OsStr::new(command)) }
    }

    fn tool(&self, name: &str) -> OsString {
        // Called by its path, from a place that is not in the PATH: then the others are beside it.
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join(name)).filter(|path| path.is_file());
        if self.which(name).is_some() { name.into() } else { beside().map_or_else(|| name.into(), OsString::from) }
    }

    fn account(&self, name: &str) -> Option<Account> {
        let by_number = || nix::unistd::User::from_uid(name.parse::<u32>().ok()?.into()).ok().flatten();
        let user = nix::unistd::User::from_name(name).ok().flatten().or_else(by_number)?;
        let home = user.dir.to_string_lossy().into_owned();
        Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name, home })
    }

    fn group(&self, name: &str) -> Option<u32> {
        let by_name = nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        by_name.or_else(|| name.parse().ok())
    }

    fn uid(&self) -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn cpus(&self) -> u32 {
        pm_common::kernel::cpus::usable()
    }
}
