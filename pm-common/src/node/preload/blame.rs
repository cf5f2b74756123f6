//! Whether the workers of a release can load the drain script, as their ends show.
//!
//! The script says on the channel that it has been loaded, before the app runs. A worker that ends in the way Node ends
//! over its options (9) or a script of them (1), and has not said so, is started again without it. That shows whether
//! it was the script: if it listens, the release goes without; if not, the next has the script again, and so in turn, so
//! that neither a script that cannot be read nor an app that cannot start yet is taken for the other for good.

use std::collections::BTreeMap;

use crate::policy::exit::Exit;

/// Releases that are remembered: the current one, the one before it and the next are in use.
const REMEMBERED: usize = 8;

/// How a worker was started, and how far it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// The number of its release.
    pub release: u64,
    /// The worker was given the script.
    pub with_script: bool,
    /// The worker has connected its channel: Node does so before it loads any script.
    pub online: bool,
    /// The script has said that it is loaded.
    pub loaded: bool,
    /// The worker has listened.
    pub listened: bool,
}

/// What is known of releases whose workers ended before the script was loaded.
#[derive(Debug, Default)]
pub struct Blame {
    suspicions: BTreeMap<u64, Suspicion>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    /// The next worker is given the script.
    with_script: bool,
    /// One without it has listened.
    proven: bool,
    /// One without it has failed too.
    failed_without: bool,
}

/// What an end says about the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing.
    Own,
    /// The script may have been the cause, and nobody has been told yet.
    First,
    /// The script may have been the cause, which was told before.
    Again,
}

impl Blame {
    /// Whether the next worker of the release is to be given the script.
    pub fn wants_script(&self, release: u64) -> bool {
        self.suspicions.get(&release).is_none_or(|suspicion| suspicion.with_script)
    }

    /// A worker listens.
    pub fn listened(&mut self, progress: &Progress) {
        if let Some(suspicion) = self.suspicions.get_mut(&progress.release).filter(|_| !progress.with_script) {
            *suspicion = Suspicion { with_script: false, proven: true, ..*suspicion };
        }
    }

    /// A worker ended.
    pub fn ended(&mut self, progress: &Progress, exit: Exit) -> Cause {
        if progress.listened || !matches!(exit, Exit::Code(1 | 9)) {
            return Cause::Own;
        }
        if !progress.with_script {
            if let Some(suspicion) = self.suspicions.get_mut(&progress.release).filter(|suspicion| !suspicion.proven) {
                *suspicion = Suspicion { with_script: true, failed_without: true, ..*suspicion };
            }
            return Cause::Own;
        }
        if progress.loaded || !(progress.online || exit == Exit::Code(9)) {
            return Cause::Own;
        }
        let first = !self.suspicions.contains_key(&progress.release);
        let suspicion = self.suspicions.entry(progress.release).or_default();
        suspicion.with_script = false;
        let excused = !suspicion.failed_without;
        while self.suspicions.len() > REMEMBERED {
            self.suspicions.pop_first();
        }
        match excused {
            true if first => Cause::First,
            true => Cause::Again,
            false => Cause::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLOADED: Progress = Progress { release: 0, with_script: true, online: true, loaded: false, listened: false };
    const WITHOUT: Progress = Progress { with_script: false, ..UNLOADED };

    #[test]
    fn only_an_end_before_the_script_was_loaded_is_the_scripts() {
        let offline = Progress { online: false, ..UNLOADED };
        let cases = [
            (UNLOADED, Exit::Code(1), Cause::First),
            (UNLOADED, Exit::Code(9), Cause::First),
            (offline, Exit::Code(9), Cause::First),
            (offline, Exit::Code(1), Cause::Own),
            (UNLOADED, Exit::Code(0), Cause::Own),
            (UNLOADED, Exit::Signal(9), Cause::Own),
            (Progress { loaded: true, ..UNLOADED }, Exit::Code(1), Cause::Own),
            (Progress { listened: true, ..UNLOADED }, Exit::Code(1), Cause::Own),
            (WITHOUT, Exit::Code(1), Cause::Own),
        ];
        for (start, exit, verdict) in cases {
            let mut blame = Blame::default();
            assert_eq!(blame.ended(&start, exit), verdict, "{start:?} {exit}");
            assert_eq!(blame.wants_script(0), verdict == Cause::Own, "{start:?} {exit}");
            assert!(blame.wants_script(1), "another release");
        }
    }

    #[test]
    fn once_one_has_listened_without_it_the_release_goes_without() {
        let mut blame = Blame::default();
        blame.ended(&UNLOADED, Exit::Code(1));
        blame.listened(&WITHOUT);
        assert_eq!(blame.ended(&UNLOADED, Exit::Code(1)), Cause::Again, "it was started before that was known");
        blame.ended(&WITHOUT, Exit::Code(1));
        assert!(!blame.wants_script(0));
    }

    #[test]
    fn where_it_fails_without_too_both_are_tried_in_turn_and_none_is_free() {
        let mut blame = Blame::default();
        blame.ended(&UNLOADED, Exit::Code(1));
        for _ in 0..3 {
            blame.ended(&WITHOUT, Exit::Code(1));
            assert!(blame.wants_script(0));
            assert_eq!(blame.ended(&UNLOADED, Exit::Code(1)), Cause::Own);
            assert!(!blame.wants_script(0));
        }
    }

    #[test]
    fn few_releases_are_remembered() {
        let mut blame = Blame::default();
        for release in 0..100 {
            blame.ended(&Progress { release, ..UNLOADED }, Exit::Code(1));
        }
        assert_eq!((blame.suspicions.len(), blame.wants_script(99)), (REMEMBERED, false));
    }
}
