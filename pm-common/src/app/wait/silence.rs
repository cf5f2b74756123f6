//! Why a supervisor is silent: on a full disk it can say nothing, and who waits for it would wait long.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::hopeless::Senseless;
use crate::app::home::try_room;
use crate::cli::report::reason;
use crate::policy::time::{Mono, Span};

/// How long a supervisor may be silent before it is looked why, and then how often.
const SILENT: Span = Span::secs(3);
/// What one file of a status takes, at least.
const STATUS: usize = 4096;

/// Looks from time to time why a supervisor is silent: whether there is room for what it would say.
#[derive(Debug)]
pub struct Silence {
    dir: PathBuf,
    next: Mono,
}

impl Silence {
    /// The wait for the app in `dir` begins.
    #[must_use]
    pub fn new(dir: &Path, now: Mono) -> Self {
        Self { dir: dir.to_owned(), next: now + SILENT }
    }

    /// Says that there is none, so that nothing will be heard; `None`: there is, or nothing can be said yet.
    pub fn look(&mut self, now: Mono) -> Option<Senseless> {
        if now < self.next {
            return None;
        }
        self.next = now + SILENT;
        // A file system that may only be read is so for us: another mount of it may be the supervisor's.
        let is_full = |e: &io::Error| matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let why = try_room(&self.dir, STATUS).err().filter(is_full)?;
        let dir = self.dir.display();
        let why = format!("its supervisor cannot say how it is, as it cannot write in {dir}: {}", reason(&why));
        Some(Senseless::Stands(why))
    }
}
