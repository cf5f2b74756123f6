//! What the machine wants said: a fixed sentence, then key=value.

use std::fmt;

use super::WorkerId;
use super::exit::Exit;
use super::lag::Stall;
use super::listening::Listening;
use super::time::Span;
use super::worker::{ReadyBy, Why};

/// Addresses that a message names, at most.
const MOST_SHOWN: usize = 16;

/// Says of a worker that it is killed; it stands in the app's err.log, where a stop looks for it.
pub const KILLED: &str = "told to end with KILL";

/// What follows a worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A new worker after this time.
    Restart(Span),
    /// Another worker of the slot already takes over.
    Replaced,
    /// Nothing: the restart policy says so.
    Nothing,
    /// Nothing: the slot used up its restarts.
    Failed,
}

words! {
    /// What follows a reload that was given up.
    Then {
        /// The old workers serve on that were not replaced yet.
        OthersGoOn = "others-go-on",
        /// The old worker of the slot had to end first: another is started from the release before.
        StartedAgain = "started-again",
        /// Every worker ended with the supervisor, and is started again from the release before.
        AllStartedAgain = "all-started-again",
        /// The old worker had to end first, and the policy starts none for what the new one did.
        Nothing = "down",
        /// The old worker had to end first, and the new one is left as it is: the policy starts none after it.
        NewGoesOn = "new-goes-on",
    }
}

/// Why a worker that was not ready in time is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoesOn {
    /// No other would take its place.
    RunsOnce,
    /// The worker could not listen, and lives on: it may try again, or have other things to do.
    Lives,
}

/// Something to say; its level is `warning` unless `is_info`.
#[allow(missing_docs, reason = "the fields say what they are")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A worker ended that should not have.
    Ended { id: WorkerId, exit: Exit, why: Why, next: Next },
    /// A worker is over the memory limit.
    OverMemory { id: WorkerId, bytes: u64, limit: u64 },
    /// A worker is over the lag limit.
    OverLag { id: WorkerId, how: Stall, after: Span, limit: Span },
    /// A worker was not ready in time.
    NotReady {
        id: WorkerId,
        after: Span,
        asked: ReadyBy,
        missing: Vec<Listening>,
        refused: Option<String>,
        /// Why the worker is left as it is, if it is.
        goes_on: Option<GoesOn>,
    },
    /// A worker over the limit has its successor, and goes.
    Replaced { id: WorkerId, why: Why },
    /// A worker serves, but not all that the one before it did.
    ReadyWithout { id: WorkerId, missing: Vec<Listening> },
    /// A worker did not end within its grace.
    Killed { id: WorkerId, grace: Span },
    /// A watched file has changed, the first of so many changes: all is started anew.
    FileChanged { file: String, count: u64 },
    /// A watched file changes each time that the app is started.
    ChangesAgain { file: String },
    /// A reload replaced all workers.
    Rolled { workers: u32, number: u64 },
    /// A reload was given up.
    RollAborted { slot: u32, then: Then, reason: String },
    /// A reload started nothing.
    RollRefused { reason: String },
    /// One worker is the least.
    ScaleLimit { workers: u32 },
    /// The restarts are used up, or the child gave up.
    GaveUp { exit: Exit },
}

impl Record {
    /// Whether this is worth no more than the level info.
    #[must_use]
    pub const fn is_info(&self) -> bool {
        let as_asked = matches!(self, Self::Ended { exit: Exit::Code(0), next: Next::Nothing, .. });
        let news = matches!(self, Self::Rolled { .. } | Self::Replaced { .. } | Self::FileChanged { .. });
        as_asked || news || matches!(self, Self::ScaleLimit { .. })
    }
}

/// What follows an end that has a remedy, as the rest of a sentence.
pub(super) const fn remedy(why: Why) -> &'static str {
    match why {
        Why::Oom => {
            "; the kernel's OOM killer struck in this control group just then: \
             raise its memory limit, or stay below it with --max-mem"
        }
        Why::Exit | Why::Crash | Why::Spawn | Why::Stop | Why::Scale | Why::Memory => "",
        Why::Lag | Why::NotReady | Why::Unshared | Why::Reload | Why::GiveUp | Why::Orphaned => "",
    }
}

/// Addresses for people: of very many the first, and how many more there are.
#[must_use]
pub fn some_of(addresses: &[impl ToString]) -> String {
    let shown: Vec<String> = addresses.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
    match addresses.len().saturating_sub(MOST_SHOWN) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

/// How a new release is told to be meant as it is, and what else it can be.
const IF_MEANT: &str = "as the one before it (if that is meant: pm reload APP --moved)";

/// Addresses as people write them.
fn places(addresses: &[Listening]) -> String {
    let plain = |address: &Listening| address.tcp().map_or_else(|| address.to_string(), |tcp| tcp.to_string());
    some_of(&addresses.iter().map(plain).collect::<Vec<_>>())
}

/// What a worker listens on, and what it lacks.
pub(super) fn listens_elsewhere(there: &[Listening], missing: &[Listening]) -> String {
    let (there, missing) = (places(there), places(missing));
    format!("the new worker listens on {there}, not on {missing} {IF_MEANT}")
}

/// What a worker that is not ready lacks, as the rest of a sentence.
pub(super) fn not_listening(missing: &[Listening]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    format!("; it does not listen on {} {IF_MEANT}", places(missing))
}

/// What a worker lacks as [`not_listening`] says it, and what it was refused, or has not said.
pub(super) fn lacking(asked: ReadyBy, missing: &[Listening], refused: Option<&str>) -> String {
    let more = match (asked, refused) {
        (ReadyBy::Listen, Some(what)) => format!("; it listens on nothing: {what}"),
        (_, Some(what)) => format!("; {what}"),
        (ReadyBy::Message, None) => "; no process.send('ready')".to_owned(),
        (ReadyBy::Notify, None) => "; no READY=1".to_owned(),
        (_, None) => String::new(),
    };
    not_listening(missing) + &more
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { id, exit, why, next } => {
                let sentence = if *why == Why::Spawn { "could not start a worker" } else { "worker ended" };
                write!(f, "{sentence} {id} {exit} why={why} restart={next}{}", remedy(*why))
            }
            Self::OverMemory { id, bytes, limit } => {
                write!(f, "worker over the memory limit {id} bytes={bytes} limit={limit}")
            }
            Self::OverLag { id, how, after, limit } => {
                let (after, limit) = (after.as_millis(), limit.as_millis());
                write!(f, "worker over the lag limit {id} lag={after}ms limit={limit}ms: it {how}")
            }
            Self::NotReady { id, after, asked, missing, refused, goes_on } => {
                let lacks = lacking(*asked, missing, refused.as_deref());
                let then = match goes_on {
                    Some(GoesOn::RunsOnce) => "; it goes on, as it is never started again (--restart never)",
                    Some(GoesOn::Lives) => "; it goes on, as it lives",
                    None => "",
                };
                write!(f, "worker not ready in time {id} after={}ms{lacks}{then}", after.as_millis())
            }
            Self::Replaced { id, why } => write!(f, "worker replaced {id} why={why}"),
            Self::ReadyWithout { id, missing } => {
                write!(f, "worker serves less than the one before it {id} missing={}", some_of(missing))
            }
            Self::Killed { id, grace } => {
                let grace = grace.as_millis();
                write!(f, "worker still there after the grace, {KILLED} {id} grace={grace}ms")
            }
            Self::FileChanged { file, count } => {
                write!(f, "a watched file changed, the app is started anew file={file} changes={count}")
            }
            Self::ChangesAgain { file } => write!(
                f,
                "files change as soon as the app is started, again and again; from now on it waits before the next start: \
                 if the app writes them, leave them out by --ignore file={file}"
            ),
            Self::Rolled { workers, number } => write!(f, "reloaded workers={workers} roll={number}"),
            Self::RollAborted { slot, then, reason } => write!(f, "reload aborted, {then} slot={slot}: {reason}"),
            Self::RollRefused { reason } => write!(f, "reload aborted, nothing was started: {reason}"),
            Self::ScaleLimit { workers } => write!(f, "not scaled, this is the limit workers={workers}"),
            Self::GaveUp { exit } => write!(f, "giving up: too many restarts (see --intensity and --backoff) {exit}"),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OthersGoOn => "the workers not yet replaced go on",
            Self::StartedAgain => "the program is started again from what it ran from before",
            Self::AllStartedAgain => "every worker is started again from the release before it",
            Self::Nothing => "and by the policy (--restart, --stop-codes) the program is not started again",
            Self::NewGoesOn => "and the new one goes on as it is, as none is started after it (--restart never)",
        })
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(Span::ZERO) => f.write_str("now"),
            Self::Restart(delay) => write!(f, "{}ms", delay.as_millis()),
            Self::Replaced => f.write_str("replaced"),
            Self::Nothing => f.write_str("no"),
            Self::Failed => f.write_str("no; too many restarts (--intensity), the slot has failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_some_of_a_thousand_addresses() {
        let all: Vec<Listening> = (0..1000).map(|n| Listening::Tcp(([127, 0, 0, 1], n).into())).collect();
        assert_eq!(some_of(&all[..2]), "tcp:127.0.0.1:0 tcp:127.0.0.1:1");
        assert!(some_of(&all[..MOST_SHOWN]).ends_with(" tcp:127.0.0.1:15"));
        assert!(some_of(&all).ends_with(" tcp:127.0.0.1:15 and 984 more"));
        assert!(not_listening(&all).len() < 300);
    }
}
