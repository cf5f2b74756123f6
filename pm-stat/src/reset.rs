//! `reset`: the counts of restarts from which an app's are counted anew: what pm-stat printed at that time.

use std::collections::BTreeMap;
use std::path::Path;

use pm_common::status::SupervisorLine;
use pm_common::wait::Id;
use serde_json::Value;

use crate::start;

/// The file's name in the app's directory.
const FILE: &str = "reset";

/// The counts, by supervisor and slot: those of another supervisor started at 0 anyway.
#[derive(Debug, Default)]
pub(crate) struct Reset {
    counts: BTreeMap<(Id, u64), u64>,
}

impl Reset {
    /// Those of the app in `dir`.
    pub(crate) fn read(dir: &Path) -> Self {
        start::read(&dir.join(FILE)).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        Self { counts: lines.filter_map(|l| entry(&l)).collect() }
    }

    /// How many restarts of the slot do not count.
    pub(crate) fn of(&self, supervisor: &SupervisorLine, slot: u32) -> u64 {
        self.counts.get(&(Id::of(supervisor), u64::from(slot))).copied().unwrap_or(0)
    }
}

fn entry(line: &Value) -> Option<((Id, u64), u64)> {
    let number = |key: &str| line.get(key).and_then(Value::as_u64);
    let pid = i32::try_from(number("supervisor_pid")?).ok()?;
    // The whole count: `restarts` alone lacks what an earlier reset took away.
    let count = number("restarts_total")?;
    Some(((Id { pid, start: number("supervisor_start")? }, number("slot")?), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_those_of_the_same_supervisor_and_slot() {
        let line = "{\"app\":\"a\",\"slot\":1,\"restarts\":2,\"restarts_total\":5,\"supervisor_pid\":7,\
                    \"supervisor_start\":70}";
        let reset = Reset::parse(&format!("rubbish\n{line}\n{{\"slot\":0}}\n"));
        let of = |pid: u64, start: u64, slot: u32| {
            let value = serde_json::json!({"kind": "supervisor", "schema": 1, "app": "a", "tool": "t", "pid": pid,
                "start": start, "state": "ready"});
            reset.of(&SupervisorLine::from_json(&value).expect("a line"), slot)
        };
        assert_eq!([of(7, 70, 1), of(7, 70, 0), of(7, 71, 1), of(8, 70, 1)], [5, 0, 0, 0]);
    }
}
