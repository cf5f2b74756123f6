//! Whether a process may be signalled for an app: root's right to signal any is not lent to who can write an app's files.

use pm_common::app::home::Home;
use pm_common::cli::report::Failure;
use pm_common::kernel::procfs;

/// Makes sure that root signals for another user only what that user could signal too (kill(2)): who can write an
/// app's files could name any process in them, and have root end it.
///
/// # Errors
/// 125: it is another's.
pub(crate) fn may_signal(home: &Home, name: &str, pid: i32) -> Result<(), Failure> {
    let owner = home.owner_of(name)?;
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    match procfs::uids(pid) {
        Some([real, _, saved]) if real == owner || saved == owner => Ok(()),
        uids => {
            let whose = uids.map_or_else(|| "gone".to_owned(), |[_, effective, _]| format!("user {effective}'s"));
            Err(Failure::own(format!(
                "app '{name}' is user {owner}'s, and process {pid} is {whose}: it is not signalled"
            )))
        }
    }
}
