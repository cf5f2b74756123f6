//! Tells the person who waits what for: nothing in the first second, then a line that is kept up to date on a terminal,
//! and elsewhere one line, and one more when the reason has become another.

use crate::cli::report;
use crate::policy::time::{Mono, Span};
use crate::sys::{clock, terminal};

/// A wait that is over by then has nothing to tell; after it, whoever is waited for is looked at again as often.
const PATIENT: Span = Span::secs(1);

/// What has been told of a wait.
#[derive(Debug)]
pub struct Teller {
    begun: Mono,
    next: Mono,
    on_terminal: bool,
    /// Why it takes long, as it was told last.
    told: Option<String>,
}

impl Default for Teller {
    fn default() -> Self {
        Self::new()
    }
}

impl Teller {
    /// The wait begins now.
    #[must_use]
    pub fn new() -> Self {
        Self::with_line_after(PATIENT)
    }

    /// The wait begins now, and is not worth a line for so long where that would stay.
    #[must_use]
    pub fn with_line_after(patient: Span) -> Self {
        Self::beginning(clock::now(), patient, report::shows_progress())
    }

    fn beginning(begun: Mono, patient: Span, on_terminal: bool) -> Self {
        Self { begun, next: begun + if on_terminal { PATIENT } else { patient }, on_terminal, told: None }
    }

    /// When to look again, if nothing happens: what is suspended says nothing.
    #[must_use]
    pub const fn next(&self) -> Mono {
        self.next
    }

    /// Tells what goes on (`waiting for app 'web' to be ready`), if it is time to; `trouble`: what keeps it from happening,
    /// where that is known.
    pub fn tell(&mut self, goal: &str, state: &str, trouble: Option<&str>) {
        let now = clock::now();
        if now < self.next {
            return;
        }
        self.next = now + PATIENT;
        let reason = trouble.unwrap_or_default().to_owned();
        if let Some(trouble) = trouble.filter(|_| self.told.as_ref() != Some(&reason)) {
            report::warning(format_args!("{goal}: {trouble}"));
        } else if !self.on_terminal && self.told.is_none() {
            report::info(format_args!("{goal}: {state}"));
        }
        if self.on_terminal {
            let seconds = now.since(self.begun).as_millis() / 1000;
            report::progress(&format!("{goal}, {seconds}s: {state}"), columns());
        }
        self.told = Some(reason);
    }
}

/// The columns of the terminal, less the last: a line that wraps could not be taken away again.
fn columns() -> usize {
    terminal::size(rustix::stdio::stderr()).map_or(79, |(columns, _)| columns - 1)
}

impl Drop for Teller {
    fn drop(&mut self) {
        report::clear_progress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_hears_within_a_second_what_is_waited_for() {
        let (now, patient) = (clock::now(), Span::millis(1500));
        assert_eq!(Teller::beginning(now, patient, true).next(), now + Span::secs(1));
        assert_eq!(Teller::beginning(now, patient, false).next(), now + patient, "a line that stays is worth more");
    }
}
