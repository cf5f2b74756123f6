//! What an app has written since its start, to show those who wait for it.

use pm_common::supervise::err_log::ErrLog;

/// The lines that are quoted of what a failing app wrote to stderr: Node's report of a port that is taken has 28.
const QUOTED: usize = 40;
/// The lines of what it wrote to stdout, which is rarely the reason.
const QUOTED_OUT: usize = 10;

/// What the app has written since its start.
pub(super) struct Wrote {
    pub(super) err: ErrLog,
    /// `None`: both go to one file.
    pub(super) out: Option<ErrLog>,
}

impl Wrote {
    /// The last lines of both.
    pub(super) fn last(&self) -> Vec<String> {
        let err = self.err.last(QUOTED);
        match self.out.as_ref().map(|out| out.last(QUOTED_OUT)).filter(|out| !out.is_empty()) {
            Some(out) => [vec!["stdout:".to_owned()], out, vec!["stderr:".to_owned()], err].concat(),
            None => err,
        }
    }
}
