//! The lock's file, which somebody may remove under a running app: a cleaner of old files does so.

use super::{AppDir, Claim, Lock, write_pid};

impl AppDir {
    /// Makes the lock's file anew where somebody has removed it; else only who looks closely would see that the app runs.
    pub(crate) fn keep_lock(&mut self) {
        let (Some(lock), Some(dir)) = (&self.lock, &self.dir) else { return };
        if lock.is_in(dir) {
            return;
        }
        if let Ok(Claim::Ours(lock)) = Lock::claim(dir) {
            let _ = write_pid(dir);
            self.lock = Some(lock);
        }
    }
}
