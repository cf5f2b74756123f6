//! Servers of all kinds, unchanged: every worker serves, a worker that is killed costs what it had in hand, a roll
//! costs nothing.

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::any;
use pm_tests::http::Miss;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{proc, roll};

/// Clients that ask at the same time, each with a new connection for each request.
const CLIENTS: usize = 4;

/// Rolls under load: `scripts/stress` asks for more.
fn rolls() -> usize {
    std::env::var("PM_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

const NOBODY: &str = "setpriv --reuid=nobody --clear-groups --bounding-set=-all --inh-caps=-all";

/// The whole table for one server.
fn holds(before: &str, server: &str) {
    holds_in(&any::scene(), before, server);
}

fn holds_in(scene: &Scene, before: &str, server: &str) {
    let chain = any::start(scene, &format!("{before} pm-cluster -n 2 --soak 100ms"), server);
    let first = any::serving(&chain, 2);
    let load = Load::start(scene.port, CLIENTS, Style::OneShot);
    load.advance(10);
    proc::send(first[&0], SIGKILL);
    chain.until("a successor", || any::workers(scene).get(&0).is_some_and(|pid| *pid != first[&0]).then_some(()));
    any::serving(&chain, 2);
    load.advance(10);
    let tally = load.end();
    let in_hand = tally.misses.iter().all(|miss| matches!(miss, Miss::Reset | Miss::Cut));
    assert!(in_hand && tally.misses.len() <= CLIENTS, "{:?}\n{}", tally.misses, chain.output());
    let load = Load::start(scene.port, CLIENTS, Style::OneShot);
    load.advance(10);
    for _ in 0..rolls() {
        roll::well(&chain);
        load.advance(5);
    }
    any::serving(&chain, 2);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert!(chain.messages("warning").iter().all(|line| line.contains("ended")), "{}", chain.output());
    chain.stop();
}

const PYTHON: &str = "/usr/bin/python3 $F/any/server.py";
const GUNICORN: &str = "$A/venv/bin/gunicorn --no-control-socket -b 127.0.0.1:$P wsgi:app";
const UVICORN: &str = "$A/venv/bin/uvicorn --no-access-log --log-level warning --port $P asgi:app";
const HAPROXY: &str = "haproxy -db -f $F/any/haproxy.cfg";
const CADDY: &str = "caddy run --adapter caddyfile --config $F/any/Caddyfile";
const PUMA: &str = "puma -q -b tcp://127.0.0.1:$P";
const JAVA: &str = "java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp $A Server";

/// A directory and a configuration of its own for each nginx.
fn nginx(scene: &Scene, reuseport: &str) -> String {
    let text = std::fs::read_to_string(scene.expand("$F/any/nginx.conf")).expect("a fixture");
    let here = scene.expand("$T");
    let text = text.replace("REUSEPORT", reuseport).replace("PORT", &scene.port.to_string()).replace("DIR", &here);
    let _ = scene.file("nginx.conf", &text);
    let script = "sed s/SLOT/$PM_SLOT-$PM_GENERATION/ $1 >$1.$PM_SLOT; exec nginx -e stderr -p $2 -c $1.$PM_SLOT";
    let _ = scene.file("nginx.sh", script);
    "sh $T/nginx.sh $T/nginx.conf $T".to_owned()
}

#[test]
fn python_http_server() {
    holds("", PYTHON);
}

#[test]
fn gunicorn_with_one_worker() {
    holds("", GUNICORN);
}

#[test]
fn gunicorn_with_two_workers() {
    holds("", &GUNICORN.replace("-b", "-w 2 -b"));
}

#[test]
fn uvicorn() {
    holds("", UVICORN);
}

#[test]
fn uvicorn_with_two_workers() {
    holds("", &UVICORN.replace("--port", "--workers 2 --port"));
}

#[test]
fn go() {
    holds("", "$A/go-server");
}

#[test]
fn java() {
    holds("", JAVA);
}

#[test]
fn rust_linked_statically() {
    holds("", "$A/rust-server");
}

#[test]
fn nginx_with_two_workers() {
    let scene = any::scene();
    let line = nginx(&scene, "");
    holds_in(&scene, "", &line);
}

#[test]
fn nginx_that_shares_the_port_among_its_workers() {
    let scene = any::scene();
    let line = nginx(&scene, "reuseport");
    holds_in(&scene, "", &line);
}

#[test]
fn haproxy() {
    holds("", HAPROXY);
}

#[test]
fn caddy() {
    holds("", CADDY);
}

#[test]
fn puma() {
    let scene = any::scene();
    std::fs::copy(scene.expand("$F/any/config.ru"), scene.dir().join("config.ru")).expect("our own directory");
    holds_in(&scene, "", PUMA);
}

#[test]
fn puma_with_two_workers() {
    let scene = any::scene();
    std::fs::copy(scene.expand("$F/any/config.ru"), scene.dir().join("config.ru")).expect("our own directory");
    holds_in(&scene, "", &format!("{PUMA} -w 2"));
}

#[test]
fn node_behind_npm_start() {
    let scene = any::scene();
    let package = serde_json::json!({ "scripts": { "start": scene.expand("node $F/app.js") } }).to_string();
    let _ = scene.file("package.json", &package);
    holds_in(&scene, "", "npm start --silent");
}

/// Without any privilege: nothing of it needs one.
mod as_root {
    use super::*;

    #[test]
    fn nobody_runs_python() {
        holds(NOBODY, PYTHON);
    }

    #[test]
    fn nobody_runs_gunicorn_with_two_workers() {
        holds(NOBODY, &GUNICORN.replace("-b", "-w 2 -b"));
    }

    #[test]
    fn nobody_runs_go() {
        holds(NOBODY, "$A/go-server");
    }

    #[test]
    fn nobody_runs_java() {
        holds(NOBODY, JAVA);
    }

    #[test]
    fn nobody_runs_rust() {
        holds(NOBODY, "$A/rust-server");
    }

    #[test]
    fn the_workers_alone_are_nobody() {
        let scene = any::scene();
        holds_in(&scene, "", &format!("{NOBODY} {PYTHON}"));
    }
}
