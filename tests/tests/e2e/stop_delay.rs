//! `--stop-delay`: after TERM a chain goes on serving, for load balancers that are told late.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use pm_tests::scene::Scene;
use pm_tests::{any, http, proc, stat};

const DELAY: Duration = Duration::from_secs(3);

fn checked(scene: &Scene) -> bool {
    stat::run(scene, &["--check"]).status.success()
}

#[test]
fn new_connections_are_answered_until_the_delay_ends_and_then_refused() {
    for tools in ["pm-restart --stop-delay 3s pm-cluster -n 2", "pm-restart pm-cluster --stop-delay 3s -n 2"] {
        for server in ["node $F/app.js", "/usr/bin/python3 $F/any/slow.py"] {
            let scene = any::scene();
            let chain = any::start(&scene, tools, server);
            let served = chain.serving(2);
            chain.until("a check that is passed", || checked(&scene).then_some(()));
            let since = Instant::now();
            chain.signal(SIGTERM);
            // The probe of a container or of a load balancer.
            chain.until("a check that fails", || (!checked(&scene)).then_some(()));
            let victim = *served.first().expect("a worker");
            proc::send(victim, SIGKILL);
            chain.until("the successor of a worker that died in the delay", || {
                let now = http::pids(scene.port, 4);
                assert!(since.elapsed() < DELAY, "{tools} {server}: no successor in time\n{}", chain.output());
                now.iter().any(|pid| !served.contains(pid)).then_some(())
            });
            // All that came in the delay had an answer; what comes after it is refused.
            while http::get(scene.port, "/").is_ok() {}
            assert!(since.elapsed() >= DELAY, "{tools} {server}: {:?}\n{}", since.elapsed(), chain.output());
            assert_eq!(chain.ended(), Some(0), "{tools} {server}\n{}", chain.output());
        }
    }
}

#[test]
fn a_second_term_ends_the_delay_and_int_has_none() {
    for tools in ["pm-restart --stop-delay 1h pm-cluster -n 2", "pm-restart pm-cluster --stop-delay 1h -n 2"] {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("{tools} node $F/app.js"));
        chain.serving(2);
        let since = Instant::now();
        chain.signal(SIGTERM);
        // Sooner it would be taken for the same stop.
        std::thread::sleep(Duration::from_millis(1100).saturating_sub(since.elapsed()));
        http::get(scene.port, "/").expect("serves in the delay");
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{tools}\n{}", chain.output());

        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("{tools} node $F/app.js"));
        chain.serving(2);
        chain.signal(SIGINT);
        assert_eq!(chain.ended(), Some(130), "{tools}\n{}", chain.output());
    }
}

#[test]
fn a_plain_program_gets_its_signal_after_the_delay() {
    let scene = Scene::with_node(24);
    let chain = scene.start("pm-restart --stop-delay 1s node $F/app.js");
    chain.hear("listening", 1);
    let since = Instant::now();
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
}
