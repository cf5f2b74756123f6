//! Log files in the background: small, whole and in order, whoever writes them and whatever is killed.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::front::Front;
use pm_tests::{http, proc, wait};

/// Writes numbered lines as fast as it can, from as many workers as there are, and says at the end that it has; then it serves.
const CHATS: &str = "
const fs = require('fs'), slot = process.env.NODE_APP_INSTANCE, most = Number(process.env.LINES)
let n = 0
const some = () => {
  for (let i = 0; i < 500 && n < most; i++, n++) fs.writeSync(1, `${slot} ${process.pid} ${n} ${'x'.repeat(n % 150)}.\\n`)
  if (n < most) setImmediate(some); else fs.writeSync(1, `${slot} ${process.pid} end\\n`)
}
some()
require('http').createServer((q, r) => r.end(`${process.pid}`)).listen(process.env.PORT)
";

fn front(lines: usize) -> Front {
    let mut front = Front::new();
    front.scene.set("LINES", lines.to_string());
    let _ = front.scene.file("chat.js", CHATS);
    front
}

fn dir(front: &Front) -> PathBuf {
    front.scene.dir().join("pm/chat")
}

/// All that is kept, the oldest first; blanked rests of lines left out.
fn kept(dir: &Path) -> String {
    let numbered = (1..).map(|n| fs::read(dir.join(format!("out.log.{n}"))));
    let mut texts: Vec<Vec<u8>> = numbered.map_while(Result::ok).collect();
    texts.reverse();
    texts.push(fs::read(dir.join("out.log")).expect("there"));
    // A hole, where the file system can do no better.
    let text = String::from_utf8(texts.concat().into_iter().filter(|byte| *byte != 0).collect()).expect("UTF-8");
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect()
}

fn size(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(file).map_or(0, |found| found.len().min(found.blocks() * 512))
}

/// Waits until all was written, and the file is small again.
fn until_small(front: &Front, ends: usize, most: u64) {
    let dir = dir(front);
    wait::until("the end of the writing, and a small file", || {
        let text = fs::read(dir.join("out.log")).ok()?;
        let ended = String::from_utf8_lossy(&text).matches(" end\n").count() >= ends
            || kept(&dir).matches(" end\n").count() >= ends;
        (ended && size(&dir.join("out.log")) <= most && front.scene.process("pm-log").is_none()).then_some(())
    });
}

/// Each process's lines are whole, and none is missing from the first that is kept; `doubled`: some may be there twice.
#[track_caller]
fn are_whole(text: &str, doubled: bool) -> usize {
    let mut next: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    let mut lines = 0;
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, pid, n, ..] = words[..] else { panic!("line {at} is torn: {line:?}") };
        let Ok(n) = n.parse::<u64>() else {
            assert_eq!(n, "end", "line {at}");
            continue;
        };
        let rest = words.get(3).copied().unwrap_or_default();
        assert_eq!(rest.len() as u64, n % 150 + 1, "line {at} is torn: {line:?}");
        let expected = next.entry(pid).or_insert(n);
        assert!(n == *expected || doubled && n < *expected, "line {at}: {n} for {expected}");
        *expected = (*expected).max(n + 1);
        lines += 1;
    }
    lines
}

#[test]
fn a_chatty_app_keeps_whole_lines_in_small_files() {
    let front = front(200_000);
    front.ok("start chat.js --log-max-size 1M --log-keep 5");
    let dir = dir(&front);
    until_small(&front, 1, 1 << 20);
    let text = kept(&dir);
    assert!(text.ends_with(" end\n"), "the newest is kept");
    assert!(are_whole(&text, false) > 20_000);
    for n in 1..=5 {
        let rotated = fs::read(dir.join(format!("out.log.{n}"))).expect("there");
        assert!(
            rotated.len() <= 1 << 20 && rotated.len() > 512 << 10 && rotated.ends_with(b"\n"),
            "{n}: {}",
            rotated.len()
        );
    }
    assert!(!dir.join("out.log.6").exists() && !dir.join("out.log.new").exists());
    front.ok("delete chat");
    assert!(!dir.exists(), "the rotated ones go with it");
}

#[test]
fn workers_of_a_cluster_a_reload_and_a_flush() {
    let front = front(60_000);
    front.ok("start chat.js -i 2 --log-max-size 1M --log-keep 100");
    until_small(&front, 2, 1 << 20);
    front.ok("reload chat");
    until_small(&front, 4, 1 << 20);
    assert_eq!(are_whole(&kept(&dir(&front)), false), 240_000, "nothing is missing");
    front.ok("flush chat");
    assert_eq!(size(&dir(&front).join("out.log")), 0);
    front.ok("restart chat");
    until_small(&front, 2, 1 << 20);
    front.ok("delete chat");
}

#[test]
fn whoever_rotates_is_killed_and_nothing_is_lost() {
    let front = front(150_000);
    front.ok("start chat.js --log-max-size 1M --log-keep 100");
    let supervisor = front.scene.process("pm-restart").expect("it runs");
    let mut killed = 0;
    wait::until("a few that were killed", || {
        for pid in proc::children(supervisor).into_iter().filter(|pid| proc::name(*pid) == "pm-log") {
            proc::send(pid, SIGKILL);
            killed += 1;
        }
        (killed >= 3).then_some(())
    });
    until_small(&front, 1, 1 << 20);
    let text = kept(&dir(&front));
    assert!(text.starts_with("0 ") && text.contains(" 0 .\n"), "the first line is kept");
    assert!(are_whole(&text, true) >= 150_000);
    assert!(proc::alive(supervisor));
    front.ok("delete chat");
}

#[test]
fn who_follows_misses_nothing_and_sees_nothing_twice() {
    let front = front(40_000);
    let _ = front.scene.file("chat.js", &CHATS.replace("setImmediate(some)", "setTimeout(some, 30)"));
    front.ok("start chat.js --log-max-size 1M --log-keep 3");
    let logs = front.start(&["logs", "chat", "--raw", "--out", "--lines", "100000"]);
    logs.until("the last line", || {
        logs.lines(pm_tests::chain::Stream::Out).last().is_some_and(|line| line.ends_with(" end")).then_some(())
    });
    let seen = logs.lines(pm_tests::chain::Stream::Out);
    let text: String = seen.iter().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect();
    assert!(dir(&front).join("out.log.1").exists());
    assert!(are_whole(&text, false) > 0);
    front.ok("delete chat");
}

#[test]
fn an_app_that_is_to_be_left_alone_is() {
    let front = front(150_000);
    front.ok("start chat.js --no-log-rotate");
    until_small(&front, 1, u64::MAX);
    assert!(!dir(&front).join("out.log.1").exists());
    assert!(size(&dir(&front).join("out.log")) > 10 << 20);
    front.ok("delete chat");
}

#[test]
fn a_log_that_is_moved_away_is_somebody_elses_and_that_is_said() {
    let front = Front::new();
    let _ = front.scene.file(
        "line.js",
        "require('http').createServer((q, r) => { console.log('line'); r.end('x') }).listen(process.env.PORT)\n",
    );
    front.ok("start line.js");
    let dir = front.scene.dir().join("pm/line");
    fs::rename(dir.join("out.log"), dir.join("moved")).expect("renamed");
    fs::write(dir.join("out.log"), "theirs\n").expect("written");
    let said = wait::until("a word of it", || {
        drop(http::get(front.scene.port, "/"));
        fs::read_to_string(dir.join("err.log")).ok().filter(|text| text.contains("out.log was moved or removed"))
    });
    assert_eq!(said.matches("was moved").count(), 1, "{said}");
    assert_eq!(fs::read_to_string(dir.join("out.log")).expect("there"), "theirs\n");
}
