//! What workers get so that they can leave in order.

use std::ffi::OsString;
use std::os::fd::RawFd;

use pm_common::policy::rules::Rules;
use pm_common::policy::time::Span;
use pm_common::supervise::release::Release;

use crate::care::health::Question;
use pm_common::node::locate::Node;
use pm_common::node::preload::Preload;
use pm_common::node::preload::blame::Blame;

/// What workers get so that they can leave in order.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Who is Node, as far as the command line tells.
    pub(crate) node: Node,
    /// The program is given a channel.
    pub(crate) with_channel: bool,
    /// Workers are not watched as they bind, unless one is found to do so.
    pub(crate) learns: bool,
    /// The number under which the program finds its channel.
    pub(crate) channel_number: RawFd,
    /// The script that lets Node finish what it has.
    pub(crate) preload: Preload,
    /// How long idle connections linger.
    pub(crate) linger: Span,
    /// How long a drain may take, and which ends of a worker are followed by a new one.
    pub(crate) rules: Rules,
    /// The program loads what NODE_OPTIONS names, as far as we know.
    pub(crate) is_heard: bool,
    /// What a worker must answer before it is ready.
    pub(crate) health: Option<Question>,
    /// The variables that tell of sockets that we were started with: Node asks us for them by their numbers.
    pub(crate) sockets: Vec<(OsString, OsString)>,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// Clients that keep their connections busy are told to move on, where the server is not.
    pub(crate) tells_clients: bool,
}

impl Settings {
    /// The variables that make Node load the drain script, unless workers of this release cannot. `watched`: processes
    /// below the worker may listen, too.
    pub(crate) fn script(&mut self, release: &Release, blame: &Blame, watched: bool) -> Vec<(OsString, OsString)> {
        if !(self.with_channel || self.node == Node::Below) || !blame.wants_script(release.number) {
            return Vec::new();
        }
        let below = self.node == Node::Below || (self.node == Node::Itself && watched);
        self.preload.env(release.node_options(), &self.argv, Some(self.linger), below)
    }
}
