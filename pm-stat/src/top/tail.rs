//! The last lines of an app's logs.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pm_common::app::log_file;
use pm_common::cli::report::{self, level_of};

use crate::show::text::clean;

/// The columns from one tabulator stop to the next.
const TAB: &str = "    ";

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Of stdout.
    Out,
    /// A tool of ours says in stderr what is no trouble.
    Info,
    /// Any other of stderr.
    Err,
}

impl Level {
    fn of(text: &str, is_err: bool) -> Self {
        match is_err {
            false => Self::Out,
            true if level_of(text.as_bytes()) == Some(report::Level::Info) => Self::Info,
            true => Self::Err,
        }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine {
    pub(super) level: Level,
    pub(super) text: String,
}

/// The end of a log, and when it was written to last.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// Of the file: seconds and nanoseconds; device and number.
    written: (i64, i64),
    file: (u64, u64),
}

/// The last `count` lines of both logs (stdout, stderr): that of the one that was written to last stand below. `only_of`:
/// of no link, and only of files of this user.
pub(super) fn tail(logs: &[PathBuf; 2], only_of: Option<u32>, count: usize) -> Vec<LogLine> {
    let [out, err] = logs.each_ref().map(|path| read(path, only_of).unwrap_or_default());
    let same = out.file == err.file && !out.lines.is_empty();
    merged(&out, if same { &[] } else { &err.lines }, err.written, count)
}

fn merged(out: &Log, err: &[String], err_written: (i64, i64), count: usize) -> Vec<LogLine> {
    // Each gets half, and what the other one leaves.
    let of_err = err.len().min((count / 2).max(count.saturating_sub(out.lines.len())));
    let last = |lines: &[String], n: usize, is_err| -> Vec<LogLine> {
        let from = lines.len().saturating_sub(n);
        lines.iter().skip(from).map(|text| LogLine { level: Level::of(text, is_err), text: text.clone() }).collect()
    };
    let (mut out_lines, mut err_lines) = (last(&out.lines, count - of_err, false), last(err, of_err, true));
    if err_written >= out.written {
        out_lines.append(&mut err_lines);
        out_lines
    } else {
        err_lines.append(&mut out_lines);
        err_lines
    }
}

fn read(path: &Path, only_of: Option<u32>) -> Option<Log> {
    let (file, found) = log_file::open(path, only_of).ok()??;
    let (bytes, skipped) = log_file::end(file, 0).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be the end of one.
    let lines = text.lines().skip(usize::from(skipped > 0)).map(plain).collect();
    Some(Log { lines, written: (found.mtime(), found.mtime_nsec()), file: (found.dev(), found.ino()) })
}

/// The text without colours and whatever else is meant for a terminal.
pub(super) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_sequence(&mut chars),
            '\t' => text.push_str(TAB),
            // What a carriage return overwrites is not to be seen on a terminal either.
            '\r' => text.clear(),
            c => text.push(c),
        }
    }
    clean(&text)
}

/// Skips the rest of an escape sequence: of a CSI up to its letter, of a text (OSC) up to its end, else one character.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => _ = chars.find(|c| ('@'..='~').contains(c)),
        Some(']') => _ = chars.find(|c| matches!(c, '\x07' | '\\' | '\u{9c}')),
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<String> {
        lines.iter().map(|l| format!("{}{}", if l.level == Level::Err { "!" } else { "" }, l.text)).collect()
    }

    #[test]
    fn nothing_of_a_line_reaches_the_terminal_but_its_text() {
        assert_eq!(plain("\x1b[31;1mred\x1b[0m\tx\x1b]0;title\x07y\x1bcz"), "red    xyz");
        assert_eq!(plain("10%\r20%\r\x07done\x1b["), "\u{fffd}done");
    }

    #[test]
    fn what_a_tool_says_of_no_trouble_is_no_error() {
        for (text, level) in [
            ("pm-cluster: info: rolled", Level::Info),
            ("2026-01-02T03:04:05.678Z pm-restart: info: worker ended", Level::Info),
            ("pm-cluster: warning: x", Level::Err),
            ("my info: x", Level::Err),
            ("", Level::Err),
        ] {
            assert_eq!((Level::of(text, true), Level::of(text, false)), (level, Level::Out), "{text}");
        }
    }

    #[test]
    fn the_last_lines_of_both_logs_the_latest_below() {
        let dir = tempfile::tempdir().expect("a directory");
        let logs = [dir.path().join("out"), dir.path().join("err")];
        assert_eq!(tail(&logs, None, 5), [], "there is none");
        std::fs::write(&logs[0], "a\nb\nc\nd").expect("written");
        assert_eq!(texts(&tail(&logs, None, 3)), ["b", "c", "d"]);
        std::fs::write(&logs[1], "x\ny\nz\n").expect("written");
        let file = std::fs::File::open(&logs[0]).expect("there");
        file.set_modified(std::time::UNIX_EPOCH).expect("ours");
        assert_eq!(texts(&tail(&logs, None, 4)), ["c", "d", "!y", "!z"]);
        assert_eq!(texts(&tail(&logs, None, 20)), ["a", "b", "c", "d", "!x", "!y", "!z"]);
        assert_eq!(texts(&tail(&logs, None, 0)), [""; 0]);
        std::fs::File::open(&logs[1]).expect("there").set_modified(std::time::UNIX_EPOCH).expect("ours");
        file.set_modified(std::time::SystemTime::now()).expect("ours");
        assert_eq!(texts(&tail(&logs, None, 4)), ["!y", "!z", "c", "d"]);
        assert_eq!(texts(&tail(&[logs[0].clone(), logs[0].clone()], None, 2)), ["c", "d"], "one file for both");
    }

    #[test]
    fn of_anothers_app_only_the_owners_own_files_are_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let logs = [dir.path().join("out"), dir.path().join("link")];
        std::fs::write(&logs[0], "a\n").expect("written");
        std::os::unix::fs::symlink(&logs[0], &logs[1]).expect("linked");
        let us = rustix::process::geteuid().as_raw();
        assert_eq!(texts(&tail(&logs, Some(us), 9)), ["a"]);
        assert_eq!(tail(&logs, Some(us + 1), 9), []);
        assert_eq!(texts(&tail(&[logs[1].clone(), dir.path().join("none")], None, 9)), ["a"], "of ours");
    }

    #[test]
    fn of_a_large_log_the_end_is_read_in_whole_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let logs = [dir.path().join("out"), dir.path().join("err")];
        std::fs::write(&logs[0], "0123456789\n".repeat(20_000)).expect("written");
        let lines = tail(&logs, None, 100_000);
        assert!(lines.len() < 7000 && lines.iter().all(|l| l.text == "0123456789"), "{}", lines.len());
    }
}
