//! What an app does when it is told to end is done, to the end and once: it counts its requests and puts the count down, so
//! that the sum of all workers is what was answered.

use nix::sys::signal::Signal::{SIGTERM, SIGTTOU};
use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{roll, stat};
use serde_json::Value;

fn scene(major: u32) -> Scene {
    let mut scene = Scene::with_node(major);
    let file = scene.file("counts", "");
    scene.set("COUNTS", file);
    scene
}

/// What the workers have put down.
pub(crate) fn counts(scene: &Scene) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.dir().join("counts")).expect("our own file");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of counts.js")).collect()
}

pub(crate) fn sum(counts: &[Value]) -> u64 {
    counts.iter().filter_map(|line| line["count"].as_u64()).sum()
}

/// Two workers under load are rolled, one is taken away, the rest is stopped.
fn life(chain: &Chain<'_>) {
    chain.hear("listening", 2);
    roll::drained(chain);
    let load = Load::of(chain.scene.port, "/", &[Style::Kept, Style::OneShot, Style::Mixed]);
    load.advance(5);
    roll::well(chain);
    chain.signal(SIGTTOU);
    chain.until("one worker less", || (stat::workers(chain.scene).len() == 1).then_some(()));
    load.advance(5);
    let tally = load.end();
    chain.signal(SIGTERM);
    assert_eq!(chain.wait().code(), Some(0), "{}", chain.output());
    let counts = counts(chain.scene);
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert_eq!((counts.len(), sum(&counts)), (4, tally.ok), "{counts:?}\n{}", chain.output());
    let wrong = |line: &&Value| line["stops"] != 1 || !line["error"].is_null() || line["connected"] == false;
    assert_eq!(counts.iter().find(wrong), None, "{}", chain.output());
    let output = chain.output();
    assert!(!output.contains("killed") && !output.contains("code=8") && !output.contains("code=9"), "{output}");
}

#[test]
fn a_handler_of_the_stop_signal_runs_to_its_end() {
    for (major, way, tools) in [
        (16, "close", "pm-restart pm-cluster"),
        (24, "quiet", "pm-cluster --stop-signal USR2"),
        (26, "exit", "pm-cluster --stop-signal INT"),
    ] {
        let scene = scene(major);
        life(&scene.start(&format!("{tools} -n 2 --soak 10ms node $F/counts.js {way}")));
    }
}

/// The launcher gets the signal; what it has started gets it too, or TERM once the launcher is gone.
#[test]
fn so_does_one_of_a_server_that_was_started_by_a_launcher() {
    for tools in ["pm-cluster", "pm-cluster --stop-signal INT --stop-group"] {
        let scene = scene(22);
        let server = scene.expand("node $F/counts.js exit; exit 0");
        let mut words: Vec<_> = tools.split(' ').collect();
        words.extend(["-n", "2", "--soak", "10ms", "sh", "-c", &server]);
        life(&scene.start_words(&words));
    }
}

#[test]
fn so_does_one_of_nodes_message() {
    let scene = scene(22).with("BY_MESSAGE", "1");
    life(&scene.start("pm-cluster --stop-signal message -n 2 --soak 10ms node $F/counts.js close"));
}
