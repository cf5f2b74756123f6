//! `--stop-delay`: after TERM a chain goes on serving, for load balancers that are told late.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use pm_tests::scene::Scene;
use pm_tests::{any, http, proc, stat};

const CHAINS: [&str; 2] =
    ["pm-restart --stop-delay DELAY pm-cluster -n 2", "pm-restart pm-cluster --stop-delay DELAY -n 2"];
const SERVERS: [&str; 2] = ["node $F/app.js", "/usr/bin/python3 $F/any/slow.py"];

/// Sooner, a second signal would be taken for the same stop.
const SAME_STOP: Duration = Duration::from_millis(1100);

fn checked(scene: &Scene) -> bool {
    stat::run(scene, &["--check"]).status.success()
}

/// A second TERM ends the delay, as a machine may need more than a few seconds for all of this.
#[test]
fn in_the_delay_the_check_fails_and_a_worker_that_dies_has_a_successor() {
    for (tools, server) in CHAINS.into_iter().flat_map(|tools| SERVERS.map(|server| (tools, server))) {
        let scene = any::scene();
        let chain = any::start(&scene, &tools.replace("DELAY", "1h"), server);
        let served = chain.serving(2);
        chain.until("a check that is passed", || checked(&scene).then_some(()));
        let since = Instant::now();
        chain.signal(SIGTERM);
        // The probe of a container or of a load balancer.
        chain.until("a check that fails", || (!checked(&scene)).then_some(()));
        proc::send(*served.first().expect("a worker"), SIGKILL);
        chain.until("the successor of a worker that died in the delay", || {
            http::pids(scene.port, 4).iter().any(|pid| !served.contains(pid)).then_some(())
        });
        chain.until("the next TERM to be another", || (since.elapsed() > SAME_STOP).then_some(()));
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{tools} {server}\n{}", chain.output());
    }
}

#[test]
fn all_that_comes_in_the_delay_is_answered_and_what_comes_after_it_is_refused() {
    const DELAY: Duration = Duration::from_secs(2);
    for (tools, server) in CHAINS.into_iter().zip(SERVERS) {
        let scene = any::scene();
        let chain = any::start(&scene, &tools.replace("DELAY", "2s"), server);
        chain.serving(2);
        let since = Instant::now();
        chain.signal(SIGTERM);
        while http::get(scene.port, "/").is_ok() {}
        assert!(since.elapsed() >= DELAY, "{tools} {server}: {:?}\n{}", since.elapsed(), chain.output());
        assert_eq!(chain.ended(), Some(0), "{tools} {server}\n{}", chain.output());
    }
}

#[test]
fn a_second_term_ends_the_delay_and_int_has_none() {
    for tools in CHAINS.map(|tools| tools.replace("DELAY", "1h")) {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("{tools} node $F/app.js"));
        chain.serving(2);
        let since = Instant::now();
        chain.signal(SIGTERM);
        std::thread::sleep(SAME_STOP.saturating_sub(since.elapsed()));
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
