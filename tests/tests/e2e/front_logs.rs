//! `pm logs` and `pm flush`.

use nix::sys::signal::Signal;
use pm_tests::chain::Stream;
use pm_tests::front::Front;
use pm_tests::{proc, wait};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

fn append(front: &Front, file: &str, text: &str) {
    let path = front.scene.dir().join("pm").join(file);
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("a log");
    file.write_all(text.as_bytes()).expect("written");
}

/// What reads logs for `pm logs`.
fn readers(front: &Front) -> Vec<String> {
    let all = front.scene.processes().into_iter().map(proc::name);
    all.filter(|name| ["tail", "sed", "pm-logs", "pm"].contains(&name.as_str())).collect()
}

#[test]
fn the_last_lines_of_all_apps_with_their_names() {
    let front = Front::new();
    front.ok("start idle.js --name one");
    front.ok("start idle.js --name two -o elsewhere.log");
    let said = front.ok("logs --nostream").out;
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0|one | idle", "0|one | oops", "1|two | idle", "1|two | oops"]);
    append(&front, "one/out.log", "a\nb\nc\n");
    for (options, wanted) in [
        ("one --out --lines 2", "0|one | b\n0|one | c\n"),
        ("one --out --lines=1 --raw", "c\n"),
        ("0 --err", "0|one | oops\n"),
        ("/^t/ --out", "1|two | idle\n"),
        (r"/^\w{3}$/ --err", "0|one | oops\n1|two | oops\n"),
        ("/(?:one|six)/ --err", "0|one | oops\n"),
        ("two --format", "app=two id=1 type=out message=idle\napp=two id=1 type=error message=oops\n"),
    ] {
        assert_eq!(front.ok(&format!("logs --nostream {options}")).out, wanted, "{options}");
    }
    assert!(front.line("logs --lines x").err.contains("--lines"));
    assert!(front.ok("logs --nostream one --timestamp").err.contains("--time"));
}

#[test]
fn slots_with_files_of_their_own_are_told_apart() {
    let front = Front::new();
    let app = r#"{"name": "duo", "script": "idle.js", "instances": 2, "exec_mode": "cluster", "merge_logs": false}"#;
    let _ = front.scene.file("duo.json", app);
    front.ok("start duo.json");
    let said = front.ok("logs duo --nostream --out").out;
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0|duo#0 | idle", "0|duo#1 | idle"]);
    let said = front.ok("logs duo --nostream --err --json").out;
    let slots = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).expect(line)["slot"].as_u64());
    assert_eq!(slots.collect::<Vec<_>>(), [0, 1], "{said}");
    front.ok("flush duo");
    assert_eq!(front.ok("logs duo --nostream").out, "");
}

#[test]
fn json_is_json_whatever_an_app_writes() {
    let front = Front::new();
    let name = "it's \"a\" \\ app";
    front.ok_words(&["start", "idle.js", "--name", name]);
    let odd = "tab\tquote\" back\\slash \x1b[31mred\x1b[0m & / é";
    append(&front, &format!("{name}/out.log"), &format!("{odd}\n"));
    let said = front.ok("logs --nostream --json --out");
    let lines: Vec<Value> = said.out.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    assert_eq!(lines[1], serde_json::json!({"message": odd, "type": "out", "process_id": 0, "app_name": name}));
    front.ok("start idle.js --name own --log-type json");
    let said = wait::until("what its pm-log has written", || {
        Some(front.ok("logs own --nostream --json --out").out).filter(|said| !said.is_empty())
    });
    let line: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["message"], "idle");
}

#[test]
fn it_follows_also_what_is_rotated() {
    let front = Front::new();
    front.ok("start idle.js");
    let logs = front.start(&["logs", "--lines", "1"]);
    logs.line("0|idle | oops");
    append(&front, "idle/out.log", "half ");
    append(&front, "idle/err.log", "between\n");
    logs.line("0|idle | between");
    append(&front, "idle/out.log", "a line\n");
    logs.line("0|idle | half a line");
    let log = front.scene.dir().join("pm/idle/out.log");
    std::fs::rename(&log, log.with_extension("1")).expect("renamed");
    std::fs::write(&log, "new file, which is the longer one of the two\n").expect("written");
    logs.line("0|idle | new file");
    front.ok("flush idle");
    // Only a shorter file can be told from one that grew.
    append(&front, "idle/out.log", "flushed\n");
    logs.line("0|idle | flushed");
}

#[test]
fn nothing_stays_however_it_ends() {
    let front = Front::new();
    front.ok("start idle.js");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        let logs = front.start(&["logs"]);
        logs.line("0|idle | idle");
        logs.line("0|idle | oops");
        logs.signal(signal);
        logs.wait();
        wait::until("the end of those who read", || readers(&front).is_empty().then_some(()));
    }
    // A reader that has had enough.
    let mut child = front.command(&["logs"]).stdout(Stdio::piped()).spawn().expect("pm runs");
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    append(&front, "idle/out.log", "for nobody\n");
    child.wait().expect("it ends");
    wait::until("the end of those who read", || readers(&front).is_empty().then_some(()));
}

#[test]
fn flush_empties_the_files_under_the_app() {
    let front = Front::new();
    let _ = front.scene.file(
        "talk.js",
        "process.on('SIGUSR2', () => console.log('more')); console.log('first'); setInterval(() => {}, 1e6)",
    );
    front.ok("start talk.js -e err.txt");
    front.ok("flush");
    let out = front.scene.dir().join("pm/talk/out.log");
    assert_eq!(std::fs::read_to_string(&out).expect("there"), "");
    assert_eq!(std::fs::read_to_string(front.scene.dir().join("err.txt")).expect("there"), "");
    front.ok("sendSignal USR2 talk");
    wait::until("a line at the beginning", || std::fs::read_to_string(&out).ok().filter(|text| text == "more\n"));
}

/// `script` is a terminal for it.
#[test]
fn on_a_terminal_the_streams_have_colours_and_a_text_is_marked() {
    let mut front = Front::new();
    front.ok("start idle.js");
    let line = format!("'{}' logs --nostream --highlight dl", front.scene.dir().join("front/pm").display());
    let words = ["script", "-qec", line.as_str(), "/dev/null"];
    let shown = |front: &Front| {
        let output = front.scene.command(&words).output().expect("script runs");
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    };
    assert_eq!(shown(&front), "\x1b[32m0|idle |\x1b[0m i\x1b[7mdl\x1b[27me\n\x1b[31m0|idle |\x1b[0m oops\n");
    front.scene.set("NO_COLOR", "1");
    assert_eq!(shown(&front), "0|idle | idle\n0|idle | oops\n");
}

#[test]
fn attach_shows_what_the_started_app_writes() {
    let front = Front::new();
    let logs = front.start(&["start", "idle.js", "--attach"]);
    logs.line("0|idle | idle");
    logs.signal(Signal::SIGINT);
    logs.wait();
    wait::until("the end of those who read", || readers(&front).is_empty().then_some(()));
    assert_eq!(front.list(), ["idle:online"], "the app goes on");
}

#[test]
fn the_text_of_all_apps_stands_in_one_column() {
    let front = Front::new();
    front.ok("start idle.js --name größe");
    front.ok("start idle.js --name n");
    let out = front.ok("logs --nostream --out").out;
    assert_eq!(out, "0|größe | idle\n1|n     | idle\n");
    assert_eq!(front.ok("logs n --nostream --out").out, "1|n | idle\n");
}

#[test]
fn apps_that_come_or_change_their_names_while_it_follows_are_shown() {
    let front = Front::new();
    front.ok("start idle.js --name one");
    let logs = front.start(&["logs"]);
    logs.line("0|one | oops");
    front.ok("start idle.js --name three");
    logs.line("1|three | idle");
    front.ok("stop three");
    let home = front.scene.dir().join("pm");
    std::fs::rename(home.join("three"), home.join("four")).expect("renamed");
    append(&front, "four/out.log", "under a new name\n");
    logs.line("1|four | under a new name");
    front.ok("delete four");
    front.ok("start idle.js --name four");
    logs.until("the app that was started anew", || {
        let lines = logs.lines(Stream::Out);
        (lines.iter().filter(|line| line.contains("|four") && line.ends_with("idle")).count() == 1).then_some(())
    });
    assert_eq!(
        logs.lines(Stream::Out).iter().filter(|line| line.contains("|three") && line.ends_with("idle")).count(),
        1
    );
}

#[test]
fn what_a_supervisor_says_is_not_taken_for_an_error_of_the_app() {
    let front = Front::new();
    front.ok("start idle.js --name one --time");
    let logs = front.start(&["logs", "--err"]);
    logs.line("oops");
    proc::send(front.pids("one")[0], Signal::SIGKILL);
    let line = logs.line("worker ended");
    assert!(line.starts_with("pm|one| 2") && line.contains("Z pm-restart: warning: "), "with a time: {line}");
    let said = front.ok("logs --err --nostream --json").out;
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let kinds: Vec<_> = lines.map(|line| line["type"].as_str().map(str::to_owned).expect("text")).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "pm").count(), 1, "{said}");
}

#[test]
fn an_app_in_the_foreground_has_no_log_and_that_is_said() {
    let front = Front::new();
    let here = front.start(&["start", "idle.js", "--no-daemon"]);
    here.line("oops");
    let said = front.line("logs");
    assert!(said.code == 1 && said.err.contains("app 'idle' was started in the foreground"), "{said:?}");
    here.signal(Signal::SIGTERM);
    here.wait();
}

/// Lines of both streams in one file are shown once.
#[test]
fn a_file_for_both_streams_is_shown_once() {
    let front = Front::new();
    front.ok("start idle.js -l both.log");
    let mut lines: Vec<_> = front.ok("logs --nostream").out.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0|idle | idle", "0|idle | oops"]);
}
