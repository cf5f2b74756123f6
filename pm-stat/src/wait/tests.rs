use pm_common::app::status::{
    Ended, Id, Last, RollReport, RollRunning, Status, SupervisorLine, SupervisorState, WorkerLine, WorkerState,
};

use pm_common::app::wait::Sight;
use pm_common::policy::record::Then;
use pm_common::policy::supervisor::Awaiting;

use super::*;

/// A supervisor's file; its start is its pid.
fn said(tool: &str, pid: i32, state: SupervisorState, workers: u32, ready: u32) -> Status {
    let supervisor = SupervisorLine {
        app: "web".to_owned(),
        tool: tool.to_owned(),
        version: String::new(),
        pid,
        start: id(pid).start,
        first: None,
        boot: None,
        state,
        since_ms: 0,
        workers,
        ready,
        policy: serde_json::Map::new(),
        addresses: Vec::new(),
        roll: None,
    };
    Status { supervisor, workers: Vec::new() }
}

const fn id(pid: i32) -> Id {
    Id { pid, start: pid as u64 * 100 }
}

fn cluster(pid: i32) -> Status {
    said("pm-cluster", pid, SupervisorState::Ready, 4, 4)
}

fn rolls(pid: i32, requested: u64, ended: u64, ok: Option<bool>) -> Status {
    let mut status = cluster(pid);
    status.supervisor.roll = Some(RollReport { requested, started: ended, ended, ok, ..RollReport::default() });
    status
}

/// A pm-restart, whose worker is a supervisor or not.
fn above(pid: i32, supervises: bool, ready: u32) -> Status {
    let mut status = said("pm-restart", pid, SupervisorState::Ready, 1, ready);
    status.workers = vec![WorkerLine { supervises, ..WorkerLine::new(0, 1, WorkerState::Ready) }];
    status
}

/// All who speak live.
fn sight(statuses: &[Status]) -> Sight {
    let living = statuses.iter().map(|s| Id::of(&s.supervisor)).collect();
    Sight { statuses: statuses.to_vec(), living, ..Sight::default() }
}

/// They live and say nothing.
fn silent(pids: &[i32]) -> Sight {
    Sight { living: pids.iter().copied().map(id).collect(), ..Sight::default() }
}

fn nothing() -> Sight {
    Sight::default()
}

/// What a wait makes of one sight after the other: `-` to go on, `0`, or the message.
fn verdicts(goal: Goal, sights: &[Sight]) -> Vec<String> {
    let mut decision = Decision::new("web", goal);
    let word = |verdict| match verdict {
        None => "-".to_owned(),
        Some(WaitEnd::Reached) => "0".to_owned(),
        Some(WaitEnd::Failed { message, .. }) => message,
    };
    sights.iter().map(|sight| word(decision.look(sight))).collect()
}

const ROLLED: Goal = Goal::Rolled { since: None };

const fn since(n: u64) -> Goal {
    Goal::Rolled { since: Some(n) }
}

#[test]
fn a_roll_that_ended_before_is_not_the_next_one() {
    let (before, after) = (rolls(7, 3, 3, Some(true)), rolls(7, 4, 4, Some(true)));
    let running = rolls(7, 4, 3, Some(true));
    let sights = [before.clone(), before, running, after].map(|s| sight(&[s]));
    assert_eq!(verdicts(ROLLED, &sights), ["-", "-", "-", "0"]);
    // The first of all, of a supervisor that had no word on rolls.
    let sights = [cluster(7), rolls(7, 1, 0, None), rolls(7, 1, 1, Some(true))].map(|s| sight(&[s]));
    assert_eq!(verdicts(ROLLED, &sights), ["-", "-", "0"]);
}

#[test]
fn a_roll_under_way_is_the_one_that_was_asked_for_last() {
    let [one, two] = [rolls(7, 3, 1, Some(false)), rolls(7, 3, 2, Some(false))];
    let sights = [one, two, rolls(7, 5, 3, Some(true))].map(|s| sight(&[s]));
    assert_eq!(verdicts(ROLLED, &sights), ["-", "-", "0"]);
}

#[test]
fn a_number_decides_which_roll_it_is() {
    let aborted = "the reload of web was aborted: no reason is known; the old workers go on";
    let all = [(1, 0, None), (1, 1, Some(true)), (2, 1, Some(true)), (2, 2, Some(false)), (4, 4, Some(true))];
    let sights = all.map(|(requested, ended, ok)| sight(&[rolls(7, requested, ended, ok)]));
    assert_eq!(verdicts(since(0), &sights), ["-", "0", "0", aborted, "0"]);
    assert_eq!(verdicts(since(1), &sights), ["-", "-", "-", aborted, "0"]);
    // Several requests are answered by one roll, whose number is the last one's.
    assert_eq!(verdicts(since(2), sights.get(3..).expect("two")), ["-", "0"]);
    let foreign = "web knows no roll 9, so it was started anew since then: pm-cluster pid=7 requested=1";
    assert_eq!(verdicts(since(9), sights.get(..1).expect("one")), [foreign]);
}

/// The worker of slot 1, the other is ready.
fn scaled(restarts: u64, last: Option<&str>) -> Status {
    let mut status = cluster(7);
    (status.supervisor.workers, status.supervisor.ready) = (2, 1);
    let last = last.map(|why| Last { ended: Some(Ended::Code(3)), why: why.to_owned(), at_ms: 1, at_boot_ms: None });
    let tried = WorkerLine { restarts, last, ..WorkerLine::new(1, 1, WorkerState::Starting) };
    status.workers = vec![WorkerLine { restarts: 9, ..WorkerLine::new(0, 1, WorkerState::Ready) }, tried];
    status
}

/// Without an end of its own the wait would last for as long as the worker is tried.
#[test]
fn more_workers_are_not_waited_for_where_one_fails_again_and_again() {
    let all = [scaled(4, None), scaled(5, Some("crash")), scaled(6, Some("crash"))].map(|one| sight(&[one]));
    let why = "web is not workers=2: the worker of slot 1 does not start, and is tried again: code=3";
    assert_eq!(verdicts(Goal::Workers(2), &all), ["-", "-", why]);
    assert_eq!(verdicts(Goal::Workers(3), &all), ["-"; 3], "it has not been asked for so many");
    let late = [scaled(0, None), scaled(1, Some("not ready"))].map(|one| sight(&[one]));
    let why = "web is not workers=2: the worker of slot 1 does not start, and is tried again: it was not ready in time";
    assert_eq!(verdicts(Goal::Workers(2), &late), ["-", why]);
}

#[test]
fn an_aborted_roll_says_where_and_why() {
    let mut status = rolls(7, 1, 1, Some(false));
    let stderr = vec!["Error: x".to_owned(), "    at y".to_owned()];
    let reason = "the new worker ended before it was ready code=1".to_owned();
    status.supervisor.roll.as_mut().expect("there").reason = reason;
    status.supervisor.roll.as_mut().expect("there").slot = Some(0);
    status.supervisor.roll.as_mut().expect("there").stderr.clone_from(&stderr);
    let message =
        "the reload of web was aborted: slot 0: the new worker ended before it was ready code=1; the old workers go on"
            .to_owned();
    let verdict = Decision::new("web", since(0)).look(&sight(&[status]));
    assert_eq!(verdict, Some(WaitEnd::Failed { message, quoted: stderr }));
    let untold = verdicts(since(0), &[sight(&[rolls(7, 1, 1, None)])]);
    assert_eq!(
        untold,
        ["the reload of web was aborted: no reason is known; the old workers go on"],
        "what is not told is not well"
    );
}

/// A roll that was given up, by the word for what followed, and what the supervisor is at now.
fn given_up(tool: &str, then: &str, state: SupervisorState, workers: &[WorkerState]) -> Status {
    let ready = workers.iter().filter(|worker| **worker == WorkerState::Ready).count();
    let mut status = said(tool, 7, state, 2, u32::try_from(ready).expect("few"));
    let (reason, then) = ("x".to_owned(), Then::from_word(then));
    let roll =
        RollReport { requested: 1, started: 1, ended: 1, ok: Some(false), reason, then, ..RollReport::default() };
    status.supervisor.roll = Some(roll);
    status.workers = workers.iter().map(|worker| WorkerLine::new(0, 1, *worker)).collect();
    status
}

#[test]
fn what_follows_an_aborted_roll_is_known_and_not_guessed() {
    use SupervisorState::{Ended, GaveUp, Ready, Stopping};
    const SERVES: WorkerState = WorkerState::Ready;
    let (down, waits) = (WorkerState::Down, WorkerState::Backoff);
    let left = "its policy (--restart, --stop-codes) leaves it down";
    for (tool, then, state, workers, wanted) in [
        ("pm-restart", "started-again", Ready, &[waits] as &[_], "it is down, and tried again"),
        (
            "pm-restart",
            "all-started-again",
            Ready,
            &[SERVES],
            "every worker was started again from the release before it",
        ),
        ("pm-restart", "all-started-again", Ready, &[waits], "it is down, and tried again"),
        ("pm-restart", "down", Ready, &[down], left),
        ("pm-restart", "down", Stopping, &[down], left),
        ("pm-restart", "down", Ended, &[down], left),
        ("pm-restart", "others-go-on", Ready, &[SERVES], "it goes on as it was"),
        ("pm-restart", "started-again", Ready, &[SERVES], "it runs again, from the release before"),
        ("pm-restart", "others-go-on", Ready, &[waits], "it is down, and tried again"),
        ("pm-restart", "new-goes-on", Ready, &[], "the new one goes on, as none is started after it (--restart never)"),
        ("pm-restart", "", GaveUp, &[], "pm-restart gave up"),
        ("pm-cluster", "down", Ready, &[SERVES], &format!("{left}, the others go on")),
        ("pm-cluster", "down", Ready, &[down], left),
        ("pm-cluster", "started-again", Ready, &[SERVES], "it is tried again, the others go on"),
        (
            "pm-cluster",
            "all-started-again",
            Ready,
            &[SERVES],
            "every worker was started again from the release before it",
        ),
        ("pm-cluster", "others-go-on", Ready, &[SERVES], "the old workers go on"),
        (
            "pm-cluster",
            "others-go-on",
            Ready,
            &[waits],
            "none of its workers serves, and they are tried again: pm logs web",
        ),
        ("pm-cluster", "others-go-on", Ready, &[down], "none of its workers serves: pm logs web"),
        ("pm-cluster", "started-again", GaveUp, &[], "pm-cluster gave up"),
        ("pm-cluster", "of a later version", Ready, &[SERVES], "the old workers go on"),
    ] {
        let status = given_up(tool, then, state, workers);
        let what = if tool == "pm-restart" { "restart of web failed" } else { "reload of web was aborted" };
        let message = format!("the {what}: x; {wanted}");
        assert_eq!(verdicts(since(0), &[sight(std::slice::from_ref(&status))]), [message.as_str()]);
        // It ended in the same moment.
        let asked = rolls(7, 1, 0, None);
        let words = Sight { ended: vec![status], ..nothing() };
        assert_eq!(verdicts(since(0), &[sight(&[asked]), words]), ["-", &message]);
    }
    let stopped = given_up("pm-cluster", "", Stopping, &[SERVES]);
    let short = "the reload of web was cut short: pm-cluster was stopped, and its workers with it";
    assert_eq!(verdicts(since(0), &[sight(&[stopped])]), [short]);
}

#[test]
fn a_roll_ends_with_its_supervisor() {
    assert_eq!(verdicts(ROLLED, &[nothing()]), ["web is not running"]);
    let first = sight(&[rolls(7, 2, 1, None), above(6, true, 1)]);
    let ended = "pm-cluster of web ended before the reload did: pid=7 roll=2";
    // The one above starts another: its rolls are other rolls.
    let successor = sight(&[rolls(9, 2, 2, Some(true)), above(6, true, 1)]);
    for then in [nothing(), sight(&[above(6, false, 0)]), successor] {
        assert_eq!(verdicts(ROLLED, &[first.clone(), then]), ["-", ended]);
    }
    // It has removed its file, and lives yet; or a listing of the directory missed it.
    assert_eq!(verdicts(ROLLED, &[first.clone(), silent(&[6, 7]), first]), ["-", "-", "-"]);
    let gave_up = said("pm-cluster", 7, SupervisorState::GaveUp, 1, 0);
    assert_eq!(verdicts(ROLLED, &[sight(&[gave_up])]), ["pm-cluster of web gave up: pid=7"]);
}

#[test]
fn the_rolls_are_those_of_the_innermost_supervisor() {
    // The pm-restart is there first, and knows nothing of a pm-cluster yet.
    let mut restart = above(6, false, 0);
    restart.supervisor.roll = Some(RollReport { requested: 5, ended: 5, ok: Some(true), ..RollReport::default() });
    let steps = [
        sight(std::slice::from_ref(&restart)),
        sight(&[above(6, true, 0)]),
        sight(&[rolls(7, 1, 0, None), above(6, true, 0)]),
        sight(&[above(6, true, 0), rolls(7, 1, 1, Some(true))]),
    ];
    assert_eq!(verdicts(ROLLED, &steps), ["-", "-", "-", "0"]);
    restart.supervisor.roll.as_mut().expect("there").ended = 6;
    restart.supervisor.roll.as_mut().expect("there").requested = 6;
    assert_eq!(verdicts(since(5), &[sight(&[restart])]), ["0"], "a plain child's are the pm-restart's own");
}

#[test]
fn ready_is_waited_for_from_before_the_start() {
    let starting = said("pm-cluster", 7, SupervisorState::Starting, 2, 1);
    let sights = [
        nothing(),
        silent(&[6]),
        sight(&[above(6, false, 0)]),
        sight(&[above(6, true, 1)]),
        sight(&[starting, above(6, true, 1)]),
        sight(&[cluster(7), above(6, true, 1)]),
    ];
    assert_eq!(verdicts(Goal::Ready, &sights), ["-", "-", "-", "-", "-", "0"]);
    assert_eq!(verdicts(Goal::Ready, &[sight(&[above(6, false, 1)])]), ["0"], "a plain child");
    let scaled_to_none = said("pm-cluster", 7, SupervisorState::Ready, 0, 0);
    assert_eq!(verdicts(Goal::Ready, &[sight(&[scaled_to_none])]), ["0"]);
}

#[test]
fn ready_is_not_what_was_ready() {
    let none_serves = said("pm-cluster", 7, SupervisorState::Ready, 4, 0);
    let stopping = said("pm-cluster", 7, SupervisorState::Stopping, 4, 4);
    for other in [none_serves, stopping] {
        assert_eq!(verdicts(Goal::Ready, &[sight(&[other])]), ["-"]);
    }
    // The pm-cluster was killed; the pm-restart was ready once, and starts another.
    let killed = [silent(&[6]), sight(&[above(6, true, 1)]), sight(&[above(6, false, 0)]), sight(&[cluster(9)])];
    assert_eq!(verdicts(Goal::Ready, &killed), ["-", "-", "-", "0"]);
}

#[test]
fn ready_and_workers_end_with_the_app() {
    for (goal, word) in [(Goal::Ready, "ready"), (Goal::Workers(3), "workers=3")] {
        let starting = sight(&[said("pm-cluster", 7, SupervisorState::Starting, 2, 0)]);
        let ended = format!("web ended before it was {word}");
        assert_eq!(verdicts(goal, &[starting.clone(), silent(&[7]), nothing()]), ["-", "-", &ended]);
        assert_eq!(verdicts(goal, &[silent(&[5]), nothing()]), ["-", &ended], "only the lock was seen");
        let gave_up = sight(&[said("pm-cluster", 7, SupervisorState::GaveUp, 3, 0)]);
        assert_eq!(verdicts(goal, &[starting, gave_up]), ["-", "pm-cluster of web gave up: pid=7"]);
    }
}

#[test]
fn workers_are_counted_when_as_many_are_wanted_and_ready() {
    let with = |workers, ready| sight(&[said("pm-cluster", 7, SupervisorState::Ready, workers, ready)]);
    let sights = [with(4, 4), with(3, 4), with(3, 2), with(4, 3), with(3, 3)];
    assert_eq!(verdicts(Goal::Workers(3), &sights), ["-", "-", "-", "-", "0"]);
    assert_eq!(verdicts(Goal::Workers(0), &[with(0, 1), with(0, 0)]), ["-", "0"]);
}

#[test]
fn stopped_is_when_nobody_is_left() {
    let locked = Sight { locked: true, ..nothing() };
    let sights =
        [sight(&[cluster(7), above(6, true, 1)]), sight(&[above(6, true, 1)]), silent(&[6]), locked, nothing()];
    assert_eq!(verdicts(Goal::Stopped, &sights), ["-", "-", "-", "-", "0"]);
}

#[test]
fn what_is_missing_is_told() {
    let awaited = |goal, seen: Sight| {
        let mut decision = Decision::new("web", goal);
        assert_eq!(decision.look(&seen), None);
        decision.awaited(&seen)
    };
    assert_eq!(awaited(Goal::Ready, nothing()), "it is not running");
    assert_eq!(awaited(Goal::Ready, sight(&[above(6, true, 1)])), "its supervisor has said nothing yet");
    let starting = sight(&[said("pm-cluster", 7, SupervisorState::Starting, 4, 1)]);
    assert_eq!(awaited(Goal::Ready, starting), "1 of 4 workers ready, pm-cluster is starting");
    assert_eq!(awaited(Goal::Stopped, silent(&[6, 7])), "it runs: pid=6,7");
    assert_eq!(awaited(Goal::Stopped, Sight { locked: true, ..nothing() }), "it runs: its lock is held");
    assert_eq!(awaited(ROLLED, sight(&[cluster(7)])), "nobody has asked for it");
    let mut asked = rolls(7, 2, 1, Some(true));
    assert_eq!(awaited(ROLLED, sight(&[asked.clone()])), "it was asked for and has not begun");
    let running = RollRunning { done: 1, of: 4, since_ms: 0, slot: 1, awaiting: Awaiting::Soak };
    let roll = asked.supervisor.roll.as_mut().expect("there");
    (roll.started, roll.running) = (2, Some(running));
    assert_eq!(awaited(ROLLED, sight(&[asked])), "1 of 4 workers are new; the first new one is watched for 0 ms");
}

fn parse(options: &[(&'static str, &str)], apps: &[&str]) -> Result<Wait, String> {
    let options: Vec<_> = options.iter().map(|(option, value)| (*option, OsString::from(value))).collect();
    let apps: Vec<_> = apps.iter().map(OsString::from).collect();
    Wait::from_options(&options, &apps).map_err(|failure| {
        assert_eq!(failure.code, 125, "{failure}");
        failure.message
    })
}

#[test]
fn the_options_say_what_to_wait_for() {
    let goals =
        [("rolled", ROLLED), ("ready", Goal::Ready), ("stopped", Goal::Stopped), ("workers=12", Goal::Workers(12))];
    for (word, goal) in goals {
        let wait = parse(&[("timeout", "2m"), ("wait", word)], &["web"]).expect("right");
        assert_eq!((wait.app.as_str(), wait.goal, goal.to_string().as_str()), ("web", goal, word));
        assert_eq!(wait.timeout, Some((Span::secs(120), "2m".to_owned())));
    }
    let wait = parse(&[("since", "7"), ("wait", "rolled")], &["web"]).expect("right");
    assert_eq!((wait.goal, wait.timeout), (since(7), None));
}

#[test]
fn bad_options_are_refused() {
    let wait = ("wait", "ready");
    for (options, apps, part) in [
        (&[wait] as &[_], &[] as &[&str], "exactly one APP"),
        (&[wait], &["a", "b"], "exactly one APP"),
        (&[wait], &["../web"], "'../web'"),
        (&[wait, ("timeout", "banana")], &["web"], "'banana'"),
        (&[wait, ("since", "3")], &["web"], "--wait rolled"),
        (&[("wait", "rolled"), ("since", "-1")], &["web"], "'-1'"),
        (&[("wait", "online")], &["web"], "'online'"),
        (&[("wait", "workers=")], &["web"], "workers=N"),
        (&[("wait", "workers=-1")], &["web"], "workers=N"),
    ] {
        let message = parse(options, apps).expect_err("refused");
        assert!(message.contains(part), "{message}");
    }
}
