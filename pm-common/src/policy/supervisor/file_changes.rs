//! What changed files lead to (`Rules::watch`): once all is quiet, everything is started anew, as at a set time.
//!
//! Changes that come during a roll wait for its end, and lead to one more. An app that writes what is watched as it starts
//! would be started for ever: such rolls are put off, and the file is named.

use super::{Action, Machine, Mono, Record, Slot, Span};

/// Where it is never quiet, a roll begins after so many times the delay.
const MOST_DELAYS: u64 = 25;
/// A change comes early if some worker has lived for less: it may be the worker's own.
const YOUNG: Span = Span::secs(2);
/// So many early ones in a row are no chance.
const MOST_EARLY: u32 = 3;
/// The first pause between such rolls, doubled up to the longest.
const PAUSES: (Span, Span) = (Span::secs(1), Span::secs(8));

/// What has changed since the last roll, and what came of it before.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub(super) pending: Option<Pending>,
    /// How many in a row came early.
    pub(super) early: u32,
    /// The next roll is put off until then.
    pub(super) not_before: Mono,
}

/// Changes that have led to nothing yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The first file that was written; until there is one, the first that is gone.
    file: String,
    gone: bool,
    count: u64,
    first: Mono,
    last: Mono,
    pub(super) early: bool,
}

impl Machine {
    /// Whether it is for us to watch files.
    #[must_use]
    pub fn watches(&self) -> bool {
        !self.rules.watch.is_empty() && self.starts_anew()
    }

    pub(super) fn on_file_changed(&mut self, now: Mono, file: String, gone: bool) {
        if !self.watches() {
            return;
        }
        let early = self.slots.iter().flat_map(Slot::workers).any(|worker| now.since(worker.started) < YOUNG);
        let Some(pending) = &mut self.changes.pending else {
            self.changes.pending = Some(Pending { file, gone, count: 1, first: now, last: now, early });
            return;
        };
        (pending.last, pending.count) = (now, pending.count + 1);
        // An editor writes a file beside the one that is meant, and renames it.
        if pending.gone || pending.file == file {
            (pending.file, pending.gone) = (file, gone);
        }
    }

    /// When the changes so far lead to a roll, if there is no further one.
    pub(super) fn changes_deadline(&self) -> Option<Mono> {
        let pending = self.changes.pending.as_ref().filter(|_| self.rolls.now.is_none() && self.watches())?;
        let delay = self.rules.watch_delay;
        let quiet = (pending.last + delay).min(pending.first + Span(delay.0.saturating_mul(MOST_DELAYS)));
        Some(quiet.max(self.changes.not_before))
    }

    pub(super) fn changes_if_due(&mut self, now: Mono, out: &mut Vec<Action>) {
        if self.changes_deadline().is_none_or(|at| at > now) {
            return;
        }
        let changes = &mut self.changes;
        let Some(Pending { file, count, early, .. }) = changes.pending.take() else { return };
        out.push(Action::Say(Record::FileChanged { file: file.clone(), count }));
        changes.early = if early { changes.early.saturating_add(1) } else { 0 };
        if let Some(times) = changes.early.checked_sub(MOST_EARLY) {
            let pause = Span(PAUSES.0.0 << times.min(8)).min(PAUSES.1);
            changes.not_before = now + pause;
            out.extend((times == 0).then_some(Action::Say(Record::ChangesAgain { file })));
        }
        self.start_anew(now);
    }
}
