//! Whose a process is, by what the supervisors of all apps say.

use std::collections::BTreeMap;

use super::read;
use crate::app::home::Home;
use crate::kernel::procfs;

/// The app that the process belongs to: its supervisor, its worker, or below one of these.
#[must_use]
pub fn app_of(home: &Home, pid: i32) -> Option<String> {
    let mut owners = BTreeMap::new();
    for app in home.apps().ok()? {
        let statuses = home.dir(&app).and_then(|dir| read(&dir).ok()).unwrap_or_default();
        for status in statuses {
            let workers = status.workers.iter().filter_map(|worker| worker.pid);
            owners.extend(workers.chain([status.supervisor.pid]).map(|pid| (pid, app.clone())));
        }
    }
    procfs::with_ancestors(pid).find_map(|pid| owners.get(&pid).cloned())
}
