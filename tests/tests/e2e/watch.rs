//! `--watch`: what follows when files change.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{any, proc, roll, wait};

/// What is said of the first file.
const CHANGED: &str = "a watched file changed";

/// Answers its pid, if `code.js` is any good.
const APP: &str = "require('./code.js')\n\
    require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)\n";

fn scene() -> Scene {
    let scene = Scene::with_node(24);
    let _ = scene.file("app.js", APP);
    let _ = scene.file("code.js", "// good\n");
    scene
}

/// Files that are told to have changed, and how many changes there were.
fn told(chain: &Chain) -> Vec<String> {
    let lines = chain.messages(CHANGED);
    lines.iter().map(|line| line.split(" file=").nth(1).expect("a file").to_owned()).collect()
}

fn all_are_new(chain: &Chain, before: &[u32]) {
    chain.until("another of each", || {
        let now = any::workers(chain.scene);
        (now.len() == before.len() && now.values().all(|pid| !before.contains(pid))).then_some(())
    });
}

fn pids(chain: &Chain, count: usize) -> Vec<u32> {
    any::serving(chain, count).into_values().collect()
}

/// The inotify instances of a process.
fn instances(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == Path::new("anon_inode:inotify"))).count()
}

#[test]
fn a_change_rolls_a_cluster_and_nothing_is_lost() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch . pm-cluster -n 2 --soak 100ms node app.js");
    let first = pids(&chain, 2);
    let load = Load::start(scene.port, 4, Style::Mixed);
    load.advance(5);
    let _ = scene.file("code.js", "// better\n");
    all_are_new(&chain, &first);
    load.advance(5);
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    assert!(chain.line(CHANGED).ends_with(" file=code.js changes=1"), "{}", chain.output());
    let watch = |name: &str| instances(scene.process(name).expect("it runs"));
    assert_eq!((watch("pm-restart"), watch("pm-cluster")), (0, 1), "one of them watches");
    chain.stop();
}

#[test]
fn broken_code_keeps_the_old_and_what_mends_it_is_taken() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch . pm-cluster -n 2 --soak 100ms node app.js");
    let first = pids(&chain, 2);
    let _ = scene.file("code.js", "broken(");
    let said = chain.line("reload aborted");
    assert!(said.contains("slot=0") && told(&chain) == ["code.js changes=1"], "{}", chain.output());
    assert_eq!(pids(&chain, 2), first);
    let _ = scene.file("code.js", "// mended\n");
    all_are_new(&chain, &first);
    chain.stop();
}

#[test]
fn a_thousand_files_are_one_roll() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch . --watch-delay 1s pm-cluster -n 1 --soak 100ms node app.js");
    pids(&chain, 1);
    fs::create_dir(scene.dir().join("src")).expect("made");
    for file in 0..1000 {
        let _ = scene.file(&format!("src/{file}.js"), "");
    }
    roll::ended(&chain, 1);
    let _ = scene.file("code.js", "// the last one\n");
    roll::ended(&chain, 2);
    let told = told(&chain);
    assert!(told.len() == 2 && told[0].starts_with("src/") && told[1] == "code.js changes=1", "{told:?}");
    chain.stop();
}

#[test]
fn what_changes_during_a_roll_leads_to_one_more() {
    let scene = scene();
    fs::create_dir(scene.dir().join("src")).expect("made");
    let gate = scene.dir().join("gate");
    let _ = scene.file(
        "app.js",
        &format!(
            "const server = require('http').createServer((q, r) => r.end(`${{process.pid}}`))\n\
             const open = () => require('fs').existsSync({gate:?})\n\
             const begin = () => open() ? server.listen(process.env.PORT) : setTimeout(begin, 20)\n\
             begin()\n"
        ),
    );
    fs::write(&gate, "").expect("written");
    let chain = scene.start("pm-restart --watch src --watch-delay 10ms pm-cluster -n 2 --soak 0s node app.js");
    pids(&chain, 2);
    fs::remove_file(&gate).expect("removed");
    let write = |name: &str| fs::write(scene.dir().join("src").join(name), "").expect("written");
    write("first.js");
    chain.until("a roll", || (roll::number(&roll::state(&chain), "started") == 1).then_some(()));
    let at_start = any::workers(&scene);
    chain.until("a new worker", || (any::workers(&scene).len() >= at_start.len()).then_some(()));
    for name in ["a.js", "b.js", "c.js"] {
        write(name);
    }
    fs::write(&gate, "").expect("written");
    roll::ended(&chain, 2);
    write("last.js");
    roll::ended(&chain, 3);
    let told = told(&chain);
    assert!(told.len() == 3 && told[0].starts_with("src/first.js") && told[2].starts_with("src/last.js"), "{told:?}");
    chain.stop();
}

#[test]
fn directories_that_come_and_move_and_files_that_are_replaced() {
    let scene = scene();
    let at = |path: &str| scene.dir().join(path);
    let chain = scene.start("pm-restart --watch . --watch-delay 20ms pm-cluster -n 1 --soak 0s node app.js");
    pids(&chain, 1);
    let mut rolls = 0;
    let mut leads_to = |file: &str| {
        rolls += 1;
        roll::ended(&chain, rolls);
        let told = told(&chain);
        assert!(told.last().is_some_and(|last| last.starts_with(&format!("{file} "))), "{file}: {told:?}");
    };
    fs::create_dir_all(at("a/b")).expect("made");
    fs::write(at("a/b/x.js"), "").expect("written");
    leads_to("a/b/x.js");
    fs::rename(at("a"), at("moved")).expect("renamed");
    leads_to("moved/b/x.js");
    fs::write(at("moved/b/x.js"), "1").expect("written");
    leads_to("moved/b/x.js");
    // As an editor saves: what is watched is never written to.
    fs::write(at(".code.js.swp"), "// new\n").expect("written");
    fs::rename(at(".code.js.swp"), at("code.js")).expect("renamed");
    leads_to("code.js");
    fs::write(at("code.js"), "// newer\n").expect("written");
    leads_to("code.js");
    chain.stop();
}

#[test]
fn what_is_left_out_starts_nothing() {
    let scene = scene();
    let words = ["pm-restart", "--watch", ".", "--ignore", "*.tmp", "--ignore", "src/made", "--watch-delay", "20ms"];
    let more = ["pm-cluster", "-n", "1", "--out", "worker-%s.txt", "--soak", "0s", "node", "app.js"];
    let chain = scene.start_words(&[&words[..], &more[..]].concat());
    pids(&chain, 1);
    for name in ["node_modules/a/index.js", "logs/out", "x.tmp", ".git/HEAD", "src/made/x.js", "access.log", "a.pid"] {
        let path = scene.dir().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, "").expect("written");
    }
    let _ = scene.file("code.js", "// this counts\n");
    roll::ended(&chain, 1);
    // The old worker closes its output as it ends.
    let _ = scene.file("code.js", "// this, too\n");
    roll::ended(&chain, 2);
    assert!(told(&chain).iter().all(|file| file.starts_with("code.js")), "{:?}", told(&chain));
    assert_eq!(told(&chain).len(), 2);
    chain.stop();
}

#[test]
fn a_plain_program_is_started_anew_and_a_broken_one_as_soon_as_it_is_mended() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch app.js --watch code.js node app.js");
    let first = chain.serving(1);
    let _ = scene.file("other.js", "");
    let _ = scene.file("code.js", "// better\n");
    chain.until("another", || chain.serving(1).is_disjoint(&first).then_some(()));
    assert_eq!(told(&chain), ["code.js changes=1"]);
    let _ = scene.file("code.js", "broken(");
    chain.line("reload aborted");
    let _ = scene.file("code.js", "// mended\n");
    chain.until("an answer", || any::answer(&scene));
    chain.stop();
}

#[test]
fn a_job_that_has_ended_runs_again_at_a_change() {
    let scene = scene();
    let runs = scene.dir().join("runs.log");
    let job = format!("require('fs').appendFileSync({runs:?}, 'x')\n");
    let _ = scene.file("job.js", &job);
    let count = || fs::read(&runs).map_or(0, |runs| runs.len());
    let chain = scene.start("pm-restart --restart never --watch . node job.js");
    for run in 1..4 {
        chain.until("a run", || (count() == run).then_some(()));
        chain.until("its end", || scene.process("node").is_none().then_some(()));
        let _ = scene.file("job.js", &format!("{job}// {run}\n"));
    }
    chain.until("a run", || (count() == 4).then_some(()));
    chain.stop();
}

#[test]
fn an_app_that_writes_what_is_watched_is_named_and_put_off() {
    let scene = scene();
    let _ = scene.file("code.js", "require('fs').writeFileSync('state.json', `${process.pid}`)\n");
    let chain = scene.start("pm-restart --watch . pm-cluster -n 1 --soak 0s node app.js");
    let said = chain.line("files change as soon as the app is started, again and again");
    assert!(said.ends_with("leave them out by --ignore file=state.json"), "{said}");
    chain.stop();
}

/// The options that watch nothing; the chain ends with 125, and says why.
#[test]
fn what_does_nothing_or_is_no_pattern_is_refused() {
    let scene = scene();
    for (line, why) in [
        ("--ignore x", "--ignore does nothing where no files are watched"),
        ("--watch-delay 1s", "--watch-delay does nothing where no files are watched"),
        ("--watch . --ignore [x", "this is no pattern"),
        ("--watch . --watch-delay soon", "'soon'"),
    ] {
        let chain = scene.start(&format!("pm-restart {line} node app.js"));
        assert_eq!(chain.ended(), Some(125), "{line}");
        chain.streams_end();
        assert!(chain.output().contains(why), "{line}: {}", chain.output());
    }
}

#[test]
fn a_path_that_is_missing_is_watched_from_when_it_is_there() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch build/dist --watch-delay 20ms pm-cluster -n 1 --soak 0s node app.js");
    let first = pids(&chain, 1);
    let dist: PathBuf = scene.dir().join("build/dist");
    fs::create_dir_all(&dist).expect("made");
    fs::write(dist.join("main.js"), "").expect("written");
    all_are_new(&chain, &first);
    chain.stop();
}

/// The supervisor that watches may be killed: its successor goes on.
#[test]
fn a_cluster_that_was_killed_is_watched_on() {
    let scene = scene();
    let chain = scene.start("pm-restart --watch . pm-cluster -n 1 --soak 0s node app.js");
    pids(&chain, 1);
    let cluster = scene.process("pm-cluster").expect("it runs");
    proc::send(cluster, SIGKILL);
    let again = || scene.process("pm-cluster").filter(|pid| *pid != cluster && instances(*pid) == 1);
    wait::until("a successor that watches", again);
    let second = pids(&chain, 1);
    let _ = scene.file("code.js", "// better\n");
    chain.line(CHANGED);
    all_are_new(&chain, &second);
    chain.stop();
}

/// Both limits are those of a user namespace of our own, where one is to be had.
#[test]
fn the_kernels_limits_are_said_with_what_raises_them() {
    let scene = scene();
    fs::create_dir(scene.dir().join("src")).expect("made");
    for (limit, said, goes_on) in [
        ("max_inotify_instances", "no file is watched, pm reload is needed", "fs.inotify.max_user_instances"),
        ("max_inotify_watches", "not all is watched, changes may go unseen in", "fs.inotify.max_user_watches"),
    ] {
        let most = u32::from(limit == "max_inotify_watches");
        let script = format!(
            "echo {most} > /proc/sys/user/{limit} || exit 77; exec pm-restart --watch . --watch src node app.js"
        );
        let chain = scene.start_words(&["unshare", "-Ur", "sh", "-c", &script]);
        chain.until("an answer or no namespace", || (any::answer(&scene).is_some() || !chain.running()).then_some(()));
        if !chain.running() {
            // No user namespace is to be had here.
            return;
        }
        let line = chain.line(said);
        assert!(line.contains(&format!("raise their number: sysctl {goes_on}=")), "{line}");
        chain.stop();
    }
}

/// The link stands in the middle of the path: no event tells that it leads elsewhere.
#[test]
fn a_reload_follows_a_link_above_what_is_watched() {
    let scene = scene();
    for release in ["r1", "r2"] {
        let src = scene.dir().join(release).join("src");
        fs::create_dir_all(&src).expect("made");
        for file in ["app.js", "code.js"] {
            fs::copy(scene.dir().join(file), src.join(file)).expect("copied");
        }
    }
    let link = scene.dir().join("current");
    std::os::unix::fs::symlink("r1", &link).expect("linked");
    let src = link.join("src");
    let mut command =
        scene.command(&["pm-restart", "--watch", ".", "pm-cluster", "-n", "1", "--soak", "50ms", "node", "app.js"]);
    command.current_dir(&src).env("PWD", &src);
    let chain = Chain::spawn(&scene, command);
    let first = pids(&chain, 1);
    std::os::unix::fs::symlink("r2", scene.dir().join("next")).expect("linked");
    fs::rename(scene.dir().join("next"), &link).expect("exchanged");
    roll::well(&chain);
    all_are_new(&chain, &first);
    let second = pids(&chain, 1);
    fs::write(scene.dir().join("r1/src/code.js"), "// of a dead release\n").expect("written");
    fs::write(scene.dir().join("r2/src/code.js"), "// of the living one\n").expect("written");
    all_are_new(&chain, &second);
    assert_eq!(told(&chain), ["code.js changes=1"], "{}", chain.output());
    chain.stop();
}

/// A directory may be named by a way around.
#[test]
fn patterns_begin_where_the_app_is_however_that_was_named() {
    let scene = scene();
    for dir in ["sub", "x"] {
        fs::create_dir(scene.dir().join(dir)).expect("made");
    }
    let around = scene.dir().join("sub/..");
    let mut command = scene.command(&["pm-restart", "--watch", ".", "--ignore", "x/*", "node", "app.js"]);
    command.current_dir(&around).env("PWD", &around);
    let chain = Chain::spawn(&scene, command);
    chain.serving(1);
    let _ = scene.file("x/left-out", "");
    let _ = scene.file("code.js", "// counts\n");
    chain.line(CHANGED);
    assert_eq!(told(&chain), ["code.js changes=1"], "{}", chain.output());
    chain.stop();
}
