//! The command line of pm-fork, and what it asks for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use pm_common::app::home::{Start, check_name, directory_name};
use pm_common::cli::options::{self, Parsed};
use pm_common::cli::report::{Failure, reason};
use pm_common::cli::tables::PM_FORK;
use pm_common::policy::app_order::{After, Stage};
use pm_common::policy::exit::signal_number;
use pm_common::sys::listen_fds;

use crate::apps;
use crate::apps::scale::Scale;
use crate::apps::signals::Signal;
use crate::launch::patience::{Patience, Until};
use crate::launch::service::{self, Service};
use crate::request::{Act, Again, Description, Request};

/// The signal that has workers replaced.
const HUP: u8 = nix::libc::SIGHUP as u8;

/// The options as they are given.
#[derive(Debug, Default)]
struct Given {
    start: Start,
    cwd: Option<PathBuf>,
    described: Description,
    act: Option<Act>,
    /// There are two acts.
    ambiguous: bool,
    update_env: bool,
    moved: bool,
    to_workers: bool,
    /// An option for a chain.
    of_chain: Option<&'static str>,
    /// There is one for a description.
    of_description: bool,
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
            "after" => self.start.after.push(After { app: name(directory_name(&text()?))?, stage: Stage::Ready }),
            "file" => self.described.file = Some(PathBuf::from(value)),
            "only" => self.described.only.extend(crate::described::names(&text()?)),
            "env" => self.described.env_name = Some(text()?),
            "set" => self.described.sets.push(key_value(option, value)?),
            "update" => self.described.update = true,
            "dry-run" => self.described.dry_run = true,
            "force" => self.described.force = true,
            "update-env" => self.update_env = true,
            "moved" => self.moved = true,
            "restart" => self.described.restart = true,
            "workers" => self.to_workers = true,
            _ => self.ambiguous |= self.act.replace(act(option, value)?).is_some(),
        }
        match option {
            "cwd" | "out" | "err" | "name" | "namespace" | "after" => self.of_chain = Some(option),
            "file" | "only" | "env" | "set" | "update" | "dry-run" | "force" => self.of_description = true,
            _ => {}
        }
        Ok(())
    }

    fn request(mut self, rest: Vec<OsString>) -> Result<Request, Failure> {
        if self.ambiguous || (self.act.is_some() && self.of_description) {
            return Err(Failure::own("these options do not go together; see pm-fork --help"));
        }
        let act = self.act.take().map(|act| self.completed(act));
        self.check_left()?;
        if let (Some(option), true) = (self.of_chain, self.of_description || act.is_some()) {
            let field = if option == "after" { "depends_on" } else { option };
            return Err(Failure::own(format!(
                "--{option} is for a CHAIN; with a description it is a field: --set {field}=..."
            )));
        }
        match act {
            Some(Act::Save | Act::Keep) if !rest.is_empty() => Err(Failure::own("--save and --keep take no names")),
            Some(act @ (Act::Save | Act::Keep)) => Ok(Request::Known(act, Vec::new())),
            Some(act) => Ok(Request::Known(act, names(rest)?)),
            None if self.of_description => self.described.with(rest).map(Request::Described),
            None => chain(self.start, self.cwd, rest).map(|service| Request::Chain(Box::new(service))),
        }
    }

    /// The act with the options that go with it, which are taken.
    fn completed(&mut self, mut act: Act) -> Act {
        match &mut act {
            Act::Again(how) => {
                how.update_env = std::mem::take(&mut self.update_env);
                how.restart = std::mem::take(&mut self.described.restart);
            }
            Act::Signal { signal, update_env, moved } => {
                signal.to_workers = std::mem::take(&mut self.to_workers);
                if signal.number == HUP {
                    *update_env = std::mem::take(&mut self.update_env);
                    *moved = !signal.to_workers && std::mem::take(&mut self.moved);
                }
            }
            _ => {}
        }
        act
    }

    /// Makes sure that no option is left which goes with another one.
    fn check_left(&self) -> Result<(), Failure> {
        let restart = self.described.restart && self.described.file.is_none();
        let left = [
            (self.update_env, "--update-env is for --again and --signal HUP alone"),
            (self.moved, "--moved is for --signal HUP alone"),
            (restart, "--restart goes with --again or -f"),
            (self.to_workers, "--workers goes with --signal"),
        ];
        left.into_iter().find(|(left, _)| *left).map_or(Ok(()), |(_, why)| Err(Failure::own(why)))
    }
}

/// What the option asks for.
fn act(option: &str, value: &OsString) -> Result<Act, Failure> {
    Ok(match option {
        "again" => Act::Again(Again::default()),
        "signal" => {
            let (number, word) = (signal(option, value)?, options::text(option, value)?.to_owned());
            Act::Signal { signal: Signal { number, word, to_workers: false }, update_env: false, moved: false }
        }
        "send" => Act::Send([value.as_bytes(), b"\n"].concat()),
        "stop" => Act::Stop,
        "scale" => Act::Scale(Scale::parse(option, value)?),
        "reset" => Act::Reset,
        "flush" => Act::Flush,
        "remove" => Act::Remove,
        "keep" => Act::Keep,
        _ => Act::Save,
    })
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
    Ok(Service { start, sockets: listen_fds::own_sockets(), ..Service::default() })
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
            "-f x --after y",
            "--after . true",
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
        assert!(matches!(asked("--after db --after a/b true"), Ok(Request::Chain(s))
            if s.start.after.iter().map(|one| one.app.as_str()).eq(["db", "a-b"])));
        assert!(
            matches!(asked("-f x --only a,b --only c"), Ok(Request::Described(d)) if d.only == ["a", "b", "a,b", "c"])
        );
        assert!(matches!(asked("--set script=a -- --name"), Ok(Request::Described(d)) if d.args == ["--name"]));
        let on = |line: &str| match asked(line) {
            Ok(Request::Known(act, names)) => (act, names.join(" ")),
            other => panic!("{line}: {other:?}"),
        };
        assert!(matches!(on("--again --update-env a b a"), (Act::Again(how), names)
            if names == "a b" && how.update_env && !how.restart));
        assert!(matches!(
            on("--signal HUP --moved a").0,
            Act::Signal { signal: Signal { number: 1, .. }, moved: true, .. }
        ));
        assert!(matches!(on("--workers --signal TERM a").0, Act::Signal { signal, .. } if signal.to_workers));
        assert!(matches!(on("--scale -1 a").0, Act::Scale(Scale::Fewer(1))));
        assert!(matches!(on("--send -x a"), (Act::Send(line), names) if line == b"-x\n" && names == "a"));
        assert!(matches!(on("--reset a b"), (Act::Reset, names) if names == "a b"));
        assert!(matches!(on("--flush a").0, Act::Flush) && matches!(on("--keep").0, Act::Keep));
        assert!(matches!(on("--remove a").0, Act::Remove) && matches!(on("--stop a").0, Act::Stop));
        assert!(matches!(on("--save"), (Act::Save, names) if names.is_empty()));
    }
}
