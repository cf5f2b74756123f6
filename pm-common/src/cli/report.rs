//! Messages for people, and failures with their exit codes.
//!
//! One `write(2)` per line to stderr, so that lines of several processes do not mix; no timestamp, the log has its own.

use std::fmt::{self, Display};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cli::escape::escaped;
use crate::sys::interrupt_message::Parting;

pub use crate::policy::exit::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN, EXIT_TIMED_OUT};

static PROGRAM: OnceLock<&'static str> = OnceLock::new();
/// A line of [`progress`] stands on the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// No such line is shown.
static PLAIN: AtomicBool = AtomicBool::new(false);
/// What moves the cursor to the left margin and clears the line.
const CLEAR: &str = "\r\x1b[K";
/// Messages dropped since the last one that was written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// A reason to end with an exit code; the message is one line, with the remedy where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code of the process.
    pub code: u8,
    /// What failed, on what, why, and what to do. Empty: already said.
    pub message: String,
}

impl Failure {
    /// Our own failure, or bad usage: exit code 125.
    pub fn own(message: impl Into<String>) -> Self {
        Self { code: EXIT_OWN, message: message.into() }
    }

    /// A failure with another exit code than 125.
    pub fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Turns an error into a `Failure` with the doing in front: `cannot read /x: Permission denied`.
pub trait OrFail<T> {
    /// The value, or a failure of ours (125) that says `doing`: the error's own text follows.
    ///
    /// # Errors
    /// The failure described above.
    fn or_fail(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<std::io::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|e| Failure::own(format!("{}: {}", doing(), reason(&e.into()))))
    }
}

/// The plain text of an I/O error, without Rust's "(os error N)".
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Runs a tool's main function under its name; a failure becomes one fatal line and the exit code.
pub fn run(program: &'static str, main: impl FnOnce() -> Result<u8, Failure>) -> ExitCode {
    let _ = PROGRAM.set(program);
    match main() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.message.is_empty() {
                line("fatal", &failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Prints what was asked for (`--help`, `--version`) to stdout; a reader that went away is no failure.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(text: &str) -> Result<u8, Failure> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).or_fail(|| "cannot write to stdout".to_owned())
        }
        _ => Ok(0),
    }
}

/// Prints what was not asked for but helps (the usage, where a word is missing) to stderr, as it is.
pub fn print_to_stderr(text: &str) {
    crate::sys::terminal::write_stderr(text.as_bytes());
}

/// Something a person should look at, though we go on.
pub fn warning(message: impl Display) {
    line("warning", &message.to_string());
}

/// Something worth a line in the log.
pub fn info(message: impl Display) {
    line("info", &message.to_string());
}

/// As long as the value lives, who interrupts us (INT) is told this before we end.
#[must_use]
pub fn parting(message: &str) -> Parting {
    Parting::say(&text("info", message))
}

/// The failure of which there is more to quote than fits a line: says it, and below it each of `quoted` behind blanks.
pub fn fatal(message: impl Display, quoted: &[String]) {
    line("fatal", &message.to_string());
    quote(quoted);
}

/// What others have said, each line behind blanks: below a message.
pub fn quote(lines: &[String]) {
    lines.iter().for_each(|text| write_line(format!("  {}", escaped(text))));
}

/// How much a message of ours means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth a line.
    Info,
    /// Somebody should look.
    Warning,
    /// What was asked for was not done.
    Fatal,
}

/// The level of a line in a log that a supervisor of ours wrote; `None`: the app wrote it.
///
/// The line is as its stream held it, with pm-log's time in front, or an object of pm-log's.
#[must_use]
pub fn level_of(line: &[u8]) -> Option<Level> {
    const MESSAGE: &[u8] = b",\"message\":\"";
    let text = if line.starts_with(b"{\"timestamp\":") {
        let at = line.windows(MESSAGE.len()).position(|window| window == MESSAGE)?;
        line.get(at + MESSAGE.len()..)?
    } else {
        // 2026-11-22T09:05:07.031Z
        let timed = line.get(23..25) == Some(b"Z ") && line.get(10) == Some(&b'T');
        if timed { line.get(25..)? } else { line }
    };
    let tools = ["restart", "cluster", "fork", "log"].iter();
    let rest = text.strip_prefix(b"pm-")?;
    let rest = tools.filter_map(|tool| rest.strip_prefix(tool.as_bytes())).find_map(|rest| rest.strip_prefix(b": "))?;
    let levels = [("info: ", Level::Info), ("warning: ", Level::Warning), ("fatal: ", Level::Fatal)];
    levels.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes())).map(|(_, level)| level)
}

/// A line under a level of its own choosing: `PROGRAM: LEVEL: TEXT`.
fn line(level: &str, message: &str) {
    write_line(text(level, message));
}

/// The message as its line would hold it, without the newline.
pub(crate) fn text(level: &str, message: &str) -> String {
    let program = PROGRAM.get().copied().unwrap_or("pm");
    format!("{program}: {level}: {}", escaped(message))
}

/// Shows no line of progress from now on: another process writes to the same terminal.
pub fn show_no_progress() {
    PLAIN.store(true, Ordering::Relaxed);
}

/// Whether stderr is a terminal, and a line of progress is to be shown there.
pub(crate) fn shows_progress() -> bool {
    std::io::stderr().is_terminal() && !PLAIN.load(Ordering::Relaxed)
}

/// Shows a line of at most so many characters on the terminal, which the next message takes the place of.
pub(crate) fn progress(message: &str, most: usize) {
    SHOWN.store(true, Ordering::Relaxed);
    let line: String = text("info", message).chars().take(most).collect();
    crate::sys::terminal::write_stderr(format!("{CLEAR}{line}").as_bytes());
}

/// Takes that line away, if it still stands there.
pub(crate) fn clear_progress() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        crate::sys::terminal::write_stderr(CLEAR.as_bytes());
    }
}

fn write_line(mut out: String) {
    out.truncate(floor_char(&out, 4000));
    if SHOWN.swap(false, Ordering::Relaxed) {
        out.insert_str(0, CLEAR);
    }
    out.push('\n');
    let lost = LOST.load(Ordering::Relaxed);
    if lost > 0 {
        let program = PROGRAM.get().copied().unwrap_or("pm");
        out.insert_str(0, &format!("{program}: warning: messages lost while nobody read stderr count={lost}\n"));
    }
    let now_lost = if crate::sys::terminal::write_stderr(out.as_bytes()) { 0 } else { lost + 1 };
    LOST.store(now_lost, Ordering::Relaxed);
}

fn floor_char(text: &str, most: usize) -> usize {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_without_rusts_tail() {
        let error = std::io::Error::from_raw_os_error(nix::libc::EADDRINUSE);
        assert_eq!(reason(&error), "Address already in use");
    }

    #[test]
    fn a_line_of_a_supervisor_is_known_however_pm_log_wrote_it() {
        for (line, level) in [
            ("pm-restart: info: the child ended", Some(Level::Info)),
            ("2026-11-22T09:05:07.031Z pm-cluster: warning: x", Some(Level::Warning)),
            (
                r#"{"timestamp":"2026-11-22T09:05:07.031Z","type":"err","app":"x","message":"pm-log: fatal: y"}"#,
                Some(Level::Fatal),
            ),
            ("pm-x: info: y", None),
            ("pm-restart: error: y", None),
            ("x pm-restart: info: y", None),
            ("{\"timestamp\":", None),
            ("2026-11-22T09:05:07.031Z ", None),
            ("", None),
        ] {
            assert_eq!(level_of(line.as_bytes()), level, "{line}");
        }
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(escaped("a\nfatal: b\x1b["), "a\\nfatal: b\\u{1b}[");
    }
}
