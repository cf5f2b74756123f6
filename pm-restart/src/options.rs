//! The command line of pm-restart.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use pm_common::cli::chain;
use pm_common::cli::options::{self, Parsed};
use pm_common::cli::policy_options;
use pm_common::cli::report::Failure;
use pm_common::cli::tables::{BELONGS_TO_CLUSTER, PM_RESTART};
use pm_common::node::locate;
use pm_common::policy::rules::Rules;
use pm_common::policy::worker::{ReadyBy, ReadyRule};

const NEEDS_CLUSTER: &str = "--max-lag is for the workers of a pm-cluster, and the command names none: pm-restart --max-lag TIME \
     pm-cluster -n 1 PROG ARGS...";

/// Whether the rest of the chain has a pm-cluster in it, be it in the text for a shell.
fn names_cluster(chain: &[OsString]) -> bool {
    chain.iter().any(|word| word.to_string_lossy().contains("pm-cluster"))
}

/// What the command line means.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) rules: Rules,
    pub(crate) ready: ReadyRule,
    /// The child is given Node's channel.
    pub(crate) with_channel: bool,
}

/// Merges the options over the policy of a pm-restart above, if there is one.
pub(crate) fn resolve(parsed: &Parsed) -> Result<Options, Failure> {
    let (mut name, mut env_file, mut rules) = (None, None, policy_options::inherited()?);
    let mut ready = ReadyRule::default();
    for (option, value) in &parsed.options {
        match *option {
            "env-file" => env_file = Some(PathBuf::from(value)),
            "ready" => ready.evidence = evidence(option, value)?,
            "ready-after" => ready.wait_for_listen(options::patience(option, value)?),
            "ready-timeout" => ready.timeout = options::duration(option, value)?,
            "name" => name = Some(options::text(option, value)?.to_owned()),
            _ => {
                policy_options::apply(&mut rules, option, value)?;
            }
        }
    }
    if parsed.rest.is_empty() {
        return Err(Failure::own("no program given; see pm-restart --help"));
    }
    chain::check(&PM_RESTART, &parsed.rest)?;
    let asks = |wanted: &str| parsed.options.iter().find(|(option, _)| *option == wanted);
    if asks("backoff").is_some() && asks("restart-delay").is_some() {
        return Err(Failure::own("--backoff and --restart-delay do not go together: give one of them"));
    }
    if asks("max-lag").is_some() && !names_cluster(&parsed.rest) {
        return Err(Failure::own(NEEDS_CLUSTER));
    }
    if let Some((option, _)) =
        ["ready", "ready-after", "ready-timeout"].into_iter().find_map(asks).filter(|_| names_cluster(&parsed.rest))
    {
        return Err(Failure::own(format!("--{option}: {BELONGS_TO_CLUSTER}")));
    }
    if let Some((option, _)) = ["ignore", "watch-delay"].into_iter().find_map(asks).filter(|_| rules.watch.is_empty()) {
        return Err(Failure::own(format!(
            "--{option} does nothing where no files are watched: --watch PATH --{option} ..."
        )));
    }
    let by_message = ready.evidence == ReadyBy::Message;
    let with_channel = locate::alone_with_channel(PM_RESTART.name, &parsed.rest, by_message, rules.stop_message)?;
    Ok(Options { name, env_file, rules, ready, with_channel })
}

fn evidence(option: &str, value: &OsStr) -> Result<ReadyBy, Failure> {
    match value.to_str() {
        // What a plain child was ready by once.
        Some("listen" | "alive") => Ok(ReadyBy::Listen),
        Some("message") => Ok(ReadyBy::Message),
        Some("notify") => Ok(ReadyBy::Notify),
        _ => Err(options::bad(option, value, "expected listen, message or notify")),
    }
}
