//! Programs that do not run twice: why no other starts beside one, and `--reload stop-start`, which ends the old one first.

use std::collections::BTreeSet;

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTTIN};
use pm_tests::load::{Load, Style};
use pm_tests::{any, http, proc, roll, stat};

/// The program below a shell that names its file by these variables.
fn by(scene: &pm_tests::scene::Scene, name: &str) -> String {
    let text = scene.expand(&format!("#!/bin/sh\nLOCK={name} exec /usr/bin/python3 $F/any/one.py\n"));
    scene.file("one.sh", &text).display().to_string()
}

#[test]
fn who_cannot_run_beside_the_old_one_is_told_of_with_the_remedy() {
    for (workers, told) in [(1, "the one that it replaces"), (2, "the other workers")] {
        let scene = any::scene();
        let program = by(&scene, "run.lock");
        let chain = any::start(&scene, &format!("pm-cluster -n {workers} --err errors"), &program);
        any::serving(&chain, 1);
        if workers == 1 {
            let roll = roll::roll(&chain);
            assert_eq!(roll["ok"], false, "{roll}");
        }
        let said = chain.line("a worker could not run beside");
        assert!(said.contains(told) && said.contains("$PM_SLOT") && said.contains("--reload stop-start"), "{said}");
        assert!(said.contains("another instance is already running: run.lock exists"), "{said}");
        scene.kill_all();
    }
}

#[test]
fn who_names_its_file_by_slot_and_generation_is_reloaded_as_any_other() {
    let scene = any::scene();
    let program = by(&scene, "run.$PM_SLOT.$PM_GENERATION");
    let chain = any::start(&scene, "pm-cluster -n 2 --soak 10ms", &program);
    any::rolls_well(&chain, 2);
    assert!(chain.messages("a worker could not run beside").is_empty(), "{}", chain.output());
    chain.stop();
}

/// With a file for each slot the program itself refuses to be two; connections wait, and are not refused.
#[test]
fn stop_start_reloads_what_cannot_run_twice_and_loses_nothing() {
    for workers in [1, 2] {
        let scene = any::scene();
        let program = by(&scene, "run.$PM_SLOT");
        let chain = any::start(&scene, &format!("pm-cluster -n {workers} --reload stop-start --grace 2s"), &program);
        any::rolls_well(&chain, workers);
        assert!(chain.messages("worker ended").is_empty(), "{}", chain.output());
        chain.stop();
    }
}

#[test]
fn gunicorn_with_a_pid_file_is_reloaded() {
    let scene = any::scene();
    let server = "$A/venv/bin/gunicorn -p run.pid --no-control-socket -b 127.0.0.1:$P wsgi:app";
    let chain = any::start(&scene, "pm-cluster -n 1 --reload stop-start --grace 2s", server);
    any::rolls_well(&chain, 1);
    chain.stop();
}

#[test]
fn a_release_that_fails_is_followed_by_the_one_before_it() {
    for workers in [1, 2] {
        let scene = any::scene();
        let program = by(&scene, "run.$PM_SLOT");
        let chain = any::start(&scene, &format!("pm-cluster -n {workers} --reload stop-start --grace 2s"), &program);
        let first = any::serving(&chain, workers);
        let load = Load::start(scene.port, 4, Style::OneShot);
        load.advance(5);
        let bad = scene.file("bad", "");
        let asked = roll::ask(&chain);
        chain.line("reload aborted, the program is started again from what it ran from before slot=0");
        std::fs::remove_file(bad).expect("there");
        assert_eq!(roll::ended(&chain, asked)["ok"], false);
        let second = any::serving(&chain, workers);
        load.advance(5);
        let tally = load.end();
        assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
        let same: BTreeSet<_> = first.iter().filter(|(slot, pid)| second.get(slot) == Some(pid)).collect();
        assert_eq!(same.len(), workers - 1, "{first:?} {second:?}");
        chain.stop();
    }
}

/// In the gap of a slot: its supervisor is killed; it is stopped; it is asked for more.
#[test]
fn whatever_happens_in_the_gap_nobody_runs_twice_and_all_come_back() {
    for what in ["kill", "stop", "ask"] {
        let scene = any::scene().with("BOOT", "0.5");
        let program = by(&scene, "run.$PM_SLOT");
        let line = "pm-restart --backoff 1ms..50ms pm-cluster -n 2 --reload stop-start --soak 10ms --grace 2s";
        let chain = any::start(&scene, line, &program);
        let first = any::serving(&chain, 2);
        chain.signal(SIGHUP);
        chain.until("the gap", || (!proc::alive(first[&0])).then_some(()));
        match what {
            "stop" => {
                chain.stop();
                continue;
            }
            "kill" => proc::send(scene.process("pm-cluster").expect("a supervisor"), SIGKILL),
            _ => [SIGHUP, SIGTTIN].into_iter().for_each(|signal| chain.signal(signal)),
        }
        let count = if what == "ask" { 3 } else { 2 };
        chain.until("all to be new", || {
            let now = any::workers(&scene);
            let new = now.values().all(|pid| !first.values().any(|old| old == pid));
            (now.len() == count && new && stat::workers(&scene).iter().all(|line| line.state() == "ready"))
                .then_some(())
        });
        any::serving(&chain, count);
        assert!(!chain.output().contains("already running"), "{what}\n{}", chain.output());
        chain.stop();
    }
}

#[test]
fn one_over_its_memory_limit_ends_before_the_next_starts() {
    let scene = any::scene();
    let program = by(&scene, "run.$PM_SLOT");
    let line =
        "pm-restart --max-mem 150M --stable 1ms --mem-interval 200ms pm-cluster -n 2 --reload stop-start --grace 2s";
    let chain = any::start(&scene, line, &program);
    let first = any::serving(&chain, 2);
    let fat: u32 = http::get(scene.port, "/fat").expect("serves").parse().expect("a pid");
    chain.until("it to be gone", || (!any::workers(&scene).values().any(|pid| *pid == fat)).then_some(()));
    let second = any::serving(&chain, 2);
    let stayed = first.values().filter(|pid| second.values().any(|other| other == *pid)).count();
    assert_eq!(stayed, 1, "{first:?} {second:?}");
    assert!(!chain.output().contains("already running"), "{}", chain.output());
    chain.stop();
}

#[test]
fn what_does_not_go_with_it_is_refused() {
    let scene = any::scene();
    for line in ["--overlap 2 --reload stop-start", "--apart --reload stop-start", "--reload sometimes"] {
        let chain = any::start(&scene, &format!("pm-cluster -n 1 {line}"), "true");
        assert_eq!(chain.wait().code(), Some(125), "{line}: {}", chain.output());
    }
}
