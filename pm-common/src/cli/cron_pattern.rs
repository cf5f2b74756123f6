//! Patterns of cron: which are good, and when the next time comes.
//!
//! A pattern has five fields, or six where the first is of seconds; names, ranges, steps, lists and `@daily` and its like
//! are understood (croner). Times are those of the machine's zone, unless a pattern begins with `CRON_TZ=ZONE` or the
//! variable of this name is set, as in crontab(5). A time that the change to summer time leaves out comes when the gap
//! ends; one that comes twice in autumn counts once, unless the hour is a wildcard. What is done where somebody sets the clock:
//! `policy::cron_schedule`.

use std::env;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::policy::cron_schedule::Recurring;
use crate::sys::clock;

/// What names the zone, in the environment and in front of a pattern.
const CRON_TZ: &str = "CRON_TZ";

/// A pattern, and its zone.
#[derive(Debug, Clone)]
pub struct CronPattern {
    cron: Cron,
    zone: TimeZone,
    /// The pattern names an hour and a minute.
    fixed: bool,
}

impl CronPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn read(pattern: &str) -> Result<Self, String> {
        let pattern = pattern.trim();
        let (zone, fields) = match pattern.strip_prefix(CRON_TZ).and_then(|rest| rest.strip_prefix('=')) {
            Some(rest) => {
                let (name, fields) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (Some(name.to_owned()), fields.trim())
            }
            None => (env::var(CRON_TZ).ok().filter(|name| !name.is_empty()), pattern),
        };
        let zone = match zone {
            Some(name) => TimeZone::get(&name).map_err(|_| format!("{CRON_TZ} names no time zone: '{name}'"))?,
            None => TimeZone::system(),
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let wanted = "expected a pattern of cron such as '0 3 * * *' (minute hour day month weekday)";
        let cron = parser.parse(fields).map_err(|error| format!("{wanted}: {}", reason(error)))?;
        Ok(Self { cron, zone, fixed: is_fixed(fields) })
    }
}

impl Recurring for CronPattern {
    fn is_fixed(&self) -> bool {
        self.fixed
    }

    fn after(&self, now: u64) -> Option<u64> {
        let from = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
        let found: Zoned = self.cron.find_next_occurrence(&from.to_zoned(self.zone.clone()), false).ok()?;
        u64::try_from(found.timestamp().as_millisecond()).ok()
    }
}

fn is_fixed(fields: &str) -> bool {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    match fields.as_slice() {
        [word] => !word.eq_ignore_ascii_case("@hourly"),
        [time @ .., _day, _month, _weekday] => time.iter().all(|field| !field.contains('*')),
        _ => true,
    }
}

/// Checks that the pattern is one, and that its time comes.
///
/// # Errors
/// What is wrong, for people.
pub fn check(pattern: &str) -> Result<(), String> {
    let time = CronPattern::read(pattern)?;
    time.after(clock::wall_ms()).map(|_| ()).ok_or_else(|| "such a time never comes".to_owned())
}

/// Today's date and time of a moment (milliseconds since 1970) in the machine's zone, for people.
#[must_use]
pub fn in_words(at: u64) -> String {
    let moment = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    moment.map_or_else(String::new, |moment| {
        moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    })
}

fn reason(error: CronError) -> String {
    let text = match error {
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => text,
        other => other.to_string(),
    };
    text.trim_end_matches('.').trim_end_matches(" when years are disallowed").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds since 1970 of a time in UTC, such as `2026-03-29T00:30:00Z`.
    fn ms(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().expect(text).as_millisecond()).expect("after 1970")
    }

    fn after(pattern: &str, from: &str) -> Option<u64> {
        check(pattern).expect(pattern);
        CronPattern::read(pattern).expect(pattern).after(ms(from))
    }

    #[test]
    fn the_next_time_is_found() {
        for (pattern, from, next) in [
            ("0 3 * * *", "2026-11-29T02:59:59Z", "2026-11-29T03:00:00Z"),
            ("0 3 * * *", "2026-11-29T03:00:00Z", "2026-11-30T03:00:00Z"),
            ("*/15 * * * *", "2026-11-29T03:01:00Z", "2026-11-29T03:15:00Z"),
            ("*/10 * * * * *", "2026-11-29T03:01:01Z", "2026-11-29T03:01:10Z"),
            ("30 4 1,15 * 5", "2026-11-29T00:00:00Z", "2026-12-01T04:30:00Z"),
            ("0 0 * jan-MAR mon", "2026-11-29T00:00:00Z", "2027-01-04T00:00:00Z"),
            ("@daily", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"),
            ("@hourly", "2026-11-29T00:00:00Z", "2026-11-29T01:00:00Z"),
            ("0 0 29 2 *", "2026-11-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            let pattern = format!("CRON_TZ=UTC {pattern}");
            assert_eq!(after(&pattern, from), Some(ms(next)), "{pattern} after {from}");
        }
    }

    #[test]
    fn summer_time_neither_skips_a_day_nor_doubles_it() {
        // In Berlin 02:00 to 03:00 was left out on 2026-03-29, and came twice on 2026-10-25.
        let daily = "CRON_TZ=Europe/Berlin 30 2 * * *";
        assert_eq!(after(daily, "2026-03-28T12:00:00Z"), Some(ms("2026-03-29T01:00:00Z")), "as the gap ends");
        assert_eq!(after(daily, "2026-03-29T01:00:00Z"), Some(ms("2026-03-30T00:30:00Z")));
        assert_eq!(after(daily, "2026-10-24T12:00:00Z"), Some(ms("2026-10-25T00:30:00Z")));
        assert_eq!(after(daily, "2026-10-25T00:30:00Z"), Some(ms("2026-10-26T01:30:00Z")), "once");
    }

    #[test]
    fn patterns_that_name_hour_and_minute_are_told_from_others() {
        for fixed in ["0 3 * * *", "0,30 1-5 * * *", "10 0 3 * * *", "@daily", "@Weekly"] {
            assert!(CronPattern::read(fixed).expect(fixed).is_fixed(), "{fixed}");
        }
        for wild in ["* 3 * * *", "0 * * * *", "*/15 3 * * *", "0 */2 * * *", "* 0 3 * * *", "@hourly"] {
            assert!(!CronPattern::read(wild).expect(wild).is_fixed(), "{wild}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("", "expected a pattern of cron"),
            ("* * * *", "expected a pattern of cron"),
            ("* * * * * * 2030", "expected a pattern of cron"),
            ("60 * * * *", "expected a pattern of cron"),
            ("every night", "expected a pattern of cron"),
            ("0 0 30 2 *", "never comes"),
            ("CRON_TZ=Nowhere/City 0 3 * * *", "no time zone: 'Nowhere/City'"),
            ("CRON_TZ=UTC", "expected a pattern of cron"),
        ] {
            let said = check(pattern).expect_err(pattern);
            assert!(said.contains(reason) && said.lines().count() == 1, "{pattern}: {said}");
        }
    }
}
