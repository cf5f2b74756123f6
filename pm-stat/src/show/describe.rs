//! `--describe`: all that is known of an app, for people.

use std::time::{Duration, UNIX_EPOCH};

use pm_common::app::home::start_brief;
use pm_common::app::status::SupervisorLine;
use pm_common::cli::shell;
use pm_common::policy::app_order::Stage;
use serde_json::{Map, Value};

use crate::check::{killed, orphans, suspended_supervisor, suspended_workers, without_above};
use crate::look::app::App;
use crate::show::policy_text;
use crate::show::row::{ERRORED, Row};
use crate::show::state_words;
use crate::show::table::{Entry, render};
use crate::show::text::{Now, bytes, clean, how, percent};
use crate::show::traffic;

/// The description of the app that all these rows are of.
pub(crate) fn describe(rows: &[Row<'_>], now: Now, room: Option<usize>, colour: bool) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let facts = facts(rows, first, &start_brief::whole(&first.app.dir, false));
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut text: String = facts.iter().map(|(key, value)| format!("{key:width$}  {}\n", clean(value))).collect();
    if rows.iter().any(|row| row.worker.is_some()) {
        let entries: Vec<_> = rows.iter().map(|row| Entry::of(row, now)).collect();
        text.push('\n');
        text.push_str(&render(&entries, room, colour));
    }
    text
}

fn facts(rows: &[Row<'_>], first: &Row<'_>, start: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let app = first.app;
    let [out, err] = app.logs();
    let told = |key: &str| start.get(key).and_then(start_brief::text);
    let used = rows.iter().filter_map(|row| row.usage.as_ref());
    let acting = app.acting();
    let facts = [
        ("name", Some(app.name.clone())),
        ("id", app.id().map(|id| id.to_string())),
        ("namespace", Some(app.namespace().to_owned())),
        ("status", Some(status(rows, first).to_owned())),
        ("gave up", gave_up(app)),
        ("mode", app.mode().map(str::to_owned)),
        ("workers", acting.map(|s| format!("{} wanted, {} ready", s.workers, s.ready))),
        ("restarts", Some(rows.iter().filter_map(|row| row.restarts).sum::<u64>().to_string())),
        (
            if app.runs() || rows.iter().any(|row| row.state == ERRORED) { "last restart" } else { "ended" },
            last_of(rows),
        ),
        ("roll", acting.and_then(roll)),
        ("memory", used.clone().next().map(|_| bytes(used.clone().map(|u| u.pss_bytes.unwrap_or(u.rss_bytes)).sum()))),
        ("cpu", used.clone().next().map(|_| percent(used.map(|u| u.cpu_pct).sum()))),
        ("listens on", acting.map(|s| s.addresses.join(", "))),
        ("adapter", adapters(rows)),
        ("connections", connections(rows)),
        ("supervisor", supervisors(app)),
        ("warning", warning(app)),
    ];
    let rules = acting.map(|s| policy_text::in_words(&s.policy)).unwrap_or_default();
    let started = [
        ("script", told("script")),
        ("command", start.get("argv").and_then(Value::as_array).map(|argv| command(argv))),
        ("directory", told("cwd")),
        ("starts after", start.get("after").and_then(Value::as_object).map(starts_after)),
        ("started", start.get("started_at_ms").and_then(Value::as_u64).map(date)),
        ("config", told("config")),
        ("stdout", Some(out.to_string_lossy().into_owned())),
        ("stderr", Some(err.to_string_lossy().into_owned())),
        ("state in", Some(app.dir.to_string_lossy().into_owned())),
    ];
    let rules = rules.into_iter().map(|(key, value)| (key, Some(value)));
    let all = facts.into_iter().chain(rules).chain(started);
    all.filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_empty())?))).collect()
}

fn warning(app: &App) -> Option<String> {
    let suspended = suspended_supervisor(app).or_else(|| suspended_workers(app));
    suspended.or_else(|| without_above(app)).or_else(|| orphans(app)).or_else(|| killed(app))
}

/// The status of the app's rows; where one serves, that of this one.
fn status(rows: &[Row<'_>], first: &Row<'_>) -> &'static str {
    let ready = rows.iter().filter(|row| row.is_ready());
    state_words::of(ready.min_by_key(|row| row.is_guess()).unwrap_or(first))
}

fn last_of(rows: &[Row<'_>]) -> Option<String> {
    let last = rows.iter().filter_map(|row| row.last).max_by_key(|last| last.at_ms)?;
    Some(format!("{} at {}", how(last), date(last.at_ms)))
}

/// Why its supervisor does not try any longer.
fn gave_up(app: &App) -> Option<String> {
    let workers = &app.words.as_ref().filter(|words| words.gave_up())?.workers;
    let restarts = workers.iter().map(|worker| worker.restarts).max().unwrap_or(0);
    let last = workers.iter().filter_map(|worker| worker.last.as_ref()).max_by_key(|last| last.at_ms);
    let times = match restarts {
        0 => "it was not restarted".to_owned(),
        1 => "after 1 restart".to_owned(),
        n => format!("after {n} restarts"),
    };
    Some(times + &last.map_or_else(String::new, |last| format!("; the last worker: {}", how(last))))
}

fn roll(told: &SupervisorLine) -> Option<String> {
    let roll = told.roll.as_ref()?;
    if let Some(run) = &roll.running {
        return Some(format!("under way: {} of {}, slot {} awaits {}", run.done, run.of, run.slot, run.awaiting));
    }
    let slot = roll.slot.map_or_else(String::new, |slot| format!("slot {slot}: "));
    Some(match roll.ok? {
        true => format!("number {} ended well", roll.ended),
        false => format!("number {} was aborted: {slot}{}", roll.ended, roll.reason),
    })
}

/// How the workers came by what they listen on.
fn adapters(rows: &[Row<'_>]) -> Option<String> {
    let mut all: Vec<_> = rows.iter().filter_map(|row| row.worker?.adapter.as_deref()).collect();
    all.sort_unstable();
    all.dedup();
    Some(all.join(", "))
}

fn connections(rows: &[Row<'_>]) -> Option<String> {
    let known: Vec<u64> = rows.iter().filter_map(|row| row.traffic.connections).collect();
    let open = if known.is_empty() { None } else { Some(format!("{} open", known.iter().sum::<u64>())) };
    let waiting = traffic::waiting(rows).map(|n| format!("{n} waiting to be accepted"));
    Some([open, waiting].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn supervisors(app: &App) -> Option<String> {
    let mut all: Vec<_> = app.sight.statuses.iter().map(|s| &s.supervisor).collect();
    all.sort_by_key(|s| (s.start, s.pid));
    let texts: Vec<_> = all.iter().map(|s| format!("{} {} (pid {})", s.tool, s.version, s.pid)).collect();
    Some(texts.join(", "))
}

/// `db, cache (started)`.
fn starts_after(after: &Map<String, Value>) -> String {
    let one = |(app, stage): (&String, &Value)| {
        let started = stage.as_str() == Some(Stage::Started.word());
        format!("{app}{}", if started { " (started)" } else { "" })
    };
    after.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The command as a shell would take it.
fn command(argv: &[Value]) -> String {
    let words: Vec<_> =
        argv.iter().filter_map(start_brief::text).map(|word| shell::quoted(&word).into_owned()).collect();
    words.join(" ")
}

/// A moment, to the second, in UTC.
fn date(at_ms: u64) -> String {
    // Beyond the year 9999 there is no such form; a clock may say anything.
    let at_ms = at_ms.min(253_402_300_799_000);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        let argv = [Value::from("node"), Value::from("a b.js"), Value::from("it's"), Value::from("")];
        assert_eq!(command(&argv), "node 'a b.js' 'it'\\''s' ''");
    }

    #[test]
    fn any_clock_has_a_date() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
