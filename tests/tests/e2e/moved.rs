//! Releases that listen elsewhere: what a reload holds them to, how soon it says so, and how a person says that it is meant.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, deploy, http, ports, proc, roll, stat};
use serde_json::Value;

const SERVERS: [&str; 2] = ["node $F/moves.js", "python3 $F/any/moves.py"];
/// Without any knowledge of the old worker a reload would wait for the ready timeout.
const TIMEOUT: Duration = Duration::from_secs(120);

fn release(scene: &Scene, version: &str, plan: &str) {
    deploy::write(scene, &format!("{version}/plan"), plan);
    let (new, current) = (scene.dir().join("current.new"), scene.dir().join("current"));
    symlink(version, &new).and_then(|()| fs::rename(&new, &current)).expect("our own directory");
}

/// Starts a server with this plan.
fn start<'a>(scene: &'a Scene, tools: &str, server: &str, plan: &str) -> Chain<'a> {
    release(scene, "1", plan);
    let script = scene.expand(&format!("cd $T/current && exec {tools} --ready-timeout 2m {server}"));
    let chain = scene.start_words(&["sh", "-c", &script]);
    chain.line("ready workers=");
    listens(&chain, &[scene.port]);
    chain
}

/// Reloads, and says how that ended and how long it took.
fn reload(chain: &Chain, moved: bool) -> (Value, Duration) {
    let (begun, before) = (Instant::now(), roll::number(&roll::state(chain), "requested"));
    let option: &[&str] = if moved { &["--moved"] } else { &[] };
    let words = [&["pm-fork", "--signal", "HUP"], option, &["--", "moves"]].concat();
    let told = chain.scene.command(&words).output().expect("pm-fork runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    (roll::ended(chain, before + 1), begun.elapsed())
}

#[track_caller]
fn refused(chain: &Chain, why: &str) {
    let (rolled, after) = reload(chain, false);
    assert_eq!(rolled["ok"], false, "{rolled}\n{}", chain.output());
    assert!(rolled["reason"].as_str().is_some_and(|reason| reason.contains(why)), "no '{why}' in {rolled}");
    assert!(after < TIMEOUT / 2, "{after:?}");
    roll::drained(chain);
}

#[track_caller]
fn well(chain: &Chain, moved: bool) -> Duration {
    let (rolled, after) = reload(chain, moved);
    assert_eq!(rolled["ok"], true, "{rolled}\n{}", chain.output());
    roll::drained(chain);
    after
}

#[track_caller]
fn lost_none(chain: &Chain, load: Load) {
    let sum = load.end();
    let (lost, first) = (sum.misses.len(), sum.misses.first());
    assert_eq!(lost, 0, "of {}, the first: {first:?}\n{}", sum.ok, chain.output());
}

fn listens(chain: &Chain, ports: &[u16]) {
    let all: Vec<String> = ports.iter().map(|port| format!("tcp:127.0.0.1:{port}")).collect();
    let open = |worker: &stat::Line| {
        all.iter().all(|at| worker.0["listen"].as_array().is_some_and(|l| l.iter().any(|a| a == at)))
    };
    chain.until(&format!("workers that listen on {all:?}"), || {
        stat::workers(chain.scene).iter().all(open).then_some(())
    });
}

#[test]
fn a_port_that_moved_is_said_at_once_and_moves_when_it_is_meant() {
    for server in SERVERS {
        let scene = any::scene();
        let (old, new) = (scene.port, ports::free());
        let chain = start(&scene, "pm-restart pm-cluster -n 2", server, &old.to_string());
        release(&scene, "2", &new.to_string());
        let load = Load::of(old, "/", &Style::crowd(4));
        refused(&chain, &format!("listens on 127.0.0.1:{new}, not on 127.0.0.1:{old} as the one before it"));
        lost_none(&chain, load);
        well(&chain, true);
        assert!(http::get(new, "/").is_ok());
        let closed = chain.until("the old port to be closed", || TcpStream::connect(("127.0.0.1", old)).err());
        assert_eq!(closed.kind(), std::io::ErrorKind::ConnectionRefused);
        // It was said of that one reload.
        release(&scene, "3", &old.to_string());
        refused(&chain, &format!("listens on 127.0.0.1:{old}, not on 127.0.0.1:{new}"));
        chain.stop();
    }
}

/// Whoever left it was killed before he could ask for his reload.
#[test]
fn a_mark_that_nobody_has_taken_is_no_later_reloads() {
    let front = Front::new();
    release(&front.scene, "1", &front.scene.port.to_string());
    let words = ["start", &front.scene.expand("$F/moves.js"), "-i", "1", "--cwd", &front.scene.expand("$T/current")];
    front.ok_words(&words);
    release(&front.scene, "2", &ports::free().to_string());
    let mark = front.scene.dir().join("pm/moves/moved");
    fs::write(&mark, "").expect("our own directory");
    let said = front.line("reload moves");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("as the one before it") && !mark.exists(), "{said:?}");
    front.ok("reload moves --moved");
}

#[test]
fn a_port_that_a_release_drops_is_named_and_dropped_when_it_is_meant() {
    for server in SERVERS {
        let scene = any::scene();
        let (port, metrics) = (scene.port, ports::free());
        let chain = start(&scene, "pm-cluster -n 2", server, &format!("{port} {metrics}"));
        listens(&chain, &[port, metrics]);
        release(&scene, "2", &port.to_string());
        refused(&chain, &format!("listens on 127.0.0.1:{port}, not on 127.0.0.1:{metrics}"));
        let load = Load::of(port, "/", &Style::crowd(4));
        well(&chain, true);
        lost_none(&chain, load);
        chain.until("the dropped port to be closed", || TcpStream::connect(("127.0.0.1", metrics)).err());
        well(&chain, false);
        chain.stop();
    }
}

/// The second one is served without a gap, although each new worker opens it some seconds after the first.
#[test]
fn a_second_port_that_comes_late_in_every_generation_is_waited_for() {
    for server in SERVERS {
        let scene = any::scene();
        let (port, second) = (scene.port, ports::free());
        let chain = start(&scene, "pm-cluster -n 1", server, &format!("{port} {second}@3000"));
        listens(&chain, &[port, second]);
        let load = Load::of(second, "/", &Style::crowd(4));
        for _ in 0..2 {
            let after = well(&chain, false);
            assert!(after > Duration::from_secs(3), "{after:?}");
        }
        lost_none(&chain, load);
        chain.stop();
    }
}

#[test]
fn a_port_opened_by_a_request_is_asked_of_no_new_worker() {
    for server in SERVERS {
        let scene = any::scene();
        let (port, extra) = (scene.port, ports::free());
        let chain = start(&scene, "pm-cluster -n 1 --soak 50ms", server, &format!("{port} {extra}@request"));
        // It has served for longer than a soak, and is new: later ports count for nobody anyway.
        let ready = Instant::now();
        chain.until("it to have served", || (ready.elapsed() > Duration::from_millis(50)).then_some(()));
        http::get(port, "/").expect("served");
        listens(&chain, &[extra]);
        // Nobody but its successor can show what kind of port that was.
        let before = stat::workers(&scene)[0].pid().expect("it lives");
        proc::send(before, SIGKILL);
        let crashed = Instant::now();
        let ready = || stat::workers(&scene).iter().any(|w| w.state() == "ready" && w.pid() != Some(before));
        chain.until("its successor", || ready().then_some(()));
        assert!(crashed.elapsed() < TIMEOUT / 2);
        chain.line("worker serves less than the one before it");
        for _ in 0..2 {
            well(&chain, false);
            http::get(port, "/").expect("served");
            listens(&chain, &[extra]);
        }
        chain.stop();
    }
}

/// One of three has opened it: the others show that the code does without.
#[test]
fn a_port_opened_in_one_worker_of_several_is_asked_of_no_new_worker() {
    let scene = any::scene();
    let (port, extra) = (scene.port, ports::free());
    let begun = Instant::now();
    let chain = start(&scene, "pm-cluster -n 3 --soak 50ms", SERVERS[0], &format!("{port} {extra}@request"));
    http::get(port, "/").expect("served");
    let opened = || stat::workers(&scene).iter().any(|w| w.0["listen"].as_array().is_some_and(|l| l.len() == 2));
    chain.until("the port", || opened().then_some(()));
    // From here on twice as long as it can have taken to open it, and longer than a soak.
    let long = begun.elapsed() * 3 + Duration::from_millis(100);
    chain.until("the others to have served", || (begun.elapsed() > long).then_some(()));
    assert!(well(&chain, false) < TIMEOUT / 2);
    chain.stop();
}

#[test]
fn a_unix_path_counts_once_two_workers_had_it_and_moves_as_ports_do() {
    for server in SERVERS {
        let scene = any::scene();
        let (port, path) = (scene.port, scene.dir().join("app.sock"));
        let plan = format!("{port} {}", path.display());
        let chain = start(&scene, "pm-cluster -n 1", server, &plan);
        let open = || UnixStream::connect(&path).ok();
        chain.until("the path", open);
        well(&chain, false);
        release(&scene, "2", &port.to_string());
        if server == SERVERS[0] {
            refused(&chain, &format!("listens on 127.0.0.1:{port}, not on unix:{}", path.display()));
        }
        well(&chain, true);
        chain.stop();
    }
}

/// What is asked for while a reload is under way is done after it.
#[test]
fn a_move_that_is_asked_for_during_a_reload_is_the_next_ones() {
    let scene = any::scene();
    let (old, new) = (scene.port, ports::free());
    let chain = start(&scene, "pm-cluster -n 2", SERVERS[0], &old.to_string());
    let first = roll::ask(&chain);
    roll::awaiting(&chain, "");
    release(&scene, "2", &new.to_string());
    let (rolled, _) = reload(&chain, true);
    assert_eq!(rolled["ok"], true, "{rolled}\n{}", chain.output());
    assert!(roll::number(&rolled, "ended") > first);
    http::get(new, "/").expect("it has moved");
    chain.stop();
}

#[test]
fn who_does_not_run_gets_no_mark() {
    let scene = any::scene();
    let chain = start(&scene, "pm-cluster -n 1", SERVERS[0], &scene.port.to_string());
    chain.stop();
    let told = scene.command(&["pm-fork", "--signal", "HUP", "--moved", "moves"]).output().expect("pm-fork runs");
    assert_eq!(told.status.code(), Some(1));
    assert!(!scene.dir().join("pm/moves/moved").exists());
}

/// As a person says it: of an app, and of a config file.
#[test]
fn the_front_says_that_it_is_meant() {
    let front = Front::new();
    let _ = front.scene.file("plan", &front.scene.port.to_string());
    let script = front.scene.expand("$F/moves.js");
    let config = format!(
        "module.exports = {{ apps: [{{ name: 'moves', script: '{script}', instances: 2, exec_mode: 'cluster' }}] }}"
    );
    let _ = front.scene.file("ecosystem.config.js", &config);
    front.ok("start ecosystem.config.js");
    for (target, port) in [("moves", ports::free()), ("ecosystem.config.js", ports::free())] {
        let _ = front.scene.file("plan", &port.to_string());
        let refused = front.line(&format!("reload {target}"));
        assert!(refused.code == 1 && refused.err.contains("pm reload APP --moved"), "{refused:?}");
        front.ok(&format!("reload {target} --moved"));
        http::get(port, "/").expect("it has moved");
    }
    let refused = front.line("restart moves --moved");
    assert!(refused.code == 1 && refused.err.contains("no option --moved"), "{refused:?}");
}
