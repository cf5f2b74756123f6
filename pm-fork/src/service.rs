//! What happens in the child: everything between the fork and the exec of the chain.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::libc;
use pm_common::home::{AppDir, Namesake};
use pm_common::options::{self, Parsed};
use pm_common::report::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Failure, OrFail as _, reason};
use pm_common::supervise::environment;
use pm_common::sys::daemon;
use pm_common::sys::process;

/// What another chain or service manager told the caller, and is not the new service's.
const NOT_INHERITED: [&str; 16] = [
    "PM_APP",
    "PM_DIR",
    "PM_POLICY",
    "PM_SLOT",
    "PM_GENERATION",
    "PM_PRELOAD",
    "PM_LINGER_MS",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NODE_APP_INSTANCE",
    "NODE_CHANNEL_FD",
    "NODE_UNIQUE_ID",
];

/// The service to become.
#[derive(Debug)]
pub(crate) struct Service {
    name: Option<String>,
    cwd: Option<PathBuf>,
    out: Option<PathBuf>,
    err: Option<PathBuf>,
    program: OsString,
    chain: Vec<OsString>,
}

impl Service {
    /// The service that the options ask for; their paths are taken from the caller's directory.
    pub(crate) fn from_options(parsed: Parsed) -> Result<Self, Failure> {
        let Some(program) = parsed.rest.first().cloned() else {
            return Err(Failure::own("nothing to run: give a command behind the options; see pm-fork --help"));
        };
        let mut service = Self { name: None, cwd: None, out: None, err: None, program, chain: parsed.rest };
        for (option, value) in parsed.options {
            let path = || std::path::absolute(&value).map_err(|e| options::bad(option, &value, &reason(&e)));
            match option {
                "cwd" => service.cwd = Some(path()?),
                "out" => service.out = Some(path()?),
                "err" => service.err = Some(path()?),
                _ => service.name = Some(options::text(option, &value)?.to_owned()),
            }
        }
        Ok(service)
    }

    /// Becomes the service, and then the chain: it comes back only if that failed.
    pub(crate) fn start(&self, pipe: &mut File) -> Failure {
        self.prepare().and_then(|app| self.exec(&app, pipe)).map_or_else(|failure| failure, |never| match never {})
    }

    /// What may fail with a word to the user, in the order in which that is of most use.
    fn prepare(&self) -> Result<AppDir, Failure> {
        rustix::process::setsid().or_fail(|| "cannot start a session".to_owned())?;
        if let Some(dir) = &self.cwd {
            std::env::set_current_dir(dir).or_fail(|| format!("cannot change to {}", dir.display()))?;
        }
        let env = |name: &str| std::env::var_os(name);
        // From here on this process has the lock; it forks no more, so that the lock stays with the chain.
        let logs_elsewhere = self.out.is_some() && self.err.is_some();
        let app = AppDir::found(self.name.as_deref(), &self.chain, env, !logs_elsewhere)?;
        let out = log(self.out.as_deref(), &app, "out.log")?;
        let err = log(self.err.as_deref(), &app, "err.log")?;
        let null = File::open("/dev/null").or_fail(|| "cannot open /dev/null".to_owned())?;
        let done = rustix::stdio::dup2_stdin(&null).and_then(|()| rustix::stdio::dup2_stdout(&out));
        done.and_then(|()| rustix::stdio::dup2_stderr(&err)).or_fail(|| "cannot redirect".to_owned())?;
        Ok(app)
    }

    /// What the user is told once the chain runs.
    fn started(&self, app: &AppDir) -> String {
        let mut said = format!("started app '{}' pid={}", app.name(), std::process::id());
        if let Some(dir) = app.dir().filter(|_| self.out.is_none() || self.err.is_none()) {
            said += &format!(" log={}/", dir.display());
        }
        for (key, path) in [("out", &self.out), ("err", &self.err)] {
            said += &path.iter().map(|path| format!(" {key}={}", path.display())).collect::<String>();
        }
        if let Some(Namesake { name, pid }) = app.namesake() {
            let running = pid.map_or_else(|| "in another pid namespace".to_owned(), |pid| format!("as pid {pid}"));
            said += &format!("; the name '{name}' is running {running}");
        }
        said
    }

    fn exec(&self, app: &AppDir, pipe: &mut File) -> Result<std::convert::Infallible, Failure> {
        let mut command = Command::new(&self.program);
        command.args(self.chain.iter().skip(1));
        if let Some((options, text)) = std::env::var_os("NODE_OPTIONS").zip(std::env::var_os("PM_PRELOAD")) {
            command.env("NODE_OPTIONS", environment::without_script(&options, &text));
        }
        NOT_INHERITED.iter().for_each(|name| _ = command.env_remove(name));
        // The logical path: `current` of a deployment may be a symbolic link, and lead elsewhere at a later roll.
        self.cwd.iter().for_each(|dir| _ = command.env("PWD", dir));
        command.envs(app.env_for_children());
        process::default_signals();
        daemon::close_on_exec_above_stderr();
        app.keep_across_exec().or_fail(|| "cannot keep the lock".to_owned())?;
        let _ = pipe.write_all(&[&[crate::ABOUT_TO_EXEC], self.started(app).as_bytes(), &[0]].concat());
        let error = command.exec();
        let code = if error.kind() == io::ErrorKind::NotFound { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
        let program = self.program.to_string_lossy();
        Err(Failure::with_code(code, format!("cannot run {program}: {}", reason(&error))))
    }
}

/// The file that an output is appended to: the one given, else that of the app (without both we do not get here).
fn log(given: Option<&Path>, app: &AppDir, name: &str) -> Result<File, Failure> {
    let own = app.dir().map(|dir| dir.join(name));
    let (path, mode, flags) = match (given, &own) {
        (Some(path), _) => (path, 0o666, 0),
        (None, Some(path)) => (path.as_path(), 0o600, libc::O_NOFOLLOW),
        (None, None) => (Path::new("/dev/null"), 0, 0),
    };
    append(path, mode, flags).or_fail(|| format!("cannot append to {}", path.display()))
}

/// Opens a file to append to. A FIFO without a reader is an error, where it would else hold us up; and a terminal does
/// not become that of our new session.
fn append(path: &Path, mode: u32, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(mode).custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let blocking = rustix::fs::fcntl_getfl(&file)? - rustix::fs::OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&file, blocking)?;
    Ok(file)
}
