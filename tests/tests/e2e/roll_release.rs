//! Which code a worker is started from: a roll looks anew, nothing else does.

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTTIN};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{deploy, http, proc, roll, stat};

/// Kills a worker and waits for its successor.
fn crash(chain: &Chain, victim: u32) {
    let starts = chain.said("listening").len();
    proc::send(victim, SIGKILL);
    chain.hear("listening", starts + 1);
}

fn any(chain: &Chain, count: usize) -> u32 {
    *chain.serving(count).first().expect("a worker")
}

#[test]
fn a_roll_follows_the_symlink_that_moved() {
    for tools in ["pm-cluster -n 2 --soak 0s", "pm-restart pm-cluster -n 2 --soak 0s"] {
        let scene = deploy::scene();
        let chain = deploy::start(&scene, tools);
        chain.serving(2);
        for version in ["2", "3"] {
            deploy::release(&scene, version, "");
            roll::well(&chain);
            assert_eq!(deploy::versions(&scene), [version], "{tools}\n{}", chain.output());
        }
        chain.stop();
    }
}

#[test]
fn a_crash_deploys_nothing() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-restart pm-cluster -n 2 --soak 0s");
    let victim = any(&chain, 2);
    deploy::release(&scene, "2", "");
    crash(&chain, victim);
    roll::drained(&chain);
    assert_eq!(deploy::versions(&scene), ["1"]);
    // Neither does one more worker.
    chain.signal(SIGTTIN);
    chain.until("three workers", || (stat::workers(&scene).len() == 3).then_some(()));
    roll::drained(&chain);
    assert_eq!(deploy::versions(&scene), ["1"]);
    roll::well(&chain);
    assert_eq!(deploy::versions(&scene), ["2"]);
    // From now on that one is used for everything.
    crash(&chain, any(&chain, 3));
    roll::drained(&chain);
    assert_eq!(deploy::versions(&scene), ["2"]);
    chain.stop();
}

#[test]
fn a_memory_replacement_deploys_nothing() {
    let scene = deploy::scene().with("LEAK", "60");
    let tools = "pm-restart --stable 1s --mem-interval 100ms --max-mem 150M pm-cluster -n 1";
    let chain = deploy::start(&scene, tools);
    let first = any(&chain, 1);
    deploy::release(&scene, "2", "");
    chain.until("a replacement", || (!proc::alive(first)).then_some(()));
    assert_eq!(deploy::versions(&scene), ["1"], "{}", chain.output());
    chain.stop();
}

#[test]
fn the_env_file_is_read_anew_by_a_roll_and_by_nothing_else() {
    let scene = deploy::scene();
    deploy::write(&scene, "app.env", "VERSION=a\n");
    let chain = deploy::start(&scene, "pm-cluster -n 2 --soak 0s --env-file $T/app.env");
    let victim = any(&chain, 2);
    assert_eq!(deploy::versions(&scene), ["a"]);
    deploy::write(&scene, "app.env", "VERSION=b\n");
    crash(&chain, victim);
    assert_eq!(deploy::versions(&scene), ["a"]);
    roll::well(&chain);
    assert_eq!(deploy::versions(&scene), ["b"]);
    // A variable that the file no longer names is gone.
    deploy::write(&scene, "app.env", "# nothing\n");
    roll::well(&chain);
    assert_eq!(deploy::versions(&scene), ["1"]);
    chain.stop();
}

/// Also one that came as far as its second slot, where some workers are new already.
#[test]
fn after_an_aborted_roll_the_old_release_goes_on() {
    for mode in ["throws", "later"] {
        let scene = deploy::scene();
        let chain = deploy::start(&scene, "pm-cluster -n 2 --soak 0s");
        chain.serving(2);
        deploy::release(&scene, "2", mode);
        let roll = roll::roll(&chain);
        assert_eq!(roll["ok"], false, "{roll}");
        roll::drained(&chain);
        for victim in chain.serving(2) {
            crash(&chain, victim);
            roll::drained(&chain);
        }
        assert_eq!(deploy::versions(&scene), ["1"], "{mode}\n{}", chain.output());
        chain.stop();
    }
}

/// Before the first new worker has proven itself the old release is what a crash gets, after it the new one.
#[test]
fn a_crash_during_a_roll_uses_the_release_that_is_current() {
    // The soak has to be longer than a worker needs to boot.
    assert!(["1s", "4s", "16s"].into_iter().any(crash_during_a_roll), "all soaks were too short for this machine");
}

/// `false`: the soak was over before the successor of the worker that crashed was there.
fn crash_during_a_roll(soak: &str) -> bool {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, &format!("pm-cluster -n 3 --soak {soak}"));
    chain.serving(3);
    deploy::release(&scene, "2", "");
    let asked = roll::ask(&chain);
    let running = roll::awaiting(&chain, "soak");
    assert_eq!(
        (running["done"].as_u64(), running["of"].as_u64(), running["slot"].as_u64()),
        (Some(0), Some(3), Some(0))
    );
    let soaks = || roll::state(&chain)["running"]["awaiting"].as_str().is_some_and(|what| what.contains("soak"));
    let versions = deploy::versions(&scene);
    let victim = stat::workers(&scene).iter().find(|w| w.number("slot") == 2).and_then(stat::Line::pid).expect("a pid");
    let starts = chain.said("start").len();
    crash(&chain, victim);
    let in_time = soaks();
    assert!(!in_time || versions == ["1"], "a worker that soaks gets no traffic: {versions:?}");
    assert!(!in_time || chain.said("start")[starts]["version"] == "1", "{}", chain.output());
    assert_eq!(roll::ended(&chain, asked)["ok"], true);
    roll::drained(&chain);
    assert_eq!(deploy::versions(&scene), ["2"]);
    chain.stop();
    in_time
}

/// Who keeps an address to itself cannot overlap with a successor; everything else of a plain child is the same.
#[test]
fn a_plain_child_is_restarted_in_order_by_a_reload() {
    let scene = deploy::scene();
    deploy::write(&scene, "app.env", "VERSION=a\n");
    let chain = deploy::start(&scene, "pm-restart --env-file $T/app.env");
    let old = any(&chain, 1);
    let mut slow = http::Connection::open(scene.port).expect("open");
    slow.get("/").expect("served");
    deploy::write(&scene, "app.env", "VERSION=b\n");
    chain.signal(SIGHUP);
    chain.until("the successor", || (http::get(scene.port, "/version").as_deref() == Ok("b")).then_some(()));
    assert!(!proc::alive(old));
    assert_eq!(stat::workers(&scene).len(), 1);
    assert!(chain.messages("worker ended").is_empty(), "a reload is no crash\n{}", chain.output());
    chain.stop();
}

/// A child that shuts down in order answers what it has in hand before its successor starts.
#[test]
fn a_reload_of_a_plain_child_is_graceful() {
    let scene = Scene::with_node(24);
    let text = "const server = require('http').createServer((q, r) => { r.write('x'); setTimeout(() => r.end(), 500) })\n\
        server.listen(process.env.PORT, () => console.log('up'))\n\
        process.on('SIGTERM', () => server.close())\n";
    let app = scene.file("app.js", text);
    let chain = scene.start(&format!("pm-restart node {}", app.display()));
    chain.line("up");
    let mut slow = http::Connection::open(scene.port).expect("open");
    slow.send("/", "close").expect("sent");
    // Not in the queue any more, but in its hands.
    let mut begun = Vec::new();
    slow.head(&mut begun).expect("begun");
    chain.signal(SIGHUP);
    let rest = slow.rest(&begun);
    assert!(rest.as_ref().is_ok_and(|rest| rest.ends_with("\r\n0\r\n\r\n")), "{rest:?}\n{}", chain.output());
    chain.on_line("the successor", |c| (c.output().matches("Out up").count() == 2).then_some(()));
    chain.stop();
}
