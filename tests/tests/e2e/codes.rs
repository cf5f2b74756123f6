//! Exit codes: what a script that waits for a supervisor may rely on.

use nix::sys::signal::Signal;
use pm_tests::scene::Scene;

const TOOLS: [&str; 3] = ["pm-restart", "pm-cluster -n 1", "pm-restart pm-cluster -n 2"];

#[test]
fn a_program_that_is_not_there_is_127_at_once() {
    for tool in TOOLS {
        let scene = Scene::new();
        let chain = scene.start(&format!("{tool} no-such-program --x"));
        assert_eq!(chain.ended(), Some(127), "{tool}\n{}", chain.output());
        assert!(chain.output().contains("no-such-program"), "{tool}\n{}", chain.output());
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_126_at_once() {
    for tool in TOOLS {
        let scene = Scene::new();
        let chain = scene.start(&format!("{tool} /dev/null"));
        assert_eq!(chain.ended(), Some(126), "{tool}\n{}", chain.output());
    }
}

#[test]
fn a_stop_by_term_is_0_and_by_int_is_130() {
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGINT, 130)] {
        for tool in TOOLS {
            let scene = Scene::with_node(24);
            let chain = scene.start(&format!("{tool} node $F/app.js"));
            chain.hear("listening", 1);
            chain.signal(signal);
            assert_eq!(chain.ended(), Some(code), "{tool} {signal}\n{}", chain.output());
        }
    }
}

/// The stop was asked for: what the worker makes of it is not the answer to "did it stop".
#[test]
fn a_requested_stop_hides_the_workers_own_code() {
    for tool in ["pm-restart", "pm-cluster -n 1 --ready-after 1ms"] {
        let scene = Scene::new();
        let script = scene.file("app", "#!/bin/sh\ntrap 'exit 7' TERM\necho up\nwhile :; do read x < fifo; done\n");
        nix::unistd::mkfifo(&scene.dir().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let chain = scene.start(&format!("{tool} {}", script.display()));
        chain.line("up");
        chain.signal(Signal::SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{tool}\n{}", chain.output());
    }
}

#[test]
fn without_a_restart_the_childs_code_is_the_answer() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart --restart never sh -c exit${IFS}3");
    assert_eq!(chain.ended(), Some(3), "{}", chain.output());
}

#[test]
fn a_death_by_signal_is_128_and_its_number() {
    for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143)] {
        for tool in ["pm-restart --restart never", "pm-restart --restart never pm-cluster -n 1"] {
            let scene = Scene::new();
            let script = format!("ulimit -c 0; kill -{signal} $$");
            let mut words: Vec<&str> = tool.split(' ').collect();
            words.extend(["sh", "-c", &script]);
            let chain = scene.start_words(&words);
            assert_eq!(chain.ended(), Some(code), "{tool} {signal}\n{}", chain.output());
        }
    }
}

/// The nearest supervisor of workers holds them to the policy, whoever was given it.
#[test]
fn the_policy_reaches_the_workers_of_a_cluster() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart --restart never pm-cluster -n 2 sh -c exit${IFS}3");
    assert_eq!(chain.ended(), Some(3), "{}", chain.output());
}
