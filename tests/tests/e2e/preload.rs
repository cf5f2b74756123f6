//! Workers that cannot load the drain script: each is started again without it, at no cost, and that is said once.

use pm_tests::chain::{Chain, Stream};
use pm_tests::scene::Scene;
use pm_tests::{roll, stat};

const WARNING: &str = "had not loaded the drain script";

/// As where a worker may not read the script: unless the file `open` is there, it is told of one that does not exist.
/// Says what it was given.
const CLOSED: &str = "echo options=$NODE_OPTIONS; [ -e $T/open ] || \
    export NODE_OPTIONS=\"$(echo \"$NODE_OPTIONS\" | sed s/drain.cjs/gone.cjs/)\"; exec node $F/app.js";

/// A failure that counts would be followed by an hour's wait.
const TOOLS: [&str; 8] = ["pm-restart", "--backoff", "1h..1h", "pm-cluster", "-n", "2", "--soak", "50ms"];

fn closed(scene: &Scene) -> Chain<'_> {
    let script = scene.expand(CLOSED);
    scene.start_words(&[&TOOLS[..], &["sh", "-c", &script]].concat())
}

/// For each start, whether it was given the script.
fn given(chain: &Chain) -> Vec<bool> {
    let lines = chain.lines(Stream::Out);
    lines.iter().filter_map(|l| l.strip_prefix("options=")).map(|options| options.contains("drain.cjs")).collect()
}

fn goes_without_what_it_cannot_read(major: u32) {
    let scene = Scene::with_node(major);
    let chain = closed(&scene);
    chain.serving(2);
    assert_eq!(chain.messages(WARNING).len(), 1, "{}", chain.output());
    assert_eq!(given(&chain).iter().filter(|given| !**given).count(), 2, "{}", chain.output());
    // Later ones of the same release go without it from the start.
    let starts = given(&chain).len();
    chain.signal(nix::sys::signal::Signal::SIGTTIN);
    chain.serving(3);
    assert_eq!(given(&chain)[starts..], [false], "{}", chain.output());
    // A new release may be better.
    let _ = scene.file("open", "");
    roll::well(&chain);
    assert_eq!(given(&chain)[starts + 1..], [true; 3], "{}", chain.output());
    assert_eq!(chain.messages(WARNING).len(), 1, "{}", chain.output());
    // And the next one worse: its worker is started again, and the roll goes on.
    std::fs::remove_file(scene.dir().join("open")).expect("our own file");
    roll::well(&chain);
    assert_eq!(given(&chain)[starts + 4..], [true, false, false, false], "{}", chain.output());
    assert_eq!(chain.messages(WARNING).len(), 2, "{}", chain.output());
    chain.stop();
}

#[test]
fn a_worker_of_node_16_goes_without_a_script_that_it_cannot_read() {
    goes_without_what_it_cannot_read(16);
}

#[test]
fn a_worker_of_node_18_goes_without_a_script_that_it_cannot_read() {
    goes_without_what_it_cannot_read(18);
}

#[test]
fn a_worker_of_node_26_goes_without_a_script_that_it_cannot_read() {
    goes_without_what_it_cannot_read(26);
}

/// An argument of the app that looks like the option which needs the script in the environment: Node before 18.18
/// refuses to start with that.
#[test]
fn a_worker_of_node_16_goes_without_a_script_in_its_options() {
    let scene = Scene::with_node(16);
    let line = "pm-restart --backoff 1h..1h pm-cluster -n 2 node $F/app.js --experimental-permission";
    let chain = scene.start(line);
    chain.serving(2);
    assert_eq!(chain.messages(WARNING).len(), 1, "{}", chain.output());
    assert!(chain.line("--import is not allowed").contains("NODE_OPTIONS"), "{}", chain.output());
    chain.stop();
}

/// What the app does wrong by itself is its own fault, and counts.
#[test]
fn an_app_that_fails_is_not_excused() {
    for (major, code) in [(16, 1), (18, 9), (26, 1), (26, 9)] {
        let scene = Scene::with_node(major);
        let app = scene.file("app.js", &format!("process.exit({code})"));
        let chain = scene.start(&format!("pm-restart --backoff 1h..1h pm-cluster -n 1 node {}", app.display()));
        chain.line("worker ended");
        let state = || stat::workers(&scene).first().map(|l| l.state().to_owned());
        chain.until("the backoff", || (state()? == "backoff").then_some(()));
        assert!(chain.messages(WARNING).is_empty(), "{major} {code}\n{}", chain.output());
        chain.stop();
    }
}

/// Where it fails without the script too, it was not the script: one start was free, and it is given back.
#[test]
fn a_start_that_fails_either_way_is_free_once() {
    // The user's own script, which Node loads before ours, is not there.
    let scene = Scene::with_node(26).with("NODE_OPTIONS", "--require /nonexistent.js");
    let script = scene.expand("echo options=$NODE_OPTIONS; exec node $F/app.js");
    let tools = ["pm-restart", "--backoff", "1ms..1ms", "--intensity", "3/1h", "pm-cluster", "-n", "1"];
    let chain = scene.start_words(&[&tools[..], &["sh", "-c", &script]].concat());
    assert_eq!(chain.ended(), Some(1), "{}", chain.output());
    assert_eq!(given(&chain), [true, false, true, false, true], "{}", chain.output());
    assert_eq!(chain.messages(WARNING).len(), 1, "{}", chain.output());
}
