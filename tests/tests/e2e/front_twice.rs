//! What is typed a second time: the same script of another project, a job with the option that was hinted at, a file after
//! a scale; and config files that keep others waiting.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pm_tests::front::{Front, Said};
use pm_tests::wait;

/// Runs `pm ...` in a directory of the place.
fn in_dir(front: &Front, dir: &str, line: &str) -> Said {
    let words: Vec<_> = line.split(' ').collect();
    let mut command = front.command(&words);
    let output = command.current_dir(front.scene.dir().join(dir)).output().expect("pm runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// As in PM2, where both would have the same name.
#[test]
fn a_second_project_whose_script_is_called_alike_gets_a_name_with_a_number() {
    let front = Front::new();
    let script = "require('http').createServer().listen(0)";
    for dir in ["one", "two"] {
        std::fs::create_dir(front.scene.dir().join(dir)).expect("our own directory");
    }
    let [first, _] = ["one/job.js", "two/job.js"].map(|path| front.scene.file(path, script));
    assert_eq!(in_dir(&front, "one", "start job.js").code, 0);
    let said = in_dir(&front, "two", "start job.js");
    let told = format!("'job' is {}: this one is called 'job-2'", first.display());
    assert!(said.code == 0 && said.err.contains(&told), "{said:?}");
    // It is known by its script from now on, and neither takes the other's place.
    let said = in_dir(&front, "two", "start job.js --time");
    assert!(said.code == 1 && said.err.contains("job.js is running as 'job-2'"), "{said:?}");
    front.ok("stop all");
    assert_eq!(in_dir(&front, "two", "start job.js --time").code, 0);
    assert_eq!(front.list(), ["job-2:online", "job:stopped"]);
    // One whose script is gone has no claim to the name.
    std::fs::remove_file(&first).expect("there");
    front.ok("stop all");
    front.ok("delete job-2");
    assert_eq!(in_dir(&front, "two", "start job.js").code, 0);
    assert_eq!(front.list(), ["job:online"]);
}

#[test]
fn a_job_that_was_tried_again_is_started_anew_with_the_option_of_the_hint() {
    let front = Front::new();
    let _ = front.scene.file("done.js", "");
    let said = front.line("start done.js");
    assert!(said.code == 1 && said.err.contains("a job? --no-autorestart"), "{said:?}");
    let said = front.ok("start done.js --no-autorestart");
    assert!(said.err.contains("app 'done' has ended before it was ready: code=0"), "{said:?}");
    assert_eq!(front.list(), ["done:stopped"]);
}

#[test]
fn a_reload_of_a_file_has_as_many_workers_as_it_says() {
    let front = Front::new();
    let config = "module.exports = { name: 'w', script: 'idle.js', instances: 2, exec_mode: 'cluster' }";
    let _ = front.scene.file("w.config.js", config);
    front.ok("start w.config.js");
    front.ok("scale w 1");
    front.ok("reload w.config.js");
    wait::until("two workers", || (front.list() == ["w:online", "w:online"]).then_some(()));
}

#[test]
fn apps_of_a_file_are_chosen_by_the_names_in_it() {
    let front = Front::new();
    let config = "module.exports = ['web', 'api'].map((name) => ({ name, script: 'idle.js' }))";
    let _ = front.scene.file("two.config.js", config);
    let plans = front.plan(&["two.config.js", "--only", "web", "-n", "x"]);
    assert_eq!(plans.iter().map(|plan| plan["name"].as_str()).collect::<Vec<_>>(), [Some("x")]);
    let said = front.line("start two.config.js --only wep -n x --dry-run");
    assert!(said.code == 1 && said.err.contains("no app called wep is described; there are web, api"), "{said:?}");
}

#[test]
fn a_config_that_goes_on_keeps_nobody_waiting_without_a_word() {
    let front = Front::new();
    let pid = |name: &str| {
        let path = front.scene.dir().join(name);
        wait::until(name, || std::fs::read_to_string(&path).ok()?.parse().ok().map(Pid::from_raw))
    };
    let child = "const { spawn } = require('child_process')\n\
        const child = spawn('sleep', ['1000'], { stdio: ['ignore', 'inherit', 'ignore'], detached: true })\n\
        child.unref()\n\
        require('fs').writeFileSync('child', `${child.pid}`)\n\
        module.exports = { name: 'w', script: 'idle.js' }\n";
    let _ = front.scene.file("child.config.js", child);
    let begun = Instant::now();
    assert_eq!(front.plan(&["child.config.js"]).len(), 1);
    let took = begun.elapsed();
    kill(pid("child"), Signal::SIGKILL).expect("the config's");
    assert!(took < wait::DEADLINE, "{took:?}");
    let _ = front.scene.file("loop.config.js", "require('fs').writeFileSync('node', `${process.pid}`); while (1);");
    let pm = front.start(&["start", "loop.config.js"]);
    pm.line("waiting for node to read loop.config.js");
    kill(pid("node"), Signal::SIGKILL).expect("it loops");
    assert_eq!(pm.wait().code(), Some(1), "{}", pm.output());
}

/// TERM to it alone, as `timeout` and supervisors send it: Node would loop for ever.
#[test]
fn what_reads_a_config_file_ends_with_who_asked() {
    let front = Front::new();
    let text = "const fs = require('fs')\n\
        fs.writeFileSync('new', `${process.pid}`)\n\
        fs.renameSync('new', 'node')\n\
        process.on('SIGTERM', () => {})\n\
        while (1);\n";
    let _ = front.scene.file("loop.config.js", text);
    let pm = front.start(&["start", "loop.config.js"]);
    let node = front.scene.dir().join("node");
    let pid = pm.until("node", || std::fs::read_to_string(&node).ok()?.parse::<u32>().ok());
    pm.signal(Signal::SIGTERM);
    let _ = pm.wait();
    wait::until("node to end", || (!pm_tests::proc::alive(pid)).then_some(()));
}

#[test]
fn an_interpreter_that_is_gone_does_not_end_what_runs() {
    let front = Front::new();
    let node = front.scene.dir().join("mine");
    std::os::unix::fs::symlink(pm_tests::bins::node(24).join("node"), &node).expect("linked");
    front.ok("start idle.js --interpreter ./mine");
    let before = front.pids("idle");
    std::fs::remove_file(&node).expect("there");
    for verb in ["restart", "reload"] {
        let said = front.line(&format!("{verb} idle"));
        let told = "app 'idle' is left running: there is no program ./mine any more";
        assert!(said.code == 1 && said.err.contains(told), "{said:?}");
        assert_eq!(front.pids("idle"), before, "{verb}");
    }
}

/// A unit, and the rules for logs, go by the home that `pm save` goes by.
#[test]
fn what_is_said_to_the_system_goes_by_the_home_of_all_verbs() {
    let front = Front::new();
    for (verb, wanted) in [("startup", "\"PM_HOME=/else/where/.pm\""), ("logrotate", "\"/else/where/.pm\"/*/out.log")] {
        let mut command = front.command(&[verb, "--print"]);
        let output = command.env_remove("PM_HOME").env("HOME", "/else/where").output().expect("pm runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(wanted), "{verb}: {output:?}");
    }
}
