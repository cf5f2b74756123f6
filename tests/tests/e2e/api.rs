//! The module for Node (`scripts/api`): programs written for PM2's module say the same with either; and the bus that it
//! reads, in an app's directory.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use pm_tests::front::Front;
use pm_tests::pm2::Pm2;
use pm_tests::scene::Scene;
use pm_tests::{bins, proc, stat, wait};
use serde_json::{Value, json};

fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/api")
}

fn pm2_packages() -> PathBuf {
    bins::cache().join("../pm2/node_modules")
}

/// Runs a program of the fixtures with a module; gives what it wrote on stdout.
#[track_caller]
fn told(scene: &Scene, module: &Path, program: &str, more: &[&str]) -> Vec<String> {
    let place = bins::fixtures().join("api");
    let mut command = scene.command(&["node", program, module.to_str().expect("UTF-8")]);
    command.args(more).current_dir(place).env("NODE_PATH", pm2_packages()).env("PM_BIN_DIR", bins::tools());
    let output = command.output().expect("node runs");
    let (text, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} with {}: {}\n{text}\n{err}", module.display(), output.status);
    text.lines().map(str::to_owned).collect()
}

/// What a program says with PM2's module, and with ours.
#[track_caller]
fn both(program: &str, argument: Option<&str>) -> [Vec<String>; 2] {
    let (pm2, ours) = (Pm2::with_node(22), Front::with_node(22));
    let said = |scene: &Scene, module: &Path| {
        let port = scene.port.to_string();
        told(scene, module, program, &[argument.unwrap_or(&port)])
    };
    [said(&pm2.scene, &pm2_packages().join("pm2")), said(&ours.scene, &module())]
}

#[test]
fn calls_give_what_they_give_in_pm2() {
    let [theirs, ours] = both("calls.js", None);
    assert_eq!(ours, theirs);
    assert!(ours.len() > 20, "{ours:?}");
}

#[test]
fn the_bus_tells_of_the_life_of_an_app_as_pm2s_does() {
    let [theirs, ours] = both("events.js", None);
    assert_eq!(ours, theirs);
    assert!(ours.contains(&"restart: exit online restart!".to_owned()), "{ours:?}");
}

#[test]
fn what_an_app_sends_comes_over_the_bus_and_what_is_sent_to_it_arrives() {
    for mode in ["fork", "cluster"] {
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        // PM2 has two ways for the messages of a fork, of which one is faster.
        let [theirs, ours] = both("messages.js", Some(mode)).map(sorted);
        assert_eq!(ours.len(), 14, "{mode}: {ours:?}");
        assert_eq!(ours, theirs, "{mode}");
    }
}

#[test]
fn a_limiter_that_counts_in_one_process_for_all_workers_does_so() {
    let [theirs, ours] = both("limiter.js", None);
    assert_eq!(ours, [r#"{"200":7,"429":53,"workers":2}"#]);
    assert_eq!(ours, theirs);
}

#[test]
fn without_a_callback_there_are_promises() {
    for major in [16, 26] {
        let front = Front::with_node(major);
        let said = told(&front.scene, &module(), "promises.mjs", &[&front.scene.port.to_string()]);
        let pid = said.last().and_then(|line| line.strip_prefix("1 1 ")).and_then(|pid| pid.parse().ok());
        let unknown = "true process or namespace not found: no app 'nope'; there are: web";
        assert_eq!(said[..4], ["web online true", unknown, "true", "undefined"], "Node {major}: {said:?}");
        let refused = ["start", "start", "expected an app (a name", "expected an app (a name", "scale"];
        let told: Vec<&str> =
            said.iter().flat_map(|line| line.split('\'').skip(1).step_by(2)).skip(1).take(5).collect();
        assert_eq!(told, refused, "Node {major}: {said:?}");
        assert!(said.contains(&"disconnected before the bus was there true".to_owned()), "Node {major}: {said:?}");
        // What an independent one starts ends with the program, other apps do not.
        let pid: u32 = pid.unwrap_or_else(|| panic!("{said:?}"));
        wait::until("its app to end", || (!proc::alive(pid)).then_some(()));
        assert_eq!(front.list(), [""; 0]);
    }
}

#[test]
fn a_program_is_told_where_the_tools_are_missing() {
    let scene = Scene::with_node(20);
    let script = format!("require('{}').list(e => console.log(e.message))", module().display());
    let mut command = scene.command(&["node", "-e", &script]);
    let output = command.env("PM_BIN_DIR", scene.dir()).output().expect("node runs");
    let expected = format!("cannot find {}/pm: install pm, or name its directory: PM_BIN_DIR\n", scene.dir().display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// A connection to the bus of an app.
struct Bus(BufReader<UnixStream>);

impl Bus {
    fn connect(front: &Front, app: &str) -> Self {
        let path = front.scene.dir().join(format!("pm/{app}/bus"));
        let stream = wait::until("the bus", || UnixStream::connect(&path).ok());
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("set");
        Self(BufReader::new(stream))
    }

    fn write(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").expect("written");
    }

    /// The next line; `Null`: it was closed, or reset as there was something that its end had not read.
    fn read(&mut self) -> Value {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Value::Null,
            read => {
                read.expect("a line in time");
                serde_json::from_str(&line).unwrap_or_default()
            }
        }
    }

    /// Sends an app that echoes a message, and waits for the answer and the echo.
    fn echo(&mut self, slot: u32, text: &str) {
        self.write(&json!({"slot": slot, "message": text}).to_string());
        let mut lines = [self.read(), self.read()];
        lines.sort_by_key(|line| line.get("sent").is_none());
        assert_eq!(lines[0], json!({"sent": 1}));
        assert_eq!((&lines[1]["slot"], &lines[1]["message"]), (&json!(slot), &json!({"echo": text})));
    }
}

/// Starts an app of two workers that answer each message with its echo.
fn echoes() -> Front {
    let front = Front::new();
    let _ = front.scene.file(
        "echo.js",
        "process.on('message', (echo) => process.send({ echo }));\
         require('http').createServer((q, r) => r.end('x')).listen(process.env.PORT)\n",
    );
    front.ok("start echo.js -i 2");
    front
}

#[test]
fn a_successor_of_a_killed_pm_cluster_has_the_bus_and_its_workers_are_heard() {
    let front = echoes();
    let mut bus = Bus::connect(&front, "echo");
    bus.echo(0, "a");
    bus.echo(1, "b");
    let cluster = front.scene.process("pm-cluster").expect("it runs");
    proc::send(cluster, Signal::SIGKILL);
    while bus.read() != Value::Null {}
    let mut bus = wait::until("a new bus", || {
        let mut bus = Bus::connect(&front, "echo");
        bus.write(r#"{"slot":7,"message":0}"#);
        (bus.read() == json!({"sent": 0})).then_some(bus)
    });
    wait::until("both workers", || (front.list() == ["echo:online", "echo:online"]).then_some(()));
    bus.echo(1, "c");
    front.ok("delete echo");
    assert_eq!(bus.read(), Value::Null);
    assert!(!front.scene.dir().join("pm/echo").exists());
}

#[test]
fn who_says_nonsense_or_never_reads_harms_nobody() {
    let front = echoes();
    let mut deaf = Bus::connect(&front, "echo");
    let mut wrong = Bus::connect(&front, "echo");
    let mut bus = Bus::connect(&front, "echo");
    wrong.write("nonsense");
    assert_eq!(wrong.read(), Value::Null, "it is let go");
    let long = "x".repeat(20_000);
    // More than is kept for the deaf one, who reads nothing meanwhile.
    for number in 0..100 {
        bus.echo(number % 2, &long);
    }
    let status = stat::workers(&front.scene);
    assert!(status.iter().all(|worker| worker.state() == "ready"), "{status:?}");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &Value| line.get("missed").is_none()) {
        // Whoever reads again is told with the next message how many were missed.
        if lines.len() % 10 == 0 {
            bus.echo(0, "more");
        }
        lines.push(deaf.read());
    }
    let missed = lines.last().and_then(|line| line["missed"].as_u64()).expect("a number");
    assert!(missed > 0 && lines.len() > 20, "{missed} of {}", lines.len());
}

#[test]
fn what_is_no_node_has_no_bus() {
    let front = Front::new();
    front.ok("start sleep --interpreter none --name rests -- 1000");
    assert!(!front.scene.dir().join("pm/rests/bus").exists());
}
