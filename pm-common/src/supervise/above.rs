//! What the one above us (systemd, podman, a pm supervisor) is told, in the order that sd_notify(3) asks for: READY=1
//! once; around each reload RELOADING=1 with its time and READY=1; STOPPING=1; and a STATUS= line for people.

use crate::notify::{Assignment, Upward};
use crate::policy::supervisor::Supervisor;

/// The way up, and what was said last.
#[derive(Debug)]
pub(super) struct Above {
    way: Option<Upward>,
    ready: bool,
    reloading: bool,
    status: String,
}

impl Above {
    /// From our environment. The word for what we are goes first: from then on, what comes is taken for ours.
    pub(super) fn greet(kind: &str) -> Self {
        let above = Self { way: Upward::from_env(), ready: false, reloading: false, status: String::new() };
        above.tell(&[Assignment::PmSupervisor(kind.to_owned())]);
        above
    }

    pub(super) fn tell(&self, lines: &[Assignment]) {
        if let Some(way) = &self.way {
            way.send(lines);
        }
    }

    pub(super) fn ready(&mut self) {
        self.ready = true;
        self.tell(&[Assignment::Ready]);
    }

    /// A reload begins. One before we were ready is a part of the start.
    pub(super) fn reloads(&mut self) {
        if self.ready && !self.reloading {
            self.reloading = true;
            self.tell(&[Assignment::Reloading]);
        }
    }

    /// It has ended, well or not: what serves now goes on serving.
    pub(super) fn reloaded(&mut self) {
        if std::mem::take(&mut self.reloading) {
            self.tell(&[Assignment::Ready]);
        }
    }

    /// Passes on what a supervisor below says of itself.
    pub(super) fn pass_on(&mut self, said: &Assignment) {
        match said {
            Assignment::Reloading => self.reloads(),
            Assignment::Ready => self.reloaded(),
            Assignment::Status(text) => self.say(text.clone()),
            _ => {}
        }
    }

    /// The line for people, of workers of our own.
    pub(super) fn say_counts(&mut self, machine: &Supervisor) {
        let (wanted, ready) = machine.counts();
        let roll = machine.roll();
        let ready = format!("{ready} of {wanted} workers ready");
        let text = match roll.running {
            Some(running) => format!("{ready}; reload: {} of {} replaced", running.done, running.of),
            // The manager hears that the reload has ended, and has no word for one that failed: people have.
            None if roll.ok == Some(false) => format!("reload aborted: {}; {ready}", roll.reason),
            None => ready,
        };
        self.say(if machine.state() == "stopping" { "stopping".to_owned() } else { text });
    }

    fn say(&mut self, text: String) {
        if self.way.is_some() && self.status != text {
            self.tell(&[Assignment::Status(text.clone())]);
            self.status = text;
        }
    }
}
