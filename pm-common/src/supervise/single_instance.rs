//! Programs that refuse to run twice: a pid or lock file, or an address of their own, belongs to the one that runs already.
//!
//! Beside it another cannot start, so that no reload succeeds and no second worker serves. What such programs write is told
//! from other failures by their words, and the person is told what to do.

use super::{Adapter, Driver, Scope};
use crate::cli::report;
use crate::policy::WorkerId;
use crate::policy::states::WorkerState;

/// More of a worker's last lines are not looked at: what a program says of its end stands there.
const LINES: usize = 20;
/// The longest part of a line that is repeated, in characters.
const LONGEST: usize = 160;

impl<A: Adapter> Driver<A> {
    /// Says why a worker has ended that could not run beside another of this app, if it is one: once for each reload.
    pub(super) fn say_if_second(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get(&id).filter(|p| !p.asked && self.scope == Scope::Group) else { return };
        let lives = |slot: Option<u32>| {
            let wanted = |other: &WorkerId| *other != id && slot.is_none_or(|slot| other.slot == slot);
            self.processes.iter().any(|(other, process)| wanted(other) && process.is_running())
        };
        let starts = |view: &crate::policy::supervisor::View| view.id == id && view.state == WorkerState::Starting;
        if !lives(None) || !self.machine.snapshot().iter().any(starts) {
            return;
        }
        let lines = process.errors.as_ref().map(|log| log.last(LINES)).unwrap_or_default();
        let Some(line) = lines.iter().rev().find(|line| is_refusal(line)) else { return };
        let said: String = line.trim().chars().take(LONGEST).collect();
        let text = message(id.slot, lives(Some(id.slot)), &said.escape_debug().to_string());
        if self.publisher.says_second() {
            report::warning(text);
        }
    }
}

/// Whether a line says that the program runs already, or that something is taken of which each process needs its own.
fn is_refusal(line: &str) -> bool {
    let line = line.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let taken = any(&["exist", "in use", "held", "locked", "stale", "taken", "owned by"]);
    let failed = any(&["could not", "couldn't", "cannot", "can't", "unable", "fail", "unavailable", "denied"]);
    any(&["already running", "already started", "already locked", "is running"])
        || line.contains("another") && any(&["instance", "process", "server", "copy"])
        || any(&["pid file", "pidfile", "pid-file"]) && (taken || failed)
        || line.contains("lock") && !line.contains("block") && (taken || failed)
        || line.contains("in use by")
}

/// What to do: `replaces`: the old worker of this slot still runs.
fn message(slot: u32, replaces: bool, said: &str) -> String {
    let (beside, or) = match replaces {
        true => ("the one that it replaces", ", or, where two can never run, --reload stop-start"),
        false => ("the other workers", ", or, where two can never run, -n 1 --reload stop-start"),
    };
    format!(
        "a worker could not run beside {beside} slot={slot}: '{said}'; give each a pid or lock file of its own, named by \
         $PM_SLOT and $PM_GENERATION: pm-cluster ... sh -c 'exec gunicorn -p run.$PM_SLOT.$PM_GENERATION.pid ...'{or}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_write_that_cannot_run_twice_is_told_from_other_failures() {
        for line in [
            "Error: Already running on PID 4711 (or pid file 'run.pid' is stale)",
            "httpd (pid 4711) already running",
            "Another twistd server is running, PID 4711",
            "varnishd: Error: Workdir is in use by other program",
            "FATAL:  lock file \"postmaster.pid\" already exists",
            "Could not lock /run/x.lock",
            "IO error: lock /data/LOCK: Resource temporarily unavailable",
            "Another instance is using this directory",
            "pidfile /run/x.pid exists",
        ] {
            assert!(is_refusal(line), "{line}");
        }
        for line in [
            "SyntaxError: Unexpected token",
            "ModuleNotFoundError: No module named 'flask'",
            "Failed to open block device",
            "[Errno 98] Address already in use",
            "connect ECONNREFUSED 127.0.0.1:5432",
            "TypeError: Cannot read properties of undefined",
            "",
        ] {
            assert!(!is_refusal(line), "{line}");
        }
    }

    #[test]
    fn the_remedy_names_the_variables_and_what_goes_without_them() {
        for replaces in [true, false] {
            let text = message(1, replaces, "already running");
            assert!(text.contains("run.$PM_SLOT.$PM_GENERATION.pid") && text.contains("--reload stop-start"), "{text}");
            assert_eq!(text.contains("-n 1"), !replaces);
        }
    }
}
