//! `--sort`: the order of the rows of the table. Pure.

use std::cmp::Ordering;
use std::ffi::OsStr;

use pm_common::cli::options;
use pm_common::cli::report::Failure;

use crate::show::table::Entry;

/// How two entries compare.
type Compare = fn(&Entry, &Entry) -> Ordering;

/// What can be sorted by, in PM2's words and ours.
const FIELDS: [(&str, Compare); 9] = [
    ("name", |a, b| a.app.cmp(&b.app)),
    ("id", |a, b| a.id.cmp(&b.id)),
    ("namespace", |a, b| a.namespace.cmp(&b.namespace)),
    ("pid", |a, b| a.pid.cmp(&b.pid)),
    ("cpu", |a, b| figure(a.cpu_pct).total_cmp(&figure(b.cpu_pct))),
    ("memory", |a, b| a.memory.cmp(&b.memory)),
    ("uptime", |a, b| figure(a.uptime_s).total_cmp(&figure(b.uptime_s))),
    ("restarts", |a, b| a.restarts.cmp(&b.restarts)),
    ("status", |a, b| a.status.cmp(b.status)),
];

fn figure(value: Option<f64>) -> f64 {
    value.unwrap_or(-1.0)
}

/// An order.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    compare: Compare,
    reversed: bool,
}

impl Order {
    /// `FIELD`, `FIELD:asc` or `FIELD:desc`.
    ///
    /// # Errors
    /// 125: it is none of these.
    pub fn parse(option: &str, value: &OsStr) -> Result<Self, Failure> {
        let wrong = || {
            let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
            options::bad(option, value, &format!("expected FIELD or FIELD:desc, FIELD one of {}", names.join(", ")))
        };
        let text = value.to_str().ok_or_else(wrong)?;
        let (name, direction) = text.split_once(':').unwrap_or((text, "asc"));
        let (_, compare) = FIELDS.iter().find(|(field, _)| *field == name).ok_or_else(wrong)?;
        match direction {
            "asc" | "desc" => Ok(Self { compare: *compare, reversed: direction == "desc" }),
            _ => Err(wrong()),
        }
    }

    /// Sorts the entries; those that are the same stay in the order of app and slot.
    pub(crate) fn sort(self, entries: &mut [Entry]) {
        entries.sort_by(|a, b| {
            let order = (self.compare)(a, b);
            if self.reversed { order.reverse() } else { order }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(by: &str) -> Result<String, Failure> {
        let entry = |app: &str, id, memory, cpu_pct, status| Entry {
            app: app.to_owned(),
            id: Some(id),
            memory,
            cpu_pct,
            status,
            ..Entry::default()
        };
        let mut entries = [
            entry("a", 2, None, None, "stopped"),
            entry("b", 0, Some(7), Some(0.5), "online"),
            entry("c", 1, Some(9), Some(0.0), "online"),
        ];
        Order::parse("sort", OsStr::new(by))?.sort(&mut entries);
        Ok(entries.iter().map(|entry| entry.app.as_str()).collect())
    }

    #[test]
    fn the_rows_stand_by_any_field_both_ways() {
        for (by, wanted) in [
            ("name", "abc"),
            ("name:desc", "cba"),
            ("id:asc", "bca"),
            ("memory", "abc"),
            ("memory:desc", "cba"),
            ("cpu:desc", "bca"),
            ("status", "bca"),
            ("pid", "abc"),
        ] {
            assert_eq!(sorted(by).expect(by), wanted, "{by}");
        }
        for wrong in ["", "size", "cpu:up", "cpu:", ":desc"] {
            assert_eq!(sorted(wrong).expect_err(wrong).code, 125, "{wrong}");
        }
    }
}
