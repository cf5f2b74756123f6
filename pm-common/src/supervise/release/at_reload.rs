//! What a reload takes anew for its workers: the directory as it is named now; the environment, which is that of the
//! supervisor with the `--env-file` as it is now (pm-fork's `app.env`, which `--update-env` writes) over it; and the program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use super::{Release, env_file};
use crate::app::home::Site;
use crate::cli::report::{Failure, OrFail};
use crate::cli::working_dir;

/// Where releases come from: read anew at each roll.
#[derive(Debug)]
pub struct Origin {
    /// The directory as the person named it: `$PWD`, if that is where we are.
    pub(super) logical: PathBuf,
    /// Relative to `logical`, if it is not absolute.
    pub(super) env_file: Option<PathBuf>,
    pub(super) base_env: Vec<(OsString, OsString)>,
    pub(super) program: OsString,
}

impl Origin {
    /// Releases of the program of `argv` in the directory that we are in now.
    ///
    /// # Errors
    /// The working directory cannot be told.
    pub fn here(
        argv: &[OsString],
        base_env: Vec<(OsString, OsString)>,
        env_file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let program = argv.first().cloned().unwrap_or_default();
        let logical = working_dir::here().or_fail(|| "cannot tell the working directory".to_owned())?;
        Ok(Self { logical, env_file: env_file.map(Path::to_owned), base_env, program })
    }

    /// Resolves what a worker started now is to be started from, under this number.
    ///
    /// # Errors
    /// The directory cannot be opened, the `--env-file` is missing or malformed: one clear line.
    pub fn resolve(&self, number: u64) -> Result<Release, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.logical, flags, Mode::empty())
            .or_fail(|| format!("cannot open the working directory {}", self.logical.display()))?;
        let mut env = self.base_env.clone();
        env.retain(|(key, _)| key != "PWD");
        if let Some(file) = self.env_file.as_ref().map(|file| self.logical.join(file)) {
            let text = Site::find(&file).and_then(|site| std::io::read_to_string(site.open(OFlags::RDONLY, 0)?));
            let text = text.or_fail(|| format!("cannot read {}", file.display()))?;
            env.extend(env_file::parse(&text).map_err(|why| Failure::own(format!("{}: {why}", file.display())))?);
        }
        env.push(("PWD".into(), self.logical.clone().into_os_string()));
        let program = locate(&self.program, &self.logical, path_of(&env));
        Ok(Release { number, directory: Rc::new(directory), env, program })
    }
}

/// The PATH that counts: the last one set.
fn path_of(env: &[(OsString, OsString)]) -> Option<&OsStr> {
    env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str())
}

/// The program's file: found in the PATH, with the symlinks on the way to it resolved, but not the file itself (its
/// name may tell it what to be, as with busybox or a Python of a venv). As it was given where nothing is found: the
/// start then fails with the kernel's own reason.
pub(super) fn locate(program: &OsStr, directory: &Path, path: Option<&OsStr>) -> PathBuf {
    let given = Path::new(program);
    if given.is_absolute() {
        return pinned(given).unwrap_or_else(|| given.to_owned());
    }
    if given.components().count() > 1 || program.as_encoded_bytes().contains(&b'/') {
        return given.to_owned();
    }
    let directories = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let files = directories.iter().map(|dir| directory.join(dir).join(given));
    let found = files.filter(|file| is_executable(file)).find_map(|file| pinned(&file));
    found.unwrap_or_else(|| given.to_owned())
}

fn pinned(file: &Path) -> Option<PathBuf> {
    Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}
