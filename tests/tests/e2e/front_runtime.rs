//! `pm runtime`: all apps of a file in front of one process, as a container wants them.

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGKILL, SIGTERM};
use pm_tests::chain::{Chain, Stream};
use pm_tests::front::Front;
use pm_tests::podman::Container;
use pm_tests::scene::Scene;
use pm_tests::{http, proc, wait};

/// A cluster that serves, a job that fails once, a loop that crashes.
fn described(scene: &Scene) {
    let _ = scene.file("web.js", "require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT, () => console.log('web is up'))");
    let _ = scene.file("crash.js", "console.error('about to crash'); setTimeout(() => process.exit(3), 100)");
    let _ = scene.file("job.sh", "echo the job is done; exit 5");
    let file = "module.exports = { apps: [
        { name: 'web', script: 'web.js', instances: 2, exec_mode: 'cluster' },
        { name: 'crashing', script: 'crash.js', exp_backoff_restart_delay: 100 },
        { name: 'job', script: 'job.sh', autorestart: false }] }";
    let _ = scene.file("apps.config.js", file);
}

fn front() -> Front {
    let front = Front::new();
    described(&front.scene);
    front
}

fn has(chain: &Chain, stream: Stream, line: &str) -> bool {
    chain.lines(stream).iter().any(|said| said == line)
}

/// Waits until each has said what it says first, each line with its name in front, on the stream that it was written to.
#[track_caller]
fn all_have_spoken(chain: &Chain) {
    chain.until("the lines of all", || {
        let out = ["web      | web is up", "job      | the job is done"];
        let all = out.into_iter().all(|line| has(chain, Stream::Out, line));
        (all && has(chain, Stream::Err, "crashing | about to crash")).then_some(())
    });
    chain.line("web      | pm-cluster: info: ready workers=2/2");
    chain.line("app 'job' has ended: code=5; 2 of the others run");
}

#[test]
fn a_second_shell_sees_and_reloads_them() {
    let front = front();
    let chain = front.start(&["runtime", "apps.config.js"]);
    all_have_spoken(&chain);
    let list = front.list();
    assert!(list.contains(&"web:online".to_owned()) && list.contains(&"job:stopped".to_owned()), "{list:?}");
    let before = front.pids("web");
    front.ok("reload web");
    assert!(front.pids("web").iter().all(|pid| !before.contains(pid)));
    let logs = front.ok("logs web --lines 20 --nostream").out;
    assert!(logs.contains("web is up"), "{logs}");
    // HUP reloads all.
    let before = front.pids("web");
    chain.signal(SIGHUP);
    wait::until("new workers", || front.pids("web").iter().all(|pid| !before.contains(pid)).then_some(()));
    let of_all: Vec<u32> = proc::children(chain.pid());
    chain.signal(SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
    assert!(of_all.iter().all(|pid| !proc::alive(*pid)), "nothing is left");
    assert_eq!(front.list(), ["crashing:stopped", "job:stopped", "web:stopped"]);
}

/// What another shell restarts goes on, though for a moment none ran; what it stops has ended.
#[test]
fn a_restart_from_a_second_shell_is_not_the_end() {
    let front = front();
    let chain = front.start(&["runtime", "apps.config.js", "--only", "web"]);
    wait::until("one app", || (front.list() == ["web:online", "web:online"]).then_some(()));
    let chain = {
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "alone it is the supervisor\n{}", chain.output());
        front.start(&["runtime", "apps.config.js", "--only", "web,job"])
    };
    chain.line("app 'job' has ended: code=5; 1 of the others run");
    for _ in 0..3 {
        front.ok("restart web -s");
        assert!(chain.running(), "{}", chain.output());
        assert!(http::get(front.scene.port, "/").is_ok());
    }
    chain.line("app 'web' was started by another shell");
    front.ok("stop web -s");
    assert_eq!(chain.ended(), Some(5), "the job had failed\n{}", chain.output());
}

/// Whoever has started them last: HUP reloads them, TERM ends them, and what a killed supervisor has left, too.
#[test]
fn signals_reach_what_another_shell_has_started() {
    let front = front();
    let _ = front.scene.file("other.js", "setInterval(() => {}, 1000)");
    let file = "module.exports = { apps: [
        { name: 'web', script: 'web.js', instances: 2, exec_mode: 'cluster' },
        { name: 'off', script: 'other.js', autostart: false },
        { name: 'other', script: 'other.js', instances: 1, exec_mode: 'cluster', autorestart: true }] }";
    let _ = front.scene.file("three.config.js", file);
    let all_are = |count| {
        wait::until("all to be online", || {
            let list = front.list();
            (list.iter().filter(|app| app.ends_with(":online")).count() == count).then_some(())
        });
    };
    for killed in [false, true] {
        let chain = front.start(&["runtime", "three.config.js"]);
        all_are(3);
        front.ok("restart web -s");
        front.ok("start off -s");
        all_are(4);
        if killed {
            let pid = std::fs::read_to_string(front.scene.dir().join("pm/other/pid")).expect("a supervisor");
            proc::send(pid.trim().parse().expect("a pid"), SIGKILL);
            chain.line("app 'other' has ended: signal=KILL");
        }
        let before = front.pids("web");
        chain.signal(SIGHUP);
        wait::until("new workers", || front.pids("web").iter().all(|pid| !before.contains(pid)).then_some(()));
        all_are(4);
        chain.signal(SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{}", chain.output());
        // An app whose supervisor was killed and that ended below another is called errored.
        let other = if killed { "other:errored" } else { "other:stopped" };
        assert_eq!(front.list(), ["off:stopped", other, "web:stopped"], "{}", chain.output());
    }
}

#[test]
fn the_code_tells() {
    let front = Front::new();
    for (script, text) in [("well.sh", "exit 0"), ("bad.sh", "exit 7"), ("worse.sh", "sleep 0.2; exit 9")] {
        let _ = front.scene.file(script, text);
    }
    let code = |scripts: &[&str]| {
        let apps = scripts.iter().map(|script| format!("{{ script: '{script}.sh', autorestart: false }}"));
        let file = format!("module.exports = {{ apps: [{}] }}", apps.collect::<Vec<_>>().join(", "));
        let _ = front.scene.file("all.config.js", &file);
        let chain = front.start(&["runtime", "all.config.js"]);
        (chain.ended(), chain.output())
    };
    for (scripts, wanted) in [(["well", "bad"], 7), (["worse", "bad"], 7), (["worse", "well"], 9)] {
        let (ended, output) = code(&scripts);
        assert_eq!(ended, Some(wanted), "{scripts:?}\n{output}");
    }
    let said = front.line("runtime all.config.js --only nobody");
    assert!(said.code == 1 && said.err.contains("no app called nobody"), "{said:?}");
    let said = front.line("runtime all.config.js well.sh");
    assert!(said.code == 1 && said.err.contains("one file with all apps"), "{said:?}");
    let said = front.line("runtime well.sh --prot 3000");
    assert!(said.code == 1 && said.err.contains("stands behind --"), "{said:?}");
}

/// Every line is an object, those of ours too.
#[test]
fn lines_as_objects() {
    let front = front();
    let chain = front.start(&["runtime", "apps.config.js", "--json"]);
    chain.line("ready workers=2/2");
    chain.signal(SIGINT);
    assert_eq!(chain.ended(), Some(130), "{}", chain.output());
    let lines = [chain.lines(Stream::Out), chain.lines(Stream::Err)].concat();
    for line in lines {
        let object: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(object["app"].is_string() && object["message"].is_string(), "{line}");
    }
}

/// What writes the lines is killed, and they go on.
#[test]
fn a_killed_writer_is_replaced() {
    let front = Front::new();
    let _ = front.scene.file("a.sh", "n=0; while sleep 0.2; do n=$((n + 1)); echo line $n; done");
    let _ = front
        .scene
        .file("b.config.js", "module.exports = { apps: [{ script: 'a.sh' }, { name: 'b', script: 'a.sh' }] }");
    let chain = front.start(&["runtime", "b.config.js"]);
    // One that ends within its first second is not replaced: its successor would fare no better.
    chain.line("a | line 9");
    let pid: u32 = std::fs::read_to_string(front.scene.dir().join("pm/a/log.pid"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .expect("a writer");
    let before = chain.lines(Stream::Out).iter().filter(|line| line.starts_with("a | ")).count();
    proc::send(pid, SIGKILL);
    chain.until("more lines", || {
        (chain.lines(Stream::Out).iter().filter(|line| line.starts_with("a | ")).count() > before + 2).then_some(())
    });
    chain.stop();
}

/// As process 1: three apps, one of which crashes all the time; the engine's stop is within the grace.
#[test]
fn three_apps_in_a_container() {
    for (signal, code) in [(None, Some(0)), (Some(Signal::SIGQUIT), Some(0)), (Some(SIGINT), Some(130))] {
        let scene = Scene::new();
        described(&scene);
        let volume =
            format!("--volume={0}:{0}:ro --workdir={0} --env=PM_HOME=/run/pm --tmpfs=/run/pm", scene.dir().display());
        let container = Container::run_words(&scene, &volume, &["pm", "runtime", "apps.config.js"]);
        all_have_spoken(&container.chain);
        container.chain.until("it to serve", || http::get(scene.port, "/").ok());
        let listed = container.exec("pm list");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("online") && listed.contains("web"), "{listed}");
        let ended = match signal {
            None => container.stop(),
            Some(signal) => {
                container.kill(signal);
                container.chain.wait().code()
            }
        };
        assert_eq!(ended, code, "{}", container.chain.output());
    }
}
