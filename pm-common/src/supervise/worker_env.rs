//! The environment of workers: what each link sets for its children, and what it drops. Which one a reload gives is
//! decided in `release::at_reload`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Variables that speak to us, or to the one process they were made for; no child gets them as they are.
///
/// PM_PRELOAD, PM_LINGER_MS and PM_DRAIN_SIGNAL tell the drain script of a cluster above what it added to NODE_OPTIONS.
const OURS: [&str; 18] = [
    "PM_POLICY",
    "PM_APP",
    "PM_DIR",
    "PM_SLOT",
    "PM_GENERATION",
    "PM_PRELOAD",
    "PM_LINGER_MS",
    "PM_DRAIN_SIGNAL",
    "NOTIFY_SOCKET",
    "FDSTORE",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
];

/// Our own environment without what is meant for us alone.
#[must_use]
pub fn base() -> Vec<(OsString, OsString)> {
    without_ours(std::env::vars_os().collect())
}

fn without_ours(mut env: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let script = env.iter().find(|(key, _)| key == "PM_PRELOAD").map(|(_, text)| text.clone());
    if let Some((_, options)) = env.iter_mut().find(|(key, _)| key == "NODE_OPTIONS")
        && let Some(text) = script
    {
        *options = without_script(options, &text);
    }
    env.retain(|(key, value)| key != "NODE_OPTIONS" || !value.as_bytes().trim_ascii().is_empty());
    env.retain(|(key, _)| !OURS.iter().any(|ours| key == ours));
    env
}

/// NODE_OPTIONS without the text that a cluster above has added for its own workers (as the drain script does it in
/// Node): its file may be gone before we are.
#[must_use]
pub fn without_script(options: &OsStr, text: &OsStr) -> OsString {
    let (all, text) = (options.as_bytes(), text.as_bytes());
    let at = if text.is_empty() { None } else { all.windows(text.len()).rposition(|part| part == text) };
    let Some(at) = at else { return options.to_owned() };
    let (before, after) = (all.get(..at).unwrap_or_default(), all.get(at + text.len()..).unwrap_or_default());
    OsString::from_vec([before, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let env = pairs.iter().map(|(key, value)| (key.into(), value.into()));
        let text = |text: OsString| text.into_string().expect("UTF-8");
        without_ours(env.collect()).into_iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    fn options(value: &str) -> Vec<(String, String)> {
        vec![("NODE_OPTIONS".to_owned(), value.to_owned())]
    }

    #[test]
    fn what_speaks_to_one_process_is_dropped_and_the_rest_kept() {
        let env =
            of(&[("PATH", "/bin"), ("PM_SLOT", "1"), ("PM_LINGER_MS", "1"), ("PM_HOME", "/x"), ("PM_PRELOAD", "-")]);
        let names: Vec<_> = env.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["PATH", "PM_HOME"]);
    }

    /// The script of a cluster above is that cluster's: its file goes with it.
    #[test]
    fn the_script_of_a_cluster_above_is_taken_out_of_the_options() {
        let ours = "--require \"/tmp/pm-drain-1/drain.cjs\"";
        assert_eq!(of(&[("NODE_OPTIONS", ours), ("PM_PRELOAD", ours)]), []);
        let added = format!(" {ours}");
        let both = format!("--no-warnings{added}");
        assert_eq!(of(&[("PM_PRELOAD", &added), ("NODE_OPTIONS", &both)]), options("--no-warnings"));
        let more = format!("{both} --more");
        assert_eq!(of(&[("NODE_OPTIONS", &more), ("PM_PRELOAD", &added)]), options("--no-warnings --more"));
    }

    #[test]
    fn options_without_it_stay_as_they_are() {
        assert_eq!(of(&[("NODE_OPTIONS", "--no-warnings")]), options("--no-warnings"));
        assert_eq!(of(&[("NODE_OPTIONS", "--no-warnings"), ("PM_PRELOAD", "--other")]), options("--no-warnings"));
        assert_eq!(of(&[("NODE_OPTIONS", "--no-warnings"), ("PM_PRELOAD", "")]), options("--no-warnings"));
    }
}
