//! Processes that a supervisor did not start, cannot see the end of, or that run away from it.

use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use pm_tests::proc;
use pm_tests::scene::Scene;

/// What a script started before it became the supervisor is no leftover of a worker, nor is what runs below it.
#[test]
fn what_was_there_before_outlives_workers_and_the_stop() {
    let scene = Scene::new();
    let script = "sh -c 'sleep 1000 & wait' & exec pm-restart --backoff 1ms..1ms --intensity 100/1s \
                  sh -c 'sleep 2000 & exit 1'";
    let chain = scene.start_words(&["sh", "-c", script]);
    chain.on_line("three ends", |c| (c.messages("worker ended").len() > 2).then_some(()));
    // Its shell may be slower than three of a worker.
    let sidecar = chain.until("the sidecar", || scene.processes().into_iter().find(|pid| is_sleep(*pid, "1000")));
    chain.signal(SIGTERM);
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    assert!(proc::alive(sidecar), "{}", chain.output());
    assert!(!scene.processes().into_iter().any(|pid| is_sleep(pid, "2000")), "{}", chain.output());
}

fn is_sleep(pid: u32, arg: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == format!("sleep\0{arg}\0").into_bytes())
}

/// A debugger that does not wait keeps the end of a worker to itself: the supervisor sleeps until it lets go.
#[test]
fn a_zombie_that_a_debugger_holds_costs_nothing() {
    for tool in ["pm-restart", "pm-cluster -n 1"] {
        let scene = Scene::new();
        let chain = scene.start(&format!("{tool} sleep 1000"));
        let worker = chain.until("the worker", || scene.process("sleep"));
        let traced = Pid::from_raw(i32::try_from(worker).expect("a pid"));
        ptrace::seize(traced, ptrace::Options::empty()).expect("a process below this one");
        proc::send(worker, SIGKILL);
        chain.until("the zombie", || (proc::state(worker) == Some('Z')).then_some(()));
        // One that spins uses what CPU time there is.
        let before = proc::ran(chain.pid());
        std::thread::sleep(Duration::from_secs(1));
        let used = proc::ran(chain.pid()) - before;
        assert!(used < Duration::from_millis(100), "{tool}: {used:?} of CPU time in a second");
        assert!(chain.messages("worker ended").is_empty(), "{}", chain.output());
        waitpid(traced, None).expect("a tracer may wait");
        chain.line("worker ended");
        chain.until("the successor", || scene.process("sleep").filter(|pid| *pid != worker));
        chain.stop();
    }
}

/// KILL finds the worker itself, whatever group it is in.
#[test]
fn a_worker_that_left_its_process_group_is_killed() {
    for tool in ["pm-restart", "pm-cluster -n 1"] {
        let scene = Scene::new();
        let _ = scene.file(
            "leaves.py",
            "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
             os.setpgid(0, os.getpgid(os.getppid()))\nprint('left', flush=True)\nwhile True: signal.pause()\n",
        );
        let chain = scene.start(&format!("{tool} --grace 100ms python3 leaves.py"));
        chain.line("left");
        chain.stop();
    }
}

/// What forks and ends all the time is hunted until nothing is left of it.
#[test]
fn leftovers_that_fork_all_the_time_are_killed() {
    let scene = Scene::new();
    // With each hop a process of a session of its own; who is not found ends tired.
    let hop = "import os, signal, time\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        end = time.monotonic() + 40\n\
        for _ in range(12):\n    if os.fork() == 0: break\n\
        else:\n    print('hopping', flush=True)\n    while True: signal.pause()\n\
        os.setsid()\n\
        while time.monotonic() < end:\n    if os.fork() > 0: os._exit(0)\n    os.setsid()\n\
        print('tired', flush=True)\n";
    let _ = scene.file("hop.py", hop);
    let chain = scene.start("pm-restart --grace 100ms python3 hop.py");
    chain.line("hopping");
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    assert!(!chain.output().contains("tired"), "{}", chain.output());
}

/// Somebody lowers the limit on descriptors below what the supervisor already holds: poll(2) then takes no such list.
#[test]
fn a_limit_on_descriptors_that_is_lowered_ends_nobody() {
    // The supervisor may raise the first again; with the second it lives on as it can.
    for limit in ["--nofile=8:", "--nofile=8:8"] {
        let scene = Scene::with_node(24);
        let chain = scene.start("pm-cluster -n 4 node $F/app.js");
        let workers = chain.serving(4);
        let supervisor = chain.pid().to_string();
        let lowered = scene.command(&["prlimit", limit, "--pid", &supervisor]).status().expect("it runs");
        assert!(lowered.success());
        proc::send(*workers.first().expect("four"), SIGKILL);
        chain.line("worker ended");
        if limit == "--nofile=8:" {
            chain.serving(4);
        } else {
            chain.line("the limit on descriptors");
            // It cannot start anything, and serves with what it has.
            chain.line("could not start a worker");
            chain.serving(3);
        }
        assert!(chain.messages("the limit on descriptors").len() <= 1, "{}", chain.output());
        chain.stop();
    }
}
