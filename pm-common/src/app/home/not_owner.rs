//! What somebody is told to type who is not the owner of an app.

use nix::unistd::{Uid, User, geteuid};

/// The end of a message: `; do it as its owner: sudo -u web pm ...`. To become the owner is safe, to write as root where
/// another user can plant links is not.
#[must_use]
pub fn as_owner(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    match user {
        Some(user) if geteuid().is_root() => format!(
            "; do it as its owner: setpriv --reuid={uid} --regid={} --init-groups pm ... (or: sudo -u {} pm ...)",
            user.gid, user.name
        ),
        None if geteuid().is_root() => {
            format!("; do it as its owner: setpriv --reuid={uid} --regid={uid} --clear-groups pm ...")
        }
        Some(user) => format!("; do it as its owner: sudo -u {} pm ...", user.name),
        None => String::new(),
    }
}
