//! The command line of pm-fork, and what it asks for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use pm_common::app::home::{Start, check_name, directory_name};
use pm_common::cli::options::{self, Parsed};
use pm_common::cli::report::{Failure, reason};
use pm_common::cli::tables::PM_FORK;
use pm_common::policy::exit::signal_number;
use pm_common::policy::time::Span;
use pm_common::sys::passed;

use crate::apps;
use crate::apps::scale::Scale;
use crate::apps::signals::Signal;
use crate::asked::{Again, Description, Request};
use crate::start::launch::{Patience, Until};
use crate::start::service::{self, Service};

/// The signal that has workers replaced.
const HUP: u8 = nix::libc::SIGHUP as u8;

/// The options as they are given.
#[derive(Debug, Default)]
struct Given {
    start: Start,
    cwd: Option<PathBuf>,
    described: Description,
    again: bool,
    update_env: bool,
    moved: bool,
    signal: Option<(u8, String)>,
    send: Option<Vec<u8>>,
    stop: bool,
    to_workers: bool,
    scale: Option<Scale>,
    reset: bool,
    flush: bool,
    remove: bool,
    save: bool,
    keep: bool,
    /// The options for a chain, and those for a description.
    of_chain: Option<&'static str>,
    of_description: Option<&'static str>,
}

/// What the command line asks for, and how long to wait.
///
/// # Errors
/// 125: a bad value, options that do not go together, nothing to do.
pub(crate) fn parse(parsed: Parsed) -> Result<(Request, Patience), Failure> {
    let mut given = Given::default();
    let mut patience = Patience::default();
    for (option, value) in &parsed.options {
        match *option {
            "wait" => patience.until = until(option, value)?,
            "timeout" => {
                patience.timeout = options::duration(option, value)?;
                patience.text = value.to_string_lossy().into_owned();
                patience.asked = true;
            }
            _ => given.set(option, value)?,
        }
    }
    Ok((given.request(parsed.rest)?, patience))
}

impl Default for Patience {
    fn default() -> Self {
        Self { until: Until::Ready, timeout: Span::secs(30), text: "30s".to_owned(), asked: false }
    }
}

fn until(option: &str, value: &OsString) -> Result<Until, Failure> {
    match value.to_str() {
        Some("ready") => Ok(Until::Ready),
        Some("started") => Ok(Until::Started),
        Some("none") => Ok(Until::Forked),
        _ => Err(options::bad(option, value, "expected ready, started or none")),
    }
}

impl Given {
    fn set(&mut self, option: &'static str, value: &OsString) -> Result<(), Failure> {
        let path = || std::path::absolute(value).map_err(|e| options::bad(option, value, &reason(&e)));
        let text = || options::text(option, value).map(str::to_owned);
        match option {
            "cwd" => self.cwd = Some(path()?),
            "out" => self.start.out = Some(path()?),
            "err" => self.start.err = Some(path()?),
            "name" if text()?.starts_with('-') => {
                return Err(options::bad(option, value, "a name cannot begin with a dash, as options do"));
            }
            "name" => self.start.name = name(text()?)?,
            "namespace" => self.start.namespace = text()?,
            "file" => self.described.file = Some(PathBuf::from(value)),
            "only" => self.described.only.extend(crate::described::names(&text()?)),
            "env" => self.described.env_name = Some(text()?),
            "set" => self.described.sets.push(key_value(option, value)?),
            "update" => self.described.update = true,
            "dry-run" => self.described.dry_run = true,
            "force" => self.described.force = true,
            "again" => self.again = true,
            "update-env" => self.update_env = true,
            "moved" => self.moved = true,
            "restart" => self.described.restart = true,
            "signal" => self.signal = Some((signal(option, value)?, text()?)),
            "send" => self.send = Some([value.as_bytes(), b"\n"].concat()),
            "stop" => self.stop = true,
            "workers" => self.to_workers = true,
            "scale" => self.scale = Some(Scale::parse(option, value)?),
            "reset" => self.reset = true,
            "flush" => self.flush = true,
            "remove" => self.remove = true,
            "keep" => self.keep = true,
            _ => self.save = true,
        }
        match option {
            "cwd" | "out" | "err" | "name" | "namespace" => self.of_chain = Some(option),
            "file" | "only" | "env" | "set" | "update" | "dry-run" | "force" => self.of_description = Some(option),
            _ => {}
        }
        Ok(())
    }

    fn request(self, rest: Vec<OsString>) -> Result<Request, Failure> {
        let described = self.of_description.is_some();
        let with_value = [self.signal.is_some(), self.scale.is_some(), self.send.is_some()];
        let on_names = [&with_value[..], &[self.again, self.stop, self.reset, self.flush, self.remove]].concat();
        let verbs = [on_names.as_slice(), &[self.save, self.keep, described]].concat();
        if verbs.iter().filter(|asked| **asked).count() > 1 {
            return Err(Failure::own("these options do not go together; see pm-fork --help"));
        }
        let rolls = self.signal.as_ref().is_some_and(|(number, _)| *number == HUP);
        if self.update_env && !self.again && !rolls {
            return Err(Failure::own("--update-env is for --again and --signal HUP alone"));
        }
        if self.moved && (!rolls || self.to_workers) {
            return Err(Failure::own("--moved is for --signal HUP alone"));
        }
        if self.described.restart && !self.again && self.described.file.is_none() {
            return Err(Failure::own("--restart goes with --again or -f"));
        }
        if let (Some(option), true) = (self.of_chain, verbs.contains(&true)) {
            return Err(Failure::own(format!(
                "--{option} is for a CHAIN; with a description it is a field: --set {option}=..."
            )));
        }
        if self.to_workers && self.signal.is_none() {
            return Err(Failure::own("--workers goes with --signal"));
        }
        if self.save || self.keep {
            let request = if self.save { Request::Save } else { Request::Keep };
            return if rest.is_empty() { Ok(request) } else { Err(Failure::own("--save and --keep take no names")) };
        }
        if on_names.contains(&true) {
            return self.on(names(rest)?);
        }
        match described {
            true => self.described.with(rest).map(Request::Described),
            false => chain(self.start, self.cwd, rest).map(|service| Request::Chain(Box::new(service))),
        }
    }

    /// What is asked of apps that are named.
    fn on(self, names: Vec<String>) -> Result<Request, Failure> {
        if let Some(line) = self.send {
            return Ok(Request::Send { line, names });
        }
        let (update_env, moved, to_workers) = (self.update_env, self.moved, self.to_workers);
        Ok(match (self.signal, self.scale) {
            (Some((number, word)), _) => {
                Request::Signal { signal: Signal { number, word, to_workers }, update_env, moved, names }
            }
            (None, Some(by)) => Request::Scale { by, names },
            (None, None) if self.again => Request::Again(Again { names, update_env, restart: self.described.restart }),
            (None, None) if self.stop => Request::Stop(names),
            (None, None) if self.reset => Request::Reset(names),
            (None, None) if self.flush => Request::Flush(names),
            (None, None) => Request::Remove(names),
        })
    }
}

/// A chain in the caller's directory and environment.
fn chain(mut start: Start, cwd: Option<PathBuf>, argv: Vec<OsString>) -> Result<Service, Failure> {
    if argv.is_empty() {
        return Err(Failure::own("nothing to run: give a command behind the options; see pm-fork --help"));
    }
    pm_common::cli::chain::check(&PM_FORK, &argv)?;
    start.cwd = match cwd {
        Some(dir) => dir,
        None => apps::here()?,
    };
    if start.namespace.is_empty() {
        "default".clone_into(&mut start.namespace);
    }
    (start.argv, start.env) = (argv, service::inherited());
    Ok(Service { start, sockets: passed::own_sockets(), ..Service::default() })
}

fn name(name: String) -> Result<String, Failure> {
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(options::bad("name", name.as_ref(), why)),
    }
}

fn names(rest: Vec<OsString>) -> Result<Vec<String>, Failure> {
    if rest.is_empty() {
        return Err(Failure::own("no app is named; see pm-fork --help"));
    }
    let mut names = Vec::new();
    for name in rest {
        let name = self::name(directory_name(options::text("name", &name)?))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn key_value(option: &str, value: &OsString) -> Result<(String, String), Failure> {
    let split = options::text(option, value)?.split_once('=');
    split.map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| options::bad(option, value, "expected KEY=VALUE"))
}

fn signal(option: &str, value: &OsString) -> Result<u8, Failure> {
    let number = value.to_str().and_then(signal_number);
    number.ok_or_else(|| options::bad(option, value, "expected a signal such as TERM, HUP or 15"))
}

#[cfg(test)]
mod tests {
    use pm_common::cli::options::Asked;

    use super::*;

    fn asked(line: &str) -> Result<Request, Failure> {
        match PM_FORK.parse(line.split_whitespace().map(OsString::from))? {
            Asked::Run(parsed) => parse(parsed).map(|(request, _)| request),
            Asked::Print(_) => panic!("printed"),
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_one_line() {
        for line in [
            "",
            "--wait soon true",
            "--timeout 5 true",
            "--name a/b true",
            "--again",
            "--remove",
            "--signal NOPE a",
            "--signal TERM",
            "--again --remove a",
            "--stop",
            "--stop --signal TERM a",
            "--save a",
            "--save --again a",
            "--update-env a",
            "--update-env --signal TERM a",
            "--moved --signal TERM a",
            "--moved --workers --signal HUP a",
            "--moved --again a",
            "--restart a",
            "--workers a",
            "--scale x a",
            "--scale +x a",
            "--scale 2",
            "--scale 2 --reset a",
            "--send x",
            "--send x --stop a",
            "--flush",
            "--keep a",
            "-f x --name y",
            "-f x y",
            "-f x --again y",
            "--only a",
            "--set script",
            "--remove ../x",
        ] {
            let failure = asked(line).expect_err(line);
            assert_eq!((failure.code, failure.message.lines().count()), (125, 1), "{line}: {failure}");
        }
    }

    #[test]
    fn each_way_to_ask_is_understood() {
        assert!(matches!(asked("--wait=none --name x true"), Ok(Request::Chain(s)) if s.start.name == "x"));
        assert!(
            matches!(asked("-f x --only a,b --only c"), Ok(Request::Described(d)) if d.only == ["a", "b", "a,b", "c"])
        );
        assert!(matches!(asked("--set script=a -- --name"), Ok(Request::Described(d)) if d.args == ["--name"]));
        assert!(
            matches!(asked("--again --update-env a b a"), Ok(Request::Again(a)) if a.names.len() == 2 && a.update_env && !a.restart)
        );
        assert!(matches!(asked("--signal HUP a"), Ok(Request::Signal { signal: Signal { number: 1, .. }, .. })));
        assert!(matches!(asked("--scale -1 a"), Ok(Request::Scale { by: Scale::Fewer(1), .. })));
        assert!(matches!(asked("--send -x a"), Ok(Request::Send { line, names }) if line == b"-x\n" && names == ["a"]));
        assert!(matches!(asked("--reset a b"), Ok(Request::Reset(names)) if names == ["a", "b"]));
        assert!(matches!(asked("--flush a"), Ok(Request::Flush(_))) && matches!(asked("--keep"), Ok(Request::Keep)));
        assert!(matches!(asked("--remove a"), Ok(Request::Remove(names)) if names == ["a"]));
        assert!(matches!(asked("--stop a b"), Ok(Request::Stop(names)) if names == ["a", "b"]));
        assert!(matches!(asked("--save"), Ok(Request::Save)));
    }
}
