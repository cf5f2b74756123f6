//! The command line of pm-cluster.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use pm_common::cli::chain;
use pm_common::cli::options::{self, Parsed};
use pm_common::cli::policy_options;
use pm_common::cli::report::Failure;
use pm_common::cli::tables::PM_CLUSTER;
use pm_common::node::locate::base_name;
use pm_common::policy::rules::Rules;
use pm_common::policy::supervisor::{MOST_WORKERS, RollRule};
use pm_common::policy::time::Span;
use pm_common::policy::worker::{ReadyBy, ReadyRule};

use crate::bind::probe::FanoutChoice;
use crate::care::health::{Question, Url};
use crate::sockets::Mode;
use crate::sockets::wanted::Declared;
use pm_common::kernel::cpus;

/// What the command line means.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) workers: u32,
    pub(crate) name: Option<String>,
    pub(crate) rules: Rules,
    pub(crate) ready: ReadyRule,
    pub(crate) balance: Option<Mode>,
    pub(crate) parallel: u32,
    pub(crate) soak: Span,
    overlap: Option<u32>,
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) err: Option<PathBuf>,
    pub(crate) preload: bool,
    pub(crate) close_rewrite: bool,
    /// The copies share nothing, and of a slot one ends before the next starts.
    pub(crate) apart: bool,
    /// Of a slot one worker ends before the next starts.
    pub(crate) stop_start: bool,
    /// The clients of one address stay with one slot.
    pub(crate) sticky: bool,
    pub(crate) fanout: FanoutChoice,
    pub(crate) health: Option<Question>,
    pub(crate) listen: Vec<Declared>,
}

/// Merges the options over the policy of the chain above; looks at the chain for mistakes that would only show later.
pub(crate) fn resolve(parsed: &Parsed) -> Result<Options, Failure> {
    let rules = policy_options::inherited()?;
    let mut options = Options {
        workers: cpus::usable(),
        name: None,
        rules,
        ready: ReadyRule::default(),
        balance: None,
        parallel: 1,
        soak: Span::secs(1),
        overlap: None,
        env_file: None,
        out: None,
        err: None,
        preload: true,
        close_rewrite: true,
        apart: false,
        stop_start: false,
        sticky: false,
        fanout: FanoutChoice::Auto,
        health: None,
        listen: Vec::new(),
    };
    for (option, value) in &parsed.options {
        options.set(option, value)?;
    }
    check_chain(&parsed.rest)?;
    if options.apart {
        check_apart(&options.rules, &parsed.options)?;
    }
    if options.stop_start && options.overlap.is_some() {
        return Err(Failure::own(
            "--overlap does not go with --reload stop-start: there an old worker has ended before the next one starts",
        ));
    }
    Ok(options)
}

impl Options {
    pub(crate) fn roll(&self) -> RollRule {
        let overlap = self.overlap.unwrap_or(self.workers);
        RollRule { parallel: self.parallel, soak: self.soak, overlap, heeds_memory: true }
    }

    fn set(&mut self, option: &str, value: &OsStr) -> Result<(), Failure> {
        match option {
            "workers" => {
                let text = options::text(option, value)?;
                self.workers = cpus::parse_workers(text, cpus::usable()).map_err(Failure::own)?;
            }
            "name" => self.name = Some(options::text(option, value)?.to_owned()),
            "ready" => self.ready.evidence = evidence(option, value)?,
            "ready-after" => self.ready.wait_for_listen(options::patience(option, value)?),
            "ready-timeout" => self.ready.timeout = options::duration(option, value)?,
            "soak" => self.soak = options::duration(option, value)?,
            "parallel" => self.parallel = count(option, value)?,
            "overlap" => self.overlap = Some(count(option, value)?),
            "env-file" => self.env_file = Some(PathBuf::from(value)),
            "out" => self.out = Some(PathBuf::from(value)),
            "err" => self.err = Some(PathBuf::from(value)),
            "no-preload" => self.preload = false,
            "no-close-rewrite" => self.close_rewrite = false,
            "apart" => self.apart = true,
            "reload" => self.stop_start = stop_start(option, value)?,
            "sticky" => self.sticky = true,
            "health" => {
                self.ask(Question::Url(health(option, value)?))?;
            }
            "health-cmd" => {
                let text = options::text(option, value)?;
                if text.trim().is_empty() {
                    return Err(options::bad(option, value, "expected a command of the shell"));
                }
                self.ask(Question::Command(value.to_owned()))?;
            }
            "listen" => {
                let what = Declared::parse(options::text(option, value)?);
                self.listen.push(what.map_err(|why| options::bad(option, value, &why))?);
            }
            "fanout" => self.fanout = fanout(option, value)?,
            "probe" => {}
            "balance" => self.balance = Some(balance(option, value)?),
            _ => {
                policy_options::apply(&mut self.rules, option, value)?;
            }
        }
        Ok(())
    }
}

impl Options {
    /// The later one of a kind wins, as with all options; of two kinds nobody can tell which is meant.
    fn ask(&mut self, question: Question) -> Result<(), Failure> {
        let same = |other: &Question| matches!(other, Question::Url(_)) == matches!(question, Question::Url(_));
        if self.health.as_ref().is_some_and(|other| !same(other)) {
            return Err(Failure::own("--health and --health-cmd do not go together: the command can ask for the URL"));
        }
        self.health = Some(question);
        self.ready.evidence = ReadyBy::Health;
        Ok(())
    }
}

fn evidence(option: &str, value: &OsStr) -> Result<ReadyBy, Failure> {
    match value.to_str() {
        Some("listen") => Ok(ReadyBy::Listen),
        Some("message") => Ok(ReadyBy::Message),
        Some("notify") => Ok(ReadyBy::Notify),
        _ => Err(options::bad(option, value, "expected listen, message or notify")),
    }
}

fn count(option: &str, value: &OsStr) -> Result<u32, Failure> {
    let number = options::number(option, value, 1..=u64::from(MOST_WORKERS))?;
    Ok(u32::try_from(number).unwrap_or(MOST_WORKERS))
}

fn balance(option: &str, value: &OsStr) -> Result<Mode, Failure> {
    match value.to_str() {
        Some("lanes") => Ok(Mode::Lanes),
        Some("shared") => Ok(Mode::Shared),
        Some("rr") => Ok(Mode::RoundRobin),
        _ => Err(options::bad(option, value, "expected lanes, shared or rr")),
    }
}

fn stop_start(option: &str, value: &OsStr) -> Result<bool, Failure> {
    match value.to_str() {
        Some("beside") => Ok(false),
        Some("stop-start") => Ok(true),
        _ => Err(options::bad(option, value, "expected beside or stop-start")),
    }
}

fn health(option: &str, value: &OsStr) -> Result<Url, Failure> {
    let url = value.to_str().and_then(Url::parse);
    url.ok_or_else(|| options::bad(option, value, "expected http://:PORT/PATH"))
}

fn fanout(option: &str, value: &OsStr) -> Result<FanoutChoice, Failure> {
    let wanted = value.to_str().and_then(FanoutChoice::from_word);
    wanted.ok_or_else(|| options::bad(option, value, "expected auto, lanes, shared, inherit or off"))
}

/// Options that are about what workers share, or about two of them in one slot.
const SHARED: [&str; 11] = [
    "balance",
    "fanout",
    "health",
    "health-cmd",
    "listen",
    "no-close-rewrite",
    "no-preload",
    "overlap",
    "reload",
    "soak",
    "sticky",
];

fn check_apart(rules: &Rules, given: &[(&str, OsString)]) -> Result<(), Failure> {
    let lag = rules.max_lag.map(|_| "max-lag");
    match given.iter().map(|(option, _)| *option).find(|option| SHARED.contains(option)).or(lag) {
        Some(option) => Err(Failure::own(format!(
            "--{option} does not go with --apart: such copies share nothing, and of a slot one ends before the next \
             starts"
        ))),
        None => Ok(()),
    }
}

/// pm-restart below pm-cluster would keep n supervisors of one worker each, and n policies.
fn check_chain(rest: &[OsString]) -> Result<(), Failure> {
    let Some(program) = rest.first() else {
        return Err(Failure::own("no program given; see pm-cluster --help"));
    };
    if base_name(program) == "pm-restart" {
        return Err(Failure::own(
            "pm-restart goes in front of pm-cluster: pm-restart [options] pm-cluster [options] PROG ARGS...",
        ));
    }
    chain::check(&PM_CLUSTER, rest)
}
