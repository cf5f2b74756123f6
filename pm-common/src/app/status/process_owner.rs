//! Whose a process is, by what the supervisors of all apps say.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

use super::read;
use crate::app::home::Home;
use crate::kernel::foreign_listeners;
use crate::kernel::procfs::{self, Stat};

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

/// Says that a port is taken, and by whom, for a message: `port 3000 is taken by app 'web' (pid 4711)`.
#[must_use]
pub fn port_taken(port: u16) -> String {
    // Who has bound it may listen no more, or has not begun to.
    let holder = port_holder(port).map_or_else(|| "somebody who does not listen on it".to_owned(), socket_holder);
    format!("port {port} is taken by {holder}")
}

/// The socket that listens on the port, at whatever address.
#[must_use]
pub fn port_holder(port: u16) -> Option<u64> {
    foreign_listeners::first_listener(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
}

/// Who holds the socket of that number, for a message: `app 'web' (pid 4711)`, `node (pid 4711)` of what is no app here,
/// or why that cannot be said.
#[must_use]
pub fn socket_holder(inode: u64) -> String {
    let app = |pid| Some(format!("app '{}'", app_of(&Home::find(|name| std::env::var_os(name))?, pid)?));
    match foreign_listeners::holder(inode) {
        Ok(Stat { pid, comm, .. }) => {
            let name = || String::from_utf8_lossy(comm.as_bytes()).into_owned();
            format!("{} (pid {pid})", app(pid).unwrap_or_else(name))
        }
        Err(why) => why.to_owned(),
    }
}
