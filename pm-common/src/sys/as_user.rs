//! Another user's rights to files, for as long as something is opened: what that user could not open, the kernel refuses us.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist, setfsgid, setfsuid};
use rustix::process::DumpableBehavior;
use rustix::thread::set_thread_groups;

/// No user and no group: with it, setfsuid(2) and setfsgid(2) change nothing, and tell what there is.
const ASK: u32 = u32::MAX;

/// The rights, until it is dropped. Only what concerns files changes (`setfsuid(2)`, credentials(7)): signals that may be
/// sent to us, and those that we may send, are as ever.
#[derive(Debug)]
#[must_use]
pub struct Rights {
    groups: Vec<rustix::fs::Gid>,
}

impl Rights {
    /// Takes the rights of this user, of its group and of its further groups; one that has no name has the group of its
    /// own number.
    ///
    /// # Errors
    /// EPERM: we may not (CAP_SETUID, CAP_SETGID). Nothing has changed then.
    pub fn of(uid: u32) -> io::Result<Self> {
        // Asked before, as the list of users may be one that only root reads.
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let gid = user.as_ref().map_or(Gid::from_raw(uid), |user| user.gid);
        let known = user.and_then(|user| getgrouplist(&CString::new(user.name).ok()?, gid).ok()).unwrap_or_default();
        let theirs: Vec<_> = known.into_iter().map(|gid| rustix::fs::Gid::from_raw(gid.as_raw())).collect();
        let rights = Self { groups: rustix::process::getgroups()? };
        set_thread_groups(&theirs)?;
        setfsgid(gid);
        // Last, as the capabilities that disregard modes go with it.
        setfsuid(Uid::from_raw(uid));
        let (now, group) = (setfsuid(Uid::from_raw(ASK)), setfsgid(Gid::from_raw(ASK)));
        if (now.as_raw(), group) == (uid, gid) {
            Ok(rights)
        } else {
            Err(io::Error::from_raw_os_error(nix::libc::EPERM))
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        setfsuid(geteuid());
        setfsgid(getegid());
        // The groups are our own: what may fail is to find memory for them, and then we have fewer rights, not more.
        let _ = set_thread_groups(&self.groups);
        // The kernel takes one that changed its user for one with secrets, and hides what it has open (PR_SET_DUMPABLE).
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
    }
}
