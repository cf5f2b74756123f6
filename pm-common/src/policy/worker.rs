//! The life of one worker, and the words for it.

use super::exit::Exit;
use super::opened::Opens;
use super::states::WorkerState;
use super::time::{Mono, Span};

pub use super::end_reason::Why;

words! {
    /// On what evidence a worker counts as ready.
    ReadyBy {
        /// The worker listens on every address of the baseline (on any, where there is none).
        Listen = "listen",
        /// `process.send('ready')`.
        Message = "message",
        /// `READY=1`.
        Notify = "notify",
        /// The worker answered the health check.
        Health = "health",
        /// The worker has loaded nothing that it could serve with, or was up for the whole ready timeout and listened on
        /// nothing: it serves nobody.
        Idle = "idle",
        /// Nothing better than that it is still alive: a guess, and it may be about to listen.
        Alive = "alive",
    }
}

impl ReadyBy {
    /// Whether nothing shows that anybody is served.
    #[must_use]
    pub const fn serves_nobody(self) -> bool {
        matches!(self, Self::Idle | Self::Alive)
    }
}

/// Which evidence the person asked for, and how long to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyRule {
    /// `Listen`, `Message`, `Notify` or `Health`; READY=1 is always good.
    pub evidence: ReadyBy,
    /// With `Listen` and no baseline: alive this long, and quiet, is ready; `None`: only who listens is.
    pub alive_after: Option<Span>,
    /// As `alive_after`, for a program that has loaded something to serve with.
    pub listen_time: Span,
    /// A program of which nobody tells what it has loaded serves nobody once it has lived for so long, and rests.
    pub rest_after: Span,
    /// A worker that is not ready by then has failed to start.
    pub timeout: Span,
}

impl Default for ReadyRule {
    /// Waits for a listener, and guesses as late as PM2 does (its listen_timeout is 3 s, and the manual's example 5 s). What
    /// loads computes, so that one that has rested for 3 s would listen by then but for something that it waits for.
    fn default() -> Self {
        Self {
            evidence: ReadyBy::Listen,
            alive_after: Some(Span::secs(1)),
            listen_time: Span::secs(5),
            rest_after: Span::secs(3),
            timeout: Span::secs(30),
        }
    }
}

impl ReadyRule {
    /// Sets how long a worker is waited for to listen; `None`: until the ready timeout, and who does not has failed.
    pub fn wait_for_listen(&mut self, time: Option<Span>) {
        self.alive_after = time;
        self.listen_time = time.unwrap_or(self.listen_time);
        self.rest_after = time.unwrap_or(self.rest_after);
    }

    /// What a worker that starts now waits for; `held`: to the addresses of the one before it.
    pub(super) fn due(&self, now: Mono, held: bool) -> Due {
        // Alive is evidence only where there is nothing better to ask for.
        match self.alive_after.filter(|_| self.evidence == ReadyBy::Listen && !held) {
            Some(span) => Due::Alive(now + half(span)),
            None => Due::Proof(now + self.timeout),
        }
    }

    /// How long it is waited for that a program listens which could; `None`: another sign was asked for, or it must.
    #[must_use]
    pub fn listen_time(&self) -> Option<Span> {
        self.alive_after.filter(|_| self.evidence == ReadyBy::Listen).map(|_| self.listen_time)
    }

    /// How long a start waits for one that may yet listen: a little longer than its supervisor, which knows more.
    #[must_use]
    pub fn start_waits(&self) -> Span {
        self.listen_time + Span(self.listen_time.0 / 4)
    }

    /// The time after which a worker that has not listened serves nobody.
    #[must_use]
    pub fn longest(&self) -> Span {
        self.timeout.max(self.alive_after.unwrap_or_default())
    }

    /// When a worker that has not listened since then serves nobody; `expected`: as the one before it.
    pub(super) fn idle_at(&self, since: Mono, expected: bool) -> Mono {
        since + self.alive_after.filter(|_| expected).unwrap_or_else(|| self.longest())
    }
}

/// Two looks at a worker, one this long after the other, show whether it is quiet.
pub(super) fn half(span: Span) -> Span {
    Span(span.0 / 2).max(Span(1))
}

words! {
    /// What a program has loaded by the time its main module has been evaluated.
    Loads {
        /// Nothing that it could serve with.
        Nothing = "nothing",
        /// Something that it could serve with.
        Server = "server",
        /// Nobody tells: it is no Node, or has taken the channel away.
        Unknown = "unknown",
    }
}

impl Loads {
    /// As the script in Node says it.
    #[must_use]
    pub const fn of(server: bool) -> Self {
        if server { Self::Server } else { Self::Nothing }
    }
}

/// What a starting worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// At this time it is looked at: quiet, it is ready (unless better evidence comes first).
    Alive(Mono),
    /// Without proof by this time, it has failed.
    Proof(Mono),
    /// The worker supervises workers of its own and will say READY=1 in its own time.
    Said,
}

/// The states of a living worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Starting(Due),
    /// Ready by this evidence, and to be watched until then before it serves.
    Soaking {
        since: Mono,
        until: Mono,
        by: ReadyBy,
    },
    Ready {
        since: Mono,
        by: ReadyBy,
    },
    /// Asked to end; until it is told to, it finishes its work.
    Draining {
        since: Mono,
        kill_at: Mono,
        why: Why,
        told: StopSent,
    },
    Killing {
        since: Mono,
        why: Why,
    },
}

/// How often a worker was sent the stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum StopSent {
    /// Not yet: it finishes its work.
    Never,
    Once,
    /// A supervisor takes the second for "now"; what comes next is KILL.
    Twice,
}

/// Whether a worker has shown that it is any good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Proof {
    /// The worker has not been ready yet.
    None,
    /// Nor has this one, and a roll waits for it: its release has yet to show that it is any good.
    OnTrial,
    /// The worker has been ready (and soaked) at some time.
    WasReady,
}

/// Whether the end of a worker is held against its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Excuse {
    /// The end is held against the program.
    None,
    /// Not if it comes before there is any evidence that the worker is ready.
    Excused,
    /// Not: it was asked to end over something of ours.
    Misled,
    /// The end is held against the program, and the worker stands in for one that was excused: there is no second
    /// excuse.
    Substitute,
}

/// A living worker (or one whose leader has ended and whose process group has not).
///
/// It may listen on a thousand addresses, and each is an event: only tests may clone it.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Worker {
    pub(super) generation: u64,
    pub(super) started: Mono,
    pub(super) life: Life,
    /// Up so long without listening, it has shown that it serves nobody.
    pub(super) idle_at: Mono,
    /// When one that is ready because it lives is looked at next: one that rests serves nobody.
    pub(super) rest_at: Mono,
    /// What it has loaded, as it said last.
    pub(super) loads: Loads,
    /// The leader's end, while others of its group still live.
    pub(super) exit: Option<Exit>,
    /// The worker announced itself as a supervisor: memory and health are its own business.
    pub(super) supervises: bool,
    /// The worker said that it gives up: do not start it again.
    pub(super) gave_up: bool,
    pub(super) excuse: Excuse,
    /// The kernel's OOM killer struck as it was killed.
    pub(super) oom: bool,
    /// Over this limit (memory or lag); noted once, so that it counts once.
    pub(super) unfit: Option<Why>,
    pub(super) proof: Proof,
    /// The number of the roll that its release came with.
    pub(super) release: u64,
    /// The worker has had the seat of its slot at some time: only then is its end an end of the slot's worker.
    pub(super) seated: bool,
    /// What it was refused when it wanted to listen, if it was.
    pub(super) refused: Option<String>,
    /// The program is being loaded, and will say when that is done.
    pub(super) boots: bool,
    /// Since when it is up: it listens on something, and has been loaded.
    pub(super) up: Option<Mono>,
    /// The worker is taken as it is, whatever it lacks.
    pub(super) accepted: bool,
    /// Where it listens.
    pub(super) listening: Opens,
}

impl Worker {
    pub(super) fn new(generation: u64, now: Mono, rule: ReadyRule, held: bool, release: u64) -> Self {
        Self {
            generation,
            started: now,
            life: Life::Starting(rule.due(now, held)),
            idle_at: rule.idle_at(now, false),
            rest_at: now,
            loads: Loads::Unknown,
            exit: None,
            supervises: false,
            gave_up: false,
            excuse: Excuse::None,
            oom: false,
            unfit: None,
            proof: Proof::None,
            release,
            seated: false,
            refused: None,
            boots: false,
            up: None,
            accepted: false,
            listening: Opens::new(),
        }
    }

    /// Whether nobody has asked it to end.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.life, Life::Starting(_) | Life::Soaking { .. } | Life::Ready { .. })
    }

    /// Whether it has shown nothing yet but that it lives, and stands in for none that was excused.
    pub(super) fn is_excusable(&self) -> bool {
        self.excuse != Excuse::Substitute
            && match &self.life {
                Life::Starting(_) => true,
                Life::Soaking { by, .. } | Life::Ready { by, .. } => by.serves_nobody(),
                Life::Draining { .. } | Life::Killing { .. } => false,
            }
    }

    /// Whether it wanted to listen, could not, and listens on nothing: that it lives shows nothing.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some() && self.listening.is_empty()
    }

    /// Whether a roll waits for it to be ready.
    pub(super) fn on_trial(&self) -> bool {
        self.proof == Proof::OnTrial
    }

    /// Whether it has been ready at some time.
    pub(super) fn was_ready(&self) -> bool {
        self.proof == Proof::WasReady
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    /// When it is to be decided again about one that is ready because it lives: what tells nothing of itself is looked at.
    pub(super) fn settles_at(&self) -> Mono {
        if self.loads == Loads::Unknown { self.idle_at.min(self.rest_at) } else { self.idle_at }
    }

    /// When this worker next needs a decision, if it does.
    pub(super) fn deadline(&self) -> Option<Mono> {
        match self.life {
            Life::Starting(Due::Alive(at) | Due::Proof(at)) => Some(at),
            Life::Soaking { until, .. } => Some(until),
            Life::Draining { kill_at, .. } => Some(kill_at),
            Life::Ready { by: ReadyBy::Alive, .. } if !self.supervises => Some(self.settles_at()),
            Life::Starting(Due::Said) | Life::Ready { .. } | Life::Killing { .. } => None,
        }
    }

    /// Why it ends: our reason if we ended it, else its own.
    pub(super) fn why(&self, exit: Exit) -> Why {
        match self.life {
            Life::Draining { why, .. } | Life::Killing { why, .. } => why,
            _ if exit == Exit::Code(0) => Why::Exit,
            Life::Starting(_) | Life::Soaking { .. } | Life::Ready { .. } if self.oom => Why::Oom,
            Life::Starting(_) | Life::Soaking { .. } | Life::Ready { .. } => Why::Crash,
        }
    }

    /// The state and since when, for the status.
    pub(super) fn state(&self) -> (WorkerState, Mono, Option<ReadyBy>) {
        match self.life {
            // Until it has soaked it serves nobody.
            Life::Starting(_) | Life::Soaking { .. } => (WorkerState::Starting, self.started, None),
            Life::Ready { since, by } => (WorkerState::Ready, since, Some(by)),
            Life::Draining { since, .. } => (WorkerState::Draining, since, None),
            Life::Killing { since, .. } => (WorkerState::Killing, since, None),
        }
    }
}
