//! What has changed between two looks at an app, as lines of JSON. Pure.

use std::collections::BTreeMap;

use pm_common::app::status::Id;
use pm_common::app::status::{RollReport, SupervisorLine, WorkerLine, WorkerState};
use serde_json::{Value, json};

use crate::look::app::App;
use crate::show::json_line::line;
use crate::show::row::{GONE, SCHEMA, state_of_app};

/// The state of an app whose directory is gone.
const REMOVED: &str = "removed";

/// One line for each change, in the order: supervisors, workers, rolls, the app as a whole; `None`: the app is not there.
pub(crate) fn changes(before: Option<&App>, after: Option<&App>, at_ms: u64) -> String {
    let Some(app) = after.or(before) else { return String::new() };
    let teller = Teller { app, at_ms };
    let lines = [
        teller.supervisors(&supervisors(before), &supervisors(after)),
        teller.workers(&workers(before), &workers(after)),
        teller.rolls(&supervisors(before), &supervisors(after)),
        teller.whole(before, after),
    ];
    lines.concat()
}

type Supervisors<'a> = BTreeMap<Id, &'a SupervisorLine>;
/// A worker's slot and generation are numbers of its supervisor.
type Workers<'a> = BTreeMap<(Id, u32, u64), &'a WorkerLine>;

fn supervisors(app: Option<&App>) -> Supervisors<'_> {
    let all = app.into_iter().flat_map(|app| &app.sight.statuses).map(|s| &s.supervisor);
    all.map(|s| (Id::of(s), s)).collect()
}

fn workers(app: Option<&App>) -> Workers<'_> {
    let all = app.into_iter().flat_map(App::workers);
    all.map(|(s, w)| ((Id::of(s), w.slot, w.generation), w)).collect()
}

/// Makes the lines of an app.
struct Teller<'a> {
    app: &'a App,
    at_ms: u64,
}

impl Teller<'_> {
    fn tell(&self, event: &str, fields: Vec<(&str, Value)>) -> String {
        let mut all = vec![
            ("event", Value::from(event)),
            ("at_ms", Value::from(self.at_ms)),
            ("app", Value::from(self.app.name.as_str())),
            ("id", Value::from(self.app.id())),
        ];
        all.extend(fields);
        all.push(("schema", Value::from(SCHEMA)));
        line(&all)
    }

    fn supervisors(&self, before: &Supervisors<'_>, after: &Supervisors<'_>) -> String {
        let mut text = String::new();
        for (id, told) in after {
            let was = before.get(id);
            if was.is_none_or(|was| (was.state, was.workers) != (told.state, told.workers)) {
                text.push_str(&self.supervisor(told, told.state.word(), was.map(|was| was.state.word())));
            }
        }
        let gone = before.iter().filter(|(id, _)| !after.contains_key(id));
        gone.for_each(|(_, told)| text.push_str(&self.supervisor(told, GONE, Some(told.state.word()))));
        text
    }

    fn supervisor(&self, told: &SupervisorLine, state: &str, was: Option<&str>) -> String {
        self.tell(
            "supervisor",
            vec![
                ("tool", Value::from(told.tool.as_str())),
                ("pid", Value::from(told.pid)),
                ("state", Value::from(state)),
                ("was", Value::from(was)),
                ("workers", Value::from(told.workers)),
                ("ready", Value::from(told.ready)),
                ("dir", Value::from(self.app.dir.to_string_lossy())),
            ],
        )
    }

    fn workers(&self, before: &Workers<'_>, after: &Workers<'_>) -> String {
        // What is seen in one look may have happened in any order. Who has become ready comes first, so that whoever
        // counts those that serve never counts too few in the middle of a roll.
        let (mut ready, mut others) = (String::new(), String::new());
        for (key, told) in after {
            let was = before.get(key);
            if was.is_none_or(|was| shown(was) != shown(told)) {
                let text = if told.state == WorkerState::Ready { &mut ready } else { &mut others };
                text.push_str(&self.worker(key.0, told, told.state.word(), was.map(|was| was.state.word())));
            }
        }
        let gone = before.iter().filter(|(key, _)| !after.contains_key(key));
        gone.for_each(|((id, ..), told)| others.push_str(&self.worker(*id, told, GONE, Some(told.state.word()))));
        ready + &others
    }

    fn worker(&self, supervisor: Id, told: &WorkerLine, state: &str, was: Option<&str>) -> String {
        self.tell(
            "worker",
            vec![
                ("slot", Value::from(told.slot)),
                ("generation", Value::from(told.generation)),
                ("pid", Value::from(told.pid)),
                ("state", Value::from(state)),
                ("was", Value::from(was)),
                ("ready_by", Value::from(told.ready_by.as_deref())),
                ("restarts_total", Value::from(told.restarts)),
                ("last", json!(told.last)),
                ("listen", Value::from(told.addresses.clone())),
                ("supervisor_pid", Value::from(supervisor.pid)),
            ],
        )
    }

    fn rolls(&self, before: &Supervisors<'_>, after: &Supervisors<'_>) -> String {
        let asked_for = |told: &SupervisorLine| told.roll.clone().filter(|roll| roll.requested > 0);
        let changed = after.iter().filter_map(|(id, told)| {
            let roll = asked_for(told)?;
            let was = before.get(id).and_then(|told| asked_for(told));
            (was.as_ref() != Some(&roll)).then(|| self.roll(*id, &roll))
        });
        changed.collect()
    }

    fn roll(&self, supervisor: Id, roll: &RollReport) -> String {
        self.tell("roll", vec![("supervisor_pid", Value::from(supervisor.pid)), ("roll", json!(roll))])
    }

    fn whole(&self, before: Option<&App>, after: Option<&App>) -> String {
        let (was, state) = (before.map(state_of_app), after.map_or(REMOVED, state_of_app));
        if was == Some(state) {
            return String::new();
        }
        self.tell("app", vec![("state", Value::from(state)), ("was", Value::from(was))])
    }
}

/// What makes a line of a worker worth telling.
fn shown(told: &WorkerLine) -> impl PartialEq {
    (told.pid, told.state, &told.ready_by, &told.addresses, told.restarts)
}

#[cfg(test)]
mod tests;
