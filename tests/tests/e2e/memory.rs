//! The memory limit: a fat worker is replaced, and nobody notices.

use std::collections::BTreeSet;

use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{http, proc, stat};

/// Waits until this many workers in all have been seen to answer.
fn seen(chain: &pm_tests::chain::Chain, count: usize) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    chain.until(&format!("{count} different workers"), || {
        pids.extend(http::pids(chain.scene.port, 4));
        (pids.len() >= count).then(|| pids.clone())
    })
}

#[test]
fn leaking_workers_are_replaced_and_every_probe_is_answered() {
    let scene = Scene::with_node(24).with("LEAK", "40");
    let chain = scene.start("pm-restart --stable 1s --max-mem 150M pm-cluster -n 2 node $E/leak.js");
    chain.serving(2);
    let load = Load::of(scene.port, "/", &Style::crowd(4));
    seen(&chain, 6);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {} were not answered\n{}", sum.misses, sum.ok, chain.output());
    let workers = stat::workers(&scene);
    assert!(workers.iter().any(|w| w.0.to_string().contains("memory")), "{workers:?}");
    chain.stop();
}

/// The successor is ready before the fat one goes: a single worker is never missing.
#[test]
fn a_single_leaking_worker_is_replaced_new_first() {
    let scene = Scene::with_node(24).with("LEAK", "40");
    let chain = scene.start("pm-restart --stable 1s --max-mem 150M pm-cluster -n 1 node $E/leak.js");
    chain.serving(1);
    let load = Load::of(scene.port, "/", &Style::crowd(4));
    seen(&chain, 3);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {} were not answered\n{}", sum.misses, sum.ok, chain.output());
    chain.stop();
}

#[test]
fn a_plain_child_over_the_limit_is_stopped_and_started() {
    let scene = Scene::with_node(24).with("LEAK", "40");
    let chain = scene.start("pm-restart --stable 1s --max-mem 150M node $E/leak.js");
    let pids = seen(&chain, 3);
    assert!(pids.iter().filter(|pid| proc::alive(**pid)).count() <= 1, "{pids:?} run at the same time");
    chain.until("the reason", || chain.messages("memory").pop());
    chain.stop();
}

/// The shell is small, its child is not.
#[test]
fn the_memory_is_that_of_the_whole_tree() {
    for tool in ["pm-restart --stable 1s --max-mem 150M", "pm-restart --stable 1s --max-mem 150M pm-cluster -n 1"] {
        let scene = Scene::with_node(24).with("LEAK", "40");
        let script = scene.expand("node $E/leak.js; true");
        let mut words: Vec<&str> = tool.split(' ').collect();
        words.extend(["sh", "-c", &script]);
        let chain = scene.start_words(&words);
        let pids = seen(&chain, 2);
        chain.until("the first to be gone", || {
            (pids.iter().filter(|pid| proc::alive(**pid)).count() <= 1).then_some(())
        });
        chain.stop();
    }
}

/// One allocation shared by a tree of processes counts once.
#[test]
fn copy_on_write_memory_of_a_tree_counts_once() {
    let scene = Scene::new();
    let script = "import os, time\nx = b'x' * (80 << 20)\nfor _ in range(3):\n    if os.fork() == 0: break\n\
        os.write(1, b'up\\n')\ntime.sleep(1e6)\n";
    let _ = scene.file("tree.py", script);
    let chain = scene.start("pm-restart --mem-interval 100ms --max-mem 200M python3 tree.py");
    chain.on_line("four processes", |c| (c.output().matches("Out up").count() == 4).then_some(()));
    let before = scene.processes();
    let supervisor = chain.pid();
    // Thirty looks at the tree have come and gone.
    let start = proc::wakeups(supervisor);
    chain.until("looks at the memory", || (proc::wakeups(supervisor) >= start + 30).then_some(()));
    assert_eq!(scene.processes(), before, "{}", chain.output());
    chain.stop();
}
