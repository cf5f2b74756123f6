//! Output of workers in files of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::scene::Scene;
use pm_tests::{deploy, proc, roll, stat};

#[test]
fn each_slot_has_its_files_and_they_are_appended_to() {
    let scene = Scene::with_node(24);
    let script = scene.expand("echo out $PM_SLOT; echo err $PM_SLOT >&2; exec node $F/app.js");
    let err = scene.expand("$T/all.err");
    let tools = ["pm-cluster", "--name", "web", "-n", "2", "--out", "out-%s.log", "--err", &err];
    let chain = scene.start_words(&[&tools[..], &["sh", "-c", &script]].concat());
    let workers = chain.serving(2);
    // A relative one is in the app's directory.
    let read = |name: &str| fs::read_to_string(scene.dir().join("pm/web").join(name)).expect("written");
    for slot in [0, 1] {
        let text = read(&format!("out-{slot}.log"));
        assert!(text.starts_with(&format!("out {slot}\n")) && text.contains("listening"), "{text}");
        let mode =
            fs::metadata(scene.dir().join(format!("pm/web/out-{slot}.log"))).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mut errors: Vec<String> = fs::read_to_string(&err).expect("written").lines().map(str::to_owned).collect();
    errors.sort();
    assert_eq!(errors, ["err 0", "err 1"]);
    assert!(chain.said("start").is_empty(), "nothing comes to us\n{}", chain.output());
    // Moved away, it is made anew by the next worker.
    let moved = scene.dir().join("moved");
    (0..2).for_each(|slot| fs::rename(scene.dir().join(format!("pm/web/out-{slot}.log")), &moved).expect("moved"));
    workers.iter().for_each(|pid| proc::send(*pid, SIGKILL));
    chain.serving(2);
    assert!(read("out-1.log").starts_with("out 1\n"));
    assert_eq!(fs::read_to_string(&err).expect("written").lines().count(), 4);
    chain.stop();
}

#[test]
fn a_file_that_cannot_be_opened_is_a_failed_start_that_says_so() {
    let scene = Scene::new();
    nix::unistd::mkfifo(&scene.dir().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    for (file, why) in [("$T/none/%s.log", "none/0.log for"), ("$T", ": Is a directory"), ("$T/fifo", "fifo for")] {
        let file = scene.expand(file);
        let chain = scene.start_words(&["pm-cluster", "-n", "1", "--err", &file, "sleep", "1000"]);
        let line = chain.line("cannot open");
        assert!(line.contains("for a worker's output") && line.contains(why), "{line}");
        let state = || stat::workers(&scene).first().map(|l| l.state().to_owned());
        chain.until("the backoff", || (state()? == "backoff").then_some(()));
        chain.stop();
    }
}

#[test]
fn the_last_words_of_a_broken_release_are_taken_from_its_own_file() {
    let scene = deploy::scene();
    let chain = deploy::start(&scene, "pm-cluster -n 2 --soak 50ms --err err-%s.log");
    chain.serving(2);
    deploy::release(&scene, "2", "throws");
    let roll = roll::roll(&chain);
    assert_eq!(roll["ok"], false, "{roll}");
    let words = roll["stderr"].to_string();
    assert!(words.contains("a broken deploy"), "{roll}\n{}", chain.output());
    chain.stop();
}
