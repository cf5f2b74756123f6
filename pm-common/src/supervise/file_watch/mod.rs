//! The files of `Rules::watch`: the machine is told which of them change, and decides what follows.
//!
//! `watched_tree` has the directories; here is when there is one: while the workers are ours, and not those of a supervisor below.

#[cfg(test)]
mod tests;
mod watched_tree;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{Adapter, Driver, Scope};
use crate::cli::escape::escaped;
use crate::cli::globs::{self, LeftOut};
use crate::cli::{chain, report, working_dir};
use crate::policy::supervisor::Event;
use watched_tree::{FileChange, Setting, WatchedTree};

/// The tree of a policy that has one, as long as it is ours to watch.
#[derive(Debug, Default)]
pub(super) struct Watching {
    tree: Option<WatchedTree>,
    /// The kernel let us have none, which was said.
    failed: bool,
}

impl Watching {
    /// The paths that are watched may lead to another release from now on.
    pub(super) fn follow_roots(&mut self) {
        self.tree.iter_mut().for_each(WatchedTree::follow_roots);
    }

    /// What tells of changes.
    pub(super) fn instance(&self) -> Option<&OwnedFd> {
        self.tree.as_ref().map(WatchedTree::instance)
    }
}

impl<A: Adapter> Driver<A> {
    /// Begins to watch before any worker has read a file, and ends once a supervisor below does it.
    pub(super) fn keep_watching(&mut self) {
        let wanted = self.machine.watches() && !self.watching.failed;
        if wanted == self.watching.tree.is_some() {
            return;
        }
        self.watching.tree = None;
        if !wanted || self.names_supervisor() {
            self.watching.failed = wanted;
            return;
        }
        match WatchedTree::new(self.what_to_watch()) {
            Ok(tree) => self.watching.tree = Some(tree),
            Err(error) => self.cannot_watch(&error),
        }
        self.say_unwatched();
    }

    /// What the policy says, but for what is written by us, or by our doing.
    fn what_to_watch(&self) -> Setting {
        let rules = self.machine.rules();
        let mut left_out = rules.ignore.clone();
        left_out.extend(self.outputs.globs());
        let dir = String::from_utf8_lossy(self.publisher.directory());
        left_out.extend(Path::new(&*dir).parent().and_then(Path::to_str).map(globs::literal));
        let roots = rules.watch.iter().map(PathBuf::from).collect();
        Setting { roots, left_out: LeftOut::new(&left_out), here: working_dir::absolute("").unwrap_or_default().into() }
    }

    /// Whether the chain begins with one that will supervise: nothing is watched twice.
    fn names_supervisor(&self) -> bool {
        let supervises = |link: &chain::Link| ["pm-cluster", "pm-restart"].contains(&link.tool.name);
        self.scope == Scope::Tree && chain::links(&self.argv).0.iter().any(supervises)
    }

    /// Tells the machine what has changed.
    pub(super) fn look_at_files(&mut self) {
        let Some(tree) = &mut self.watching.tree else { return };
        match tree.changes() {
            Ok(found) => {
                self.events.extend(found.into_iter().map(|FileChange { file, gone }| Event::FileChanged {
                    file: escaped(&file.to_string_lossy()),
                    gone,
                }))
            }
            Err(error) => self.cannot_watch(&error),
        }
        self.say_unwatched();
    }

    fn cannot_watch(&mut self, error: &std::io::Error) {
        let reason = report::reason(error);
        report::warning(format_args!("no file is watched, pm reload is needed where code changes: {reason}"));
        self.watching = Watching { tree: None, failed: true };
    }

    fn say_unwatched(&mut self) {
        let Some((place, error)) = self.watching.tree.as_mut().and_then(WatchedTree::take_trouble) else { return };
        let (place, reason) = (escaped(&place.to_string_lossy()), report::reason(&error));
        report::warning(format_args!("not all is watched, changes may go unseen in {place}: {reason}"));
    }
}
