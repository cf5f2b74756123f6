//! Programs that connect to their port to see whether it is free, before they bind it (CherryPy): it answers, as another
//! worker serves there, or as we hold it for them, and they end.
//!
//! A worker that ends before it has bound anything may have done so, or one that listens on a port of the kernel's choice. It is
//! started once more, and from then on those that
//! start have their connects told: one to an address of ours where its worker does not listen yet is refused in the
//! kernel's place, as it would be without us. The filter stays for life, and each later connect costs a turn of ours: so no
//! program has it that does not need it. Not seen are io_uring, data sent with the connect (TCP fast open), and what 32-bit
//! programs do.

use std::net::SocketAddr;

use pm_common::cli::report;
use pm_common::kernel::{foreign_listeners, procfs};
use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::sys::other_process;
use pm_common::sys::seccomp::{Call, Notice, ToldCalls};
use pm_common::sys::socket::{self, ECONNREFUSED, Protocol};

use super::caller::Caller;
use super::{Asked, Binds, LONGEST_ADDRESS, decide};
use crate::sockets::Sockets;

/// What becomes of the connects of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Connects {
    /// None is told.
    #[default]
    Untold,
    /// The worker starts, and they are looked at.
    LookedAt,
    /// One was refused in the kernel's place; they are looked at.
    Refused,
    /// The worker serves: they go on.
    Over,
}

impl Connects {
    /// Which of the worker's calls are told.
    pub(super) const fn told(self) -> ToldCalls {
        if matches!(self, Self::Untold) { ToldCalls::Binds } else { ToldCalls::Connects }
    }
}

/// What is known of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Known {
    /// No worker has ended in a way that would have to be explained.
    #[default]
    Nothing,
    /// One has ended before it bound anything.
    Suspected,
    /// One has connected to its port before it bound it.
    Proven,
    /// One that was suspected of it has come to serve without.
    Unfounded,
}

/// Whether the app's workers connect to their port before they bind it.
#[derive(Debug, Default)]
pub(super) struct Probes {
    known: Known,
    release: u64,
    /// The end that has raised the suspicion, until it is said what follows.
    unsaid: Option<(WorkerId, Exit)>,
}

impl Probes {
    /// Whether a worker of this release is to have its connects looked at: another release may be another program.
    fn concern(&mut self, release: u64) -> bool {
        if std::mem::replace(&mut self.release, release) != release && self.known == Known::Unfounded {
            self.known = Known::Nothing;
        }
        matches!(self.known, Known::Suspected | Known::Proven)
    }

    /// A worker has ended before it bound anything, and nobody looked at its connects; whether that is news.
    fn suspect(&mut self, who: WorkerId, exit: Exit) -> bool {
        let first = self.known == Known::Nothing;
        if first {
            (self.known, self.unsaid) = (Known::Suspected, Some((who, exit)));
        }
        first
    }

    /// A worker listens elsewhere, and nobody looked at its connects; whether it is to be started again.
    fn suspects_elsewhere(&mut self) -> bool {
        if self.known == Known::Nothing {
            self.known = Known::Suspected;
        }
        self.known != Known::Unfounded
    }

    /// A worker whose connects were looked at has come to serve.
    fn conclude(&mut self, connects: Connects) {
        self.known = match (self.known, connects) {
            (Known::Suspected, Connects::LookedAt) => Known::Unfounded,
            (known, _) => known,
        };
    }
}

impl Binds {
    /// What becomes of the connects of the next worker, of this release. Says what follows from the end of one before.
    pub(super) fn connects_of(&mut self, release: u64) -> Connects {
        if !self.probes.concern(release) {
            return Connects::Untold;
        }
        if let Some((WorkerId { slot, generation }, exit)) = self.probes.unsaid.take() {
            report::info(format_args!(
                "a worker ended before it bound its port, perhaps as that answers: started again, and told that nobody \
                 listens there when it connects slot={slot} generation={generation} {exit}"
            ));
        }
        Connects::LookedAt
    }

    /// Whether a worker that has ended may have found its port to be in use by a connection to it, so that it is to be
    /// started again: once, and then all have that looked at.
    pub(crate) fn has_perhaps_probed(&mut self, who: WorkerId, exit: Exit, sockets: &Sockets) -> bool {
        let Some(watched) = self.watched.get(&who) else { return false };
        let unseen = !self.finished && watched.connects == Connects::Untold && !watched.bound;
        let by_itself = matches!(exit, Exit::Code(_)) && !exit.cannot_run();
        unseen && by_itself && sockets.answers_for(who) && self.probes.suspect(who, exit)
    }

    /// Whether a worker that listens at an address which we have not given it has perhaps gone there as it found its own port
    /// to be in use by a connection to it: it is on a port of the kernel's choice, beside one of the app's where it is not.
    pub(super) fn is_misled(&mut self, who: WorkerId, at: SocketAddr, sockets: &Sockets) -> bool {
        let Some(watched) = self.watched.get(&who) else { return false };
        let unseen = !self.finished && !watched.ended && watched.connects == Connects::Untold && !watched.bound;
        let elsewhere = foreign_listeners::chosen_ports().contains(&at.port()) && sockets.lacks(who, at.ip());
        let misled = unseen && elsewhere && self.probes.suspects_elsewhere();
        if misled {
            let WorkerId { slot, generation } = who;
            report::info(format_args!(
                "a worker listens on another port than the app has, perhaps as that answers: it is to end and is started \
                 again, and told that nobody listens there when it connects slot={slot} generation={generation} \
                 address=tcp:{at}"
            ));
        }
        misled
    }

    /// Notes that a worker serves: if it listens, what it connects to is its own affair.
    pub(crate) fn serves(&mut self, who: WorkerId, sockets: &Sockets) {
        let Some(watched) = self.watched.get_mut(&who) else { return };
        if watched.connects != Connects::Untold && sockets.count_of(who) > 0 {
            self.probes.conclude(std::mem::replace(&mut watched.connects, Connects::Over));
        }
    }

    /// Answers a connect.
    pub(super) fn on_connect(&mut self, who: WorkerId, notice: Notice, sockets: &Sockets) {
        let refused = self.looks_for_itself(who, notice, sockets) == Some(true);
        if let Some(watched) = self.watched.get_mut(&who).filter(|_| refused) {
            watched.connects = Connects::Refused;
            self.probes.known = Known::Proven;
        }
        let Some(listener) = self.listener(who) else { return };
        if refused {
            listener.answer(notice.id, Err(ECONNREFUSED));
        } else {
            // The kernel reads the address again, and another thread may have changed it: then the program connects where
            // it could have connected anyway. The answer is a courtesy, and nothing is decided by it.
            listener.proceed(notice.id);
        }
    }

    /// Whether a worker that does not listen yet connects to where it is about to.
    fn looks_for_itself(&mut self, who: WorkerId, notice: Notice, sockets: &Sockets) -> Option<bool> {
        let Call::Connect { fd, address, length } = notice.call else { return None };
        let watched = self.watched.get(&who)?;
        if self.finished || watched.ended || matches!(watched.connects, Connects::Untold | Connects::Over) {
            return None;
        }
        let bytes = other_process::read_memory(notice.thread, address, length.min(LONGEST_ADDRESS)).ok()?;
        let to = decide::socket_address(&bytes)?;
        if !sockets.is_anothers(who, to) {
            return None;
        }
        let process = Caller(procfs::process_of(notice.thread)?);
        let asked = Asked { who, notice: notice.id, process, fd };
        let protocol = match self.duplicate(&asked) {
            Some(socket) => socket::protocol(&socket).ok()?,
            None => process.protocol(fd),
        };
        // A datagram's socket is only told where to send.
        Some(matches!(protocol, Protocol::Tcp | Protocol::Mptcp) && self.waits(&asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId { slot: 1, generation: 1 };
    const ENDED: Exit = Exit::Code(70);

    #[test]
    fn who_listens_elsewhere_is_suspected_until_one_serves_without() {
        let mut probes = Probes::default();
        assert!(probes.suspects_elsewhere() && probes.suspects_elsewhere(), "two start at once");
        assert!(probes.concern(1));
        probes.conclude(Connects::LookedAt);
        assert!(!probes.suspects_elsewhere() && !probes.concern(1));
    }

    #[test]
    fn one_end_raises_the_suspicion_and_what_the_next_one_does_decides() {
        let mut probes = Probes::default();
        assert!(!probes.concern(1));
        assert!(probes.suspect(WORKER, ENDED) && probes.concern(1));
        assert!(!probes.suspect(WORKER, ENDED), "one that was started before that was known");
        probes.conclude(Connects::LookedAt);
        assert!(!probes.concern(1) && !probes.suspect(WORKER, ENDED), "it was something else");
        assert!(!probes.concern(2) && probes.suspect(WORKER, ENDED), "another release is another program");
        probes.known = Known::Proven;
        probes.conclude(Connects::Refused);
        probes.conclude(Connects::LookedAt);
        assert!(probes.concern(2) && probes.concern(3) && !probes.suspect(WORKER, ENDED));
    }
}
