//! What only Node can read: a module, or text in JavaScript's notation.
//!
//! What a config file does is its own affair, but nobody waits for it without a word, or for ever; and a process that it
//! leaves behind, with our pipe, keeps nobody waiting.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use pm_common::app::wait::Teller;
use pm_common::cli::report::{Failure, OrFail as _, reason};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::{clock, pidfd, process, socket};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::{Map, Value};

/// What Node runs to read a module.
const LOADER: &[&str] = &["--input-type=module", "-e", include_str!("loader.mjs")];

/// What Node runs for text that JSON's grammar does not take: comments, single quotes, trailing commas.
const NOTATION: &[&str] = &[
    "-e",
    "\
const [mark, name] = process.argv.slice(1);
const text = require('fs').readFileSync(0, 'utf8').replace(/^\\uFEFF/, '');
const value = require('vm').runInNewContext('(' + text + '\\n)', Object.create(null), { filename: name });
process.stdout.write('\\n' + mark + JSON.stringify({ value }));
",
];
const MARK: &str = "pm-fork reads from here: ";

/// How long Node may take.
const LIMIT: Span = Span::secs(30);

/// What Node reads by then, on a busy machine too, is not worth a line that stays.
const WORTH_A_LINE: Span = Span::secs(3);

/// What a module exports.
///
/// # Errors
/// 125: it cannot be read, or not in time.
pub(super) fn module(file: &Path) -> Result<Value, Failure> {
    value(LOADER, file, None)
}

/// The value of a text that is no JSON.
///
/// # Errors
/// 125: it is no JavaScript either.
pub(super) fn notation(file: &Path, text: &str) -> Result<Value, Failure> {
    value(NOTATION, file, Some(text))
}

fn value(program: &[&str], file: &Path, text: Option<&str>) -> Result<Value, Failure> {
    let name = file.display();
    let mut command = Command::new("node");
    command.args(program).args(["--", MARK]).arg(std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    command.stdin(if text.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
    // What is no JSON may be no JavaScript either: the complaint about the JSON is the better one then.
    command.stderr(if text.is_some() { Stdio::null() } else { Stdio::inherit() });
    let unable = |e: io::Error| {
        Failure::own(format!(
            "{name}: cannot run node, which is needed to read it: {}; or write it as JSON",
            reason(&e)
        ))
    };
    process::ends_with_us(&mut command);
    let mut child = command.spawn().map_err(unable)?;
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), text) {
        // Node reads all before it writes; one that has ended has said why.
        let _ = stdin.write_all(text.as_bytes());
    }
    let mut said = Vec::new();
    let status = read_to_its_end(&mut child, file, &mut said).or_fail(|| format!("{name}: cannot read from node"))?;
    let Some(status) = status else {
        let seconds = LIMIT.as_millis() / 1000;
        return Err(Failure::own(format!(
            "{name}: node has not read it in {seconds} s, and was killed: does something in it loop, or wait?"
        )));
    };
    let said = String::from_utf8_lossy(&said);
    let Some((_, json)) = said.rsplit_once(MARK) else {
        return Err(Failure::own(format!("{name}: node cannot read it: {status}")));
    };
    let mut told: Map<String, Value> = serde_json::from_str(json).map_err(|e| Failure::own(format!("{name}: {e}")))?;
    match told.remove("error") {
        Some(why) => Err(Failure::own(format!("{name}: {}", why.as_str().unwrap_or_default()))),
        // What is not exported is no JSON at all.
        None => Ok(told.remove("value").unwrap_or_default()),
    }
}

/// Reads what Node says until it ends, whoever else has its pipe. `None`: it took too long.
fn read_to_its_end(child: &mut Child, file: &Path, said: &mut Vec<u8>) -> io::Result<Option<ExitStatus>> {
    let ended = pidfd::open(child.id().cast_signed())?;
    let mut pipe = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    socket::set_nonblocking(&pipe, true)?;
    let (deadline, mut teller) = (clock::now() + LIMIT, Teller::with_line_after(WORTH_A_LINE));
    let mut more = true;
    loop {
        let has_ended = wait(&ended, more.then_some(&pipe), deadline.min(teller.next()))?;
        match pipe.read_to_end(said) {
            Ok(_) => more = false,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if has_ended {
            return child.wait().map(Some);
        }
        if deadline <= clock::now() {
            child.kill()?;
            return child.wait().map(|_| None);
        }
        teller.tell(&format!("waiting for node to read {}", file.display()), "it runs what the file says", None);
    }
}

/// Sleeps until Node has ended, which is told, or has said something, or the deadline.
fn wait(ended: &OwnedFd, pipe: Option<&ChildStdout>, until: Mono) -> io::Result<bool> {
    let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
    fds.extend(pipe.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    match poll(&mut fds, Some(&clock::until(until))) {
        Ok(_) | Err(Errno::INTR) => Ok(fds.first().is_some_and(|ended| !ended.revents().is_empty())),
        Err(e) => Err(e.into()),
    }
}
