//! What the command line asks for.

use std::ffi::OsString;

use pm_common::cli::options;
use pm_common::cli::report::Failure;
use pm_common::policy::time::Span;

use crate::show::order::Order;
use crate::wait::Wait;

/// The options that each say what is to be done; more than one of them is a mistake.
const ACTIONS: [&str; 9] = ["table", "top", "follow", "describe", "check", "openmetrics", "jlist", "match", "wait"];
/// The options that go with some of the actions only (`lines`: with none at all).
const COMPANIONS: [(&str, &[&str]); 6] = [
    ("sort", &["table"]),
    ("env", &["jlist"]),
    ("interval", &["follow"]),
    ("timeout", &["wait"]),
    ("since", &["wait"]),
    ("pss", &["lines", "table", "top", "follow", "describe", "openmetrics", "jlist"]),
];

/// The form of what is printed once.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A JSON line for each worker.
    Lines,
    /// A table for people.
    Table {
        /// By what its rows stand; `None`: by app and slot.
        order: Option<Order>,
    },
    /// All that is known, for people.
    Describe,
    /// Figures for a collector.
    Metrics,
    /// One JSON array as programs written for PM2 read it.
    Jlist {
        /// With the environment of each app.
        env: bool,
    },
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Mode {
    Once { form: Form, pss: bool },
    Check,
    Follow { interval: Option<Span>, pss: bool },
    Top { pss: bool },
    Match,
    Wait(Wait),
}

impl Mode {
    /// What the options ask for.
    ///
    /// # Errors
    /// 125: a bad value, options that do not go together.
    pub(crate) fn from_options(given: &[(&'static str, OsString)], apps: &[OsString]) -> Result<Self, Failure> {
        let action = action(given)?;
        let has = |option: &str| given.iter().any(|(o, _)| *o == option);
        let once = |form| Self::Once { form, pss: has("pss") };
        Ok(match action {
            "wait" => Self::Wait(Wait::from_options(given, apps)?),
            "match" if apps.is_empty() => return Err(Failure::own("--match needs a TARGET; see pm-stat --help")),
            "match" => Self::Match,
            "jlist" => once(Form::Jlist { env: has("env") }),
            "check" => Self::Check,
            "top" => Self::Top { pss: has("pss") },
            "follow" => Self::Follow { interval: interval(given)?, pss: has("pss") },
            "describe" if apps.is_empty() => return Err(Failure::own("--describe needs an APP; see pm-stat --help")),
            "describe" => once(Form::Describe),
            "openmetrics" => once(Form::Metrics),
            "table" => once(Form::Table { order: order(given)? }),
            _ => once(Form::Lines),
        })
    }
}

fn order(given: &[(&'static str, OsString)]) -> Result<Option<Order>, Failure> {
    let asked = given.iter().rfind(|(option, _)| *option == "sort");
    asked.map(|(option, value)| Order::parse(option, value)).transpose()
}

/// How often to print figures. Below a tenth of a second there is nothing to be measured.
fn interval(given: &[(&'static str, OsString)]) -> Result<Option<Span>, Failure> {
    let Some((option, value)) = given.iter().rfind(|(option, _)| *option == "interval") else { return Ok(None) };
    let interval = options::duration(option, value)?;
    if interval < Span::millis(100) {
        return Err(options::bad(option, value, "at least 100ms"));
    }
    Ok(Some(interval))
}

/// The one action that was asked for; `lines` if none was.
fn action(given: &[(&'static str, OsString)]) -> Result<&'static str, Failure> {
    let mut actions = given.iter().map(|(option, _)| *option).filter(|option| ACTIONS.contains(option));
    let action = actions.next().unwrap_or("lines");
    if let Some(other) = actions.find(|other| *other != action) {
        return Err(Failure::own(format!("--{action} and --{other} do not go together")));
    }
    let lonely = COMPANIONS
        .iter()
        .find(|(option, with)| given.iter().any(|(given, _)| given == option) && !with.contains(&action));
    match lonely {
        None => Ok(action),
        Some((option, with)) => {
            let with: Vec<_> =
                with.iter().map(|w| if *w == "lines" { "JSON lines".to_owned() } else { format!("--{w}") }).collect();
            Err(Failure::own(format!("--{option} goes with {} alone", with.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(options: &[(&'static str, &str)], apps: &[&str]) -> Result<Mode, String> {
        let options: Vec<_> = options.iter().map(|(option, value)| (*option, OsString::from(value))).collect();
        let apps: Vec<_> = apps.iter().map(OsString::from).collect();
        Mode::from_options(&options, &apps).map_err(|failure| {
            assert_eq!(failure.code, 125, "{failure}");
            failure.message
        })
    }

    #[test]
    fn one_thing_is_done() {
        assert!(matches!(mode(&[], &["a", "b"]), Ok(Mode::Once { form: Form::Lines, pss: false })));
        assert!(matches!(mode(&[("pss", ""), ("table", ""), ("table", "")], &[]), Ok(Mode::Once { pss: true, .. })));
        assert!(matches!(mode(&[("wait", "ready")], &["a"]), Ok(Mode::Wait(_))));
        for (options, part) in [
            (&[("table", ""), ("jlist", "")] as &[_], "--table and --jlist do not go together"),
            (&[("timeout", "1s")], "--timeout goes with --wait alone"),
            (&[("env", "")], "--env goes with --jlist alone"),
            (&[("wait", "ready"), ("pss", "")], "--pss goes with JSON lines, --table"),
            (&[("match", "")], "TARGET"),
        ] {
            let message = mode(options, &[]).expect_err("refused");
            assert!(message.contains(part), "{message}");
        }
    }
}
