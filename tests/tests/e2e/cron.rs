//! Set times: `--cron`, and `cron_restart` as PM2 has it.

use pm_tests::front::Front;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, proc};

const EACH_SECOND: &str = "* * * * * *";

/// Writes a line to `runs` at each start, and ends.
const JOB: &str = "require('fs').appendFileSync('runs', 'x')\n";

fn runs(front: &Front) -> usize {
    std::fs::read_to_string(front.scene.dir().join("runs")).map_or(0, |text| text.len())
}

#[test]
fn a_cluster_is_rolled_at_a_set_time_and_nothing_is_lost() {
    let scene = Scene::with_node(24);
    let app = scene
        .file("app.js", "require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)");
    let app = app.to_str().expect("text");
    let words = ["pm-restart", "--cron", "*/3 * * * * *", "pm-cluster", "-n", "2", "--soak", "100ms", "node", app];
    let chain = scene.start_words(&words);
    let first = any::serving(&chain, 2);
    let load = Load::start(scene.port, 2, Style::Kept);
    chain.until("another of each", || {
        let now = any::workers(&scene);
        (now.len() == 2 && now.iter().all(|(slot, pid)| first.get(slot) != Some(pid))).then_some(())
    });
    load.advance(5);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    chain.stop();
}

#[test]
fn a_job_runs_at_its_times_and_rests_between_them() {
    let front = Front::new();
    let _ = front.scene.file("job.js", JOB);
    let said = front.pm(&["start", "job.js", "--no-autorestart", "--cron-restart", EACH_SECOND]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("it is started again at"), "{said:?}");
    let supervisor = front.scene.process("pm-restart").expect("it waits for the next time");
    pm_tests::wait::until("three runs", || (runs(&front) >= 3).then_some(()));
    assert!(proc::alive(supervisor));
    assert_eq!(front.jlist()[0]["pm2_env"]["cron_restart"], EACH_SECOND);
    let told = front.ok("describe job").out;
    assert!(told.contains(&format!("{EACH_SECOND}; next 20")), "{told}");
    front.ok("delete job");
    let at_the_end = runs(&front);
    assert!(!proc::alive(supervisor));
    assert_eq!(runs(&front), at_the_end);
}

#[test]
fn a_job_whose_time_is_far_away_is_stopped_and_costs_nothing() {
    let front = Front::new();
    let _ = front.scene.file("job.js", JOB);
    let said = front.pm(&["start", "job.js", "--no-autorestart", "--cron", "0 3 29 2 *"]);
    assert_eq!((said.code, runs(&front)), (0, 1), "{said:?}");
    assert_eq!(front.list(), ["job:stopped"]);
    front.ok("restart job");
    assert_eq!(runs(&front), 2, "whoever asks has it run now");
    front.ok("stop job");
    front.ok("delete job");
}

#[test]
fn a_pattern_that_is_none_is_refused_and_nothing_starts() {
    let front = Front::new();
    let _ = front.scene.file("job.js", JOB);
    for pattern in ["every night", "61 * * * *", "0 0 30 2 *"] {
        let said = front.pm(&["start", "job.js", "--cron", pattern]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(&format!("cron_restart: '{pattern}': ")), "{said:?}");
    }
    assert_eq!((runs(&front), front.list()), (0, Vec::<String>::new()));
    front.ok("start job.js --no-autorestart --cron-restart 0");
    assert_eq!(runs(&front), 1, "as in PM2 it is no time");
}
