//! What is restarted, how soon, and when it ends.

use pm_tests::scene::Scene;
use pm_tests::stat;

/// Runs a shell script under these options until it ends: its code, and how often the script ran.
fn run(options: &str, script: &str) -> (Option<i32>, usize) {
    let scene = Scene::new();
    let script = format!("echo run; {script}");
    let mut words: Vec<&str> = options.split(' ').collect();
    words.extend(["sh", "-c", &script]);
    let chain = scene.start_words(&words);
    (chain.ended(), chain.output().matches("Out run").count())
}

const QUICK: &str = "pm-restart --backoff 1ms..2ms";

#[test]
fn never_runs_once() {
    assert_eq!(run("pm-restart --restart never", "exit 3"), (Some(3), 1));
    assert_eq!(run("pm-restart --restart never", "exit 0"), (Some(0), 1));
}

#[test]
fn on_failure_ends_with_success() {
    assert_eq!(run("pm-restart --restart on-failure", "exit 0"), (Some(0), 1));
    let counted = "n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; [ $n = 2 ]";
    assert_eq!(run(&format!("{QUICK} --restart on-failure"), counted), (Some(0), 3));
}

/// A death by signal is a failure, whatever its number looks like.
#[test]
fn on_failure_restarts_after_a_signal() {
    let counted = "n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; [ $n = 2 ] || kill -TERM $$";
    assert_eq!(run(&format!("{QUICK} --restart on-failure"), counted), (Some(0), 3));
}

#[test]
fn stop_codes_end_and_others_do_not() {
    let counted = "n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; [ $n = 2 ] && exit 42; exit 1";
    assert_eq!(run(&format!("{QUICK} --stop-codes 0,42"), counted), (Some(42), 3));
}

#[test]
fn a_death_by_signal_is_no_stop_code() {
    let options = format!("{QUICK} --intensity 2/60s --stop-codes 137,9");
    assert_eq!(run(&options, "kill -KILL $$"), (Some(137), 3));
}

/// N restarts within the window are allowed; the next one is one too many.
#[test]
fn giving_up_says_so_and_ends_with_the_childs_code() {
    let scene = Scene::new();
    let chain = scene.start(&format!("{QUICK} --intensity 3/60s sh -c echo${{IFS}}run;exit${{IFS}}7"));
    assert_eq!(chain.ended(), Some(7), "{}", chain.output());
    assert_eq!(chain.output().matches("Out run").count(), 4, "{}", chain.output());
    let said = chain.lines(pm_tests::chain::Stream::Err).iter().any(|l| l.contains("giv") && l.contains("up"));
    assert!(said, "{}", chain.output());
}

#[test]
fn giving_up_after_signals_is_not_success() {
    assert_eq!(run(&format!("{QUICK} --intensity 2/60s"), "kill -KILL $$"), (Some(137), 3));
}

/// A slot over the intensity is failed while the others serve.
#[test]
fn one_failed_slot_does_not_end_the_others() {
    let scene = Scene::with_node(24);
    let script = scene.expand("[ $PM_SLOT = 1 ] && exit 5; exec node $F/app.js");
    let line = format!("{QUICK} --intensity 2/60s pm-cluster -n 2 sh -c");
    let mut words: Vec<&str> = line.split(' ').collect();
    words.push(&script);
    let chain = scene.start_words(&words);
    let failed = chain.until("a failed slot", || stat::workers(&scene).into_iter().find(|l| l.state() == "failed"));
    assert_eq!(failed.number("slot"), 1);
    chain.serving(1);
    assert!(chain.running());
    chain.stop();
}

#[test]
fn a_cluster_whose_slots_all_fail_gives_up_for_the_whole_chain() {
    let scene = Scene::new();
    let chain = scene.start(&format!("{QUICK} --intensity 2/60s pm-cluster -n 2 sh -c exit${{IFS}}5"));
    assert_eq!(chain.ended(), Some(5), "{}", chain.output());
}

/// A worker that crashes at once is held back longer and longer: seen in the states, not by a clock.
#[test]
fn a_crash_loop_is_held_back() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart --backoff 50ms..1h pm-cluster -n 1 sh -c exit${IFS}1");
    let line = chain.until("several restarts", || {
        let line = stat::workers(&scene).pop()?;
        (line.number("restarts") >= 4 && line.state() == "backoff").then_some(line)
    });
    assert_eq!(line.pid(), None, "{line:?}");
    assert!(line.0.to_string().contains("crash") || line.0.to_string().contains("start"), "{line:?}");
    chain.stop();
}

#[test]
fn always_restarts_after_success() {
    let scene = Scene::new();
    let chain = scene.start(&format!("{QUICK} --restart always sh -c echo${{IFS}}run"));
    chain.on_line("five runs", |c| (c.output().matches("Out run").count() >= 5).then_some(()));
    assert!(chain.running());
    chain.stop();
}

/// The supervisors of a chain agree: the inner pm-restart adds to what the outer one said.
#[test]
fn an_inner_restart_merges_its_options_over_the_outer_ones() {
    let scene = Scene::new();
    let chain = scene.start(&format!("{QUICK} --restart never pm-restart --stop-codes 9 sh -c exit${{IFS}}3"));
    assert_eq!(chain.ended(), Some(3), "{}", chain.output());
}
