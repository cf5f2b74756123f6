use std::path::PathBuf;

use pm_common::app::status::{Status, SupervisorState, WorkerState};
use pm_common::app::wait::Sight;

use super::*;

fn supervisor(pid: i32, state: SupervisorState) -> SupervisorLine {
    let value = serde_json::json!({"kind": "supervisor", "schema": 1, "app": "web", "tool": "pm-cluster", "pid": pid,
        "start": pid, "state": state.word(), "workers": 2});
    SupervisorLine::from_json(value).expect("a line")
}

fn worker(slot: u32, generation: u64, state: WorkerState) -> WorkerLine {
    WorkerLine { pid: Some(100 + slot as i32), ..WorkerLine::new(slot, generation, state) }
}

fn seen(statuses: Vec<Status>) -> App {
    let locked = !statuses.is_empty();
    let sight = Sight { statuses, locked, ..Sight::default() };
    let (name, dir) = ("web".to_owned(), PathBuf::from("/x/web"));
    App { name, dir, start: None, sight, holder: None, words: None, killed: Vec::new(), orphaned: Vec::new() }
}

fn running(workers: Vec<WorkerLine>) -> App {
    seen(vec![Status { supervisor: supervisor(7, SupervisorState::Ready), workers }])
}

/// The changes in short: what, who, from what to what.
fn told(before: Option<&App>, after: Option<&App>) -> Vec<String> {
    let text = changes(before, after, 5);
    let values = text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    let word = |v: &Value, key: &str| v.get(key).map_or_else(String::new, |v| v.to_string().replace('"', ""));
    values
        .map(|v| {
            assert_eq!(
                (word(&v, "at_ms"), word(&v, "app"), word(&v, "schema")),
                ("5".into(), "web".into(), "1".into())
            );
            let who = word(&v, "slot") + &word(&v, "generation");
            format!("{}{} {}>{}", word(&v, "event"), who, word(&v, "was"), word(&v, "state"))
        })
        .collect()
}

#[test]
fn the_beginning_is_told_as_changes_from_nothing() {
    let app = running(vec![worker(0, 1, WorkerState::Ready), worker(1, 3, WorkerState::Starting)]);
    let wanted = ["supervisor null>ready", "worker01 null>ready", "worker13 null>starting", "app null>ready"];
    assert_eq!(told(None, Some(&app)), wanted);
    assert_eq!(told(None, Some(&seen(Vec::new()))), ["app null>stopped"]);
    assert_eq!(told(Some(&app), Some(&app)), [""; 0], "nothing has changed");
    assert_eq!(told(None, None), [""; 0]);
}

#[test]
fn a_worker_that_is_replaced_goes_and_the_next_one_comes() {
    let before = running(vec![worker(0, 1, WorkerState::Ready)]);
    let after = running(vec![worker(0, 2, WorkerState::Starting)]);
    assert_eq!(told(Some(&before), Some(&after)), ["worker02 null>starting", "worker01 ready>gone"]);
    let rolled = running(vec![worker(0, 1, WorkerState::Draining), worker(0, 2, WorkerState::Ready)]);
    let both = running(vec![worker(0, 1, WorkerState::Ready), worker(0, 2, WorkerState::Starting)]);
    assert_eq!(told(Some(&both), Some(&rolled)), ["worker02 starting>ready", "worker01 ready>draining"]);
    let later = running(vec![worker(0, 2, WorkerState::Ready)]);
    assert_eq!(told(Some(&after), Some(&later)), ["worker02 starting>ready"]);
    let evidence = running(vec![WorkerLine { ready_by: Some("listen".into()), ..worker(0, 2, WorkerState::Ready) }]);
    assert_eq!(told(Some(&later), Some(&evidence)), ["worker02 ready>ready"], "it is known to listen now");
}

#[test]
fn an_end_is_told_of_all() {
    let before = running(vec![worker(0, 1, WorkerState::Ready)]);
    let wanted = ["supervisor ready>gone", "worker01 ready>gone", "app ready>stopped"];
    assert_eq!(told(Some(&before), Some(&seen(Vec::new()))), wanted);
    assert_eq!(told(Some(&seen(Vec::new())), None), ["app stopped>removed"]);
    let mut words = seen(Vec::new());
    words.words = Some(Status { supervisor: supervisor(7, SupervisorState::GaveUp), workers: Vec::new() });
    assert_eq!(told(Some(&seen(Vec::new())), Some(&words)), ["app stopped>errored"]);
}

#[test]
fn a_roll_is_told_as_it_goes_on() {
    let rolling = |requested, done| {
        let mut app = running(Vec::new());
        let running = Some(pm_common::app::status::RollRunning { done, of: 2, ..Default::default() });
        let roll = RollReport { requested, running, ..RollReport::default() };
        app.sight.statuses[0].supervisor.roll = Some(roll);
        app
    };
    assert_eq!(told(Some(&running(Vec::new())), Some(&rolling(0, 0))), [""; 0], "none was asked for");
    assert_eq!(told(Some(&rolling(0, 0)), Some(&rolling(1, 0))), ["roll >"]);
    assert_eq!(told(Some(&rolling(1, 0)), Some(&rolling(1, 0))), [""; 0]);
    assert!(changes(Some(&rolling(1, 0)), Some(&rolling(1, 1)), 5).contains("\"done\":1"));
}
