//! pm-log in a chain: no line is lost, doubled or torn, and the writer lives exactly as long as somebody may write.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal::{self, SIGKILL, SIGTERM};
use pm_tests::scene::Scene;
use pm_tests::wait::until;
use pm_tests::{http, proc, stat};
use serde_json::Value;

/// Serves, says so, and answers each request with a line of its own.
const TALKS: &str = "
const http = require('http')
const server = http.createServer((q, r) => { console.log('asked', q.url); r.end(String(process.pid)) })
server.listen(process.env.PORT, () => console.log('hello', process.pid))
process.on('SIGTERM', () => { console.error('bye'); process.stdout.write('the last word', () => process.exit(0)) })
";

/// An app in the background.
struct App<'a> {
    scene: &'a Scene,
    dir: PathBuf,
}

impl<'a> App<'a> {
    /// Puts the chain into the background; the app's name is `app`.
    #[track_caller]
    fn start(scene: &'a Scene, chain: &str) -> Self {
        let line = scene.expand(&format!("pm-fork {chain} node $T/app.js"));
        let output = scene.command(&line.split(' ').collect::<Vec<_>>()).output().expect("pm-fork runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("started app 'app'"), "{said}");
        Self { scene, dir: scene.dir().join("pm/app") }
    }

    fn number(&self, file: &str) -> Option<u32> {
        fs::read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    fn writer(&self) -> u32 {
        until("the writer", || self.number("log.pid"))
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        proc::send(self.number("pid").expect("it runs"), signal);
    }

    /// Waits until every process of it has ended, the writer among them.
    #[track_caller]
    fn ended(&self) {
        until("the end of all processes", || self.scene.processes().is_empty().then_some(()));
    }

    /// All that was written to a file, the rotated parts of it first.
    fn all(&self, name: &str) -> String {
        let numbered = (1..).map(|n| fs::read_to_string(self.dir.join(format!("{name}.{n}"))));
        let mut texts: Vec<String> = numbered.map_while(Result::ok).collect();
        texts.reverse();
        texts.push(fs::read_to_string(self.dir.join(name)).unwrap_or_default());
        texts.concat()
    }

    #[track_caller]
    fn says(&self, text: &str) {
        until(text, || self.all("out.log").contains(text).then_some(()));
    }
}

/// Three workers that each write 50,000 lines as fast as they can into files that are rotated all the time; what was
/// written when all are done and stopped.
fn flooded(scene: &Scene, write: &str) -> String {
    let text = format!(
        "const slot = process.env.NODE_APP_INSTANCE
         const write = {write}
         for (let n = 0; n < 50000; n++) write(`slot ${{slot}} line ${{n}} ${{'x'.repeat(n % 60)}}.\\n`)
         // What a pipe does not take, node keeps: ready is who has nothing left to say.
         const listen = () => require('http').createServer((q, r) => r.end()).listen(process.env.PORT)
         console_write ? process.stdout.write('', listen) : listen()"
    );
    let _ = scene.file("app.js", &text);
    let app = App::start(scene, "pm-log --max-size 300K --keep 500 pm-restart pm-cluster --ready-timeout 60s -n 3");
    let done = || stat::workers(scene).iter().filter(|w| w.text("ready_by") == "listen").count() == 3;
    until("three that are done", || done().then_some(()));
    app.signal(SIGTERM);
    app.ended();
    let files = fs::read_dir(&app.dir).expect("there").flatten();
    let files = files.filter(|entry| entry.file_name().to_string_lossy().starts_with("out.log"));
    let sizes: Vec<u64> = files.map(|entry| entry.metadata().expect("there").len()).collect();
    assert!(sizes.len() > 20 && sizes.iter().all(|size| *size <= 300 << 10), "{sizes:?}");
    app.all("out.log")
}

#[test]
fn every_line_of_three_workers_is_there_once_and_whole() {
    let scene = Scene::with_node(24);
    let text = flooded(&scene, "(line) => require('fs').writeSync(1, line), console_write = null");
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let count = next.entry(words[1].to_owned()).or_default();
        assert_eq!(line, format!("slot {} line {count} {}.", words[1], "x".repeat(*count % 60)));
        *count += 1;
    }
    assert_eq!(next.into_values().collect::<Vec<_>>(), [50_000; 3]);
}

/// Node writes to a full pipe what it takes, so that lines of several workers may mix; but nothing is lost or doubled.
#[test]
fn every_byte_of_workers_that_flood_the_console_is_there() {
    let scene = Scene::with_node(24);
    let text = flooded(&scene, "(line) => process.stdout.write(line), console_write = write");
    let mut want: Vec<u8> = Vec::new();
    for slot in 0..3 {
        (0..50_000).for_each(|n| want.extend(format!("slot {slot} line {n} {}.\n", "x".repeat(n % 60)).bytes()));
    }
    let mut got = text.into_bytes();
    got.sort_unstable();
    want.sort_unstable();
    assert!(got == want, "{} bytes of {}", got.len(), want.len());
}

#[test]
fn a_crash_keeps_the_writer_and_a_stop_ends_it_with_the_last_word_written() {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", TALKS);
    let app = App::start(&scene, "pm-log --json --max-size 10M pm-restart");
    app.says("hello");
    let (writer, first) = (app.writer(), http::get(scene.port, "/one").expect("served"));
    assert_eq!(proc::name(writer), "pm-log");
    assert!(!proc::children(app.number("pid").expect("it runs")).contains(&writer), "no descendant");
    proc::send(first.parse().expect("a pid"), SIGKILL);
    until("a successor", || http::get(scene.port, "/two").ok().filter(|pid| *pid != first));
    app.says("asked /two");
    assert_eq!(app.writer(), writer);
    app.signal(SIGTERM);
    app.ended();
    assert!(!app.dir.join("log.pid").exists());
    for (file, kind, last) in [("out.log", "out", "the last word"), ("err.log", "err", "bye")] {
        let text = app.all(file);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.iter().all(|line| line["type"] == kind && line["app"] == "app"), "{text}");
        assert!(lines.iter().any(|line| line["message"] == last), "{text}");
    }
}

/// Its signals go to the process group of nobody, and it has ended once the workers have.
#[test]
fn a_supervisor_that_is_killed_takes_the_writer_with_it_in_the_end() {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", "require('http').createServer((q, r) => r.end('here')).listen(process.env.PORT)");
    let app = App::start(&scene, "pm-log --time pm-cluster -n 2");
    until("it serves", || http::get(scene.port, "/").ok());
    let _ = app.writer();
    app.signal(SIGKILL);
    app.ended();
}

/// What the manual says of it: its guard starts another one, and no worker notices.
#[test]
fn a_killed_writer_has_a_successor_and_no_worker_dies_of_it() {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", TALKS);
    let app = App::start(&scene, "pm-log --time pm-restart pm-cluster -n 2");
    let workers = || Some(stat::workers(&scene)).filter(|all| all.iter().filter(|w| w.state() == "ready").count() == 2);
    // One that is killed in its first second is not replaced.
    let old = |w: &stat::Line| w.0["uptime_s"].as_f64().is_some_and(|s| s > 1.5);
    let before = until("two old workers", || workers().filter(|all| all.iter().all(old)));
    let before: Vec<_> = before.iter().filter_map(stat::Line::pid).collect();
    let writer = app.writer();
    proc::send(writer, SIGKILL);
    for n in 0..50 {
        let pid = http::get(scene.port, &format!("/{n}")).expect("served").parse().expect("a pid");
        assert!(before.contains(&pid), "{pid} is not one of {before:?}");
    }
    app.says("asked /49");
    until("the pid of another writer", || (app.writer() != writer).then_some(()));
    let said = "pm-log: warning: the writer has ended, killed by SIGKILL; this one goes on";
    until(said, || app.all("err.log").contains(said).then_some(()));
    app.signal(SIGTERM);
    app.ended();
    assert_eq!(app.all("out.log").matches("asked /").count(), 50, "what was said meanwhile waited in the pipe");
    assert!(!app.dir.join("log.pid").exists());
}

/// Each of the two watches the other.
#[test]
fn a_killed_guard_has_a_successor_which_guards() {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", TALKS);
    let app = App::start(&scene, "pm-log --time pm-restart");
    until("it serves", || http::get(scene.port, "/").ok());
    let writer = app.writer();
    proc::send(proc::parent(writer).expect("its guard"), SIGKILL);
    let next = until("another writer", || app.number("log.pid").filter(|pid| *pid != writer));
    let seen = Instant::now();
    until("that it is said", || {
        app.all("err.log").contains("the guard of the writer was killed; there is").then_some(())
    });
    assert_eq!(proc::parent(next), Some(writer), "the old writer guards");
    // One that is killed in its first second is not replaced.
    until("it to be old", || (seen.elapsed().as_millis() > 1200).then_some(()));
    proc::send(next, SIGKILL);
    assert!(http::get(scene.port, "/after").is_ok());
    app.says("asked /after");
    let said = "the writer has ended, killed by SIGKILL; this one goes on";
    until(said, || app.all("err.log").contains(said).then_some(()));
    app.signal(SIGTERM);
    app.ended();
    assert!(app.all("out.log").contains("the last word"));
    assert!(!app.dir.join("log.pid").exists());
}

/// The broken release ends once the writer has written what it said.
#[test]
fn the_last_lines_of_a_broken_release_are_told_through_the_writer() {
    let scene = Scene::with_node(24);
    let text = "require('http').createServer((q, r) => r.end('good')).listen(process.env.PORT)";
    let _ = scene.file("app.js", text);
    let app = App::start(&scene, "pm-log pm-cluster -n 1 --soak 0s --ready-timeout 1h");
    until("it serves", || http::get(scene.port, "/").ok());
    let broken = "const said = 'cannot find my configuration'; console.error(said)\n\
        const written = () => require('fs').readFileSync('pm/app/err.log', 'utf8').includes(said)\n\
        setInterval(() => written() && process.exit(1), 20)";
    let _ = scene.file("app.js", broken);
    app.signal(Signal::SIGHUP);
    let waited = scene.command(&["pm-stat", "--wait", "rolled", "--timeout", "60s", "app"]).output().expect("runs");
    let said = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert!(said.contains("cannot find my configuration"), "{said}");
    assert_eq!(http::get(scene.port, "/").expect("served"), "good");
    app.signal(SIGTERM);
    app.ended();
}

/// With logrotate's plain move there is nobody to tell.
#[test]
fn a_file_that_was_moved_is_begun_anew_under_a_running_app() {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", TALKS);
    let app = App::start(&scene, "pm-log --time pm-restart");
    app.says("hello");
    fs::rename(app.dir.join("out.log"), app.dir.join("moved")).expect("moved");
    assert!(http::get(scene.port, "/after").is_ok());
    app.says("asked /after");
    assert!(!app.all("out.log").contains("hello"));
    app.signal(SIGTERM);
    app.ended();
}
