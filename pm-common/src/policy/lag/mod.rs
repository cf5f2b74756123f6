//! Whether a worker still takes what its clients bring.
//!
//! A connection that the kernel has made waits in the queue of a lane until the worker accepts it. That it waits says
//! little: the queue of a server that is busy beyond its means is never empty, and stays as long as it is when a new
//! client comes for each that is served. So a lane stands still only if, through a whole window of looks,
//! - its queue was never empty, and never shorter than at the look before;
//! - the worker holds no connection that it did not hold at the look before;
//! - so many of the connections that waited at the beginning still wait as were in this queue then. (Which of a port's
//!   lanes a waiting connection is in, the kernel does not tell: that is why this alone is not enough. Clients that have
//!   reset theirs still take a place in the queue, and are counted as waiting.)
//!
//! A server with an event loop accepts only between two turns, and in one turn it serves whoever has a request there. So
//! as long as it reads from those that it has, it is given more time, but not for ever: what accepts may have died, and
//! what serves may not.
//!
//! Where the kernel shows no connections, nothing is known, and nothing is held against anybody. A look that comes late
//! proves nothing either: where we got no time to look, the worker may have got none to accept.
//!
//! A Node worker can also be asked ([`Pulse`]): clients that keep their connections never come to a queue. That it does
//! not answer is not enough either: in one turn of its loop a busy one serves every client that has a request there, before
//! it comes to us. So it stands still only if it also read nothing from any client all the time.

use std::fmt;

use super::time::{Mono, Span};

/// A lane that stands still for so long gets no more connections, if there is another. Longer than a server that lives
/// well is busy with one request, and shorter than clients are patient.
pub const WINDOW: Span = Span::secs(2);
/// How long a lane may stand still whose worker still reads from the clients that it has: a turn of an event loop with
/// hundreds of requests.
pub const BUSY_WINDOW: Span = Span::secs(15);
/// The pauses between looks: at first as short as a busy server needs to take the next, doubled up to the longest.
const FIRST_PAUSE: Span = Span::millis(250);
const LONGEST_PAUSE: Span = Span::secs(4);
/// What comes later than this after its time comes late.
const LATE: Span = Span::millis(500);
/// The part of the limit in which a worker that has nothing else to do answers.
const SOON: u64 = 8;

/// In what way a worker leaves its clients waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stall {
    /// The worker has the listener open and takes nothing from it.
    Queue,
    /// None of its processes has the listener open any more.
    Closed,
    /// The worker does not answer, whether connections wait or not.
    Loop,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "does not accept",
            Self::Closed => "has closed its listener",
            Self::Loop => "does not answer, its event loop stands still",
        })
    }
}

/// What one look at a lane has found; `None`: it could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Connections in the queue.
    pub queue: u32,
    /// Connections of the port that wait now and waited at the beginning, or were reset.
    pub waited: Option<u32>,
    /// The worker holds a connection of the port that it did not hold at the look before.
    pub took: Option<bool>,
    /// The worker has read from a connection that it held at the look before.
    pub read: Option<bool>,
    /// Some process has the listener open.
    pub open: Option<bool>,
}

/// What a look says about a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its worker takes from it: there is nothing to watch.
    Moves,
    /// Not known yet.
    Waits,
    /// The look came late: what was seen now is the beginning of a new window.
    Anew,
    /// The worker stands still.
    Stuck(Stall),
}

/// A lane whose queue was found not to get shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    since: Mono,
    /// When it was last seen to read.
    read: Mono,
    /// The queue at the beginning, and at the last look.
    first: u32,
    last: u32,
    /// Nobody had the listener open at the last look.
    closed: bool,
    stuck: Option<Stall>,
    pause: Span,
    next: Mono,
}

impl Watched {
    /// The watch begins with so many in the queue.
    #[must_use]
    pub fn begin(now: Mono, queue: u32) -> Self {
        let (pause, next) = (FIRST_PAUSE, now + FIRST_PAUSE);
        Self { since: now, read: now, first: queue, last: queue, closed: false, stuck: None, pause, next }
    }

    /// When the next look is due.
    #[must_use]
    pub const fn next(&self) -> Mono {
        self.next
    }

    /// For how long it has stood still: nothing was taken from the queue, nor read from any client.
    #[must_use]
    pub fn still(&self, now: Mono) -> Span {
        let age = now.since(self.since);
        if age < BUSY_WINDOW { now.since(self.read) } else { age }
    }

    /// A look; `limit` is how long the lane may stand still before something must be done.
    pub fn look(&mut self, now: Mono, seen: Seen, limit: Option<Span>) -> Verdict {
        if self.moves(seen) {
            return Verdict::Moves;
        }
        if now.since(self.next) > LATE {
            *self = Self { stuck: self.stuck, ..Self::begin(now, seen.queue) };
            return Verdict::Anew;
        }
        if seen.read == Some(true) {
            self.read = now;
        }
        let closed = seen.open == Some(false);
        let window = limit.map_or(WINDOW, |limit| limit.min(WINDOW));
        // Once may be while it is handed from one process to the next.
        if closed && self.closed {
            self.stuck = Some(Stall::Closed);
        } else if self.still(now) >= window {
            self.stuck = self.stuck.or(Some(Stall::Queue));
        }
        (self.closed, self.last) = (closed, seen.queue);
        let ages = [Some(window), limit].map(|span| span.map(|span| self.read + span));
        self.plan(now, ages.into_iter().flatten().chain([self.since + BUSY_WINDOW]));
        self.stuck.map_or(Verdict::Waits, Verdict::Stuck)
    }

    fn moves(&self, seen: Seen) -> bool {
        let shorter = seen.queue == 0 || seen.queue < self.last;
        let served = seen.waited.is_none_or(|waited| waited < self.first);
        shorter || served || seen.took == Some(true)
    }

    /// The next look: after the pause, but not past a time that decides something.
    fn plan(&mut self, now: Mono, decides: impl Iterator<Item = Mono>) {
        self.pause = self.pause.doubled().min(LONGEST_PAUSE);
        self.next = decides.filter(|at| *at > now).fold(now + self.pause, Mono::min);
    }
}

/// What is due with a worker that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Nothing,
    /// To ask it.
    Ask,
    /// The worker has not answered soon: to be seen what it has read by now.
    Doubt,
    /// The worker has not answered for this long. If it has read something since the last look it moves
    /// ([`Pulse::moves`]).
    Late(Span),
}

/// The questions to one worker: one at a time, twice in the time that it may take to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    limit: Span,
    /// When it was asked (or was last seen to move), if it has not answered since.
    asked: Option<Mono>,
    doubted: bool,
    next: Mono,
}

impl Pulse {
    /// Begins with a worker that is to be asked at once, and must not stand still for `limit`.
    #[must_use]
    pub const fn begin(now: Mono, limit: Span) -> Self {
        Self { limit, asked: None, doubted: false, next: now }
    }

    /// When something is due.
    #[must_use]
    pub const fn next(&self) -> Mono {
        self.next
    }

    /// What is due now.
    pub fn due(&mut self, now: Mono) -> Beat {
        if now < self.next {
            return Beat::Nothing;
        }
        let late = now.since(self.next) > LATE;
        match self.asked {
            None => {
                (self.asked, self.doubted) = (Some(now), false);
                self.next = now + Span(self.limit.0 / SOON);
                Beat::Ask
            }
            Some(_) if !self.doubted => {
                self.doubted = true;
                self.next = now + self.limit;
                Beat::Doubt
            }
            // Nor did we get any time.
            Some(_) if late => {
                self.moves(now);
                Beat::Doubt
            }
            Some(asked) => {
                self.next = now + self.limit.min(LONGEST_PAUSE);
                Beat::Late(now.since(asked))
            }
        }
    }

    /// Notes that the worker has not answered, and has read something.
    pub fn moves(&mut self, now: Mono) {
        (self.asked, self.next) = (Some(now), now + self.limit);
    }

    /// Notes that the worker has answered.
    pub fn answered(&mut self, now: Mono) {
        if let Some(asked) = self.asked.take() {
            self.next = now.max(asked + Span(self.limit.0 / 2));
        }
    }
}

#[cfg(test)]
mod tests;
