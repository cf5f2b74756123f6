//! What an app is called: as it was told, or after the first file in its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::chain;
use crate::cli::report::Failure;

/// The longest name in bytes; with a number and an ending behind it, it still fits a file name (255).
const LONGEST: usize = 120;
/// Options of Node and others whose value is a file, but not the app.
const FILE_OPTIONS: [&str; 7] =
    ["-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file", "--env-file-if-exists"];

/// Whether an app can have this name: it is a directory's name, and is printed on terminals.
///
/// # Errors
/// The rule that it breaks, as the end of a sentence.
pub fn check(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a name cannot be empty"),
        _ if name.trim().is_empty() => Err("a name cannot be of blanks alone"),
        _ if name.starts_with('.') => Err("a name cannot begin with a dot"),
        _ if name.contains('/') => Err("a name cannot hold a /"),
        _ if name.contains(char::is_control) => Err("a name cannot hold control characters"),
        _ if name.len() > LONGEST => Err("a name cannot be longer than 120 bytes"),
        _ => Ok(()),
    }
}

/// The name of the directory of an app that is called so: `@acme/api` becomes `@acme-api`.
#[must_use]
pub fn of_directory(given: &str) -> String {
    given.replace(|c: char| c == '/' || c.is_control(), "-")
}

/// The name that was given: to this tool, or to one further down the chain.
///
/// # Errors
/// 125: no app can have this name.
pub(super) fn explicit(given: Option<&str>, chain: &[OsString]) -> Result<Option<String>, Failure> {
    let outermost = || chain::links(chain).0.iter().find_map(|link| link.value("name").map(OsStr::to_owned));
    let name = given.map_or_else(outermost, |n| Some(n.into()));
    let Some(name) = name else { return Ok(None) };
    let bad = |why: &str| crate::cli::options::bad("name", &name, why);
    let text = name.to_str().ok_or_else(|| bad("not valid UTF-8"))?;
    check(text).map_err(bad)?;
    Ok(Some(text.to_owned()))
}

/// The name of an app that was given none: the first file among the arguments, without its extension, else the program.
///
/// An executable without extension is an interpreter (`/usr/bin/node`) unless no other file is named.
#[must_use]
pub fn implied(chain: &[OsString]) -> String {
    let words = programs(chain);
    let mut files = words.iter().filter_map(|w| Some((Path::new(w), FileKind::of(w)?)));
    let script = files.clone().find(|(_, kind)| *kind == FileKind::Script);
    match script.or_else(|| files.next()) {
        Some((path, _)) => sanitised(path.file_stem().unwrap_or_default()),
        None => sanitised(words.first().and_then(|w| Path::new(w).file_name()).unwrap_or_default()),
    }
}

/// The script that a chain runs: the first file among its arguments that is no program.
#[must_use]
pub fn script(chain: &[OsString]) -> Option<PathBuf> {
    let mut files = programs(chain).into_iter().map(Path::new);
    files.find(|path| FileKind::of(path.as_os_str()) == Some(FileKind::Script)).map(Path::to_owned)
}

/// A file that an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Script,
    Program,
}

impl FileKind {
    /// `None`: no regular file.
    fn of(word: &OsStr) -> Option<Self> {
        let metadata = std::fs::metadata(word).ok().filter(std::fs::Metadata::is_file)?;
        // The 11 of /usr/bin/python3.11 is no extension.
        let extension = Path::new(word).extension().and_then(|e| e.as_bytes().first());
        let plain = metadata.permissions().mode() & 0o111 == 0;
        let script = plain || extension.is_some_and(u8::is_ascii_alphabetic);
        Some(if script { Self::Script } else { Self::Program })
    }
}

/// The program of a chain and its arguments, and those of the programs between the tools.
fn programs(chain: &[OsString]) -> Vec<&OsStr> {
    let mut words = chain::links(chain).1.into_iter();
    let mut programs = Vec::new();
    while let Some(word) = words.next() {
        match FILE_OPTIONS.iter().any(|option| word == *option) {
            true => drop(words.next()),
            false => programs.push(word),
        }
    }
    programs
}

/// Makes a name of any text.
fn sanitised(raw: &OsStr) -> String {
    let raw = raw.to_string_lossy();
    let clean = |c: char| if c == '/' || c.is_control() || c == char::REPLACEMENT_CHARACTER { '-' } else { c };
    let mut name: String = raw.trim_start_matches('.').chars().map(clean).collect();
    while name.len() > LONGEST - 5 {
        name.pop();
    }
    if name.is_empty() { "app".to_owned() } else { name }
}
