//! What a start says of an app that does not serve: a port that is taken, a crash that comes soon, a crash loop, and the exit
//! code of what has ended.

use std::fmt::Write as _;
use std::net::{Ipv6Addr, TcpListener};

use pm_tests::front::Front;
use pm_tests::wait;

/// The error goes to the callback, and nothing keeps the app alive.
const EXPRESS_5: &str =
    "const app = require('express')(); app.listen(process.env.PORT, (error) => console.log(error?.code))\n";
/// The same with something that does.
const LIVES_ON: &str = "setInterval(() => {}, 1e6); require('./express5.js')\n";
/// The error ends the app.
const EXPRESS_4: &str = "require('express4')().listen(process.env.PORT)\n";
/// The app hears of it, and lives on.
const HEARS: &str =
    "setInterval(() => {}, 1e6); require('http').createServer().on('error', () => {}).listen(process.env.PORT)\n";
const PYTHON: &str = "import http.server, os\n\
    http.server.HTTPServer(('', int(os.environ['PORT'])), http.server.BaseHTTPRequestHandler).serve_forever()\n";

fn front() -> Front {
    let front = Front::new();
    for (name, text) in [
        ("express5.js", EXPRESS_5),
        ("lives.js", LIVES_ON),
        ("express4.js", EXPRESS_4),
        ("hears.js", HEARS),
        ("taken.py", PYTHON),
        ("soon.js", "setTimeout(() => process.exit(3), 100)\n"),
        ("later.js", "setInterval(() => {}, 1e6); process.on('SIGUSR2', () => process.exit(4))\n"),
        ("done.js", "console.log('done')\n"),
        ("bad.js", "throw new Error('no config')\n"),
    ] {
        let _ = front.scene.file(name, text);
    }
    front
}

/// Who has the port is told, with exit code 1, whatever the program makes of the error.
fn the_owner_is_told(scripts: &[&str], options: &str) {
    let front = front();
    front.ok("start app.js --name first -s");
    let taken = format!("port {} is taken by app 'first' (pid ", front.scene.port);
    let mut failed = String::new();
    for script in scripts {
        let said = front.line(&format!("start {script} --name second {options} -s"));
        if said.code != 1 || !said.err.contains(&taken) {
            let _ = writeln!(failed, "{script} {options}: {said:?}");
        }
        front.ok("delete second -s");
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn a_program_that_is_refused_its_port_and_ends_is_no_start_in_fork_mode() {
    the_owner_is_told(&["express5.js", "express4.js", "taken.py"], "");
    the_owner_is_told(&["express5.js", "taken.py"], "--no-autorestart");
}

#[test]
fn a_program_that_is_refused_its_port_and_lives_on_is_no_start_in_fork_mode() {
    the_owner_is_told(&["hears.js"], "");
}

#[test]
fn a_program_that_is_refused_its_port_is_no_start_in_cluster_mode() {
    the_owner_is_told(&["express5.js", "taken.py"], "-i 2 --exec-mode cluster");
}

/// Also where the one who has the port is no app.
#[test]
fn any_owner_of_a_port_is_told() {
    let front = front();
    let _taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, front.scene.port)).expect("our own port");
    let said = front.line("start express5.js --name second -s");
    let (port, pid) = (front.scene.port, std::process::id());
    let told = said.err.split(&format!("port {port} is taken by ")).nth(1).unwrap_or_default();
    assert!(said.code == 1 && told.contains(&format!("(pid {pid})")), "{said:?}");
}

/// One that is refused is watched for longer than a start waits for one that may yet listen: the start waits for what comes
/// of it, however late the program was loaded.
#[test]
fn a_start_waits_for_what_becomes_of_one_that_was_refused() {
    let front = front();
    let _ =
        front.scene.file("slow.js", "for (const end = Date.now() + 2000; Date.now() < end;); require('./lives.js')\n");
    front.ok("start app.js --name first -s");
    let said = front.line("start slow.js --name second -i 1 -s");
    assert!(said.code == 1 && said.err.contains("is taken by app 'first'"), "{said:?}");
}

/// Until then it is watched; a job that ends well is not waited for.
#[test]
fn what_serves_nobody_is_started_once_it_has_lived_for_a_second() {
    let front = front();
    let said = front.line("start soon.js --name soon --restart-delay 600000 -s");
    assert!(said.code == 1 && said.err.contains("app 'soon' does not start: its worker ended once"), "{said:?}");
    let said = front.line("start soon.js --name once --no-autorestart -s");
    assert!(said.code == 3 || said.code == 1, "{said:?}");
    // Soon after it, or before it was seen to be idle.
    assert!(said.err.contains("app 'once' ended ") && said.err.contains(": code=3"), "{said:?}");
    // So is it after a reload.
    let _ = front
        .scene
        .file("maybe.js", "require('fs').existsSync('soon') ? require('./soon.js') : setInterval(() => {}, 1e6)");
    front.ok("start maybe.js -s");
    let _ = front.scene.file("soon", "");
    let said = front.line("reload maybe -s");
    assert!(said.code == 1 && said.err.contains("ended within the soak code=3"), "{said:?}");
    let said = front.ok("start done.js --name done --no-autorestart -s");
    assert!(said.err.contains("app 'done' has ended") && !said.err.contains("tried again"), "{said:?}");
}

#[test]
fn a_crash_loop_is_not_called_running() {
    let front = front();
    let _ = front.line("start bad.js --name b -s");
    for line in ["start b", "start bad.js --name b", "reload b"] {
        let said = front.line(&format!("{line} -s"));
        assert!(said.code == 1 && said.err.contains("'b' is restarting after a crash: exit 1, "), "{line}: {said:?}");
        assert!(said.err.contains("; pm logs b"), "{line}: {said:?}");
        assert!(!said.err.contains("is running") && !said.err.contains("the old workers go on"), "{line}: {said:?}");
    }
}

/// As PM2's list has it; by hand it is in the list and in the description.
#[test]
fn the_exit_code_of_what_has_ended_is_kept() {
    let front = front();
    for (script, options, code) in [
        ("later.js", "--no-autorestart", 4),
        ("later.js", "--stop-exit-codes 4", 4),
        ("later.js", "--no-autorestart -i 2", 4),
        ("done.js", "--no-autorestart", 0),
    ] {
        front.ok(&format!("start {script} --name job {options} -s"));
        if script == "later.js" {
            front.ok("sendSignal USR2 job");
        }
        wait::until("its end, with its code", || {
            let ended = front.list() == ["job:stopped"] && front.jlist()[0]["pm2_env"]["exit_code"] == code;
            ended.then_some(())
        });
        let how = format!("exit {code}, ");
        assert!(front.ok("list").out.contains(&how), "{script} {options}: {}", front.ok("list").out);
        let described = front.ok("describe job").out;
        assert!(described.contains(&format!("exit {code} at ")), "{script} {options}: {described}");
        front.ok("delete job -s");
    }
    let said = front.line("start bad.js --name job --max-restarts 1 --restart-delay 1 -s");
    assert_ne!(said.code, 0, "{said:?}");
    wait::until("its end", || (front.list() == ["job:errored"]).then_some(()));
    assert_eq!(front.jlist()[0]["pm2_env"]["exit_code"], 1);
}

/// Who stops an app that is being started has it end well, and that is no good start.
#[test]
fn a_start_that_somebody_else_ends_is_none() {
    let front = front();
    let _ = front.scene.file("mute.js", "setInterval(() => {}, 1e6)\n");
    for verb in ["stop", "delete"] {
        let start = front.start(&["start", "mute.js", "--wait-ready", "--listen-timeout", "600000", "-s"]);
        wait::until("it to run", || (front.list() == ["mute:launching"]).then_some(()));
        front.ok(&format!("{verb} mute -s"));
        assert_eq!(start.wait().code(), Some(1), "{}", start.output());
        assert!(start.output().contains("'mute' was stopped by somebody else"), "{}", start.output());
    }
}

/// As in PM2: a job that never says that it is ready is run once, to its end (here it goes on until the test has a file `go`).
#[test]
fn a_job_without_the_sign_that_was_asked_for_runs_once() {
    let front = front();
    let ran = front.scene.dir().join("ran");
    let text = "const { appendFileSync: add } = require('fs'); add(process.env.RAN, 'begun ')\n\
        setInterval(() => { if (require('fs').existsSync('go')) { add(process.env.RAN, 'done '); process.exit(0) } }, 20)\n";
    let _ = front.scene.file("job.js", text);
    for (options, code, told, runs) in [
        ("--wait-ready", 0, "; it did not call process.send('ready') within 500 ms, and goes on", 1),
        ("--wait-listen", 1, "app 'job' goes on, but did not listen within 500 ms", 1),
        ("--wait-ready -i 2", 0, "; it did not call process.send('ready') within 500 ms, and goes on", 2),
    ] {
        let go = front.scene.dir().join("go");
        [&ran, &go].iter().for_each(|file| drop(std::fs::remove_file(file)));
        let line = format!("start job.js --no-autorestart --listen-timeout 500 {options} -s");
        let said = {
            let mut command = front.command(&line.split(' ').collect::<Vec<_>>());
            command.env("RAN", &ran).output().expect("pm runs")
        };
        let said = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
        assert!(said.0 == Some(code) && said.1.contains(told), "{options}: {said:?}");
        let _ = front.scene.file("go", "");
        let count = |word: &str| std::fs::read_to_string(&ran).unwrap_or_default().matches(word).count();
        wait::until("its end", || (count("done") == runs || count("begun") > runs).then_some(()));
        wait::until("the end of all", || (front.list() == ["job:stopped"]).then_some(()));
        assert_eq!((count("begun"), count("done")), (runs, runs), "{options}");
        front.ok("delete job -s");
    }
}
