//! The policy of an app's supervisor, in words.

use pm_common::app::status::SET_TIME;
use pm_common::cli::{cron_pattern, policy_options};
use pm_common::policy::exit::signal_name;
use pm_common::policy::rules::{Restart, Rules};
use pm_common::policy::time::Span;
use serde_json::{Map, Value};

use crate::show::text::bytes;

/// What a supervisor does with its workers, as it says in its status file: `--describe` has a line for each.
pub(super) fn in_words(policy: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let Some(rules) = policy_options::from_json(policy) else { return Vec::new() };
    let limit = rules.max_mem.map(|most| format!("{} each, looked at every {}", bytes(most), rules.mem_interval));
    let lag = rules.max_lag.map(|most| format!("{most} at most"));
    let stay = policy.get("sticky") == Some(&Value::Bool(true));
    let is = |key: &str, what: bool| policy.get(key) == Some(&Value::Bool(what));
    let ends_first = is("overlap", false) && is("shares", true);
    let all = [
        ("ready when", ready(policy)),
        ("is restarted", Some(restarted(&rules))),
        ("is stopped by", Some(stopped(&rules))),
        ("at set times", set_times(&rules, policy)),
        ("watches", watched(&rules)),
        ("runs", hooks(&rules)),
        ("memory limit", limit),
        ("clients wait", lag),
        ("is reloaded by", ends_first.then(|| "an end of the old worker, then the start of the new".to_owned())),
        ("clients stay", stay.then(|| "those of one address with one worker".to_owned())),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// What shows that a worker is ready. `None`: the supervisor does not say.
fn ready(policy: &Map<String, Value>) -> Option<String> {
    let span = |key: &str| policy.get(key).and_then(Value::as_u64).map(Span);
    let by = match policy.get("ready")?.as_str()? {
        "message" => "it has called process.send('ready')".to_owned(),
        "notify" => "it has said READY=1".to_owned(),
        "health" => "its health check is answered".to_owned(),
        _ => {
            span("listen_ns").map_or_else(|| "it listens".to_owned(), |long| format!("it listens, or lives for {long}"))
        }
    };
    Some(by + &span("ready_timeout_ns").map_or_else(String::new, |within| format!("; within {within}")))
}

fn restarted(rules: &Rules) -> String {
    let when = match rules.restart {
        Restart::Always => "always",
        Restart::OnFailure => "after a failure",
        Restart::Never => return "never".to_owned(),
    };
    let codes: Vec<_> = rules.stop_codes.iter().map(u8::to_string).collect();
    let but = if codes.is_empty() { String::new() } else { format!(" but not after exit {}", codes.join(", ")) };
    let delay = match rules.restart_delay {
        Some(pause) if pause.first == pause.longest => format!("after {}", pause.first),
        Some(pause) => format!("after {}, growing to {}", pause.first, pause.longest),
        None => format!("at once, then after {} growing to {}", rules.backoff.0, rules.backoff.1),
    };
    let brief = rules.brief.map_or_else(String::new, |least| format!(" of one that lived less than {least}"));
    let (most, window) = (rules.intensity, rules.window);
    let s = if most == 1 { "" } else { "s" };
    format!("{when}{but}, {delay}; given up after {most} restart{s}{brief} in {window}")
}

fn set_times(rules: &Rules, policy: &Map<String, Value>) -> Option<String> {
    let next = policy
        .get(SET_TIME)
        .and_then(Value::as_u64)
        .map_or_else(String::new, |at| format!("; next {}", cron_pattern::in_words(at)));
    (!rules.cron.is_empty()).then(|| format!("{}{next}", rules.cron.join(" and ")))
}

fn watched(rules: &Rules) -> Option<String> {
    let without = match rules.ignore.as_slice() {
        [] => String::new(),
        patterns => format!(" without {}", patterns.join(" and ")),
    };
    let delay = rules.watch_delay;
    (!rules.watch.is_empty())
        .then(|| format!("{}{without}; started anew {delay} after the last change", rules.watch.join(" and ")))
}

fn hooks(rules: &Rules) -> Option<String> {
    let each: Vec<_> = rules.hooks.iter().map(|hook| format!("at {}: {}", hook.event.word(), hook.command)).collect();
    (!each.is_empty()).then(|| each.join("; "))
}

fn stopped(rules: &Rules) -> String {
    let signal = signal_name(rules.stop_signal).map_or_else(|| format!("signal {}", rules.stop_signal), str::to_owned);
    let by = if rules.stop_message { format!("the message 'shutdown', else {signal}") } else { signal };
    let whom = if rules.stop_group { " to its process group" } else { "" };
    let later = match rules.stop_delay {
        Span::ZERO => String::new(),
        delay => format!(", {delay} after TERM"),
    };
    format!("{by}{whom}{later}; killed {} later", rules.grace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_told_in_words() {
        let said = |policy: Value| in_words(policy.as_object().expect("an object"));
        assert_eq!(
            said(json!({})),
            [
                (
                    "is restarted",
                    "always, at once, then after 100 ms growing to 15 s; given up after 16 restarts in 60 s".to_owned()
                ),
                ("is stopped by", "TERM; killed 8 s later".to_owned()),
            ]
        );
        let all = json!({"ready": "message", "ready_timeout_ns": 3_000_000_000_u64, "restart": "on-failure",
            "stop_codes": [0, 3], "restart_delay_ns": [100_000_000, 15_000_000_000_u64], "intensity": 1,
            "window_ns": 6_700_000_000_u64, "brief_ns": 1_000_000_000, "stop_message": true, "stop_signal": 2,
            "stop_group": true, "stop_delay_ns": 5_000_000_000_u64, "grace_ns": 1_600_000_000, "max_mem": 536_870_912,
            "max_lag_ns": 5_000_000_000_u64, "sticky": true, "cron": ["0 3 * * *", "@weekly"],
            "watch": ["/srv/src", "/srv/app.json"], "ignore": ["*.tmp", "/srv/src/made"], 
            "on": [{"event": "crash", "command": "./alert.sh"}, {"event": "gave-up", "command": "./page.sh 1"}]});
        let told = said(all).iter().map(|(key, value)| format!("{key}: {value}\n")).collect::<String>();
        assert_eq!(
            told,
            "ready when: it has called process.send('ready'); within 3 s\n\
             is restarted: after a failure but not after exit 0, 3, after 100 ms, growing to 15 s; given up after 1 restart \
             of one that lived less than 1 s in 6700 ms\n\
             is stopped by: the message 'shutdown', else INT to its process group, 5 s after TERM; killed 1600 ms later\n\
             at set times: 0 3 * * * and @weekly\n\
             watches: /srv/src and /srv/app.json without *.tmp and /srv/src/made; started anew 200 ms after the last change\n\
             runs: at crash: ./alert.sh; at gave-up: ./page.sh 1\n\
             memory limit: 512.0mb each, looked at every 1 s\n\
             clients wait: 5 s at most\n\
             clients stay: those of one address with one worker\n"
        );
        assert!(said(json!({"restart": "never"})).contains(&("is restarted", "never".to_owned())));
        assert!(said(json!({"restart": "maybe"})).is_empty(), "of another version");
    }

    #[test]
    fn what_shows_that_it_is_ready_is_told() {
        for (policy, wanted) in [
            (json!({"ready": "listen", "listen_ns": 5_000_000_000_u64}), Some("it listens, or lives for 5 s")),
            (json!({"ready": "listen", "listen_ns": null}), Some("it listens")),
            (json!({"ready": "health"}), Some("its health check is answered")),
            (json!({}), None),
        ] {
            assert_eq!(ready(policy.as_object().expect("an object")).as_deref(), wanted);
        }
    }
}
