//! How often the worker of a slot was replaced, as people count it: from the last `reset` on, and over a restart of the app,
//! which has new supervisors that count from 0.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{Id, Status, SupervisorLine, WorkerLine};
use crate::app::home;

/// The file in the app's directory with the counts at the last reset.
const RESET: &str = "reset";
/// The file with the counts up to the last restart.
const BEFORE: &str = "restarts";
/// The most that is read of either, in bytes.
const LARGEST: u64 = 4 << 20;

/// What is to be added to, and taken from, the counts of the supervisors.
#[derive(Debug, Default)]
pub struct Counts {
    /// By the first of a line of supervisors, and slot: those of another line started at 0 anyway.
    reset: BTreeMap<(Id, u64), u64>,
    /// By slot.
    before: BTreeMap<u64, u64>,
}

impl Counts {
    /// Reads the counts of the app in `dir`.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let text = |name: &str| home::read_file(dir, name, LARGEST).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text(RESET)), &String::from_utf8_lossy(&text(BEFORE)))
    }

    fn parse(reset: &str, before: &str) -> Self {
        let number = |line: &Value, key: &str| line.get(key).and_then(Value::as_u64);
        let slot = |line: &Value| Some((number(line, "slot")?, number(line, "restarts")?));
        Self {
            reset: values(reset).filter_map(|l| entry(&l)).collect(),
            before: values(before).filter_map(|l| slot(&l)).collect(),
        }
    }

    /// How often the slot of this worker had another one.
    #[must_use]
    pub fn of(&self, supervisor: &SupervisorLine, worker: &WorkerLine) -> u64 {
        let slot = u64::from(worker.slot);
        let reset = self.reset.get(&(first(supervisor), slot)).copied().unwrap_or(0);
        let before = self.before.get(&slot).copied().unwrap_or(0);
        before.saturating_add(worker.restarts.saturating_sub(reset))
    }

    /// The counts after a restart of what runs now: the text of the file that [`Counts::put`] writes.
    #[must_use]
    pub fn after_a_restart(&self, statuses: &[Status]) -> String {
        let mut slots = BTreeMap::new();
        for status in statuses {
            for worker in status.workers.iter().filter(|worker| !worker.supervises) {
                let count = slots.entry(worker.slot).or_insert(0);
                *count = self.of(&status.supervisor, worker).saturating_add(1).max(*count);
            }
        }
        slots.iter().map(|(slot, count)| format!("{}\n", json!({ "slot": slot, "restarts": count }))).collect()
    }

    /// Lets the app in `dir`, whose supervisors say this, count from 0 on.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn reset(dir: &Path, statuses: &[Status]) -> io::Result<()> {
        let mut text = String::new();
        for status in statuses {
            let Id { pid, start } = first(&status.supervisor);
            for worker in status.workers.iter().filter(|worker| !worker.supervises) {
                let line = json!({ "slot": worker.slot, "restarts_total": worker.restarts, "supervisor_pid": pid,
                    "supervisor_start": start });
                text.push_str(&format!("{line}\n"));
            }
        }
        home::replace_file(dir, RESET, text.as_bytes())?;
        home::remove_file(dir, BEFORE)
    }

    /// Lets the app in `dir` count on from there; from 0 if the text is empty.
    ///
    /// # Errors
    /// The file cannot be written or removed.
    pub fn put(dir: &Path, text: &str) -> io::Result<()> {
        if !text.is_empty() {
            return home::replace_file(dir, BEFORE, text.as_bytes());
        }
        home::remove_file(dir, BEFORE)
    }
}

/// Whose counts this supervisor goes on with: its own, unless it succeeds one that was killed.
fn first(supervisor: &SupervisorLine) -> Id {
    supervisor.first.unwrap_or_else(|| Id::of(supervisor))
}

fn values(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok())
}

fn entry(line: &Value) -> Option<((Id, u64), u64)> {
    let number = |key: &str| line.get(key).and_then(Value::as_u64);
    let by = || Some(Id { pid: i32::try_from(number("supervisor_pid")?).ok()?, start: number("supervisor_start")? });
    let first = line.get("supervisor_first").and_then(|first| Id::deserialize(first).ok());
    // The whole count: `restarts` alone lacks what an earlier reset took away.
    let count = number("restarts_total")?;
    Some(((first.or_else(by)?, number("slot")?), count))
}

#[cfg(test)]
mod tests {
    use super::super::WorkerState;
    use super::*;

    fn supervisor(pid: u64, start: u64) -> SupervisorLine {
        let value = json!({"kind": "supervisor", "schema": 1, "app": "a", "tool": "t", "pid": pid, "start": start,
            "state": "ready"});
        SupervisorLine::from_json(value).expect("a line")
    }

    fn worker(slot: u32, restarts: u64) -> WorkerLine {
        WorkerLine { restarts, ..WorkerLine::new(slot, 1, WorkerState::Ready) }
    }

    #[test]
    fn a_reset_is_of_the_same_supervisor_and_slot() {
        let line = "{\"app\":\"a\",\"slot\":1,\"restarts\":2,\"restarts_total\":5,\"supervisor_pid\":7,\
                    \"supervisor_start\":70}";
        let counts = Counts::parse(&format!("rubbish\n{line}\n{{\"slot\":0}}\n"), "");
        let of = |pid, start, slot| counts.of(&supervisor(pid, start), &worker(slot, 9));
        assert_eq!([of(7, 70, 1), of(7, 70, 0), of(7, 71, 1), of(8, 70, 1)], [4, 9, 9, 9]);
    }

    #[test]
    fn a_reset_holds_for_a_successor() {
        let dir = tempfile::tempdir().expect("a directory");
        let statuses = |supervisor| [Status { supervisor, workers: vec![worker(0, 3)] }];
        let of = |supervisor, restarts| Counts::read(dir.path()).of(&supervisor, &worker(0, restarts));
        let first = || supervisor(7, 70);
        let successor = |pid| SupervisorLine { first: Some(Id { pid: 7, start: 70 }), ..supervisor(pid, 80) };
        Counts::reset(dir.path(), &statuses(first())).expect("written");
        assert_eq!([of(first(), 3), of(successor(8), 4), of(supervisor(8, 80), 4)], [0, 1, 4]);
        Counts::reset(dir.path(), &statuses(successor(8))).expect("written");
        assert_eq!(of(successor(9), 5), 2);
    }

    #[test]
    fn a_restart_is_counted_and_nothing_before_it_is_forgotten() {
        let statuses = |restarts| {
            let workers = vec![worker(0, restarts), worker(1, 0)];
            [Status { supervisor: supervisor(7, 70), workers }]
        };
        let first = Counts::default().after_a_restart(&statuses(2));
        let counts = Counts::parse("", &first);
        assert_eq!([0, 1, 2].map(|slot| counts.of(&supervisor(8, 80), &worker(slot, 0))), [3, 1, 0]);
        let second = Counts::parse("rubbish", &counts.after_a_restart(&statuses(1)));
        assert_eq!(second.of(&supervisor(9, 90), &worker(0, 0)), 5);
    }

    #[test]
    fn what_is_put_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        Counts::put(dir.path(), "").expect("nothing to do");
        Counts::put(dir.path(), "{\"slot\":0,\"restarts\":4}\n").expect("written");
        assert_eq!(Counts::read(dir.path()).of(&supervisor(1, 1), &worker(0, 0)), 4);
        Counts::put(dir.path(), "").expect("removed");
        assert_eq!(Counts::read(dir.path()).of(&supervisor(1, 1), &worker(0, 0)), 0);
        Counts::put(dir.path(), "{\"slot\":0,\"restarts\":4}\n").expect("written");
        let status = Status { supervisor: supervisor(7, 70), workers: vec![worker(0, 3)] };
        Counts::reset(dir.path(), &[status]).expect("written");
        assert_eq!(Counts::read(dir.path()).of(&supervisor(7, 70), &worker(0, 5)), 2, "from the reset on");
    }
}
