//! Node servers that something else starts and stays above: they lose as little as those that are started directly,
//! clients that keep their connections busy included.

use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, http, roll};

fn loses_nothing(scene: &Scene, server: &str) {
    let chain = any::start(scene, "pm-cluster -n 2 --soak 50ms", server);
    any::serving(&chain, 2);
    let load = Load::of(scene.port, "/", &[Style::crowd(8), vec![Style::Kept; 8]].concat());
    load.advance(3);
    for _ in 0..2 {
        roll::well(&chain);
        load.advance(3);
    }
    any::serving(&chain, 2);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert_eq!(left_in_environment(scene), Vec::<String>::new(), "of what the launcher passed on");
    chain.stop();
}

/// What the app's children would find of ours.
fn left_in_environment(scene: &Scene) -> Vec<String> {
    let env = http::get(scene.port, "/child-env").expect("serves");
    let ours = ["NODE_OPTIONS", "PM_PRELOAD", "PM_LINGER_MS", "PM_DRAIN_SIGNAL", "NODE_CHANNEL_FD", "NODE_UNIQUE_ID"];
    env.lines().filter(|line| ours.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

#[test]
fn below_npm_start() {
    for major in [18, 24] {
        let scene = Scene::with_node(major);
        let package = serde_json::json!({ "scripts": { "start": scene.expand("node $F/app.js") } }).to_string();
        let _ = scene.file("package.json", &package);
        loses_nothing(&scene, "npm start --silent");
    }
}

#[test]
fn below_a_shell_that_waits() {
    for major in [16, 20, 26] {
        let scene = Scene::with_node(major);
        let script = scene.expand("trap 'kill $!' TERM; node --version; node $F/app.js & wait; wait");
        let script = scene.file("start.sh", &script);
        loses_nothing(&scene, &format!("sh {}", script.display()));
    }
}

/// As npx and tsx do it.
#[test]
fn below_a_script_of_node() {
    for major in [16, 22] {
        let scene = Scene::with_node(major);
        loses_nothing(&scene, "$F/any/launch.js");
    }
}
