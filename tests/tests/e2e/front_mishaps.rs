//! `pm` where things are not as they should be: names, files and moments that nobody thinks of.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pm_tests::front::Front;
use pm_tests::{proc, wait};

/// An app that says when it is up and when it has begun to stop, and ends once there is the file `go`.
pub(crate) const STOPS_ONCE_LET: &str = "const { existsSync, writeFileSync } = require('fs')\n\
         setInterval(() => {}, 1e6)\n\
         process.on('SIGINT', () => {\n\
           writeFileSync('stops', '')\n\
           setInterval(() => existsSync('go') && process.exit(0), 20)\n\
         })\n\
         writeFileSync('up', '')\n";

/// One that an earlier version has let pass.
#[test]
fn a_name_that_looks_like_an_option_is_found_behind_two_dashes() {
    let front = Front::new();
    front.ok("start idle.js --name x");
    front.ok("stop x");
    let home = front.scene.dir().join("pm");
    std::fs::rename(home.join("x"), home.join("-x")).expect("there");
    for verb in ["describe", "pid", "id", "reset", "flush", "list", "stop", "delete"] {
        front.ok_words(&[verb, "--", "-x"]);
    }
    assert_eq!(front.list(), [""; 0]);
}

/// Runs these lines in a namespace whose `PM_HOME` is a small disk, which `fill` fills.
#[track_caller]
fn on_a_small_disk(front: &Front, lines: &str) {
    let script = format!(
        "set -e; mkdir -p $PM_HOME; mount -t tmpfs -o size=256k none $PM_HOME
         fails() {{ ! \"$@\"; }} # `set -e` does not end a script for what begins with an exclamation mark
         fill() {{ fails head -c 400000 /dev/zero 2>&1 >$PM_HOME/.fill; }}
         pm() {{ $T/front/pm \"$@\"; }}
         {lines}"
    );
    let words = ["unshare", "--mount", "--map-root-user", "timeout", "200", "sh", "-c", &front.scene.expand(&script)];
    let output = front.scene.command(&words).output().expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The place of the apps turns read-only, as after an error of its disk; then there is no room in it.
#[test]
fn an_app_that_could_not_be_started_again_is_left_running() {
    let front = Front::new();
    let _ = front
        .scene
        .file("two.config.js", "module.exports = [{ name: 'two', script: 'idle.js', args: process.env.ARG }]");
    on_a_small_disk(
        &front,
        "pm start idle.js
         pm start two.config.js
         mount --bind $PM_HOME $PM_HOME; mount -o remount,ro,bind $PM_HOME
         before=$(cat $PM_HOME/*/pid)
         fails pm restart idle two 2>$T/said
         grep \"app 'idle' is left running: cannot write in .*: Read-only file system\" $T/said
         ! ARG=new pm restart two.config.js 2>$T/said
         grep \"app 'two' is left running: \" $T/said
         kill -0 $before
         [ \"$(cat $PM_HOME/*/pid)\" = \"$before\" ]
         pm list >$T/said
         [ $(grep -c online $T/said) = 2 ]
         pm logs --nostream | grep idle
         $T/front/pm logs >$T/said & logs=$!
         until grep '|idle' $T/said; do sleep 0.1; done
         kill $logs; wait $logs || true
         umount -l $PM_HOME
         fill
         ! ARG=new pm restart two.config.js 2>$T/said
         grep \"app 'two' is left running: cannot write in .*: No space left\" $T/said
         fails pm restart idle
         kill -0 $before
         rm $PM_HOME/.fill
         pm restart idle
         [ $(pm list | grep -c online) = 2 ]
         pm stop all",
    );
}

/// What was written once has room to be written again: the state stays true, and nobody waits in vain.
#[test]
fn on_a_full_disk_a_reload_ends_and_the_list_is_true() {
    let front = Front::new();
    on_a_small_disk(
        &front,
        "pm start app.js -i 2
         fill
         before=$(pm pid app)
         timeout 100 $T/front/pm reload app 2>$T/said
         grep \"reloaded 'app'\" $T/said
         [ \"$(pm pid app)\" != \"$before\" ]
         # An old one may still be leaving.
         until [ $(pm pid app | wc -l) = 2 ] && [ $(pm list | grep -c online) = 2 ]; do sleep 0.1; done
         kill -KILL $(pm pid app | head -n 1)
         until pm list | grep 'crash SIGKILL'; do sleep 0.1; done
         timeout 100 $T/front/pm scale app 3 || true # the number cannot be kept
         until [ $(pm list | grep -c online) = 3 ]; do sleep 0.1; done
         pm stop app
         pm list | grep stopped",
    );
}

/// Nothing new is started where its supervisors could not say how it is; what was started before is, and then a reload and
/// a scale do not wait for an answer that cannot come. (They look why after three seconds of silence.)
#[test]
fn on_a_full_disk_nobody_waits_for_what_cannot_be_written() {
    let front = Front::new();
    on_a_small_disk(
        &front,
        "fill; truncate -s -20K $PM_HOME/.fill
         fails pm start app.js -i 2 2>$T/said
         grep \"app 'app': cannot write in .*: No space left\" $T/said
         [ ! -e $PM_HOME/app ]
         rm $PM_HOME/.fill
         pm start app.js -i 2
         fill
         fails pm scale app 3 2>$T/said
         grep \"'app' has 3 workers, but only until its next start: cannot write .*: No space left\" $T/said
         pm stop app
         fill
         pm start app 2>$T/said
         grep 'pm list cannot tell how it is, as nothing can be written there: No space left' $T/said
         fails timeout 100 $T/front/pm scale app 3 2>$T/said.scale & scaled=$!
         fails timeout 100 $T/front/pm reload app 2>$T/said
         grep 'gave up waiting: app is not yet rolled: its supervisor cannot say how it is, as it cannot write' $T/said
         wait $scaled
         pm stop app",
    );
}

#[test]
fn a_script_that_is_gone_does_not_end_what_runs() {
    let front = Front::new();
    front.ok("start idle.js");
    let before = front.pids("idle");
    std::fs::remove_file(front.scene.dir().join("idle.js")).expect("there");
    // A reload in fork mode is a restart, too.
    for verb in ["restart", "reload"] {
        let said = front.line(&format!("{verb} idle"));
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("app 'idle' is left running: script /"), "{said:?}");
        assert_eq!(front.pids("idle"), before, "{verb}");
    }
}

/// An app that has begun to stop, and ends when the test lets it; then the front is told to end, twice.
#[test]
fn a_restart_that_is_interrupted_leaves_no_app_stopped() {
    let front = Front::new();
    let _ = front.scene.file("slow.js", STOPS_ONCE_LET);
    front.ok("start slow.js --kill-timeout 60000");
    front.ok("start idle.js");
    for name in ["idle", "slow"] {
        let app = format!("module.exports = {{ name: '{name}', script: '{name}.js', kill_timeout: 60000 }}");
        let _ = front.scene.file(&format!("{name}.config.js"), &app);
    }
    // Of two files the second is stopped after the signals were let through again for the first.
    let (all, files) = (&["restart", "all"][..], &["restart", "idle.config.js", "slow.config.js"][..]);
    for (signal, words) in [
        (Signal::SIGINT, all),
        (Signal::SIGHUP, all),
        (Signal::SIGTERM, all),
        (Signal::SIGINT, files),
        (Signal::SIGHUP, files),
    ] {
        let [up, stops, go] = ["up", "stops", "go"].map(|name| front.scene.dir().join(name));
        wait::until("the app knows how to stop", || up.exists().then_some(()));
        [&up, &stops, &go].iter().for_each(|file| drop(std::fs::remove_file(file)));
        let before = front.pids("slow");
        let mut command = front.command(words);
        let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("pm runs");
        let pid = Pid::from_raw(child.id().cast_signed());
        wait::until("the app stops", || stops.exists().then_some(()));
        kill(pid, signal).expect("it waits");
        let _ = kill(pid, signal);
        std::fs::write(&go, "").expect("our own directory");
        let ended = child.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains(&format!("{signal} came while apps were down: what was stopped is started")), "{said}");
        assert_eq!(ended.status.signal(), Some(signal as i32), "{said}");
        wait::until("both are online", || (front.list() == ["idle:online", "slow:online"]).then_some(()));
        assert_ne!(front.pids("slow"), before);
    }
}

#[test]
fn a_list_that_cannot_be_saved_is_not_said_to_be() {
    let front = Front::new();
    on_a_small_disk(
        &front,
        "pm start idle.js
         pm save
         cp $PM_HOME/.saved $T/before
         fill
         if pm save; then echo 'a save that failed exits with 0'; exit 1; fi
         if pm cleardump; then echo 'so does cleardump'; exit 1; fi
         cmp $PM_HOME/.saved $T/before
         fails ls $PM_HOME/.saved.[0-9]* 2>/dev/null
         pm stop all",
    );
}

/// Nothing else happens that would have it written again.
#[test]
fn what_a_full_disk_did_not_take_is_written_once_there_is_room() {
    let front = Front::new();
    on_a_small_disk(
        &front,
        "pm-fork --name a pm-restart --backoff 1h..1h sleep 1000
         supervisor=$(cat $PM_HOME/a/pid)
         rm $PM_HOME/a/status.d/.*.new # the room that it has kept for the next state
         fill
         first=$(pgrep -P $supervisor)
         kill $first
         until second=$(pgrep -P $supervisor) && [ $second != $first ]; do :; done
         kill $second
         until ! pgrep -P $supervisor && grep '^State:.S' /proc/$supervisor/status; do :; done
         fails grep '\"state\":\"backoff\"' $PM_HOME/a/status.d/*
         rm $PM_HOME/.fill
         until grep '\"state\":\"backoff\"' $PM_HOME/a/status.d/*; do sleep 0.1; done
         pm stop a",
    );
}

#[test]
fn an_app_that_cannot_be_saved_is_named() {
    let front = Front::new();
    front.ok("start idle.js --name good");
    front.ok("start idle.js --name bad -f");
    let file = front.scene.dir().join("pm/bad/start.json");
    std::fs::write(&file, "{").expect("there");
    let said = front.line("save");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("not saved: app 'bad': cannot read") && said.err.contains("saved 1 app in"), "{said:?}");
    for verb in ["restart", "logs", "flush"] {
        let said = front.line(&format!("{verb} bad"));
        assert!(said.err.contains("it is damaged: start the script anew, or delete the app"), "{said:?}");
    }
    front.ok("delete bad");
    front.ok("save");
}

/// `pm delete app --dry-run` deleted the app.
#[test]
fn an_option_of_another_verb_is_refused_and_nothing_is_done() {
    let front = Front::new();
    front.ok("start app.js");
    for line in [
        "delete app --dry-run",
        "stop app --dry-run",
        "restart app --dry-run",
        "reload app --dry-run",
        "scale app 2 --dry-run",
        "kill --dry-run",
        "save --dry-run",
        "cleardump --dry-run",
        "stop app --attach",
        "restart app --no-daemon",
        "delete app --only other",
        "stop all --only other",
        "scale app 2 --only other",
        "start app --only other",
        "start idle.js --only other",
        "restart app --env production",
        "start idle.js --env production",
        "stop app --sort name",
        "kill app",
        "kill --only app",
        "save app",
        "cleardump --env x",
    ] {
        let said = front.line(line);
        assert!(said.code == 1 && said.lines().count() == 1, "{line}: {said:?}");
        let why = match line.split_once(' ') {
            Some(("kill" | "save" | "cleardump", rest)) if !rest.contains("--dry-run") => "takes no target",
            _ if line.contains("--only") => "--only chooses apps of a config file",
            _ if line.contains("--env") => "--env chooses the environment in a config file",
            _ => "has no option --",
        };
        assert!(said.err.contains(why), "{line}: {said:?}");
    }
    assert_eq!(front.list(), ["app:online"]);
    assert!(!front.scene.dir().join("pm/.saved").exists());
    front.ok("kill");
}

/// Each is one line that says what to do, and nothing is started.
#[test]
fn what_is_not_as_meant_is_said_in_one_line() {
    let front = Front::new();
    let _ = front.scene.file("x.toml", "[apps]\n");
    let _ = front.scene.file("a.json", r#"{"app": [{"script": "idle.js"}]}"#);
    for (name, text) in [
        ("none", "#!/usr/bin/nope\n"),
        ("env", "#!/usr/bin/env nope\n"),
        ("split", "#!/usr/bin/env -S nope -x\n"),
        ("dos", "#!/bin/sh\r\n"),
    ] {
        let path = front.scene.file(name, text);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    }
    for (name, text) in [("empty.json", ""), ("empty.config.js", ""), ("none.yml", "{}"), ("blank.yaml", "\n \n")] {
        let _ = front.scene.file(name, text);
    }
    for (line, part) in [
        ("strat idle.js", "is 'start' meant?"),
        ("deploy production", "'deploy' of PM2 is not here; instead: copy the code"),
        ("start idle.js --nmae x", "is --name meant?"),
        ("start idle.js --max-mem 9", "is --max-memory-restart meant?"),
        ("start idle.js --port 3000", "behind --: pm start app.js -- --port"),
        ("ping --foo", "ping has no option --foo"),
        ("ping x", "ping takes no target"),
        ("start x.toml", "TOML is not read"),
        ("start a.json", "is 'apps' meant?"),
        ("start ./none", "its first line names /usr/bin/nope, which is not here"),
        ("start ./env", "its first line names nope, which is not here"),
        ("start ./dos", "CR LF"),
        ("start ./split", "its first line names nope, which is not here"),
        ("start ap.js", "is app.js meant?"),
        ("start -", "-: nothing came on stdin"),
        ("start empty.json", "empty.json: it is empty"),
        ("start blank.yaml", "blank.yaml: it is empty"),
        ("start empty.config.js", "it describes nothing"),
        ("start none.yml", "it describes nothing"),
        ("restart gone.json", "there is no file gone.json, and no app of that name"),
        ("stop /[/", "/[/ is no regular expression"),
        ("logs --filter x", "| grep TEXT"),
        ("logs -f", "it follows"),
        ("logs --tail 10", "--lines N"),
        ("list --watch", "pm monit"),
        ("start idle.js --v8", "leave it out"),
        ("monit", "pm list prints the same once"),
        ("scale x y", "scale x y: expected a number"),
        ("logs", "no apps"),
        ("flush", "no apps"),
        ("delete all", "no apps"),
        ("save", "no app to save"),
        ("stop -x", "has no option -x"),
    ] {
        let said = front.line(line);
        assert!(said.code == 1 && said.lines().count() == 1 && said.err.contains(part), "{line}: {said:?}");
    }
    assert!(front.ok("list").err.contains("pm start app.js"), "how to begin");
    let blank = front.pm(&["start", "idle.js", "--name", " "]);
    assert!(blank.code == 1 && blank.err.contains("a name cannot be of blanks alone"), "{blank:?}");
    let none = front.pm(&[]);
    assert!(none.code == 1 && none.err.lines().count() > 20 && none.out.is_empty(), "{none:?}");
    assert_eq!(front.list(), [""; 0]);
    front.ok_words(&["start", "idle.js", "--name", "a,b"]);
    let said = front.line("stop a,c");
    assert!(said.err.contains("no app 'a,c'; there are: a,b"), "{said:?}");
    front.ok_words(&["stop", "a,b"]);
    front.ok_words(&["restart", "a,b"]);
    for verb in ["start", "reload", "send"] {
        let help = front.ok(&format!("{verb} --help")).out;
        assert!(help.contains("example:  pm ") && help.contains("made of:  pm-"), "{help}");
    }
}

/// Whatever needs one says so, and what does not goes on.
#[test]
fn in_a_directory_that_was_deleted_it_is_said() {
    let front = Front::new();
    front.ok("start idle.js");
    let script = "mkdir gone; cd gone; rmdir ../gone
        for line in 'start' 'start ../idle.js' \"start $T/idle.js -f\" 'start x.config.js' 'start -'; do
            echo '{\"script\": \"idle.js\"}' | $T/front/pm $line 2>$T/said && exit 1
            grep 'fatal: the working directory was deleted: cd to one that is there' $T/said || { cat $T/said; exit 2; }
        done
        for verb in stop restart describe pid logs' --nostream' delete; do $T/front/pm $verb idle || exit 3; done";
    let output = front.scene.command(&["sh", "-c", &front.scene.expand(script)]).output().expect("sh");
    assert!(output.status.success(), "{output:?}");
}

/// An older one says something about a syntax, in twenty lines, three times.
#[test]
fn typescript_on_a_node_that_reads_none_is_one_line() {
    let front = Front::with_node(16);
    let _ = front.scene.file("typed.ts", "const x: number = 1; setInterval(() => {}, x * 1e6)\n");
    let _ =
        front.scene.file("typed.config.ts", "const apps: any[] = [{ script: 'idle.js' }]; export default { apps }\n");
    for file in ["typed.ts", "typed.config.ts"] {
        let said = front.line(&format!("start {file}"));
        assert!(said.code == 1 && said.lines().count() == 1, "{said:?}");
        assert!(said.err.contains("reads no TypeScript, 22.18 and later do"), "{said:?}");
    }
    assert_eq!(front.list(), [""; 0]);
}

#[test]
fn an_app_is_called_by_the_command_that_it_is() {
    let front = Front::new();
    let name = "sleep 1000 | cat";
    front.ok_words(&["start", name]);
    for verb in ["describe", "reset", "stop", "restart", "flush", "pid", "delete"] {
        front.ok_words(&[verb, name]);
    }
    assert_eq!(front.list(), [""; 0]);
}

/// Two apps of one name are refused but for the first, and what is said of a file is said once.
#[test]
fn what_is_wrong_in_a_file_is_said_once_and_no_success() {
    let front = Front::new();
    let text =
        r#"[{"name": "w", "script": "idle.js", "post_update": ["x"], "wtach": 1}, {"name": "w", "script": "app.js"}]"#;
    let _ = front.scene.file("w.json", text);
    for (verb, lines) in [("start", 4), ("restart", 4), ("reload", 4), ("stop", 2), ("delete", 2)] {
        let said = front.line(&format!("{verb} w.json"));
        let count = said.lines().count();
        assert_eq!((said.code, count), (1, lines), "{verb}: {said:?}");
        let once = |part: &str| said.err.lines().filter(|line| line.contains(part)).count();
        assert_eq!(once("app 'w': name: there are two of this name in the file: the first counts"), 1, "{said:?}");
        let warned = usize::from(lines > 2);
        assert_eq!(
            (once("wtach: no such field, it is ignored; watch is meant?"), once("post_update: not here")),
            (warned, warned)
        );
    }
    assert!(front.line("start w.json --only x").err.ends_with("no app called x is described; there are w\n"));
}

#[test]
fn a_signal_is_called_the_same_in_each_line() {
    let front = Front::new();
    let _ = front.scene.file("ended.js", "process.kill(process.pid, 'SIGINT'); setInterval(() => {}, 1e6)\n");
    let said = front.line("start ended.js -i 1");
    assert!(said.code == 1 && said.err.contains("signal=INT") && !said.err.contains("SIGINT"), "{said:?}");
}

/// A cleaner of old files has removed them.
#[test]
fn an_app_whose_lock_file_was_removed_runs_and_is_no_second_time_started() {
    for removed in [&["lock"][..], &["lock", "pid"]] {
        let front = Front::new();
        front.ok("start app.js --name web -s");
        let supervisor = || front.scene.processes().into_iter().filter(|pid| proc::name(*pid) == "pm-restart").count();
        let remove = || {
            removed
                .iter()
                .for_each(|name| std::fs::remove_file(front.scene.dir().join("pm/web").join(name)).expect("there"))
        };
        remove();
        let said = front.line("start web -s");
        assert!(said.err.contains("'web' is running"), "{said:?}");
        front.ok("restart web -s");
        assert_eq!((supervisor(), front.list()), (1, vec!["web:online".to_owned()]));
        remove();
        front.ok("stop web -s");
        assert_eq!((supervisor(), front.list()), (0, vec!["web:stopped".to_owned()]));
        front.ok("start web -s");
        remove();
        // What has something to say makes it anew.
        proc::send(front.pids("web")[0], Signal::SIGKILL);
        let there = |name: &&str| front.scene.dir().join("pm/web").join(name).exists();
        wait::until("what was removed to be there again", || removed.iter().all(there).then_some(()));
        remove();
        front.ok("delete web -s");
        assert_eq!((supervisor(), front.list()), (0, Vec::new()));
    }
}

/// Whoever deletes an app while it is restarted waits: it stops once the test lets it.
#[test]
fn a_delete_waits_for_a_restart() {
    let front = Front::new();
    let _ = front.scene.file(
        "slow.js",
        "const { existsSync } = require('fs')\n\
         process.on('SIGINT', () => setInterval(() => existsSync('go') && process.exit(), 20))\n\
         setInterval(() => {}, 1e6)\n",
    );
    front.ok("start slow.js --name slow --kill-timeout 60000 -s");
    let restart = front.start(&["restart", "slow", "-s"]);
    restart.line("waiting for");
    let delete = front.start(&["delete", "slow", "-s"]);
    delete.line("waiting for another restart");
    let _ = front.scene.file("go", "");
    assert_eq!(restart.wait().code(), Some(0), "{}", restart.output());
    assert_eq!(delete.wait().code(), Some(0), "{}", delete.output());
    assert_eq!(front.list(), [""; 0]);
}
