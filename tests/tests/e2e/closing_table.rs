//! Servers of all kinds, unchanged, and clients that keep their connections busy: a reload loses nothing.

use pm_tests::any;
use pm_tests::load::{Load, Style};
use pm_tests::roll;
use pm_tests::scene::Scene;

/// Clients that never pause for longer than a few milliseconds.
const CLIENTS: usize = 4;
const NOBODY: &str = "setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all --inh-caps=-all ";

/// A server: the scene with what it needs, and its command line.
struct Row {
    scene: Scene,
    server: String,
}

fn row(server: &str) -> Row {
    Row { scene: any::scene(), server: server.to_owned() }
}

/// What a reload of a server, or as many as `PM_TEST_ROLLS` says, cost its clients: answers, and requests lost.
fn rolled(Row { scene, server }: &Row, options: &str, before: &str) -> (u64, usize) {
    let rolls: usize = std::env::var("PM_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    // Of one worker nobody else takes the clients until the next is there; of several the end is the same.
    let chain = any::start(scene, &format!("{before}pm-cluster -n 1 --soak 100ms --grace 8s {options}"), server);
    any::serving(&chain, 1);
    let load = Load::start(scene.port, CLIENTS, Style::Kept);
    load.advance(20);
    for _ in 0..rolls {
        roll::well(&chain);
        load.advance(10);
    }
    let tally = load.end();
    assert!(chain.messages("cannot tell").is_empty(), "{}", chain.output());
    chain.stop();
    (tally.ok, tally.misses.len())
}

/// Nothing is lost; where `PM_TEST_CLOSING` asks for a table, what it is without the closing beside it, and as nobody.
fn holds(name: &str, make: impl Fn() -> Row) {
    let (answers, lost) = rolled(&make(), "", "");
    let table = std::env::var_os("PM_TEST_CLOSING");
    if let Some(table) = &table {
        let (plain_answers, plain) = rolled(&make(), "--no-close-rewrite", "");
        let as_nobody = rolled(&make(), "", NOBODY);
        let text = format!(
            "{name:<28}{lost:>6} of {answers:<8}{plain:>6} of {plain_answers:<8}{:>6} of {}\n",
            as_nobody.1, as_nobody.0
        );
        let file = std::fs::OpenOptions::new().create(true).append(true).open(table);
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.expect("the file of PM_TEST_CLOSING can be written");
        assert_eq!(as_nobody.1, 0, "{name}, as nobody");
    }
    assert_eq!(lost, 0, "{name}");
}

/// A directory of its own for what a server keeps, and its configuration with the port in it.
fn configured(server: &str, fixture: &str, name: &str) -> Row {
    let row = row(server);
    let text = std::fs::read_to_string(row.scene.expand(&format!("$F/any/{fixture}"))).expect("a fixture");
    let here = row.scene.expand("$T");
    let text = text.replace("REUSEPORT", "").replace("PORT", &row.scene.port.to_string()).replace("DIR", &here);
    let _ = row.scene.file(name, &text);
    row
}

#[test]
fn python_http_server() {
    holds("python http.server", || row("/usr/bin/python3 $F/any/kept.py"));
}

#[test]
fn gunicorn() {
    for kind in ["sync", "gthread --threads 8"] {
        for workers in [1, 2] {
            let server =
                format!("$A/venv/bin/gunicorn --no-control-socket -w {workers} -k {kind} -b 127.0.0.1:$P wsgi:app");
            holds(&format!("gunicorn {kind} -w {workers}"), || row(&server));
        }
    }
}

#[test]
fn uvicorn() {
    for workers in [1, 2] {
        let server =
            format!("$A/venv/bin/uvicorn --no-access-log --log-level warning --workers {workers} --port $P asgi:app");
        holds(&format!("uvicorn --workers {workers}"), || row(&server));
    }
}

#[test]
fn hypercorn() {
    holds("hypercorn", || row("$A/venv/bin/hypercorn --log-level warning -b 127.0.0.1:$P asgi:app"));
}

#[test]
fn go() {
    holds("Go net/http", || row("$A/go-server"));
}

#[test]
fn java() {
    let server = "java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp $A Server";
    holds("Java HttpServer", || row(server));
}

#[test]
fn hyper() {
    holds("hyper", || row("$A/rust-server"));
}

#[test]
fn puma() {
    for more in ["", " -w 2"] {
        holds(&format!("puma{more}"), || {
            // Of clients that never pause, one of as many as it is to have threads could wait for ever: by itself, too, puma accepts
            // no fourth beside three for whom it has made a thread each.
            let row = row(&format!("puma -q -t 8:8 -b tcp://127.0.0.1:$P{more}"));
            let _ = std::fs::copy(row.scene.expand("$F/any/config.ru"), row.scene.dir().join("config.ru"));
            row
        });
    }
}

#[test]
fn nginx() {
    holds("nginx, 2 processes", || {
        let row = configured("sh $T/nginx.sh $T/nginx.conf $T", "nginx.conf", "nginx.conf");
        let script = "sed s/SLOT/$PM_SLOT-$PM_GENERATION/ $1 >$1.$PM_SLOT; exec nginx -e stderr -p $2 -c $1.$PM_SLOT";
        let _ = row.scene.file("nginx.sh", script);
        row
    });
}

#[test]
fn apache() {
    for module in ["event", "prefork"] {
        holds(&format!("Apache {module}"), || {
            let row = configured("apache2 -DFOREGROUND -f $T/apache.conf", "apache.conf", "apache.conf");
            let scene = row.scene.with("MODULE", module);
            let _ = scene.file("index.html", "slot 0");
            Row { scene, ..row }
        });
    }
}

#[test]
fn php() {
    holds("PHP's built-in server", || {
        let row = row("php -q -S 127.0.0.1:$P $T/index.php");
        let _ = row
            .scene
            .file("index.php", "<?php $pid = getmypid(); header('Content-Length: ' . strlen($pid)); echo $pid;");
        row
    });
}

#[test]
fn node_without_the_script() {
    holds("Node --no-preload", || row("--no-preload node $F/app.js"));
    holds("Node --no-preload, below sh", || {
        let row = row("--no-preload sh $T/run.sh");
        let _ = row.scene.file("run.sh", &row.scene.expand("node $F/app.js; exit $?"));
        row
    });
}
