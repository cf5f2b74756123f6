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
fn rolls(default: usize) -> usize {
    std::env::var("PM_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A server: the scene with what it needs, and its command line.
struct Row {
    scene: Scene,
    server: String,
}

fn row(server: &str) -> Row {
    Row { scene: any::scene(), server: server.to_owned() }
}

/// The whole table for one server.
fn holds(row: &Row) {
    holds_below("pm-cluster", row, rolls(3));
}

/// What is in front of pm-cluster makes no difference.
fn holds_below(cluster: &str, Row { scene, server }: &Row, rolls: usize) {
    let chain = any::start(scene, &format!("{cluster} -n 2 --soak 100ms"), server);
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
    for _ in 0..rolls {
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
const GO: &str = "$A/go-server";
const RUST: &str = "$A/rust-server";
const JAVA: &str = "java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp $A Server";

const LIGHTTPD: &str = "lighttpd -D -f $F/any/lighttpd.conf";

/// A directory and a configuration of its own for each nginx.
fn nginx(reuseport: &str) -> Row {
    let row = row("sh $T/nginx.sh $T/nginx.conf $T");
    let scene = &row.scene;
    let text = std::fs::read_to_string(scene.expand("$F/any/nginx.conf")).expect("a fixture");
    let here = scene.expand("$T");
    let text = text.replace("REUSEPORT", reuseport).replace("PORT", &scene.port.to_string()).replace("DIR", &here);
    let _ = scene.file("nginx.conf", &text);
    let script = "sed s/SLOT/$PM_SLOT-$PM_GENERATION/ $1 >$1.$PM_SLOT; exec nginx -e stderr -p $2 -c $1.$PM_SLOT";
    let _ = scene.file("nginx.sh", script);
    row
}

/// It serves files: one for each slot, which it chooses by its environment.
fn lighttpd() -> Row {
    let row = row(LIGHTTPD);
    for slot in ["0", "1"] {
        let _ = row.scene.file(slot, &format!("slot {slot}"));
    }
    row
}

fn puma(more: &str) -> Row {
    let row = row(&format!("{PUMA}{more}"));
    std::fs::copy(row.scene.expand("$F/any/config.ru"), row.scene.dir().join("config.ru")).expect("our own directory");
    row
}

fn npm() -> Row {
    let row = row("npm start --silent");
    let package = serde_json::json!({ "scripts": { "start": row.scene.expand("node $F/app.js") } }).to_string();
    let _ = row.scene.file("package.json", &package);
    row
}

fn gunicorn_of_two() -> Row {
    row(&GUNICORN.replace("-b", "-w 2 -b"))
}

fn uvicorn_of_two() -> Row {
    row(&UVICORN.replace("--port", "--workers 2 --port"))
}

#[test]
fn python_http_server() {
    holds(&row(PYTHON));
}

#[test]
fn gunicorn_with_one_worker() {
    holds(&row(GUNICORN));
}

#[test]
fn gunicorn_with_two_workers() {
    holds(&gunicorn_of_two());
}

#[test]
fn uvicorn() {
    holds(&row(UVICORN));
}

#[test]
fn uvicorn_with_two_workers() {
    holds(&uvicorn_of_two());
}

#[test]
fn go() {
    holds(&row(GO));
}

#[test]
fn java() {
    holds(&row(JAVA));
}

/// Whether a 64-bit ELF file is linked dynamically: it has a program header of type PT_INTERP, 3 (elf(5)).
fn names_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize| elf.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let (first, size, count) = (number(32), number(54), number(56));
    (0..count).any(|which| number(first + which * size) == 3)
}

#[test]
fn rust_hyper_linked_statically() {
    let program = std::fs::read(any::dir().join("rust-server")).expect("scripts/test builds it");
    assert!(!names_interpreter(&program), "it is linked dynamically");
    assert!(names_interpreter(&std::fs::read("/bin/sh").expect("a shell")), "what would be seen");
    holds(&row(RUST));
}

#[test]
fn nginx_with_two_workers() {
    holds(&nginx(""));
}

#[test]
fn nginx_that_shares_the_port_among_its_workers() {
    holds(&nginx("reuseport"));
}

#[test]
fn haproxy() {
    holds(&row(HAPROXY));
}

#[test]
fn caddy() {
    holds(&row(CADDY));
}

#[test]
fn lighttpd_with_files() {
    holds(&lighttpd());
}

#[test]
fn puma_alone() {
    holds(&puma(""));
}

#[test]
fn puma_with_two_workers() {
    holds(&puma(" -w 2"));
}

#[test]
fn node_behind_npm_start() {
    holds(&npm());
}

/// Without any privilege: nothing of it needs one. Fewer rolls, which are the same whoever rolls.
mod as_root {
    use super::*;

    const NOBODY: &str = "setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all --inh-caps=-all";

    fn holds_for_nobody(row: &Row) {
        holds_below(&format!("{NOBODY} pm-cluster"), row, rolls(1));
    }

    #[test]
    fn nobody_runs_python() {
        holds_for_nobody(&row(PYTHON));
    }

    #[test]
    fn nobody_runs_gunicorn_with_one_worker() {
        holds_for_nobody(&row(GUNICORN));
    }

    #[test]
    fn nobody_runs_gunicorn_with_two_workers() {
        holds_for_nobody(&gunicorn_of_two());
    }

    #[test]
    fn nobody_runs_uvicorn() {
        holds_for_nobody(&row(UVICORN));
    }

    #[test]
    fn nobody_runs_uvicorn_with_two_workers() {
        holds_for_nobody(&uvicorn_of_two());
    }

    #[test]
    fn nobody_runs_go() {
        holds_for_nobody(&row(GO));
    }

    #[test]
    fn nobody_runs_java() {
        holds_for_nobody(&row(JAVA));
    }

    #[test]
    fn nobody_runs_rust() {
        holds_for_nobody(&row(RUST));
    }

    #[test]
    fn nobody_runs_nginx_with_two_workers() {
        holds_for_nobody(&nginx(""));
    }

    #[test]
    fn nobody_runs_nginx_that_shares_the_port_among_its_workers() {
        holds_for_nobody(&nginx("reuseport"));
    }

    #[test]
    fn nobody_runs_haproxy() {
        holds_for_nobody(&row(HAPROXY));
    }

    #[test]
    fn nobody_runs_caddy() {
        holds_for_nobody(&row(CADDY));
    }

    #[test]
    fn nobody_runs_lighttpd() {
        holds_for_nobody(&lighttpd());
    }

    #[test]
    fn nobody_runs_puma() {
        holds_for_nobody(&puma(""));
    }

    #[test]
    fn nobody_runs_puma_with_two_workers() {
        holds_for_nobody(&puma(" -w 2"));
    }

    #[test]
    fn nobody_runs_node_behind_npm_start() {
        holds_for_nobody(&npm());
    }

    #[test]
    fn the_workers_alone_are_nobody() {
        holds(&row(&format!("{NOBODY} {PYTHON}")));
    }

    /// What the rows above rest on.
    #[test]
    fn nobody_has_no_capability() {
        let scene = any::scene();
        let chain = any::start(&scene, NOBODY, "cat /proc/self/status");
        assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        let none = |set: &str| chain.line(set).ends_with("\t0000000000000000");
        assert!(["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].into_iter().all(none), "{}", chain.output());
        assert!(!chain.line("Uid:").split_whitespace().any(|id| id == "0"), "{}", chain.output());
    }
}
