//! The command line of pm-restart.

use std::ffi::OsString;
use std::path::PathBuf;

use pm_common::options::{self, Parsed, Tool, opt};
use pm_common::policy::rules::Rules;
use pm_common::policy_options::{self, GRACE, STOP_DELAY, STOP_GROUP, STOP_SIGNAL};
use pm_common::report::Failure;

/// pm-restart, as its command line sees it.
pub const TOOL: Tool = Tool {
    name: "pm-restart",
    usage: "[options] CHAIN...",
    about: "Keeps CHAIN running: restarts it when it ends or grows too fat. pm-cluster in CHAIN applies the\n\
            same policy to each of its workers.",
    options: &[
        opt("name", "NAME", "the app's name (derived from CHAIN)"),
        opt("max-mem", "SIZE", "most memory of a worker's process tree: 512M, 2G (no limit)"),
        opt("max-lag", "TIME", "longest that a pm-cluster's worker keeps clients waiting (no limit)"),
        opt("restart", "WHEN", "always, on-failure or never (always)"),
        opt("stop-codes", "LIST", "exit codes after which it is not restarted: 0,3"),
        opt("backoff", "MIN..MAX", "delay between failed starts, doubling (100ms..15s)"),
        opt("stable", "TIME", "up this long, earlier failures are forgotten (10s)"),
        opt("intensity", "N/TIME", "more restarts than N within TIME: give up (16/60s)"),
        GRACE,
        STOP_DELAY,
        STOP_SIGNAL,
        STOP_GROUP,
        opt("env-file", "FILE", "variables for CHAIN; HUP reads them again where it is no supervisor"),
        opt("mem-interval", "TIME", "how often memory is looked at, with --max-mem (1s)"),
    ],
    examples: "  pm-restart node app.js\n  pm-restart --max-mem 512M pm-cluster -n 0 node app.js\n",
    elsewhere: &[
        ("-n", BELONGS_TO_CLUSTER),
        ("--workers", BELONGS_TO_CLUSTER),
        ("--ready", BELONGS_TO_CLUSTER),
        ("--ready-timeout", BELONGS_TO_CLUSTER),
        ("--balance", BELONGS_TO_CLUSTER),
        ("--soak", BELONGS_TO_CLUSTER),
        ("-i", "copies are made by pm-cluster, behind: pm-restart [options] pm-cluster -n N PROG ARGS..."),
        ("--max-memory-restart", "the limit is --max-mem"),
    ],
};

const BELONGS_TO_CLUSTER: &str =
    "it belongs to pm-cluster, behind: pm-restart [options] pm-cluster [options] PROG ARGS...";
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
}

/// Merges the options over the policy of a pm-restart above, if there is one.
pub(crate) fn resolve(parsed: &Parsed) -> Result<Options, Failure> {
    let (mut name, mut env_file, mut rules) = (None, None, policy_options::inherited()?);
    for (option, value) in &parsed.options {
        match *option {
            "env-file" => env_file = Some(PathBuf::from(value)),
            "name" => name = Some(options::text(option, value)?.to_owned()),
            _ => {
                policy_options::apply(&mut rules, option, value)?;
            }
        }
    }
    if parsed.rest.is_empty() {
        return Err(Failure::own("no program given; see pm-restart --help"));
    }
    if parsed.options.iter().any(|(option, _)| *option == "max-lag") && !names_cluster(&parsed.rest) {
        return Err(Failure::own(NEEDS_CLUSTER));
    }
    Ok(Options { name, env_file, rules })
}

#[cfg(test)]
mod tests {
    use super::TOOL;

    #[test]
    fn the_manual_names_every_option() {
        assert_eq!(TOOL.undocumented(include_str!("../../man/pm-restart.1")), Vec::<String>::new());
    }

    #[test]
    fn the_help_fits_a_screen() {
        let help = TOOL.help();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
}
