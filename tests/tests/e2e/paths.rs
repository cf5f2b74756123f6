//! Unix sockets with a path, of apps that remove it before they listen.

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::http::{Connection, Miss};
use pm_tests::scene::Scene;
use pm_tests::{proc, roll, stat};

/// Who answers on the path.
fn answer(scene: &Scene) -> Result<u32, Miss> {
    let text = Connection::open_unix(&scene.dir().join("app.sock"))?.request("/", "close")?;
    Ok(text.trim().parse().unwrap_or(0))
}

/// The worker that has removed the path last.
fn removed(chain: &Chain, by: impl Fn(u32) -> bool) -> u32 {
    chain.until("a worker that removes the path", || {
        let pid = std::fs::read_to_string(chain.scene.dir().join("removed")).ok()?.parse().ok()?;
        by(pid).then_some(pid)
    })
}

fn pids(scene: &Scene) -> Vec<u32> {
    stat::workers(scene).iter().filter_map(stat::Line::pid).collect()
}

/// The new worker holds still between the two, for as long as the test likes.
#[test]
fn one_that_was_removed_is_back_before_the_new_worker_listens() {
    for workers in [1, 2] {
        let scene = Scene::with_node(24).with("SOCK", "app.sock");
        let go = scene.file("go", "");
        let chain = scene.start(&format!("pm-restart pm-cluster -n {workers} --soak 10ms node $F/unix.js"));
        chain.until("an answer", || answer(&scene).ok());
        chain.until("all to be ready", || stat::workers(&scene).iter().all(|w| w.state() == "ready").then_some(()));
        for _ in 0..3 {
            let old = pids(&scene);
            std::fs::remove_file(&go).expect("there");
            let asked = roll::ask(&chain);
            let new = removed(&chain, |pid| !old.contains(&pid));
            let by = chain.until("an answer", || answer(&scene).ok());
            assert!(by != new && old.contains(&by), "{by} {new} {old:?}");
            let _ = scene.file("go", "");
            assert_eq!(roll::ended(&chain, asked)["ok"], true, "{}", chain.output());
            roll::drained(&chain);
        }
        let killed = pids(&scene)[0];
        proc::send(killed, SIGKILL);
        removed(&chain, |pid| pids(&scene).contains(&pid));
        chain.until("an answer", || answer(&scene).ok().filter(|pid| *pid != killed));
        chain.stop();
        assert!(!scene.dir().join("app.sock").exists() && !scene.dir().join(".app.sock.pm").exists());
    }
}
