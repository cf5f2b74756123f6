//! The caller's side of a start: a child for each service, what becomes of it until it runs, and until it serves.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use pm_common::app::wait::hopeless::suspended;
use pm_common::app::wait::{Teller, Watch, wait_for_any};
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::daemon::{self, Fork};
use pm_common::sys::{clock, process};

use crate::launch::awaited::Awaited;
use crate::launch::running_service::Started;
use crate::launch::service::{ABOUT_TO_EXEC, FIELDS, Service};
use crate::launch::stop_first::Ready;

/// Until when a start is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every worker is ready.
    Ready,
    /// The chain has been executed.
    Started,
    /// The process has been made.
    Forked,
}

/// How long, and in the words of the user.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) until: Until,
    pub(crate) timeout: Span,
    pub(crate) text: String,
    /// The user has said how long.
    pub(crate) asked: bool,
    /// What is not done if nobody waits, in words behind those that say what goes on.
    pub(crate) not_done: String,
}

impl Patience {
    /// As long as nobody says how long, and then come `left`.
    pub(crate) fn before(left: &[String]) -> Self {
        let not_done = if left.is_empty() { String::new() } else { format!(" (not begun: {})", left.join(", ")) };
        Self { not_done, ..Self::default() }
    }

    /// What to say to who interrupts so many starts.
    fn parting(&self, starts: usize) -> String {
        let not_done = &self.not_done;
        match starts {
            1 => format!("not waited for any longer: the start goes on{not_done}; pm list shows it"),
            _ => format!("not waited for any longer: the starts go on{not_done}; pm list shows them"),
        }
    }
}

/// Starts a service, and says what became of it once it is ready.
///
/// # Errors
/// What the child could not do, with its code; the chain's own code, if that ends first; 124.
pub(crate) fn start(service: Service, patience: &Patience) -> Result<u8, Failure> {
    let ready = Ready::all(vec![service]);
    let text = patience.parting(1);
    let _parting = report::parting(&text);
    let launched = ready.services.first().map(|one| launch(one, patience.until, || ready.are_begun(&text)));
    let Some(started) = launched.transpose()?.flatten() else { return Ok(0) };
    let ends = wait(&[started], patience)?;
    Ok(ends.first().copied().unwrap_or(0))
}

/// Starts the services in their order, then waits for all; each gets its line. The codes are in no order. Who interrupts
/// the starts has them all, or none.
pub(crate) fn start_all(ready: &Ready, patience: &Patience) -> Result<Vec<u8>, Failure> {
    let (mut started, mut codes) = (Vec::new(), Vec::new());
    let text = patience.parting(ready.services.len());
    let _parting = report::parting(&text);
    for (left, service) in (0..ready.services.len()).rev().zip(&ready.services) {
        let begun = || {
            if left == 0 {
                ready.are_begun(&text);
            }
        };
        match launch(service, patience.until, begun) {
            Ok(one) => started.extend(one),
            Err(failure) => {
                report::fatal(format_args!("app '{}': {}", service.start.name, failure.message), &[]);
                codes.push(failure.code);
            }
        }
    }
    ready.are_begun("");
    codes.extend(wait(&started, patience)?);
    Ok(codes)
}

/// 1 if any has failed; 124 if the time was up for those that are not ready.
pub(crate) fn summary(codes: &[u8]) -> u8 {
    match codes.iter().filter(|code| **code != 0).collect::<Vec<_>>().as_slice() {
        [] => 0,
        failed if failed.iter().all(|code| **code == EXIT_TIMED_OUT) => EXIT_TIMED_OUT,
        _ => 1,
    }
}

/// Makes the service's process (`begun` is called then: it goes on whatever becomes of us), and waits until it is the chain.
/// `None`: that is not to be waited for.
pub(super) fn launch(service: &Service, until: Until, begun: impl Fn()) -> Result<Option<Started>, Failure> {
    let (reader, writer) = std::io::pipe().or_fail(|| "cannot make a pipe".to_owned())?;
    match daemon::fork().or_fail(|| "cannot fork".to_owned())? {
        Fork::Parent(child) => {
            begun();
            if until == Until::Forked {
                return Ok(None);
            }
            drop(writer);
            outcome(reader, service, child.as_raw()).map(Some)
        }
        Fork::Child => {
            drop(reader);
            let mut pipe = File::from(OwnedFd::from(writer));
            let failure = service.clone().start(&mut pipe);
            // The parent says it, with the stderr that the user sees.
            let _ = pipe.write_all(&[&[failure.code], failure.message.as_bytes()].concat());
            std::process::exit(i32::from(failure.code))
        }
    }
}

/// Waits for what becomes of the child: the pipe is closed when it executes the chain.
fn outcome(mut pipe: PipeReader, service: &Service, pid: i32) -> Result<Started, Failure> {
    let mut told = Vec::new();
    pipe.read_to_end(&mut told).or_fail(|| "cannot read from the service's process".to_owned())?;
    let (fields, failure) = match told.split_first() {
        Some((&ABOUT_TO_EXEC, rest)) => fields(rest),
        _ => (Default::default(), told.as_slice()),
    };
    match failure {
        [code, message @ ..] => Err(Failure::with_code(*code, String::from_utf8_lossy(message))),
        [] if told.is_empty() => {
            let ended = process::reap(pid).map_or_else(String::new, |exit| format!(": {exit}"));
            Err(Failure::own(format!("the service's process ended before the chain was run{ended}")))
        }
        [] => Ok(Started::new(fields, service, pid)),
    }
}

/// The fields that are each before a NUL, and what is behind them.
fn fields(bytes: &[u8]) -> ([&[u8]; FIELDS], &[u8]) {
    let mut parts = bytes.splitn(FIELDS + 1, |byte| *byte == 0);
    let fields = [(); FIELDS].map(|()| parts.next().unwrap_or_default());
    (fields, parts.next().unwrap_or_default())
}

/// What has no better evidence is ready once it has been alive for a second: that is not worth a line that stays.
const WORTH_A_LINE: Span = Span::millis(1500);

/// How many are watched at a time: a user may have 128 inotify instances by default, and others need some, too.
const AT_A_TIME: usize = 32;

/// Waits until each is ready, has ended, or the time is up.
fn wait(started: &[Started], patience: &Patience) -> Result<Vec<u8>, Failure> {
    let deadline = clock::now() + patience.timeout;
    let mut codes = Vec::new();
    for some in started.chunks(AT_A_TIME) {
        let mut awaited = Vec::new();
        for one in some {
            match awaits(one, patience.until)? {
                Some(one) => awaited.push(one),
                None => codes.push(0),
            }
        }
        codes.extend(wait_for(awaited, deadline, &patience.text)?);
    }
    Ok(codes)
}

fn wait_for(mut awaited: Vec<Awaited<'_>>, deadline: Mono, text: &str) -> Result<Vec<u8>, Failure> {
    let mut codes = Vec::new();
    let mut teller = Teller::with_line_after(WORTH_A_LINE);
    loop {
        let mut left = Vec::new();
        for mut one in awaited {
            match one.look()? {
                Some(code) => codes.push(code),
                None => left.push(one),
            }
        }
        awaited = left;
        if awaited.is_empty() {
            return Ok(codes);
        }
        if deadline <= clock::now() {
            codes.extend(awaited.iter().map(|one| one.timed_out(text)));
            return Ok(codes);
        }
        tell(&mut teller, &awaited);
        let next = awaited.iter().filter_map(Awaited::next_look).min();
        pause(&awaited, deadline.min(teller.next()).min(next.unwrap_or(deadline)))?;
    }
}

/// Names the first that is waited for, and what it says of itself.
fn tell(teller: &mut Teller, awaited: &[Awaited<'_>]) {
    let Some(one) = awaited.iter().find(|one| !one.sight.suspended.is_empty()).or_else(|| awaited.first()) else {
        return;
    };
    let more = awaited.len() - 1;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let goal = format!("waiting for app '{}'{more} to be ready", one.started.name);
    teller.tell(&goal, &one.decision.awaited(&one.sight), suspended(&one.sight).as_deref());
}

fn pause(awaited: &[Awaited<'_>], deadline: Mono) -> Result<(), Failure> {
    let apps: Vec<&Watch> = awaited.iter().map(|one| &one.watch).collect();
    let children: Vec<_> = awaited.iter().map(|one| one.pidfd.as_fd()).collect();
    wait_for_any(&apps, &children, Some(deadline)).or_fail(|| "cannot wait for the apps".to_owned())
}

/// `None`: it is as good as it gets, and that has been said.
fn awaits(started: &Started, until: Until) -> Result<Option<Awaited<'_>>, Failure> {
    if until != Until::Ready {
        started.say("", "");
        return Ok(None);
    }
    if !started.supervised || started.dir.as_os_str().is_empty() {
        started.say("", "; it runs, and nothing says when it is ready");
        return Ok(None);
    }
    Awaited::new(started).map(Some)
}
