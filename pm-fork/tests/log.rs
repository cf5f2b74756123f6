//! pm-log with real files, pipes and signals; `head`, `sh` and `printf` are the apps.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

mod place;
use place::Place;

/// Far above what a loaded machine needs: it only ends tests that fail.
const DEADLINE: Duration = Duration::from_secs(60);

impl Place {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pm-log"));
        command.args(words).current_dir(self.0.path()).env_remove("PM_DIR").env_remove("PM_APP");
        command
    }

    /// Runs it, with this as its input.
    fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut filter = Filter::new(self.command(words));
        filter.say(input);
        filter.end()
    }

    /// What the file and its rotated predecessors hold, the oldest first.
    fn all(&self, name: &str) -> Vec<String> {
        let mut texts: Vec<String> =
            (1..).map(|n| self.path(&format!("{name}.{n}"))).map_while(|path| fs::read_to_string(path).ok()).collect();
        texts.reverse();
        texts.push(self.read(name));
        texts
    }

    fn until(&self, what: &str, mut probe: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !probe(self) {
            assert!(Instant::now() < end, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A running pm-log that reads what the test says.
struct Filter(Child);

impl Filter {
    fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("runs"))
    }

    fn say(&mut self, text: &[u8]) {
        // One that has ended is looked at in the end.
        let _ = self.0.stdin.as_mut().expect("a pipe").write_all(text);
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stderr.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        line
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), signal).expect("alive");
    }

    fn end(mut self) -> Output {
        drop(self.0.stdin.take());
        self.0.wait_with_output().expect("ends")
    }
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("line {n:06}\n")).collect()
}

#[test]
fn rotated_files_hold_whole_lines_and_the_newest_are_kept() {
    let place = Place::new();
    let lines = numbers(0..3000);
    assert!(place.run(&["--out", "f", "--max-size", "4K", "--keep", "20"], lines.as_bytes()).status.success());
    let files = place.all("f");
    assert_eq!(files.concat(), lines);
    assert_eq!(files.len(), lines.len().div_ceil(4096 / 12 * 12));
    assert!(files.iter().all(|text| text.len() <= 4096 && text.ends_with('\n')));
    assert!(
        place.run(&["--out", "f", "--max-size", "4K", "--keep", "2"], numbers(0..1000).as_bytes()).status.success()
    );
    let files = place.all("f");
    assert_eq!(files.len(), 3, "also what was too many before");
    assert!(numbers(0..1000).ends_with(&files.concat()));
    assert!(
        place.run(&["--out", "f", "--max-size", "4K", "--keep", "0"], numbers(0..1000).as_bytes()).status.success()
    );
    assert_eq!(place.all("f").len(), 1);
}

#[test]
fn a_rotated_file_and_the_new_one_are_for_the_same_people() {
    let place = Place::new();
    fs::write(place.path("f"), "x".repeat(4090) + "\n").expect("written");
    fs::set_permissions(place.path("f"), fs::Permissions::from_mode(0o640)).expect("set");
    assert!(place.run(&["--out", "f", "--max-size", "4K"], b"a new line\n").status.success());
    assert_eq!(place.read("f"), "a new line\n");
    assert_eq!(fs::metadata(place.path("f")).expect("there").permissions().mode() & 0o777, 0o640);
}

/// The period is over while nobody writes: the file is rotated then, not at the next line.
#[test]
fn a_file_is_rotated_when_its_period_ends() {
    let place = Place::new();
    let mut filter = Filter::new(place.command(&["--out", "f", "--every", "1s", "--keep", "5"]));
    filter.say(b"one\n");
    place.until("the rotated file", |place| place.read("f.1") == "one\n" && place.read("f").is_empty());
    filter.say(b"two\n");
    place.until("the second one", |place| place.all("f") == ["one\n", "two\n", ""]);
    assert!(filter.end().status.success());
    assert_eq!(place.all("f"), ["one\n", "two\n", ""], "an empty file is not rotated");
}

#[test]
fn a_file_of_an_earlier_period_is_rotated_first() {
    let place = Place::new();
    fs::write(place.path("f"), "old\n").expect("written");
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    File::options().append(true).open(place.path("f")).expect("there").set_modified(old).expect("set");
    assert!(place.run(&["--out", "f", "--every", "1d"], b"new\n").status.success());
    assert_eq!(place.all("f"), ["old\n", "new\n"]);
}

#[test]
fn a_file_that_was_moved_removed_or_emptied_is_followed() {
    let place = Place::new();
    let mut filter = Filter::new(place.command(&["--out", "f"]));
    let mut say = |text: &str| {
        filter.say(text.as_bytes());
        place.until(text, |place| place.read("f") == text);
    };
    say("one\n");
    fs::rename(place.path("f"), place.path("moved")).expect("moved");
    say("two\n");
    assert_eq!(place.read("moved"), "one\n");
    fs::remove_file(place.path("f")).expect("removed");
    say("three\n");
    File::create(place.path("f")).expect("emptied");
    say("four\n");
    assert!(filter.end().status.success());
}

#[test]
fn usr1_opens_the_file_anew_and_other_signals_end_nothing() {
    let place = Place::new();
    let mut filter = Filter::new(place.command(&["--out", "f"]));
    filter.say(b"one\nhalf ");
    place.until("the line", |place| place.read("f") == "one\n");
    fs::rename(place.path("f"), place.path("moved")).expect("moved");
    for signal in [15, 2, 1, 3, 12, 14, 25] {
        filter.signal(nix::sys::signal::Signal::try_from(signal).expect("a signal"));
    }
    filter.signal(nix::sys::signal::Signal::SIGUSR1);
    place.until("the new file", |place| place.path("f").exists());
    filter.say(b"a line");
    assert!(filter.end().status.success());
    assert_eq!((place.read("moved").as_str(), place.read("f").as_str()), ("one\n", "half a line\n"));
}

/// The device that is always full, until the path leads elsewhere.
#[test]
fn a_full_disk_is_said_once_and_drops_are_counted() {
    let place = Place::new();
    symlink("/dev/full", place.path("f")).expect("linked");
    let mut filter = Filter::new(place.command(&["--out", "f", "--time"]));
    filter.say(b"1\n");
    let said = filter.hear();
    let path = place.path("f").display().to_string();
    assert_eq!(
        said,
        format!(
            "pm-log: warning: cannot write {path}: No space left on device; lines are dropped until it can be written\n"
        )
    );
    // More than the pipe and the writer could hold: who writes is not held up.
    filter.say(numbers(0..100_000).as_bytes());
    fs::remove_file(place.path("f")).expect("unlinked");
    fs::write(place.path("f"), "").expect("a file");
    filter.signal(nix::sys::signal::Signal::SIGUSR1);
    let rest = numbers(0..2000);
    filter.say(rest.as_bytes());
    let output = filter.end();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "said once");
    let text = place.read("f");
    let mut lines = text.lines().map(|line| line.split_once(' ').expect("a time").1);
    let note = lines.next().expect("a line");
    let dropped = note.strip_prefix("pm-log: warning: dropped ").expect(note);
    assert!(note.ends_with(": No space left on device"), "{note}");
    let count: usize = dropped.split(' ').next().and_then(|n| n.parse().ok()).expect(note);
    let kept: Vec<&str> = lines.collect();
    assert_eq!(count + kept.len(), 1 + 100_000 + 2000, "every line is there or counted");
    assert!(kept.len() >= 2000 && rest.ends_with(&(kept[kept.len() - 2000..].join("\n") + "\n")));
}

/// A file may be as large as the limit, so that a line is cut; once there is room, it is completed.
#[test]
fn a_line_that_was_cut_by_a_full_disk_is_completed() {
    let place = Place::new();
    let mut command = Command::new("sh");
    let script = "ulimit -f 8; trap '' XFSZ; exec \"$0\" --out f";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pm-log")]).current_dir(place.0.path());
    let mut filter = Filter::new(command);
    // 341.3 lines fit in 4096 bytes.
    filter.say(numbers(0..1000).as_bytes());
    assert!(filter.hear().contains("File too large"));
    fs::copy(place.path("f"), place.path("f.1")).expect("copied");
    OpenOptions::new().write(true).open(place.path("f")).and_then(|f| f.set_len(0)).expect("emptied");
    filter.say(b"after\n");
    let output = filter.end();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = place.all("f").concat();
    let (before, after) = text.split_at(342 * 12);
    assert_eq!(before, numbers(0..342), "the cut line is whole again");
    let (note, last) = after.split_once('\n').expect("two lines");
    assert!(note.starts_with("pm-log: warning: dropped 658 lines (7896 bytes) since 20"), "{note}");
    assert_eq!(last, "after\n");
}

#[test]
fn what_was_dropped_is_said_on_stderr_where_the_file_has_no_room_to_the_end() {
    let place = Place::new();
    let output = place.run(&["--out", "/dev/full"], b"a\nb");
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().expect("a line");
    assert!(last.starts_with("pm-log: warning: /dev/full: dropped 2 lines (4 bytes) since 20"), "{said}");
}

#[test]
fn a_filter_ends_with_its_reader() {
    let place = Place::new();
    let mut filter = Filter::new(place.command(&["--time"]));
    drop(filter.0.stdout.take());
    filter.say(b"to nobody\n");
    assert!(filter.0.wait().expect("ends, with its input still open").success());
}

#[test]
fn a_torn_last_line_of_a_writer_that_was_killed_gets_its_end() {
    let place = Place::new();
    fs::write(place.path("f"), "torn").expect("written");
    assert!(place.run(&["--out", "f"], b"next\n").status.success());
    assert_eq!(place.read("f"), "torn\nnext\n");
}

/// A line of a gigabyte would be one, too: memory is bounded, and so is the file.
#[test]
fn a_line_without_an_end_is_broken_at_a_megabyte() {
    let place = Place::new();
    let endless = vec![b'x'; 3 << 20];
    assert!(place.run(&["--out", "f", "--max-size", "64K"], &endless).status.success());
    let files = place.all("f");
    assert!(files.len() > 1 && files.iter().all(|text| text.len() <= (64 << 10) + (2 << 20)), "{}", files.len());
    assert_eq!(files.concat().replace('\n', "").len(), endless.len());
}

#[test]
fn two_streams_in_one_file_tear_no_line_of_each_other() {
    let place = Place::new();
    let script = "for i in $(seq 500); do echo out $i; echo err $i >&2; done; printf end; printf end >&2";
    let output = place.command(&["--out", "f", "--err", "f", "--max-size", "4K", "--keep", "50", "sh", "-c", script]);
    let mut output = output;
    assert!(output.status().expect("runs").success());
    let done = |place: &Place| place.all("f").concat().lines().filter(|line| *line == "end").count() == 2;
    place.until("both ends", done);
    let text = place.all("f").concat();
    for stream in ["out", "err"] {
        let said: Vec<&str> = text.lines().filter(|line| line.starts_with(stream)).collect();
        let want: Vec<String> = (1..=500).map(|n| format!("{stream} {n}")).collect();
        assert_eq!(said, want);
    }
}

#[test]
fn the_chain_has_its_code_and_its_descriptors_and_the_writer_none_of_them() {
    let place = Place::new();
    // As a lock or a port would be, descriptor 9 is handed on; the writer must not keep it open.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let script =
        "exec 9>&1 >/dev/null; exec \"$0\" --out f --err f sh -c 'echo to nine >&9; echo $$; sleep 0 & exit 7'";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_pm-log")]).current_dir(place.0.path()).stdout(writer);
    let mut child = command.spawn().expect("runs");
    drop(command);
    assert_eq!(child.wait().expect("ends").code(), Some(7));
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("to its end");
    assert_eq!(said, "to nine\n");
    let pid = format!("{}\n", child.id());
    place.until("the line", |place| place.read("f") == pid);
}

#[test]
fn a_program_that_cannot_be_run_leaves_nothing() {
    let place = Place::new();
    for (program, code, why) in [("no-such", 127, "No such file or directory"), ("/etc", 126, "Permission denied")] {
        let mut command = place.command(&["--out", "o", "--err", "e", program]);
        let output = command.env("PM_DIR", place.0.path()).output().expect("runs");
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("pm-log: fatal: cannot run {program}: {why}\n"));
        assert!(!place.path("log.pid").exists(), "the writer has ended");
    }
}

/// No process may be made: the app runs all the same.
#[test]
fn without_a_writer_the_chain_writes_by_itself() {
    let place = Place::new();
    let copy = place.path("pm-log");
    fs::copy(env!("CARGO_BIN_EXE_pm-log"), &copy).expect("copied");
    fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o777)).expect("set");
    // Root has no such limit.
    let other = ["setpriv", "--reuid=65534", "--clear-groups"];
    let other = if nix::unistd::geteuid().is_root() { other.as_slice() } else { &[] };
    let limit = ["prlimit", "--nproc=1", "./pm-log", "--time", "--out", "f", "--err", "e", "echo", "it runs"];
    let words: Vec<&str> = other.iter().chain(&limit).copied().collect();
    let output = Command::new(words[0]).args(&words[1..]).current_dir(place.0.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("pm-log: warning: cannot start the writer: "), "{said}");
    assert_eq!(place.read("f"), "it runs\n");
}
