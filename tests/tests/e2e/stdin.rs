//! What an app reads: below pm-fork a FIFO that never ends, in a pipeline the pipe, at a terminal and in a cluster nothing.

use std::io::Write as _;
use std::process::Stdio;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use pm_tests::chain::{Chain, Stream};
use pm_tests::scene::Scene;
use pm_tests::{bins, front::Front, proc, wait};

const NODES: [u32; 2] = [16, 26];

/// Echoes what it reads, and ends with its input.
pub(crate) const CONSOLE: &str = "const rl = require('readline').createInterface({ input: process.stdin })
rl.on('line', (line) => console.log(`${process.pid} heard ${line}`))
rl.on('close', () => process.exit(3))
";

/// Waits for a line in the app's log.
fn logged(front: &Front, app: &str, text: &str) -> String {
    let log = front.scene.dir().join(format!("pm/{app}/out.log"));
    wait::until(&format!("'{text}' of {app}"), || {
        let all = std::fs::read_to_string(&log).ok()?;
        all.lines().find(|line| line.contains(text)).map(str::to_owned)
    })
}

#[test]
fn in_the_background_it_never_ends_and_pm_send_writes_to_it() {
    for major in NODES {
        let front = Front::with_node(major);
        let _ = front.scene.file("console.js", CONSOLE);
        let _ = front.scene.file("loop.py", "import sys\nfor line in sys.stdin: print('heard', line, flush=True)\n");
        front.ok("start console.js");
        front.ok("start loop.py --interpreter /usr/bin/python3");
        front.ok("start cat --name cat");
        for app in ["console", "loop", "cat"] {
            let before = front.pids(app);
            front.ok_words(&["send", app, "one", " $HOME"]);
            logged(&front, app, "one  $HOME");
            proc::send(before[0], SIGKILL);
            // What is sent before may be read by the one that dies.
            let other = |now: &Vec<u32>| !now.is_empty() && *now != before;
            let after = wait::until("its successor", || Some(front.pids(app)).filter(other));
            front.ok_words(&["send", app, "two"]);
            let heard = logged(&front, app, "two");
            assert!(app != "console" || heard == format!("{} heard two", after[0]), "{major}: {heard} of {after:?}");
        }
        assert!(front.jlist().iter().all(|item| item["pm2_env"]["restart_time"] == 1), "{:?}", front.list());
        front.ok("stop all");
        let said = front.line("send cat x");
        assert!(said.code == 1 && said.err.contains("app 'cat' is not running"), "{said:?}");
    }
}

#[test]
fn a_bundler_that_watches_goes_on() {
    let front = Front::new();
    let _ = front.scene.file("e.js", "export const x = 1\n");
    let esbuild = bins::cache().join("../pm2/node_modules/.bin/esbuild");
    let esbuild = esbuild.to_str().expect("UTF-8");
    front.ok_words(&["start", esbuild, "--name", "watch", "--", "e.js", "--watch", "--outfile=o.js"]);
    wait::until("what it makes", || std::fs::metadata(front.scene.dir().join("o.js")).ok());
    let _ = front.scene.file("e.js", "export const changed = 2\n");
    wait::until("what it makes anew", || {
        std::fs::read_to_string(front.scene.dir().join("o.js")).ok().filter(|text| text.contains("changed"))
    });
    // It might serve, for all that is known of it at first.
    let watch = &front.jlist()[0]["pm2_env"];
    assert!(watch["restart_time"] == 0 && ["launching", "online"].iter().any(|s| watch["status"] == *s), "{watch}");
}

fn piped<'a>(scene: &'a Scene, words: &[&str]) -> Chain<'a> {
    let mut command = scene.command(words);
    command.stdin(Stdio::piped());
    Chain::spawn(scene, command)
}

#[test]
fn in_a_pipeline_it_is_the_pipe_for_every_start() {
    for major in NODES {
        let scene = Scene::with_node(major);
        let script = scene.file("console.js", CONSOLE);
        let words = ["pm-restart", "--stop-codes", "3", "node", script.to_str().expect("UTF-8")];
        let chain = piped(&scene, &words);
        let mut pipe = chain.stdin().expect("a pipe");
        pipe.write_all(b"one\n").expect("taken");
        let heard = chain.line("heard one");
        let first: u32 = heard.split(' ').next().expect("a pid").parse().expect("a pid");
        proc::send(first, SIGKILL);
        chain.line("worker ended");
        pipe.write_all(b"two\n").expect("taken");
        assert!(!chain.line("heard two").starts_with(&format!("{first} ")), "{major}: of its successor");
        drop(pipe);
        assert_eq!(chain.ended(), Some(3), "{major}");
    }
}

#[test]
fn what_runs_in_the_foreground_reads_what_pm_reads() {
    let front = Front::new();
    let _ = front.scene.file("in.js", CONSOLE);
    for options in ["", "--time"] {
        let mut command = front.command(&["start", "in.js", "--no-daemon", "--no-autorestart"]);
        command.args(options.split_whitespace()).stdin(Stdio::piped());
        let chain = Chain::spawn(&front.scene, command);
        chain.stdin().expect("a pipe").write_all(b"x\n").expect("taken");
        chain.line("heard x");
        assert_eq!(chain.ended(), Some(3), "{options}: {}", chain.output());
    }
}

#[test]
fn at_a_terminal_and_in_a_cluster_it_is_nothing() {
    let scene = Scene::with_node(24);
    for line in ["pm-restart --restart never sh -c 'readlink /proc/self/fd/0'", "pm-cluster -n 1 node $F/app.js"] {
        let line = scene.expand(line);
        let chain = if line.contains("cluster") {
            piped(&scene, &line.split(' ').collect::<Vec<_>>())
        } else {
            scene.start_words(&["script", "-qec", &line, "/dev/null"])
        };
        if line.contains("cluster") {
            let worker = chain.hear("listening", 1)[0]["pid"].to_string();
            let input = std::fs::read_link(format!("/proc/{worker}/fd/0")).expect("open");
            assert_eq!(input.to_str(), Some("/dev/null"));
            chain.stop();
        } else {
            chain.ended();
            assert_eq!(chain.lines(Stream::Out)[0], "/dev/null", "{}", chain.output());
        }
    }
}

#[test]
fn what_cannot_be_sent_is_said() {
    let front = Front::new();
    front.ok("start app.js -i 1 --name several");
    front.ok("start idle.js");
    let fore = front.scene.start("pm-restart --name fore sleep 1000");
    fore.until("the list", || front.list().contains(&"fore:online".to_owned()).then_some(()));
    let long = "x".repeat(4096);
    for (words, why) in [
        (["send", "several", "x"], "it is in cluster mode, where workers read /dev/null"),
        (["send", "fore", "x"], "it has no input to write to: it was started in the foreground"),
        (["send", "idle", &long], "a line has at most 4095 bytes"),
        (["send", "none", "x"], "none"),
    ] {
        let said = front.pm(&words);
        assert!(said.code == 1 && said.err.contains(why) && said.lines().count() == 1, "{words:?}: {said:?}");
    }
    // What nobody reads is no more than a pipe holds, and nobody waits for it.
    let line = &long[1..];
    let full = (0..17).find_map(|_| Some(front.pm(&["send", "idle", line])).filter(|said| said.code != 0));
    let full = full.expect("64 KiB are full");
    assert!(full.code == 1 && full.err.contains("it does not read its input"), "{full:?}");
    fore.signal(SIGTERM);
    fore.wait();
}

/// What is typed goes to the app, what that writes comes back; whoever leaves leaves it running.
#[test]
fn pm_attach_is_a_console_of_the_app() {
    let front = Front::new();
    let _ = front.scene.file("console.js", CONSOLE);
    front.ok("start console.js");
    front.ok_words(&["send", "console", "before"]);
    logged(&front, "console", "heard before");
    let mut command = front.command(&["attach", "console"]);
    command.stdin(Stdio::piped());
    let attached = Chain::spawn(&front.scene, command);
    attached.line("what you type goes to 'console'; Ctrl-C leaves it, and it goes on");
    let mut input = attached.stdin().expect("piped");
    for word in ["one", "two"] {
        input.write_all(format!("{word}\n").as_bytes()).expect("it reads");
        attached.line(&format!("heard {word}"));
    }
    attached.signal(SIGINT);
    assert_eq!(attached.wait().code(), Some(130), "{}", attached.output());
    assert!(!attached.output().contains("heard before"), "only what comes from now on");
    // The end of the input leaves it, too; a line without an end is one.
    let said = front.with_input(&["attach", "console"], "three");
    assert_eq!(said.code, 0, "{said:?}");
    logged(&front, "console", "heard three");
    assert_eq!(front.list(), ["console:online"]);
    front.ok("start app.js -i 2");
    let said = front.line("attach app");
    assert!(said.code == 1 && said.err.contains("it is in cluster mode"), "{said:?}");
    let said = front.line("attach all");
    assert!(said.code == 1 && said.err.contains("attach is for one app, and all means 2: app, console"), "{said:?}");
}
