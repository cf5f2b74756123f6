//! What a program gets that shares nothing with others (PM2's fork mode): Node's channel without a number in a cluster,
//! the sockets that the supervisor was started with, and a look from outside at where it listens.
//!
//! pm-restart has one such child, `pm-cluster --apart` several.

mod channels;
mod find_listeners;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;

use super::release::Release;
use super::{Adapter, Listens, Source, Turn, WorkerSetup};
use crate::node::inspector;
use crate::policy::WorkerId;
use crate::policy::exit::Exit;
use crate::policy::supervisor::Event;
use crate::policy::time::Mono;
use crate::policy::worker::ReadyRule;
use crate::sys::clock;
use crate::sys::listen_fds::{self, Passed};

use channels::Channels;
use find_listeners::Looks;

/// The adapter of programs that share nothing.
#[derive(Debug)]
pub struct Alone {
    /// What we were started with is theirs: LISTEN_PID alone has to be another.
    sockets: Vec<Passed>,
    channels: Channels,
    looks: Looks,
    /// The workers are several: each is told its number, and has a port of its own for Node's debugger.
    several: Option<inspector::Ports>,
    argv: Vec<OsString>,
}

impl Alone {
    /// Reserves the number of the channel, behind those of the sockets that are passed.
    ///
    /// `with_channel`: the program is given Node's channel. `several`: there may be more than one of it.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new(
        argv: &[OsString],
        sockets: Vec<Passed>,
        with_channel: bool,
        several: bool,
        ready: &ReadyRule,
    ) -> io::Result<Self> {
        Ok(Self {
            channels: Channels::new(with_channel, ready.listen_time().is_some(), sockets.len(), argv)?,
            sockets,
            looks: Looks::new(ready.longest()),
            several: several.then(inspector::Ports::default),
            argv: argv.to_vec(),
        })
    }

    /// What runs from this directory is a part of the app; other apps below it are not.
    #[must_use]
    pub fn of_app(mut self, directory: Option<&std::path::Path>) -> Self {
        self.looks.own = directory.map_or_else(Vec::new, |dir| dir.as_os_str().as_encoded_bytes().to_vec());
        self
    }
}

impl Adapter for Alone {
    /// Whose channel it is.
    type Token = WorkerId;

    fn turn(_: WorkerId) -> Turn {
        Turn::Said
    }
    fn prepare(&mut self, id: WorkerId, release: &Release, setup: &mut WorkerSetup) -> io::Result<()> {
        if let Some(inspectors) = &mut self.several {
            setup.env.push(("NODE_APP_INSTANCE".into(), id.slot.to_string().into()));
            setup.argv = inspectors.command_line(id, &self.argv, release.node_options().unwrap_or_default());
        }
        if !self.sockets.is_empty() {
            let each = self.sockets.iter().map(|socket| socket.fd.try_clone_to_owned());
            setup.sockets = each.collect::<io::Result<_>>()?;
            setup.env.extend(listen_fds::variables(&self.sockets));
        }
        self.channels.prepare(id, release, setup)
    }
    fn started(&mut self, id: WorkerId, pid: i32) {
        self.looks.started(id, pid);
    }
    fn say_stop(&mut self, id: WorkerId) -> bool {
        self.channels.say_stop(id)
    }
    fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool {
        self.looks.ended(id);
        self.several.iter_mut().for_each(|inspectors| inspectors.gone(id));
        self.channels.ended(id, exit)
    }
    fn sources<'a>(&'a self, out: &mut Vec<Source<'a, WorkerId>>) {
        self.channels.sources(out);
    }
    fn ready(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        let changed = self.channels.read(id, events);
        // Who has just been loaded may listen by now.
        self.looks.look_soon(id, changed, &mut self.channels, events);
    }
    fn has_channels(&self) -> bool {
        self.channels.are_given()
    }
    fn keep_messages(&mut self, keep: bool) {
        self.channels.messages.keep = keep;
    }
    fn take_messages(&mut self) -> Vec<(WorkerId, String)> {
        self.channels.messages.take()
    }
    fn send_message(&mut self, slot: Option<u32>, message: &str) -> usize {
        self.channels.send_message(slot, message)
    }
    fn look_where_it_listens(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        self.looks.look_soon(id, false, &mut self.channels, events);
    }
    fn deadline(&self) -> Option<Mono> {
        self.looks.deadline()
    }
    fn settle(&mut self, events: &mut VecDeque<Event>) {
        self.looks.look(clock::now(), &mut self.channels, events);
    }
    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        self.looks.listening()
    }
}
