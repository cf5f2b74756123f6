//! The words for states: ours in the JSON lines, PM2's where people and programs look that come from there.

use pm_common::app::status::WorkerState;

use crate::show::row::Row;

/// Each state, as the JSON lines have it, and PM2's word for it: in the table, the live table, `--describe` and `--jlist`.
const WORDS: [(&str, &str); 15] = [
    ("starting", "launching"),
    ("ready", "online"),
    // A process holds the app's lock, and says nothing.
    ("running", "online"),
    ("draining", "stopping"),
    ("killing", "stopping"),
    ("stopping", "stopping"),
    ("backoff", "waiting restart"),
    // Its supervisor will tell what comes next.
    ("gone", "waiting restart"),
    ("failed", "errored"),
    ("gave up", "errored"),
    ("errored", "errored"),
    // PM2 has none: its daemon takes all with it, or knows nothing of them.
    ("orphaned", "orphaned"),
    ("down", "stopped"),
    // Only in what a supervisor leaves: the state of the app is `stopped`.
    ("ended", "stopped"),
    ("stopped", "stopped"),
];

/// One that lives, and has shown nothing else yet: it may be about to listen.
pub(crate) const NOT_LISTENING: &str = "not listening yet";

/// The word for the state of a row, for people.
pub(crate) fn of(row: &Row<'_>) -> &'static str {
    if row.is_guess() || row.is_refused() { NOT_LISTENING } else { pm2(row.state) }
}

/// The status word for programs, which know PM2's words alone.
pub(crate) fn for_programs(row: &Row<'_>) -> &'static str {
    pm2(if row.is_guess() { WorkerState::Starting.word() } else { row.state })
}

/// The word that PM2 has for a state.
fn pm2(state: &str) -> &'static str {
    WORDS.iter().find(|(ours, _)| *ours == state).map_or("stopped", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use pm_common::app::status::SupervisorState;

    use super::*;
    use crate::show::row::{ERRORED, GONE, ORPHANED, STOPPED};

    #[test]
    fn every_state_has_its_word_and_both_are_in_the_manual() {
        let manual = include_str!("../../../man/pm-stat.1");
        let workers = WorkerState::ALL.iter().map(|state| state.word());
        let supervisors = SupervisorState::ALL.iter().map(|state| state.word());
        let all: Vec<_> = workers.chain(supervisors).chain([STOPPED, ERRORED, GONE, ORPHANED, "running"]).collect();
        for state in &all {
            assert!(WORDS.iter().any(|(ours, _)| ours == state), "{state}");
        }
        for (state, word) in WORDS.iter().filter(|(state, _)| !["gave up", "ended"].contains(state)) {
            let row = format!(".It Cm {state} Ta {word}");
            assert!(manual.lines().any(|line| line == row), "{row}");
        }
    }
}
