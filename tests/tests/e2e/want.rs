//! Descriptors are lacking for a moment: what was not possible then is tried again, and nothing of it stays.

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::{any, proc, roll};

/// The limits on descriptors of a process (soft, hard).
fn limits_of(pid: u32) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it lives");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().expect("soft"), numbers.next().expect("hard"))
}

/// A low soft limit is meant for programs that cannot do with more, not for the supervisor.
#[test]
fn under_a_low_soft_limit_binds_are_watched_all_the_same() {
    let scene = any::scene();
    let chain = any::start(&scene, "prlimit --nofile=14: pm-cluster -n 2", "$A/rust-server");
    // Not by many connections at a time: with so few descriptors one worker may end of them.
    chain.line("ready workers=2/2");
    let workers = chain.until("both", || Some(any::workers(&scene)).filter(|workers| workers.len() == 2));
    assert!(workers.values().all(|worker| limits_of(*worker).0 == 14));
    assert!(chain.messages("EADDRINUSE").is_empty(), "{}", chain.output());
    chain.stop();
}

/// Somebody lowers the supervisor's limit, which it was given as soft and hard limit, and thinks better of it.
#[test]
fn a_limit_that_is_lowered_for_a_moment_is_no_worker_s() {
    let scene = any::scene();
    let chain = any::start(&scene, "prlimit --nofile=512:512 pm-cluster -n 2 --soak 100ms", "$A/rust-server");
    let first = any::serving(&chain, 2);
    let supervisor = chain.pid().to_string();
    let lowered = scene.command(&["prlimit", "--nofile=18:", "--pid", &supervisor]).status().expect("it runs");
    assert!(lowered.success());
    proc::send(first[&0], SIGKILL);
    chain.until("a successor", || any::workers(&scene).get(&0).is_some_and(|pid| *pid != first[&0]).then_some(()));
    roll::well(&chain);
    let workers = any::serving(&chain, 2);
    assert!(workers.values().all(|worker| limits_of(*worker) == (512, 512)), "{}", chain.output());
    assert!(chain.messages("cannot").is_empty(), "{}", chain.output());
    chain.stop();
}
