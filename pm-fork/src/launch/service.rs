//! What happens in the child: everything between the fork and the exec of the chain.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pm_common::app::home::{self, AppDir, Home, Mode, Namesake, Site, Start, try_room};
use pm_common::app::orphans;
use pm_common::app::status::Counts;
use pm_common::cli::chain;
use pm_common::cli::report::{self, Failure, OrFail as _, reason};
use pm_common::cli::tables::{self, PM_LOG};
use pm_common::supervise::release::env_file;
use pm_common::supervise::worker_env;
use pm_common::sys::clock;
use pm_common::sys::daemon;
use pm_common::sys::listen_fds::{self, Passed};
use pm_common::sys::process;
use rustix::fs::{Access, OFlags, access};

use crate::apps::{flush, stdin_fifo};
use crate::ecosystem::{APP_ENV, Machine as _, RealMachine};
use crate::launch::failed;

/// What the supervisors of an app write of themselves at first: two of them, each in two files, of which each takes a page.
const STATUS_ROOM: usize = 4 * 4096;

/// What another chain told the caller, and is not the new service's; beside what no link passes on.
const NOT_INHERITED: [&str; 1] = ["NODE_APP_INSTANCE"];

/// Says to the caller that the chain comes next; then what to say of it, each field before a NUL. Without it, the child
/// did not get that far.
pub(crate) const ABOUT_TO_EXEC: u8 = b'x';

/// How many fields there are: the name, the directory, the words behind "started", and the path and size of both logs.
pub(crate) const FIELDS: usize = 7;

/// The caller's environment, as far as it is a service's too.
pub(crate) fn inherited() -> Vec<(OsString, OsString)> {
    let mut env = worker_env::base();
    env.retain(|(key, _)| !NOT_INHERITED.iter().any(|name| key == name));
    env
}

/// The service to become.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    /// How it is to be started. An empty name is found by the chain; `id` and `started_at_ms` are yet to come.
    pub(crate) start: Start,
    /// Whether it is described, and not just a chain: then it has an `app.env`, and its logs' directories are made.
    pub(crate) described: bool,
    /// Whether the number of workers that was asked for since its last start holds on.
    pub(crate) keep_workers: bool,
    /// The restarts that were counted before ([`Counts::put`]).
    pub(crate) counts: String,
    /// Whether the app ran, and was stopped to be started again.
    pub(crate) restarted: bool,
    /// Whether it ran when it was saved, and nobody would start it later.
    pub(crate) brought_back: bool,
    /// Sockets that we were started with for it.
    pub(crate) sockets: Vec<Passed>,
    /// Why its supervisors will not be able to say how it is.
    pub(crate) unheard: Option<String>,
    /// What it writes goes to our outputs, too.
    pub(crate) echo: Option<Echo>,
}

/// How lines are echoed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echo {
    /// What stands in front of each.
    pub(crate) label: String,
    /// Each is an object.
    pub(crate) json: bool,
}

/// The files of an app whose lines are echoed are for `pm logs`, and small: two for each stream.
const ROTATION: [&str; 4] = ["--max-size", "10M", "--keep", "1"];

impl Echo {
    /// The chain with a pm-log that echoes; `tool`: how that is called.
    fn chain(&self, argv: &[OsString], tool: OsString, files: [(&str, Option<&PathBuf>); 2]) -> Vec<OsString> {
        let has_writer = argv.first().and_then(|word| tables::tool(word)).is_some_and(|tool| tool.name == PM_LOG.name);
        let mut words = vec![argv.first().filter(|_| has_writer).cloned().unwrap_or(tool)];
        words.extend(["--echo".into(), OsString::from(&self.label)]);
        words.extend(self.json.then(|| "--json".into()));
        if !has_writer {
            words.extend(ROTATION.map(OsString::from));
            let files = files.into_iter().filter_map(|(option, path)| Some((option, path?)));
            words.extend(files.flat_map(|(option, path)| [option.into(), path.clone().into_os_string()]));
        }
        words.extend(argv.iter().skip(usize::from(has_writer)).cloned());
        words
    }
}

impl Service {
    /// Whether it starts whatever becomes of the apps that it starts after: it ran beside them.
    pub(crate) const fn insists(&self) -> bool {
        self.restarted || self.brought_back
    }

    /// Becomes the service, and then the chain: it comes back only if that failed.
    pub(crate) fn start(mut self, pipe: &mut File) -> Failure {
        self.become_it(pipe).map_or_else(|failure| failure, |never| match never {})
    }

    /// What may fail with a word to the user, in the order in which that is of most use.
    fn become_it(&mut self, pipe: &mut File) -> Result<std::convert::Infallible, Failure> {
        rustix::process::setsid().or_fail(|| "cannot start a session".to_owned())?;
        // A relative PM_HOME is the caller's, and we are about to go elsewhere.
        let home = std::env::var_os("PM_HOME").filter(|path| !path.is_empty());
        let home = home.and_then(|path| std::path::absolute(path).ok()).map(PathBuf::into_os_string);
        let env = |name: &str| if name == "PM_HOME" { home.clone() } else { std::env::var_os(name) };
        let cwd = &self.start.cwd;
        std::env::set_current_dir(cwd).or_fail(|| format!("cannot change to {}", cwd.display()))?;
        // From here on this process has the lock; it forks no more, so that the lock stays with the chain.
        let logs_elsewhere = self.start.out.is_some() && self.start.err.is_some() && !self.described;
        let name = Some(self.start.name.as_str()).filter(|name| !name.is_empty());
        let app = AppDir::found(name, &self.start.argv, env, !logs_elsewhere)?;
        let failed = self.become_in(&app, Home::find(env), pipe);
        if let (Err(_), Some(dir)) = (&failed, app.dir()) {
            failed::leave_nothing(dir, app.name());
        }
        failed
    }

    /// Becomes the chain, with the lock of the app.
    fn become_in(
        &mut self,
        app: &AppDir,
        home: Option<Home>,
        pipe: &mut File,
    ) -> Result<std::convert::Infallible, Failure> {
        orphans::end_before_start(app)?;
        let [out, err] = self.logs(app.dir())?;
        let input = stdin_fifo::open(app.dir()).or_fail(|| "cannot open /dev/null".to_owned())?;
        let before = app.dir().and_then(|dir| home::read_file(dir, home::START, home::LARGEST_START).ok());
        self.record(app, home)
            .and_then(|()| self.check_room(app, before.is_none()))
            .inspect_err(|_| self.forget(app, before.clone()))?;
        let said = self.told(app, [&out, &err]);
        self.redirect(&input, [&out, &err]).or_fail(|| "cannot redirect".to_owned())?;
        let failed = self.exec(app, pipe, &said);
        self.forget(app, before);
        failed
    }

    /// An app whose lines are echoed keeps our outputs.
    fn redirect(&self, input: &File, [out, err]: [&File; 2]) -> io::Result<()> {
        rustix::stdio::dup2_stdin(input)?;
        if self.echo.is_none() {
            rustix::stdio::dup2_stdout(out)?;
            rustix::stdio::dup2_stderr(err)?;
        }
        Ok(())
    }

    /// Writes down how it is started, before it is.
    fn record(&mut self, app: &AppDir, home: Option<Home>) -> Result<(), Failure> {
        let (Some(dir), Some(home)) = (app.dir(), home) else { return Ok(()) };
        app.name().clone_into(&mut self.start.name);
        if !self.described {
            self.start.script =
                home::script_of(&self.start.argv).map(|path| self.start.cwd.join(path).components().collect());
        }
        let written = home::with_id(&home, app.name(), |id| write_start(dir, &mut self.start, id, clock::wall_ms()));
        let _ = Counts::put(dir, &self.counts);
        if !self.keep_workers {
            let _ = home::remove_file(dir, home::WORKERS);
        }
        let path = dir.join(home::START);
        match written {
            // A full disk: an app that was running a moment ago is not to stay down for it.
            Err(e) if self.keep_workers && path.exists() => {
                let (path, why) = (path.display(), reason(&e));
                report::warning(format_args!("cannot write {path}: {why}; it is that of an earlier start"));
                Ok(())
            }
            other => other.or_fail(|| format!("cannot write {}", path.display())),
        }
    }

    /// Whether its supervisors will have room to say how it is. A new app is not started without; one that was started
    /// before is not to stay down for it.
    fn check_room(&mut self, app: &AppDir, is_new: bool) -> Result<(), Failure> {
        let Some(dir) = app.dir() else { return Ok(()) };
        match try_room(dir, STATUS_ROOM) {
            Err(e) if !is_new => self.unheard = Some(reason(&e)),
            other => other.or_fail(|| format!("cannot write in {}", dir.display()))?,
        }
        Ok(())
    }

    /// What cannot be run was not started: what is written of it is as it was.
    fn forget(&self, app: &AppDir, before: Option<Vec<u8>>) {
        let Some(dir) = app.dir() else { return };
        let _ = match before {
            Some(text) => home::replace_file(dir, home::START, &text),
            None => home::remove_file(dir, home::START),
        };
    }

    /// What the caller needs to know of it: its name, its directory, what to say behind that it was started, and where
    /// what it writes from now on can be read.
    fn told(&self, app: &AppDir, logs: [&File; 2]) -> [Vec<u8>; FIELDS] {
        use std::os::unix::ffi::OsStringExt as _;
        let bytes = |path: PathBuf| path.into_os_string().into_vec();
        let given = [(&self.start.out, "out.log"), (&self.start.err, "err.log")];
        let path = |(given, own): (&Option<PathBuf>, &str)| given.clone().or_else(|| Some(app.dir()?.join(own)));
        let [out, err] = given.map(|one| bytes(path(one).unwrap_or_default()));
        let [out_size, err_size] = logs.map(|log| log.metadata().map_or(0, |m| m.size()).to_string().into());
        let dir = bytes(app.dir().filter(|_| self.unheard.is_none()).map(Path::to_owned).unwrap_or_default());
        [app.name().into(), dir, self.places(app).into(), err, err_size, out, out_size]
    }

    fn places(&self, app: &AppDir) -> String {
        let (out, err) = (&self.start.out, &self.start.err);
        let mut said = String::new();
        if let Some(dir) = app.dir().filter(|_| out.is_none() || err.is_none()) {
            said += &format!(" log={}/", dir.display());
        }
        for (key, path) in [("out", out), ("err", err)] {
            said += &path.iter().map(|path| format!(" {key}={}", path.display())).collect::<String>();
        }
        if let Some(why) = &self.unheard {
            said += &format!("; pm list cannot tell how it is, as nothing can be written there: {why}");
        }
        if let Some(Namesake { name, pid }) = app.namesake() {
            let running = pid.map_or_else(|| "in another pid namespace".to_owned(), |pid| format!("as pid {pid}"));
            said += &format!("; the name '{name}' is running {running}");
        }
        said
    }

    fn exec(&self, app: &AppDir, pipe: &mut File, said: &[Vec<u8>]) -> Result<std::convert::Infallible, Failure> {
        let argv = match app.dir().and_then(workers_asked_for).filter(|_| self.keep_workers) {
            Some(workers) => chain::with_workers(&self.start.argv, workers),
            None => self.start.argv.clone(),
        };
        let argv = self.echo.as_ref().map_or_else(
            || argv.clone(),
            |echo| {
                let tool = RealMachine::new(std::env::var_os("PATH")).tool(PM_LOG.name);
                echo.chain(&argv, tool, [("--out", self.start.out.as_ref()), ("--err", self.start.err.as_ref())])
            },
        );
        let Some((program, args)) = argv.split_first() else { return Err(Failure::own("nothing to run")) };
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(self.start.env.iter().map(|(key, value)| (key, value)));
        // The logical path: `current` of a deployment may be a symbolic link, and lead elsewhere at a later roll.
        command.env("PWD", &self.start.cwd).envs(app.env_for_children());
        daemon::close_on_exec_above_stderr();
        app.keep_across_exec().or_fail(|| "cannot keep the lock".to_owned())?;
        if !self.sockets.is_empty() {
            listen_fds::keep_over_exec(&self.sockets).or_fail(|| "cannot pass sockets on".to_owned())?;
            command.envs(listen_fds::variables(&self.sockets)).env("LISTEN_PID", std::process::id().to_string());
        }
        let mut told = vec![ABOUT_TO_EXEC];
        said.iter().for_each(|field| told.extend(field.iter().chain(&[0])));
        // Nobody may be there to read it; so not with SIGPIPE as the chain is to have it, which would end us here.
        let _ = pipe.write_all(&told);
        process::default_signals();
        Err(chain::cannot_run(program, &command.exec()))
    }

    /// Whether its program can be started: asked before what runs is stopped for it.
    ///
    /// # Errors
    /// 125: what is missing.
    pub(crate) fn check_program(&self) -> Result<(), Failure> {
        let Start { cwd, script, .. } = &self.start;
        access(cwd, Access::EXEC_OK).or_fail(|| format!("cannot change to {}", cwd.display()))?;
        if let Some(script) = script.as_ref().filter(|_| self.described) {
            access(script, Access::EXISTS).or_fail(|| format!("script {}", script.display()))?;
        }
        self.find_program()
    }

    /// Whether what the tools of the chain run is there, such as the interpreter.
    fn find_program(&self) -> Result<(), Failure> {
        let Start { cwd, env, app_env, argv, .. } = &self.start;
        let links = chain::links(argv).1;
        let Some(program) = links.first() else { return Ok(()) };
        let described = app_env.iter().flatten().find(|(key, _)| key == "PATH").map(|(_, path)| path.into());
        let inherited = || env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.clone());
        let path: OsString = described.or_else(inherited).unwrap_or_default();
        let is_there = |dir: &Path| access(cwd.join(dir).join(program), Access::EXEC_OK).is_ok();
        let found = match program.as_encoded_bytes().contains(&b'/') {
            true => is_there(Path::new("")),
            // Without a PATH it is found where the C library says.
            false => path.is_empty() || std::env::split_paths(&path).any(|dir| is_there(&dir)),
        };
        if found {
            return Ok(());
        }
        Err(Failure::own(format!("there is no program {} any more", program.display())))
    }

    /// Whether a start in this directory would come as far as the program: asked before what runs is stopped for it.
    ///
    /// # Errors
    /// 125: what is missing, or cannot be written.
    pub(crate) fn check(&self, dir: &Path) -> Result<(), Failure> {
        self.check_program()?;
        access(dir, Access::WRITE_OK | Access::EXEC_OK).or_fail(|| format!("cannot write in {}", dir.display()))?;
        self.logs(Some(dir))?;
        let text = format!("{}{:?}", self.start.to_json(), self.start.app_env);
        // Twice, for what the supervisors say of themselves.
        try_room(dir, 2 * text.len()).or_fail(|| format!("cannot write in {}", dir.display()))
    }

    fn logs(&self, dir: Option<&Path>) -> Result<[File; 2], Failure> {
        let Start { out, err, .. } = &self.start;
        let both = flush::of_both(&self.start);
        if let (true, Some(dir)) = (self.described, both.as_deref().and_then(Path::parent)) {
            home::make_dirs(dir).or_fail(|| format!("cannot make {}", dir.display()))?;
        }
        Ok([self.log(out.as_deref(), dir, "out.log")?, self.log(err.as_deref(), dir, "err.log")?])
    }

    /// The file that an output is appended to: the one given, else that of the app (without both we do not get here).
    fn log(&self, given: Option<&Path>, dir: Option<&Path>, name: &str) -> Result<File, Failure> {
        let own = dir.map(|dir| dir.join(name));
        let (path, mode) = match (given, &own) {
            (Some(path), _) => (path, 0o666),
            (None, Some(path)) => (path.as_path(), 0o600),
            (None, None) => (Path::new("/dev/null"), 0),
        };
        if let (true, Some(dir)) = (self.described, given.and_then(Path::parent)) {
            home::make_dirs(dir).or_fail(|| format!("cannot make {}", dir.display()))?;
        }
        let site = if given.is_none() && own.is_some() { Site::of_name(path) } else { Site::find(path) };
        let opened = site.and_then(|site| site.append(OFlags::WRONLY, mode));
        opened.or_fail(|| format!("cannot append to {}", path.display()))
    }
}

/// Writes `start.json`, and `app.env` for an app that is described.
pub(crate) fn write_start(dir: &Path, start: &mut Start, id: u64, at_ms: u64) -> io::Result<()> {
    (start.id, start.started_at_ms) = (Some(id), at_ms);
    start.mode = Mode::of(&start.argv);
    if start.app_env.is_some() {
        home::replace_file(dir, APP_ENV, env_file::write(&described_env(start)).as_bytes())?;
    }
    start.write(dir)
}

/// What the description sets in the environment, the app's id included.
fn described_env(start: &Start) -> Vec<(String, String)> {
    let mut variables = start.app_env.clone().unwrap_or_default();
    if let (Some(id), false) = (start.id, variables.iter().any(|(key, _)| key == "pm_id")) {
        variables.push(("pm_id".to_owned(), id.to_string()));
    }
    variables
}

/// Writes an `app.env` with all of the app's environment: that of a supervisor that runs cannot be changed.
pub(crate) fn write_whole_env(dir: &Path, start: &Start) -> io::Result<()> {
    let of_the_shell = |key: &str| ["PWD", "OLDPWD", "SHLVL", "_"].contains(&key);
    let text = |(key, value): &(OsString, OsString)| Some((key.to_str()?.to_owned(), value.to_str()?.to_owned()));
    let mut variables: Vec<_> = start.env.iter().filter_map(text).filter(|(key, _)| !of_the_shell(key)).collect();
    let described = described_env(start);
    variables.retain(|(key, _)| !described.iter().any(|(known, _)| known == key));
    variables.extend(described);
    home::replace_file(dir, APP_ENV, env_file::write(&variables).as_bytes())
}

/// The number of workers that was asked for since the app was described.
pub(crate) fn workers_asked_for(dir: &Path) -> Option<u32> {
    let text = home::read_file(dir, home::WORKERS, 100).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok().filter(|count| *count > 0)
}
