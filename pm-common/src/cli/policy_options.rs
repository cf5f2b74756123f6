//! The policy as options of a command line, and as the JSON of `PM_POLICY` on the way down the chain.

use std::ffi::OsStr;

use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::cli::report::{Failure, OrFail as _};
use crate::cli::{cron_pattern, globs, options, working_dir};
use crate::policy::exit::signal_number;
use crate::policy::hook_event::{Hook, HookEvent};
use crate::policy::rules::{Pause, Restart, Rules};
use crate::policy::time::Span;

/// The variable that carries the policy down the chain.
pub const PM_POLICY: &str = "PM_POLICY";

/// In place of a signal: `process.on('message')` hears 'shutdown'.
const MESSAGE: &str = "message";

/// The shortest interval of a memory check: below, the checking would be the load.
const SHORTEST_INTERVAL: Span = Span::millis(10);

/// More rotated files are not asked for on purpose: each rotation renames them all.
pub const MOST_LOGS: u64 = 1000;

/// The shortest lag that is one: less may be the machine's, when others are busy on it.
const SHORTEST_LAG: Span = Span::secs(1);

/// Applies one option to the policy; false if it is no option of the policy.
///
/// # Errors
/// A bad value: one clear line, exit code 125.
pub fn apply(rules: &mut Rules, option: &str, value: &OsStr) -> Result<bool, Failure> {
    match option {
        "max-mem" => rules.max_mem = Some(options::size(option, value)?),
        "restart" => rules.restart = restart(option, value)?,
        "stop-codes" => rules.stop_codes = codes(option, value)?,
        "backoff" => (rules.backoff, rules.restart_delay) = (backoff(option, value)?, None),
        "restart-delay" => rules.restart_delay = Some(pause(option, value)?),
        "stable" => rules.stable = options::duration(option, value)?,
        "intensity" => (rules.intensity, rules.window, rules.brief) = intensity(option, value)?,
        "grace" => rules.grace = options::duration(option, value)?,
        "stop-delay" => rules.stop_delay = options::duration(option, value)?,
        "stop-signal" if value == MESSAGE => rules.stop_message = true,
        "stop-signal" => rules.stop_signal = signal(option, value)?,
        "stop-group" => rules.stop_group = true,
        "max-lag" => rules.max_lag = Some(lag(option, value)?),
        "mem-interval" => rules.mem_interval = interval(option, value)?,
        "cron" => rules.cron.push(cron(option, value)?),
        "watch" => rules.watch.push(watched(option, value)?),
        "ignore" => rules.ignore.push(ignored(option, value)?),
        "watch-delay" => rules.watch_delay = options::duration(option, value)?,
        "on" => rules.hooks.push(hook(option, value)?),
        "log-size" if value == "none" => rules.log_size = None,
        "log-size" => rules.log_size = Some(options::log_size(option, value)?),
        "log-keep" => rules.log_keep = options::number(option, value, 0..=MOST_LOGS)? as u32,
        _ => return Ok(false),
    }
    Ok(true)
}

fn restart(option: &str, value: &OsStr) -> Result<Restart, Failure> {
    let word = value.to_str().and_then(Restart::from_word);
    word.ok_or_else(|| options::bad(option, value, "expected always, on-failure or never"))
}

fn codes(option: &str, value: &OsStr) -> Result<Vec<u8>, Failure> {
    let wrong = |_| options::bad(option, value, "expected exit codes from 0 to 255 such as 0,3");
    options::text(option, value)?.split(',').map(|code| code.trim().parse().map_err(wrong)).collect()
}

fn backoff(option: &str, value: &OsStr) -> Result<(Span, Span), Failure> {
    let wrong = || options::bad(option, value, "expected FIRST..LONGEST such as 100ms..15s");
    let (first, longest) = options::text(option, value)?.split_once("..").ok_or_else(wrong)?;
    let span = |text: &str| options::duration(option, OsStr::new(text)).map_err(|_| wrong());
    let (first, longest) = (span(first)?, span(longest)?);
    if first > longest { Err(wrong()) } else { Ok((first, longest)) }
}

fn pause(option: &str, value: &OsStr) -> Result<Pause, Failure> {
    let wrong = || options::bad(option, value, "expected a time such as 5s, or FIRST..LONGEST such as 100ms..15s");
    let text = options::text(option, value)?;
    let (first, longest) = text.split_once("..").unwrap_or((text, text));
    let span = |text: &str| options::duration(option, OsStr::new(text)).map_err(|_| wrong());
    let (first, longest) = (span(first)?, span(longest)?);
    if first > longest || first == Span::ZERO { Err(wrong()) } else { Ok(Pause { first, longest }) }
}

fn intensity(option: &str, value: &OsStr) -> Result<(u32, Span, Option<Span>), Failure> {
    let wrong = || options::bad(option, value, "expected RESTARTS/TIME such as 16/60s, or RESTARTS/TIME/UPTIME");
    let span = |text: &str| options::duration(option, OsStr::new(text)).ok().filter(|span| *span > Span::ZERO);
    let (most, times) = options::text(option, value)?.split_once('/').ok_or_else(wrong)?;
    let most = most.parse().map_err(|_| wrong())?;
    let (window, brief) = times.split_once('/').map_or((times, None), |(window, brief)| (window, Some(brief)));
    let brief = brief.map(|text| span(text).ok_or_else(wrong)).transpose()?;
    Ok((most, span(window).ok_or_else(wrong)?, brief))
}

fn signal(option: &str, value: &OsStr) -> Result<u8, Failure> {
    let number = value.to_str().and_then(signal_number);
    number.ok_or_else(|| options::bad(option, value, "expected a signal such as TERM, INT or 15, or message"))
}

fn interval(option: &str, value: &OsStr) -> Result<Span, Failure> {
    let span = options::duration(option, value)?;
    if span < SHORTEST_INTERVAL { Err(options::bad(option, value, "expected 10ms or more")) } else { Ok(span) }
}

fn lag(option: &str, value: &OsStr) -> Result<Span, Failure> {
    let span = options::duration(option, value)?;
    let short = "expected 1s or more: on a busy machine a worker that is well may wait for less";
    if span < SHORTEST_LAG { Err(options::bad(option, value, short)) } else { Ok(span) }
}

fn cron(option: &str, value: &OsStr) -> Result<String, Failure> {
    let pattern = options::text(option, value)?;
    cron_pattern::check(pattern).map_err(|reason| options::bad(option, value, &reason))?;
    Ok(pattern.to_owned())
}

/// The path as it is found from any directory: a link below may be in another.
fn watched(option: &str, value: &OsStr) -> Result<String, Failure> {
    match options::text(option, value)? {
        "" => Err(options::bad(option, value, "expected a file or a directory")),
        path => Ok(working_dir::absolute(path).or_fail(|| "cannot tell the working directory".to_owned())?),
    }
}

fn ignored(option: &str, value: &OsStr) -> Result<String, Failure> {
    let pattern = options::text(option, value)?;
    globs::check(pattern).map_err(|reason| options::bad(option, value, &reason))?;
    globs::anchored(pattern).or_fail(|| "cannot tell the working directory".to_owned())
}

/// `EVENT=CMD`.
fn hook(option: &str, value: &OsStr) -> Result<Hook, Failure> {
    hook_of(options::text(option, value)?).map_err(|why| options::bad(option, value, &why))
}

/// A command and what it is run for, of `EVENT=CMD`.
///
/// # Errors
/// What was expected.
pub fn hook_of(text: &str) -> Result<Hook, String> {
    let (event, command) = text.split_once('=').unwrap_or((text, ""));
    let Some(event) = HookEvent::from_word(event) else {
        let words: Vec<_> = HookEvent::ALL.iter().map(|event| event.word()).collect();
        return Err(format!("expected EVENT=CMD, and EVENT is one of {}", words.join(", ")));
    };
    match command.trim() {
        "" => Err(format!("expected a command behind {}=", event.word())),
        _ => Ok(Hook { event, command: command.to_owned() }),
    }
}

/// The policy that the chain above handed down; the defaults if none did.
///
/// # Errors
/// `PM_POLICY` is set and is not what a pm tool writes: exit code 125.
pub fn inherited() -> Result<Rules, Failure> {
    let Some(value) = std::env::var_os(PM_POLICY) else { return Ok(Rules::default()) };
    let parsed = value.to_str().and_then(|text| serde_json::from_str(text).ok());
    parsed
        .as_ref()
        .and_then(from_json)
        .ok_or_else(|| Failure::own(format!("{PM_POLICY} is not a policy: '{}'; unset it", value.to_string_lossy())))
}

/// The policy of such an object; `None`: a field of it is wrong.
#[must_use]
pub fn from_json(map: &Map<String, Value>) -> Option<Rules> {
    let rules = Rules::deserialize(map).ok()?;
    let (mem_interval, max_lag) = (rules.mem_interval.max(SHORTEST_INTERVAL), rules.max_lag);
    Some(Rules { mem_interval, max_lag: max_lag.map(|limit| limit.max(SHORTEST_LAG)), ..rules })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(pairs: &[(&str, &str)]) -> Result<Rules, Failure> {
        let mut rules = Rules::default();
        for (option, value) in pairs {
            assert!(apply(&mut rules, option, OsStr::new(value))?, "{option} is an option");
        }
        Ok(rules)
    }

    #[test]
    fn the_policy_survives_the_way_down_the_chain() {
        let rules = applied(&[
            ("max-mem", "150M"),
            ("restart", "on-failure"),
            ("stop-codes", "0,3"),
            ("backoff", "1ms..2s"),
            ("restart-delay", "100ms..15s"),
            ("stable", "3s"),
            ("intensity", "5/10s/2s"),
            ("grace", "4s"),
            ("stop-delay", "3s"),
            ("stop-signal", "SIGINT"),
            ("stop-group", ""),
            ("mem-interval", "500ms"),
            ("max-lag", "5s"),
            ("cron", "0 3 * * *"),
            ("cron", "@daily"),
            ("watch", "src"),
            ("watch", "/etc/app.json"),
            ("ignore", "*.{tmp,bak}"),
            ("ignore", "src/made"),
            ("watch-delay", "2s"),
            ("on", "crash=./alert.sh a=b"),
            ("on", "gave-up=./alert.sh"),
            ("log-size", "500K"),
            ("log-keep", "3"),
        ])
        .expect("good options");
        let json = json!(rules);
        assert_eq!(from_json(json.as_object().expect("an object")), Some(rules));
    }

    #[test]
    fn what_is_missing_keeps_its_default_and_what_is_wrong_is_refused() {
        assert_eq!(from_json(&Map::new()), Some(Rules::default()));
        for wrong in [json!({"restart": "maybe"}), json!({"stop_codes": [300]}), json!({"stable_ns": -1})] {
            assert_eq!(from_json(wrong.as_object().expect("an object")), None, "{wrong}");
        }
    }

    #[test]
    fn bad_values_are_one_clear_line() {
        for (option, value) in [
            ("restart", "sometimes"),
            ("stop-codes", "0,256"),
            ("stop-codes", ""),
            ("backoff", "15s..100ms"),
            ("backoff", "100ms"),
            ("restart-delay", "15s..100ms"),
            ("restart-delay", "0s"),
            ("restart-delay", "5"),
            ("intensity", "16"),
            ("intensity", "16/0"),
            ("intensity", "16/1s/0"),
            ("intensity", "16/1s/1s/1s"),
            ("stop-signal", "NOPE"),
            ("mem-interval", "0"),
            ("max-lag", "999ms"),
            ("max-lag", "5"),
            ("grace", "banana"),
            ("stop-delay", "5"),
            ("max-mem", "0"),
            ("cron", "0 25 * * *"),
            ("cron", "0 0 30 2 *"),
            ("cron", ""),
            ("watch", ""),
            ("ignore", ""),
            ("ignore", "[a"),
            ("ignore", "!a"),
            ("watch-delay", "5"),
            ("on", "crash"),
            ("on", "crash= "),
            ("on", "burn=./alert.sh"),
            ("log-size", "1K"),
            ("log-size", "10"),
            ("log-keep", "1001"),
        ] {
            let failure = applied(&[(option, value)]).expect_err(value);
            assert_eq!(failure.code, 125);
            assert!(failure.message.contains(option) && failure.message.lines().count() == 1, "{failure}");
        }
    }
}
